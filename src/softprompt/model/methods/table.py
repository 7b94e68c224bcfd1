"""The table of methods: name -> class and settings. The one place that knows them all."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from softprompt.core.errors import ConfigError, nearest
from softprompt.model.methods.base import Method, MethodSettings
from softprompt.model.methods.plain import Plain, PlainSettings
from softprompt.model.methods.residual import Residual, ResidualSettings
from softprompt.model.methods.starts import Start

__all__ = ["METHODS", "AnyMethodSettings", "MethodEntry", "parse_method", "start_method"]


class MethodEntry(NamedTuple):
    """A method and its settings."""

    method: type[Method[Any]]
    settings: type[MethodSettings]


METHODS: Mapping[str, MethodEntry] = {
    "plain": MethodEntry(Plain, PlainSettings),
    "residual": MethodEntry(Residual, ResidualSettings),
}

#: For the field ``method`` of a run's settings.
AnyMethodSettings = Annotated[PlainSettings | ResidualSettings, Field(discriminator="name")]


def parse_method(data: str | Mapping[str, Any]) -> MethodSettings:
    """Settings from a name, or from a mapping with ``name``.

    Raises:
        ConfigError: ``config.unknown_name``, ``config.unknown_key``, ``config.invalid``.

    >>> parse_method("plain")
    PlainSettings(name='plain', max_rms=None)
    >>> parse_method({"name": "residul"})
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: unknown method 'residul'; did you mean 'residual'? ...
    """
    fields = {"name": data} if isinstance(data, str) else dict(data)
    name = str(fields.get("name", ""))
    if name not in METHODS:
        raise ConfigError("config.unknown_name", f"unknown method {name!r}; {nearest(name, METHODS)}")
    return METHODS[name].settings.parse(fields, where="method")


def start_method(config: MethodSettings, starts: Sequence[Start]) -> Method[Any]:
    """K prompts of the method that ``config`` belongs to."""
    return METHODS[config.name].method.start(config, starts)
