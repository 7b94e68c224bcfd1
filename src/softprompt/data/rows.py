"""One record to one example: texts of the fields, candidates, the answer; or the reason why not.

The task is asked whether it can use the row, so a new task needs no line here. A task may read the cell itself (sets of
labels, numbers); else an answer is a text and may be written in a few ways, tried in this order: as it stands; a truth
value as "True"; the name of the column in which the right candidate stands.
"""

import contextlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from softprompt.core.errors import ConfigError, DataError, nearest
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import BadRow
from softprompt.data.entries import Record
from softprompt.data.values import Unreadable, is_missing, plain, to_text

__all__ = ["ROLES", "Layout", "to_example"]

ROLES = ("id", "group", "weight")  #: what a column can be for besides the template


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column plays which part.

    Attributes:
        fields: Template field -> column.
        answers: Whether the rows must have answers.
        targets: Columns of the answer, mostly one: what the task calls them -> column; empty where rows are examples.
        candidates: One column of lists, or several columns of texts; empty where the task has its own.
        id, group, weight: Columns, None for none.
    """

    fields: Mapping[str, str]
    answers: bool = True
    targets: Mapping[str, str] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()
    id: str | None = None
    group: str | None = None
    weight: str | None = None

    @classmethod
    def of_fields(
        cls, known: Sequence[str], *, columns: Mapping[str, str], template_fields: Collection[str] | None, answers: bool
    ) -> "Layout":
        """For rows that are examples already: only their fields are chosen and renamed.

        Raises:
            DataError: ``data.unknown_field``.
        """
        names = [name for name in known if name not in columns.values()] + list(columns)
        fields = {
            name: columns.get(name, name) for name in (names if template_fields is None else sorted(template_fields))
        }
        _check_fields(fields, known, ())
        return cls(fields, answers)

    @classmethod
    def plan(
        cls,
        known: Sequence[str],
        task: Task,
        *,
        columns: Mapping[str, str],
        roles: Mapping[str, str],
        template_fields: Collection[str] | None,
        answers: bool,
    ) -> "Layout":
        """Give every column of ``known`` its part.

        Raises:
            ConfigError: ``config.unknown_name``: a role that is none of :data:`ROLES`; ``config.invalid``: the group is
                the answer.
            DataError: ``data.missing_column``, ``data.unknown_field``, ``data.leaked_answer``.

        >>> plan = Layout.plan(["id", "body", "label"], Task.classify(["a", "b"]), columns={"text": "body"}, roles={},
        ...                    template_fields=None, answers=True)
        >>> plan.fields, plan.targets, plan.id
        ({'text': 'body'}, {'label': 'label'}, 'id')
        """
        targets = {name: columns.get(name, name) for name in task.target_columns}
        _check_roles(roles, targets.values() if answers else ())
        asked = getattr(task, "candidates_from", ())  # a task whose candidates stand in the row says where
        candidates = (asked,) if isinstance(asked, str) else tuple(asked)
        made = {"id": "id", **task.roles}
        parts = {**{role: column for role, column in made.items() if column in known}, **roles}
        mapped = {name: column for name, column in columns.items() if name not in targets}
        needed = [*mapped.items(), *parts.items(), *((column, column) for column in candidates)]
        for part, column in [*needed, *(("answer", column) for column in targets.values())] if answers else needed:
            if column not in known:
                what = f"the column {column!r}" + (f" for {part!r}" if part != column else "")
                raise DataError("data.missing_column", f"{what} is not in the data; {nearest(column, known)}")
        if template_fields is None:
            used = {*targets.values(), *candidates, *parts.values(), *mapped.values()}
            fields = {column: column for column in known if column not in used} | mapped
            if not fields and roles:
                parted = ", ".join(f"{column!r} is the {role}" for role, column in roles.items())
                message = f"no column is left to be read: {parted}"
                cure = f"say what is read, too: data.columns: {{text: {next(iter(roles.values()))}}}"
                raise DataError("data.unknown_field", message, cure=cure)
        else:
            fields = {name: mapped.get(name, name) for name in sorted(template_fields)}
            _check_fields(fields, known, tuple(targets.values()) if answers else ())
        return cls(fields, answers, targets, candidates, *map(parts.get, ROLES))


def _check_roles(roles: Mapping[str, str], targets: Collection[str]) -> None:
    for role in roles:
        if role not in ROLES:
            raise ConfigError("config.unknown_name", f"no role is called {role!r}; {nearest(role, ROLES)}")
    if (group := roles.get("group")) in targets:
        message = f"rows are grouped by {group!r}, the column of the answer: no part would hold two answers"
        raise ConfigError("config.invalid", message, cure="group by what makes rows dependent: a customer, a thread")


def _check_fields(fields: Mapping[str, str], known: Sequence[str], targets: Collection[str]) -> None:
    for name, column in fields.items():
        if column not in known:
            raise DataError(
                "data.unknown_field",
                f"no column gives the template's field {{{name}}}; {nearest(name, known)}",
                cure=f"rename the field in the template, or say which column it is with columns: {{{name}: COLUMN}}",
            )
        if column in targets:
            raise DataError(
                "data.leaked_answer",
                f"the template's field {{{name}}} is the column of the answer: the prompt would read what it is asked",
                cure="take it out of the template; the answer's place is {answer}",
            )


def to_example(row: Record | Example, task: Task, layout: Layout) -> Example | BadRow:
    """The checked example that a row is, or what is wrong with it.

    >>> task = Task.classify(["1", "2"])
    >>> layout = Layout({"text": "body"}, targets={"label": "label"})
    >>> to_example(Record("a.csv:2", {"body": "hi", "label": 2.0}), task, layout).target
    '2'
    >>> to_example(Record("a.csv:3", {"body": "hi", "label": " "}), task, layout).reason
    "the row has no 'label'"
    """
    values = row.values if isinstance(row, Record) else row.fields
    try:
        fields = {name: _cell(values, column) for name, column in layout.fields.items()}
        if isinstance(row, Example):
            example, target = replace(row, fields=fields), row.target
        else:
            example, target = _example(row, fields, layout), _target(values, layout)
        if not layout.answers:
            task.candidates(example)  # a choice needs its candidates also when nobody knows the answer
            return replace(example, target=None)
        return replace(example, target=answer(target, example, task, layout))
    except Unreadable as error:
        return BadRow(row.source, "data.bad_value", str(error), values)
    except DataError as error:
        return BadRow(row.source, error.code, error.message, values)


def _example(record: Record, fields: Mapping[str, str], layout: Layout) -> Example:
    values = record.values
    return Example(
        fields=fields,
        id=_cell(values, layout.id) if layout.id else "",
        weight=_weight(values.get(layout.weight)) if layout.weight else 1.0,
        group=(_cell(values, layout.group) or None) if layout.group else None,
        candidates=_candidates(values, layout.candidates) if layout.candidates else None,
        source=record.source,
    )


def _target(values: Mapping[str, Any], layout: Layout) -> Any:
    """The cell of the answer, or those of its columns by name; None where the row has none of them."""
    cells = {name: values[column] for name, column in layout.targets.items() if column in values}
    return next(iter(cells.values()), None) if len(layout.targets) == 1 else cells or None


def _cell(values: Mapping[str, Any], column: str) -> str:
    try:
        return to_text(values.get(column))
    except Unreadable as error:
        raise Unreadable(f"the column {column!r} holds {error}") from None


def answer(value: Any, example: Example, task: Task, layout: Layout) -> Any:
    """The answer in the form in which the task knows it: what the task reads, a text, or several references.

    Raises:
        DataError: ``data.no_target``, or what the task says, e.g. ``data.unknown_label``.
        Unreadable: A value that has no text form.
    """
    value = {name: plain(cell) for name, cell in value.items()} if isinstance(value, dict) else plain(value)
    if (read := task.read(value)) is not None:
        return read
    candidates = task.candidates(example)
    if candidates is None:
        texts = tuple(to_text(part) for part in value) if isinstance(value, (list, tuple)) else to_text(value)
        if not "".join(texts).strip():
            raise DataError("data.no_target", f"the row has no {task.target!r}")
        return tuple(text for text in texts if text.strip()) if isinstance(texts, tuple) else texts
    text = to_text(value).strip()
    if not text:
        raise DataError("data.no_target", f"the row has no {task.target!r}")
    spellings = [text, str(value)] if isinstance(value, bool) else [text]
    if text in layout.candidates and len(layout.candidates) > 1 and layout.candidates.index(text) < len(candidates):
        spellings.append(candidates[layout.candidates.index(text)])
    faults = []
    for spelling in map(task.spelt, spellings):
        try:
            task.answer(replace(example, target=spelling))
            return spelling
        except DataError as error:
            faults.append(error)
    raise faults[0]


def _candidates(values: Mapping[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    """The candidates of a row, from a column of lists or from several columns (empty ones at the end are left out)."""
    if len(columns) == 1:
        value = values.get(columns[0])
        value = plain(value)
        if isinstance(value, str) and value.lstrip().startswith("["):
            with contextlib.suppress(ValueError):  # said below: it is no list
                value = json.loads(value)
        if not isinstance(value, (list, tuple)):
            came = "nothing" if is_missing(value) or value == "" else f"a {type(value).__name__}"
            raise DataError("data.no_candidates", f"the column {columns[0]!r} holds {came}, a list is needed")
        texts = [to_text(part) for part in value]
    else:
        texts = [to_text(values.get(column)) for column in columns]
        while texts and not texts[-1].strip():
            texts.pop()
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise DataError("data.no_candidates", f"candidate {number} of {len(texts)} is empty")
        if text in texts[: number - 1]:
            raise DataError("data.same_candidates", f"two candidates are the same: {text!r}")
    return tuple(texts)


def _weight(value: Any) -> float:
    if is_missing(value) or value == "":
        return 1.0
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = -1.0
    if not (math.isfinite(weight) and weight >= 0):
        raise DataError("data.bad_value", f"the weight is {value!r}, a number from 0 is needed")
    return weight
