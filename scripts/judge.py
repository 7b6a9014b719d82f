"""Ask claims: train what the rule still needs, look by look, until each is decided; then verdict, figure and ledger.

python scripts/judge.py                      every claim of the ledger; what is decided there is not trained again
python scripts/judge.py fig1a_accuracy       this claim; the same command goes on after a kill
python scripts/judge.py NAME --plan          prints the next runs as commands; trains nothing
python scripts/judge.py NAME --anew again    all of it once more, into the folder again/: runs, verdict, figure, ledger
python scripts/judge.py NAME --looks 1       no further than the first look (0: the pilot and what it chooses)
python scripts/judge.py NAME --with data=mnist_sample steps=2000 --results mine        the same questions of other runs
python scripts/judge.py NAME --in-place-of BN norm=layer --results mine                the same questions of LayerNorm
python scripts/judge.py NAME hydra/launcher=joblib      trains through a launcher of Hydra's, with its knobs

Runs that lie in the ledger's tables are not trained again, and its choices are kept. With other settings or another
norm, say --results FOLDER: results/ holds the claims as they stand in their YAML.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # figures are files; another backend may want a screen
from bnlab import report, sweeps
from bnlab.claims import judging
from bnlab.claims.claim import Claim, load, names
from bnlab.claims.planner import Job
from bnlab.config import ConfigError, path
from bnlab.ending import GOES_ON, end_in_one_line
from bnlab.shelf import Shelf, check, check_columns, lacking, with_table

LEDGER = Path("results")
RUNS = Path("runs")
TRAIN = Path(__file__).with_name("train.py")


class Stopped(ConfigError):
    """Runs failed: there is no verdict, and the message says of which."""


def main() -> None:
    asked = arguments()
    if (asked.overrides or asked.in_place_of) and asked.results == LEDGER:
        raise ConfigError("with other settings, say --results FOLDER: results/ holds the claims as they stand")
    chosen = asked.names or (in_chapter(asked.chapter) if asked.chapter else with_table(asked.results))
    if not chosen:
        raise ConfigError(f"{asked.results}: holds no claim that was asked; name one of {', '.join(names())}")
    wanted = [load(name, asked.in_place_of) for name in chosen]
    report.standing(asked.results)  # whether they can be read, before hours of training
    for claim in wanted:
        check(claim)
    if asked.plan:
        for claim in wanted:
            plan(claim, asked)
        return
    for claim in wanted:
        ask(claim, asked)
    report.write_ledger(asked.results)
    print(f"ledger: {asked.results / 'README.md'} and {asked.results / 'index.html'}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="CLAIM | hydra/KEY=VALUE", help=", ".join(names()))
    parser.add_argument("--results", type=path, default=LEDGER, help="folder of the ledger to write (default: results)")
    parser.add_argument("--reuse", type=path, default=LEDGER, help="ledger whose runs are taken too (default: results)")
    parser.add_argument("--runs", type=path, default=RUNS, help="folder of the runs (default: runs)")
    parser.add_argument("--anew", type=path, metavar="FOLDER", help="train all again; ledger and runs go there")
    parser.add_argument("--chapter", help="every claim of this chapter, where none is named")
    parser.add_argument("--looks", type=int, metavar="N", help="stop after so many looks (0: after the pilot)")
    parser.add_argument("--plan", action="store_true", help="only say what would be trained")
    parser.add_argument(
        "--with", dest="overrides", nargs="+", default=[], metavar="KEY=VALUE", help="settings that all runs are given"
    )
    parser.add_argument("--in-place-of", nargs="+", metavar=("ARM", "KEY=VALUE"), help="other settings for an arm")
    asked = parser.parse_intermixed_args()
    if asked.anew:
        if (asked.results, asked.reuse, asked.runs) != (LEDGER, LEDGER, RUNS):
            raise ConfigError("--anew FOLDER says --results, --reuse and --runs")
        asked.results = asked.reuse = asked.anew
        asked.runs = asked.anew / "runs"
    asked.hydra = [word for word in asked.words if word.startswith("hydra")]
    asked.names = [word for word in asked.words if word not in asked.hydra]
    if asked.in_place_of:
        arm, *settings = asked.in_place_of
        if not settings:
            parser.error(f"--in-place-of {arm}: say ARM KEY=VALUE, as in BN norm=layer")
        asked.in_place_of = (arm, dict(map(sweeps.setting, settings)))
    return asked


def in_chapter(chapter: str) -> list[str]:
    """The claims of a chapter. Raises `ConfigError` where there is none."""
    chapters = {name: load(name).chapter for name in names()}
    if chapter not in chapters.values():
        raise ConfigError(f"--chapter {chapter}: choose one of {', '.join(sorted(set(chapters.values())))}")
    return [name for name in chapters if chapters[name] == chapter]


def ask(claim: Claim, asked: argparse.Namespace) -> None:
    """Train look by look until the claim is decided, or the last look asked for; write what the rule says."""
    shelf = shelf_of(claim, asked)
    if claim.choose and shelf.chosen is None:
        todo = shelf.missing(0)
        prepare(claim, shelf, todo, asked)
        train(claim, todo, asked, "pilot")
        shelf.choose()
    prepared = False
    while seeds := wanted_seeds(claim, shelf, asked):
        todo = shelf.missing(seeds)
        if todo and not prepared:
            prepare(claim, shelf, todo, asked)
            prepared = True
        train(claim, todo, asked, f"{seeds} seeds")
        shelf.keep(seeds)
        say(claim, shelf)
    if shelf.answering() is None:
        print(f"{claim.name}: {f'the pilot chose, {shelf.place}/chosen.yaml' if shelf.chosen else 'not asked'}")
        return
    verdict = report.judge_and_draw(claim, asked.results, asked.overrides)
    print(
        f"{claim.name}: {verdict['answer']} ({verdict['verdict']}, {verdict['seeds']} seeds, {verdict['data']['name']})"
    )


def shelf_of(claim: Claim, asked: argparse.Namespace) -> Shelf:
    return Shelf(claim, asked.results, asked.runs, asked.reuse, asked.overrides)


def wanted_seeds(claim: Claim, shelf: Shelf, asked: argparse.Namespace) -> int:
    """Seeds of the next look; 0 where the claim is decided, or no further look is asked for."""
    seeds = judging.seeds_wanted(claim, shelf.answering())
    looks = len(claim.looks) if asked.looks is None else asked.looks
    return seeds if seeds in claim.looks[:looks] else 0


def say(claim: Claim, shelf: Shelf) -> None:
    """What the last look said of each question."""
    table = shelf.answering()
    assert table is not None
    for name, found in judging.answers(claim, judging.effects(claim, table)).items():
        told = judging.shown(claim.questions[name], found)
        print(f"  {name}: {told} — {found.verdict or 'undecided'} after {found.seeds} seeds", flush=True)


def prepare(claim: Claim, shelf: Shelf, todo: Sequence[Job], asked: argparse.Namespace) -> None:
    """Before anything is paid: whether runs will record what the claim reads, and what it may cost.

    Raises `ConfigError` for a column that no run will have, or for more runs than the claim allows.
    """
    if not todo:
        return
    from bnlab.launcher import trial  # here: torch takes seconds to import

    check_recorded(claim, todo)
    looks = claim.looks if asked.looks is None else claim.looks[: asked.looks]
    most = len(shelf.asked(looks[-1] if looks else 0))
    if claim.most_runs and most > claim.most_runs:
        raise ConfigError(
            f"{claim.name}: {most} runs at most, and claim.most_runs={claim.most_runs}: raise it, or ask less"
        )
    said = f"{claim.name}: {len(todo)} runs now, {most} at most in all"
    if not todo[0].config.study:
        seconds = trial.seconds_an_update([job.config for job in todo]) * todo[0].config.steps * len(todo)
        said += f"; at this machine's uncompiled speed some {duration(seconds)} now"
    print(said, flush=True)


def check_recorded(claim: Claim, todo: Sequence[Job]) -> None:
    """Raise `ConfigError` for a column that the claim reads and these runs will not have."""
    from bnlab.launcher import trial

    recorded: set[str] = set()
    for config in {job.arm: job.config for job in todo}.values():  # arms may differ in what they record
        recorded |= trial.columns(config)
        if not lacking(claim, recorded):
            return
    check_columns(claim, recorded)


def duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{max(seconds / 60, 1):.0f} min"


def train(claim: Claim, todo: Sequence[Job], asked: argparse.Namespace, what: str) -> None:
    """Train these runs, here or through a launcher of Hydra's. Raises `Stopped` where one fails."""
    if not todo:
        return
    begin = time.monotonic()
    if asked.hydra:
        through_hydra(claim, todo, asked)
    else:
        train_here(todo)
    print(f"{claim.name}: {len(todo)} runs ({what}) in {duration(time.monotonic() - begin)}", flush=True)


