"""The session: everything arrives in order, nothing that a tracker does can slow or end a run."""

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from softprompt.app.tracking import Numbers, Result, Session, Start
from softprompt.app.tracking.tracker import flat
from softprompt.app.watch import Point, Watcher


class Notes(Watcher):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def note(self, text: str) -> None:
        assert threading.current_thread() is threading.main_thread(), "a watcher is told by its own thread"
        self.heard.append(text)


class Memory:
    """A tracker that remembers, and fails where it is told to."""

    def __init__(self, *, fails: str = "", hangs: float = 0.0) -> None:
        self.fails, self.hangs = fails, hangs
        self.known: str | None = None
        self.told: list[Numbers] = []
        self.result: Result | None = None

    def begin(self, start: Start, known: str | None) -> str:
        self.known = known
        return self._or_fail("begin") or "id-7"

    def numbers(self, several: Sequence[Numbers]) -> None:
        time.sleep(self.hangs)
        self._or_fail("numbers")
        self.told += several

    def end(self, result: Result) -> None:
        self._or_fail("end")
        self.result = result

    def _or_fail(self, where: str) -> str:
        if self.fails == where:
            raise ConnectionError("the server is gone\nfor good")
        return ""


def run(tracker: Memory, folder: Path, *, steps: int = 5, patience: float = 5.0) -> list[str]:
    watcher = Notes()
    start = Start("topic", "tune", folder, {}, {})
    with Session({"memory": tracker}, start, watcher, patience=patience) as session:
        for step in range(steps):
            session.point(Point("train", step, steps, losses={"fold 1, seed 0": 1 / (1 + step)}))
            time.sleep(0.002)
        session.end(Result("finished", {"test/accuracy": 0.5}))
    return watcher.heard


def test_everything_arrives_in_order(tmp_path: Path) -> None:
    tracker = Memory()
    assert run(tracker, tmp_path) == []
    assert [one.step for one in tracker.told] == list(range(5))
    assert tracker.told[0].values == {"loss/fold-1-seed-0": 1.0}
    assert tracker.result == Result("finished", {"test/accuracy": 0.5})


def test_a_resumed_run_is_the_same_tracked_run(tmp_path: Path) -> None:
    first, second = Memory(), Memory()
    run(first, tmp_path)
    assert json.loads((tmp_path / "tracking.json").read_text()) == {"memory": "id-7"}
    run(second, tmp_path)
    assert (first.known, second.known) == (None, "id-7")


@pytest.mark.parametrize("where", ["begin", "numbers", "end"])
def test_a_tracker_that_fails_is_one_note(tmp_path: Path, where: str) -> None:
    heard = run(Memory(fails=where), tmp_path, steps=60)
    assert heard == ["memory is told no more, the run goes on: ConnectionError: the server is gone"]


def test_a_tracker_that_hangs_is_left(tmp_path: Path) -> None:
    begun = time.monotonic()
    (note,) = run(Memory(hangs=3.0), tmp_path, patience=0.2)
    assert time.monotonic() - begun < 2.5
    assert "memory did not take everything" in note


def test_a_tracker_that_fails_keeps_no_other_from_hearing(tmp_path: Path) -> None:
    good, watcher = Memory(), Notes()
    start = Start("topic", "tune", tmp_path, {}, {})
    with Session({"bad": Memory(fails="begin"), "good": good}, start, watcher) as session:
        session.point(Point("train", 1, 1, scores={"seed 0": 0.5}))
        session.end(Result("finished"))
    assert len(watcher.heard) == 1
    assert good.told[0].values == {"validation-score/seed-0": 0.5}


def test_an_error_of_the_run_ends_it_as_failed(tmp_path: Path) -> None:
    tracker = Memory()
    with (
        pytest.raises(ValueError, match="of the run"),
        Session({"memory": tracker}, Start("topic", "tune", tmp_path, {}, {}), Notes()),
    ):
        raise ValueError("of the run")
    assert tracker.result == Result("failed")


def test_settings_become_dotted_text() -> None:
    assert flat({"a": {"b": {"c": 1.5}, "none": None, "empty": []}, "d": True}) == {"a.b.c": "1.5", "d": "True"}
