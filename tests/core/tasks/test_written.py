"""The kinds extract and dialogue, and the kinds that are refused."""

from typing import Any

import pytest

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Example
from softprompt.core.tasks import KINDS, Dialogue, Extract, Task, parse_task

SCHEMA = {"who": "string", "amount": "number or null", "paid": "boolean"}
OBJECT = {"who": "Ada", "amount": 2.5, "paid": True}


def say(*turns: str) -> dict[str, Any]:
    """A conversation in which user and assistant take turns."""
    roles = ["user", "assistant"] * len(turns)
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]}


@pytest.mark.parametrize("value", [OBJECT, '{"paid": true, "who": "Ada", "amount": 2.50}'])
def test_an_object_and_its_text_are_one_answer(value: Any) -> None:
    task = Task.extract(SCHEMA)
    text = task.read(value)
    example = Example({}, target=text)
    assert text == task.answer(example) == '{"who":"Ada","amount":2.5,"paid":true}'
    assert task.reference(example) == task.written_as(text) == OBJECT
    assert task.right(OBJECT, OBJECT)
    assert not task.right(OBJECT | {"paid": False}, OBJECT)


def test_columns_of_fields_are_read_with_their_names() -> None:
    task = Task.extract(SCHEMA, written={"amount": "EUR"})
    assert task.target_columns == ("who", "EUR", "paid")
    assert task.read({"who": "Ada", "EUR": "", "paid": "true"}) == '{"who":"Ada","amount":null,"paid":true}'
    with pytest.raises(ConfigError, match="written names 'sum', which is no field"):
        Task.extract(SCHEMA, written={"sum": "EUR"})


@pytest.mark.parametrize(("value", "code"), [("", "no_target"), (None, "no_target"), ({"who": 1}, "not_in_schema")])
def test_what_is_no_answer_is_refused(value: Any, code: str) -> None:
    with pytest.raises(DataError, match=code):
        Task.extract(SCHEMA).read(value)


def test_a_text_that_is_no_object_is_shown_as_it_is() -> None:
    assert Task.extract(SCHEMA).written_as('{"who"') == '{"who"'


@pytest.mark.parametrize("task", [Task.extract(SCHEMA, written="columns"), Task.dialogue(learn="every")])
def test_a_task_is_the_same_from_its_plain_data(task: Task) -> None:
    plain = task.model_dump(mode="json", by_alias=True)
    assert parse_task(plain) == task
    assert "schema_" not in plain


def test_the_last_turn_of_the_assistant_is_learnt_or_every_one() -> None:
    values = say("2 + 2", "4", "+ 1", "5", "thanks")
    (last,) = Dialogue().unfold(values | {"shop": "north"}, answers=True)
    assert (last["text"], last["answer"], last["shop"]) == ("User: 2 + 2\nAssistant: 4\nUser: + 1", "5", "north")
    every = Dialogue(learn="every").unfold(values, answers=True)
    assert [row["answer"] for row in every] == ["4", "5"]
    assert len({row["conversation_id"] for row in [*every, last]}) == 1


@pytest.mark.parametrize("turns", [("hi", "hello", "bye"), ("hi", "hello", "bye", "see you")])
def test_without_answers_a_conversation_is_asked_for_its_next_turn(turns: tuple[str, ...]) -> None:
    (row,) = Dialogue().unfold(say(*turns), answers=False)
    assert row["text"] == "User: hi\nAssistant: hello\nUser: bye"
    assert "answer" not in row


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (say("hi"), "no turn of the assistant"),
        (say("", "hello"), "no message that could be answered"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "a turn of 'critic'"),
        ({"messages": ["hi"]}, "no object with 'role'"),
    ],
)
def test_a_conversation_that_cannot_be_learnt_says_why(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match="bad_export") as caught:
        Dialogue().unfold(values, answers=True)
    assert reason in caught.value.message


def test_a_row_without_a_conversation_stays_as_it_is() -> None:
    assert Dialogue().unfold({"text": "User: hi"}, answers=True) == [{"text": "User: hi"}]


@pytest.mark.parametrize("kind", ["tagging", "NER", "token-classification"])
def test_tagging_is_refused_with_what_to_use_instead(kind: str) -> None:
    with pytest.raises(ConfigError, match="unsupported_task") as caught:
        parse_task({"kind": kind})
    assert "kind: extract" in str(caught.value.cure)


def test_every_kind_is_in_the_table_by_its_name() -> None:
    assert KINDS["extract"] is Extract
    assert KINDS["dialogue"] is Dialogue


def test_what_labels_mean_is_kept_and_told() -> None:
    task = Task.classify({"B1": {"say": "billing", "means": "about invoices"}, "D2": "delivery"})
    assert task.defined
    assert not Task.classify(["a", "b"]).defined
    plain = task.model_dump(mode="json", by_alias=True)
    assert plain["labels"] == {"B1": {"say": "billing", "means": "about invoices"}, "D2": {"say": "delivery"}}
    assert task.words == {"task.labels": "- billing: about invoices\n- delivery"}


def test_how_answers_are_written_is_part_of_the_task() -> None:
    task = Task.generate(max_new_tokens=9, decoding={"temperature": 0.5})
    assert parse_task(task.model_dump(mode="json")) == task
    assert "decoding" not in Task.generate().model_dump()
    assert task.way_of_writing.max_new_tokens == 9
    with pytest.raises(ConfigError, match="say max_new_tokens: 5 beside decoding"):
        Task.generate(decoding={"max_new_tokens": 5})
    with pytest.raises(ConfigError, match="min_new_tokens 10 is more than max_new_tokens 9"):
        Task.generate(max_new_tokens=9, decoding={"min_new_tokens": 10})
    with pytest.raises(ConfigError, match="the schema alone decides where an answer ends"):
        Task.extract(SCHEMA, decoding={"stop": ["}"]})
