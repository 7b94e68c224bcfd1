"""The time of one request alone: what is asked, what counts, and where it ends."""

from typing import Any

import pytest

from softprompt.core.records import Example
from softprompt.lab.comparison.measuring import latency as subject
from softprompt.lab.comparison.measuring.latency import REQUESTS, SECONDS, latency_ms

ROWS = [Example({"text": str(n)}, id=str(n)) for n in range(REQUESTS + 4)]


class Slow:
    """Answers after so many seconds of a clock that nobody has to wait for."""

    def __init__(self, *seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0
        self.asked: list[str] = []

    def perf_counter(self) -> float:
        return self.now

    def predict(self, rows: Any) -> None:
        (row,) = rows
        self.now += self.seconds[min(len(self.asked), len(self.seconds) - 1)]
        self.asked.append(row.id)


def timed(slow: Slow, monkeypatch: pytest.MonkeyPatch, rows: Any = ROWS) -> float:
    monkeypatch.setattr(subject, "time", slow)
    return latency_ms(slow.predict, rows)


def test_the_request_that_warms_up_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(1.0, 0.25)
    assert timed(slow, monkeypatch) == 250
    assert slow.asked == ["0", *(row.id for row in ROWS[:REQUESTS])]


def test_slow_requests_end_it_and_the_only_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(SECONDS + 1)
    assert timed(slow, monkeypatch) == 1000 * (SECONDS + 1)
    assert slow.asked == ["0"]


def test_one_row_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(0.5, 0.125)
    assert timed(slow, monkeypatch, ROWS[:1]) == 125
