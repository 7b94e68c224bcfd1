"""The majority baseline: what it answers where labels, places or texts are uneven."""

import pytest

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison import Majority
from tests.lab.comparison.baselines.reviews import TASK


def test_majority_says_what_was_most_frequent():
    rows = Dataset(tuple(Example({"text": "x"}, target=label) for label in ["bad", "bad", "bad", "good"]))
    (found,) = Majority().fit(rows, None, TASK).predict([Example({"text": "y"}, id="1")])
    assert (found.text, dict(found.probabilities), found.id) == ("bad", {"good": 0.25, "bad": 0.75}, "1")


def test_majority_of_a_choice_is_the_most_frequent_place():
    task = Task.choose()
    rows = Dataset(tuple(Example({}, target=t, candidates=("a", "b", "c")) for t in ["c", "c", "a"]))
    fitted = Majority().fit(rows, None, task)
    three, two = Example({}, candidates=("x", "y", "z")), Example({}, candidates=("x", "y"))
    assert [one.text for one in fitted.predict([three, two])] == ["z", "x"]


def test_majority_of_free_text_is_the_most_frequent_answer():
    rows = Dataset(tuple(Example({"text": "x"}, target=t) for t in ["yes", ["no", "nope"], "no"]))
    (found,) = Majority().fit(rows, None, Task.generate()).predict([Example({"text": "y"})])
    assert (found.text, found.probabilities, found.confidence) == ("no", None, pytest.approx(2 / 3))
