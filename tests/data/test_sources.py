import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.inference import infer_labels
from softprompt.data.sources import load, write_skipped
from tests.modes import for_owner_alone

TASK = Task.classify(["good", "bad"])
ROWS: list[dict[str, Any]] = [{"text": "Lovely", "label": "good"}, {"text": "It broke", "label": "bad"}]


def fails(*args: Any, **kwargs: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load(*args, **kwargs)
    return caught.value


def test_every_source_gives_the_same_data(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = tmp_path / "rows.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(ROWS)
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join(map(json.dumps, ROWS)))
    sources = [table, str(lines), ROWS, iter(ROWS), tuple(ROWS), pandas.DataFrame(ROWS), load(ROWS, TASK)]
    loaded = [load(source, TASK) for source in sources]
    assert len({data.hash for data in loaded}) == 1
    assert {data.classes for data in loaded} == {("good", "bad")}
    assert loaded[0][1].source == f"{table}:3"
    assert loaded[2][1].source == "row 2"


def test_the_hash_knows_order_and_answers_but_not_ids() -> None:
    data = load(ROWS, TASK)
    assert load(ROWS[::-1], TASK).hash != data.hash
    assert load([ROWS[0], {**ROWS[1], "label": "good"}], TASK).hash != data.hash
    assert load([{**row, "id": i} for i, row in enumerate(ROWS)], TASK).hash == data.hash


def test_columns_are_mapped_and_other_parts_are_no_fields() -> None:
    rows = [{"id": 7, "Body": "x", "Klasse": "good", "customer": "c1", "w": "2.5", "lang": "de"}]
    settings = {"columns": {"text": "Body", "label": "Klasse"}, "roles": {"group": "customer", "weight": "w"}}
    row = load(rows, TASK, **settings)[0]
    assert row == Example({"text": "x", "lang": "de"}, "good", "7", 2.5, "c1", None, "row 1")
    assert load(rows, TASK, template_fields=["text"], **settings)[0].fields == {"text": "x"}


def test_ids_are_unique() -> None:
    twice = [{"id": "a", **ROWS[0]}, {"id": "a", **ROWS[1]}, {"id": None, **ROWS[0]}, {"id": "", **ROWS[0]}]
    ids = [row.id for row in load(twice, TASK)]
    assert ids[:2] == ["a", "a#2"]
    assert ids[3] == f"{ids[2]}#2"
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"template_fields": ["txt"]}, "data.unknown_field", "field {txt}; did you mean 'text'? known: label, text"),
        ({"template_fields": ["text", "label"]}, "data.leaked_answer", "{label} is the column of the answer"),
        ({"columns": {"text": "txet"}}, "data.missing_column", "column 'txet' for 'text' is not in the data; did you"),
        ({"columns": {"label": "klass"}}, "data.missing_column", "column 'klass' for 'answer'"),
        ({"roles": {"group": "customer"}}, "data.missing_column", "column 'customer' for 'group'"),
    ],
)
def test_columns_that_do_not_fit(settings: dict[str, Any], code: str, words: str) -> None:
    error = fails(ROWS, TASK, **settings)
    assert error.code == code
    assert words in str(error)


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no role is called 'grup'; did you mean 'group'\?"):
        load(ROWS, TASK, roles={"grup": "text"})


def test_a_group_that_leaves_nothing_to_read_or_to_tell_apart_is_said():
    said = fails(ROWS, TASK, roles={"group": "text"})
    assert said.code == "data.unknown_field"
    assert "no column is left to be read: 'text' is the group" in str(said)
    assert load(ROWS, TASK, roles={"group": "text"}, columns={"text": "text"})[0].fields["text"]
    with pytest.raises(ConfigError, match="rows are grouped by 'label', the column of the answer"):
        load(ROWS, TASK, roles={"group": "label"})


