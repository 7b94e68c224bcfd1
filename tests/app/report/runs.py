"""Folders as runs leave them, made without a model: a comparison of four lines, a run, an evaluation, a curve."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from softprompt.core.metrics import make_metric
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab.comparison import Standing, compare
from softprompt.lab.comparison.deciding import decide, score_of, spread_of, verdict_of
from softprompt.lab.comparison.table import ComparisonTable, Cost, Line, RunRecord
from softprompt.lab.evaluation import Evaluation, evaluate
from softprompt.lab.learning_curve import Curve, LearningCurve, Point
from softprompt.lab.learning_curve.forecasts import forecast
from softprompt.model.prediction import Prediction

LABELS = ("billing", "delivery", "returns")
TASK = Task.classify(LABELS, metrics=["accuracy"])
EVIL = "<script>alert('x')</script>&\"{{ 7 * 7 }}"


def rows(count: int = 90, *, first: int = 0) -> list[Example]:
    """Judged rows."""
    return [
        Example({"text": f"message {n}"}, target=LABELS[n % 3], id=f"row-{n}", source=f"test.csv:{n + 2}")
        for n in range(first, first + count)
    ]


@cache
def judged(name: str, right: float, *, seed: int = 0, of: tuple[int, int] = (90, 0), sure: bool = True) -> Evaluation:
    """An evaluation of so many rows from a number on, with about so many right; ``sure`` gives probabilities."""
    found = rows(of[0], first=of[1])
    rng = np.random.default_rng([seed, int(100 * right)])
    predictions = []
    for example in found:
        place = LABELS.index(example.target)
        label = LABELS[place] if rng.random() < right else LABELS[(place + 1) % 3]
        p = 0.5 + 0.4 * round(float(rng.random()), 1)
        probabilities = {one: p if one == label else (1 - p) / 2 for one in LABELS}
        predictions.append(Prediction(example.id, label, probabilities if sure else None, p))
    return evaluate(predictions, found, TASK, name=name, seconds=0.9)


@cache
def line(
    name: str, kind: str, right: float, *, seeds: tuple[int, ...] = (0,), of: tuple[int, int] = (90, 0), **cost: Any
) -> Line:
    """A line with numbers."""
    spent = Cost(**{"fit_seconds": 0.0, "predict_seconds": 0.9, **cost})
    runs = tuple(
        RunRecord(
            seed=seed,
            evaluation=judged(name, right, seed=seed, of=of, sure=seed == 0 and kind in {"soft", "lora"}),
            cost=spent,
            note="as told",
        )
        for seed in seeds
    )
    found = Line(name=name, kind=kind, config={}, key=name, runs=runs)
    return replace(found, score=score_of(runs, "accuracy"), spread=spread_of(runs, "accuracy"))


@cache
def comparison(
    *, name: str = "tickets", of: tuple[int, int] = (90, 0), warnings: tuple[str, ...] = ()
) -> ComparisonTable:
    """Four lines and one that was left out."""
    lines = (
        line("majority", "majority", 0.34, of=of),
        line("TF-IDF", "tfidf", 0.6, of=of, fit_seconds=1.5, num_trained=400, num_bytes=90_000),
        line("soft prompt", "soft", 0.8, seeds=(0, 1, 2), of=of, fit_seconds=40.0, num_trained=6400, num_bytes=25_600),
        line("LoRA", "lora", 0.83, seeds=(0, 1, 2), of=of, fit_seconds=400.0, num_trained=90_000, num_bytes=360_000),
        Line(name="API", kind="api", config={}, key="", left_out="the money is spent"),
    )
    against = decide(lines[:-1], reference="soft prompt", metric="accuracy")
    return ComparisonTable(
        name=name,
        task={},
        metric="accuracy",
        reference="soft prompt",
        rows={"test": {"count": of[0], "hash": "ab" * 32}},
        budget={"steps": 100},
        seeds=(0, 1, 2),
        contenders=lines,
        verdicts=against,
        verdict=verdict_of("soft prompt", against),
        warnings=warnings,
        environment={"python": "3.11.7", "model": {"name": "tiny", "dtype": "float32", "fingerprint": "f" * 64}},
        created="2026-01-01T00:00:00+00:00",
    )


def write_comparison(folder: Path, table: ComparisonTable | None = None) -> Path:
    """As ``softprompt compare`` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(json.dumps((table or comparison(name=folder.name)).to_dict()), encoding="utf-8")
    (folder / "config.yaml").write_text("name: tickets\n", encoding="utf-8")
    return folder


def write_run(folder: Path, *, of: tuple[int, int] = (90, 0), baselines: bool = True) -> Path:
    """As ``softprompt tune`` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    own = judged("soft prompt", 0.75, seed=7, of=of)
    standings = [
        Standing(judged("majority", 0.34, of=of, sure=False), 0.0, 0, 0),
        Standing(own, 30.0, 6400, 25_600, "rate 0.3"),
    ]
    report = {
        "split": "test",
        "evaluation": own.to_dict(),
        "chosen_seed": 3,
        "comparison": compare(standings, reference="soft prompt").to_dict() if baselines else None,
        "interrupted": False,
        "seconds": {"total": 31.0},
        "notes": ["few rows"],
    }
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (folder / "config.yaml").write_text("name: topic\n", encoding="utf-8")
    return folder


def curve(draws: int = 3) -> LearningCurve:
    """Two contenders at four sizes."""
    rng = np.random.default_rng(0)
    sizes, found = (16, 32, 64, 128), []
    for name, floor in (("TF-IDF", 0.3), ("soft prompt", 0.15)):
        points = tuple(
            Point(n, draw, float(1 - floor - 1.5 / np.sqrt(n) + 0.02 * rng.normal()), 1.0)
            for n in sizes
            for draw in range(draws)
        )
        found.append(forecast(Curve(name, points), make_metric("accuracy"), to=(178, 256)))
    return LearningCurve(
        metric="accuracy",
        higher_is_better=True,
        num_rows=128,
        num_test=90,
        sizes=sizes,
        draws=draws,
        curves=tuple(found),
        name="tickets",
    )


def write_curve(folder: Path, found: LearningCurve | None = None) -> Path:
    """As ``softprompt curve`` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "curve.json").write_text(json.dumps((found or curve()).to_dict()), encoding="utf-8")
    return folder
