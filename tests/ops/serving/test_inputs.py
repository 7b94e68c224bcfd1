"""What a request may hold, and what is said of the rest."""

import pytest

from softprompt.core.errors import ServingError
from softprompt.ops.serving import Limits, examples_of
from softprompt.testing import tiny
from tests.ops.serving.desk import served

TOPIC, TONE, PICK, SUMMARY = served(tiny())


def test_texts_fill_the_one_field_and_objects_name_theirs():
    assert [example.fields for example in examples_of("Fine", [TOPIC, TONE])] == [{"text": "Fine"}]
    found = examples_of(["a", {"text": "b"}, {"text": 3}], [TOPIC])
    assert [(example.id, example.fields["text"]) for example in found] == [("1", "a"), ("2", "b"), ("3", "3")]


def test_candidates_come_from_the_field_of_the_task_and_optional_fields_may_be_absent():
    (found,) = examples_of({"question": "Which?", "options": ["a", "b"]}, [PICK])
    assert found.candidates == ("a", "b")
    assert found.fields == {"question": "Which?", "text": ""}


@pytest.mark.parametrize(
    ("value", "prompts", "fault"),
    [
        ([], [TOPIC], r"the list of inputs is empty \[serving\.bad_input\]"),
        (3, [TOPIC], r"input 1 is of type int; a text or an object"),
        (["a", None], [TOPIC], r"input 2 is null;"),
        ("a", [TOPIC, PICK], r"input 1 is a plain text, which fills one field; the prompts read 2: text, question"),
        (
            {"txt": "a"},
            [TOPIC],
            r"input 1: no field is called 'txt'; did you mean 'text'\? .*\[serving\.unknown_field\]",
        ),
        ({}, [TOPIC], r"input 1 lacks 'text' \[serving\.missing_field\]; an empty text is allowed"),
        ("a" * 11, [TOPIC], r"input 1 has a text of 11 characters; at most 10 are read \[serving\.too_large\]"),
        ({"question": "q", "options": ["a", "a" * 11]}, [PICK], r"input 1 has a text of 11 characters"),
        (["a"] * 4, [TOPIC], r"4 texts in one request; at most 3 are taken \[serving\.too_large\]"),
        ("\ud800", [TOPIC], r"half a surrogate pair"),
        ({"text": {"said": "\ud800"}}, [TOPIC], r"half a surrogate pair"),
    ],
)
def test_what_is_wrong_is_said(value, prompts, fault):
    with pytest.raises(ServingError, match=fault):
        examples_of(value, prompts, limits=Limits(max_texts=3, max_characters=10))


def test_candidates_that_are_none_are_refused_as_in_files():
    with pytest.raises(ServingError, match=r"the column 'options' holds a str.*\[serving\.bad_input\]"):
        examples_of({"question": "q", "options": "one"}, [PICK])
