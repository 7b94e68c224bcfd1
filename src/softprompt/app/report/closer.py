"""A closer look at lines: confusions, calibration, slices, rows that flip between two of them, the surest mistakes.

All of it from what evaluations keep of their rows; texts stand in it only where they are given. Of several seeds the
first is looked at. Gives plain data.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.core.stats import Interval, mcnemar_exact, share_of
from softprompt.lab.evaluation import Evaluation, Item, as_text, groups
from softprompt.lab.slices import MIN_ROWS, Slices, confusions, cut_slices, slice_rows

__all__ = ["by_label", "calibration", "confusion", "flips", "slices", "surest_mistakes"]

Texts = Mapping[str, str]

#: Labels beyond which a matrix is no picture any more, and rows of a list of examples.
MOST_LABELS, SHOWN = 16, 8

#: Different numbers of a column that are slices of their own.
MOST_NUMBERS = 12

#: Bins of confidence.
BINS = 10


def confusion(evaluation: Evaluation) -> dict[str, Any] | None:
    """The table of what was taken for what; None where answers are no single labels, or too many.

    A last column counts rows that were not answered.
    """
    items, labels = evaluation.items, list(evaluation.labels)
    plain = all(isinstance(item.reference, str) and item.reference in labels for item in items)
    if not labels or len(labels) > MOST_LABELS or not plain:
        return None
    counts = Counter((item.reference, item.prediction) for item in items)
    withheld = any(item.prediction is None for item in items)
    columns = [*labels, *([None] if withheld else [])]
    return {
        "labels": labels,
        "columns": [label if label is not None else "withheld" for label in columns],
        "counts": [[counts[label, column] for column in columns] for label in labels],
        "sentences": [one.sentence for one in confusions(evaluation)],
    }


def calibration(evaluation: Evaluation) -> dict[str, Any] | None:
    """How often answers are right, by how sure they were; None without probabilities."""
    given = [item for item in evaluation.items if item.probability is not None and item.prediction is not None]
    if not given:
        return None
    piles: dict[int, list[Item]] = {}
    for item in given:
        assert item.probability is not None
        piles.setdefault(min(BINS - 1, int(item.probability * BINS)), []).append(item)
    bins = []
    for place, pile in sorted(piles.items()):
        right = _right(pile)
        sure = sum(item.probability or 0.0 for item in pile) / len(pile)
        bins.append({"from": place / BINS, "confidence": sure, "right": right.as_dict(), "rows": len(pile)})
    scores = {name: one.as_dict() for name, one in evaluation.calibration.items()}
    return {"bins": bins, "scores": scores, "sentence": _calibrated(given)}


def _calibrated(items: Sequence[Item]) -> str:
    sure = sum(item.probability or 0.0 for item in items) / len(items)
    right = _right(items)
    if right.low <= sure <= right.high:
        return f"on the whole as sure as it is right: {100 * sure:.0f} % sure, {100 * right.estimate:.0f} % right"
    side = "surer than it is right" if sure > right.high else "more often right than it is sure"
    return f"{side}: {100 * sure:.0f} % sure, {100 * right.estimate:.0f} % right"


def _right(items: Sequence[Item]) -> Interval:
    """Share of right answers; whole groups count where rows have them."""
    return share_of([item.correct for item in items], groups=groups(items))


def by_label(lines: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    """Share right of each label's rows, by line; empty where answers are no labels."""
    first = next(iter(lines.values()))
    found = []
    for label in first.labels:
        scores = {}
        for name, evaluation in lines.items():
            mine = [item for item in evaluation.items if item.reference == label]
            scores[name] = _right(mine).as_dict()
        if rows := sum(item.reference == label for item in first.items):
            found.append({"label": label, "rows": rows, "scores": scores})
    return found


