"""What several tasks with few rows gain from a prompt that they share.

    python benchmarks/multitask.py                        three draws a setting: some minutes on one core
    python benchmarks/multitask.py --minutes 5            begin no cell after so many; the same command goes on
    python benchmarks/multitask.py --steps 2 --print      to see that it works; nothing is written

The example messages ask three questions of the same texts (topic, sentiment, urgent); sst2 and emotion, from
``SOFTPROMPT_SHARED``, ask two questions of different ones. A draw is a choice of rows and the luck of training at once;
draws are nested. Every task is trained alone (plain), then all together (multitask), without and with single-task
prompts that teach them: the package's own calls, at one fixed rate, the vectors of the last step, one thread. Every
finished cell (a setting and a draw, all ways) is kept in ``runs/``.

Knows lessons and trainings; no settings files and no reports.
"""

import math
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from jaxtyping import Bool

from benchmarks.contest.answering import marks, rows_of, scores_of, targets_of
from benchmarks.contest.outcomes import Clock, Work
from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import example_file, public_file, rows_in
from benchmarks.survey.findings import paired, points, score
from softprompt.app.config import RunConfig
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.app.recipes.several import aligned
from softprompt.core.records import Example
from softprompt.core.stats import verdict
from softprompt.lab.distillation import Distillation
from softprompt.lab.lessons import Learner, Lesson, vocabulary_of
from softprompt.lab.multitask import tune_together
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import Learnt, tune
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load
from softprompt.model.methods.base import MethodSettings
from softprompt.model.methods.multitask import MultitaskSettings
from softprompt.model.methods.plain import PlainSettings
from softprompt.model.methods.table import start_method
from softprompt.model.states import StateStore

__all__ = ["BASE", "GROUNDS", "WAYS", "Ground", "main", "num_trained", "page"]

#: Rows that judge a public set; rows of its training part that are looked at.
JUDGED, POOL = 300, 2000

DRAWS = (0, 1, 2)
FIXED = {"rate": 0.1, "keep": "last", "evaluations": 1}

#: Way -> method, and whether prompts of one task each teach it.
WAYS: Mapping[str, tuple[MethodSettings, Distillation | None]] = {
    "plain": (PlainSettings(), None),
    "multitask": (MultitaskSettings(), None),
    "multitask, taught": (MultitaskSettings(), Distillation()),
}

#: Every task by itself: what the others are compared with.
BASE = "plain"


@dataclass(frozen=True)
class Ground:
    """Tasks, and how many rows each has.

    Attributes:
        rows: By task.
        texts: Whether all tasks ask the same texts; else a step takes as many rows of each as it takes alone.
    """

    rows: Mapping[str, int]
    texts: str = "the same"

    @property
    def batch(self) -> int:
        """Rows of a step."""
        return 16 if self.texts == "the same" else 16 * len(self.rows)


GROUNDS: Mapping[str, Ground] = {
    "16 messages": Ground({"topic": 16, "sentiment": 16, "urgent": 16}),
    "100 messages": Ground({"topic": 100, "sentiment": 100, "urgent": 100}),
    "16 for topic, 100 for the others": Ground({"topic": 16, "sentiment": 100, "urgent": 100}),
    "48 reviews, 48 feelings": Ground({"sst2": 48, "emotion": 48}, texts="different"),
}


@cache
def prepared(task: str, backbone: Backbone) -> Prepared:
    """The rows of a task to draw from and to judge by, and its template."""
    if task in ("sst2", "emotion"):
        target, train, judged = "label", rows_in(public_file(task, "train")), rows_in(public_file(task, "validation"))
        parts = {"train": train[:POOL], "validation": judged[:JUDGED]}
    else:
        target, train = task, rows_in(example_file("train"))
        parts = {"train": train, "validation": rows_in(example_file("validation")) + rows_in(example_file("test"))}
    data = {"train": task, "validation": task, "columns": {"text": "text"}}
    config = RunConfig.parse({"data": data, "task": {"target": target, "metrics": ["accuracy"]}})
    return prepare(config, sources=parts, backbone=backbone)


