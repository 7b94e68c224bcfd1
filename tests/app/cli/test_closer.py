"""``evaluate`` looking closer, ``predict`` by a precision and with explanations, with prompts of the embedded model."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from rich.text import Text

import softprompt as sp
from softprompt.app.cli.highlights import highlighted
from softprompt.app.recipes.examine import OF_AN_ANSWER, write_mistakes
from softprompt.core.errors import ConfigError
from softprompt.lab.explanation import Word
from softprompt.lab.slices import Mistake
from softprompt.model.prompts.prompt import Prompt
from tests.app.cli.conftest import write_rows
from tests.modes import for_owner_alone

#: Rows of which a prompt that says anything gets half right, so that a precision of 0.3 can be proved.
ROWS = [
    {"id": f"{n}{word}", "text": f"{word} {n}", "label": word, "channel": ("mail", "chat", "fax")[min(n // 10, 2)]}
    for n in range(22)
    for word in ("good", "bad")
]


@pytest.fixture
def mine(prompts, tmp_path: Path) -> Path:
    """A prompt to write into, beside the rows."""
    write_rows(tmp_path / "rows.jsonl", ROWS)
    return Path(shutil.copytree(prompts["good"], tmp_path / "mine"))


def test_a_threshold_is_found_kept_and_used(cli, mine: Path) -> None:
    done = cli("evaluate", "mine", "--data", "rows.jsonl", "--precision", "0.3", "--json")
    assert done.status == 0, done.err
    (found,) = done.json
    routing = found["routing"]
    assert (routing["target"], routing["same_rows"], routing["chosen_on"]) == (0.3, True, 44)
    assert "softprompt predict mine --min-precision 0.3" in done.err
    (route,) = Prompt.load(mine).manifest.routes
    assert (route.min_confidence, route.answered) == (routing["threshold"], routing["answered"])
    said = cli("predict", "mine", "--input", "rows.jsonl", "--min-precision", "0.25").lines
    assert [one["abstained"] for one in said] == [one["confidence"] < route.min_confidence for one in said]
    again = cli("evaluate", "mine", "--data", "rows.jsonl", "--min-precision", "0.3", "--json").json[0]
    assert again["abstained"] == 44 - routing["answered"]


def test_rows_of_a_customer_count_once(cli, mine: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [{**row, "customer": f"c{n // 2}"} for n, row in enumerate(ROWS)])
    words = ["evaluate", "mine", "--data", "rows.jsonl", "--precision", "0.1", "--no-keep", "--json"]
    (alone,), (grouped,) = cli(*words).json, cli(*words, "--group", "customer").json
    assert (alone["routing"]["chosen_on"], alone["routing"]["counted"]) == (44, "rows")
    assert (grouped["routing"]["chosen_on"], grouped["routing"]["counted"]) == (22, "groups")
    assert (
        "of the groups that get an answer" in grouped["routing"]["sentence"] or grouped["routing"]["threshold"] is None
    )
    assert cli(*words, "--group", "custmer").status == 3


def test_python_says_what_the_command_line_says(cli, mine: Path, tmp_path: Path) -> None:
    words = ["--precision", "0.3", "--slice", "channel", "--fail-under", "accuracy=0.9", "--no-keep"]
    (said,) = cli("evaluate", "mine", "--data", "rows.jsonl", *words, "--json", "--errors", "e.csv").json
    rows, limits = tmp_path / "rows.jsonl", {"accuracy": 0.9}
    (found,) = sp.examine(mine, rows, precision=0.3, slices=["channel"], limits=limits, keep=True)
    for name in ("routing", "slices", "limits", "confusions"):
        assert found.to_dict()[name] == said[name]
    assert not found.passed
    errors = found.errors()
    with (tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [*errors.columns] == [*table[0]][1:] == ["source", "id", "text", *OF_AN_ANSWER]
    assert [*errors["id"]] == [line["id"] for line in table]
    assert len(Prompt.load(mine).manifest.routes) == 1
    for loaded, precision in ((True, 0.3), (False, None)):
        with pytest.raises(ConfigError, match=r"needs precision and paths.*leave keep out"):
            sp.examine(sp.load(mine) if loaded else mine, rows, precision=precision, keep=True)


def test_a_field_called_like_a_column_of_ours_is_not_lost(tmp_path: Path) -> None:
    one = Mistake("a.csv:2", "1", {"source": "the text", "body": "b"}, "yes", None, 0.5, 0.25, 0)
    write_mistakes(tmp_path / "e.csv", [("topic", one)])
    assert (tmp_path / "e.csv").read_text("utf-8").splitlines() == [
        "prompt,source,id,source (text),body,expected,predicted,probability,margin,cut",
        "topic,a.csv:2,1,the text,b,yes,,0.5000,0.2500,0",
    ]


def test_other_rows_can_choose(cli, mine: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "more.jsonl", ROWS[:30])
    words = ["evaluate", "mine", "--data", "rows.jsonl", "--precision", "0.2", "--choose-on", "more.jsonl", "--no-keep"]
    before = (mine / "manifest.json").read_bytes()
    done = cli(*words)
    assert done.status == 0, done.err
    assert "on these 44 rows, which did not choose it," in done.out
    assert (mine / "manifest.json").read_bytes() == before


def test_without_a_threshold_nothing_is_kept_and_the_reason_is_said(cli, mine: Path) -> None:
    done = cli("evaluate", "mine", "--data", "rows.jsonl", "--precision", "0.99")
    assert done.status == 0
    assert "no threshold is proved to reach a precision of 99 %" in done.out
    assert Prompt.load(mine).manifest.routes == ()
    refused = cli("predict", "mine", "--text", "x", "--min-precision", "0.99")
    assert refused.status == 6
    assert "it keeps: none [prompt.no_route]; evaluate it with --precision 0.99" in refused.err


def test_slices_and_errors(cli, mine: Path, tmp_path: Path) -> None:
    done = cli(
        "evaluate", "mine", "--data", "rows.jsonl", "--slice", "channel", "--slice", "label", "--errors", "e.csv"
    )
    assert done.status == 0, done.err
    for words in ("channel", "mail", "chat", "fax", "label", "rows in e.csv"):
        assert words in done.out + done.err
    assert for_owner_alone(tmp_path / "e.csv")
    with (tmp_path / "e.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["probability"] for row in table] == sorted((row["probability"] for row in table), reverse=True)
    assert {row["expected"] for row in table} <= {"good", "bad"}
    assert all(row["expected"] != row["predicted"] and row["source"].startswith("rows.jsonl:") for row in table)
    (found,) = cli("evaluate", "mine", "--data", "rows.jsonl", "--slice", "channel", "--json").json
    assert len(table) == sum(not item["correct"] for item in found["items"])
    assert [one["rows"] for one in found["slices"][0]["slices"]] == [20, 20, 4]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--fail-under", "accuracy=0.1", "--fail-under", "recall.good=1.1"], 10, "recall.good"),
        (["--fail-under", "ece=0"], 10, "failed: ece"),
        (["--fail-under", "acuracy=0.4"], 2, "did you mean 'accuracy'?"),
        (["--fail-under", "accuracy"], 2, "write macro_f1=0.80"),
        (["--precision", "95"], 2, "precision must lie between 0 and 1, got 95"),
        (["--precision", "0.9", "--min-confidence", "0.5"], 2, "cannot be asked together"),
        (["--choose-on", "rows.jsonl"], 2, "rows to choose on are given, and no precision"),
        (["--slice", "chanel"], 3, "the column 'chanel' to slice by is not in the data; did you mean 'channel'?"),
        (["--errors", "nowhere/e.csv"], 8, "nowhere/e.csv cannot be written"),
        (["--min-precision", "0.9"], 6, "prompt.no_route"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_limits_and_bad_input(cli, mine: Path, words: list[str], status: int, said: str) -> None:
    done = cli("evaluate", "mine", "--data", "rows.jsonl", *words)
    assert done.status == status, done.err
    assert said in done.out + done.err
    assert "Traceback" not in done.err


def test_a_limit_between_score_and_lower_bound(cli, mine: Path) -> None:
    score = cli("evaluate", "mine", "--data", "rows.jsonl", "--json").json[0]["metrics"]["accuracy"]
    assert score["low"] < score["estimate"]
    limit = f"accuracy={(score['low'] + score['estimate']) / 2:.4f}"
    kept = cli("evaluate", "mine", "--data", "rows.jsonl", "--fail-under", limit)
    assert (kept.status, f"accuracy {score['estimate']:.3g} keeps" in kept.out + kept.err) == (0, True), kept.err
    broken = cli("evaluate", "mine", "--data", "rows.jsonl", "--fail-under", limit, "--fail-under-bound")
    assert (broken.status, "failed: lower bound of accuracy" in broken.out + broken.err) == (10, True)


def test_limits_as_json(cli, mine: Path) -> None:
    done = cli("evaluate", "mine", "--data", "rows.jsonl", "--fail-under", "accuracy=0.99", "--json")
    assert done.status == 10
    assert done.json[0]["limits"][0] | {"value": 0, "sentence": ""} == {
        "metric": "accuracy", "limit": 0.99, "value": 0, "bound": False, "passed": False, "sentence": ""
    }  # fmt: skip


def test_explained_answers(cli, mine: Path, prompts) -> None:
    done = cli("predict", "mine", "--text", "A good day, isn't it", "--explain")
    assert done.status == 0, done.err
    assert "A good day, isn't it" in done.out
    (one,) = cli("predict", "mine", "--text", "A good day, isn't it", "--explain", "--json").lines
    words = one["explanation"]["words"]
    assert [(word["word"], word["offset"]) for word in words] == [
        ("A", 0), ("good", 2), ("day", 7), (",", 10), ("isn't", 12), ("it", 18)
    ]  # fmt: skip
    assert one["explanation"]["method"] == "occlusion"
    both = cli("predict", "mine", prompts["tone"], "--text", "Fine", "--explain-by", "gradient", "--json").lines[0]
    assert {name: said["explanation"]["method"] for name, said in both["answers"].items()} == {
        "good": "gradient", "tone": "gradient"
    }  # fmt: skip
    cli("predict", "mine", "--text", "Fine", "--explain", "--output", "out.jsonl")
    assert json.loads(Path("out.jsonl").read_text())["explanation"]["words"][0]["word"] == "Fine"
    assert "did you mean 'gradient'" in cli("predict", "mine", "--text", "x", "--explain-by", "gradiant").err


def test_words_are_marked_by_how_much_they_decided() -> None:
    text = "a good day"
    words = [Word("a", "text", 0, 0.01), Word("good", "text", 2, 2.0), Word("day", "text", 7, -0.5)]
    spans = [(span.start, span.end, str(span.style)) for span in highlighted(text, words).spans]
    assert spans == [(2, 6, "bold green reverse"), (7, 10, "red")]
    assert highlighted(text, []) == Text(text)
