"""What computes a run, and when it counts as changed."""

import shutil
from pathlib import Path

import pytest

from bnlab import provenance
from bnlab.provenance import PACKAGE, source_hash


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the code, to change."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "bnlab", ignore=shutil.ignore_patterns("__pycache__")))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_the_hash_is_that_of_the_code_that_runs(package):
    assert provenance.code() == source_hash(PACKAGE) == source_hash(package)
    assert len(provenance.code()) == 12
    assert int(provenance.code(), 16) >= 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class NoNorm", "# y = x\n\n\nclass NoNorm"),
        ('"""No normalisation: y = x."""', '"""Nothing is normalised."""'),
        ('    """No normalisation: y = x."""\n', ""),
        ('"""Batch Normalization as in the paper', '"""As in the paper, Batch Normalization'),
        ("super().__init__(1, width, eps)", "super().__init__(\n            1, width, eps\n        )"),
    ],
    ids=["comment", "docstring", "no docstring", "docstring of the module", "formatting"],
)
def test_what_does_not_compute_does_not_count(old, new, package):
    before = source_hash(package)
    edit(package / "norms.py", old, new)
    assert source_hash(package) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("norms.py", "super().__init__(1, width, eps)", "super().__init__(2, width, eps)"),
        ("models.py", "TOGETHER = 8", "TOGETHER = 9"),
        ("bins.py", "97", "98"),
        ("measure/outcome.py", "STUCK = 1.5", "STUCK = 1.6"),
        ("training/loop.py", "CHUNK = 200", "CHUNK = 201"),
        ("data/dataset.py", "default_rng(20150211)", "default_rng(20150212)"),
    ],
)
def test_what_decides_what_a_run_records_counts(file, old, new, package):
    before = source_hash(package)
    edit(package / file, old, new)
    assert source_hash(package) != before


def test_a_word_that_is_no_docstring_counts(package):
    before = source_hash(package)
    edit(package / "norms.py", '"group": GroupNorm', '"groups": GroupNorm')
    assert source_hash(package) != before


@pytest.mark.parametrize("file", ["runs.py", "report.py", "plots/style.py", "claims/__init__.py", "tracking.py"])
def test_what_reads_and_draws_does_not_count(file, package):
    before = source_hash(package)
    with (package / file).open("a") as source:
        source.write("X = 1\n")
    assert source_hash(package) == before
