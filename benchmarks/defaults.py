"""What the defaults of a training rest on: one setting changed at a time, on three data sets.

    python benchmarks/defaults.py [--datasets NAME ...] [--settings NAME ...] [--work FOLDER]
    python benchmarks/defaults.py --minutes 15     begin no training after 15 minutes; run again to go on
    python benchmarks/defaults.py --render         train nothing, write the page of what is kept

The embedded model; 240 labelled rows, 20 soft tokens after the text, label vectors, 150 steps of 16 rows at a rate of
0.1, three seeds side by side, the last step kept; at most 500 judged rows. Differences are paired by row, and their
intervals count the luck of seeds and of rows. Public data is read from ``SOFTPROMPT_SHARED``; what is not there is left
out. Every training is kept in the work folder as soon as it is finished.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from threadpoolctl import threadpool_limits

from benchmarks.contest.our_tuning import OurTuning
from benchmarks.contest.outcomes import Outcome, Work
from benchmarks.contest.problems import Problem
from benchmarks.quality import problems_of
from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import publish
from benchmarks.survey.findings import compared, points, score
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load
from softprompt.model.states import Budget, StateStore

__all__ = ["BASE", "SETTINGS", "main", "page", "settings_of"]

DATASETS = ("example topic", "sst2", "emotion")
JUDGED = 500

#: Bytes of frozen states a problem.
STATES = 4 << 30

BASE = "defaults"

#: Name in the table -> what differs from the base, by section of a run's file.
SETTINGS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    BASE: {},
    "rate 0.01": {"training": {"rate": 0.01}},
    "rate 0.03": {"training": {"rate": 0.03}},
    "rate 0.3": {"training": {"rate": 0.3}},
    "rate 1": {"training": {"rate": 1.0}},
    "60 steps": {"training": {"steps": 60}},
    "300 steps": {"training": {"steps": 300}},
    "batches of 8": {"training": {"batch_size": 8}},
    "batches of 32": {"training": {"batch_size": 32}},
    "constant rate": {"training": {"schedule": "constant"}},
    "5 soft tokens": {"template": {"length": 5}},
    "10 soft tokens": {"template": {"length": 10}},
    "40 soft tokens": {"template": {"length": 40}},
    "start: random": {"start": {"kind": "random"}},
    "start: labels": {"start": {"kind": "labels"}},
    "answers: words": {"answers": {"form": "words"}},
}

#: The base itself, as in a run's file.
_RUN: Mapping[str, Mapping[str, Any]] = {
    "template": {"place": "after", "length": 20},
    "answers": {"form": "vectors"},
    "training": {"steps": 150, "rate": 0.1, "seeds": (0, 1, 2), "keep": "last", "evaluations": 1},
}


def settings_of(name: str) -> dict[str, dict[str, Any]]:
    """A run's file, without its data.

    >>> settings_of("5 soft tokens")["template"]
    {'place': 'after', 'length': 5}
    """
    changed = SETTINGS[name]
    return {part: {**_RUN.get(part, {}), **changed.get(part, {})} for part in (*_RUN, *(set(changed) - set(_RUN)))}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    problems, skipped = problems_of(options.datasets, rows=300)
    for why in skipped.values():
        print(f"left out: {why}", file=sys.stderr)
    problems = [replace(one, judged=one.judged[:JUDGED]) for one in problems]
    with threadpool_limits(1), ExitStack() as stack:
        backbone, work = load("embedded"), Work(options.work)
        budget = Budget(memory=STATES)
        stores = {problem.name: stack.enter_context(StateStore(backbone, budget)) for problem in problems}
        until = float("-inf") if options.render else time.monotonic() + 60 * options.minutes
        for name in options.settings:
            for problem in problems:
                run = _tuning(backbone, problem, name, work, stores[problem.name])
                if time.monotonic() < until:
                    print(f"{problem.name:>14}  {name:<16} {score(run.outcome().table)}", file=sys.stderr)
        found = {problem.name: _kept(backbone, problem, work) for problem in problems}
    publish("defaults", "What the defaults rest on", page(found, load=load_average()), only_print=options.print)


def page(found: Mapping[str, Mapping[str, Outcome]], *, load: float) -> str:
    """The table: the score of the base, and what each change did to it.

    Args:
        found: By problem and setting.
        load: Of the machine.
    """
    lines = [f"| | {' | '.join(found)} |", f"| --- |{' --- |' * len(found)}"]
    for name in SETTINGS:
        cells = [_cell(by_name, name) for by_name in found.values()]
        if any(cells):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    about = (
        "Points of accuracy: of the defaults the score, of every other line the difference to it, with 95 % intervals "
        "over seeds and judged rows. 240 rows to learn from, 20 soft tokens after the text, label vectors, 150 steps "
        "of 16 rows at a rate of 0.1 with a cosine, three seeds, the last step; one thing changed at a time."
    )
    return "\n".join([*lines, "", f"{about} {sentence(load)}", ""])


def _cell(by_name: Mapping[str, Outcome], name: str) -> str:
    if name not in by_name or BASE not in by_name:
        return ""
    base = by_name[BASE].table
    return points(score(base)) if name == BASE else compared(by_name[name].table, base)


def _tuning(backbone: Backbone, problem: Problem, name: str, work: Work, store: StateStore | None) -> OurTuning:
    return OurTuning(backbone, problem, name=name, settings=settings_of(name), work=work, store=store)


def _kept(backbone: Backbone, problem: Problem, work: Work) -> dict[str, Outcome]:
    """What is there of every setting."""
    runs = {name: _tuning(backbone, problem, name, work, None) for name in SETTINGS}
    kept = {name: work.find(problem.name, name, setting=run.setting()) for name, run in runs.items()}
    return {name: Outcome.from_dict(one) for name, one in kept.items() if one is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What the defaults of a training rest on.")
    parser.add_argument(
        "--datasets", nargs="+", default=list(DATASETS), metavar="NAME", help=f"of: {', '.join(DATASETS)}"
    )
    parser.add_argument(
        "--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), metavar="NAME", help="train these"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no training after so many")
    parser.add_argument("--render", action="store_true", help="train nothing; write the page of what is kept")
    parser.add_argument("--print", action="store_true", help="show the table and write nothing")
    parser.add_argument("--work", type=Path, default=Path("runs/defaults"), help="keeps results, to go on from")
    return parser


if __name__ == "__main__":
    main()
