"""When answers end, and the text that is told while they grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.decoding import Decoding
from softprompt.model.backbones.tokenizer import TextTokenizer
from softprompt.model.decoding.constraints import Choices
from softprompt.model.decoding.endings import Line, Rules, Teller
from softprompt.testing import tiny_tokenizer

TOKENIZER = TextTokenizer(tiny_tokenizer())
EOS = TOKENIZER.eos_id
PIECES = ["a", "b", "ab", "ba", "é", "€", "🙂", "aab", "\n", " "]


def rules(settings: Decoding | None = None, *, room: int = 99, constraint: Choices | None = None) -> Rules:
    return Rules.of(settings or Decoding(), terminator=EOS, room=room, constraint=constraint, decode=TOKENIZER.decode)


@given(
    data=st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.binary(max_size=12),
    stop=st.lists(st.sampled_from(PIECES) | st.text("ab€", min_size=1, max_size=4), max_size=3),
    ends=st.booleans(),
)
def test_pieces_add_up_to_the_text_and_are_never_taken_back(data: str | bytes, stop: list[str], ends: bool):
    ids = TOKENIZER.encode(data) if isinstance(data, str) else tuple(data)
    told_by = rules(Decoding(stop=tuple(stop)))
    line, finished = told_by.begin()
    teller, told = Teller(told_by), ""
    for token in (*ids, EOS) if ends else ids:
        line, finished = told_by.extend(line, token, -0.5)
        told += "".join(text for _, text in teller.tell(line.ids, finished))
        if finished:
            break
    if finished is None:
        assert told_by.text(line.ids, "length").startswith(told)
    else:
        assert told == told_by.text(line.ids, finished)
        assert not any(text in told for text in stop)
        assert line.logprob == -0.5 * len(line.ids)


def test_half_a_character_and_half_a_stop_text_wait():
    teller = Teller(rules(Decoding(stop=("\nQ:",))))
    ids = TOKENIZER.encode("ja €\nQ!")
    told = [next(teller.tell(ids[: n + 1], None))[1] for n in range(len(ids))]
    assert told == ["j", "a", " ", "", "", "€", "", "", "\nQ!"]


def test_tokens_that_come_at_once_are_told_one_by_one():
    assert list(Teller(rules()).tell((*TOKENIZER.encode("hi"), EOS), "terminator")) == [(71, "h"), (72, "i"), (EOS, "")]


@pytest.mark.parametrize(
    ("limit", "room", "length"), [(3, 99, 3), (99, 2, 2), (1, 1, 1)], ids=["max_new_tokens", "context", "one"]
)
def test_length_ends(limit: int, room: int, length: int):
    mine = rules(Decoding(max_new_tokens=limit), room=room)
    line, finished = mine.begin()
    for n in range(length):
        assert finished is None
        line, finished = mine.extend(line, 60 + n, 0.0)
    assert finished == "length"


def test_a_terminator_at_the_limit_is_a_terminator():
    assert rules(Decoding(max_new_tokens=1)).extend(Line(), EOS, 0.0)[1] == "terminator"


def test_the_earliest_stop_text_cuts():
    mine = rules(Decoding(stop=("cd", "bcd")))
    assert mine.text(TOKENIZER.encode("abcd"), "stop") == "a"


def test_terminators_are_banned_before_the_minimum_only():
    mine = rules(Decoding(min_new_tokens=1, terminators=(7,)))
    line, _ = mine.begin()
    assert set(line.banned) == {7, EOS}
    assert mine.extend(line, 60, 0.0)[0].banned == ()


def test_a_constraint_decides_alone_when_an_answer_ends():
    settings = Decoding(stop=("a",), min_new_tokens=9)
    mine = rules(settings, constraint=Choices([(*TOKENIZER.encode("ab"), EOS)]))
    line, finished = mine.begin()
    for token in (*TOKENIZER.encode("ab"), EOS):
        assert finished is None
        assert line.allowed == [token]
        assert not line.banned
        line, finished = mine.extend(line, token, 0.0)
    assert (finished, mine.text(line.ids, "terminator")) == ("terminator", "ab")
