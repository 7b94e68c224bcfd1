"""What the width of the networks does that make soft tokens while they are trained.

    python benchmarks/widths.py                    two data sets: some minutes on one core
    python benchmarks/widths.py --minutes 5        begin no trial after so many; the same command goes on
    python benchmarks/widths.py --steps 2 --print  to see that it works; nothing is written

The trials of ``methods.py`` with other widths, beside what it found with the default ones on the same rows: 300
labelled rows, three seeds, the package's own probe of the rate. Every trial is kept in ``runs/``. emotion is read from
``SOFTPROMPT_SHARED``; without it there are the example messages alone.
"""

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from benchmarks.contest.outcomes import Outcome, Work
from benchmarks.methods import TRAINING
from benchmarks.quality import problems_of
from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import RESULTS, parser_of, publish
from benchmarks.survey.findings import paired, points, score
from benchmarks.survey.trials import Trial
from benchmarks.survey.ways import WAYS, Way
from softprompt.core.stats import verdict
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load
from softprompt.model.states import StateStore

__all__ = ["DATASETS", "WIDTHS", "main", "page"]

DATASETS = ("example topic", "emotion")

#: Way -> the way of methods.py that it differs from in one number, and that number.
WIDTHS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "residual, bottleneck 32": ("residual", {"bottleneck": 32}),
    "residual, bottleneck 512": ("residual", {"bottleneck": 512}),
    "deep, bottleneck 128": ("deep", {"bottleneck": 128}),
    "p-tuning, mlp, hidden 32": ("p-tuning, mlp", {"hidden": 32}),
    "p-tuning, mlp, hidden 512": ("p-tuning, mlp", {"hidden": 512}),
}


def way_of(name: str) -> Way:
    """The way with its other width.

    >>> dict(way_of("residual, bottleneck 32").method)
    {'name': 'residual', 'bottleneck': 32}
    """
    base, changes = WIDTHS[name]
    return replace(WAYS[base], method={**WAYS[base].method, **changes})


def measured(
    backbone: Backbone, work: Work, *, steps: int, judged: int = 500, until: float = math.inf
) -> dict[str, dict[str, Outcome]]:
    """By data set and way what was kept, or what a training gives; way by way, so that a cut run has both sets."""
    problems, skipped = problems_of(DATASETS, rows=300)
    for why in skipped.values():
        print(f"left out: {why}", file=sys.stderr)
    found: dict[str, dict[str, Outcome]] = {}
    with StateStore(backbone) as first, StateStore(backbone) as second:
        stores = dict(zip((problem.name for problem in problems), (first, second), strict=False))
        for name in WIDTHS:
            for problem in (replace(one, judged=one.judged[:judged]) for one in problems):
                training, store = {**TRAINING, "steps": steps}, stores[problem.name]
                trial = Trial(backbone, problem, name=name, way=way_of(name), training=training, work=work, store=store)
                if trial.kept() is None and time.monotonic() > until:
                    continue
                found.setdefault(problem.name, {})[name] = trial.outcome()
                print(f"{problem.name:>14}  {name:<26} {score(found[problem.name][name].table)}", file=sys.stderr)
    return found


def beside(steps: int) -> Mapping[str, Mapping[str, Any]]:
    """By data set and way what methods.py found on the embedded model; nothing where it took other steps."""
    models = json.loads((RESULTS / "methods.json").read_text("utf-8"))["models"]
    ways: Mapping[str, Mapping[str, Any]] = models["embedded"]["ways"]
    return ways if models["embedded"]["steps"] == steps else {}


def page(
    found: Mapping[str, Mapping[str, Outcome]], defaults: Mapping[str, Mapping[str, Any]], *, steps: int, load: float
) -> str:
    """Scores, numbers and time of every width, and the paired difference to the default one."""
    lines = ["| data | way | score | against its default | rate | learnt | train |", "| --- |" + " --- |" * 6]
    words: list[str] = []
    for problem, by_way in found.items():
        for name, outcome in by_way.items():
            base = WIDTHS[name][0]
            told = defaults.get(problem, {}).get(base)
            less = None
            if told is not None:
                right = np.array([[mark == "1" for mark in line] for line in told["right"]])
                less = paired(outcome.table, right)
                words.append(verdict(less))
            cells = [
                problem,
                name,
                points(score(outcome.table)),
                "" if less is None else f"{points(less, sign='+')}: {verdict(less)}",
                f"{outcome.details['rate']:g}",
                f"{outcome.num_trained:,}",
                f"{outcome.train.cpu_seconds / len(outcome.seeds):.1f} s",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    counts = ", ".join(f"{word} {words.count(word)} times" for word in ("better", "worse", "cannot tell"))
    missing = sorted({f"{name} on {problem}" for problem in DATASETS for name in WIDTHS} - _there(found))
    about = (
        f"Percent right with 300 labelled rows and {steps} steps, three seeds; intervals of 95 % count seeds and "
        "judged rows, differences are paired by both. The defaults are those of [methods](methods.md): residual with a "
        "bottleneck of 128, deep without one, p-tuning with 128 hidden. *Learnt* and *train* (processor seconds) are "
        "of one seed, label vectors included."
    )
    left = [f"Not measured: {'; '.join(missing)}."] if missing else []
    return "\n".join([*lines, "", f"Against the default: {counts}.", "", about, "", *left, "", sentence(load), ""])


def _there(found: Mapping[str, Mapping[str, Outcome]]) -> set[str]:
    return {f"{name} on {problem}" for problem, by_way in found.items() for name in by_way}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__, work=Path("runs") / "widths")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    until = time.monotonic() + 60 * options.minutes
    found = measured(load("embedded"), Work(options.work), steps=options.steps, until=until)
    text = page(found, beside(options.steps), steps=options.steps, load=load_average())
    publish("widths", "Widths", text, only_print=options.print)


if __name__ == "__main__":
    main()
