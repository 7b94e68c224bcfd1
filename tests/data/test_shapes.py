from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.data.dataset import BadRow
from softprompt.data.entries import Record
from softprompt.data.shapes import SHAPES, choose, detect, reshaped

ASK, SAY = {"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "4"}
HUMAN, GPT = {"from": "human", "value": "2 + 2"}, {"from": "gpt", "value": "4"}
HASHES = {"_input_hash": 1, "_task_hash": 2}
CHOICE = {"from_name": "topic", "type": "choices", "value": {"choices": ["billing"]}}
SPAN = {"from_name": "ner", "type": "labels", "value": {"start": 0, "end": 2, "text": "hi", "labels": ["X"]}}

#: Shape, a row of it, and its plain rows.
EXPORTS: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    ("openai", {"messages": [ASK, SAY]}, [{"prompt": "2 + 2", "answer": "4"}]),
    (
        "openai",
        {"id": 1, "messages": [{"role": "system", "content": "Add."}, ASK, SAY, ASK], "tools": []},
        [{"id": 1, "system": "Add.", "history": "User: 2 + 2\nAssistant: 4", "prompt": "2 + 2"}],
    ),
    (
        "openai",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                SAY,
            ]
        },
        [{"prompt": "a\nb", "answer": "4"}],
    ),
    (
        "openai",
        {"messages": [ASK, {"role": "assistant", "content": None}, {"role": "tool", "content": "4"}, SAY]},
        [{"history": "User: 2 + 2\nAssistant: ", "prompt": "Tool: 4", "answer": "4"}],
    ),
    ("sharegpt", {"conversations": [HUMAN, GPT]}, [{"prompt": "2 + 2", "answer": "4"}]),
    (
        "sharegpt",
        {"conversations": [HUMAN, GPT], "system": "Add."},
        [{"system": "Add.", "prompt": "2 + 2", "answer": "4"}],
    ),
    ("alpaca", {"instruction": "Add", "output": "4", "n": 1}, [{"n": 1, "prompt": "Add", "answer": "4"}]),
    ("alpaca", {"instruction": "Add", "input": "2, 2", "output": "4"}, [{"prompt": "Add\n\n2, 2", "answer": "4"}]),
    ("completion", {"prompt": "2 + 2 =", "completion": " 4"}, [{"prompt": "2 + 2 =", "answer": " 4"}]),
    (
        "squad",
        {"id": "q", "context": "c", "question": "w", "answers": {"text": ["x", "x", "y"], "answer_start": [0, 0, 1]}},
        [{"id": "q", "context": "c", "question": "w", "answer": ["x", "y"]}],
    ),
    (
        "squad",
        {
            "title": "T",
            "paragraphs": [
                {
                    "context": "c",
                    "qas": [{"id": "a", "question": "w", "answers": []}, {"question": "v", "answers": None}],
                }
            ],
        },
        [
            {"id": "a", "title": "T", "context": "c", "question": "w", "answer": None},
            {"id": None, "title": "T", "context": "c", "question": "v", "answer": None},
        ],
    ),
    (
        "labelstudio",
        {"id": 3, "data": {"text": "hi"}, "annotations": [{"was_cancelled": True}, {"result": [CHOICE]}], "meta": {}},
        [{"id": 3, "text": "hi", "topic": "billing"}],
    ),
    ("labelstudio", {"data": {"text": "hi"}, "annotations": []}, [{"text": "hi"}]),
    ("prodigy", {"text": "hi", "label": "X", "answer": "accept", **HASHES}, [{"text": "hi", "label": "X"}]),
    ("prodigy", {"text": "hi", "label": "X", "answer": "reject", **HASHES}, [{"text": "hi", "label": "not X"}]),
    ("prodigy", {"text": "hi", "label": "X", "answer": "ignore", **HASHES}, []),
    (
        "prodigy",
        {"text": "hi", "options": [{"id": "A"}], "accept": ["A", "B"], "answer": "accept", **HASHES},
        [{"text": "hi", "label": ["A", "B"]}],
    ),
    ("doccano", {"id": 1, "text": "hi", "label": ["a"], "Comments": []}, [{"id": 1, "text": "hi", "label": "a"}]),
    ("doccano", {"data": "hi", "labels": ["a", "b"]}, [{"text": "hi", "label": ["a", "b"]}]),
]

