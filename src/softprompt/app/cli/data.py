"""``softprompt data``: what the rows are like, before anything is learnt from them."""

from typing import Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.options import changes_in
from softprompt.app.cli.settings import read_config
from softprompt.core.errors import DataError
from softprompt.core.words import counted

#: Bad rows that are listed one by one.
SHOWN = 20


def page(
    config: options.Config = None,
    *,
    train: options.Train = None,
    validation: options.Validation = None,
    test: options.Test = None,
    target: options.Target = None,
    text_column: options.TextColumn = None,
    read: options.Read = None,
    task: options.TaskKind = None,
    labels: options.Labels = None,
    schema: options.Schema = None,
    template: options.Template = None,
    place: options.Place = None,
    model: options.Model = None,
    sets: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """The page before training: rows, balance, lengths in tokens, what is cut, what to look at.

    softprompt data page --train tickets.csv --target topic
    """
    with Face(as_json=as_json) as face:
        settings = read_config(config, changes_in(locals()))
        from softprompt.app.recipes.preview import data_page

        ready, found = data_page(settings, face.watcher)
        document = {**found.to_dict(), "template": str(ready.template), "notes": list(ready.notes)}
        face.show(document, lambda out: render_page(out, document, found.lines()))


def check(
    config: options.Config = None,
    *,
    train: options.Train = None,
    validation: options.Validation = None,
    test: options.Test = None,
    target: options.Target = None,
    text_column: options.TextColumn = None,
    read: options.Read = None,
    task: options.TaskKind = None,
    labels: options.Labels = None,
    schema: options.Schema = None,
    template: options.Template = None,
    sets: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Read every row and list those that cannot be used, with file, line and reason; loads no model.

    The exit status is 3 when there are any.

        softprompt data check --train tickets.csv --test judged.csv --target topic
    """
    with Face(as_json=as_json) as face:
        settings = read_config(config, changes_in(locals()))
        from softprompt.app.recipes.preview import data_check

        found = data_check(settings, face.watcher)
        document = found.to_dict()
        face.show(document, lambda out: render_check(out, document))
        if found.num_bad:
            raise typer.Exit(DataError.exit_status)


def render_page(out: Screen, document: dict[str, Any], lines: list[str]) -> None:
    """The page that the data draws itself, and the template that the lengths are of."""
    out.say_all(*lines)
    out.say()
    out.say(f"template {document['template']!r}, with room for {document['max_tokens']} tokens of text")
    for note in document["notes"]:
        out.say(f"note: {note}", style="dim")


def render_check(out: Screen, document: dict[str, Any]) -> None:
    """A line a file, then the bad rows."""
    for name, file in document["files"].items():
        labels = ", ".join(f"{label} {count:,}" for label, count in file["labels"].items())
        bad = f", {counted(len(file['bad']), 'row')} cannot be used" if file["bad"] else ""
        out.say(f"{name}: {file['path']}, {counted(file['rows'], 'row')}{bad}")
        out.say(f"  fields {', '.join(file['fields'])}")
        out.say_all(*([f"  labels {labels}"] if labels else []), *(f"  note: {note}" for note in file["notes"]))
        for row in file["bad"][:SHOWN]:
            out.say(f"  {row['source']}: {row['reason']} [{row['code']}]", style="red")
        if len(file["bad"]) > SHOWN:
            out.say(f"  ... and {len(file['bad']) - SHOWN:,} more; --json lists all", style="red")
    for warning in document["warnings"]:
        out.say(f"look at this: {warning}", style="yellow")
    if not document["bad_rows"]:
        out.say("every row can be used")
