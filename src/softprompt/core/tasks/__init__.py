"""What is asked of the model: one small class a kind, and the way to it from plain data.

A kind says how answers are read, which candidates there are, what is minimised, what a prediction looks like and which
metrics judge it; nothing else in the house asks which kind it is. A new kind is a class in a module of its own and a
name in :data:`AnyTask`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, get_args

from pydantic import Field

from softprompt.core.config import Settings
from softprompt.core.errors import ConfigError
from softprompt.core.tasks.dialogue import Dialogue
from softprompt.core.tasks.extract import Extract
from softprompt.core.tasks.labels import Choose, Classify, Label
from softprompt.core.tasks.multilabel import Multilabel
from softprompt.core.tasks.score import Score
from softprompt.core.tasks.task import Task
from softprompt.core.tasks.texts import Generate

__all__ = [
    "KINDS",
    "AnyTask",
    "Choose",
    "Classify",
    "Dialogue",
    "Extract",
    "Generate",
    "Label",
    "Multilabel",
    "Score",
    "Task",
    "parse_task",
    "require_known",
]

AnyTask = Annotated[Classify | Choose | Dialogue | Extract | Generate | Multilabel | Score, Field(discriminator="kind")]


#: Kind -> its class.
KINDS: Mapping[str, type[Task]] = MappingProxyType(
    {one.model_fields["kind"].default: one for one in get_args(get_args(AnyTask)[0])}
)

#: Names under which people look for tags of words.
_TAGGING = frozenset({"tagging", "tag", "ner", "token-classification", "token_classification", "sequence-labelling"})


def require_known(kind: Any) -> None:
    """Refuse what a prompt is no tool for, with what to use instead.

    Raises:
        ConfigError: ``config.unsupported_task``.

    >>> require_known("ner")
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: 'ner' marks words of a text; softprompt answers about whole texts ...
    """
    if isinstance(kind, str) and kind.lower() in _TAGGING:
        message = f"{kind!r} marks words of a text; softprompt answers about whole texts"
        cure = (
            "ask for the words themselves: kind: extract with a schema, e.g. {persons: array, place: string or null}; "
            "where every word needs a tag, train a token classifier"
        )
        raise ConfigError("config.unsupported_task", message, cure=cure)


def parse_task(data: Mapping[str, Any]) -> Task:
    """A task from plain data (YAML, a manifest); ``kind`` decides which.

    Raises:
        ConfigError: ``config.invalid``, ``config.unknown_key``.

    >>> parse_task({"kind": "classify", "labels": ["yes", "no"]}).target
    'label'
    """
    require_known(data.get("kind"))

    class Holder(Settings):
        task: AnyTask

    return Holder.parse({"task": dict(data)}).task
