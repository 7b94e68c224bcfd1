"""What cuts a tuning short, and what a resumed one repeats: Ctrl-C, time limits, kills, full disks, broken files."""

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from softprompt.core.errors import TrainingError
from softprompt.lab import tuning
from softprompt.lab.training import forecast
from softprompt.lab.training.outcome import Event
from tests.lab.lessons import At, Killed, every_bit, examples, lesson, run, with_


def test_ctrl_c_while_reading_goes_on_to_the_caller():
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(on_read=stop)


def test_ctrl_c_in_the_probe_keeps_its_best():
    found = run(on_event=At("probe", 4))
    (learnt,) = found.learnt
    assert found.interrupted
    assert learnt.seeds == (-1,)
    assert learnt.outcomes[0].stop == "interrupted"
    assert math.isfinite(learnt.outcomes[0].value)
    assert learnt.rate in learnt.probe


def test_ctrl_c_in_the_training_keeps_the_best_of_both(monkeypatch: Any):
    found = run(settings=with_(probe_steps=30, rates=[0.05, 0.02]), on_event=At("train", 2))
    assert found.interrupted
    assert found.learnt[0].seeds == (-1,), "the probe had come further"
    (outcome,) = found.learnt[0].outcomes
    assert outcome.value >= max(value for _, value, _ in outcome.evaluations[:1])
    late = run(settings=with_(rate=0.05, steps=30, evaluations=30), on_event=At("train", 50))
    assert late.learnt[0].seeds == (0, 1)


def test_ctrl_c_before_anything_was_judged_goes_on_to_the_caller(monkeypatch: Any):
    def stop(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("softprompt.lab.training.looks.Looks.__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        run()


class Clock:
    """Seconds that only steps take."""

    def __init__(self, monkeypatch: Any) -> None:
        self.now = 0.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def __call__(self, stage: str, event: Event) -> None:
        self.now += event.kind == "step"


def test_time_counts_reading_probe_and_training(monkeypatch: Any):
    clock = Clock(monkeypatch)

    def read(done: int, total: int) -> None:
        clock.now += 10 / 8 if done == total else 0

    settings = with_(steps=100, probe_steps=100, evaluations=100, max_time=40.0)
    trainer_init = tuning.Trainer.__init__
    monkeypatch.setattr(
        tuning.Trainer,
        "__init__",
        lambda self, *arguments, **named: trainer_init(self, *arguments, **named, clock=lambda: clock.now),
    )
    found = run(settings=settings, on_event=clock, on_read=read)
    assert clock.now <= 41
    assert found.seconds["read"] > 0
    assert 0 < found.seconds["probe"] <= 14
    steps = found.settings.steps
    assert steps is not None
    assert 15 <= steps <= 30, "what is left, by the pace of the probe"
    assert found.learnt[0].outcomes[0].stop == "finished", "the schedule came to its end"
    assert "fit into max_time" in found.notes[0]


# --- going on


@pytest.mark.parametrize(("stage", "event"), [("probe", 3), ("probe", 9), ("train", 1), ("train", 6), ("train", 9)])
def test_law_5_a_tuning_killed_and_resumed_is_the_same(stage: str, event: int, tmp_path: Path):
    settings = with_(checkpoint_every=1e-9)
    with pytest.raises(Killed):
        run(settings=settings, folder=tmp_path, on_event=At(stage, event, Killed))
    again = run(settings=settings, folder=tmp_path)
    assert every_bit(again) == every_bit(run(settings=settings))
    assert every_bit(run(settings=settings, folder=tmp_path)) == every_bit(again), "and a third time, at once"


def test_what_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: Any):
    """Memory that is free today must not move the bits of a run that began yesterday."""
    settings = with_(checkpoint_every=1e-9, cache_memory=None)
    monkeypatch.setattr(forecast, "available_bytes", lambda device=None: 1 << 30)
    with pytest.raises(Killed):
        run(settings=settings, folder=tmp_path, on_event=At("train", 3, Killed))
    decided = json.loads((tmp_path / "decided.json").read_text())
    monkeypatch.setattr(forecast, "available_bytes", lambda device=None: 100)
    again = run(settings=settings, folder=tmp_path)
    assert json.loads((tmp_path / "decided.json").read_text()) == decided
    assert again.settings.micro_tokens == decided["memory"][0]
    assert again.states is not None
    assert set(again.states.texts) == {"memory"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rows": 1}, "rows was"),
        ({"steps": 5}, "training.steps was 4, is 5"),
        ({"seeds": (0, 2)}, "prompts was"),
        ({"cache_memory": 0}, None),  # decided when the run began
    ],
)
def test_another_run_is_refused_with_the_difference(change: dict[str, Any], named: str | None, tmp_path: Path):
    settings = with_(checkpoint_every=1e-9, rate=0.05)
    with pytest.raises(Killed):
        run(settings=settings, folder=tmp_path, on_event=At("train", 3, Killed))
    train = examples(8)[change.pop("rows", 0) :]
    other = with_(checkpoint_every=1e-9, rate=0.05, **change)
    if named is None:
        assert run([lesson(train=train)], settings=other, folder=tmp_path)
        return
    with pytest.raises(TrainingError, match=r"training\.resume_mismatch") as caught:
        run([lesson(train=train)], settings=other, folder=tmp_path)
    assert named in str(caught.value)


def test_a_resumed_run_has_used_what_it_used_before(monkeypatch: Any, tmp_path: Path):
    clock = Clock(monkeypatch)
    trainer_init = tuning.Trainer.__init__
    monkeypatch.setattr(
        tuning.Trainer,
        "__init__",
        lambda self, *arguments, **named: trainer_init(self, *arguments, **named, clock=lambda: clock.now),
    )

    class Dies(At):
        def __call__(self, stage: str, event: Event) -> None:
            clock(stage, event)
            super().__call__(stage, event)

    settings = with_(steps=30, evaluations=30, rate=0.05, max_time=100.0, checkpoint_every=1e-9)
    with pytest.raises(Killed):
        run(settings=settings, folder=tmp_path, on_event=Dies("train", 40, Killed))
    used = clock.now
    clock.now += 1000  # hours between two processes count for nothing
    more = settings.model_copy(update={"max_time": used + 5})
    found = run(settings=more, folder=tmp_path, on_event=clock)
    assert used - 1 <= found.earlier <= used
    assert clock.now - 1000 - used in (5, 6)
    assert {outcome.stop for outcome in found.learnt[0].outcomes} == {"time"}
    assert json.loads((tmp_path / "spent.json").read_text())["seconds"] == pytest.approx(used + 5, abs=1.5)
    none_left = run(settings=settings.model_copy(update={"max_time": 2.0}), folder=tmp_path, on_event=clock)
    assert "nothing is left to go on with" in none_left.notes[0]
    whole = run(settings=settings, folder=tmp_path, on_event=clock)
    assert every_bit(whole) == every_bit(run(settings=settings.model_copy(update={"max_time": None})))


@pytest.mark.parametrize("name", ["decided.json", "train.checkpoint", "spent.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\x00" * 100])
def test_a_broken_file_is_refused(name: str, content: bytes, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match=r"training\.bad_checkpoint"):
        run(settings=with_(rate=0.05), folder=tmp_path)


def test_a_full_disk_ends_nothing(tmp_path: Path, monkeypatch: Any):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    found = run(folder=tmp_path)
    monkeypatch.undo()
    assert every_bit(found) == every_bit(run())
    assert any("no checkpoint at step" in note and "resource.disk_full" in note for note in found.notes)
    assert list(tmp_path.iterdir()) == []
