"""A cell: one contender, learnt from so many rows of one draw of one set, and judged; kept as a file, so a run resumes.

The order of the work is that of :data:`ROUNDS`: what costs seconds on all sets first, then soft prompts seed by seed,
then LoRA, then the large sizes; so a run that was cut short says something of every set. A seed is a draw of the rows
and the luck of the training at once, as it is for somebody who labels rows and tunes. Smaller subsets of a draw are
beginnings of larger ones.

Knows contenders by their settings; no pages.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from benchmarks.adopting.sets import EFFORT, JUDGED, SETS, TOKENS, Ground
from softprompt.core.errors import ConfigError, SoftpromptError
from softprompt.core.files import write_whole
from softprompt.lab.comparison.settings import (
    EntrantSettings,
    FewShotSettings,
    LoraSettings,
    PlainEntrantSettings,
    SoftSettings,
)
from softprompt.lab.evaluation import evaluate
from softprompt.lab.learning_curve.entering import Entering
from softprompt.lab.learning_curve.subsets import nested
from softprompt.lab.training.settings import EFFORTS
from softprompt.model.backbones.base import Backbone

__all__ = [
    "CONTENDERS",
    "ROUNDS",
    "SEEDS",
    "Cell",
    "Place",
    "kept",
    "measured",
    "places",
    "planned",
    "put",
    "remember",
    "remembered",
]

SEEDS = 5

CONTENDERS: dict[str, EntrantSettings] = {
    "majority": PlainEntrantSettings(kind="majority"),
    "zero-shot": PlainEntrantSettings(kind="zero-shot"),
    "few-shot": FewShotSettings(orders=1),
    "tfidf": PlainEntrantSettings(kind="tfidf"),
    "embeddings": PlainEntrantSettings(kind="embeddings"),
    "soft": SoftSettings(),
    "lora": LoraSettings(),
}

#: What learns nothing stands at this number of rows.
NO_ROWS = 0

#: (contender, sizes, seeds), in the order of the work.
ROUNDS: tuple[tuple[str, tuple[int, ...], Sequence[int]], ...] = (
    ("majority", (NO_ROWS,), range(1)),
    ("zero-shot", (NO_ROWS,), range(1)),
    ("tfidf", (16, 64, 256), range(SEEDS)),
    ("embeddings", (64, 256, 16), range(1)),
    ("soft", (64,), range(1)),
    ("soft", (256,), range(1)),
    ("soft", (16,), range(1)),
    ("few-shot", (64,), range(1)),
    ("tfidf", (1000,), range(1)),
    ("lora", (256,), range(1)),
    ("soft", (64,), range(1, SEEDS)),
    ("lora", (64,), range(1)),
    ("embeddings", (64, 256, 16), range(1, SEEDS)),
    ("soft", (256,), range(1, SEEDS)),
    ("soft", (16,), range(1, SEEDS)),
    ("embeddings", (1000,), range(2)),
    ("soft", (1000,), range(2)),
    ("few-shot", (16, 256), range(1)),
    ("lora", (1000, 16), range(1)),
    ("few-shot", (16, 64, 256), range(1, 3)),
    ("tfidf", (1000,), range(1, SEEDS)),
    ("soft", (1000,), range(2, SEEDS)),
    ("embeddings", (1000,), range(2, SEEDS)),
    ("lora", (16, 64, 256, 1000), range(1, 2)),
    ("tfidf", (2000,), range(SEEDS)),
    ("embeddings", (2000,), range(1)),
    ("soft", (2000,), range(1)),
    ("lora", (2000,), range(1)),
    ("embeddings", (2000,), range(1, SEEDS)),
    ("soft", (2000,), range(1, SEEDS)),
)

#: (set, contender) that come last: 77 answers, each scored behind words, take minutes of the processor.
SLOW = {("banking77", "zero-shot"), ("banking77", "few-shot")}


@dataclass(frozen=True, order=True)
class Place:
    """Where a cell stands."""

    name: str
    contender: str
    rows: int
    seed: int

    @property
    def file(self) -> str:
        """Of its numbers.

        >>> Place("sst2", "soft", 64, 3).file
        'sst2/soft-64-3.json'
        """
        return f"{self.name}/{self.contender}-{self.rows}-{self.seed}.json"


@dataclass(frozen=True)
class Cell:
    """What was measured there.

    Attributes:
        place: Where.
        right: 1 for each judged row that was answered right, 0 for the others; empty where it could not learn.
        fit: Processor seconds to learn, what chooses included.
        predict: Processor seconds for the judged rows.
        why: Why it could not learn; else empty.
    """

    place: Place
    right: str
    fit: float
    predict: float
    why: str = ""

    @property
    def score(self) -> float | None:
        """Share of right answers.

        >>> Cell(Place("x", "soft", 16, 0), "1101", 1.0, 1.0).score
        0.75
        """
        return self.right.count("1") / len(self.right) if self.right else None

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of ``json.dumps(asdict(cell))``."""
        data = json.loads(text)
        return cls(**{**data, "place": Place(**data["place"])})


