"""``softprompt compare`` as it is typed: tables, JSON, one-line errors. Nothing is trained."""

import json

import pytest

from softprompt.app.cli.compare import kept_in, parse_budget, render
from softprompt.app.cli.face import Screen
from softprompt.core.cards.comparison import cost_rows, decision_rows, left_out_rows
from softprompt.core.errors import ConfigError
from tests.app.cli.conftest import write_rows


def test_a_table_json_and_a_rerun(cli, tmp_path):
    write_rows(tmp_path / "rows.jsonl")
    line = ("compare", "--train", "rows.jsonl", "-c", "majority", "-c", "{text} is {answer}", "--budget", "steps=9")
    done = cli(*line)
    assert done.status == 0, done.err
    assert "nothing is shown to be better than majority" in done.out or "better than majority" in done.out
    assert "text prompt: {text} is {answer}" in done.out
    assert "what it costs" in done.out
    assert "runs/rows-compare/table.json" in done.out.replace("\\", "/")
    again = cli(*line, "--json").json
    assert again["fresh"] == []
    assert again["table"]["schema"] == 1
    assert again["table"]["budget"] == {"steps": 9}
    assert cli("runs", "--json").json[0]["state"] == "finished"
    assert "what it costs" in cli("show", "runs/rows-compare").out
    assert cli("show", "runs/rows-compare", "--json").json["kind"] == "comparison"


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--budget", "epochs=3"), "config.usage", "steps=200, tokens=1000000 or minutes=10"),
        (("-c", "lorra"), "config.unknown_name", "did you mean 'lora'"),
        (("-c", "majority", "-c", "api"), "config.invalid", "the contender 'api' needs more than its name"),
        (("-c", "majority", "--reference", "nobody"), "config.invalid", "no contender is called 'nobody'"),
    ],
)
def test_bad_input_is_one_line(cli, tmp_path, flags, code, said):
    write_rows(tmp_path / "rows.jsonl")
    done = cli("compare", "--train", "rows.jsonl", *flags)
    assert done.status != 0
    assert "Traceback" not in done.err
    assert said in done.err
    assert code in done.err


def test_what_is_kept_is_said_as_far_as_it_is_true(tmp_path):
    (tmp_path / "work" / "key").mkdir(parents=True)
    assert kept_in(tmp_path) == ""
    (tmp_path / "work" / "key" / "train.checkpoint").write_bytes(b"x")
    assert "keeps what a contender has learnt so far, and the same command goes on" in kept_in(tmp_path)
    (tmp_path / "lines").mkdir()
    for name in "ab":
        (tmp_path / "lines" / f"{name}.json").write_text("{}")
    assert "keeps 2 complete lines and what a contender has learnt so far" in kept_in(tmp_path)


@pytest.mark.parametrize("text", ["steps", "steps=x", "tokens=1.5", "=3", ""])
def test_budgets_that_are_none(text):
    with pytest.raises(ConfigError, match="is no budget"):
        parse_budget(text)


def line(name, **changes):
    cost = {"fit_seconds": 2.0, "predict_seconds": 1.0, "latency_ms": 30.0, "num_trained": 21_760, "num_bytes": 87_040}
    cost |= {"peak_bytes": 5_000_000, "tokens": 40.0, "tokens_out": 0.0, "joules": None, "usd": None}
    score = {"estimate": 0.7, "low": 0.6, "high": 0.8}
    calibration = {"ece": {"estimate": 0.1}, "brier": {"estimate": 0.4}}
    run = {"cost": cost | changes.pop("cost", {}), "evaluation": {"calibration": calibration}}
    return {"name": name, "left_out": "", "score": score, "spread": 0.02, "runs": [run], **changes}


def document():
    verdict = {
        "name": "LoRA",
        "verdict": "better",
        "p_adjusted": 0.01,
        "rows_to_decide": None,
        "sentence": "it is better",
    }
    unsure = {
        "name": "API",
        "verdict": "cannot tell",
        "p_adjusted": 1.0,
        "rows_to_decide": 1600,
        "sentence": "who knows",
    }
    difference = {"estimate": 0.05, "low": 0.01, "high": 0.09}
    api = line("API", cost={"usd": 0.0123, "num_bytes": 0, "num_trained": 0, "tokens_out": 3.0}, spread=None)
    api["runs"][0]["evaluation"]["calibration"] = {}
    return {
        "name": "demo",
        "verdict": "LoRA is better than ours",
        "reference": "ours",
        "metric": "macro_f1",
        "rows": {"train": {"count": 100}},
        "budget": {"steps": 200},
        "seeds": [0, 1],
        "warnings": ["40 test rows are few"],
        "verdicts": [verdict | {"difference": difference}, unsure | {"difference": difference}],
        "contenders": [line("ours"), line("LoRA"), api, line("out", runs=[], score=None, left_out="it needs peft")],
    }


def test_what_decides_stands_first_and_what_is_unknown_is_no_zero():
    table = decision_rows(document())
    heads = [column.name for column in table.columns]
    assert heads[:6] == ["", "than ours", "by", "", "p", "rows to decide"]
    assert [row[1] for row in table.rows] == ["reference", "better", "cannot tell"]
    assert table.strong == 0
    assert table.rows[2][5] == "1,600"
    assert table.rows[2][-2:] == ("-", "-")
    costs = cost_rows(document())
    assert [row[7] for row in costs.rows] == ["?"] * 3
    assert [row[8] for row in costs.rows] == ["-", "-", "$0.0123"]
    assert costs.rows[2][5] == "43"
    assert left_out_rows(document()).rows == (("out", "it needs peft"),)


@pytest.mark.parametrize("width", [80, 140])
def test_it_fits_the_window(width, capsys):
    screen = Screen()
    screen.width = width
    for rows in (decision_rows(document()), cost_rows(document())):
        from softprompt.app.cli.tables import table_of

        screen.print(table_of(rows, width=width))
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) <= width
    assert any("cannot tell" in one for one in shown)


def test_people_see_warnings_and_reasons(capsys):
    report = {"table": document(), "fresh": [], "seconds": 1.0, "folder": "runs/demo"}
    render(Screen(), json.loads(json.dumps(report)))
    shown = capsys.readouterr().out
    assert "note: 40 test rows are few" in shown
    assert "it needs peft" in shown
    assert "nothing had to be run" in shown


def test_lines_of_an_earlier_comparison_explain_no_error_of_this_one(cli, tmp_path):
    write_rows(tmp_path / "rows.jsonl")
    lines = tmp_path / "runs" / "rows-compare" / "lines"
    lines.mkdir(parents=True)
    (lines / "a.json").write_text("{}")
    done = cli("compare", "--train", "rows.jsonl", "--target", "nothing", "--name", "rows")
    assert done.status == 3
    assert "data.missing_column" in done.err
    assert "keeps" not in done.err