def slices(
    lines: Mapping[str, Evaluation], texts: Texts, columns: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Slices of the rows against all others: by columns, by length where texts are known, and cut against whole.

    Args:
        lines: Judged on the same rows; sentences are about the first, scores of all.
        texts: By id of the row.
        columns: Column -> value by id of the row; numbers of many values are cut into thirds.
    """
    items = next(iter(lines.values())).items
    found = {column: _thirds([cells.get(item.id, "") for item in items]) for column, cells in columns.items()}
    if len(items) >= 3 * MIN_ROWS and all(item.id in texts for item in items):
        found["length"] = _thirds([str(len(texts[item.id])) for item in items], unit=" characters")
    by_line = {name: slice_rows(one, found) for name, one in lines.items()}
    told = [_beside({name: of[n] for name, of in by_line.items()}) for n in range(len(found))]
    cut = {name: one for name, evaluation in lines.items() if (one := cut_slices(evaluation)) is not None}
    return [*told, *([_beside(dict(list(cut.items())[:1]))] if next(iter(lines)) in cut else [])]


def _beside(found: Mapping[str, Slices]) -> dict[str, Any]:
    """The slices of the first line, with the scores of all lines."""
    first = next(iter(found.values()))
    plain = first.to_dict()
    for n, one in enumerate(plain["slices"]):
        one["scores"] = {name: line.slices[n].score.as_dict() for name, line in found.items()}
    return {**plain, "slices": sorted(plain["slices"], key=lambda one: _place_of(one["value"]))}


def _thirds(values: Sequence[str], *, unit: str = "") -> list[str]:
    """Values to slice by; numbers that take more than :data:`MOST_NUMBERS` values become thirds.

    >>> _thirds(["3", "1", ""])
    ['3', '1', '']
    >>> _thirds([str(n) for n in range(30)], unit=" m")[::14]
    ['up to 10 m', 'up to 20 m', 'above 20 m']
    """
    numbers = [_number(value) for value in values]
    known = sorted(one for one in numbers if one is not None)
    if len(set(known)) <= MOST_NUMBERS or any(
        one is None and value for one, value in zip(numbers, values, strict=True)
    ):
        return list(values)
    ends = known[len(known) // 3], known[2 * len(known) // 3]
    names = [f"up to {ends[0]:g}{unit}", f"up to {ends[1]:g}{unit}", f"above {ends[1]:g}{unit}"]
    return ["" if one is None else names[sum(one > end for end in ends)] for one in numbers]


def _place_of(value: str) -> tuple[bool, float]:
    """Thirds from below; everything else stays in its order, which sorting keeps."""
    words = value.split()
    number = _number(words[2]) if words[:2] == ["up", "to"] and len(words) > 2 else None
    return words[:1] == ["above"], 0.0 if number is None else number


def _number(value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def flips(first: Evaluation, second: Evaluation, *, names: tuple[str, str], texts: Texts) -> dict[str, Any]:
    """Rows that exactly one of two gets right, the surest wrong answers first.

    Args:
        first: The one.
        second: The other, judged on the same rows.
        names: Of both.
        texts: By id of the row; what is not there is not shown.
    """
    pairs = list(zip(first.items, second.items, strict=True))
    lost = [(a, b) for a, b in pairs if a.correct and not b.correct]
    won = [(a, b) for a, b in pairs if b.correct and not a.correct]
    both = sum(a.correct and b.correct for a, b in pairs)

    def shown(found: list[tuple[Item, Item]], wrong: int) -> list[dict[str, Any]]:
        ranked = sorted(found, key=lambda pair: (-(pair[wrong].probability or 0.0), pair[wrong].id))
        return [
            {**_named(a, texts), "answers": [_said(a), _said(b)], "sure": [a.probability, b.probability]}
            for a, b in ranked[:SHOWN]
        ]

    return {
        "names": list(names),
        "only_first": {"count": len(lost), "rows": shown(lost, 1)},
        "only_second": {"count": len(won), "rows": shown(won, 0)},
        "both_right": both,
        "both_wrong": len(pairs) - both - len(lost) - len(won),
        "p_value": mcnemar_exact(len(lost), len(won)),
        "grouped": any(a.group is not None for a, _ in pairs),
    }


def surest_mistakes(evaluation: Evaluation, texts: Texts) -> list[dict[str, Any]]:
    """Wrong answers, the surest first: there labels are wrong most often."""
    wrong = [item for item in evaluation.items if not item.correct and item.prediction is not None]
    ranked = sorted(wrong, key=lambda item: (-(item.probability or 0.0), item.id))
    return [{**_named(item, texts), "answer": _said(item), "sure": item.probability} for item in ranked[:SHOWN]]


def _named(item: Item, texts: Texts) -> dict[str, Any]:
    return {"id": item.id, "text": texts.get(item.id), "expected": as_text(item.reference)}


def _said(item: Item) -> str:
    return "(withheld)" if item.prediction is None else as_text(item.prediction)