def test_many_bad_rows_are_one_error_with_the_first_few(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps(ROWS[0]), '{"text": ', *['{"text": "x", "label": "god"}'] * 7, '{"text": "x"}']
    path.write_text("\n".join(lines))
    error = fails(path, TASK)
    assert error.code == "data.bad_rows"
    assert "9 of 10 rows cannot be used" in str(error)
    assert f"{path}:2: the line is no valid JSON" in str(error)
    assert f"{path}:3: label 'god' is not in the task; did you mean 'good'?" in str(error)
    assert "... and 4 more" in str(error)
    path.write_text("\n".join(lines[2:5]))
    assert fails(path, TASK).code == "data.unknown_label"


def test_a_single_bad_row_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nx,good\ny,\n")
    assert str(fails(path, TASK)) == (
        f"{path}:3: the row has no 'label' [data.no_target]; "
        "correct the row, or leave bad rows out: on_bad_row: skip, --on-bad-row skip"
    )


def test_skipped_rows_are_counted_and_kept_for_the_owner_alone(tmp_path: Path) -> None:
    path, kept = tmp_path / "rows.csv", tmp_path / "run" / "skipped.jsonl"
    path.write_text("text,label\nx,good\ny,ugly\nz\n")
    data = load(path, TASK, on_bad_row="skip", skipped_path=kept)
    assert (len(data), len(data.skipped)) == (1, 2)
    assert data.describe().endswith("2 skipped")
    assert for_owner_alone(kept)
    found = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(row["source"], row["code"]) for row in found] == [
        (f"{path}:3", "data.unknown_label"),
        (f"{path}:4", "data.ragged_row"),
    ]
    assert found[0]["row"] == {"text": "y", "label": "ugly"}


def test_a_file_that_was_open_to_all_is_closed_before_it_is_written(tmp_path: Path) -> None:
    kept = tmp_path / "skipped.jsonl"
    kept.write_text("old\n" * 100)
    kept.chmod(0o644)
    data = load([*ROWS, {"text": b"\xff", "label": "\ud800"}], TASK, on_bad_row="skip")
    write_skipped(data.skipped, kept)
    assert for_owner_alone(kept)
    (row,) = map(json.loads, kept.read_text().splitlines())
    assert row["code"] == "data.bad_value"
    assert row["row"]["label"] == "\ud800"


def test_nothing_usable_is_an_error_also_when_skipping() -> None:
    assert fails([{"text": "x", "label": "ugly"}], TASK, on_bad_row="skip").code == "data.no_rows"
    assert fails([], TASK).code == "data.no_rows"


def test_a_file_of_broken_lines_names_the_lines_and_not_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("text\nx\n")
    assert fails(path, TASK, template_fields=["text"]).code == "data.bad_json"


@pytest.mark.parametrize("source", [["text"], [ROWS[0], 3], [Example({"text": "x"}, "good"), ROWS[0]]])
def test_rows_of_another_kind(source: list[Any]) -> None:
    assert fails(source, TASK).code == "data.bad_source"


@pytest.mark.parametrize("gap", [None, float("nan"), "", "  "])
def test_gaps(gap: Any) -> None:
    assert fails([*ROWS, {"text": "x", "label": gap}], TASK).code == "data.no_target"
    assert load([*ROWS, {"text": gap, "label": "bad"}], TASK)[2].fields["text"].strip() == ""
    assert load([*ROWS, {"label": "bad"}], TASK)[2].fields == {"text": ""}


@pytest.mark.parametrize(
    ("labels", "values"),
    [(["1", "2"], [1, 2.0]), (["true", "false"], [True, np.bool_(False)]), (["True", "False"], [True, False])],
)
def test_labels_that_are_no_texts(labels: list[str], values: list[Any]) -> None:
    data = load([{"text": "x", "label": value} for value in values], Task.classify(labels))
    assert [row.target for row in data] == labels


def test_whole_number_labels_of_a_frame_with_gaps() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["a", None, "c"], "label": [1, 2, None], 3: [1, 2, 3]})
    data = load(frame, Task.classify(["1", "2"]), on_bad_row="skip")
    assert [(row.fields["text"], row.target, row.fields["3"]) for row in data] == [("a", "1", "1"), ("", "2", "2")]
    assert data.skipped[0].source == "row 3"
    twice = pandas.DataFrame([["x", "good", "bad"]], columns=["text", "label", "label"])
    assert fails(twice, TASK).code == "data.bad_header"


