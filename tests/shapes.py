"""The type checker that executes shape annotations in tests: beartype, with ``Self`` read as any object.

The import hook decorates methods one at a time, outside their class, where beartype cannot know what ``Self`` is.
"""

from typing import Self

from beartype import BeartypeConf, FrozenDict, beartype


class _Anything(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return True


class Anything(metaclass=_Anything):
    """Every object is one: a class, because beartype refuses ``Any`` inside a union."""


checked = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({Self: Anything})))
