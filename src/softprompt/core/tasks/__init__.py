"""What is asked of the model: one small class a kind, and the way to it from plain data.

A kind says how answers are read, which candidates there are, what is minimised, what a prediction looks like and which
metrics judge it; nothing else in the house asks which kind it is. A new kind is a class in a module of its own and a
name in :data:`AnyTask`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from softprompt.core.config import Settings
from softprompt.core.tasks.extract import Extract
from softprompt.core.tasks.labels import Choose, Classify, Label
from softprompt.core.tasks.multilabel import Multilabel
from softprompt.core.tasks.score import Score
from softprompt.core.tasks.task import Task
from softprompt.core.tasks.texts import Generate

__all__ = ["AnyTask", "Choose", "Classify", "Extract", "Generate", "Label", "Multilabel", "Score", "Task", "parse_task"]

AnyTask = Annotated[Classify | Choose | Extract | Generate | Multilabel | Score, Field(discriminator="kind")]


def parse_task(data: Mapping[str, Any]) -> Task:
    """A task from plain data (YAML, a manifest); ``kind`` decides which.

    Raises:
        ConfigError: ``config.invalid``, ``config.unknown_key``.

    >>> parse_task({"kind": "classify", "labels": ["yes", "no"]}).target
    'label'
    """

    class Holder(Settings):
        task: AnyTask

    return Holder.parse({"task": dict(data)}).task
