"""The page before training: what the data is like, and what of it would go wrong, in words.

Counting tokens is the caller's (``count_tokens``), as is the room that the template leaves for the row's text.
Rendering is the caller's too: this yields numbers, sentences and plain lines.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from softprompt.core.cards import draw
from softprompt.core.cards.views import data_card
from softprompt.core.cuts import Cuts, Fit
from softprompt.core.metrics import make_metric
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.core.words import counted
from softprompt.data.dataset import Dataset
from softprompt.data.duplicates import Twins, duplicates

__all__ = ["DataPage", "Lengths", "SplitPage"]

TINY_CLASS = 8  #: rows of a label in train below which it is called tiny
UNBALANCED = 10  #: the largest label has this many times the rows of the smallest
SMALL_JUDGE = 100  #: rows of a judging split below which its interval is said


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens a row: shortest, median, 95th percentile, longest.

    >>> Lengths.of([1, 2, 3, 40])
    Lengths(shortest=1, median=2, p95=40, longest=40)
    """

    shortest: int
    median: int
    p95: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> "Lengths":
        """Percentiles as lengths that occur (nearest rank)."""
        ordered = sorted(lengths)

        def rank(share: float) -> int:
            return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

        return cls(ordered[0], rank(0.5), rank(0.95), ordered[-1])


@dataclass(frozen=True, slots=True)
class SplitPage:
    """One split in numbers.

    Attributes:
        rows: Number of rows.
        labels: Rows a label; empty where answers are no labels.
        tokens: Lengths by field, and of all fields together as ``total``.
        num_cut: Rows of which something does not fit.
        num_empty: Rows without any text.
        num_skipped: Bad rows that were left out.
        num_twins: Rows that repeat an earlier text of the same split.
        hash: Content hash of the rows.
        num_units: Rows, those of one group counted as one: what an interval counts.
        lost: What does not fit, in a sentence; empty where every row fits.
        sets: (number of labels, rows that have so many), none too; empty where every row has one.
    """

    rows: int
    labels: dict[str, int]
    tokens: dict[str, Lengths]
    num_cut: int
    num_empty: int
    num_skipped: int
    num_twins: int
    hash: str
    num_units: int = 0
    lost: str = ""
    sets: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class DataPage:
    """What stands on the page.

    Attributes:
        splits: Numbers by split.
        max_tokens: Room for a row's text; None: no limit known.
        num_leaked: Rows of other splits whose text stands in train too, by split.
        num_conflicting: Texts that have different answers.
        warnings: What should be looked at before training, the gravest first.
        notes: What was found out while reading, in sentences.
    """

    splits: dict[str, SplitPage]
    max_tokens: int | None
    num_leaked: dict[str, int]
    num_conflicting: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        splits: Mapping[str, Dataset],
        task: Task,
        *,
        count_tokens: Callable[[str], int],
        max_tokens: int | None = None,
        fields: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        fit: Callable[[Example], Fit] | None = None,
    ) -> "DataPage":
        """Look at every row once.

        Args:
            splits: Data sets by name; the one named ``train`` is learnt from.
            task: For the kind of answers.
            count_tokens: Tokens of a text.
            max_tokens: Tokens of a row's fields that fit beside the template's own.
            fields: Those that the template reads; None: all.
            notes: What was found out while reading.
            fit: What of a row stands in none of its readings; None: what is longer than ``max_tokens`` loses its end.

        >>> data = Dataset((Example({"text": "a b c"}, "no"), Example({"text": ""}, "no")), classes=("yes", "no"))
        >>> page = DataPage.of({"train": data}, Task.classify(["yes", "no"]), count_tokens=lambda t: len(t.split()))
        >>> page.splits["train"].tokens["total"].longest, page.splits["train"].num_empty
        (3, 1)
        >>> page.warnings[0]
        "train: every row has the label 'no': there is nothing to learn"
        """
        counted = cache(count_tokens)
        twins = duplicates(splits)
        pages = {
            name: _split_page(name, data, twins, counted, max_tokens, fields, fit) for name, data in splits.items()
        }
        leaked = {name: _num_leaked(name, twins) for name in splits if name != "train" and "train" in splits}
        conflicting = sum(group.conflicting for group in twins)
        warnings = [
            *(line for name, page in pages.items() for line in _label_warnings(name, page)),
            *_leak_warnings(leaked, conflicting, free_text=not task.fixed_candidates),
            *_group_warnings(splits),
            *(line for name, page in pages.items() for line in _text_warnings(name, page)),
            *(line for name, page in pages.items() for line in _size_warnings(name, page, task)),
        ]
        return cls(pages, max_tokens, leaked, conflicting, tuple(warnings), tuple(notes))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"warnings": list(self.warnings), "notes": list(self.notes)}

    def _repr_html_(self) -> str:
        """The card that a notebook shows."""
        return draw(data_card(self.to_dict()))

    def lines(self) -> list[str]:
        """The page as plain text."""
        width = max(len(name) for name in self.splits)
        lines = [f"{name:<{width}}  {page.rows:>7,} rows" for name, page in self.splits.items()]
        labels = list(dict.fromkeys(label for page in self.splits.values() for label in page.labels))
        if labels:
            lines += ["", "rows a label", *self._label_lines(labels)]
        if any(page.sets for page in self.splits.values()):
            lines += ["", "labels a row", *self._set_lines()]
        lines += ["", "tokens a row (shortest, median, 95 %, longest)", *self._token_lines()]
        lines += ["", "look at this", *(f"  {warning}" for warning in self.warnings)] if self.warnings else []
        return lines

    def _label_lines(self, labels: Sequence[str]) -> list[str]:
        width = max(map(len, labels))
        lines = [f"  {'':<{width}}" + "".join(f"  {name:>17}" for name in self.splits)]
        for label in labels:
            cells = [(page.labels.get(label, 0), page.rows) for page in self.splits.values()]
            lines.append(f"  {label:<{width}}" + "".join(f"  {n:>8,} ({n / rows:>5.1%})" for n, rows in cells))
        return [line.rstrip() for line in lines]

    def _set_lines(self) -> list[str]:
        """How many labels rows have: the mean (the cardinality) and the rows by number."""
        width = max(len(name) for name in self.splits)
        lines = []
        for name, page in self.splits.items():
            mean = sum(number * rows for number, rows in page.sets) / max(1, page.rows)
            rows = ", ".join(f"{number or 'none'} in {count:,}" for number, count in page.sets)
            lines.append(f"  {name:<{width}}  {mean:.2f} in the mean: {rows}")
        return lines

    def _token_lines(self) -> list[str]:
        lines = []
        for name, page in self.splits.items():
            for field, lengths in page.tokens.items():
                values = (lengths.shortest, lengths.median, lengths.p95, lengths.longest)
                lines.append(f"  {name} {field}".ljust(28) + "".join(f"{value:>8,}" for value in values))
        return lines


