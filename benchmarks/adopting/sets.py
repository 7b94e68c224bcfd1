"""The eight data sets, and a stage on each: the pool to learn from, the rows that judge, the model, the settings.

Chosen for what they ask, not for who wins: feeling (sst2, emotion, yelp5), topic (ag_news, dbpedia14), intent with many
labels (banking77), and two questions about pairs (rte, mrpc), where counting words does not help. The pool is the
training part without copies of judged texts; the judged rows are drawn once from the validation part.

Knows recipes; no contenders and no results.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rig.rows import public_file, rows_in
from softprompt.app.config import RunConfig
from softprompt.app.recipes.comparing import divided
from softprompt.app.recipes.curve import pool_of, stage_of
from softprompt.app.recipes.prepare import prepare
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.stage import Stage
from softprompt.model.backbones.base import Backbone

__all__ = ["EFFORT", "JUDGED", "SETS", "TOKENS", "Asked", "Ground", "ground"]

#: Rows that judge, tokens of a row at most, and the dial of every training.
JUDGED, TOKENS, EFFORT = 300, 128, "quick"


@dataclass(frozen=True)
class Asked:
    """What a data set asks.

    Attributes:
        fields: That are read.
        about: In a few words.
    """

    fields: tuple[str, ...]
    about: str


SETS: Mapping[str, Asked] = {
    "sst2": Asked(("text",), "film reviews, good or bad"),
    "emotion": Asked(("text",), "messages, one of 6 feelings"),
    "ag_news": Asked(("text",), "news, one of 4 topics"),
    "dbpedia14": Asked(("text",), "encyclopedia, one of 14 kinds"),
    "yelp5": Asked(("text",), "long reviews, 1 to 5 stars"),
    "banking77": Asked(("text",), "customers, one of 77 intents"),
    "rte": Asked(("premise", "hypothesis"), "pairs: does one follow?"),
    "mrpc": Asked(("sentence1", "sentence2"), "pairs: is it the same?"),
}


@dataclass(frozen=True)
class Ground:
    """A data set, ready to learn from.

    Attributes:
        name: Of the set.
        pool: Rows to draw from.
        judged: Rows that judge.
        stage: What all contenders share.
    """

    name: str
    pool: Dataset
    judged: Dataset
    stage: Stage


def ground(name: str, backbone: Backbone, *, folder: Path | None = None, judged: int = JUDGED) -> Ground:
    """Read a set.

    Args:
        name: Of :data:`SETS`.
        backbone: The frozen model.
        folder: With data/tasks; None: ``SOFTPROMPT_SHARED``.
        judged: Rows that judge at most.

    Raises:
        FileNotFoundError: It is not there, with the place where it was looked for.
    """
    train, test = (rows_in(public_file(name, part, folder=folder)) for part in ("train", "validation"))
    drawn = random.Random(0).sample(test, min(judged, len(test)))
    fields = SETS[name].fields
    config = RunConfig.parse(
        {
            "data": {"train": "train", "columns": {field: field for field in fields}},
            "task": {"labels": sorted({row["label"] for row in train}), "metrics": ["accuracy"]},
            "max_tokens": TOKENS,
            "training": {"effort": EFFORT},
        }
    )
    sources = {"train": [_read(row, fields) for row in train], "test": [_read(row, fields) for row in drawn]}
    ready = prepare(divided(config, given=True, folder=Path("unused")), sources=sources, backbone=backbone)
    return Ground(name, pool_of(ready.splits), ready.splits["test"], stage_of(ready))


def _read(row: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in (*fields, "label")}
