"""Every notebook runs from a clean kernel without a data set at hand, and is committed as it ran."""

import re
from pathlib import Path

import nbformat
import pytest
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
MACHINE_PATH = re.compile(r"/(home|work|root|tmp|Users|mnt|var)/|[A-Z]:\\Users")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def texts(notebook: NotebookNode) -> list[str]:
    """All that a reader can read: sources, streams, tracebacks, and outputs that are not pictures."""
    found = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        found += [output.get("text", ""), *output.get("traceback", [])]
        found += [str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/")]
    return found


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@each_notebook
def test_runs_from_a_clean_kernel(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_kernel_spec(tmp_path / "jupyter" / "kernels" / "python3")  # of this very Python
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("BNLAB_DATA", raising=False)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    notebook = nbformat.read(path, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
        cell.source = re.sub(r"^STEPS = (\d+)00$", r"STEPS = \g<1>0", cell.source, flags=re.MULTILINE)  # a tenth of it
        cell.source = re.sub(r"(judge\.py mine .*?)\"", r'\1 --looks 1"', cell.source)  # so few steps decide nothing
        cell.source = re.sub(r"(\s*)compile: false", r"\1workers: 1\g<0>", cell.source)  # others take longer to start
        cell.source = cell.source.replace(" hardware.compile=false", " hardware=plain")
    where = {"metadata": {"path": str(empty)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    assert all(cell.execution_count for cell in code_cells(notebook))
    assert [output for output in outputs(notebook) if output.output_type == "error"] == []
    assert list(empty.iterdir()) == []  # it leaves nothing behind


@each_notebook
def test_is_committed_as_it_ran(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run all cells of a fresh kernel, then save"
    unwanted = [o for o in outputs(notebook) if o.output_type == "error" or o.get("name") == "stderr"]
    assert unwanted == []


@each_notebook
def test_names_no_folder_of_a_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert [text for text in texts(notebook) if MACHINE_PATH.search(text)] == []
