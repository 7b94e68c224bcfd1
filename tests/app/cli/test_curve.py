"""``softprompt curve``: from rows to a table and a forecast, stopped and gone on with, and what it refuses."""

import json
from pathlib import Path

import pytest

from tests.app.cli.conftest import cli, write_rows

__all__ = ["cli"]  # fixture

WORDS = ("sun", "rain", "wind", "snow", "fog", "ice", "storm", "cloud")
ROWS = [{"id": str(n), "text": f"{WORDS[n % 8]} {n}", "label": "warm" if n % 8 < 4 else "cold"} for n in range(64)]


def arguments(folder: Path, *more: str) -> list[str]:
    write_rows(folder / "rows.jsonl", ROWS)
    write_rows(
        folder / "test.jsonl", [{**row, "id": f"t{row['id']}", "text": f"{row['text']} again"} for row in ROWS[:30]]
    )
    return ["curve", "--train", "rows.jsonl", "--test", "test.jsonl", "--name", "weather", *more]


def test_a_curve_is_measured_kept_and_reported(cli, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    line = arguments(tmp_path, "-c", "majority", "-c", "tfidf", "--draws", "2", "--more", "20")
    done = cli(*line)
    assert done.status == 0, done.err
    assert "majority: the same score after any number of labels" in done.out
    assert "next:  softprompt report runs/weather-curve" in done.out
    points = sorted((tmp_path / "runs" / "weather-curve" / "points").iterdir())
    assert len(points) == 2 * 3 * 2
    before = [path.stat().st_mtime_ns for path in points]
    points[0].write_text("{cut off", encoding="utf-8")
    again = cli(*line, "--json").json
    assert again["fresh"] == 1, "a damaged point is measured again, the others are not"
    assert [path.stat().st_mtime_ns for path in points[1:]] == before[1:]
    assert again["sizes"] == [16, 32, 64]
    kept = json.loads((tmp_path / "runs" / "weather-curve" / "curve.json").read_text("utf-8"))
    assert kept["curves"] == again["curves"]
    page = cli("report", "runs/weather-curve", "--json").json
    assert page["curves"][0]["num_rows"] == 64
    assert (tmp_path / "runs" / "weather-curve" / "report" / "report.html").is_file()


def test_a_soft_prompt_takes_part_with_a_part_of_each_subset_to_choose_by(cli, tmp_path: Path) -> None:
    line = arguments(tmp_path, "-c", "after", "--draws", "1", "--from", "32", "--set", "training.steps=1")
    done = cli(*line, "--set", "training.rate=0.1", "--set", "max_tokens=24", "--json")
    assert done.status == 0, done.err
    (curve,) = done.json["curves"]
    assert [point["rows"] for point in curve["points"]] == [32, 64]
    assert all(0 <= point["score"] <= 1 for point in curve["points"])
    assert "too few points for a forecast" in curve["note"]


@pytest.mark.parametrize(
    ("more", "status", "told"),
    [
        (["-c", "ensemble"], 2, "takes no part in a curve"),
        (["-c", "lorra"], 2, "no contender is called 'lorra'; did you mean 'lora'"),
        (["-c", "majority", "--from", "40"], 3, "80 labelled rows at least, there are 64"),
        (["--draws", "0"], 2, "draws"),
        (["-c", "majority", "--metric", "accurracy"], 2, "there is no metric 'accurracy'; did you mean 'accuracy'"),
        (["-c", "majority", "--metric", "rmse"], 2, "rmse is for numbers on a scale"),
        (
            ["-c", "majority", "--metric", "perplexity"],
            2,
            "perplexity judges how likely texts are, a curve judges answers",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(cli, tmp_path: Path, more, status, told) -> None:
    done = cli(*arguments(tmp_path, *more))
    assert told in done.err
    assert done.status == status
    assert "Traceback" not in done.err


@pytest.mark.parametrize("more", [["--metric", "nix"], ["--metric", "rmse"]])
def test_a_metric_that_cannot_judge_is_refused_before_a_model_is_loaded(cli, tmp_path: Path, more) -> None:
    done = cli(*arguments(tmp_path, "-c", "majority", "--model", str(tmp_path / "no-such-model"), *more))
    assert done.status == 2
    assert more[1] in done.err
    assert "no-such-model" not in done.err


def test_a_method_that_does_not_fit_is_left_out_before_any_point_with_the_reason(cli, tmp_path: Path) -> None:
    line = arguments(tmp_path, "--template", "{text}<soft 4>{answer}", "-c", "deep", "--draws", "1")
    alone = cli(*line)
    assert alone.status == 2
    assert "nobody takes part" in alone.err
    assert "an answer is read directly behind slot 'soft'" in alone.err
    assert not (tmp_path / "runs" / "weather-curve").exists()
    beside = cli(*line, "-c", "majority", "--json").json
    assert [one["name"] for one in beside["curves"]] == ["majority"]
    assert list(beside["left_out"]) == ["soft prompt deep"]
