"""From what a request holds to examples: plain texts, or objects with the fields of the templates.

What is accepted is what ``predict`` accepts, so that both give the same rows. Nothing is dropped: a field that no
prompt reads is refused with the nearest name, because it is more often a misspelling than an extra.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from softprompt.core.errors import DataError, ServingError, nearest
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.sources import load, without_html
from softprompt.ops.serving.records import Limits, Served

__all__ = ["examples_of"]


def examples_of(value: Any, prompts: Sequence[Served], *, limits: Limits | None = None) -> tuple[Example, ...]:
    """The examples of a request.

    Args:
        value: A text, an object, or a list of one of both.
        prompts: Those that will be asked; they decide which fields are needed.
        limits: How many and how long.

    Raises:
        ServingError: ``serving.bad_input``, ``serving.unknown_field``, ``serving.missing_field``,
            ``serving.too_large``.

    >>> from softprompt.core.tasks import Task
    >>> from softprompt.model.prediction import Ask
    >>> from softprompt.model.templates import RowBuilder, Template
    >>> from softprompt.testing import tiny
    >>> builder = RowBuilder(Template.parse("{text}: {answer}"), Task.classify(["a", "b"]), tiny().tokenizer,
    ...                      max_tokens=64)
    >>> [example.fields["text"] for example in examples_of(["Hello", "Fine"], [Served("one", Ask(builder))])]
    ['Hello', 'Fine']
    """
    limits = limits or Limits()
    rows = list(value) if isinstance(value, list | tuple) else [value]
    if not rows:
        raise ServingError("serving.bad_input", "the list of inputs is empty", cure="send one text at least")
    if len(rows) > limits.max_texts:
        message = f"{len(rows):,} texts in one request; at most {limits.max_texts:,} are taken"
        raise ServingError("serving.too_large", message, cure="send several requests")
    fields = tuple(dict.fromkeys(name for prompt in prompts for name in prompt.fields))
    task = next((prompt.ask.task for prompt in prompts if prompt.candidate_fields), prompts[0].ask.task)
    named = [_named(row, n, fields, task) for n, row in enumerate(rows, 1)]
    known = (*fields, *(name for prompt in prompts for name in (*prompt.candidate_fields, *prompt.ask.task.named)))
    required = {name for prompt in prompts for name in prompt.ask.builder.template.required_fields}
    for n, row in enumerate(named, 1):
        _check_names(row, n, known=known, required=set() if row.keys() & set(task.named) else required)
    complete = [{**dict.fromkeys(fields, ""), **row} for row in named]
    try:
        found = load(complete, task, template_fields=fields, answers=False)
    except DataError as error:  # its cures are for files
        raise ServingError("serving.bad_input", error.message) from None
    plain = _strips_html(prompts)
    return tuple(_checked(without_html(example) if plain else example, n, limits) for n, example in enumerate(found, 1))


def _strips_html(prompts: Sequence[Served]) -> bool:
    """Whether the prompts learnt from texts without their HTML."""
    wanted = {prompt.ask.strip_html for prompt in prompts}
    if len(wanted) > 1:
        names = ", ".join(repr(prompt.name) for prompt in prompts if prompt.ask.strip_html)
        message = f"{names} learnt from texts without their HTML, the others with it: one reading cannot be both"
        raise ServingError("serving.unsupported", message, cure="ask them in two requests")
    return wanted == {True}


def _named(row: Any, n: int, fields: Sequence[str], task: Task) -> Mapping[str, Any]:
    """The row with names of fields; a plain text fills the only one."""
    if isinstance(row, Mapping):
        return row
    if not isinstance(row, str):
        came = "null" if row is None else f"of type {type(row).__name__}"
        message = f"input {n} is {came}; a text or an object with fields is needed"
        raise ServingError("serving.bad_input", message)
    if len(fields) != 1:
        listed = ", ".join(fields) or "none"
        message = f"input {n} is a plain text, which fills one field; the prompts read {len(fields)}: {listed}"
        raise ServingError("serving.bad_input", message, cure="send an object with these fields")
    return {fields[0]: task.asked(row)}


def _check_names(row: Mapping[str, Any], n: int, *, known: Sequence[str], required: set[str]) -> None:
    if unknown := next((name for name in row if name not in known), None):
        message = f"input {n}: no field is called {unknown!r}; {nearest(unknown, known)}"
        raise ServingError("serving.unknown_field", message)
    if missing := sorted(required - row.keys()):
        listed = ", ".join(map(repr, missing))
        raise ServingError("serving.missing_field", f"input {n} lacks {listed}", cure="an empty text is allowed")


def _checked(example: Example, n: int, limits: Limits) -> Example:
    """The example under its number, once each of its texts is found to be short enough."""
    for text in (*example.fields.values(), *(example.candidates or ())):
        if len(text) > limits.max_characters:
            message = f"input {n} has a text of {len(text):,} characters; at most {limits.max_characters:,} are read"
            raise ServingError("serving.too_large", message, cure="send the part that matters")
    return replace(example, id=str(n), source=f"input {n}")