def drawn(rows: Sequence[Example], *, num: int, draw: int) -> list[Example]:
    """The first rows of a draw: a smaller choice is a part of a larger one, and tasks about one text choose alike.

    >>> rows = [Example({"text": letter}) for letter in "abcdef"]
    >>> [one.fields["text"] for one in drawn(rows, num=2, draw=0)]
    ['d', 'f']
    """
    return random.Random(draw).sample(list(rows), len(rows))[:num]


def lessons_of(ground: Ground, backbone: Backbone, draw: int) -> list[Lesson]:
    """A lesson a task, each with its own rows; none is held out, because no look chooses anything."""
    lessons = []
    for task, num in ground.rows.items():
        ready = prepared(task, backbone)
        train = drawn(ready.splits["train"].rows, num=num, draw=draw)
        lessons.append(Lesson(task, ready.builder, train, train[:1]))
    return lessons


def together(lessons: Sequence[Lesson], *, apart: bool) -> list[Lesson]:
    """Lessons whose rows stand at the same places.

    Args:
        lessons: Each with its own rows.
        apart: Whether equal places in two files are different texts.
    """
    rows = [
        [replace(one, source=f"{lesson.name if apart else ''} {one.source}") for one in lesson.train if one is not None]
        for lesson in lessons
    ]
    return [replace(lesson, train=train) for lesson, train in zip(lessons, aligned(rows), strict=True)]


def num_trained(backbone: Backbone, lessons: Sequence[Lesson], method: MethodSettings) -> int:
    """Numbers that the optimiser moves, of all tasks."""
    vocabulary = vocabulary_of(backbone)
    started = [Learner(lesson, backbone, vocabulary).start(0) for lesson in lessons]
    groups = [replace(one, group="tasks" if method.shares else "") for one in started]
    return sum(parameter.numel() for parameter in start_method(method, groups).parameters())


def trained(ground: Ground, backbone: Backbone, lessons: Sequence[Lesson], way: str, **training: Any) -> list[Learnt]:
    """A prompt for each task."""
    method, distil = WAYS[way]
    alone = TrainingSettings.parse({**FIXED, **training})
    if not method.shares:
        return [tune(backbone, [lesson], method=method, settings=alone).learnt[0] for lesson in lessons]
    settings = alone.model_copy(update={"batch_size": ground.batch})
    rows = together(lessons, apart=ground.texts != "the same")
    return list(tune_together(backbone, rows, method=method, settings=settings, distil=distil).learnt)


def cell(ground: Ground, backbone: Backbone, draw: int, *, steps: int) -> dict[str, Any]:
    """All ways on one draw: by way the right answers by task, processor seconds of training, and numbers learnt."""
    lessons = lessons_of(ground, backbone, draw)
    judged = {one.name: rows_of(one.builder, prepared(one.name, backbone).splits["validation"].rows) for one in lessons}
    found: dict[str, Any] = {}
    with StateStore(backbone) as store:
        store.fill([row for rows in judged.values() for row in rows])
        for way, (method, _) in WAYS.items():
            clock = Clock()
            learnt = trained(ground, backbone, lessons, way, steps=steps, seeds=(draw,))
            seconds, right = clock.lap().cpu_seconds, {}
            for one in learnt:
                [scores] = scores_of(backbone, judged[one.name], [one.prompt], store=store)
                right[one.name] = marks(scores, targets_of(judged[one.name]))
            found[way] = {"right": right, "seconds": seconds, "numbers": num_trained(backbone, lessons, method)}
    return found


