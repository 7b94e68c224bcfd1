"""The tables that the command line and the cards share: what stands beside what, with intervals.

All take plain data, as ``--json`` shows it, and give rows of text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.core.cards.card import MIDDLE, WIDE, Column, Table
from softprompt.core.words import duration, interval, size

__all__ = [
    "class_rows",
    "comparison_rows",
    "kind_of",
    "label_rows",
    "metric_rows",
    "score_rows",
    "suspect_rows",
    "token_rows",
]

Document = Mapping[str, Any]


def metric_rows(evaluation: Document) -> Table:
    """A line a metric of one evaluation.

    >>> half = {"estimate": 0.5, "low": 0.4, "high": 0.6}
    >>> metric_rows({"metrics": {"accuracy": half}, "calibration": {}}).rows
    (('accuracy', '0.500', '[0.400, 0.600]'),)
    """
    found = {**evaluation["metrics"], **evaluation["calibration"]}
    columns = (Column("metric"), Column("score", number=True), Column("", bounds=True))
    return Table(columns, tuple((name, *_score(one)) for name, one in found.items()))


def kind_of(classes: Sequence[Document]) -> str:
    """What the rows of a report are: ``class``, or ``field`` of an object; a report that does not say has classes.

    >>> kind_of([{"label": "count", "of": "field"}]), kind_of([{"label": "billing"}])
    ('field', 'class')
    """
    return str(classes[0].get("of", "class")) if classes else "class"


def class_rows(classes: Sequence[Document]) -> Table:
    """Recall, precision and F1 a class or field, with the rows behind them; precision goes where there is no room."""
    columns = (
        Column(kind_of(classes)),
        Column("rows", number=True),
        Column("recall", number=True),
        Column("", bounds=True),
        Column("precision", number=True, from_width=MIDDLE),
        Column("", bounds=True, from_width=MIDDLE),
        Column("F1", number=True),
    )
    rows = [
        (one["label"], f"{one['n']:,}", *_score(one["recall"]), *_score(one["precision"]), f"{one['f1']:.3f}")
        for one in classes
    ]
    return Table(columns, tuple(rows))


def comparison_rows(comparison: Document) -> Table:
    """The contenders by the score that decides, with what each took and weighs; the prompt itself stands out."""
    metric = comparison["metric"]
    columns = (
        Column(""),
        Column(metric, number=True),
        Column("", bounds=True),
        Column("learning", number=True, from_width=MIDDLE),
        Column("answering", number=True, from_width=WIDE),
        Column("size", number=True),
    )
    rows = [
        (
            one["name"],
            *_score(one["evaluation"]["metrics"][metric]),
            duration(one["fit_seconds"]),
            duration(one["predict_seconds"]),
            size(one["num_bytes"]) if one["num_bytes"] else "-",
        )
        for one in comparison["standings"]
    ]
    names = [one["name"] for one in comparison["standings"]]
    strong = names.index(comparison["reference"]) if comparison["reference"] in names else None
    return Table(columns, tuple(rows), strong)


def suspect_rows(suspects: Sequence[Document]) -> Table:
    """Rows whose label is probably wrong, with both labels and their probabilities."""
    columns = (Column("row"), Column("label"), Column("p", number=True), Column("rather"), Column("p", number=True))
    rows = [
        (
            one["source"] or one["id"],
            one["given"],
            f"{one['p_given']:.2f}",
            one["suggested"],
            f"{one['p_suggested']:.2f}",
        )
        for one in suspects
    ]
    return Table(columns, tuple(rows))


def score_rows(scores: Sequence[Document]) -> Table:
    """The scores that a saved prompt keeps."""
    columns = (Column("score"), Column("rows"), Column("", number=True), Column("", bounds=True))
    rows = [(one["metric"], f"{_count(one['num_items'])}{one['split']}", *_score(one)) for one in scores]
    return Table(columns, tuple(rows))


def label_rows(splits: Mapping[str, Document]) -> Table:
    """Rows a label and split, with their shares."""
    labels = list(dict.fromkeys(label for split in splits.values() for label in split["labels"]))
    columns = [Column("label")]
    for name in splits:
        columns += [Column(name, number=True), Column("", bounds=True)]
    rows = []
    for label in labels:
        counts = [(split["labels"].get(label, 0), split["rows"]) for split in splits.values()]
        rows.append((label, *(cell for n, total in counts for cell in (f"{n:,}", f"{n / max(1, total):.1%}"))))
    return Table(tuple(columns), tuple(rows), title="rows a label")


def token_rows(splits: Mapping[str, Document]) -> Table:
    """Lengths by split and field."""
    names = ("shortest", "median", "p95", "longest")
    columns = (Column(""), *(Column("95 %" if name == "p95" else name, number=True) for name in names))
    rows = [
        (f"{split} {field}", *(f"{lengths[name]:,}" for name in names))
        for split, found in splits.items()
        for field, lengths in found["tokens"].items()
    ]
    return Table(columns, tuple(rows), title="tokens a row")


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,} "


def _score(found: Document) -> tuple[str, str]:
    """Estimate and bounds as two cells, so that points stand below points."""
    estimate, _, bounds = interval(found).partition(" ")
    return estimate, bounds


def _two(probability: float) -> str:
    return f"{probability:.2f}"
