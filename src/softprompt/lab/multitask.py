"""Several tasks at once: lessons whose prompts share parameters, taught by prompts of one task each.

Two stages (Wang et al. 2023, https://arxiv.org/abs/2303.02861): each task's own prompt first, then all tasks together,
with what the first ones say as a part of what is asked. What one task has learnt of its rows reaches the shared prompt
in this way, and not only the labels.

Knows lessons and trainings; no settings files, no faces.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from softprompt.core.errors import ConfigError
from softprompt.core.records import Example
from softprompt.core.tensors import PromptTensors
from softprompt.lab.distillation import TEACHERS, Distillation
from softprompt.lab.lessons import Lesson
from softprompt.lab.second import mixed, softened
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import Listener, Tuning, tune
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.base import MethodSettings
from softprompt.model.methods.multitask import MultitaskSettings
from softprompt.model.prompted import PromptedModel

__all__ = ["require_teachable", "taught", "tune_together"]


def tune_together(
    backbone: Backbone,
    lessons: Sequence[Lesson],
    *,
    method: MethodSettings | None = None,
    settings: TrainingSettings | None = None,
    distil: Distillation | None = None,
    folder: Path | None = None,
    on_event: Listener = lambda stage, event: None,
    on_read: Callable[[int, int], None] | None = None,
) -> Tuning:
    """Train the prompts of several tasks over one reading; where the method shares, those of one seed share parameters.

    Those that share take the rate that the first one finds. Examples stand at the same places (``None`` where a task
    has fewer), and templates of tasks that share have the same soft slots.

    Args:
        backbone: The frozen model.
        lessons: One a task.
        method: One that shares; multitask prompts of rank 1 if None.
        settings: Of the training.
        distil: Train a prompt for each task first, and let it teach; None: learn from the answers alone.
        folder: Where checkpoints go; those of the teachers in a folder of their own below it.
        on_event: Told the stage and what happened; the teachers' stages begin with
            :data:`~softprompt.lab.distillation.TEACHERS`.
        on_read: Told tokens read and tokens in all.

    Raises:
        ConfigError: ``config.invalid`` for tasks that cannot be taught or share, and what
            :func:`~softprompt.lab.tuning.tune` raises.
    """
    config = method or MultitaskSettings()
    grouped = [replace(lesson, group="tasks" if config.shares else "") for lesson in lessons]
    if distil is not None:
        for lesson in lessons:
            require_teachable(lesson)
        first = tune(
            backbone,
            lessons,
            method=distil.method,
            settings=settings,
            folder=None if folder is None else folder / TEACHERS,
            on_event=lambda stage, event: on_event(f"{TEACHERS}: {stage}", event),
            on_read=on_read,
        )
        if first.interrupted:
            return first
        teachers = [one.prompt for one in first.learnt]
        grouped = [taught(backbone, *pair, distil=distil) for pair in zip(grouped, teachers, strict=True)]
    return tune(backbone, grouped, method=config, settings=settings, folder=folder, on_event=on_event, on_read=on_read)


def taught(backbone: Backbone, lesson: Lesson, teacher: PromptTensors, *, distil: Distillation) -> Lesson:
    """The lesson with what a prompt says of its training rows as a part of what they ask.

    Raises:
        ConfigError: ``config.invalid`` for a task whose answers are not one of several.
    """
    require_teachable(lesson)
    there = [(i, example) for i, example in enumerate(lesson.train) if example is not None]
    rows = [lesson.builder.row(example, target=False) for _, example in there]
    scores = PromptedModel(backbone).score_all(rows, prompts=(teacher,))[0].values
    shares: list[tuple[float, ...] | None] = [None] * len(lesson.train)
    for (i, example), line in zip(there, scores.double().softmax(-1), strict=True):
        shares[i] = _asked(lesson, example, line, distil)
    return replace(lesson, shares=shares)


def require_teachable(lesson: Lesson) -> None:
    """Refuse a task that another prompt cannot teach.

    Raises:
        ConfigError: ``config.invalid``.
    """
    task = lesson.builder.task
    if task.objective != "choice" or not task.one_right:
        message = f"{lesson.name}: only tasks with one right answer of several can be taught by another prompt"
        raise ConfigError("config.invalid", message, cure="leave distil out")


def _asked(lesson: Lesson, example: Example, said: torch.Tensor, distil: Distillation) -> tuple[float, ...]:
    right = lesson.builder.task.answer(example)
    assert isinstance(right, int), "a choice has the index of the right candidate"
    candidates = lesson.builder.task.candidates(example) or lesson.builder.task.says
    return mixed(right, softened(said[: len(candidates)].tolist(), distil.temperature), distil.share)
