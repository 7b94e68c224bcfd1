"""A number on a scale (*score*): stars, a grade, a degree, or ordered words.

Some numbers of the scale, its *anchors*, have an answer of their own. A prediction is the expected value over the
answers' probabilities; a number between two anchors is learnt as both, the nearer one more.
"""

import math
import statistics
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.tasks.labels import Label, as_label
from softprompt.core.tasks.task import Task

__all__ = ["Score", "nearest_anchor"]

_RANGE = frozenset({"from", "to", "anchors"})


def nearest_anchor(value: float, anchors: Sequence[str]) -> str:
    """The anchor that a number lies nearest to; the lower one midway.

    >>> nearest_anchor(3.4, ["1", "3", "4"]), nearest_anchor(3.5, ["1", "3", "4"])
    ('3', '3')
    """
    return min(anchors, key=lambda name: (abs(float(name) - value), float(name)))


class Score(Task):
    """A number on a scale.

    Attributes:
        scale: Anchor -> what is said for it, in rising order. Given as numbers, as number -> text, or as
            ``{from: 0, to: 100, anchors: 5}`` for evenly spaced ones.

    >>> from softprompt.core.tasks import Task
    >>> task = Task.score({"from": 0, "to": 100, "anchors": 5})
    >>> task.names, task.answer(Example({}, target=30.0))
    (('0', '25', '50', '75', '100'), (0.0, 0.8, 0.2, 0.0, 0.0))
    """

    fixed_candidates: ClassVar[bool] = True
    one_right: ClassVar[bool] = False
    objective: ClassVar[str] = "score"

    kind: Literal["score"] = "score"
    target: str = Field("score", description="column of the number")
    scale: dict[str, Label] = Field(description="numbers, number -> text of the answer, or {from, to, anchors}")
    metrics: tuple[str, ...] = ("mae", "rmse", "spearman")

    @field_validator("scale", mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and {"from", "to"} <= set(value) <= _RANGE:
            value = _evenly(value["from"], value["to"], value.get("anchors", 5))
        if isinstance(value, Sequence) and not isinstance(value, str):
            if len({_number(one) for one in value}) < len(value):
                raise ValueError("a number of the scale stands twice")
            value = dict.fromkeys(value)
        if not isinstance(value, Mapping):
            return value
        rising = sorted(((_number(key), given) for key, given in value.items()), key=lambda pair: pair[0])
        named = [(f"{number:.12g}", given) for number, given in rising]
        return {name: as_label(name, given) for name, given in named}

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(self.scale) < 2:
            raise ValueError("a scale needs at least two numbers")
        says = [label.say.strip() for label in self.scale.values()]
        if twice := next((say for i, say in enumerate(says) if say in says[:i]), None):
            raise ValueError(f"two numbers of the scale say {twice!r}; every one needs a text of its own")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The anchors as text, rising."""
        return tuple(self.scale)

    @property
    def values(self) -> tuple[float, ...]:
        """The anchors, rising."""
        return tuple(map(float, self.scale))

    @property
    def says(self) -> tuple[str, ...]:
        """Answer texts in order."""
        return tuple(label.say for label in self.scale.values())

    def candidates(self, example: Example) -> tuple[str, ...]:
        return self.says

    def read(self, value: Any) -> float:
        """The number that a cell holds: a number, as text too, or the text of an anchor.

        Raises:
            DataError: ``data.no_target``, ``data.bad_value``, ``data.off_scale``.
        """
        text = "" if value is None else str(value).strip()
        if not text:
            raise DataError("data.no_target", f"the row has no {self.target!r}")
        said = next((name for name, one in self.scale.items() if text in {one.say, *one.spellings}), text)
        try:
            number = float(said)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or isinstance(value, bool):
            known = ", ".join(repr(say) for say in self.says)
            message = f"{self.target!r} holds {text[:40]!r}, which is neither a number nor one of {known}"
            raise DataError("data.bad_value", message)
        low, high = self.values[0], self.values[-1]
        if not low <= number <= high:
            raise DataError(
                "data.off_scale",
                f"{self.target!r} is {number:g}, the scale reaches from {low:g} to {high:g}",
                cure="correct the row, or write a wider scale under task.scale",
            )
        return number

    def answer(self, example: Example) -> tuple[float, ...]:
        """The share of each anchor: all of it for a number on an anchor, else of the two beside it."""
        number, values = self.reference(example), self.values
        above = min(bisect_right(values, number), len(values) - 1)
        step = (number - values[above - 1]) / (values[above] - values[above - 1])
        shares = [0.0] * len(values)
        shares[above - 1], shares[above] = 1 - step, step
        return tuple(shares)

    def reference(self, example: Example) -> float:
        if example.target is None:
            raise DataError("data.no_target", f"the row has no {self.target!r}").at(example.source or example.id)
        return self.read(example.target)

    def usual(self, examples: Sequence[Example]) -> tuple[float, ...]:
        """The shares of the median: the constant with the smallest absolute error."""
        middle = statistics.median(self.reference(example) for example in examples)
        return self.answer(Example({}, target=middle))

    def decode(self, scores: Sequence[float], example: Example) -> float:
        return math.fsum(p * value for p, value in zip(scores, self.values, strict=True))

    def confidence(self, probabilities: Sequence[float]) -> float:
        """Probability of the anchor that the expected value lies nearest to."""
        nearest = nearest_anchor(self.decode(probabilities, Example({})), self.names)
        return probabilities[self.names.index(nearest)]

    def right(self, answer: Any, reference: Any) -> bool:
        """Whether both lie nearest to the same anchor."""
        return self.held(answer) == self.held(reference)

    def held(self, answer: Any) -> tuple[str, ...]:
        return () if answer is None else (nearest_anchor(float(answer), self.names),)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"{value!r} is no number of a scale")
    return number


def _evenly(low: Any, high: Any, anchors: Any) -> list[float]:
    start, end = _number(low), _number(high)
    if not isinstance(anchors, int) or not 2 <= anchors <= 101:
        raise ValueError(f"anchors: {anchors!r} is no count from 2 to 101")
    if start >= end:
        raise ValueError(f"the scale from {start:g} to {end:g} does not rise")
    return [start + (end - start) * i / (anchors - 1) for i in range(anchors)]