#: Shape, a row that it cannot use, and what is said.
UNUSABLE: list[tuple[str, dict[str, Any], str]] = [
    ("openai", {"messages": []}, "no conversation in 'messages' or"),
    ("openai", {"messages": [{"content": "x"}]}, "a turn of 'messages' is no object with 'role'"),
    ("openai", {"messages": [SAY]}, "no message that could be answered"),
    ("openai", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "holds image_url, only text"),
    ("sharegpt", {"conversations": [{"from": "human", "value": 3}]}, "holds int, only text"),
    ("alpaca", {"output": "4"}, "no text 'instruction'"),
    ("squad", {"paragraphs": [{"context": "c"}]}, "no list 'qas'"),
    ("squad", {"paragraphs": [{"context": "c", "qas": [{}]}]}, "no text 'question'"),
    ("labelstudio", {"data": "x", "annotations": []}, "no 'data' and 'annotations'"),
    ("labelstudio", {"data": {}, "annotations": [{"result": [SPAN]}]}, "labels of a part of the text"),
    ("labelstudio", {"data": {"topic": 1}, "annotations": [{"result": [CHOICE]}]}, "name of a column"),
    ("prodigy", {"answer": "accept"}, "no 'text'"),
    ("prodigy", {"text": "x", "spans": [{"start": 0}], "answer": "accept"}, "no tags"),
    ("doccano", {"text": "x", "label": [[0, 2, "X"]]}, "no tags"),
]


@pytest.mark.parametrize(("name", "row", "plain"), EXPORTS)
def test_each_export_is_recognised_and_becomes_plain_fields(
    name: str, row: dict[str, Any], plain: list[dict[str, Any]]
) -> None:
    shape = detect([row])
    assert shape is not None
    assert shape.name == name
    left_out: list[str] = []
    found = list(reshaped(shape, [Record("a:1", row)], left_out=left_out))
    assert found == [Record("a:1", values) for values in plain]
    assert left_out == ([] if plain else ["a:1"])


def test_every_shape_is_shown() -> None:
    assert {name for name, *_ in EXPORTS} == set(SHAPES)


@pytest.mark.parametrize(("name", "row", "words"), UNUSABLE)
def test_a_row_that_is_not_what_its_export_holds_is_a_bad_row(name: str, row: dict[str, Any], words: str) -> None:
    (found,) = reshaped(SHAPES[name], [Record("a:7", row)])
    assert isinstance(found, BadRow)
    assert (found.source, found.code) == ("a:7", "data.bad_export")
    assert words in found.reason


@pytest.mark.parametrize(
    "row",
    [
        {"text": "x", "label": "a"},
        {"prompt": "a", "output": "b"},
        {"messages": "three"},
        {"messages": []},
        {"instruction": "a", "output": "b", "prompt": "my own"},
        {"messages": [ASK], "answer": "my own"},
        {"text": "x", "labels": ["a"], "price": 3},
        {"text": "x", "answer": "accept"},
    ],
    ids=repr,
)
def test_rows_that_only_look_alike_stay_as_they_are(row: dict[str, Any]) -> None:
    assert detect([row]) is None


def test_all_rows_must_fit() -> None:
    assert detect([{"messages": [ASK]}, {"text": "x"}]) is None
    assert detect([]) is None


def test_a_column_that_is_named_is_not_taken_away() -> None:
    rows = [{"instruction": "Add", "output": "4"}]
    shape, said = choose(rows, named=["output"])
    assert shape is None
    assert said == ("looks like an Alpaca export, but is read as it stands, because the column 'output' is named",)
    assert choose(rows, named=["answer", "nothing"])[0] is SHAPES["alpaca"]
    assert choose(rows, wanted="plain") == (None, ())
    assert choose([{"messages": [ASK, SAY]}], named=["messages"]) == (None, ()), "a conversation is asked for as it is"
    assert choose([{"x": 1}], wanted="alpaca")[0] is SHAPES["alpaca"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "qas", "context", "text", "result"]), below
        )
    ),
    max_leaves=6,
)
KEYS = sorted({key for _, row, _ in EXPORTS for key in row})


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5), st.sampled_from(sorted(SHAPES)))
def test_any_row_is_rows_or_a_bad_row(row: dict[str, Any], name: str) -> None:
    for found in reshaped(SHAPES[name], [Record("a:1", row)]):
        assert isinstance(found, BadRow | Record)
