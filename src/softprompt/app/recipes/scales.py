"""Answers that are more than one label: sets of them, and numbers of a scale, as a file writes them.

Each is decided with a reason, like everything that :mod:`deciding` finds out.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from softprompt.core.errors import DataError
from softprompt.core.tasks.multilabel import SEPARATORS, names_in
from softprompt.data.inference import MOST_ANCHORS
from softprompt.data.profile.labels import Labels, look_at_labels

if TYPE_CHECKING:
    from softprompt.app.recipes.deciding import Deciding

__all__ = ["label_sets", "scale", "separator_of", "steps"]

FEWEST_STEPS = 3  #: whole numbers in a row that may be the steps of a scale; two are yes and no


def separator_of(texts: Sequence[str]) -> tuple[str | None, int]:
    """What parts the names in most cells, and in how many; None where every cell is a list or one name.

    >>> separator_of(["late; billing", "late", "billing;angry", "a, b"])
    (';', 2)
    """
    plain = [text for text in texts if not text.strip().startswith("[")]
    found = Counter({mark: sum(mark in text for text in plain) for mark in SEPARATORS})
    mark, count = max(found.items(), key=lambda pair: (pair[1], -SEPARATORS.index(pair[0])))
    return (mark, count) if count else (None, 0)


def label_sets(deciding: "Deciding", texts: Sequence[str]) -> tuple[dict[str, Any], Labels]:
    """Settings of a multilabel task, and how its labels are written.

    Raises:
        DataError: ``data.one_label``, ``data.too_many_labels``.
    """
    separator, count = separator_of(texts)
    if separator is not None:
        deciding.decide("separator", repr(separator), f"it stands in {count} cells", "task.separator in the settings")
        deciding.reasons["task.separator"] = f"between labels; it stands in {count} cells"
    rows = [names_in(text, separator=separator) for text in texts]
    none = sum(not row for row in rows)
    if none:
        deciding.decide("no label", f"{none} rows", "an empty cell is a row with none of the labels", "--target")
    labels = look_at_labels([name for row in rows for name in row], fold=deciding.wishes.fold)
    settings = {"separator": separator} if separator is not None else {}
    return {**settings, "labels": deciding.labels(labels, rows=len(rows))}, labels


def scale(deciding: "Deciding", texts: Sequence[str]) -> dict[str, Any]:
    """Settings of a score task: whole numbers that lie close together, else five numbers from end to end.

    Raises:
        DataError: ``data.no_answers``: a cell that is no number.
    """
    numbers: list[float] = []
    for text in filter(str.strip, texts):
        try:
            numbers.append(float(text))
        except ValueError:
            message = f"a score is a number, and the column holds {text[:40]!r}"
            cure = "say --task classify, or write task.scale: {1: low, 2: high} yourself"
            raise DataError("data.no_answers", message, cure=cure) from None
    if len(set(numbers)) < 2:
        raise DataError("data.one_label", "the column holds one number only", cure="name another --target")
    low, high = min(numbers), max(numbers)
    if high - low < MOST_ANCHORS and all(number == round(number) for number in numbers):
        found: Any = list(range(round(low), round(high) + 1))
        why = "the whole numbers from the smallest to the largest; words help: {1: awful, 2: bad, ...}"
    else:
        found = {"from": low, "to": high, "anchors": 5}
        why = "the smallest and the largest number here; write the ends of the real scale"
    deciding.decide("scale", f"{low:g} to {high:g}", why, "task.scale in the settings")
    deciding.reasons["task.scale"] = why
    return {"scale": found}


def steps(labels: Labels) -> tuple[int, int] | None:
    """The ends of whole numbers in a row, which may be a scale rather than names; None for other labels.

    >>> [steps(look_at_labels(texts)) for texts in (["1", "3", "2", "3"], ["0", "1"], ["7", "8", "900"])]
    [(1, 3), None, None]
    """
    if not labels.whole_numbers or len(labels.counts) < FEWEST_STEPS:
        return None
    numbers = sorted(map(int, labels.counts))
    return (numbers[0], numbers[-1]) if numbers[-1] - numbers[0] == len(numbers) - 1 < MOST_ANCHORS else None
