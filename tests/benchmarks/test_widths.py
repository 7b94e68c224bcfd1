"""The benchmark of widths: each is a run that differs in one number, and the page compares equal rows."""

from pathlib import Path

import pytest

import benchmarks.widths as widths
from benchmarks.contest.outcomes import Cost, Outcome, Work
from benchmarks.contest.problems import Problem, problem_of
from benchmarks.survey.ways import WAYS
from benchmarks.widths import WIDTHS, beside, page, way_of
from softprompt.app.config import RunConfig
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.testing import tiny


def outcome(name: str, right: str) -> Outcome:
    return Outcome(name, (0, 1, 2), (right,) * 3, (None,) * 3, Cost(2, 1), Cost(9, 6), 512, {"rate": 0.1})


def test_every_width_is_a_run_that_differs_from_its_default_in_one_number() -> None:
    for name, (base, _) in WIDTHS.items():
        one, other = (
            RunConfig.parse({"data": {"train": "rows"}, **way.settings({})}).method.model_dump()
            for way in (way_of(name), WAYS[base])
        )
        assert len([key for key in one if one[key] != other[key]]) == 1


def test_the_page_compares_with_the_default_on_the_same_rows() -> None:
    found = {"emotion": {"residual, bottleneck 32": outcome("residual, bottleneck 32", "1" * 100)}}
    defaults = {"emotion": {"residual": {"right": ["10" * 50] * 3}}}
    text = page(found, defaults, steps=9, load=0.0)
    assert "| emotion | residual, bottleneck 32 | 100.0 [" in text
    assert "| +50.0 [" in text
    assert "Against the default: better 1 times, worse 0 times, cannot tell 0 times." in text
    assert "residual, bottleneck 32 on example topic" in text
    assert "residual, bottleneck 32 on emotion" not in text


def test_what_took_other_steps_is_not_compared() -> None:
    assert beside(100)
    assert beside(7) == {}
    found = {"emotion": {"residual, bottleneck 32": outcome("residual, bottleneck 32", "1" * 100)}}
    assert "Against the default: better 0 times" in page(found, {}, steps=7, load=0.0)


def test_a_trial_is_kept_and_a_run_without_time_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task.classify(["good", "bad"])
    rows = [Example({"text": f"thing {i}"}, ("good", "bad")[i % 2], id=str(i)) for i in range(40)]
    pool, judged = (Dataset(tuple(part), classes=task.names) for part in (rows[:30], rows[30:]))
    moods: Problem = problem_of("emotion", task, pool, judged, rows=20)
    monkeypatch.setattr(widths, "problems_of", lambda names, rows: ([moods], {}))
    monkeypatch.setattr(widths, "WIDTHS", {name: WIDTHS[name] for name in list(WIDTHS)[:2]})
    monkeypatch.setattr(widths, "TRAINING", {"seeds": (0, 1), "probe_steps": 1, "rates": (0.1,), "evaluations": 1})
    work, backbone = Work(tmp_path), tiny()
    assert widths.measured(backbone, work, steps=1, until=0.0) == {}
    found = widths.measured(backbone, work, steps=1)
    assert list(found["emotion"]) == list(WIDTHS)[:2]
    assert widths.measured(backbone, work, steps=1, until=0.0) == found
