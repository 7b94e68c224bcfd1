"""What regularisation does to a prompt that learns from few rows.

    python benchmarks/regularisation.py                   three seeds a setting: some minutes on one core
    python benchmarks/regularisation.py --steps 2 --print   to see that it works; nothing is written

120 example messages by topic, the embedded model, 20 tokens after the text, label vectors, a fixed rate, one thread. A
setting is one training of three seeds side by side; judged on 150 other messages at the last step. Every finished
setting is kept in ``runs/``: a run that was cut short goes on with the next one.

Knows lessons and trainings; no settings files and no reports.
"""

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import example_file, rows_in
from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.core.files import write_whole
from softprompt.lab.lessons import Lesson
from softprompt.lab.tuning import tune
from softprompt.model.states import StateStore

__all__ = ["SETTINGS", "kept", "main", "measured", "page"]

LEARNT, JUDGED = 120, 150
CACHE = Path("runs") / "regularisation.json"

#: One thing changed at a time, in two sizes; a run that is cut short has the first of each.
SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "weight_decay 0.1": {"weight_decay": 0.1},
    "dropout 0.1": {"dropout": 0.1},
    "noise 0.1": {"noise": 0.1},
    "max_rms 1": {"max_rms": 1.0},
    "smoothing 0.1": {"smoothing": 0.1},
    "keep best, patience 3": {"keep": "best", "patience": 3, "evaluations": 10},
    "adversarial 0.1": {"adversarial": 0.1},
    "weight_decay 1": {"weight_decay": 1.0},
    "dropout 0.3": {"dropout": 0.3},
    "noise 0.5": {"noise": 0.5},
    "smoothing 0.3": {"smoothing": 0.3},
    "max_rms 2": {"max_rms": 2.0},
    "adversarial 0.5": {"adversarial": 0.5},
}

#: Accuracy and loss on other rows, by seed.
Found = list[tuple[float, float]]


def prepared() -> Prepared:
    """The messages and the model."""
    rows = rows_in(example_file("train"))
    parts = {"train": rows[:LEARNT], "validation": rows[LEARNT : LEARNT + JUDGED]}
    data = {"train": "messages", "validation": "messages", "columns": {"text": "text"}}
    config = RunConfig.parse({"data": data, "task": {"target": "topic", "metrics": ["accuracy"]}})
    return prepare(config, sources=parts)


def measured(ready: Prepared, changes: Mapping[str, Any], *, steps: int, store: StateStore) -> Found:
    """One training of three seeds."""
    lesson = Lesson("topic", ready.builder, ready.splits["train"].rows, ready.splits["validation"].rows)
    fixed = {"steps": steps, "seeds": (0, 1, 2), "rate": 0.1, "keep": "last", "evaluations": 1}
    settings = ready.config.training.model_copy(update={**fixed, **changes})
    tuned = tune(ready.backbone, [lesson], method=ready.config.method, settings=settings, store=store)
    return [(one.value, one.loss) for one in tuned.learnt[0].outcomes]


def kept(
    path: Path, steps: int, measure: Callable[[Mapping[str, Any]], Found], *, until: float = math.inf
) -> dict[str, Found]:
    """Every setting, those that an earlier run finished from its file; after ``until`` none is begun."""
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    found: dict[str, Found] = known.get(str(steps), {})
    for name, changes in SETTINGS.items():
        if name not in found:
            found[name] = measure(changes)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps({**known, str(steps): found}).encode())
        if time.monotonic() > until:
            break
    return {name: found[name] for name in SETTINGS if name in found}


def page(found: Mapping[str, Found], *, steps: int, load: float) -> str:
    """The table: mean and standard deviation over the seeds."""
    lines = ["| setting | accuracy | loss |", "| --- | --- | --- |"]
    for name, seeds in found.items():
        cells = [f"{statistics.fmean(one):.3f} ± {statistics.stdev(one):.3f}" for one in zip(*seeds, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    about = (
        f"Mean ± standard deviation of three seeds after {steps} steps of 16 rows; {LEARNT} messages to learn from, "
        f"{JUDGED} to judge by."
    )
    missing = [name for name in SETTINGS if name not in found]
    left = f" Not measured yet: {', '.join(missing)}." if missing else ""
    return "\n".join([*lines, "", f"{about}{left} {sentence(load)}", ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no setting after so many")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    ready = prepared()
    with StateStore(ready.backbone) as store:
        found = kept(
            CACHE,
            options.steps,
            lambda changes: measured(ready, changes, steps=options.steps, store=store),
            until=time.monotonic() + 60 * options.minutes,
        )
    publish(
        "regularisation",
        "Regularisation",
        page(found, steps=options.steps, load=load_average()),
        only_print=options.print,
    )


if __name__ == "__main__":
    main()
