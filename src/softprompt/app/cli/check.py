"""``softprompt check``: the page before a run."""

from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.options import changes_in
from softprompt.app.cli.settings import read_config
from softprompt.app.cli.tables import plan_lines

#: Candidate answers that are spelt out below a row.
ANSWERS = 6


def check(
    config: options.Config = None,
    *,
    rows: Annotated[int, typer.Option(min=1, help="Rows to show in tokens, from the shortest to the longest.")] = 3,
    train: options.Train = None,
    target: options.Target = None,
    text_column: options.TextColumn = None,
    task: options.TaskKind = None,
    labels: options.Labels = None,
    schema: options.Schema = None,
    template: options.Template = None,
    place: options.Place = None,
    method: options.Method = None,
    read: options.Read = None,
    model: options.Model = None,
    sets: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """One page before a run: rows, balance, lengths, cuts; rows in tokens; time, memory, disk; whether the model knows
    the language.

    softprompt check tickets.yaml --rows 3
    """
    with Face(as_json=as_json) as face:
        settings = read_config(config, changes_in(locals()))
        from softprompt.app.recipes.check import check as look

        found = look(settings, face.watcher, num_rows=rows)
        document = {**found.to_dict(), "settings": settings.model_dump(mode="json")}
        face.show(document, lambda out: render(out, found, document))


def render(out: Screen, found: Any, document: dict[str, Any]) -> None:
    """Language first, because nothing else repairs it; then rows, template, cost."""
    language = document["language"]
    out.heading("language")
    out.prose(f"  {language['sentence']}", style="yellow" if language["foreign"] else None)
    out.heading("rows")
    out.say_all(*(f"  {line}".rstrip() for line in found.plan.page.lines()))
    for note in document["notes"]:
        out.prose(f"  note: {note}", style="dim")
    for number, row in enumerate(found.rows):
        out.heading(f"{row.source}, answer {row.answer!r}")
        out.say_all(*row.view.lines(max_answers=0 if number else ANSWERS))
    out.heading("cost")
    silent = {**document, "data": {**document["data"], "warnings": []}}
    out.say_all(*(f"  {line}" for line in plan_lines(silent)))
