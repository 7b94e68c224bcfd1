"""What a shape is: how one kind of export is recognised, what it becomes, and the sentence that tells it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Shape", "Values", "alone"]

Values = Mapping[str, Any]


def alone(values: Sequence[Any]) -> Any:
    """A list of one as its element, an empty one as a gap, several as they are.

    >>> alone(["late"]), alone([]), alone(["late", "rude"])
    ('late', None, ['late', 'rude'])
    """
    return values[0] if len(values) == 1 else values or None


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of export.

    Attributes:
        name: In settings.
        title: In sentences, e.g. ``an OpenAI chat export``.
        says: What its parts become.
        fits: Whether one row looks like it.
        rows: The plain rows of one row; none where the export says to leave it out. Raises ``data.bad_export``.
        takes: Columns that it reads, which are no columns any more.
        makes: Columns that it makes.
    """

    name: str
    title: str
    says: str
    fits: Callable[[Values], bool]
    rows: Callable[[Values], Sequence[dict[str, Any]]]
    takes: tuple[str, ...]
    makes: tuple[str, ...]
