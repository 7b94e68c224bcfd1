"""What stands on a card, as plain text: who draws it decides how it looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["MIDDLE", "WIDE", "Card", "Column", "Notice", "Table"]

#: Characters of a window below which a table leaves out what matters least, and next to least.
WIDE, MIDDLE = 90, 72


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its head; empty where it needs none.
        number: Whether points should stand below points.
        bounds: Whether it is the interval of the number before it.
        from_width: Characters that a window must have to show it.
    """

    name: str
    number: bool = False
    bounds: bool = False
    from_width: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text.

    Attributes:
        columns: From left to right.
        rows: As many cells as there are columns, each.
        strong: Number of the row that the table is about.
        title: Above the table.
        note: Below it.

    >>> table = Table((Column("class"), Column("rows", number=True)), (("billing", "12"),))
    >>> table.fitting(80).columns == table.columns
    True
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: int | None = None
    title: str = ""
    note: str = ""

    def fitting(self, width: int) -> "Table":
        """The same without the columns that a window of so many characters has no room for."""
        shown = [index for index, column in enumerate(self.columns) if width >= column.from_width]
        rows = tuple(tuple(row[index] for index in shown) for row in self.rows)
        return Table(tuple(self.columns[index] for index in shown), rows, self.strong, self.title, self.note)


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence that should be seen: ``stop`` for what ended early, ``look`` for what to look at, ``note`` else."""

    text: str
    kind: Literal["stop", "look", "note"] = "note"


@dataclass(frozen=True, slots=True)
class Card:
    """A card.

    Attributes:
        kind: Of what: task, data, prompt, evaluation, run, plan.
        title: Its name.
        headline: What is worth most, in a few words; empty where nothing is.
        facts: Name and value, in order.
        tables: In order.
        sentences: What the tables mean.
        notices: What should be seen first.
        picture: An ``<svg>`` element of our own making; it is not escaped.
        commands: What to do next, as one types it.
    """

    kind: str
    title: str
    headline: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    tables: Sequence[Table] = ()
    sentences: Sequence[str] = ()
    notices: Sequence[Notice] = ()
    picture: str = ""
    commands: Sequence[str] = ()
