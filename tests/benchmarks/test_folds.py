"""The small benchmarks of folds: the page of the ratio, and the simulation of out-of-fold intervals."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from benchmarks import folds, out_of_fold
from benchmarks.folds import Found, Seconds
from softprompt.lab.training.outcome import Event
from softprompt.testing import tiny


def seconds(read: float, probe: float, train: float, *, wall: float) -> Seconds:
    return Seconds({"read": read, "probe": probe, "train": train}, wall)


def test_page_shows_medians_and_their_ratios_by_length() -> None:
    long = Found(
        250.4,
        20,
        {
            "separately": [seconds(5.0, 10.0, t, wall=t + 20) for t in (40, 50, 90)],
            "in one pass": [seconds(1.0, 2.0, t, wall=t + 15) for t in (10, 25, 30)],
        },
    )
    short = Found(43.0, 20, {"separately": [seconds(1, 2, 3, wall=0)], "in one pass": [seconds(1, 1, 1, wall=0)]})
    lines = folds.page([long, short], load=0.5).splitlines()
    assert lines[2] == "| 20 | 43 | 6 s | 3 s | 2.00 |  | 1.00 | 2.00 | 3.00 |", "of parts: no time on the clock"
    assert lines[3] == "| 20 | 250 | 65 s | 28 s | 2.32 | 1.75 | 5.00 | 5.00 | 2.00 |"
    assert lines[-1].startswith("Median of 1.")
    few = replace(short, soft=5)
    assert folds.page([few, long], load=0.5).splitlines()[3].startswith("| 5 | 43 |"), "the default comes first"


def test_longer_texts_are_messages_joined_with_those_that_follow() -> None:
    rows = [{"text": f"message number {i} is here", "topic": str(i)} for i in range(folds.ROWS + 5)]
    tokenizer = tiny().tokenizer
    size = len(tokenizer.encode(rows[0]["text"]))
    single, longer = (folds.joined(rows, tokens, tokenizer) for tokens in (0, 4 * size))
    assert single == rows[: folds.ROWS]
    assert longer[0]["text"].count("message") in (3, 4, 5)
    assert longer[0]["text"].startswith(f"{rows[0]['text']} {rows[1]['text']}")
    assert [row["topic"] for row in longer] == [row["topic"] for row in single]


def test_a_stage_is_put_together_from_medians_of_its_steps_and_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 2.0, 5.0, 6.0, 8.0, 10.0, 19.0])
    monkeypatch.setattr(folds.time, "process_time", lambda: next(times))
    spans = folds.Spans()
    spans.on_read(1, 2)
    spans.on_read(2, 2)
    for kind in ("evaluate", "step", "step", "step"):
        spans.on_event("train", Event(kind, 1, 9))
    assert (spans.read, spans.whole("train")) == (5.0, 14.0)
    assert spans.as_of("train", steps=150, looks=7) == 150 * 2.0 + 7 * 1.0


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    found = {
        "5 after 128": asdict(
            Found(130.0, 5, {side: [seconds(1, 2, 3, wall=6)] for side in ("separately", "in one pass")})
        )
    }
    work = tmp_path / "found.json"
    work.write_text(json.dumps(found))
    assert folds._known(work)["5 after 128"].runs["separately"] == [seconds(1, 2, 3, wall=6)]
    assert folds._known(tmp_path / "none.json") == {}


@pytest.mark.parametrize("learner", out_of_fold.LEARNERS)
def test_widened_intervals_hold_the_truth_about_as_often_as_they_say(learner: str) -> None:
    draws = [out_of_fold.one_draw(out_of_fold.TASKS[0], out_of_fold.LEARNERS[learner], 50, seed) for seed in range(30)]
    accuracy = [one["accuracy"] for one in draws]
    held = [fmean(held[0] for held in pairs) for pairs in ([o.plain for o in accuracy], [o.wide for o in accuracy])]
    assert 0.8 <= held[0] <= held[1]
    assert held[1] >= 0.83  # 0.95 less three standard errors of 30 draws


def test_folds_of_the_simulation_are_stratified() -> None:
    labels = np.repeat([0, 1], [40, 10])
    place = out_of_fold.folds(labels, np.random.default_rng(0))
    assert [np.bincount(labels[place == fold]).tolist() for fold in range(5)] == [[8, 2]] * 5
