"""Anything with rows to a :class:`Dataset`: what was read, laid out for a task, and checked by it.

    source -> reading (records with file and line) -> texts by field, answer, candidates -> checked by the task

Values become text by the rule of :mod:`softprompt.data.values`. A row that the task cannot use is a bad row: by default
the first few are shown with file, line and reason and nothing is loaded; with ``on_bad_row="skip"`` they are left out,
counted, and kept in a file that only its owner can read.

Knows nothing of templates beyond the names of their fields, and nothing of models.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from softprompt.core.errors import DataError, nearest
from softprompt.core.files import write_private
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import BadRow, Dataset
from softprompt.data.entries import Entry, Record
from softprompt.data.markup import to_plain
from softprompt.data.nested import paths_among, with_paths
from softprompt.data.reading import File, Frame, Reading, Source, columns_of, read_source
from softprompt.data.rows import Layout, to_example

__all__ = [
    "File",
    "Frame",
    "Reading",
    "Source",
    "answers_in",
    "load",
    "named_columns",
    "read_source",
    "summary",
    "unfold",
    "unfolded",
    "write_skipped",
]

SHOWN_ROWS = 5  #: bad rows that an error spells out
SHOWN_CHARS = 240  #: of each


def load(
    source: Source,
    task: Task,
    *,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    template_fields: Collection[str] | None = None,
    answers: bool = True,
    on_bad_row: Literal["error", "skip"] = "error",
    skipped_path: Path | None = None,
) -> Dataset:
    """Check every row of a source, which is read first unless it was read already.

    Args:
        source: What :func:`softprompt.data.reading.read_source` reads or has read; it takes the settings of reading.
        task: Says which column holds the answer and which answers are allowed.
        columns: Template field (or the task's target) -> column, where the names differ.
        roles: What columns are for besides the template: ``id`` (default: the column ``id`` where there is one),
            ``group`` (rows of one group never stand on two sides of a split), ``weight`` (in the loss).
        template_fields: The fields to keep; default: every column that has no other part.
        answers: False reads rows without answers, to predict them.
        on_bad_row: Stop and say what is wrong, or leave the row out.
        skipped_path: Where ``skip`` writes what it left out, see :func:`write_skipped`.

    Raises:
        DataError: what :func:`softprompt.data.reading.read_source` raises; ``data.missing_column``,
            ``data.unknown_field``, ``data.leaked_answer``, ``data.no_rows``; for bad rows their common code, or
            ``data.bad_rows`` when they differ.

    >>> rows = [{"body": "It broke", "label": "bad"}, {"body": "Lovely", "label": "godo"}]
    >>> task = Task.classify(["good", "bad"])
    >>> load(rows[:1], task, columns={"text": "body"}, template_fields={"text"})[0].fields
    {'text': 'It broke'}
    >>> load(rows, task)
    Traceback (most recent call last):
    softprompt.core.errors.DataError: row 2: label 'godo' is not in the task; did you mean 'good'? known: bad, good ...
    """
    columns, roles = columns or {}, roles or {}
    named = named_columns(task, columns=columns, roles=roles, template_fields=template_fields)
    reading = read_source(source, named=named)
    targets = {columns.get(name, name) for name in task.target_columns}
    entries, said = _with_paths(unfolded(reading.entries, task, answers=answers), named, targets=targets)
    usable = [entry for entry in entries if not isinstance(entry, BadRow)]
    known = columns_of(usable)
    try:
        if usable and isinstance(usable[0], Example):
            layout = Layout.of_fields(known, columns=columns, template_fields=template_fields, answers=answers)
        elif usable:
            layout = Layout.plan(
                known, task, columns=columns, roles=roles, template_fields=template_fields, answers=answers
            )
        else:
            layout = Layout({})  # nothing to lay out: said below
    except DataError as error:
        raise error.at(reading.name) from None
    checked = [entry if isinstance(entry, BadRow) else to_example(entry, task, layout) for entry in entries]
    bad = tuple(entry for entry in checked if isinstance(entry, BadRow))
    rows = [entry for entry in checked if isinstance(entry, Example)]
    if bad and on_bad_row == "error":
        raise summary(bad, len(entries), reading.name)
    if bad and skipped_path is not None:
        write_skipped(bad, skipped_path)
    if not rows:
        reason = f"all {len(bad)} rows are bad, the first: {bad[0].reason}" if bad else "there are no rows"
        raise DataError("data.no_rows", reason, cure="check the source and its columns").at(reading.name)
    if reading.strip_html:
        rows = [without_html(row) for row in rows]
    classes = tuple(getattr(task, "names", ())) if task.fixed_candidates else ()
    return Dataset(with_ids(rows), reading.name, classes, bad, (*reading.notes, *said))


def named_columns(
    task: Task,
    *,
    columns: Mapping[str, str],
    roles: Mapping[str, str] | None = None,
    template_fields: Collection[str] | None = None,
) -> set[str]:
    """The columns that a run names, whether or not the data has them.

    >>> sorted(named_columns(Task.choose(["a", "b"]), columns={"text": "body"}, template_fields=["text", "more"]))
    ['a', 'b', 'body', 'label', 'more']
    """
    asked = getattr(task, "candidates_from", ())
    return {
        *(columns.get(name, name) for name in task.target_columns),
        *columns.values(),
        *(roles or {}).values(),
        *((asked,) if isinstance(asked, str) else asked),
        *(name for name in template_fields or () if name not in columns),
        *task.named,
    }


def unfolded(
    entries: Sequence[Record | BadRow | Example], task: Task, *, answers: bool
) -> list[Record | BadRow | Example]:
    """Entries as the task takes them: a conversation may stand for a row a turn.

    >>> say = [{"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "4"}]
    >>> (row,) = unfolded([Record("a.jsonl:1", {"messages": say})], Task.dialogue(), answers=True)
    >>> row.values["text"], row.values["answer"]
    ('User: 2 + 2', '4')
    """
    found: list[Record | BadRow | Example] = []
    for entry in entries:
        found.extend([entry] if isinstance(entry, Example) else unfold(entry, task, answers=answers))
    return found


def unfold(entry: Entry, task: Task, *, answers: bool) -> list[Entry]:
    """One entry as the task takes it, or what is wrong with it."""
    if isinstance(entry, BadRow):
        return [entry]
    try:
        return [Record(entry.source, values) for values in task.unfold(entry.values, answers=answers)]
    except DataError as error:
        return [BadRow(entry.source, error.code, error.message, entry.values)]


def _with_paths(
    entries: Sequence[Record | BadRow | Example], named: Collection[str], *, targets: Collection[str]
) -> tuple[list[Record | BadRow | Example], tuple[str, ...]]:
    """Entries with a column for each path that is named; the object that holds the answer is no column any more."""
    paths, said = paths_among(named, (entry.values for entry in entries if isinstance(entry, Record)))
    if not paths:
        return list(entries), tuple(said)
    hidden = [target for target in targets if target in paths]
    found = [with_paths(e, paths, hidden=hidden) if isinstance(e, Record) else e for e in entries]
    return found, tuple(said)


def without_html(row: Example) -> Example:
    """The row with plain texts instead of HTML.

    >>> without_html(Example({"text": "<b>Hi</b> Ada"})).fields
    {'text': 'Hi Ada'}
    """
    return replace(row, fields={name: to_plain(text) for name, text in row.fields.items()})


def answers_in(source: Source, column: str) -> tuple[list[Any], str]:
    """What stands in the column of the answer, row by row as it came, and the name of the source.

    Raises:
        DataError: ``data.no_rows``; ``data.missing_column``; and what reading the source raises.

    >>> answers_in([{"tags": "late; billing"}, {"tags": None}], "tags")
    (['late; billing', None], 'rows')
    """
    reading = read_source(source, named={column})
    entries, name = reading.entries, reading.name
    rows = [entry for entry in entries if not isinstance(entry, BadRow)]
    if entries and not rows:
        raise summary(tuple(entry for entry in entries if isinstance(entry, BadRow)), len(entries), name)
    if not rows:
        raise DataError("data.no_rows", "there are no rows", cure="check the source and its columns").at(name)
    if isinstance(rows[0], Example):
        return [row.target for row in rows if isinstance(row, Example)], name
    found, _ = _with_paths(rows, {column}, targets={column})
    known = columns_of(found)
    if column not in known:
        reason = f"the column {column!r} for the answer is not in the data; {nearest(column, known)}"
        raise DataError("data.missing_column", reason).at(name)
    return [row.values.get(column) for row in found if isinstance(row, Record)], name


def write_skipped(rows: Iterable[BadRow], path: str | Path) -> None:
    """Keep bad rows as JSON lines (source, code, reason, row), for the owner alone (0600): it is customer text."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [{"source": row.source, "code": row.code, "reason": row.reason, "row": row.row} for row in rows]
    # surrogates and values without a text form are what may be wrong with a row: ASCII and str() keep them
    write_private(path, "".join(json.dumps(one, ensure_ascii=True, default=str) + "\n" for one in kept))


def with_ids(rows: Sequence[Example]) -> tuple[Example, ...]:
    """Rows with unique ids."""
    seen: Counter[str] = Counter()
    return tuple(replace(row, id=unique_id(row, seen)) for row in rows)


def unique_id(row: Example, seen: Counter[str]) -> str:
    """The user's id or the content hash, with #2, #3, ... where one comes again; ``seen`` counts them."""
    name = row.id or row.content
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}#{seen[name]}"


def summary(bad: Sequence[BadRow], total: int, name: str) -> DataError:
    """One error for all bad rows: how many, and the first few with line and reason."""
    if len(bad) == 1:
        return bad[0].error()
    codes = {row.code for row in bad}
    lines = [f"{row.source}: {row.reason}" for row in bad[:SHOWN_ROWS]]
    lines = [line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…" for line in lines]
    more = [f"... and {len(bad) - SHOWN_ROWS} more"] if len(bad) > SHOWN_ROWS else []
    return DataError(
        codes.pop() if len(codes) == 1 else "data.bad_rows",
        f"{len(bad)} of {total} rows cannot be used:\n  " + "\n  ".join(lines + more) + "\n ",
        cure="correct them, or leave bad rows out: on_bad_row: skip, --on-bad-row skip",
    ).at(name)
