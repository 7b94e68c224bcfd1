"""Rows on their way to a run: what nobody reads neither hides a copy nor goes any further."""

from typing import Any

import pytest

from softprompt.app.config import RunConfig
from softprompt.app.recipes.dividing import load_splits
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.rows import read_rows
from softprompt.core.errors import DataError
from softprompt.core.tasks import Task
from softprompt.testing import tiny

TASK = Task.classify(["yes", "no"])


def rows(*texts: str, ticket: int = 0) -> list[dict[str, Any]]:
    labels = ["yes", "no"]
    return [{"text": text, "ticket": str(ticket + i), "label": labels[i % 2]} for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ({}, ("text",)),
        ({"text": "{text}<soft 4> {answer}"}, ("text",)),
        ({"chat": {"user": "{text}<soft 4>"}}, ("text",)),
        ({"text": "{ticket}: {text}<soft 4> {answer}"}, ("text", "ticket")),
    ],
)
def test_a_copy_is_a_copy_whatever_stands_in_columns_that_nobody_reads(
    template: dict[str, Any], fields: tuple[str, ...]
):
    config = RunConfig.parse({"data": {"train": "rows"}, "template": template})
    train, validation, test = rows("a", "b", "c", "d"), rows("x", "y", ticket=50), rows("A!", "b", ticket=100)
    sources = read_rows(config, {"train": train, "validation": validation, "test": test})
    found, _, notes = load_splits(config, TASK, sources)
    left = [row.fields["text"] for row in found["train"]]
    assert {field for part in found.values() for field in part.fields()} == set(fields)
    assert left == (["a", "b", "c", "d"] if "ticket" in fields else ["c", "d"])
    assert any("repeat a judged text" in note for note in notes) == ("ticket" not in fields)


@pytest.mark.parametrize("judging", ["validation", "test"])
@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (
            ("A!", "b", "c", "d"),
            r"all 4 training rows repeat a text of {0}.*\[data.no_rows\]; give other rows as train",
        ),
        (("b", "d"), r"2 training rows repeat a text of {0}; of those that are left every row has the label 'yes'"),
        (("a", "c"), r"2 training rows repeat a text of {0}; of those that are left every row has the label 'no'"),
    ],
)
def test_training_rows_that_only_repeat_judged_ones_are_refused_with_the_cure(
    texts: tuple[str, ...], said: str, judging: str
):
    config = RunConfig.parse({"data": {"train": "rows"}})
    sources = read_rows(config, {"train": rows("a", "b", "c", "d"), judging: rows(*texts, ticket=50)})
    with pytest.raises(DataError, match=said.format(judging)) as caught:
        load_splits(config, TASK, sources)
    assert "leave validation and test out" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("judging", ["validation", "test"])
def test_a_file_without_rows_to_judge_by_is_refused(judging: str):
    config = RunConfig.parse({"data": {"train": "rows"}})
    sources = read_rows(config, {"train": rows("a", "b", "c", "d"), judging: []})
    with pytest.raises(DataError, match=r"\[data\.\w+\]; .+"):
        load_splits(config, TASK, sources)


@pytest.mark.parametrize(("template", "said"), [("{text}<sof 4> {answer}", True), ("{text}<soft 4> {answer}", False)])
def test_a_template_without_a_soft_slot_is_noticed(template: str, said: bool):
    words = {"template": {"text": template}, "answers": {"form": "vectors"}}
    sources = {"train": rows(*"abcdefghij"), "validation": rows(*"uvwxyz", ticket=50)}
    found = prepare(RunConfig.parse({"data": {"train": "rows"}, **words}), sources=sources, backbone=tiny())
    assert any("no soft slot" in note for note in found.notes) == said
