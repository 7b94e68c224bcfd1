"""How many steps many rows want: the same rows, trained for more and more steps.

    python benchmarks/steps.py                     eight data sets: 40 minutes of one core
    python benchmarks/steps.py --minutes 15        begin no training after so many; the same command goes on
    python benchmarks/steps.py --minutes 0         train nothing, write the page of what is kept

The sets, the fields and the cut at 128 tokens are those of ``adopters.py``; at most 500 judged rows, the embedded
model, 20 soft tokens after the text, label vectors, steps of 16 rows at a rate of 0.1, three seeds side by side,
everything else as in ``--effort quick``. A fifth of the labelled rows chooses. Differences to 150 steps are paired by
row, and their intervals count the luck of seeds and of rows. Public data is read from ``SOFTPROMPT_SHARED``.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from threadpoolctl import threadpool_limits

from benchmarks.adopting.sets import EFFORT, SETS, TOKENS, Ground, ground
from benchmarks.contest.our_tuning import OurTuning
from benchmarks.contest.outcomes import Outcome, Work
from benchmarks.contest.problems import Problem, problem_of
from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.survey.findings import compared, points, score
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load
from softprompt.model.states import StateStore

__all__ = ["BASE", "STEPS", "Place", "main", "page"]

JUDGED, BASE, BATCH = 500, 150, 16

#: Labelled rows -> steps, in the order of the work.
STEPS: Mapping[int, tuple[int, ...]] = {2000: (BASE, 500), 1000: (BASE, 250)}

#: Set, labelled rows and steps of a training.
Place = tuple[str, int, int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__, work=Path("runs") / "steps")
    parser.add_argument("--datasets", nargs="+", choices=list(SETS), default=list(SETS), metavar="NAME")
    parser.add_argument("--rows", nargs="+", type=int, choices=list(STEPS), default=list(STEPS), metavar="N")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    until = time.monotonic() + 60 * options.minutes
    with threadpool_limits(1):
        backbone, work = load("embedded"), Work(options.work)
        grounds = {name: ground(name, backbone, judged=JUDGED) for name in SETS}
        for name in options.datasets:
            for rows in options.rows:
                _measure(backbone, work, grounds[name], rows=rows, until=until)
    found = _kept(backbone, work, grounds)
    publish("steps", "Steps and rows", page(found, load=load_average()), only_print=options.print)


def page(found: Mapping[Place, Outcome], *, load: float) -> str:
    """One table a number of rows: the score after 150 steps, and what more of them did.

    Args:
        found: What was measured.
        load: Of the machine.
    """
    lines: list[str] = []
    for rows in sorted(STEPS):
        learnt = rows - rows // 5
        seen = [f"{steps:,} ({steps * BATCH / learnt:.2g} times)" for steps in STEPS[rows]]
        lines += [f"## {rows:,} labels", "", f"| | {' | '.join(seen)} |", f"| --- |{' ---: |' * len(seen)}"]
        for name in SETS:
            by_steps = {steps: found[name, rows, steps] for steps in STEPS[rows] if (name, rows, steps) in found}
            if BASE in by_steps:
                base = by_steps[BASE].table
                cells = [points(score(base))]
                cells += [compared(by_steps[one].table, base) if one in by_steps else "" for one in STEPS[rows][1:]]
                lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    about = (
        f"Percent right after {BASE} steps of {BATCH} rows, and points of difference after more of them, with 95 % "
        "intervals over three seeds and the judged rows; in brackets how often each row that is learnt from (four "
        "fifths of the labelled ones) was seen. The rate is 0.1 with a cosine that ends at the last step."
    )
    return "\n".join([*lines, f"{about} {sentence(load)}", ""])


def _measure(backbone: Backbone, work: Work, on: Ground, *, rows: int, until: float) -> None:
    problem = _problem(on, rows)
    if len(problem.train) + len(problem.validation) < rows:
        return
    with StateStore(backbone) as store:
        for steps in STEPS[rows]:
            run = _tuning(backbone, problem, steps, work, store)
            if time.monotonic() < until:
                print(f"{problem.name:>14}  {steps:>5} steps  {score(run.outcome().table)}", file=sys.stderr)


def _problem(on: Ground, rows: int) -> Problem:
    fields = SETS[on.name].fields
    return problem_of(f"{on.name} {rows}", on.stage.task, on.pool, on.judged, rows=rows, fields=fields)


def _tuning(backbone: Backbone, problem: Problem, steps: int, work: Work, store: StateStore | None) -> OurTuning:
    settings = {
        "template": {"place": "after", "length": 20},
        "answers": {"form": "vectors"},
        "training": {"effort": EFFORT, "steps": steps, "rate": 0.1, "seeds": (0, 1, 2)},
        "max_tokens": TOKENS,
    }
    return OurTuning(backbone, problem, name=f"{steps} steps", settings=settings, work=work, store=store)


def _kept(backbone: Backbone, work: Work, grounds: Mapping[str, Ground]) -> dict[Place, Outcome]:
    """What is there of every set."""
    found: dict[Place, Outcome] = {}
    for name, on in grounds.items():
        for rows, many in STEPS.items():
            problem = _problem(on, rows)
            for steps in many:
                run = _tuning(backbone, problem, steps, work, None)
                kept = work.find(problem.name, run.name, setting=run.setting())
                if kept is not None:
                    found[name, rows, steps] = Outcome.from_dict(kept)
    return found


if __name__ == "__main__":
    main()
