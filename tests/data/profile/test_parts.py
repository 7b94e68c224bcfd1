"""Columns: their kinds and their parts."""

import pytest

from softprompt.core.errors import DataError
from softprompt.data.entries import Record
from softprompt.data.profile.columns import look_at_columns
from softprompt.data.profile.header import header_is_row
from softprompt.data.profile.parts import choose_candidates, choose_target, choose_texts

SHORT, LONG = "It broke {}", "It broke after {} days and I would like to send it back to you as soon as I can"


def columns(**makers: object):
    """Twenty rows: texts are filled with the row's number, lists are gone round."""
    rows = [
        Record(
            "",
            {name: make.format(n) if isinstance(make, str) else make[n % len(make)] for name, make in makers.items()},
        )
        for n in range(20)
    ]
    return look_at_columns(rows)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        ([""], "empty"),
        (["same"], "constant"),
        ([["a", "b"], ["c"]], "list"),
        (['["a"]', '["b", "c"]'], "list"),
        ("TCK-{}", "id"),
        (["a@example.org", "b@example.org"], "id"),
        ("2024-01-{}", "date"),
        ([1.5, 2.25], "number"),
        (["3,14", "2,5"], "number"),
        ([1, 2, 3], "category"),
        (["yes", "no", None], "category"),
        (LONG, "text"),
    ],
)
def test_kinds(make: object, kind: str) -> None:
    (column,) = columns(x=make)
    assert column.kind == kind


def test_a_longer_text_does_not_win_over_a_name_unless_far_longer() -> None:
    assert choose_texts(columns(message=SHORT, other="{} days later it broke again")).columns == ("message",)
    unclear = choose_texts(columns(message=SHORT, other=LONG))
    assert (unclear.columns, unclear.options) == ((), ("other", "message"))


def test_the_clearly_longer_of_two_named_texts_wins() -> None:
    choice = choose_texts(columns(title=SHORT, body=LONG, message=SHORT))
    assert (choice.columns, set(choice.others)) == (("body",), {"title", "message"})


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (["sentence2", "sentence1"], "sentence2 sentence1"),
        (["text_a", "text_b", "notes"], "text_a text_b"),
        (["id_note", "Premise", "Hypothesis"], "Premise Hypothesis"),
        (["Prämisse", "Hypothese"], "Prämisse Hypothese"),
        (["passage", "question", "title"], "passage question"),
        (["claim", "evidence"], "claim evidence"),
        (["question", "sentence"], "question sentence"),
        (["sentence1", "sentence2", "sentence3"], "sentence1 sentence2 sentence3"),
        (["sentence1", "sentence3"], ""),
        (["context", "question", "answer"], ""),
    ],
)
def test_texts_that_belong_together_are_read_together(names: list[str], read: str) -> None:
    choice = choose_texts(columns(**dict.fromkeys(names, SHORT)))
    assert " ".join(choice.columns) == read
    if read:
        assert set(choice.others) == set(names) - set(read.split())
    else:
        assert set(choice.options) == set(names)


def test_a_part_of_a_pair_may_repeat_but_both_may_not() -> None:
    asked = {"question": ["Is it late?", "Is it broken?"]}
    assert choose_texts(columns(passage=LONG, **asked)).columns == ("passage", "question")
    assert choose_texts(columns(passage=LONG, **asked), apart=["question"]).columns == ("passage",)
    assert choose_texts(columns(body=LONG, context=["shop", "mail"], **asked)).columns == ("body",)


def test_the_answer_is_never_read() -> None:
    with pytest.raises(DataError, match="would read what it is asked"):
        choose_texts(columns(text=LONG, label=["a", "b"]), apart=["label"], wanted=["label"])


@pytest.mark.parametrize("choose", [choose_target, lambda found, wanted: choose_texts(found, wanted=[wanted])])
def test_a_column_that_is_not_there_is_named(choose) -> None:
    with pytest.raises(DataError, match="did you mean 'label'"):
        choose(columns(text=LONG, label=["a", "b"]), wanted="lable")


def test_lettered_columns_are_candidates() -> None:
    assert choose_candidates(columns(question=LONG, A=SHORT, B=LONG)) == ("A", "B")
    assert choose_candidates(columns(question=LONG, option_1=SHORT)) == ()


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (["text", "label"], ""),
        (["The kettle broke and nobody wants to take it back, sadly", "label"], "a sentence, not a name"),
        (["17", "2024-01-01"], "a value, not a name"),
    ],
)
def test_first_lines(head: list[str], why: str) -> None:
    rows = [Record("", {head[0]: f"text {n}", head[1]: "ab"[n % 2]}) for n in range(6)]
    assert why in header_is_row(head, rows)
    assert bool(why) == bool(header_is_row(head, rows))
