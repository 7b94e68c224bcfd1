"""What a contender did on a problem, and the folder that keeps it, so that an interrupted run goes on.

A kept result carries the setting that made it; under another setting it is made again. Knows no contenders.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Bool

__all__ = ["Clock", "Cost", "Outcome", "Work"]


@dataclass(frozen=True)
class Cost:
    """Time of a piece of work.

    Attributes:
        seconds: On the clock at the wall; on a machine that others use it says little.
        cpu_seconds: On the processor, all threads; with one thread, the time that a quiet machine would need.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


class Clock:
    """Measures from its making, or from the last lap.

    >>> Clock().lap().seconds < 1
    True
    """

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self) -> Cost:
        """Cost since the last lap."""
        wall, cpu = time.perf_counter(), time.process_time()
        cost = Cost(wall - self._wall, cpu - self._cpu)
        self._wall, self._cpu = wall, cpu
        return cost


@dataclass(frozen=True)
class Outcome:
    """One contender on one problem.

    Attributes:
        contender: Key of the table of contenders.
        seeds: One prompt (or one classifier) a seed.
        right: By seed, one character a judged row in order: ``1`` for a right answer.
        validation: Score by seed on the rows that choose.
        search: What choosing the rate (and start) cost, and reading what all share.
        train: What all seeds cost together.
        num_trained: Learnt numbers of one seed.
        details: What was chosen and how, for the report.
    """

    contender: str
    seeds: tuple[int, ...]
    right: tuple[str, ...]
    validation: tuple[float | None, ...]
    search: Cost
    train: Cost
    num_trained: int
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> Bool[np.ndarray, "S N"]:
        """Right answers by seed and judged row.

        >>> Outcome("majority", (0,), ("101",), (None,), Cost(), Cost(), 0).table.tolist()
        [[True, False, True]]
        """
        return np.array([[mark == "1" for mark in line] for line in self.right])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        tuples = {name: tuple(data[name]) for name in ("seeds", "right", "validation")}
        costs = {name: Cost(**data[name]) for name in ("search", "train")}
        return cls(**{**data, **tuples, **costs})


class Work:
    """Results in a folder, one JSON file each.

    Args:
        folder: Made when it is not there.
        only_kept: Make nothing; what was trained with other defaults than today's counts as well.
    """

    def __init__(self, folder: Path, *, only_kept: bool = False) -> None:
        self.folder = folder
        self.only_kept = only_kept

    def path(self, *names: str, ending: str = "") -> Path:
        """Where something of these names lies; a name may hold dots.

        >>> Work(Path("runs")).path("example topic", "TEXT-0.03", ending=".json").as_posix()
        'runs/example_topic/TEXT-0.03.json'
        """
        *folders, last = (name.replace(" ", "_") for name in names)
        return self.folder.joinpath(*folders, f"{last}{ending}")

    def find(self, *names: str, setting: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was kept under these names in this setting, or None."""
        path = self.path(*names, ending=".json")
        if not path.is_file():
            return None
        kept = json.loads(path.read_text("utf-8"))
        overlooked = {"training"} if self.only_kept else set()
        return (
            kept["result"] if _without(kept["setting"], overlooked) == _without(_plain(setting), overlooked) else None
        )

    def keep(self, *names: str, setting: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Keep a result, whole or not at all."""
        path = self.path(*names, ending=".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.writing")
        with beside.open("w", encoding="utf-8") as file:
            json.dump({"setting": _plain(setting), "result": _plain(result)}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def once(self, *names: str, setting: Mapping[str, Any], make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """What was kept, or what ``make`` gives, kept.

        Raises:
            LookupError: Nothing was kept, and nothing may be made.
        """
        found = self.find(*names, setting=setting)
        if found is None and self.only_kept:
            raise LookupError(f"{self.path(*names)} was not kept")
        if found is None:
            self.keep(*names, setting=setting, result=make())
            found = self.find(*names, setting=setting)
            assert found is not None
        return found


def _without(data: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in keys}


def _plain(data: Mapping[str, Any]) -> Any:
    """As JSON would give it back."""
    return json.loads(json.dumps(data))