def test_weights() -> None:
    rows = [{"text": "x", "label": "good", "w": weight} for weight in (2, "0.5", None, "")]
    assert [row.weight for row in load(rows, TASK, roles={"weight": "w"})] == [2.0, 0.5, 1.0, 1.0]
    for wrong in (-1, "much", float("inf"), [1]):
        assert fails([{**rows[0], "w": wrong}], TASK, roles={"weight": "w"}).code == "data.bad_value"


def test_rows_without_answers_can_be_read_to_predict_them() -> None:
    data = load([{"text": "x"}], TASK, answers=False)
    assert data[0].target is None
    labelled = load(ROWS, TASK, answers=False)
    assert [row.target for row in labelled] == [None, None]
    assert labelled[0].fields == {"text": "Lovely"}
    assert fails([{"text": "x"}], TASK).code == "data.missing_column"
    assert fails([{"text": "x", "candidates": ["a"]}], Task.choose(), answers=False).code == "data.no_candidates"


class TestChoose:
    COLUMNS = Task.choose(["a", "b", "c"])

    @pytest.mark.parametrize("label", ["left", " left ", "a", 0, "0", 0.0], ids=repr)
    def test_the_right_one_by_text_column_or_index(self, label: Any) -> None:
        row = {"q": "where", "a": "left", "b": "right", "c": None, "label": label}
        data = load([row], self.COLUMNS)
        assert data[0].fields == {"q": "where"}
        assert data[0].candidates == ("left", "right")
        assert self.COLUMNS.answer(data[0]) == 0

    @pytest.mark.parametrize("value", [["x", 2], '["x", 2]', np.array(["x", "2"]), ("x", "2")])
    def test_a_list_column(self, value: Any) -> None:
        data = load([{"q": "?", "candidates": value, "label": 1}], Task.choose())
        assert data[0].candidates == ("x", "2")
        assert Task.choose().answer(data[0]) == 1

    @pytest.mark.parametrize(
        ("row", "code"),
        [
            ({"a": "x", "b": "y", "c": "z", "label": "c"}, ""),
            ({"a": "x", "b": "y", "c": "z", "label": 3}, "data.unknown_label"),
            ({"a": "x", "b": "y", "c": "", "label": "c"}, "data.unknown_label"),
            ({"a": "x", "b": "", "c": "z", "label": 0}, "data.no_candidates"),
            ({"a": "x", "b": None, "c": None, "label": 0}, "data.no_candidates"),
            ({"a": "x", "b": "x", "c": "z", "label": 0}, "data.same_candidates"),
            ({"a": "x", "b": "y", "c": "z", "label": None}, "data.no_target"),
        ],
    )
    def test_bad_rows(self, row: dict[str, Any], code: str) -> None:
        good = {"a": "x", "b": "y", "c": "z", "label": 0}
        data = load([good, row], self.COLUMNS, on_bad_row="skip")
        assert [bad.code for bad in data.skipped] == ([code] if code else [])

    @pytest.mark.parametrize("value", ["a or b", "[broken", None, 3, ""])
    def test_a_list_column_that_holds_no_list(self, value: Any) -> None:
        rows = [{"q": "?", "candidates": value, "label": 0}]
        assert fails(rows, Task.choose()).code == "data.no_candidates"


class TestGenerate:
    TASK = Task.generate(target="summary")

    @pytest.mark.parametrize(
        ("value", "target"),
        [
            ("  def f():\n", "  def f():\n"),
            (["a", "b"], ("a", "b")),
            (np.array(["a", "b"]), ("a", "b")),
            (["a", "", None], ("a",)),
            (42, "42"),
            (True, "true"),
        ],
    )
    def test_references(self, value: Any, target: Any) -> None:
        data = load([{"text": "x", "summary": value}], self.TASK)
        assert data[0].target == target
        assert isinstance(self.TASK.answer(data[0]), str)
        assert data.labels() == {}

    @pytest.mark.parametrize("value", ["", " \n", [], [None, ""], None])
    def test_nothing_to_learn(self, value: Any) -> None:
        assert fails([{"text": "x", "summary": value}], self.TASK).code == "data.no_target"