def measured(work: Work, backbone: Backbone, *, steps: int, until: float = math.inf) -> dict[str, list[dict[str, Any]]]:
    """By setting the cells of its draws, those that an earlier run finished from the folder; setting by setting."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, ground in GROUNDS.items():
        try:
            lessons_of(ground, backbone, 0)
        except FileNotFoundError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        for draw in DRAWS:
            setting = {"steps": steps, "model": backbone.spec.fingerprint, "rows": dict(ground.rows), **FIXED}
            one = work.find(name, str(draw), setting=setting)
            if one is None and time.monotonic() < until:
                one = cell(ground, backbone, draw, steps=steps)
                work.keep(name, str(draw), setting=setting, result=one)
                spent = {way: round(told["seconds"], 1) for way, told in one.items()}
                print(f"{name}, draw {draw}: {spent}", file=sys.stderr)
            found.setdefault(name, []).extend([one] if one is not None else [])
    return {name: cells for name, cells in found.items() if len(cells) > 1}


def table_of(cells: Sequence[Mapping[str, Any]], way: str, task: str) -> Bool[np.ndarray, "S N"]:
    """Right answers by draw and judged row."""
    return np.array([[mark == "1" for mark in one[way]["right"][task]] for one in cells])


def page(found: Mapping[str, Sequence[Mapping[str, Any]]], *, steps: int, load: float) -> str:
    """Scores of plain, differences to it by row, and what each way costs."""
    shared = [way for way in WAYS if way != BASE]
    lines = [f"| rows | task | {BASE} | {' | '.join(shared)} |", f"| --- | --- | --- |{' --- |' * len(shared)}"]
    said: dict[str, dict[str, int]] = {way: {"better": 0, "worse": 0, "cannot tell": 0} for way in shared}
    for name, cells in found.items():
        for task in GROUNDS[name].rows:
            base, row = table_of(cells, BASE, task), []
            for way in shared:
                less = paired(table_of(cells, way, task), base)
                said[way][verdict(less)] += 1
                row.append(points(less, sign="+"))
            lines.append(f"| {name} | {task} | {points(score(base))} | {' | '.join(row)} |")
    lines += ["", *(f"* {way}: {_counted(counts)}." for way, counts in said.items())]
    lines += ["", f"| rows | {' | '.join(WAYS)} |", f"| --- |{' --- |' * len(WAYS)}"]
    for name, cells in found.items():
        costs = [
            f"{sum(one[way]['seconds'] for one in cells) / len(cells):.0f} s, {cells[0][way]['numbers']:,}"
            for way in WAYS
        ]
        lines.append(f"| {name} | {' | '.join(costs)} |")
    missing = [name for name in GROUNDS if name not in found]
    about = [
        f"First table: percent right of {BASE}, every task by itself, and points more or less than that. Intervals of "
        f"95 % count draws and judged rows; differences are paired by draw and row. {_draws(found)} {steps} steps of "
        "16 rows, 20 soft tokens after the text, label vectors, the rate 0.1. Messages are judged by 300 others, "
        f"public sets by {JUDGED} rows. All together, a step takes 16 texts for tasks that ask the same ones (of which "
        "a task with few rows answers few), and 16 a task where each has its own.",
        "Second table: processor seconds of training one draw of all tasks (reading and teachers included), and the "
        "numbers that are moved (teachers not counted). Saved prompts are of one size whatever the way.",
        *([f"Not measured: {'; '.join(missing)}."] if missing else []),
        sentence(load),
    ]
    return "\n".join([*lines, "", "\n\n".join(about), ""])


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{word} on {count}" for word, count in counts.items())


def _draws(found: Mapping[str, Sequence[object]]) -> str:
    numbers = sorted({len(cells) for cells in found.values()})
    return f"{' or '.join(map(str, numbers))} draws," if numbers else "No draw,"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = parser_of(__doc__, work=Path("runs") / "multitask")
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    until = time.monotonic() + 60 * options.minutes
    found = measured(Work(options.work), load("embedded"), steps=options.steps, until=until)
    text = page(found, steps=options.steps, load=load_average())
    publish("multitask", "Multitask", text, only_print=options.print)


if __name__ == "__main__":
    main()
