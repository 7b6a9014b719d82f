"""What is around the project and none of it: locale, plot settings, another's folders, other file systems."""

import ast
import os
import shutil
import subprocess
import sys

from bnlab import ledger
from bnlab.config import CONFIGS

REPOSITORY = CONFIGS.parent
NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ODD_FIGURES = "lines.linewidth: 9\nsavefig.bbox: tight\nfont.family: serif\nsavefig.dpi: 30"


def test_figures_and_pages_are_the_same_bytes_in_any_surroundings(tmp_path):
    name = "fig1a_accuracy"
    (tmp_path / "matplotlibrc").write_text(ODD_FIGURES, encoding="utf-8")
    shutil.copytree(REPOSITORY / "results" / name, tmp_path / "results" / name)
    made = [file for file in (tmp_path / "results" / name).iterdir() if file.name != ledger.TABLE]
    for file in made:
        file.unlink()
    line = [sys.executable, REPOSITORY / "scripts" / "report.py", name]
    subprocess.run(line, cwd=tmp_path, env=os.environ | NO_UTF8 | {"MPLBACKEND": "nonsense"}, check=True)
    for file in made:
        assert file.read_bytes() == (REPOSITORY / "results" / name / file.name).read_bytes()


def test_what_a_terminal_cannot_show_stops_no_command():
    done = subprocess.run(
        [sys.executable, "-c", "import bnlab; print('\\u03c3')"],
        env=os.environ | NO_UTF8,
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"?\n"


def test_every_text_that_is_read_or_written_has_an_encoding():
    sources = [file for folder in ("src", "scripts") for file in (REPOSITORY / folder).rglob("*.py")]
    calls = [
        (file.name, ast.unparse(node), ast.unparse(node.func))
        for file in sources
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Call)
    ]
    assert len(calls) > 1000
    for file, call, called in calls:
        text = called.endswith((".read_text", ".write_text")) or ("subprocess" in called and "text=True" in call)
        opened = called.split(".")[-1] == "open" and called not in ("os.open", "Image.open") and "b')" not in call
        assert not (text or opened) or "encoding='utf-8'" in call, (file, call)


def test_where_nobody_reads_on_a_command_ends_without_a_word():
    reading, writing = os.pipe()
    os.close(reading)  # as `head` does, once it has its lines
    line = [sys.executable, REPOSITORY / "scripts" / "report.py", "--list"]
    done = subprocess.run(line, cwd=REPOSITORY, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