def _split_page(
    name: str,
    data: Dataset,
    twins: Sequence[Twins],
    count: Callable[[str], int],
    max_tokens: int | None,
    fields: Sequence[str] | None,
    fit: Callable[[Example], Fit] | None,
) -> SplitPage:
    fields = data.fields() if fields is None else fields
    lengths = {field: [count(row.fields.get(field, "")) for row in data] for field in fields}
    totals = [sum(row) for row in zip(*lengths.values(), strict=True)] if fields else [0] * len(data)
    tokens = {field: Lengths.of(values) for field, values in lengths.items() if len(fields) > 1 and values}
    cuts = Cuts.of(_fit(row, total, max_tokens, fit) for row, total in zip(data, totals, strict=True))
    repeats = (sum(part == name for part, _ in group.places) - 1 for group in twins)
    return SplitPage(
        rows=len(data),
        labels=data.labels(),
        tokens=tokens | ({"total": Lengths.of(totals)} if totals else {}),
        num_cut=cuts.num_cut,
        num_empty=sum(not "".join(row.fields.get(field, "") for field in fields).strip() for row in data),
        num_skipped=len(data.skipped),
        num_twins=sum(repeat for repeat in repeats if repeat > 0),
        hash=data.hash,
        num_units=len({("row", str(n)) if row.group is None else ("group", row.group) for n, row in enumerate(data)}),
        lost=cuts.sentence,
        sets=_sets(data),
    )


