import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import BadRow, Dataset
from softprompt.data.page import DataPage, Lengths
from softprompt.data.sources import load

TASK = Task.classify(["x", "y", "z"])


def words(text: str) -> int:
    return len(text.split())


def dataset(*rows: tuple[str, str], skipped: int = 0) -> Dataset:
    bad = tuple(BadRow(f"f:{i}", "data.no_target", "no label") for i in range(skipped))
    return Dataset(tuple(Example({"text": text}, label) for text, label in rows), classes=TASK.names, skipped=bad)


def page(max_tokens: int | None = None, **splits: Dataset) -> DataPage:
    return DataPage.of(splits, TASK, count_tokens=words, max_tokens=max_tokens)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_percentiles_are_lengths_that_occur_in_order(lengths: list[int]) -> None:
    found = Lengths.of(lengths)
    assert found.shortest == min(lengths) <= found.median <= found.p95 <= found.longest == max(lengths)
    assert {found.median, found.p95} <= set(lengths)
    assert sum(length <= found.p95 for length in lengths) >= 0.95 * len(lengths)
    assert sum(length < found.p95 for length in lengths) < 0.95 * len(lengths)


def test_a_healthy_data_set_has_no_warnings() -> None:
    rows = [(f"message number {i} {label}", label) for label in "xyz" for i in range(60)]
    healthy = page(
        train=dataset(*rows), test=dataset(*((f"other {text}", label) for text, label in rows)), max_tokens=9
    )
    assert healthy.warnings == ()
    assert "look at this" not in healthy.lines()


def test_every_fault_has_its_sentence() -> None:
    train = [(f"message {i}", "x") for i in range(100)]
    train += [("a text that is far too long to fit", "y"), ("", "y"), ("Twice", "y"), ("twice!", "x")]
    test = [("message 7", "x"), ("fresh", "y"), ("MESSAGE 8", "x")]
    found = page(train=dataset(*train, skipped=2), test=dataset(*test), max_tokens=5)
    assert list(found.warnings) == [
        "train: no row of z",
        "train: fewer than 8 rows of y (3): expect little of them",
        "train: 'x' has 34 times the rows of 'y': watch macro_f1 beside accuracy",
        "test: no row of z",
        "test: the text of 2 rows stands in train too: its score would measure memory; drop them from train",
        "1 text has different answers in different rows",
        "train: 2 rows could not be used and were left out",
        "train: 1 row without any text",
        "train: 1 of 104 rows was too long: 4 tokens were left out, at the end",
        "train: 1 row repeating an earlier text",
        "test: 3 rows judge within ± 57 points at worst",
    ]
    assert found.num_leaked == {"test": 2}
    assert found.splits["train"].num_cut == 1


def test_groups_count_as_one_row_at_worst_and_are_named_where_they_straddle() -> None:
    def grouped(groups: str) -> Dataset:
        rows = (Example({"text": f"{groups} {n}"}, "xyz"[n % 3], group=group) for n, group in enumerate(groups))
        return Dataset(tuple(rows), classes=("x", "y", "z"))

    found = page(train=grouped("aabbcc" * 4), validation=grouped("ddeeff"), test=grouped("aacdde")).warnings
    assert "test: 3 rows of 2 groups that train has too: a new one may do worse" in found
    assert "test: 6 rows in 4 groups judge within ± 40 to 49 points at worst" in found
    assert "validation: 6 rows in 3 groups judge within ± 40 to 57 points at worst" in found
    assert sum("too" in line for line in found) == 1
    many = Dataset(tuple(Example({"text": str(n)}, "x", group="only") for n in range(300)), classes=("x", "y", "z"))
    assert "test: 300 rows in 1 group judge within ± 6 to 98 points at worst" in page(test=many).warnings


def test_points_are_told_of_shares_alone() -> None:
    rating = Task.score((1, 2, 3))
    rows = Dataset(tuple(Example({"text": str(n)}, n % 3 + 1) for n in range(20)))
    for task, told in ((rating, False), (Task.generate(), True)):
        found = DataPage.of({"test": rows}, task, count_tokens=words).warnings
        assert any("points" in line for line in found) == told


def test_one_label_is_said_first() -> None:
    assert page(train=dataset(("a", "x"), ("b", "x"))).warnings[0] == (
        "train: every row has the label 'x': there is nothing to learn"
    )


def test_fields_are_measured_apart_and_together() -> None:
    rows = tuple(Example({"title": "", "text": "a b " * i}, f"summary {i}") for i in range(1, 4))
    found = DataPage.of({"train": Dataset(rows)}, Task.generate(), count_tokens=words)
    tokens = found.splits["train"].tokens
    assert tokens["title"] == Lengths(0, 0, 0, 0)
    assert tokens["text"] == tokens["total"] == Lengths(2, 4, 6, 6)
    assert found.warnings == ("train: title empty in every row",)


def test_free_texts_may_have_several_answers() -> None:
    rows = Dataset((Example({"text": "a b"}, "one"), Example({"text": "a b"}, "two")))
    found = DataPage.of({"train": rows}, Task.generate(), count_tokens=words)
    assert found.num_conflicting == 1
    assert not any("different answers" in warning for warning in found.warnings)


def test_texts_are_counted_once() -> None:
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return 1

    DataPage.of({"train": dataset(("a", "x"), ("a", "x")), "test": dataset(("a", "y"))}, TASK, count_tokens=count)
    assert asked == ["a"]


def test_rows_without_fields_or_no_rows_at_all() -> None:
    assert page(train=Dataset((Example({}, "x"),))).splits["train"].num_empty == 1
    empty = page(train=Dataset(()))
    assert empty.splits["train"].rows == 0
    assert empty.lines()
    json.dumps(empty.to_dict())


def test_plain_data_and_plain_lines(shared: Path) -> None:
    task = Task.classify(["delivery", "product", "billing", "returns", "account"], target="topic")
    files = {name: shared / f"example/messages.{name}.jsonl" for name in ("train", "validation", "test")}
    splits = {name: load(path, task, template_fields=["text"]) for name, path in files.items()}
    found = DataPage.of(splits, task, count_tokens=words, max_tokens=200)
    data = json.loads(json.dumps(found.to_dict()))
    assert [data["splits"][name]["rows"] for name in files] == [300, 100, 200]
    assert data["splits"]["train"]["hash"] == splits["train"].hash
    assert set(data["splits"]["train"]["tokens"]) == {"total"}
    lines = found.lines()
    assert lines[0] == "train           300 rows"
    assert any(line.split()[0] == "billing" for line in lines if line.strip())
    assert all(len(line) <= 120 for line in lines)


def test_columns_that_the_template_does_not_read_are_not_counted():
    rows = [Example({"text": "a b", "thread": "c " * 50}, "x"), Example({"text": " ", "thread": "d"}, "y")]
    splits = {"train": Dataset(tuple(rows), classes=TASK.names)}
    found = DataPage.of(splits, TASK, count_tokens=words, max_tokens=10, fields=("text",)).splits["train"]
    assert (found.tokens["total"].longest, found.num_cut, found.num_empty) == (2, 0, 1)
    assert DataPage.of(splits, TASK, count_tokens=words, max_tokens=10).splits["train"].num_cut == 1