def test_examples_pass_through_checked() -> None:
    example = Example({"body": "x", "more": "y"}, "good", "i", 2.0, "g", None, "file:9")
    data = load([example], TASK, columns={"text": "body"}, template_fields={"text"})
    assert data[0] == Example({"text": "x"}, "good", "i", 2.0, "g", None, "file:9")
    assert load([example], TASK, columns={"text": "body"})[0].fields == {"text": "x", "more": "y"}
    assert fails([Example({"text": "x"}, "ugly")], TASK).code == "data.unknown_label"
    assert fails([Example({"text": "x"})], TASK).code == "data.no_target"
    assert fails([example], TASK, template_fields={"text"}).code == "data.unknown_field"


def test_a_label_that_begins_another_is_its_own() -> None:
    data = load([{"text": "x", "label": "good morning"}], Task.classify(["good", "good morning"]))
    assert data[0].target == "good morning"


@given(st.lists(st.sampled_from(["good", "bad", "ugly", "", None, 3]), min_size=1, max_size=12))
def test_every_row_is_used_or_skipped_in_order(labels: list[Any]) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        return ({"text": str(i), "label": label} for i, label in enumerate(labels))

    good = [i for i, label in enumerate(labels) if label in TASK.labels]
    if not good:
        assert fails(rows(), TASK, on_bad_row="skip").code == "data.no_rows"
        return
    data = load(rows(), TASK, on_bad_row="skip")
    assert [row.fields["text"] for row in data] == [str(i) for i in good]
    assert len(data) + len(data.skipped) == len(labels)
    if len(good) == len(labels):
        assert load(rows(), TASK).hash == data.hash
    else:
        assert fails(rows(), TASK).code in {"data.unknown_label", "data.no_target", "data.bad_rows"}


class TestInferLabels:
    def test_names_are_sorted_and_gaps_do_not_count(self) -> None:
        rows = [{"label": value} for value in ["b", " a", 1, 1.0, None, "", float("nan"), b"x", "b"]]
        assert infer_labels(rows, "label") == ("1", "a", "b")
        assert infer_labels([Example({}, "b"), Example({}, "a"), Example({})], "label") == ("a", "b")

    @pytest.mark.parametrize(
        ("values", "code"),
        [
            (["a", "a"], "data.one_label"),
            ([None, ""], "data.one_label"),
            ([str(i) for i in range(201)], "data.too_many_labels"),
            ([["a"], ["b"]], "data.too_many_labels"),
        ],
    )
    def test_what_is_no_column_of_labels(self, values: list[Any], code: str) -> None:
        with pytest.raises(DataError) as caught:
            infer_labels([{"label": value} for value in values], "label")
        assert caught.value.code == code

    def test_two_hundred_labels_are_labels(self) -> None:
        assert len(infer_labels([{"label": i} for i in range(200)], "label")) == 200

    def test_a_missing_column_lists_the_nearest(self) -> None:
        with pytest.raises(DataError, match=r"'lable' for the answer is not in the data; did you mean 'label'\?"):
            infer_labels(ROWS, "lable")

    def test_broken_files(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text("{\n{\n")
        with pytest.raises(DataError, match="2 of 2 rows") as caught:
            infer_labels(path, "label")
        assert caught.value.code == "data.bad_json"


def test_real_choices_and_labels(shared: Path) -> None:
    copa = load(shared / "data/tasks/copa/validation.jsonl", Task.choose(["choice1", "choice2"]))
    assert len(copa) == 100
    assert copa.fields() == ("premise", "question")
    banking = shared / "data/tasks/banking77/validation.jsonl"
    data = load(banking, Task.classify(infer_labels(banking, "label")))
    assert (len(data), len(data.classes)) == (1000, 77)
    papers = load(shared / "data/tasks/scitldr/test.jsonl", Task.generate(target="tldrs"), template_fields=["abstract"])
    assert max(len(row.target) for row in papers) > 1
