"""How saved prompts write for one call: as their tasks say, or otherwise because the caller asks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from softprompt.core.decoding import Decoding
from softprompt.core.errors import ConfigError
from softprompt.core.tasks import Task
from softprompt.core.tasks.writing import Writing
from softprompt.model.prediction import Ask

__all__ = ["Ways", "check_ways", "way_of", "written"]

#: Changes to how answers are written: settings by name, or all of them.
Ways = Mapping[str, Any] | Decoding


def check_ways(tasks: Mapping[str, Task], ways: Ways | None) -> None:
    """Refuse changes before a model is loaded for them.

    Args:
        tasks: Of the prompts, by their names.
        ways: What changes; None or empty: nothing.

    Raises:
        ConfigError: ``config.invalid`` for what contradicts itself, and where no prompt writes; ``config.unknown_key``.
    """
    if not (changes := _changes(ways)):
        return
    writing = [task for task in tasks.values() if isinstance(task, Writing)]
    if not writing:
        names = ", ".join(map(repr, tasks))
        verb = "chooses its answers" if len(tasks) == 1 else "choose their answers"
        message = f"{', '.join(changes)}: for answers that are written, and {names} {verb}"
        raise ConfigError("config.invalid", message, cure="leave that out")
    for task in writing:
        _changed(task, changes)


def written(asks: Sequence[Ask], ways: Ways | None) -> list[Ask]:
    """The asks with other settings of decoding; those that choose among labels stay as they are.

    Rows are built anew: they keep room for the longest answer.

    Raises:
        ConfigError: As :func:`check_ways`.
    """
    return [_asked(ask, changes) for ask in asks] if (changes := _changes(ways)) else list(asks)


def way_of(ask: Ask) -> Decoding | None:
    """How a prompt writes; None for one that chooses."""
    return ask.way_of_writing if isinstance(ask.task, Writing) else None


def _changes(ways: Any) -> Mapping[str, Any]:
    if isinstance(ways, Decoding):
        return {**ways.model_dump(exclude_defaults=True), "method": ways.method}
    if not isinstance(ways, Mapping | None):
        message = f"decoding is settings by name, got {ways!r}"
        raise ConfigError("config.invalid", message, cure='e.g. {"num_beams": 4} or {"temperature": 0.7, "seed": 3}')
    return ways or {}


def _changed(task: Writing, changes: Mapping[str, Any]) -> Writing:
    decoding = task.way_of_writing.changed(changes)
    said = task.model_dump(mode="json", by_alias=True)
    said |= {"decoding": decoding.model_dump(exclude={"max_new_tokens"}), "max_new_tokens": decoding.max_new_tokens}
    return type(task).parse(said)


def _asked(ask: Ask, changes: Mapping[str, Any]) -> Ask:
    if not isinstance(ask.task, Writing):
        return ask
    return replace(ask, builder=ask.builder.of(task=_changed(ask.task, changes)))