def train_here(todo: Sequence[Job]) -> None:
    """Raises `Stopped` where one fails."""
    from bnlab.launcher import Terminated, launch

    try:
        failed = launch([job.config for job in todo]).failed
    except Terminated:
        print("terminated: the same command goes on from here", file=sys.stderr)
        sys.exit(143)
    if failed:
        raise Stopped("\n".join(f"failed: {name}: {reason}" for name, reason in failed.items()))


def through_hydra(claim: Claim, todo: Sequence[Job], asked: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        jobs = Path(scratch) / "jobs.json"
        jobs.write_text(json.dumps([job.words for job in todo]), encoding="utf-8")
        line = [sys.executable, str(TRAIN), f"experiment={claim.name}", f"+jobs={jobs}", *asked.overrides, *asked.hydra]
        if subprocess.run([*line, f"out={sweeps.written(str(asked.runs))}"], check=False).returncode:
            raise Stopped(f"{claim.name}: some runs failed; see above")


def plan(claim: Claim, asked: argparse.Namespace) -> None:
    """The next runs as commands, and how many more there may be."""
    shelf = shelf_of(claim, asked)
    pilot = claim.choose is not None and shelf.chosen is None
    seeds = claim.looks[0] if pilot else wanted_seeds(claim, shelf, asked)
    todo = shelf.missing(seeds) if seeds else []
    if not todo:
        print(f"{claim.name}: {'its runs are there' if seeds else 'no look is left'}, nothing to train")
        return
    print(f"{claim.name}: {len(todo)} runs {'of the pilot' if pilot else f'up to {seeds} fresh seeds'}")
    seeds_of: dict[tuple[str, ...], list[str]] = {}
    for job in todo:
        seeds_of.setdefault(job.words[:-1], []).append(job.words[-1].removeprefix("seed="))
    first = ["python", "scripts/train.py", "-m", f"experiment={claim.name}", "+jobs=null"]
    for words, own in seeds_of.items():
        line = [*first, *words, f"seed={','.join(own)}", *asked.overrides, f"out={sweeps.written(str(asked.runs))}"]
        print(f"  {shlex.join(line)}")


if __name__ == "__main__":
    end_in_one_line(main, GOES_ON)
