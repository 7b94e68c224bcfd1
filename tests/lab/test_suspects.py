"""Suspect labels: planted errors are found, clean rows are left alone, and the joint is that of the paper."""

import numpy as np
import pytest

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.lab.suspects import confident_joint, suspects, table

LABELS = ("a", "b", "c")


def out_of_fold(n: int, flipped: float, *, distance: float = 3.0, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Gaussian classes, a share of the labels flipped; probabilities of each fold by the means of the others."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 3, n)
    points = rng.standard_normal((n, 5))
    points[np.arange(n), true] += distance
    wrong = rng.permutation(n)[: int(flipped * n)]
    given = true.copy()
    given[wrong] = (true[wrong] + rng.integers(1, 3, len(wrong))) % 3
    p = np.zeros((n, 3))
    for fold in range(5):
        held = np.arange(n) % 5 == fold
        means = np.stack([points[~held & (given == c)].mean(axis=0) for c in range(3)])
        scores = points[held] @ means.T - 0.5 * (means**2).sum(axis=1)
        p[held] = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True), given, wrong


def rows(given: np.ndarray) -> list[Example]:
    return [Example({"text": f"text {i}"}, LABELS[c], id=str(i), source=f"f.csv:{i}") for i, c in enumerate(given)]


@pytest.mark.parametrize("seed", range(5))
def test_most_flipped_labels_are_found_and_few_others(seed: int) -> None:
    p, given, wrong = out_of_fold(300, 0.1, distance=4.0, seed=seed)
    found = {int(one.row.id) for one in suspects(p, rows(given), labels=LABELS)}
    hits = found & set(wrong.tolist())
    assert len(hits) >= 0.9 * len(wrong)
    assert len(hits) >= 0.9 * len(found)
    assert confident_joint(p, given).num_errors == pytest.approx(30, abs=4)  # so many were planted


def test_the_most_suspect_come_first() -> None:
    p, given, wrong = out_of_fold(300, 0.1)
    found = suspects(p, rows(given), labels=LABELS)
    margins = [one.p_suggested - one.p_given for one in found]
    assert margins == sorted(margins, reverse=True)
    assert sum(int(one.row.id) in wrong for one in found[:15]) >= 13


def test_clean_and_easy_labels_give_no_suspects() -> None:
    p, given, _ = out_of_fold(300, 0.0, distance=8.0)
    assert suspects(p, rows(given), labels=LABELS) == ()
    assert confident_joint(p, given).num_errors == 0


def test_a_shy_label_counts_by_its_own_threshold() -> None:
    """A label that never gets more than 0.4 has a lower threshold than one that gets 0.9."""
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.61, 0.39]])
    joint = confident_joint(p, np.array([0, 0, 1, 1, 0]))
    assert joint.thresholds.tolist() == pytest.approx([(0.9 + 0.9 + 0.61) / 3, 0.4])
    assert joint.confident.tolist() == [0, 0, 1, 1, -1]


def test_a_label_without_rows_suggests_nothing() -> None:
    p = np.array([[0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])
    found = suspects(p, rows(np.array([0, 1, 0])), labels=LABELS)
    assert all(one.suggested != "c" for one in found)


@pytest.mark.parametrize(
    ("p", "given", "code"),
    [
        (np.ones((2, 2)) / 2, [0], "data.lengths_differ"),
        (np.zeros((0, 2)), [], "data.nothing_to_score"),
        (np.full((1, 2), np.nan), [0], "data.not_probabilities"),
    ],
)
def test_what_cannot_be_judged_is_refused(p: np.ndarray, given: list[int], code: str) -> None:
    with pytest.raises(DataError) as caught:
        confident_joint(p, np.array(given, dtype=np.int64))
    assert caught.value.code == code


def test_the_table_quotes_what_a_text_may_hold() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    texts = ["x", "x", "x", "x", 'a "quoted", long\nline']
    data = [Example({"text": t}, label, id=str(i)) for i, (t, label) in enumerate(zip(texts, "aabbb", strict=True))]
    found = suspects(p, data, labels=("a", "b"))
    assert table(found, fields=["text"]).splitlines()[1:] == ['4,,b,a,0.0500,0.9500,"a ""quoted"", long', 'line"']


def test_cleanlab_agrees() -> None:
    filters = pytest.importorskip("cleanlab.filter", reason="cleanlab is not installed: an optional cross-check")
    p, given, _ = out_of_fold(300, 0.1)
    theirs = filters.find_label_issues(given, p, filter_by="confident_learning", return_indices_ranked_by=None)
    ours = {int(one.row.id) for one in suspects(p, rows(given), labels=LABELS)}
    assert ours == set(np.flatnonzero(theirs).tolist())
