"""Rows whose label is probably wrong, by probabilities from prompts that have not seen them.

The confident joint counts, for every pair of labels, the rows with the one given of which a model is confident that
they belong to the other. Confident is what reaches the threshold of a label: the mean probability that rows with that
label give it, so a label that the model is shy of counts as soon as one it likes. Pairs of different labels are the
suspects.

Source: Northcutt, Jiang, Chuang, Confident Learning, JAIR 70 (2021), 1373-1411: equations 1 and 2 (thresholds and
counts), 3 (calibration to the labels' own numbers), section 3.2 (candidates by the joint, here ranked by the margin).

Knows rows and probabilities; no prompts, no models and no files.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from softprompt.core.errors import DataError
from softprompt.core.records import Example

__all__ = ["ConfidentJoint", "Suspect", "confident_joint", "suspects", "table"]

_COLUMNS = ("id", "source", "given", "suggested", "p_given", "p_suggested")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row whose label is probably wrong.

    Attributes:
        row: As it was given.
        given: Its label.
        suggested: The label that the prompts are confident of.
        p_given: Probability of the given label, by a prompt that has not seen the row.
        p_suggested: Of the suggested one.
    """

    row: Example
    given: str
    suggested: str
    p_given: float
    p_suggested: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the text."""
        place = {"id": self.row.id, "source": self.row.source}
        return place | {name: getattr(self, name) for name in ("given", "suggested", "p_given", "p_suggested")}


@dataclass(frozen=True, eq=False)
class ConfidentJoint:
    """Counts of given and confident labels.

    Attributes:
        thresholds: By label, the mean probability of it among the rows that have it; infinite for a label without rows.
        counts: [C, C], given (row) by confident (column) label.
        given: By row, the label that it has.
        confident: By row, the label that it is confidently of; -1 where no threshold is reached.
    """

    thresholds: Float[np.ndarray, " C"]
    counts: Int[np.ndarray, "C C"]
    given: Int[np.ndarray, " n"]
    confident: Int[np.ndarray, " n"]

    @property
    def num_errors(self) -> float:
        """Estimate of the wrong labels: what is off the diagonal, scaled to the number of rows with each given label.

        An estimate by one model: what it cannot tell apart it takes for errors too.
        """
        rows = np.bincount(self.given, minlength=len(self.counts))
        sums = self.counts.sum(axis=1)
        return float((rows * (sums - np.diag(self.counts)) / np.maximum(sums, 1)).sum())


def confident_joint(probabilities: Float[np.ndarray, "n C"], given: Int[np.ndarray, " m"]) -> ConfidentJoint:
    """Count given against confident labels.

    Args:
        probabilities: Of every label by row, from a model that has not learnt the row.
        given: Index of the label that the row has.

    Raises:
        DataError: ``data.lengths_differ``, ``data.nothing_to_score``; ``data.not_probabilities`` for nan.

    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    >>> found = confident_joint(p, np.array([0, 0, 1, 1, 1]))
    >>> found.thresholds.round(3).tolist(), found.counts.tolist(), found.confident.tolist()
    ([0.85, 0.583], [[1, 0], [1, 2]], [0, -1, 1, 1, 0])
    """
    if len(probabilities) != len(given):
        raise DataError("data.lengths_differ", f"{len(probabilities)} rows of probabilities for {len(given)} labels")
    if not len(given):
        raise DataError("data.nothing_to_score", "suspect labels were asked of no rows", cure="give labelled rows")
    if not np.isfinite(probabilities).all():
        message = "some probabilities are not finite"
        raise DataError("data.not_probabilities", message, cure="train again at a lower rate")
    num_labels = probabilities.shape[1]
    own = probabilities[np.arange(len(given)), given]
    numbers = np.bincount(given, minlength=num_labels)
    sums = np.bincount(given, weights=own, minlength=num_labels)
    thresholds = np.where(numbers > 0, sums / np.maximum(numbers, 1), np.inf)
    reached = np.where(probabilities >= thresholds - 1e-12, probabilities, -np.inf)
    confident = np.where(np.isfinite(reached).any(axis=1), reached.argmax(axis=1), -1)
    counts = np.zeros((num_labels, num_labels), dtype=np.int64)
    np.add.at(counts, (given[confident >= 0], confident[confident >= 0]), 1)
    return ConfidentJoint(thresholds, counts, given, confident)


def suspects(
    probabilities: Float[np.ndarray, "n C"], rows: Sequence[Example], *, labels: Sequence[str]
) -> tuple[Suspect, ...]:
    """Rows that are confidently of another label than their own, the most suspect first.

    Ranked by the margin: probability of the suggested label less that of the given one.

    Args:
        probabilities: Columns in the order of ``labels``.
        rows: With their labels.
        labels: Of the task.

    Raises:
        DataError: as :func:`confident_joint`.

    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    >>> rows = [Example({"text": str(i)}, label, id=f"row {i}") for i, label in enumerate("aabbb")]
    >>> [(one.row.id, one.given, one.suggested) for one in suspects(p, rows, labels=["a", "b"])]
    [('row 4', 'b', 'a')]
    """
    index = {label: k for k, label in enumerate(labels)}
    joint = confident_joint(probabilities, np.array([index[str(row.target)] for row in rows], dtype=np.int64))
    found = []
    for i in np.flatnonzero((joint.confident >= 0) & (joint.confident != joint.given)).tolist():
        given, other = int(joint.given[i]), int(joint.confident[i])
        p_given, p_other = float(probabilities[i, given]), float(probabilities[i, other])
        found.append(Suspect(rows[i], labels[given], labels[other], p_given, p_other))
    return tuple(sorted(found, key=lambda one: one.p_given - one.p_suggested))


def table(found: Sequence[Suspect], *, fields: Sequence[str]) -> str:
    """The suspects as CSV, with the texts of the fields.

    >>> late = Suspect(Example({"text": "late"}, "b", id="7", source="f.csv:2"), "b", "a", 0.1, 0.9)
    >>> print(table([late], fields=["text"]), end="")
    id,source,given,suggested,p_given,p_suggested,text
    7,f.csv:2,b,a,0.1000,0.9000,late
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([*_COLUMNS, *fields])
    for one in found:
        probabilities = (f"{one.p_given:.4f}", f"{one.p_suggested:.4f}")
        texts = [one.row.fields.get(name, "") for name in fields]
        lines.writerow([one.row.id, one.row.source, one.given, one.suggested, *probabilities, *texts])
    return text.getvalue()
