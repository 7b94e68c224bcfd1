"""From the lines of a comparison to its table, and what has to be read with the numbers.

Knows runs and lines; fits nobody.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.folder import environment
from softprompt.app.recipes.prepare import Prepared
from softprompt.core.metrics import make_metric
from softprompt.core.stats import minimum_detectable_difference
from softprompt.core.words import counted
from softprompt.data.dataset import Dataset
from softprompt.lab.comparison.deciding import FEWEST_ROWS, decide, metric_of, verdict_of
from softprompt.lab.comparison.stage import Stage
from softprompt.lab.comparison.table import ComparisonTable, Line

__all__ = ["make_table", "said_of"]

#: A difference that a reader hopes to see; where the rows show none as small, the table says so.
HOPED_FOR = 0.1


def make_table(
    config: RunConfig, ready: Prepared, stage: Stage, lines: Sequence[Line], warnings: Sequence[str]
) -> ComparisonTable:
    """The table of all lines, with their verdicts.

    Args:
        config: Of the comparison; it may name the reference, else that is the first soft prompt with numbers.
        ready: Rows, task, template and model.
        stage: Seeds and training that all shared.
        lines: Of the contenders, in their order.
        warnings: What must be read with the numbers; each is told once.

    Raises:
        DataError: ``data.lengths_differ``: lines were judged on different rows.
    """
    judged = [line for line in lines if line.runs]
    metric = metric_of(judged[0]) if judged else next(iter(ready.task.metrics))
    reference, asked = "", config.compare.reference
    if judged:
        names = [line.name for line in judged]
        soft = [line.name for line in judged if line.kind == "soft"]
        reference = asked if asked in names else (soft or names)[0]
    if asked is not None and reference != asked:
        warnings = (*warnings, f"the reference {asked!r} has no numbers: {reference or 'nothing'} stands in its place")
    against = decide(judged, reference=reference, metric=metric) if judged else ()
    return ComparisonTable(
        name=config.name,
        task={
            "kind": config.task.kind,
            "metrics": list(ready.task.metrics),
            "labels": list(ready.task.names),
            "template": str(ready.template),
        },
        metric=metric,
        reference=reference,
        rows={name: _described(ready, name) for name in ("train", "validation", "test")},
        budget=config.compare.budget.given or {"steps": stage.resolved.steps or 0},
        seeds=stage.seeds,
        contenders=tuple(lines),
        verdicts=against,
        verdict=verdict_of(reference, against) if judged else "no contender has numbers",
        warnings=tuple(dict.fromkeys(warnings)),
        environment=environment(ready.backbone.spec),
        config=config.model_dump(mode="json", exclude={"output", "track"}),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def said_of(ready: Prepared, lines: Sequence[Line]) -> list[str]:
    """What has to be read with the numbers."""
    decides = next((metric_of(line) for line in lines if line.runs), "")
    share = bool(decides) and make_metric(decides, labels=ready.task.names).bounds == (0.0, 1.0)
    found = _said_of_size(ready.splits["test"], share=share)
    if any(len(line.runs) == 2 for line in lines):
        found.append("two seeds hardly tell how seeds differ, and intervals over them are wide: a third tells more")
    for line in lines:
        stopped = {one for run in line.runs for one in ("time", "diverged") if f"({one})" in run.note}
        found += [f"{line.name}: a training ended early ({', '.join(sorted(stopped))})"] if stopped else []
    return found


def _said_of_size(rows: Dataset, *, share: bool = True) -> list[str]:
    """What so many test rows cannot show; rows of one group may be as good as one row, or nearly as good as several.

    Points are told of scores that are a share of one alone: of others nobody knows beforehand what they can show.

    >>> from softprompt.core.records import Example
    >>> rows = Dataset(tuple(Example({"text": "a"}, group=f"customer {n % 20}") for n in range(60)))
    >>> _said_of_size(rows)[0].partition(" would")[0]
    '60 test rows in 20 groups are few: only differences of about 16 to 35 points'
    >>> _said_of_size(rows, share=False)
    []
    """
    units = len({("row", str(n)) if row.group is None else ("group", row.group) for n, row in enumerate(rows)})
    told = counted(len(rows), "test row") + (f" in {counted(units, 'group')}" if units < len(rows) else "")
    if units < FEWEST_ROWS:
        return [f"{told}: no difference could be shown on them, whatever it is; from {FEWEST_ROWS} on one can"]
    most, least = minimum_detectable_difference(units), minimum_detectable_difference(len(rows))
    if most <= HOPED_FOR or not share:
        return []
    points = f"only differences of about {100 * least:.0f} points"
    if least > 1:
        points = "no difference"
    elif units < len(rows):
        points = f"only differences of about {100 * least:.0f} to {100 * min(most, 1.0):.0f} points"
    return [f"{told} are few: {points} would be shown four times in five; more test rows decide more"]


def _described(ready: Prepared, name: str) -> dict[str, Any]:
    rows = ready.splits[name]
    labels = {str(label): count for label, count in rows.labels().items()} if rows.classes else {}
    return {"count": len(rows), "hash": rows.hash, "labels": labels}
