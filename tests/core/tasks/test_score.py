"""Numbers on a scale: anchors, shares, expected values."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task, parse_task

STARS = Task.score({1: "awful", 2: "bad", 3: "fair", 4: "good", 5: "great"})


@given(st.floats(1, 5))
def test_the_shares_of_a_number_expect_it(number):
    shares = STARS.answer(Example({}, target=number))
    assert sum(shares) == pytest.approx(1)
    assert sum(share > 0 for share in shares) <= 2
    assert STARS.decode(shares, Example({})) == pytest.approx(number)


def test_a_number_may_be_written_in_several_ways():
    assert {STARS.read(value) for value in (4, 4.0, "4", " 4.0 ", "good")} == {4.0}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("fine", "data.bad_value"),
        (True, "data.bad_value"),
        ("nan", "data.bad_value"),
        (6, "data.off_scale"),
        (0.9, "data.off_scale"),
        ("", "data.no_target"),
        (None, "data.no_target"),
    ],
)
def test_what_is_no_number_of_the_scale_is_refused(value, code):
    with pytest.raises(DataError) as caught:
        STARS.read(value)
    assert caught.value.code == code


def test_scales_may_be_written_in_several_ways():
    assert Task.score({"from": 1, "to": 5, "anchors": 5}).names == Task.score([5, 4, 3, 2, 1]).names == STARS.names
    assert Task.score({"10": "low", 2.5: "lower"}).says == ("lower", "low")
    assert parse_task(STARS.model_dump(mode="json", by_alias=True)) == STARS


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        ([3], "at least two numbers"),
        ([1, 1.0], "stands twice"),
        (["low", "high"], "no number of a scale"),
        ({1: "same", 2: "same"}, "say 'same'"),
        ({"from": 5, "to": 1}, "does not rise"),
        ({"from": 1, "to": 5, "anchors": 1}, "no count from 2"),
    ],
)
def test_scales_that_cannot_be_are_refused(scale, said):
    with pytest.raises(ConfigError, match=said):
        Task.score(scale)


def test_right_means_the_same_nearest_anchor():
    assert STARS.right(3.6, 4.0)
    assert not STARS.right(3.4, 4.0)
    assert STARS.held(None) == ()
    assert STARS.confidence([0.0, 0.0, 0.3, 0.7, 0.0]) == 0.7


def test_the_usual_answer_is_the_median():
    rows = [Example({}, target=number) for number in (1.0, 2.0, 5.0)]
    assert STARS.decode(STARS.usual(rows), rows[0]) == 2.0
