"""All methods on four data sets and two frozen models: score, cost of training, cost in use.

    python benchmarks/methods.py [--datasets NAME ...] [--ways NAME ...] [--model embedded] [--work FOLDER]
    python benchmarks/methods.py --model FOLDER --label minilm      a model of your own; its results are added
    python benchmarks/methods.py --minutes 15                       begin no trial after 15 minutes; run again to go on
    python benchmarks/methods.py --render                           train nothing, write the page of what is kept

300 labelled rows (a fifth chooses the rate), 20 soft tokens, label vectors, the package's own probe of the rate for
every method, three seeds side by side, at most 500 judged rows. Public data is read from ``SOFTPROMPT_SHARED``; what is
not there is left out, and the page says so. Every trial is kept in the work folder as soon as it is finished.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from threadpoolctl import threadpool_limits

from benchmarks.contest.bootstrap import score
from benchmarks.contest.outcomes import Clock, Work
from benchmarks.contest.problems import Problem
from benchmarks.quality import problems_of
from benchmarks.survey.trials import Trial
from benchmarks.survey.ways import WAYS, ways_for
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load
from softprompt.model.states import StateStore

__all__ = ["main"]

DATASETS = ("sst2", "ag_news", "emotion", "example topic")
TRAINING = {"seeds": (0, 1, 2), "probe_steps": 25, "evaluations": 2}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    problems, _ = problems_of(options.datasets, rows=options.rows)
    problems = [replace(one, judged=one.judged[: options.judged]) for one in problems]
    work = Work(options.work / options.label)
    with threadpool_limits(1):
        backbone = load(options.model, dtype=options.dtype)
        run(backbone, problems, work, options)


def run(backbone: Backbone, problems: Sequence[Problem], work: Work, options: argparse.Namespace) -> None:
    """Way by way through all problems, so that a run that is cut short compares the same ways everywhere."""
    until = time.monotonic() + 60 * options.minutes
    training = {**TRAINING, "steps": options.steps}
    with ExitStack() as stack:
        stores = {problem.name: stack.enter_context(StateStore(backbone)) for problem in problems}
        for name in options.ways:
            for problem in problems:
                way = ways_for(backbone.spec.kind, problem.name).get(name)
                if way is None:
                    continue
                store = stores[problem.name]
                trial = Trial(backbone, problem, name=name, way=way, training=training, work=work, store=store)
                if time.monotonic() > until and trial.kept() is None:
                    return
                clock, outcome = Clock(), trial.outcome()
                seconds = clock.lap().cpu_seconds
                print(f"{problem.name:>14}  {name:<20} {score(outcome.table)}  {seconds:6.1f} s", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="All methods on four data sets.")
    parser.add_argument(
        "--datasets", nargs="+", default=list(DATASETS), metavar="NAME", help=f"of: {', '.join(DATASETS)}"
    )
    parser.add_argument(
        "--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="NAME", help="now; of: " + "; ".join(WAYS)
    )
    parser.add_argument("--model", default="embedded", help="embedded, a folder or a hub id")
    parser.add_argument("--label", default="embedded", help="what the model is called in the work folder")
    parser.add_argument("--dtype", choices=("auto", "bf16", "fp32"), default="auto", help="of the frozen model")
    parser.add_argument("--rows", type=int, default=300, help="labelled rows; a fifth of them chooses")
    parser.add_argument("--judged", type=int, default=500, help="rows that are judged at most")
    parser.add_argument("--steps", type=int, default=100, help="of each training")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no trial after so many")
    parser.add_argument("--work", type=Path, default=Path("runs/methods"), help="keeps results, to go on from")
    return parser


if __name__ == "__main__":
    main()
