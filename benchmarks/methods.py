"""All methods on four data sets and two frozen models: score, cost of training, cost in use.

    python benchmarks/methods.py [--datasets NAME ...] [--ways NAME ...] [--model embedded] [--work FOLDER]
    python benchmarks/methods.py --model FOLDER --label minilm --peft   another model beside it, and PEFT on the same
    python benchmarks/methods.py --minutes 15                       begin no trial after 15 minutes; run again to go on
    python benchmarks/methods.py --render                           train nothing, write the page of what is kept

300 labelled rows (a fifth chooses the rate), 20 soft tokens, label vectors, the package's own probe of the rate for
every method, three seeds side by side, at most 500 judged rows. Public data is read from ``SOFTPROMPT_SHARED``; what is
not there is left out, and the page says so. Every trial is kept in the work folder as soon as it is finished.
"""

import argparse
import json
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

from benchmarks.contest.outcomes import Clock, Work
from benchmarks.contest.problems import Problem
from benchmarks.quality import problems_of
from benchmarks.rig.machine import describe, load_average, sentence
from benchmarks.rig.results import RESULTS, publish
from benchmarks.survey.findings import score
from benchmarks.survey.page import ABOUT, PEER, collected, page, places
from benchmarks.survey.peft_peers import PEERS
from benchmarks.survey.picture import draw
from benchmarks.survey.trials import Trial
from benchmarks.survey.ways import WAYS, ways_for
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load
from softprompt.model.states import Budget, StateStore

__all__ = ["main"]

DATASETS = ("sst2", "ag_news", "emotion", "example topic")
SEEDS = (0, 1, 2)

#: Bytes of frozen states a problem in the work folder: a run that goes on reads no text again.
STATES = 4 << 30
TRAINING = {"seeds": SEEDS, "probe_steps": 25, "evaluations": 2}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    if not options.render:
        train(options)
    if options.train_only:
        return
    try:
        models = {
            folder.name: collected(Work(folder), problems=DATASETS)
            for folder in sorted(options.work.iterdir(), key=lambda one: (one.name != "embedded", one.name))
            if folder.is_dir()
        }
    except (LookupError, ValueError, OSError) as error:
        raise SystemExit(f"methods.py: {error}") from None
    write(models, RESULTS / "methods.json")


def train(options: argparse.Namespace) -> None:
    """All trials of a model that are not kept yet."""
    problems, skipped = problems_of(options.datasets, rows=options.rows)
    for why in skipped.values():
        print(f"left out: {why}", file=sys.stderr)
    problems = [replace(one, judged=one.judged[: options.judged]) for one in problems]
    work = Work(options.work / options.label)
    with threadpool_limits(1):
        backbone = load(options.model, dtype=options.dtype)
        if options.peft and backbone.spec.kind not in PEERS:
            raise SystemExit("methods.py: --peft is for encoders and encoder-decoders; of causal models ask quality.py")
        keep_about(backbone, problems, work)
        run(backbone, problems, work, options)
        if options.peft:
            peer = PEERS[backbone.spec.kind]
            for problem in problems:
                peft = peer(Path(options.model), problem, steps=options.steps, work=work)
                print(f"{problem.name:>14}  {PEER:<20} {score(peft.outcome(SEEDS).table)}", file=sys.stderr)


def keep_about(backbone: Backbone, problems: Sequence[Problem], work: Work) -> None:
    """What the page says of the model and of the rows."""
    spec = backbone.spec
    dtype = str(spec.dtype).removeprefix("torch.")
    work.keep(ABOUT, setting={}, result={"kind": spec.kind, "parameters": spec.num_parameters, "dtype": dtype})
    for problem in problems:
        work.keep(problem.name, ABOUT, setting={}, result=problem.describe())


def write(models: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """The data, and the page and the pictures beside it."""
    report = {"machine": describe(), "load_average": load_average(), "models": models}
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    pictures = {label: f"{path.stem}_{label}.svg" for label in models}
    for label, one in models.items():
        picture = draw(one["ways"], title=f"{label}: score against the cost of training", places=places())
        (path.parent / pictures[label]).write_text(picture, "utf-8")
    text = page(models, pictures=pictures, machine=sentence(load_average()))
    publish("methods", "Methods", text, only_print=False)


def run(backbone: Backbone, problems: Sequence[Problem], work: Work, options: argparse.Namespace) -> None:
    """Way by way through all problems, so that a run that is cut short compares the same ways everywhere."""
    until = time.monotonic() + 60 * options.minutes
    training = {**TRAINING, "steps": options.steps}
    budget = Budget(memory=0, file=STATES, keep=True, folder=work.folder / "states")
    with ExitStack() as stack:
        stores = {problem.name: stack.enter_context(StateStore(backbone, budget)) for problem in problems}
        for name in options.ways:
            for problem in problems:
                way = ways_for(problem.name).get(name)
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
    parser.add_argument("--peft", action="store_true", help="also PEFT's prompt tuning, on another model")
    parser.add_argument("--train-only", action="store_true", help="write no page")
    parser.add_argument("--render", action="store_true", help="train nothing; write the page of what is kept")
    parser.add_argument("--work", type=Path, default=Path("runs/methods"), help="keeps results, to go on from")
    return parser


if __name__ == "__main__":
    main()