def places(name: str, *, pool: int, labels: int) -> Iterator[tuple[int, Place]]:
    """The cells of a set with the number of their round: none larger than the pool, none with fewer rows than labels.

    >>> [place.rows for _, place in places("banking77", pool=500, labels=77) if place.contender == "lora"]
    [256, 256]
    """
    for number, (contender, sizes, seeds) in enumerate(ROUNDS):
        for rows in sizes:
            if rows and not labels <= rows <= pool:
                continue
            for seed in seeds:
                yield len(ROUNDS) if (name, contender) in SLOW else number, Place(name, contender, rows, seed)


def planned(name: str, *, pool: int, labels: int) -> set[Place]:
    """The same, each once and without its round."""
    return {place for _, place in places(name, pool=pool, labels=labels)}


def measured(place: Place, on: Ground) -> Cell:
    """Learn and judge; what these rows do not allow is a cell without a score.

    Raises:
        SoftpromptError: What no rows could mend: a missing extra, a full disk.
    """
    entering = Entering(CONTENDERS[place.contender], on.stage)
    rows = nested(on.pool, draw=place.seed)[: place.rows or len(on.pool)]
    task, begun = on.stage.task, time.process_time()
    if entering.unfit:
        return Cell(place, "", 0.0, 0.0, entering.unfit)
    try:
        fitted = entering.fit(rows, None, task, seed=place.seed)
    except SoftpromptError as error:
        if error.code.startswith(("config.", "extra.", "model.", "resource.", "template.")):
            raise
        return Cell(place, "", time.process_time() - begun, 0.0, " ".join(str(error).split()))
    learnt = time.process_time()
    said = fitted.predict(on.judged)
    # without probabilities, whose intervals would take longer than many a contender
    judged = evaluate([replace(one, probabilities=None) for one in said], on.judged, task)
    right = "".join("1" if item.correct else "0" for item in judged.items)
    return Cell(place, right, round(learnt - begun, 2), round(time.process_time() - learnt, 2))


def put(folder: Path, cell: Cell) -> None:
    """Keep a cell, whole or not at all."""
    path = folder / cell.place.file
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(cell)).encode())


def kept(folder: Path) -> list[Cell]:
    """All cells of a folder, in the order of their places; files that were cut off are none."""
    found = []
    for path in (path for name in SETS for path in (folder / name).glob("*.json")):
        try:
            found.append(Cell.from_json(path.read_text("utf-8")))
        except (ValueError, TypeError, LookupError):
            continue
    return sorted(found, key=lambda cell: cell.place)


def remember(folder: Path, pools: Mapping[str, tuple[int, int]], backbone: Backbone) -> None:
    """Note what the cells of a folder depend on, and what each set has: rows to draw from, and labels.

    Raises:
        ConfigError: ``config.invalid``: its cells are of another model or other settings.
    """
    path = folder / "facts.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    effort = EFFORTS[EFFORT].model_dump(mode="json")
    depends = {"model": backbone.spec.fingerprint, "effort": effort, "judged": JUDGED, "tokens": TOKENS}
    if known and known["depends"] != depends:
        message = f"{folder} holds numbers of another model or other settings"
        raise ConfigError("config.invalid", message, cure="name another folder with --work")
    folder.mkdir(parents=True, exist_ok=True)
    pools = {**known.get("pools", {}), **pools}
    write_whole(path, json.dumps({"depends": depends, "pools": pools}).encode())


def remembered(folder: Path) -> dict[str, tuple[int, int]]:
    """Rows to draw from and number of labels by set."""
    path = folder / "facts.json"
    pools = json.loads(path.read_text("utf-8"))["pools"] if path.exists() else {}
    return {name: (pool, labels) for name, (pool, labels) in pools.items()}