def _fit(row: Example, tokens: int, room: int | None, fit: Callable[[Example], Fit] | None) -> Fit:
    """How a row fits; the room of another row may be less by its candidates, but not by half."""
    if room is None or 2 * tokens <= room:
        return Fit()
    if fit is not None:
        return fit(row)
    return Fit(tokens - room, ("end",)) if tokens > room else Fit()


def _sets(data: Dataset) -> tuple[tuple[int, int], ...]:
    """Rows by their number of labels, where rows have sets of them."""
    if not any(isinstance(row.target, (tuple, list)) for row in data) or not data.classes:
        return ()
    return tuple(sorted(Counter(len(data.labels_of(row)) for row in data).items()))


def _num_leaked(name: str, twins: Sequence[Twins]) -> int:
    return sum(sum(part == name for part, _ in group.places) for group in twins if "train" in group.parts)


def _label_warnings(name: str, page: SplitPage) -> list[str]:
    present = {label: count for label, count in page.labels.items() if count}
    if not page.labels:
        return []
    if len(present) < 2:
        came = f"every row has the label {next(iter(present))!r}" if present else "no row has a label"
        return [f"{name}: {came}: there is nothing to {'learn' if name == 'train' else 'tell apart'}"]
    lines = []
    absent = [label for label in page.labels if label not in present]
    if absent:
        lines.append(f"{name}: no row of {_some(absent)}")
    if name == "train":
        tiny = [f"{label} ({count})" for label, count in present.items() if count < TINY_CLASS]
        if tiny:
            lines.append(f"train: fewer than {TINY_CLASS} rows of {_some(tiny)}: expect little of them")
        most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
        if present[most] >= UNBALANCED * present[least]:
            times = present[most] / present[least]
            lines.append(f"train: {most!r} has {times:.0f} times the rows of {least!r}: watch macro_f1 beside accuracy")
    return lines


def _leak_warnings(leaked: Mapping[str, int], conflicting: int, *, free_text: bool) -> list[str]:
    lines = [
        f"{name}: the text of {_rows(count)} stands in train too: its score would measure memory; drop them from train"
        for name, count in leaked.items()
        if count
    ]
    if conflicting and not free_text:
        lines.append(f"{conflicting} text{'s have' if conflicting > 1 else ' has'} different answers in different rows")
    return lines


def _group_warnings(splits: Mapping[str, Dataset]) -> list[str]:
    """Groups that files bring on two sides; a split that is made here divides none."""
    known = {row.group for row in splits.get("train", ()) if row.group is not None}
    lines = []
    for name, data in splits.items():
        shared = [row.group for row in data if row.group in known] if name != "train" else []
        if shared:
            count = counted(len(set(shared)), "group")
            lines.append(f"{name}: {_rows(len(shared))} of {count} that train has too: a new one may do worse")
    return lines


def _text_warnings(name: str, page: SplitPage) -> list[str]:
    lines = []
    if page.num_skipped:
        lines.append(f"{name}: {_rows(page.num_skipped)} could not be used and {_were(page.num_skipped)} left out")
    blank = [field for field, lengths in page.tokens.items() if lengths.longest == 0 and field != "total"]
    if blank:
        lines.append(f"{name}: {_some(blank)} empty in every row")
    if page.num_empty:
        lines.append(f"{name}: {_rows(page.num_empty)} without any text")
    if page.lost:
        lines.append(f"{name}: {page.lost}")
    if page.num_twins:
        lines.append(f"{name}: {_rows(page.num_twins)} repeating an earlier text")
    return lines


def _size_warnings(name: str, page: SplitPage, task: Task) -> list[str]:
    """How near so few rows come to the truth, where the score is a share of one."""
    share = task.metrics and make_metric(task.metrics[0], labels=task.names).bounds == (0.0, 1.0)
    if share and name != "train" and 0 < page.num_units < SMALL_JUDGE:
        # points: 1.96 standard errors of a share of one half; rows of a group may be as good as one row
        alone, alike = (98 / count**0.5 for count in (page.rows, page.num_units))
        told, half = _rows(page.rows), f"{alone:.0f}"
        if page.num_units < page.rows:
            told, half = f"{told} in {counted(page.num_units, 'group')}", f"{half} to {alike:.0f}"
        return [f"{name}: {told} judge within ± {half} points at worst"]
    return []


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
