"""Truncation: what stays of texts that are too long."""

from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from softprompt.model.templates.truncation import GAP, allot, shorten
from tests.model.templates.tokenizers import Toy

TOY = Toy()
LENGTHS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 50), min_size=1)
TEXTS = st.text(st.sampled_from("ab 日é😀\n"), max_size=200) | st.text(max_size=80)
KEEP = st.sampled_from(["head", "tail", "head+tail"])


def count(text: str) -> int:
    return len(TOY.encode(text))


@given(LENGTHS, st.integers(0, 200))
def test_all_fields_share_the_room_the_longest_gives_first(lengths: dict[str, int], room: int) -> None:
    kept = allot(lengths, room=room)
    assert kept is not None
    assert sum(kept.values()) == min(room, sum(lengths.values()))
    level = max(kept.values())
    for name, length in lengths.items():
        assert kept[name] in (length, level, level - 1), "a cut field stands at the common level, others are whole"


@given(LENGTHS, st.integers(-5, 200), st.lists(st.sampled_from("abcd"), unique=True))
def test_order_cuts_one_field_wholly_before_the_next(lengths: dict[str, int], room: int, order: list[str]) -> None:
    kept = allot(lengths, room=room, order=order)
    fixed = sum(length for name, length in lengths.items() if name not in order)
    if kept is None:
        assert fixed > room
        return
    assert sum(kept.values()) <= max(room, 0) or sum(lengths.values()) <= room
    cut = [name for name in order if name in lengths and kept[name] < lengths[name]]
    assert all(kept[name] == 0 for name in cut[:-1])
    assert all(kept[name] == lengths[name] for name in lengths if name not in order)


@given(TEXTS, st.integers(0, 40), KEEP)
def test_what_stays_fits_and_is_an_end_of_the_text(text: str, budget: int, keep: str) -> None:
    assume(count(text) > budget)
    kept = shorten(text, budget=budget, keep=keep, count=count)
    assert count(kept) <= budget
    head, gap, tail = kept.partition(GAP) if keep == "head+tail" else (kept, "", "")
    if keep == "tail":
        assert text.endswith(kept)
    elif keep == "head" or not gap:
        assert text.startswith(kept)
    else:
        assert text.startswith(head)
        assert text.endswith(tail)


@pytest.mark.parametrize("keep", ["head", "tail"])
@given(words=st.lists(st.text("abcdé", min_size=1, max_size=9), min_size=2, max_size=40), budget=st.integers(20, 60))
def test_words_stay_whole_and_room_is_used(words: list[str], budget: int, keep: str) -> None:
    text = " ".join(words)
    assume(count(text) > budget)
    kept = shorten(text, budget=budget, keep=keep, count=count)
    rest = kept.split(" ")
    assert rest == (words[: len(rest)] if keep == "head" else words[-len(rest) :])
    longer = " ".join(words[: len(rest) + 1] if keep == "head" else words[-len(rest) - 1 :])
    assert count(longer) > budget - 2, "another word would have fitted"


@pytest.mark.parametrize("text", ["x" * 100_000, "word " * 50_000, "日本" * 20_000, "a" * 50_000 + "日" * 50_000])
@pytest.mark.parametrize("keep", ["head", "tail", "head+tail"])
def test_very_long_texts_take_few_looks(text: str, keep: str) -> None:
    looks: list[int] = []

    def watched(part: str) -> int:
        looks.append(len(part))
        return count(part)

    kept = shorten(text, budget=300, keep=keep, count=watched)
    assert 250 < count(kept) <= 300
    assert len(looks) < 40
    assert sum(looks) < 40_000, "what is looked at has the size of what stays, not of the text"


def test_a_tokenizer_that_shrinks_longer_texts_does_not_mislead() -> None:
    def strange(text: str) -> int:
        return 1 if len(text) == 7 else len(text)

    strange_count: Callable[[str], int] = strange
    assert len(shorten("a" * 50, budget=5, keep="head", count=strange_count)) in (5, 7)


def test_a_desert_of_blanks_is_crossed_quickly() -> None:
    looks: list[str] = []

    def watched(part: str) -> int:
        looks.append(part)
        return count(part)

    assert shorten("x" + " " * 50_000 + "y", budget=500, keep="head+tail", count=watched) == f"x{GAP}y"
    assert shorten(" " * 50_000 + "y", budget=500, keep="head+tail", count=watched) == ""
    assert len(looks) < 120
