"""The type checker that executes shape annotations in tests: beartype, with two of its refusals answered.

The import hook decorates methods one at a time, outside their class, where beartype cannot know what ``Self`` is: any
object will do. And a protocol is checked by its members' names, whether or not its author made it
``runtime_checkable``.
"""

from collections.abc import Callable, Iterator
from typing import Any, Self, get_args, runtime_checkable

from beartype import BeartypeConf, FrozenDict, beartype


class _Anything(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return True


class Anything(metaclass=_Anything):
    """Every object is one: a class, because beartype refuses ``Any`` inside a union."""


_beartype = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({Self: Anything})))


def parts(hint: Any) -> Iterator[Any]:
    """An annotation and everything in its brackets."""
    yield hint
    for part in hint if isinstance(hint, list) else get_args(hint):
        yield from parts(part)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its annotations executed at every call."""
    for hint in function.__annotations__.values():
        for part in parts(hint):
            if isinstance(part, type) and getattr(part, "_is_protocol", False):
                runtime_checkable(part)
    return _beartype(function)
