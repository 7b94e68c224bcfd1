"""How the labels of a column are written: spellings that mean one, gaps in disguise, codes, odd ones out.

Spellings are folded when they differ in case, in blanks, in a hyphen or underscore for a blank, in a full stop at the
end, or in how a number is written; never by likeness: what only looks like a slip of the pen is reported.
"""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Labels", "look_at_labels"]

GAPS = {"nan", "null", "nil", "n/a", "#n/a", "<na>", "?", "-", "--"}  #: "none", "na" and "unknown" may be labels
RARE, LIKE = 2, 0.85  #: rows of a label that may be a slip, and how like the frequent one it must be

_CODE = re.compile(r"[A-Za-z]{3,}(?:[_-][A-Za-z]{2,})*[_-]?\d+|\d+[_-][A-Za-z]{3,}(?:[_-][A-Za-z]{2,})*")
_SEVERAL = re.compile(r"\s*[;|]\s*|\s*,\s*")


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a column.

    Attributes:
        counts: Rows a label, under its commonest spelling, the commonest label first.
        spellings: Label -> other spellings, with their rows.
        gaps: Texts that stand for a missing label (``NaN``), with their rows.
        says: Code -> the word in it (``BILLING_01`` -> ``billing``), where each is a code with a word of its own.
        slips: (rare label, frequent label that it looks like).
        num_missing: Rows without a label, gaps included.
        num_several: Rows that seem to name several labels at once (``billing;delivery``).
    """

    counts: Mapping[str, int]
    spellings: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    gaps: Mapping[str, int] = field(default_factory=dict)
    says: Mapping[str, str] = field(default_factory=dict)
    slips: tuple[tuple[str, str], ...] = ()
    num_missing: int = 0
    num_several: int = 0

    @property
    def clean(self) -> bool:
        """Whether the labels can be taken as they stand in the file."""
        return not (self.spellings or self.gaps or self.says)

    @property
    def whole_numbers(self) -> bool:
        """Whether every label is a whole number, which tells a model nothing."""
        return all(re.fullmatch(r"[+-]?\d+", name) for name in self.counts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def look_at_labels(texts: Sequence[str], *, fold: bool = True) -> Labels:
    """The labels among the texts of a column.

    Args:
        texts: One a row; ``""`` where there is none.
        fold: Whether spellings that mean one label become one.

    >>> found = look_at_labels(["Billing", "billing ", "Billing", "NaN", "delivery"])
    >>> dict(found.counts), {name: dict(other) for name, other in found.spellings.items()}, found.num_missing
    ({'Billing': 3, 'delivery': 1}, {'Billing': {'billing': 1}}, 1)
    >>> dict(look_at_labels(["BILLING_01", "DELIVERY_02"]).says)
    {'BILLING_01': 'billing', 'DELIVERY_02': 'delivery'}
    """
    written = Counter(text.strip() for text in texts)
    empty = written.pop("", 0)
    gaps = {text: count for text, count in written.items() if text.casefold() in GAPS}
    if len(gaps) == len(written) or (set(gaps) & {"-", "--", "?"} and "+" in written):
        gaps = {}  # signs as labels
    groups: dict[str, list[tuple[str, int]]] = {}
    for text, count in written.most_common():
        if text not in gaps:
            groups.setdefault(_key(text) if fold else text, []).append((text, count))
    counts = {group[0][0]: sum(count for _, count in group) for group in groups.values()}
    counts = dict(sorted(counts.items(), key=lambda item: -item[1]))
    return Labels(
        counts=counts,
        spellings={group[0][0]: dict(group[1:]) for group in groups.values() if len(group) > 1},
        gaps=gaps,
        says=_says(counts),
        slips=_slips(counts),
        num_missing=empty + sum(gaps.values()),
        num_several=_num_several(counts),
    )


def _key(text: str) -> str:
    """What spellings of one label have in common; signs stay (``C#`` is not ``C``, ``-1`` is not ``1``).

    >>> _key("Not_Urgent.") == _key("not  urgent"), _key("1.0") == _key("1"), _key("-1") == _key("1")
    (True, True, False)
    """
    text = unicodedata.normalize("NFKC", text).strip()
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", text):
        return str(float(text))
    folded = " ".join(re.sub(r"(?<=\w)[-_](?=\w)", " ", text.casefold()).split())
    return folded.rstrip(".:") or folded


def _says(counts: Mapping[str, int]) -> dict[str, str]:
    """The words in codes, when every label is a code and no two have one word."""
    if not all(_CODE.fullmatch(name) for name in counts):
        return {}
    says = {name: " ".join(re.findall(r"[A-Za-z]+", name)).lower() for name in counts}
    return says if len(set(says.values())) == len(says) else {}


def _slips(counts: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """Rare labels that look like a slip for a frequent one."""
    frequent = [name for name, count in counts.items() if count > 5 * RARE]
    rare = [name for name, count in counts.items() if count <= RARE and len(name) > 3]
    pairs = ((name, difflib.get_close_matches(name, frequent, n=1, cutoff=LIKE)) for name in rare)
    return tuple((name, close[0]) for name, close in pairs if close)


def _num_several(counts: Mapping[str, int]) -> int:
    """Rows whose value is a list of things that stand elsewhere by themselves or in other lists."""
    split = {name: [part for part in _SEVERAL.split(name) if part] for name in counts}
    of_part = Counter(part for parts in split.values() for part in parts)
    lists = {name for name, parts in split.items() if len(parts) > 1 and all(of_part[part] > 1 for part in parts)}
    return sum(counts[name] for name in lists)
