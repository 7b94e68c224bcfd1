"""A curve over real contenders: nested draws, kept points, honest gaps, and the document there and back."""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from softprompt.core.errors import DataError, ExtraError
from softprompt.core.metrics import make_metric
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison import Majority
from softprompt.lab.learning_curve import CurveSettings, LearningCurve, Point, Rows, learning_curve
from softprompt.lab.learning_curve.document import Curve
from softprompt.lab.learning_curve.forecasts import forecast
from softprompt.lab.learning_curve.subsets import nested, sizes
from softprompt.model.prediction import Prediction

LABELS = ("late", "broken", "price")
TASK = Task.classify(LABELS, metrics=["accuracy"])


def rows(count: int, *, seed: int = 0) -> Dataset:
    """Messages of one of 40 words a label: a word has to be seen to be known."""
    rng = np.random.default_rng(seed)
    words = [f"{LABELS[n % 3]}-{rng.integers(40)}" for n in range(count)]
    return Dataset(
        tuple(
            Example({"text": f"message {n} of {seed}: {word}"}, target=word.split("-")[0], id=f"{seed}-{n}")
            for n, word in enumerate(words)
        ),
        classes=LABELS,
    )


@dataclass(frozen=True)
class Lookup:
    """Knows the words that it has seen, and guesses else."""

    known: dict = field(default_factory=dict)
    name: str = "lookup"
    num_trained: int = 0
    num_bytes: int = 0
    note: str = ""

    def supports(self, task):
        return task.kind == "classify"

    def fit(self, train, validation, task, *, seed=0):
        return replace(self, known={row.fields["text"].split()[-1]: row.target for row in train})

    def predict(self, examples):
        said = [self.known.get(row.fields["text"].split()[-1], LABELS[0]) for row in examples]
        return [
            Prediction(row.id, label, {one: float(one == label) for one in LABELS}, 1.0)
            for row, label in zip(examples, said, strict=True)
        ]


@dataclass
class Memory:
    """Points in a dictionary."""

    points: dict
    hits: int = 0

    def get(self, key):
        self.hits += key in self.points
        return self.points.get(key)

    def put(self, key, point):
        self.points[key] = point


@hypothesis.given(st.integers(32, 5000), st.integers(4, 16))
def test_sizes_rise_by_a_quarter_at_least_and_end_with_all(count, first):
    steps = sizes(count, first=first)
    assert steps[0] == first
    assert steps[-1] == count
    assert all(1.25 * a < b <= 2.5 * a for a, b in pairwise(steps))


@hypothesis.given(st.lists(st.sampled_from("abc"), min_size=8, max_size=60), st.integers(0, 5))
def test_every_beginning_of_a_draw_has_the_labels_shares(labels, draw):
    data = Dataset(
        tuple(Example({"text": str(n)}, target=label) for n, label in enumerate(labels)), classes=tuple("abc")
    )
    order = nested(data, draw=draw)
    assert Counter(row.content for row in order) == Counter(row.content for row in data)
    there = set(labels)
    assert {row.target for row in order[: len(there)]} == there
    for count in (len(data) // 2, len(data)):
        counts = Counter(row.target for row in order[:count])
        for label in there:
            assert abs(counts[label] - count * labels.count(label) / len(labels)) <= 2.01


def test_draws_differ_and_a_draw_does_not():
    data = rows(60)
    assert nested(data, draw=0).hash == nested(data, draw=0).hash
    assert nested(data, draw=0)[:16].hash != nested(data, draw=1)[:16].hash


def test_answers_that_are_no_labels_are_drawn_too():
    data = Dataset(tuple(Example({"text": str(n)}, target=f"answer {n}") for n in range(40)))
    assert len({row.target for row in nested(data, draw=0)}) == 40


def test_who_learns_nothing_gets_no_forecast():
    points = tuple(Point(n, draw, 0.7, 1.0) for n in (16, 32, 64) for draw in (0, 1))
    found = forecast(Curve("text prompt", points), make_metric("accuracy"), to=(114, 128))
    assert found.forecasts == ()
    assert found.note.startswith("the same score after any number of labels")
    moved = forecast(Curve("a", (*points, Point(128, 0, 0.71, 1.0))), make_metric("accuracy"), to=(178,))
    assert moved.forecasts


def measured(kept=None, **settings):
    return learning_curve(
        {"majority": Majority(), "lookup": Lookup()},
        TASK,
        Rows(rows(120), rows(90, seed=1)),
        settings=CurveSettings(**settings),
        kept=kept,
    )


def test_a_curve_rises_where_there_is_something_to_learn_and_says_what_more_would_bring():
    memory = Memory({})
    found = measured(memory, draws=2)
    assert found.sizes == (16, 32, 64, 120)
    majority, lookup = found.curves
    scores = [one.estimate for one in lookup.by_size.values()]
    assert scores[-1] > scores[0]
    assert scores[-1] > majority.by_size[120].estimate + 0.2
    assert [one.rows for one in lookup.forecasts] == [170, 240]
    assert lookup.forecasts[0].gain.estimate < lookup.forecasts[1].gain.estimate
    assert lookup.forecasts[0].sentence.startswith("lookup: 50 more labels would bring about ")
    assert LearningCurve.from_dict(found.to_dict()) == found
    again = measured(memory, draws=2)
    assert memory.hits == len(memory.points) == 16
    assert again == found


def test_another_draw_costs_its_own_points_only():
    memory = Memory({})
    measured(memory, draws=1)
    before = set(memory.points)
    measured(memory, draws=2)
    assert memory.hits == len(before) == 8
    assert len(memory.points) == 16


def test_one_draw_has_no_interval_and_says_so():
    found = measured(draws=1)
    assert "one draw" in found.notes[0]
    assert found.curves[1].by_size[120].low == -np.inf
    assert found.curves[1].forecasts[0].sentence.endswith("cannot be told from one draw")


@dataclass(frozen=True)
class Picky:
    """Learns from many rows only, or not at all."""

    error: Exception
    name: str = "picky"

    def supports(self, task):
        return True

    def fit(self, train, validation, task, *, seed=0):
        if len(train) < 60:
            raise self.error
        return Majority().fit(train, validation, task, seed=seed)


def test_what_too_few_rows_do_not_teach_is_a_gap_and_no_end():
    found = learning_curve(
        {"picky": Picky(DataError("data.one_label", "nothing to tell apart"))},
        TASK,
        Rows(rows(120), rows(30, seed=1)),
        settings=CurveSettings(draws=2),
    )
    (curve,) = found.curves
    assert list(curve.by_size) == [64, 120]
    assert "nothing to tell apart" in curve.points[0].why
    assert curve.note.startswith("too few points")
    assert found.sentences == (f"picky: {curve.note}",)


def test_what_no_subset_could_mend_ends_it():
    with pytest.raises(ExtraError):
        learning_curve({"picky": Picky(ExtraError("extra.missing", "no"))}, TASK, Rows(rows(120), rows(30, seed=1)))


def test_who_cannot_do_the_task_is_named():
    task = Task.generate()
    data = Dataset(tuple(Example({"text": str(n)}, target=f"answer {n % 4}") for n in range(40)))
    found = learning_curve(
        {"lookup": Lookup(), "majority": Majority()}, task, Rows(data, data), settings=CurveSettings(draws=1)
    )
    assert list(found.left_out) == ["lookup"]
    assert [curve.name for curve in found.curves] == ["majority"]


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="32 labelled rows at least, there are 30") as caught:
        learning_curve({"majority": Majority()}, TASK, Rows(rows(30), rows(30, seed=1)))
    assert caught.value.code == "data.too_few_rows"
