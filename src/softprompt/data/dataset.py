"""A data set: an immutable sequence of examples with a content hash, and the rows that had to be left out.

Knows nothing of files, models or tokens.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.tasks.score import nearest_anchor

__all__ = ["BadRow", "Dataset"]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        source: Where it stands, as ``file:line``.
        code: The error code, e.g. ``data.unknown_label``.
        reason: What is wrong with it.
        row: What came: the cells by column, or the line as it stands.
    """

    source: str
    code: str
    reason: str
    row: Any = None

    def error(self) -> DataError:
        """The row's fault as an error."""
        return DataError(
            self.code, self.reason, cure="correct the row, or leave bad rows out: on_bad_row: skip, --on-bad-row skip"
        ).at(self.source)


@dataclass(frozen=True)
class Dataset(Sequence[Example]):
    """Examples in order.

    Attributes:
        rows: The examples.
        name: For messages: the file, or what the caller says.
        classes: Label names in the task's order; empty where answers are free text or stand in the row.
        skipped: Rows that were left out, with the reason.
        notes: What was found out while reading, in sentences.

    >>> rows = Example({"text": "hi"}, "yes"), Example({"text": "no way"}, "no")
    >>> data = Dataset(rows, classes=("yes", "no", "maybe"))
    >>> len(data), data[1].target, data.labels()
    (2, 'no', {'yes': 1, 'no': 1, 'maybe': 0})
    """

    rows: tuple[Example, ...]
    name: str = "data"
    classes: tuple[str, ...] = ()
    skipped: tuple[BadRow, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "Dataset": ...
    def __getitem__(self, index: int | slice) -> "Example | Dataset":
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        return self.rows[index]

    @cached_property
    def hash(self) -> str:
        """SHA-256 (64 hex digits) of the ordered rows: fields, answer, candidates, weight, group.

        Ids, places in files and names do not count: the same rows have the same hash, from CSV or JSON.
        """
        digest = hashlib.sha256()
        for row in self.rows:
            target = list(row.target) if isinstance(row.target, (list, tuple)) else row.target
            line = json.dumps([row.content, target, row.candidates, row.weight, row.group], ensure_ascii=True)
            digest.update(line.encode() + b"\n")
        return digest.hexdigest()

    def select(self, indices: Iterable[int], *, name: str | None = None) -> "Dataset":
        """The rows at ``indices``, in that order; what was skipped stays with the whole set.

        >>> data = Dataset(tuple(Example({"text": t}) for t in "abc"))
        >>> [row.fields["text"] for row in data.select([2, 0])]
        ['c', 'a']
        """
        return Dataset(tuple(self.rows[i] for i in indices), name or self.name, self.classes)

    def labels(self) -> dict[str, int]:
        """Rows a label, every class of the task included; empty where answers are no labels.

        A row with several labels counts for each of them.
        """
        if not self.classes:
            return {}
        counts = Counter(name for row in self.rows for name in self.labels_of(row))
        return {name: counts.get(name, 0) for name in self.classes}

    def labels_of(self, row: Example) -> tuple[str, ...]:
        """The classes that a row counts for: its label, each of several, or the number of a scale that is nearest.

        >>> Dataset((), classes=("1", "3", "5")).labels_of(Example({}, target=4.2))
        ('5',)
        """
        if row.target is None or not self.classes:
            return ()
        if isinstance(row.target, float):
            return (nearest_anchor(row.target, self.classes),)
        return tuple(row.target) if isinstance(row.target, (tuple, list)) else (str(row.target),)

    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in order of first appearance."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.fields))

    def reading(self, fields: Sequence[str]) -> "Dataset":
        """The same rows with these fields alone: what nobody reads makes no two rows different.

        >>> data = Dataset((Example({"text": "hi", "ticket": "17"}),))
        >>> data.reading(["text"]).fields()
        ('text',)
        """
        rows = (replace(row, fields={name: row.fields[name] for name in fields if name in row.fields}) for row in self)
        return replace(self, rows=tuple(rows))

    def require_two_labels(self) -> "Dataset":
        """The same data, when there is something to learn from it.

        Raises:
            DataError: ``data.one_label``: every row has the same label, or the same labels.
        """
        present = [name for name, count in self.labels().items() if count]
        alike = len({frozenset(self.labels_of(row)) for row in self}) < 2
        if self.classes and len(present) > 1 and alike:
            raise DataError(
                "data.one_label",
                f"every row has the labels {', '.join(present)}: nothing can be told apart",
                cure="add rows without some of them, or check the column of the labels",
            ).at(self.name)
        if self.classes and alike:
            came = f"every row has the label {present[0]!r}" if present else "no row has a label"
            raise DataError(
                "data.one_label",
                f"{came}, at least two of {', '.join(self.classes)} are needed",
                cure="add rows of other labels, or check the column of the label",
            ).at(self.name)
        return self

    def describe(self) -> str:
        """One line for people.

        >>> Dataset((Example({"text": "hi"}, "yes"),), name="rows.csv", classes=("yes", "no")).describe()
        'rows.csv: 1 row, fields text, labels yes 1, no 0'
        """
        parts = [f"{len(self)} row{'' if len(self) == 1 else 's'}", f"fields {', '.join(self.fields())}"]
        if self.classes:
            parts.append("labels " + ", ".join(f"{name} {count}" for name, count in self.labels().items()))
        if self.skipped:
            parts.append(f"{len(self.skipped)} skipped")
        return f"{self.name}: {', '.join(parts)}"
