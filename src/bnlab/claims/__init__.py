"""Claims: a sentence of a paper, the sweep that tests it, its questions, fixed beforehand, and the picture.

A claim is one file, `configs/experiment/NAME.yaml`. Here it is read (`claim`), turned into runs (`planner`) and
answered (`judging`). Nothing here trains: what is to be trained is a list of jobs.
"""

from bnlab.claims.claim import Claim, Question, load, names, parse
from bnlab.claims.judging import answers, asked_for, effect, fresh, pilot, seeds_wanted, shown, verdict
from bnlab.claims.planner import Chosen, Job, choose, in_arms, jobs, missing, pilot_words

__all__ = [
    "Chosen",
    "Claim",
    "Job",
    "Question",
    "answers",
    "asked_for",
    "choose",
    "effect",
    "fresh",
    "in_arms",
    "jobs",
    "load",
    "missing",
    "names",
    "parse",
    "pilot",
    "pilot_words",
    "seeds_wanted",
    "shown",
    "verdict",
]
