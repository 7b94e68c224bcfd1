"""What a task leaves open and the rows of train settle: the labels of sets, the numbers of a scale.

Found only where there is nothing to guess: names that come again, whole numbers that lie close together. Anything else
is refused, with what was seen and the setting that says it. (For one label a row see ``sources.infer_labels``.)
"""

from collections import Counter

from softprompt.core.errors import DataError
from softprompt.core.tasks.multilabel import names_in
from softprompt.data.sources import MAX_LABELS, Source, answers_in
from softprompt.data.values import is_missing, plain

__all__ = ["MOST_ANCHORS", "infer_label_sets", "infer_scale"]

#: Whole numbers from the smallest to the largest that become a scale of their own.
MOST_ANCHORS = 11


def infer_label_sets(source: Source, column: str, *, separator: str | None = None) -> tuple[str, ...]:
    """The label names in the cells of a column, sorted.

    Args:
        source: The rows.
        column: Of the labels.
        separator: Between the names in a cell of text.

    Raises:
        DataError: ``data.one_label``; ``data.too_many_labels``: more than 200 names, or most of them in one row only;
            what reading the source raises, and ``data.bad_value``.

    >>> infer_label_sets([{"tags": "late; billing"}, {"tags": ""}, {"tags": "late"}], "tags", separator=";")
    ('billing', 'late')
    """
    values, name = answers_in(source, column)
    rows: Counter[str] = Counter()
    for value in values:
        rows.update(names_in(None if is_missing(plain(value)) else plain(value), separator=separator))
    if len(rows) > MAX_LABELS:
        raise DataError(
            "data.too_many_labels",
            f"the column {column!r} holds {len(rows)} different names, labels are at most {MAX_LABELS}",
            cure="say what parts them with task.separator, or list the labels of the task",
        ).at(name)
    if len(rows) < 2:
        came = f"only the label {min(rows)!r}" if rows else "no label"
        raise DataError(
            "data.one_label",
            f"the column {column!r} holds {came}, at least two are needed",
            cure="say what parts them with task.separator, or list the labels of the task",
        ).at(name)
    return tuple(sorted(rows))


def infer_scale(source: Source, column: str) -> tuple[int, ...]:
    """The whole numbers from the smallest to the largest of a column.

    Raises:
        DataError: ``data.bad_value``: values that are no whole numbers, or too far apart: the scale has to be written;
            what reading the source raises.

    >>> infer_scale([{"stars": "2"}, {"stars": 5.0}, {"stars": ""}], "stars")
    (2, 3, 4, 5)
    """
    values, name = answers_in(source, column)
    numbers: list[float] = []
    for value in values:
        text = "" if is_missing(plain(value)) else str(plain(value)).strip()
        if text:
            try:
                numbers.append(float(text))
            except ValueError:
                message = f"the column {column!r} holds {text[:40]!r}, which is no number"
                cure = "order the words, e.g. task.scale: {1: low, 2: middle, 3: high}"
                raise DataError("data.bad_value", message, cure=cure).at(name) from None
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    if low == high or high - low >= MOST_ANCHORS or any(number != round(number) for number in numbers):
        came = f"numbers from {low:g} to {high:g}" if numbers else "no number"
        raise DataError(
            "data.bad_value",
            f"the column {column!r} holds {came}, and only whole numbers less than {MOST_ANCHORS} apart are a scale",
            cure=f"write it: task.scale: {{from: {low:g}, to: {high:g}, anchors: 5}}",
        ).at(name)
    return tuple(range(round(low), round(high) + 1))
