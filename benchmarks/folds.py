"""What a cross-validation costs in one pass, against a training a fold.

    python benchmarks/folds.py                       three repeats: ten minutes on two cores
    python benchmarks/folds.py --repeats 1 --print   to see that it works; nothing is written

300 example messages by topic, the embedded model, five folds, ``effort: quick``, tokens after the text, all cores.
Separately: five trainings, each reads its texts, probes the rate and trains one prompt. In one pass: the texts are read
once, one fold probes for all, and five prompts are trained side by side. Both sides run the package's own ``tune`` as
often as each other, in turns, so that a disturbance hits both; the model is loaded before.

Knows lessons and folds; no settings files and no reports.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import example_file, rows_in
from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.core.machine import num_cores
from softprompt.lab.folds import lessons_of
from softprompt.lab.lessons import Lesson
from softprompt.lab.tuning import tune

__all__ = ["main", "page", "seconds_of"]

ROWS, STAGES = 300, ("read", "probe", "train")


@dataclass
class Seconds:
    """Of one side, by stage and in all: on the clock and of the processor."""

    wall: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*STAGES, "all"), 0.0))
    cpu: float = 0.0


def prepared(effort: str = "quick") -> Prepared:
    """The first 300 messages in five folds, and the model."""
    rows = [row for part in ("train", "validation") for row in rows_in(example_file(part))]
    data = {"train": "messages", "columns": {"text": "text"}, "folds": 5}
    config = RunConfig.parse({"data": data, "task": {"target": "topic"}, "training": {"effort": effort, "seeds": (0,)}})
    return prepare(config, sources={"train": rows[:ROWS]})


def sides(ready: Prepared) -> dict[str, list[list[Lesson]]]:
    """Lessons by training, separately and in one pass."""
    whole = Lesson("topic", ready.builder, ready.splits["train"].rows, ())
    together = lessons_of(whole, ready.folds, seed=0)[:-1]
    return {"separately": [[replace(one, rate_from=None)] for one in together], "in one pass": [together]}


def seconds_of(ready: Prepared, trainings: Sequence[Sequence[Lesson]]) -> Seconds:
    """What these trainings take, one after the other."""
    found = Seconds()
    begun, cpu = time.perf_counter(), time.process_time()
    settings = ready.config.training.model_copy(update={"keep": "last"})
    for lessons in trainings:
        tuned = tune(ready.backbone, lessons, method=ready.config.method, settings=settings)
        for stage in STAGES:
            found.wall[stage] += tuned.seconds[stage]
    found.wall["all"], found.cpu = time.perf_counter() - begun, time.process_time() - cpu
    return found


def _columns(one: Seconds) -> list[float]:
    return [*(one.wall[stage] for stage in (*STAGES, "all")), one.cpu]


def page(found: dict[str, list[Seconds]], *, load: float) -> str:
    """The table: medians over the repeats, and ratios of them."""
    medians = {
        side: [statistics.median(column) for column in zip(*map(_columns, runs), strict=True)]
        for side, runs in found.items()
    }
    ratios = [one / other if other else 0.0 for one, other in zip(*medians.values(), strict=True)]
    lines = [
        "| | reading | probe | training | all, on the clock | all, processor time |",
        "| --- | --- | --- | --- | --- | --- |",
        *(f"| {side} | " + " | ".join(f"{value:.1f} s" for value in values) + " |" for side, values in medians.items()),
        "| ratio | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |",
        "",
        f"Median of {len(next(iter(found.values())))}. {sentence(load)}",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=num_cores(), help="of both sides; all cores where left out")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    ready = prepared()
    both = sides(ready)
    seconds_of(ready, [both["in one pass"][0][:1]])  # the first training of a process pays for warming up
    found: dict[str, list[Seconds]] = {side: [] for side in both}
    for _ in range(options.repeats):
        for side, trainings in both.items():
            found[side].append(seconds_of(ready, trainings))
    text = page(found, load=load_average())
    publish("folds", "Folds in one pass", text, only_print=options.print)


if __name__ == "__main__":
    main()
