"""What a task leaves open and the rows of train settle: labels, the labels of sets, the numbers of a scale.

Found only where there is nothing to guess: names that come again, whole numbers that lie close together. Anything else
is refused, with what was seen and the setting that says it.
"""

from collections.abc import Collection

from softprompt.core.errors import DataError
from softprompt.core.tasks.multilabel import names_in
from softprompt.data.sources import Source, answers_in
from softprompt.data.values import Unreadable, is_missing, plain, to_text

__all__ = ["MAX_LABELS", "MOST_ANCHORS", "infer_label_sets", "infer_labels", "infer_scale"]

#: More distinct answers than this are free text, not labels.
MAX_LABELS = 200

#: Whole numbers from the smallest to the largest that become a scale of their own.
MOST_ANCHORS = 11


def infer_labels(source: Source, column: str) -> tuple[str, ...]:
    """The label names that a column holds, for a task that lists none; sorted, so that more rows change nothing.

    Raises:
        DataError: ``data.no_rows``; ``data.missing_column``; ``data.one_label``; ``data.too_many_labels``: more than
            200 distinct texts, or lists: this is an answer in free text; and what reading the source raises.

    >>> infer_labels([{"label": "no"}, {"label": "yes"}, {"label": None}, {"label": "no"}], "label")
    ('no', 'yes')
    """
    values, name = answers_in(source, column)
    names: set[str] = set()
    for value in values:
        try:
            names.add(to_text(value).strip())
        except Unreadable:
            continue  # loading names the row
    names.discard("")
    if len(names) > MAX_LABELS or any(isinstance(value, (list, tuple)) for value in values):
        raise _too_many(names, column, what="answers", instead="use a generate task for free text").at(name)
    if len(names) < 2:
        raise _too_few(names, column, instead="add rows of other labels").at(name)
    return tuple(sorted(names))


def infer_label_sets(source: Source, column: str, *, separator: str | None = None) -> tuple[str, ...]:
    """The label names in the cells of a column, sorted.

    Args:
        source: The rows.
        column: Of the labels.
        separator: Between the names in a cell of text.

    Raises:
        DataError: ``data.one_label``; ``data.too_many_labels``: more than 200 names; ``data.bad_value``; what reading
            the source raises.

    >>> infer_label_sets([{"tags": "late; billing"}, {"tags": ""}, {"tags": "late"}], "tags", separator=";")
    ('billing', 'late')
    """
    values, name = answers_in(source, column)
    names: set[str] = set()
    for value in values:
        names.update(names_in(None if is_missing(plain(value)) else plain(value), separator=separator))
    apart = "say what parts them with task.separator"
    if len(names) > MAX_LABELS:
        raise _too_many(names, column, what="names", instead=apart).at(name)
    if len(names) < 2:
        raise _too_few(names, column, instead=apart).at(name)
    return tuple(sorted(names))


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


def _too_many(names: Collection[str], column: str, *, what: str, instead: str) -> DataError:
    return DataError(
        "data.too_many_labels",
        f"the column {column!r} holds {len(names)} different {what}, labels are at most {MAX_LABELS}",
        cure=f"{instead}, or list the labels of the task",
    )


def _too_few(names: Collection[str], column: str, *, instead: str) -> DataError:
    came = f"only the label {min(names)!r}" if names else "no label"
    return DataError(
        "data.one_label",
        f"the column {column!r} holds {came}, at least two are needed",
        cure=f"{instead}, or list the labels of the task",
    )
