"""Setting up: uv is told what pip is told, and pip does what uv cannot."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import install


def test_uv_looks_where_pip_would():
    told = {
        "PIP_INDEX_URL": "https://one/simple",
        "PIP_EXTRA_INDEX_URL": "https://two https://three",
        "PIP_CERT": "ours",
    }
    listed = subprocess.run(
        [*install.PIP, "config", "list"],
        env={"PATH": "", "PIP_CONFIG_FILE": "/dev/null", **told},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = install.settings(listed)
    assert found["cert"] == "ours"
    assert install.indexes(found)[2:] == [
        "--default-index=https://one/simple",
        "--index=https://two",
        "--index=https://three",
    ]
    assert install.indexes({})[2:] == []


def test_the_environments_word_counts_most():
    listed = ":env:.index-url='https://one'\nglobal.index-url='https://two'\nglobal.quiet=True"
    assert install.settings(listed) == {"index-url": "https://one", "quiet": "True"}


@pytest.mark.parametrize(
    ("uv", "listed", "reason"),
    [
        ("echo nothing fits >&2; exit 1", "", "nothing fits"),
        ("exit 0", "global.proxy='http://there'", "settings of its own (proxy)"),
        (None, "", "No such file"),
        ("exit 0", "global.index-url='https://there'", ""),
    ],
    ids=["uv fails", "a proxy", "no uv", "uv does it"],
)
def test_pip_does_what_uv_cannot(uv, listed, reason, tmp_path, monkeypatch, capsys):
    """pip and uv are scripts here, which write down what they are asked."""

    def script(name: str, does: str) -> str:
        made = tmp_path / name
        made.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/asked\n{does}\n', encoding="utf-8")
        made.chmod(0o755)
        return str(made)

    (tmp_path / "listed").write_text(listed, encoding="utf-8")
    pip = script("pip", f'if [ "$1" = config ]; then cat {tmp_path}/listed; fi')
    monkeypatch.setattr(install, "PIP", [pip])
    monkeypatch.setattr(install, "INSTALL", [pip, "install"])
    monkeypatch.setattr(install, "UV", script("uv", uv) if uv else str(tmp_path / "uv"))
    assert install.main() == 0
    asked = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    all_packages = " ".join(install.PACKAGES)
    assert (f"pip install {all_packages}" in asked) == bool(reason)
    assert reason in capsys.readouterr().err
    if not reason:
        assert asked[-1].startswith(f"uv pip install --quiet --python {sys.executable}")
        assert "--default-index=https://there" in asked[-1]
        assert asked[-1].endswith(all_packages)
