"""The live display: at most two pictures a second, what it shows, and that nothing changes outside a notebook."""

import math
import re
import signal
import sys
import types
from typing import Any

import pytest

import softprompt as sp
from softprompt.app.live import MOST_POINTS, Live, watcher_here
from softprompt.app.watch import Point
from softprompt.testing import tiny
from tests.app.conftest import Clock


class Screen:
    """Remembers what was shown."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def open(self, html: str) -> "Screen":
        self.pages.append(html)
        return self

    def update(self, html: str) -> None:
        self.pages.append(html)


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def live(screen: Screen, clock: Clock) -> Live:
    return Live(screen.open, clock=clock)


def train(live: Live, clock: Clock, *, steps: int, seconds: float, looks: int = 10) -> None:
    live.stage("train", total=steps, unit="steps")
    for step in range(1, steps + 1):
        clock.now += seconds / steps
        live.point(Point("train", step, steps, losses={"fold 1": 1 / step, "<b>": 2 / step}))
        if step % (steps // looks) == 0:
            live.point(Point("train", step, steps, scores={"fold 1": step / steps, "all rows": math.nan}))
        live.advance(step, loss=1 / step)


def test_two_pictures_a_second_at_most(live: Live, screen: Screen, clock: Clock) -> None:
    train(live, clock, steps=1000, seconds=10)
    assert 10 <= len(screen.pages) <= 21


def test_a_picture_has_stage_numbers_and_curves(live: Live, screen: Screen, clock: Clock) -> None:
    live.note("train: few rows")
    train(live, clock, steps=40, seconds=20)
    page = screen.pages[-1]
    for word in (">train<", "40/40 steps", "loss 0.025", "train: few rows", "fold 1", "training loss", "&lt;b&gt;"):
        assert word in page, word
    assert "nan" not in page.partition("</style>")[2]


def test_many_steps_are_few_points(live: Live, screen: Screen, clock: Clock) -> None:
    train(live, clock, steps=1500, seconds=20)
    drawn = [path.count("L") for path in re.findall(r'd="M([^"]*)"', screen.pages[-1])]
    assert MOST_POINTS / 2 < max(drawn) <= 2 * MOST_POINTS


def test_a_stage_begins_its_own_curves(live: Live, screen: Screen, clock: Clock) -> None:
    live.point(Point("probe", 1, 2, losses={"rate 0.1": 1.0, "rate 0.3": 1.0}))
    live.advance(1)
    assert "rate 0.1" in screen.pages[-1]
    clock.now = 5.0
    live.point(Point("train", 1, 2, losses={"seed 0": 1.0, "seed 1": 1.0}))
    live.advance(1)
    assert "rate 0.1" not in screen.pages[-1]


def test_what_is_over_at_once_leaves_no_trace(live: Live, screen: Screen, clock: Clock) -> None:
    live.stage("judge")
    clock.now = 1.5
    live.advance(3)
    live.done()
    assert screen.pages == []


def test_at_the_end_time_and_notes_stay(live: Live, screen: Screen, clock: Clock) -> None:
    live.note("look at this")
    clock.now = 75.0
    live.done()
    assert "done after 1 min 15 s" in screen.pages[-1]
    assert "look at this" in screen.pages[-1]


def test_a_kernel_gets_a_display_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    fake: Any = types.ModuleType("IPython")
    for shell, kind in ((None, sp.Watcher), (object(), sp.Watcher), (types.SimpleNamespace(kernel=1), Live)):
        fake.get_ipython = lambda shell=shell: shell
        monkeypatch.setitem(sys.modules, "IPython", fake)
        assert type(watcher_here()) is kind
    monkeypatch.delitem(sys.modules, "IPython")
    assert type(watcher_here()) is sp.Watcher
    assert "IPython" not in sys.modules


class Interrupting(sp.Watcher):
    """Presses the stop button of a notebook at a step."""

    def advance(self, done: int, **facts: object) -> None:
        if done == 3 and "loss" in facts:
            signal.raise_signal(signal.SIGINT)


def test_a_kernel_interrupt_returns_the_best_so_far_and_says_so(tmp_path: Any) -> None:
    rows = [{"text": f"{'good' if i % 2 else 'bad'} {i}", "label": "yes" if i % 2 else "no"} for i in range(40)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        report = sp.tune(
            train=rows,
            validation=rows[:10],
            model=tiny("llama"),
            output=tmp_path / "run",
            baselines=False,
            training={"steps": 8, "rate": 0.1, "seeds": [0], "evaluations": 8, "keep": "best"},
            watcher=Interrupting(),
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert report.tuning.interrupted
    assert (tmp_path / "run" / "prompt" / "manifest.json").exists()
    for html in (report._repr_html_(), (tmp_path / "run" / "report.html").read_text("utf-8")):
        assert "cut short before the last step, because it was interrupted: this is the best so far" in html
