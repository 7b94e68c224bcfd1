"""Compare a soft prompt with what else one could do: same rows, seeds and budget, verdicts first, costs beside them.

RUN/
  config.yaml     the settings
  table.json      the comparison (see lab/comparison/table.py)
  stands.json     by what the table is known to stand (see standing.py)
  lines/          complete contenders, by what their numbers depend on
  prompts/        the trained soft prompts, ready for use
  api/            answers of APIs that were paid for (0600)
  work/           checkpoints of contenders that are not complete
  log.jsonl       one line an event

Loads no model while a comparison stands.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.standing import TABLE, depends, mark, standing
from softprompt.app.watch import Watcher
from softprompt.core.files import write_whole
from softprompt.data.sources import Source
from softprompt.lab.comparison.table import ComparisonTable
from softprompt.model.backbones.base import Backbone

__all__ = ["TABLE", "CompareReport", "compare"]


@dataclass(frozen=True)
class CompareReport:
    """What a comparison gave.

    Attributes:
        folder: Of the comparison.
        table: Its lines and verdicts.
        fresh: Names of the contenders that were run now; the others were complete.
        seconds: This took.
    """

    folder: Path
    table: ComparisonTable
    fresh: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        own = {"folder": str(self.folder), "fresh": list(self.fresh), "seconds": round(self.seconds, 3)}
        return {**own, "table": self.table.to_dict()}


def compare(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    sources: Mapping[str, Source] | None = None,
    backbone: Backbone | None = None,
    fresh: bool = False,
) -> CompareReport:
    """Fit and judge all contenders that are not complete yet, and decide; what still stands is read back.

    Args:
        config: The run; ``compare`` says who takes part.
        watcher: Told what happens.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.
        fresh: Forget what was run before; answers that were paid for stay.

    Raises:
        DataError: ``data.test_in_train``: test rows stand in train, too, and nobody forced it.
        SoftpromptError: Whatever is wrong, with its code. What fits no contender stays in its line.
        KeyboardInterrupt: Complete lines and checkpoints are kept.
    """
    watcher, begun, folder = watcher or Watcher(), time.perf_counter(), config.beside("compare")
    depended = depends(config, sources, folder=folder) if backbone is None else None
    ran: tuple[str, ...] = ()
    table = None if fresh or depended is None else standing(folder, depended)
    if table is not None:
        table = replace(table, created=datetime.now(UTC).isoformat(timespec="seconds"))
        _write(folder, table)
        watcher.note("rows, settings, model, packages and machine are those of the last time: its table stands")
    else:
        # brings transformers and all contenders: half of the time that a comparison takes that stands
        from softprompt.app.recipes.comparing import hold_all

        held = hold_all(config, folder, watcher, sources=sources, backbone=backbone, fresh=fresh)
        table, ran = held.table, held.fresh
        _write(folder, table)
        if held.settled and depended is not None:
            mark(folder, depended, table, content=held.content, looks=held.looks)
    watcher.done()
    return CompareReport(folder, table, ran, time.perf_counter() - begun)


def _write(folder: Path, table: ComparisonTable) -> None:
    text = json.dumps(table.to_dict(), indent=1, ensure_ascii=False, allow_nan=False, default=str)
    write_whole(folder / TABLE, text.encode("utf-8"))
