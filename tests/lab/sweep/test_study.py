"""The study: the same draws after a kill, shared by processes, refused where it is another's."""

import os
import platform
from pathlib import Path

import pytest

from softprompt.core.errors import ConfigError
from softprompt.lab.sweep.pictures import by_length, picture
from softprompt.lab.sweep.space import Range
from softprompt.lab.sweep.study import Study, Trial, num_ended

SPACE = {
    "rate": Range(low=0.01, high=1.0, log=True),
    "length": Range(low=1, high=9),
    "method": ("plain", {"name": "residual"}),
}


def opened(path: Path, **changes: object) -> Study:
    settings: dict[str, object] = {"name": "s", "space": SPACE, "digest": "d", **changes}
    return Study(str(path), **settings)  # type: ignore[arg-type]


def run(study: Study, count: int, *, wave: int = 4) -> None:
    for _ in range(count // wave):
        first = None
        drawn: list[Trial] = []
        for _ in range(wave):
            drawn.append(study.draw(wave=first, size=wave))
            first = drawn[0].wave
        for trial in drawn:
            score = -abs(trial.values["length"] - 5) - abs(trial.values["rate"] - 0.1)
            state = "complete" if trial.number % 3 else "pruned"
            study.tell(trial, state, looks=[(1, score - 1), (2, score)], score=score)


def values(study: Study) -> list[object]:
    return [(one.values, one.state, one.score, one.looks) for one in study.trials()]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_new_process_draws_what_the_old_one_would_have(sampler: str, tmp_path: Path) -> None:
    whole = opened(tmp_path / "whole.db", sampler=sampler)
    run(whole, 16)
    run(opened(tmp_path / "parts.db", sampler=sampler), 12)
    again = opened(tmp_path / "parts.db", sampler=sampler)
    run(again, 4)
    assert values(again) == values(whole)
    assert len({str(one.values) for one in whole.trials()}) > 8


def test_two_processes_share_a_study(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "s.db"), opened(tmp_path / "s.db")
    mine, others = one.draw(wave=None, size=1), other.draw(wave=None, size=1)
    assert (mine.number, others.number) == (0, 1)
    other.tell(others, "failed", error="too much")
    assert [(t.state, t.error) for t in one.trials()] == [("running", ""), ("failed", "too much")]
    one.tell(mine, "complete", score=0.5)
    one.tell(mine, "complete", score=0.7)
    assert other.trials()[0].score == 0.5, "what was told stays"
    other.decide("a", 3)
    one.decide("a", 4)
    assert other.decided() == one.decided() == {"a": 3}


def test_trials_that_ended_are_counted_without_making_a_study(tmp_path: Path) -> None:
    place = tmp_path / "s.db"
    assert num_ended(str(place), name="s") == 0
    assert not place.exists()
    study = opened(place)
    study.draw(wave=None, size=1)
    assert num_ended(str(place), name="s") == 0  # it runs
    run(study, 8)
    opened(place, name="s 0123456789ab").tell(opened(place, name="s 0123456789ab").draw(wave=None, size=1), "failed")
    opened(place, name="another")
    assert num_ended(str(place), name="s") == 9
    place.write_bytes(b"no database")
    assert num_ended(str(place), name="s") == 0
    assert num_ended("nothing://here/at-all", name="s") == 0


def test_a_study_of_something_else_and_a_database_that_is_none_are_refused(tmp_path: Path) -> None:
    opened(tmp_path / "s.db")
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path / "s.db", digest="other")
    assert caught.value.code == "config.run_exists"
    assert not opened(tmp_path / "s.db", digest="other", fresh=True).trials()
    with pytest.raises(ConfigError, match="cannot be opened"):
        opened(tmp_path / "nowhere" / "s.db")


def test_what_decides_is_found(tmp_path: Path) -> None:
    study = opened(tmp_path / "s.db", sampler="random")
    assert study.importance() == {}
    run(study, 16)
    found = study.importance()
    assert sum(found.values()) == pytest.approx(1)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_the_picture_has_a_dot_a_trial_that_was_judged(tmp_path: Path) -> None:
    trials = [
        Trial(0, {"length": 2, "method": "<b>"}, "complete", 0.5),
        Trial(1, {"length": 8}, "pruned", 0.4),
        Trial(2, {"length": 8}, "complete", 0.7),
        Trial(3, {"length": 8}, "failed"),
    ]
    drawn = picture(trials, {"length": 0.9, "rate": 0.1}, score="macro_f1")
    assert drawn.count("<circle") == 3
    assert drawn.count("<path") == 1
    assert "<b>" not in drawn
    assert [one["score"] for one in by_length(trials)] == [0.5, 0.7]


def test_what_others_have_under_way_and_who_ended_the_last_trial(tmp_path: Path) -> None:
    mine, other = opened(tmp_path / "study.db"), opened(tmp_path / "study.db")
    gone, alive = (f"{platform.node()}:{process}:0" for process in (2**22 + 1, os.getppid()))
    assert mine.elsewhere() == []
    assert not mine.closed_elsewhere()
    first, second = mine.draw(wave=None, size=2), mine.draw(wave=0, size=2)
    other.worker = alive
    other.adopt(first)
    assert [one.number for one in mine.elsewhere()] == [0]
    mine.tell(second, "complete", score=0.5)
    assert not mine.closed_elsewhere()
    other.tell(first, "complete", score=0.4)
    assert mine.elsewhere() == []
    assert mine.closed_elsewhere()
    third = mine.draw(wave=None, size=1)
    other.worker = gone
    other.adopt(third)
    assert mine.elsewhere() == []
    other.tell(third, "complete", score=0.3)
    assert not mine.closed_elsewhere(), "nobody is left to do what follows"
