"""The rows of a comparison, drawn once and the same everywhere: plain files, as a user would bring them.

Public sets are drawn by a fixed seed: 300 rows to learn from, 100 to choose by, up to 300 that judge. They are never
copied into the repository. Of restaurants with several descriptions (e2e_nlg) one is learnt, and all of them count as
right when judging; no restaurant stands on two sides.

Knows files alone.
"""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.rig.rows import example_file, public_file, rows_in

__all__ = ["PARTS", "SETS", "draw"]

PARTS = ("train", "validation", "test")

Rows = dict[str, list[dict[str, Any]]]


def draw(name: str, folder: Path, *, shared: Path | None = None) -> None:
    """Write train.jsonl, validation.jsonl and test.jsonl of a set; files that are there already stay.

    Args:
        name: Of :data:`SETS`.
        folder: Where.
        shared: With the public sets; None: as the other benchmarks look for them.

    Raises:
        FileNotFoundError: A public set that is not there.
    """
    if all((folder / f"{part}.jsonl").is_file() for part in PARTS):
        return
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in SETS[name](shared).items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{part}.jsonl").write_text(text, encoding="utf-8", newline="\n")


def _example(shared: Path | None) -> Rows:
    return {part: rows_in(example_file(part)) for part in PARTS}


def _labelled(name: str, *, judged: str) -> Callable[[Path | None], Rows]:
    """A classification: training and choosing rows from its training part."""

    def rows(shared: Path | None) -> Rows:
        rng = random.Random(0)
        learnt = _distinct(rows_in(public_file(name, "train", folder=shared)))
        judging = _distinct(rows_in(public_file(name, judged, folder=shared)))
        taken = {_text(row) for row in judging}
        drawn = rng.sample([row for row in learnt if _text(row) not in taken], 400)
        judging = rng.sample(judging, min(300, len(judging)))
        return {"train": drawn[:300], "validation": drawn[300:], "test": judging}

    return rows


def _descriptions(shared: Path | None) -> Rows:
    """Restaurants in words: every one once."""
    rng = random.Random(0)
    found: Rows = {}
    taken: set[str] = set()
    for part, count in (("test", 100), ("validation", 50), ("train", 300)):
        refs: dict[str, list[str]] = {}
        for row in rows_in(public_file("e2e_nlg", part, folder=shared)):
            refs.setdefault(row["mr"], []).append(row["ref"])
        facts = rng.sample([one for one in refs if one not in taken], count)
        taken |= set(facts)
        found[part] = [{"mr": one, "ref": refs[one] if part == "test" else rng.choice(refs[one])} for one in facts]
    return {part: found[part] for part in PARTS}


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({_text(row): row for row in rows}.values())


def _text(row: Mapping[str, Any]) -> str:
    return " ".join(str(value).casefold() for name, value in row.items() if name != "label")


#: Rows by set.
SETS: Mapping[str, Callable[[Path | None], Rows]] = {
    "topic": _example,
    "sst2": _labelled("sst2", judged="test"),
    "ag_news": _labelled("ag_news", judged="test"),
    "rte": _labelled("rte", judged="validation"),
    "e2e_nlg": _descriptions,
}
