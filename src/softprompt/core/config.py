"""Settings: one base class, unknown keys refused with a suggestion, all errors of a file reported at once.

Each settings class stands beside the code that it sets; :mod:`softprompt.app.config` joins them into the whole run.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from softprompt.core.errors import ConfigError, nearest
from softprompt.core.words import counted

__all__ = ["Settings"]

#: What pydantic calls the shapes of values, and what a user writes.
_SHAPE = {"dictionary": "a mapping of keys", "tuple": "a list", "list": "a list"}
_SHAPES = re.compile(r"a valid (dictionary|tuple|list)(?: or instance of \w+| or object to extract fields from)?")

#: Keys by which one of several forms of settings is chosen.
_CHOOSING = ("name", "kind")


class Settings(BaseModel):
    """Base of all settings: immutable, no unknown keys, defaults validated.

    >>> class Rate(Settings):
    ...     rate: float = 0.3
    >>> Rate.parse({"rat": 1})
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: rat: unknown key; did you mean 'rate'? known: rate [config.unknown_key]
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, data: Mapping[str, Any] | Self, *, where: str = "") -> Self:
        """Build from plain data.

        Args:
            data: What YAML, JSON or keyword arguments gave.
            where: Named in front of the message, e.g. the file.

        Raises:
            ConfigError: ``config.unknown_key`` or ``config.invalid``, with every fault of the data, one a line.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            faults = [_describe(cls, fault) for fault in _own(error.errors())]
            code = "config.unknown_key" if all("unknown key" in fault for fault in faults) else "config.invalid"
            message = faults[0] if len(faults) == 1 else f"{len(faults)} faults:\n  " + "\n  ".join(faults)
            raise (ConfigError(code, message).at(where) if where else ConfigError(code, message)) from None


def _own(faults: Sequence[Any]) -> list[Any]:
    """Without lists that are only too short because what stands in them is wrong."""
    places = [fault["loc"] for fault in faults]

    def follows(fault: Any) -> bool:
        place = fault["loc"]
        return fault["type"] == "too_short" and any(one[: len(place)] == place != one for one in places)

    return [fault for fault in faults if not follows(fault)]


def _describe(cls: type[BaseModel], fault: Any) -> str:
    """One pydantic fault as a sentence of ours."""
    path = [str(part) for part in fault["loc"]]
    if fault["type"] == "extra_forbidden":
        owners = _owners(cls, path[:-1])
        known = sorted({field.alias or name for owner in owners for name, field in owner.model_fields.items()})
        return f"{'.'.join(path)}: unknown key; {nearest(path[-1], known)}"
    again = fault["type"] == "value_error" and isinstance(fault["input"], Mapping)  # a whole section, or all settings
    came = "" if fault["type"] == "missing" or not path or again else f", got {fault['input']!r}"
    if fault["type"] == "union_tag_not_found":
        return f"{'.'.join(path)}: {fault['ctx']['discriminator']} is missing{came}"
    if fault["type"] == "too_short":
        return f"{'.'.join(path)}: {counted(fault['ctx']['min_length'], 'item')} or more wanted{came}"
    message = _SHAPES.sub(lambda found: _SHAPE[found[1]], fault["msg"].removeprefix("Value error, "))
    return f"{'.'.join(path) or 'settings'}: {message[0].lower() + message[1:]}{came}"


def _owners(cls: type[BaseModel], path: list[str]) -> Iterator[type[BaseModel]]:
    """The settings classes that stand at ``path`` below ``cls``; unions give several, or the one that a name chose."""
    if not path:
        yield cls
        return
    name, rest = path[0], path[1:]
    annotation = cls.model_fields[name].annotation if name in cls.model_fields else cls
    rest = rest[1:] if rest and rest[0].isdecimal() else rest  # the place in a list
    stack, found = [annotation], list[type[BaseModel]]()
    while stack:
        part = stack.pop()
        if isinstance(part, type) and issubclass(part, BaseModel):
            found.append(part)
        else:
            stack.extend(get_args(part))
    chosen = [part for part in found if rest and rest[0] in _names_of(part)]
    for part in chosen or found:
        yield from _owners(part, rest[1:] if chosen else rest)
    if not found:
        yield cls


def _names_of(part: type[BaseModel]) -> set[str]:
    """What chooses settings among several forms: the values that their ``name`` or ``kind`` may have."""
    fields = [part.model_fields[key] for key in _CHOOSING if key in part.model_fields]
    return {one for field in fields for one in get_args(field.annotation) if isinstance(one, str)}
