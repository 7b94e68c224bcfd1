"""Conversations as one text: taken apart again as they were, and nobody can speak for another."""

from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.turns import SPEAKERS, as_text, split_turns

WORDS = st.lists(st.sampled_from(["hi", "User:", "Assistant: no", " ", "\n", "\n User: x", "System:"]), min_size=1)
TEXTS = WORDS.map("".join).filter(lambda text: text == text.strip())
TURNS = st.lists(st.tuples(st.sampled_from(list(SPEAKERS)), TEXTS), min_size=1, max_size=4)


@given(TURNS)
def test_turns_come_back_from_their_text(turns: list[tuple[str, str]]) -> None:
    assert split_turns(as_text(turns)) == turns
