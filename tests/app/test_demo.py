"""The demonstration on a tiny model: a whole run, what it leaves, and every way it can be refused."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from softprompt.app.demo import Answerer, DemoResult, DemoSettings, run_demo
from softprompt.app.demo import rows as table_rows
from softprompt.app.demo.reading import WARM_UP, compare_readings
from softprompt.app.demo.result import AFTER, BEFORE, verdict_sentence
from softprompt.app.demo.rows import EXAMPLE_TARGETS, read_table
from softprompt.app.recipes.predict import predict
from softprompt.app.watch import Watcher
from softprompt.core.errors import ConfigError, DataError, SoftpromptError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab.comparison import Standing, compare
from softprompt.lab.evaluation import evaluate
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Prediction
from softprompt.model.prompts.prompt import Prompt
from softprompt.testing import tiny

SENTENCE = "Where is <b>my</b> parcel?"


def write_table(path: Path, number: int = 48, **others: Sequence[str]) -> Path:
    """A table with a text and two answers to it; texts are all different, and ``others`` are further columns."""
    topics = ("billing", "delivery", "returns")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "topic", "urgent", *others])
        for n in range(number):
            topic = topics[n % 3]
            writer.writerow(
                [f"{topic} {n}", topic, "yes" if n % 4 == 0 else "no", *(one[n] for one in others.values())]
            )
    return path


def settings(folder: Path, **changes: Any) -> DemoSettings:
    """A demonstration of a second or two."""
    given = {"data": folder / "rows.csv", "output": folder / "out", "max_time": 60, "max_steps": 2, "length": 3}
    return DemoSettings.parse(given | changes)


class Recorder(Watcher):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self.stages.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def model() -> Backbone:
    return tiny("llama")


@pytest.fixture(scope="module")
def heard() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def result(model: Backbone, heard: Recorder, tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    folder = tmp_path_factory.mktemp("demo")
    write_table(folder / "rows.csv")
    return run_demo(settings(folder, texts=(SENTENCE,)), heard, backbone=model)


# ---------------------------------------------------------------- a whole run


def test_every_question_has_every_line(result: DemoResult) -> None:
    assert [one.target for one in result.questions] == ["topic", "urgent"]
    lines = [
        "majority",
        "TF-IDF + logistic regression",
        "zero-shot text prompt",
        "few-shot text prompt",
        AFTER,
        BEFORE,
    ]
    for question in result.questions:
        assert [one.name for one in question.comparison.standings] == lines
        assert question.comparison.reference == AFTER
        assert question.verdict.startswith(f"{question.target}: the soft prompt (")


def test_lines_are_judged_on_the_same_rows_and_say_what_they_cost(result: DemoResult) -> None:
    for question in result.questions:
        ids = {tuple(item.id for item in one.evaluation.items) for one in question.comparison.standings}
        assert len(ids) == 1
        by_name = {one.name: one for one in question.comparison.standings}
        for soft in (by_name[AFTER], by_name[BEFORE]):
            assert soft.fit_seconds > 0
            assert soft.num_bytes == 4 * soft.num_trained > 0
        assert by_name["majority"].num_bytes == 0
    first, second = (q.comparison.standings[0].evaluation.items for q in result.questions)
    assert [item.id for item in first] == [item.id for item in second], "all questions are about the same rows"


def test_first_score_comes_before_any_reading(heard: Recorder, result: DemoResult) -> None:
    assert heard.notes[0].startswith("topic: majority 0.")
    stages = [name.split(" ")[0] for name in heard.stages]
    assert stages.index("majority") < stages.index("zero-shot") < stages.index("train")
    assert sum(name.startswith("read every text once") for name in heard.stages) == 1


def test_prompts_are_saved_as_they_were_judged(result: DemoResult, model: Backbone) -> None:
    for question in result.questions:
        prompt = Prompt.load(question.prompt)
        own = next(one for one in question.comparison.standings if one.name == AFTER)
        assert prompt.manifest.placement == "after"
        assert prompt.num_bytes == own.num_bytes
        assert prompt.manifest.scores[0].value == own.evaluation.headline.estimate
        assert prompt.manifest.scores[0].split == "test"
    (answered,) = predict([one.prompt for one in result.questions], [SENTENCE], backbone=model)
    (reply,) = result.replies
    assert {name: one.text for name, one in answered.answers.items()} == {
        name: one.text for name, one in reply.answers.items()
    }


def test_saved_prompts_answer_together(result: DemoResult, model: Backbone) -> None:
    answer = Answerer.load([one.prompt for one in result.questions], backbone=model)
    reply = answer(SENTENCE)
    assert reply.answers == result.replies[0].answers
    assert reply.milliseconds > 0


def test_folder_says_what_it_holds(result: DemoResult) -> None:
    assert {path.name for path in result.folder.iterdir()} == {
        "README.md",
        "result.html",
        "result.json",
        "topic",
        "urgent",
    }
    listing = (result.folder / "README.md").read_text("utf-8")
    for path in ("result.html", "topic/", "urgent/"):
        assert f"`{path}`" in listing
    for command in result.commands:
        assert command.line in listing


def test_numbers_are_clean_json(result: DemoResult) -> None:
    kept = json.loads((result.folder / "result.json").read_text("utf-8"))
    assert kept == json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert "items" not in kept["questions"][0]["comparison"]["standings"][0]["evaluation"]
    assert kept["rows"] == {"train": 24, "validation": 8, "test": 16}
    assert kept["seconds"]["total"] == pytest.approx(sum(v for k, v in kept["seconds"].items() if k != "total"))


def test_page_shows_the_result_and_escapes_the_sentence(result: DemoResult) -> None:
    page = result.page.read_text("utf-8")
    assert "Where is &lt;b&gt;my&lt;/b&gt; parcel?" in page
    assert "<b>" not in page
    for question in result.questions:
        assert f"<h2>{question.target}</h2>" in page


def test_training_keeps_to_its_steps_and_reads_once_only_after_the_text(result: DemoResult) -> None:
    after, before = result.learning
    assert (after.place, before.place) == ("after", "before")
    assert 1 <= after.steps <= 2
    assert 1 <= before.steps <= 2
    assert after.read_seconds > 0 == before.read_seconds


def test_commands_name_the_own_table(result: DemoResult) -> None:
    lines = "\n".join(one.line for one in result.commands)
    assert f"predict {result.folder / 'topic'} {result.folder / 'urgent'} --text" in lines
    assert "rows.csv --text-column body --target topic" in lines


def test_caveat_says_that_a_toy_predicts_nothing(result: DemoResult) -> None:
    assert "does not predict" in result.caveat
    large = replace(result, model={**result.model, "num_parameters": 7_000_000_000})
    assert "teaching size" not in large.caveat


def test_one_reading_gives_the_same_answers(result: DemoResult, model: Backbone) -> None:
    assert result.one_reading.same_answers == 1
    assert result.one_reading.max_difference < 1e-5
    asks = Answerer.load([one.prompt for one in result.questions], backbone=model).asks
    found = compare_readings(model, asks, [Example({"text": "one"}), Example({"text": "two"})], seconds=0.0)
    assert (found.num_prompts, found.num_texts) == (2, 5)
    assert WARM_UP + found.num_texts > 2, "few texts come round again"
    assert found.ratio == found.apart_ms / found.shared_ms


# ---------------------------------------------------------------- the folder


def test_second_run_replaces_the_first(result: DemoResult, model: Backbone, tmp_path: Path) -> None:
    write_table(tmp_path / "rows.csv")
    given = settings(tmp_path, targets=("topic",), output=result.folder)
    again = run_demo(given, backbone=model)
    assert json.loads((result.folder / "result.json").read_text("utf-8")) == again.to_dict()
    assert [one.target for one in again.questions] == ["topic"]


def test_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="holds something that is no demonstration") as caught:
        run_demo(settings(tmp_path))
    assert caught.value.code == "config.invalid"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        run_demo(settings(tmp_path, output=tmp_path / "file"))


def test_interruption_ends_it_and_leaves_nothing(model: Backbone, tmp_path: Path) -> None:
    class Impatient(Watcher):
        def advance(self, done: int, **facts: object) -> None:
            if "loss" in facts:
                raise KeyboardInterrupt

    write_table(tmp_path / "rows.csv")
    with pytest.raises(KeyboardInterrupt):
        run_demo(settings(tmp_path, targets=("topic",)), Impatient(), backbone=model)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- rows


def test_example_messages_are_the_default() -> None:
    table = read_table(DemoSettings())
    assert table.targets == EXAMPLE_TARGETS == ("topic", "sentiment", "urgent")
    for sources in table.sources.values():
        assert {name: len(rows) for name, rows in sources.items()} == {"train": 300, "validation": 100, "test": 200}


def test_columns_are_found(tmp_path: Path) -> None:
    ids = [f"x{n}" for n in range(48)]
    write_table(tmp_path / "rows.csv", id=ids, constant=["same"] * 48)
    table = read_table(settings(tmp_path))
    assert (table.text_column, table.targets) == ("body", ("topic", "urgent"))
    assert not table.example


def test_parts_hold_different_rows_and_the_same_for_every_question(tmp_path: Path) -> None:
    write_table(tmp_path / "rows.csv")
    topic, urgent = read_table(settings(tmp_path)).sources.values()
    texts = {name: [row.fields["text"] for row in part] for name, part in topic.items()}
    assert sum(map(len, texts.values())) == len({text for part in texts.values() for text in part}) == 48
    assert texts == {name: [row.fields["text"] for row in part] for name, part in urgent.items()}
    assert {row.target for row in urgent["test"]} == {"yes", "no"}


def test_a_part_is_taken_of_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path / "rows.csv")
    monkeypatch.setattr(table_rows, "MOST_ROWS", 24)
    table = read_table(settings(tmp_path))
    assert sum(len(part) for part in table.sources["topic"].values()) == 24
    assert table.notes == ("24 of 48 rows taken, to keep to the time",)


def test_rows_that_lack_one_answer_are_left_out_of_all(tmp_path: Path) -> None:
    write_table(tmp_path / "rows.csv", number=48, tone=["kind", ""] + ["kind", "cross"] * 23)
    with pytest.raises(DataError, match=r"rows\.csv:3") as caught:
        read_table(settings(tmp_path, targets=("topic", "tone")))
    assert caught.value.code == "data.no_target"
    table = read_table(settings(tmp_path, targets=("topic", "tone"), on_bad_row="skip"))
    for sources in table.sources.values():
        assert sum(len(part) for part in sources.values()) == 47
    assert table.notes == ("1 rows without a usable text or answer left out",)


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"data": "nowhere.csv"}, "data.missing_file", "no such file"),
        ({"text_column": "bodi"}, "data.missing_column", "did you mean 'body'"),
        ({"targets": ("topik",)}, "data.missing_column", "did you mean 'topic'"),
        ({"targets": ("body",)}, "data.leaked_answer", "would read what it is asked"),
        ({"targets": ("constant",)}, "data.one_label", "only the label 'same'"),
    ],
)
def test_bad_rows_are_refused(tmp_path: Path, changes: dict[str, Any], code: str, said: str) -> None:
    write_table(tmp_path / "rows.csv", constant=["same"] * 48)
    with pytest.raises(SoftpromptError, match=said) as caught:
        run_demo(settings(tmp_path, **changes))
    assert caught.value.code == code
    assert not (tmp_path / "out").exists()


def test_table_without_labels_names_its_columns(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("body,n\n" + "".join(f"text {n},{n}\n" for n in range(30)))
    with pytest.raises(DataError, match=r"no column looks like labels.*body, n.*--target"):
        read_table(settings(tmp_path))


def test_few_rows_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "rows.csv", number=2)
    with pytest.raises(DataError) as caught:
        read_table(settings(tmp_path, targets=("topic",)))
    assert caught.value.code == "data.too_few_rows"


# ---------------------------------------------------------------- verdicts


def standing(name: str, right: int, of: int = 100) -> Standing:
    """A line that answers its first rows right."""
    rows = [Example({"text": str(n)}, target="yes", id=str(n)) for n in range(of)]
    said = [
        Prediction(str(n), "yes" if n < right else "no", {"no": float(n >= right), "yes": float(n < right)}, 1.0)
        for n in range(of)
    ]
    task = Task.classify(["no", "yes"], metrics=("accuracy",))
    return Standing(evaluate(said, rows, task, name=name), 1.0, 1, 1)


def test_verdict_says_wins_losses_and_ties() -> None:
    lines = [
        standing("luck", 20),
        standing("words", 90),
        standing("twin", 61),
        standing(AFTER, 60),
        standing(BEFORE, 10),
    ]
    found = verdict_sentence(compare(lines, reference=AFTER), target="topic")
    assert found.startswith("topic: the soft prompt (60 % accuracy) beats luck, loses to words by 30 points [")
    assert found.endswith("] and cannot be told from twin.")
    assert BEFORE not in found


def test_a_busy_machine_makes_the_least_number_of_steps_and_says_so(
    model: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softprompt.app.demo.training.PATIENCE", 1000)
    write_table(tmp_path / "rows.csv")
    heard = Recorder()
    result = run_demo(settings(tmp_path, max_time=0.01, max_steps=5), heard, backbone=model)
    assert result.learning[0].steps == 5
    assert not result.learning[0].cut_short
    assert any("5 steps are made all the same" in note for note in heard.notes)
