"""Choices: every walk along allowed tokens that respects the room ends in one of the answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import ConfigError
from softprompt.model.decoding.constraints import Choices

answers = st.lists(st.lists(st.integers(1, 3), max_size=4).map(lambda ids: (*ids, 0)), min_size=1, max_size=8)


@given(answers=answers, room=st.integers(0, 6), data=st.data())
def test_every_allowed_walk_ends_in_an_answer(answers: list[tuple[int, ...]], room: int, data: st.DataObject):
    choices = Choices(answers)
    ids: tuple[int, ...] = ()
    while allowed := choices.allowed(ids, room=room - len(ids)):
        ids = (*ids, data.draw(st.sampled_from(sorted(allowed))))
    fitting = [answer for answer in answers if len(answer) <= room]
    assert ids in fitting if fitting else ids == ()


@given(answers=answers, data=st.data())
def test_every_answer_that_fits_can_be_reached(answers: list[tuple[int, ...]], data: st.DataObject):
    choices, answer = Choices(answers), data.draw(st.sampled_from(answers))
    for n, token in enumerate(answer):
        assert token in choices.allowed(answer[:n], room=len(answer) - n)


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ([], "no answer was given"),
        ([()], r"the answer \(\) is empty"),
        ([(1, 0), ()], r"the answer \(\) is empty"),
        ([(1, 2), (1,)], r"the answer \(1,\) is empty or begins another"),
    ],
)
def test_answers_must_be_told_apart(answers: list[tuple[int, ...]], fault: str):
    with pytest.raises(ConfigError, match=fault) as caught:
        Choices(answers)
    assert caught.value.code == "config.invalid"
    assert "terminator" in str(caught.value)
