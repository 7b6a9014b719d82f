"""Every command of the README and of docs/using.md is run here, small, in the order in which they stand."""

import re
import runpy
import shlex
import sys
from pathlib import Path

from conftest import README
from hydra.core.global_hydra import GlobalHydra

from bnlab import runs

TINY = ["data=mnist_sample", "hardware=plain", "model.width=4", "steps=3"]
LOOKS = ["measure.per_decade=1", "measure.probe=20"]
SMALL = {  # what is added to each script's words
    "train.py": [*TINY, *LOOKS],
    "plain.py": ["--data", "mnist_sample", "--steps", "5"],
    "simulate.py": ["--repetitions", "20"],
}
BARE = {  # what is added to a script that stands alone in the table of commands
    "judge.py": ["--results", "my_results"],
    "report.py": ["--list", "--results", "my_results"],
    "runs.py": ["list"],
}
NOT_RUN = {  # and why
    "make ": "sets an environment up; scripts/reproduce.py is run by test_reproduce.py, the tests by whoever runs this",
    "source ": "is the shell's",
    "pip install": "needs a network",
    "hydra/launcher=joblib": "any launcher: test_commands.py, test_judge.py",
    "submitit_slurm": "needs Slurm",
    "hydra/launcher=ray": "needs a Ray cluster",
    "bench.py": "measures for minutes; test_bench.py",
    "reproduce.py": "test_reproduce.py",
    "/usr/share/datasets": "needs the Debian package; test_data.py",
    "tracker=wandb": "test_commands.py",
}
CLAIM = re.search(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]


def commands(page: Path) -> list[str]:
    """The indented ones and those of the table of all commands, without what is said of them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"^(?:    |\| `)((?:python|make|pip|source) [^`\n]+)", text, re.MULTILINE)
    return [re.split(r"\s{2,}#", line)[0].strip() for line in found]


ALL = [line for page in (README, README.parent / "docs" / "using.md") for line in commands(page)]
RUN = [line for line in dict.fromkeys(ALL) if not any(part in f"{line} " for part in NOT_RUN)]


def small(line: str) -> list[str]:
    """The words of a command, with what makes it small."""
    _, script, *words = shlex.split(line)
    name = Path(script).name
    if any(word.startswith("study=") for word in words):
        return [name, *words]
    if not words:  # of the table of commands
        words = BARE.get(name, [])
    if name == "judge.py" and {"--results", "--anew"} & {*words}:
        at = words.index("--with") + 2 if "--with" in words else len(words)
        given = [*([] if "--with" in words else ["--with"]), *TINY, "measure.per_decade=2"]
        short = ["--looks", "1"] if words[0] == "mine" else ["--plan"]  # test_judge.py trains others
        words = [*words[:at], *given, *words[at:], *short]
    return [name, *words, *SMALL.get(name, [])]


def test_there_are_commands_and_each_that_is_not_run_has_a_reason():
    assert len(RUN) > 20
    for part in NOT_RUN:
        assert any(part in f"{line} " for line in ALL), f"{part}: no command of the README any more"


def test_every_command_does_what_it_says(tmp_path, monkeypatch, capfd, own_claim):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BNLAB_DATA", raising=False)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")
    own_claim(CLAIM)
    for line in RUN:
        script, *words = small(line)
        monkeypatch.setattr(sys, "argv", [script, *words])
        code = 0
        try:
            runpy.run_path(str(README.parent / "scripts" / script), run_name="__main__")
        except SystemExit as left:
            code = left.code or 0
        GlobalHydra.instance().clear()
        said = capfd.readouterr()
        assert code == 0, f"{line}: {code} {said.err[-500:]}"
        assert said.out or said.err, line
    assert runs.find([tmp_path / "runs"])
    made = {path.name for path in tmp_path.rglob("*") if path.suffix in (".png", ".gif", ".csv")}
    assert {"response.png", "heatmap.png", "percentiles.png", "film.gif", "plain.png", "runs.csv"} <= made
    assert (tmp_path / "my_results" / "mine" / "verdict.json").is_file()


def test_the_readme_is_no_longer_than_it_may_be():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200
