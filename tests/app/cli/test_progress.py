"""Progress on a terminal and without one."""

import io
import re

import pytest

from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.progress import Bars, Lines
from tests.app.conftest import Clock


@pytest.fixture
def file() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(file: io.StringIO, clock: Clock) -> Lines:
    screen = Screen()
    screen.file = file
    return Lines(screen, clock=clock)


def test_short_stages_say_nothing(lines: Lines, clock: Clock, file: io.StringIO) -> None:
    for name in ("read", "load", "judge"):
        lines.stage(name, total=10, unit="rows")
        for done in range(10):
            clock.now += 0.1
            lines.advance(done + 1, loss=0.5)
    lines.done()
    assert file.getvalue() == ""


def test_long_stage_says_a_line_every_few_seconds_and_how_long_it_took(
    lines: Lines, clock: Clock, file: io.StringIO
) -> None:
    lines.stage("train", total=120, unit="steps")
    for done in range(120):
        clock.now = (done + 1) / 8
        lines.advance(done + 1, loss=1 / (done + 1), tokens_per_second=1234.5)
    lines.done()
    said = file.getvalue().splitlines()
    assert said[0] == "train: 16/120 steps, loss 0.062, 1,234 tokens/s, 13 s left"
    assert said[1].startswith("train: 56/120 steps")
    assert said[-1] == "train: 120/120 steps, loss 0.008, 1,234 tokens/s, 15 s"
    assert len(said) == 4


def test_full_count_is_said_once(lines: Lines, clock: Clock, file: io.StringIO) -> None:
    lines.stage("read", total=2, unit="texts")
    clock.now = 9
    lines.advance(2)
    lines.done()
    assert file.getvalue() == "read: 2/2 texts, 9.0 s\n"


def test_stage_that_counts_nothing_says_its_time(lines: Lines, clock: Clock, file: io.StringIO) -> None:
    lines.stage("load embedded")
    clock.now += 3
    lines.note("model embedded")
    lines.stage("judge")
    lines.done()
    assert file.getvalue() == "model embedded\nload embedded: 3.0 s\n"


def bars(width: int) -> tuple[Bars, io.StringIO]:
    screen = Screen(stderr=True)
    screen.file = io.StringIO()
    screen._force_terminal = True
    screen.is_interactive = True  # rich decides it when a console is made
    screen.width = width
    return Bars(screen), screen.file


@pytest.mark.parametrize("width", [60, 120])
def test_bars_show_counts_and_facts_within_the_window(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softprompt.app.cli.progress.PATIENCE", 0.0)
    monkeypatch.setenv("TERM", "xterm-256color")
    shown, file = bars(width)
    shown.stage("read the texts", total=40_000, unit="tokens")
    shown.advance(40_000)
    shown.stage("train", total=400, unit="steps")
    shown.advance(120, loss=0.41239, accuracy=0.5, tokens_per_second=12345.0)
    shown._progress.refresh()  # type: ignore[union-attr]
    shown.note("a note")
    shown.done()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert "40,000/40,000 tokens" in text
    assert "120/400 steps" in text
    assert "loss 0.412, accuracy 0.500, 12,345 tokens/s" in text
    assert "a note" in text
    assert max(map(len, re.split(r"[\r\n]", text))) <= width


def test_bars_of_short_stages_leave_no_trace() -> None:
    shown, file = bars(80)
    shown.stage("load", total=3)
    shown.advance(3)
    shown.done()
    assert "load" not in file.getvalue()


def test_rows_on_a_terminal_have_no_bars_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    face = Face(stream=True)
    monkeypatch.setattr(face.out, "_force_terminal", True)
    monkeypatch.setattr(face.err, "_force_terminal", True)
    assert isinstance(face.watcher, Lines)
    assert isinstance(Face().watcher, Lines)
    other = Face()
    monkeypatch.setattr(other.err, "_force_terminal", True)
    assert isinstance(other.watcher, Bars)
