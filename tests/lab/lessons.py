"""Small lessons on a tiny model, whole tunings of them, and what ends one in the middle."""

from collections.abc import Sequence
from typing import Any

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab.training.outcome import Event
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import Lesson, Tuning, tune
from softprompt.model.methods.plain import PlainSettings
from softprompt.model.templates import RowBuilder, Template
from tests.lab.training.small import bits, llama

SETTINGS = TrainingSettings(
    steps=4, batch_size=4, seeds=(0, 1), rates=(0.01, 0.05), probe_steps=3, evaluations=2, cache_memory=1 << 22
)
WORDS = {"no": "alpha", "yes": "beta"}


def examples(count: int, *, labelled: bool = True) -> list[Example]:
    names = list(WORDS)
    return [
        Example({"text": f"{WORDS[names[i % 2]]} {i}"}, names[i % 2] if labelled else None, source=f"rows:{i}")
        for i in range(count)
    ]


def lesson(
    name: str = "one", template: str = "{text}<soft 3> is {answer}", *, answers: Any = "vectors", **rest: Any
) -> Lesson:
    task = rest.pop("task", Task.classify(list(WORDS)))
    builder = RowBuilder(Template.parse(template), task, llama().tokenizer, max_tokens=64, answers=answers)
    given = {"train": examples(8), "validation": examples(4), **rest}
    return Lesson(name, builder, **given)


def run(lessons: Sequence[Lesson] | None = None, *, settings: TrainingSettings = SETTINGS, **rest: Any) -> Tuning:
    return tune(llama(), lessons or [lesson()], method=PlainSettings(), settings=settings, **rest)


def with_(**changes: Any) -> TrainingSettings:
    return TrainingSettings.model_validate({**SETTINGS.model_dump(exclude_unset=True), **changes})


def every_bit(found: Tuning) -> list[Any]:
    return [(one.rate, one.probe, one.chosen, [bits(outcome) for outcome in one.outcomes]) for one in found.learnt]


class At:
    """Raises at the n-th event of a stage."""

    def __init__(self, stage: str, count: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.stage, self.left, self.error = stage, count, error

    def __call__(self, stage: str, event: Event) -> None:
        self.left -= stage == self.stage
        if stage == self.stage and self.left == 0:
            raise self.error


class Killed(BaseException):
    """The process is gone."""


# --- the whole way
