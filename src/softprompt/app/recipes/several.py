"""Several tasks about the same texts: every task prepared as a run of its own, over rows that stand at equal places.

A row that lacks the answer of one task teaches and judges the others. Which rows train, choose and judge is decided
once, so that no text teaches one task and judges another.

Knows settings and rows; trains nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from softprompt.app.config import RunConfig
from softprompt.app.recipes.dividing import VALIDATION, Sources, fields_read, load_task
from softprompt.app.recipes.prepare import Prepared, load_backbone, prepare
from softprompt.app.recipes.rows import read_rows
from softprompt.app.watch import Watcher
from softprompt.core.errors import DataError, nearest
from softprompt.core.files import portable_name
from softprompt.core.records import Example
from softprompt.data.dataset import Dataset
from softprompt.data.entries import Record
from softprompt.data.reading import Reading, columns_of
from softprompt.data.sources import load
from softprompt.data.splits import split
from softprompt.data.values import Unreadable, to_text
from softprompt.model.backbones.base import Backbone

__all__ = ["aligned", "config_of", "prepare_several"]


def prepare_several(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
) -> dict[str, Prepared]:
    """By target a run that is ready to go, all over one model and the same division of the rows.

    Args:
        config: With ``task.targets``.
        watcher: Told what happens.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.

    Raises:
        DataError: What is wrong with the rows; ``data.missing_column``.
        ConfigError, ModelError, TemplateError: as :func:`softprompt.app.recipes.prepare.prepare`.
    """
    watcher = watcher or Watcher()
    targets = tuple(config.task.targets or ())
    watcher.stage("read the data")
    rows = read_rows(config, sources, named=[_column(config, target) for target in targets])
    fields = _fields(config, rows["train"], targets)
    runs = {target: config_of(config, target, fields=fields) for target in targets}
    answered = {target: _answered(rows, _column(config, target)) for target in targets}
    divided = _divided(config, runs, answered)
    backbone = backbone or load_backbone(config.model, watcher)
    found = {}
    for target, run in runs.items():
        ready = prepare(run, watcher, sources=divided[target], backbone=backbone)
        if left := len(rows["train"].entries) - len(answered[target]["train"].entries):
            note = f"{target}: {left:,} rows of {rows['train'].name} have no answer; they are used for the others"
            ready = replace(ready, notes=(*ready.notes, note))
        found[target] = ready
    return found


def config_of(config: RunConfig, target: str, *, fields: Sequence[str] = ()) -> RunConfig:
    """The settings of one task's own run, in a folder of its own.

    Args:
        config: Of all tasks.
        target: The task.
        fields: Columns that its template reads, where the settings name none.

    >>> whole = RunConfig.parse({"name": "mail", "data": {"train": "a.csv"}, "task": {"targets": ["topic", "urgent"]}})
    >>> one = config_of(whole, "urgent")
    >>> one.name, one.task.target, str(one.folder)
    ('mail-urgent', 'urgent', 'runs/mail/urgent')
    """
    assert config.task.targets is not None, "asked of several tasks"
    columns = {name: column for name, column in config.data.columns.items() if name not in config.task.targets}
    if target in config.data.columns:
        columns[target] = config.data.columns[target]
    task = config.task.of(target).model_dump(exclude_unset=True, by_alias=True)
    changes = {
        "name": f"{config.name}-{target}"[:200],
        "task": task,
        "distil": None,
        "data.columns": {**{name: name for name in fields}, **columns},
        "output": config.folder / portable_name(target),
    }
    return config.with_(changes)


def aligned(parts: Sequence[Sequence[Example]]) -> list[list[Example | None]]:
    """The rows of several tasks at the same places; None where a task has no such row.

    >>> row = lambda source: Example({}, source=source)
    >>> [[one and one.source for one in part] for part in aligned([[row("a"), row("c")], [row("b"), row("c")]])]
    [['a', 'c', None], [None, 'c', 'b']]
    """
    places = list(dict.fromkeys(row.source for part in parts for row in part))
    by_source = [{row.source: row for row in part} for part in parts]
    return [[rows.get(place) for place in places] for rows in by_source]


def _column(config: RunConfig, target: str) -> str:
    return config.data.columns.get(target, target)


def _fields(config: RunConfig, rows: Reading, targets: Sequence[str]) -> tuple[str, ...]:
    """Columns that the preset's template reads: ``text`` alone, or all that have no other part; () where told.

    Raises:
        DataError: ``data.missing_column``: a task's column is not there.
    """
    known = columns_of([entry for entry in rows.entries if isinstance(entry, Record)])
    for target in targets:
        if (column := _column(config, target)) not in known and "." not in column:
            message = f"the column {column!r} of task.targets is not in the data; {nearest(column, known)}"
            raise DataError("data.missing_column", message).at(rows.name)
    mapped = set(config.data.columns) - set(targets)
    if mapped or config.template.fields(config.task.kind) is not None or "text" in known:
        return ()
    other = {*(_column(config, target) for target in targets), *config.data.roles.values(), "id"}
    return tuple(name for name in known if name not in other)


def _answered(rows: Mapping[str, Reading], column: str) -> dict[str, Reading]:
    """The rows that have an answer in a column, and what could not be read."""
    return {
        part: replace(
            reading, entries=tuple(one for one in reading.entries if not isinstance(one, Record) or _has(one, column))
        )
        for part, reading in rows.items()
    }


def _has(record: Record, column: str) -> bool:
    value = record.values.get(column)
    if value is None and "." in column:
        return True  # a path into an object: whoever reads it says what is missing
    try:
        return bool(to_text(value).strip())
    except Unreadable:
        return value is not None


def _divided(
    config: RunConfig, runs: Mapping[str, RunConfig], answered: Mapping[str, dict[str, Reading]]
) -> dict[str, dict[str, Reading]]:
    """By target the rows of every split; parts that no file gives are taken from train, the same for all tasks."""
    data = config.data
    given = set(next(iter(answered.values())))
    shares = {"validation": data.split.validation or VALIDATION, "test": data.split.test}
    missing = {name: share for name, share in shares.items() if name not in given and share}
    if not missing:
        return {target: dict(parts) for target, parts in answered.items()}
    parts = split(
        _whole(runs, answered),
        validation=missing.get("validation", 0.0),
        test=missing.get("test", 0.0),
        seed=data.split.seed,
    )
    places = {name: {row.source for row in part} for name, part in parts.items()}
    found: dict[str, dict[str, Reading]] = {}
    for target, readings in answered.items():
        mine = dict(readings)
        for name, part in parts.items():
            held = set().union(*(places[other] for other in places if other != name))
            # what cannot be read stands in no part, and is told where all the others are
            entries = readings["train"].entries
            chosen = [
                one for one in entries if one.source in places[name] or (name == "train" and one.source not in held)
            ]
            mine[name] = replace(readings["train"], entries=tuple(chosen), name=part.name)
        found[target] = mine
    return found


def _whole(runs: Mapping[str, RunConfig], answered: Mapping[str, dict[str, Reading]]) -> Dataset:
    """All rows that have any answer, divided by the labels of the first task."""
    first: Dataset | None = None
    rows: dict[str, Example] = {}
    for target, run in runs.items():
        reading = answered[target]["train"]
        wanted = run.template.fields(run.task.kind)
        found = load(
            reading,
            load_task(run, reading),
            columns=run.data.columns,
            roles={str(role): column for role, column in run.data.roles.items()},
            template_fields=wanted,
            on_bad_row=run.data.on_bad_row,
        )
        if wanted is None:  # equal texts are one, whatever stands in the columns of the other tasks
            found = found.reading(fields_read(run, found.fields()))
        for row in found:
            rows.setdefault(row.source, row if first is None else replace(row, target=None))
        first = first or found
    assert first is not None, "there are several tasks"
    return Dataset(tuple(rows.values()), first.name, first.classes)
