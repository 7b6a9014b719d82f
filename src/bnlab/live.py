"""The live net: the section of the ledger's page in which the paper's net trains in the reader's browser."""

import base64
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from bnlab import sample

FOLDER = Path(__file__).parent / "templates" / "live"
WORKER = ("net.js", "draws.js", "worker.js")  # one script in this order, as a worker of a lone page cannot import
PAGE = ("settings.js", "plot.js", "charts.js", "live.js")  # another


@cache
def live_section() -> Markup:
    """The section as HTML with its style, its scripts and its digits in it: it asks for nothing from elsewhere."""
    environment = Environment(loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True)
    digits = sample.read()
    html = environment.get_template("live.html.j2").render(
        style=source("live.css"),
        worker=source(*WORKER),
        page=source(*PAGE),
        pixels=packed(np.concatenate([digits.train_x, digits.test_x])),
        labels="".join(map(str, [*digits.train_y, *digits.test_y])),
        train=len(digits.train_y),
    )
    return Markup(html)


def source(*names: str) -> str:
    """What is in files of the section, one after another."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in names)


def packed(x: NDArray[np.uint8]) -> str:
    """Binary images, as the paper's net sees them, from uint8 (N, pixels): a bit a pixel, the first highest; base64."""
    return base64.b64encode(np.packbits(x > 127, axis=1).tobytes()).decode("ascii")
