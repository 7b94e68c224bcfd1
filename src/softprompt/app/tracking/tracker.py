"""What a tracker is told, as plain data, and the protocol that all of them keep.

A tracker may raise whatever its library raises: the session turns the first failure into one note and tells it no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["Numbers", "Result", "Start", "Tracker", "flat"]


@dataclass(frozen=True)
class Start:
    """A run that begins.

    Attributes:
        name: For people.
        kind: ``tune`` or ``evaluate``.
        folder: Where its files are; trackers that write files write below it.
        params: Settings by dotted name.
        tags: What it can be found by: model, fingerprint, data hash, version.
    """

    name: str
    kind: Literal["tune", "evaluate"]
    folder: Path
    params: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one step.

    Attributes:
        stage: ``probe`` or ``train``: their steps count apart.
        step: From 0.
        values: By name, e.g. ``loss/seed-0``.
        time: Seconds since the epoch.
    """

    stage: str
    step: int
    values: Mapping[str, float]
    time: float


@dataclass(frozen=True)
class Result:
    """A run that ended.

    Attributes:
        state: ``finished``; ``stopped`` early, its best kept; ``failed``.
        scores: By name, e.g. ``test/macro_f1``, ``test/macro_f1/low``.
        files: Files and folders to keep beside it; none where it failed.
    """

    state: Literal["finished", "stopped", "failed"]
    scores: Mapping[str, float] = field(default_factory=dict)
    files: Sequence[Path] = ()


class Tracker(Protocol):
    """Keeps a run where its users look for runs."""

    def begin(self, start: Start, known: str | None) -> str:
        """Open a run, or go on with the one of an id that an earlier process was given; returns the id."""
        ...

    def numbers(self, several: Sequence[Numbers]) -> None:
        """Numbers in the order of their steps; steps that an earlier process told already may come again."""
        ...

    def end(self, result: Result) -> None:
        """The run is over; nothing comes after it."""
        ...


def flat(settings: Mapping[str, Any], *, above: str = "") -> dict[str, str]:
    """Nested settings as text by dotted name; what is not set has no line.

    >>> flat({"training": {"steps": 9, "rate": None}, "labels": ["a", "b"]})
    {'training.steps': '9', 'labels': 'a, b'}
    """
    found: dict[str, str] = {}
    for name, value in settings.items():
        match value:
            case Mapping():
                found |= flat(value, above=f"{above}{name}.")
            case None | "" | []:  # an empty tuple is a sequence too
                continue
            case list() | tuple():
                found[f"{above}{name}"] = ", ".join(map(str, value))
            case _:
                found[f"{above}{name}"] = str(value)
    return found
