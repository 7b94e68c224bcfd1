"""``softprompt template``: what stands where, in tokens, and what it costs; and the presets."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.options import changes_in
from softprompt.app.cli.settings import read_config
from softprompt.app.cli.tables import grid


def check(
    template: Annotated[
        str | None,
        typer.Argument(metavar="TEXT|CONFIG.yaml", help="The template, or a settings file; without it the preset."),
    ] = None,
    *,
    task: options.TaskKind = None,
    labels: options.Labels = None,
    place: options.Place = None,
    train: options.Train = None,
    target: options.Target = None,
    text_column: options.TextColumn = None,
    row: Annotated[int, typer.Option(min=1, help="Row of --train to show, counted from 1.")] = 1,
    model: options.Model = None,
    sets: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Show a template at work: its parts, their tokens with blanks drawn, what is read once and what every step costs.

    softprompt template check '{text}<soft 20> It was {answer}' --labels good,bad

    softprompt template check run.yaml
    """
    with Face(as_json=as_json) as face:
        path, text = split_argument(template)
        changes = changes_in({**locals(), "template": text})
        if path is not None or train is not None:
            config = read_config(path, changes)
            from softprompt.app.recipes.preview import template_check

            view = template_check(config, face.watcher, row=row)
        else:
            view = _without_data(changes, face)
        face.show(view.to_dict(), lambda out: render(out, view))


def presets(as_json: options.Json = False) -> None:
    """List the templates that nobody has to write: one a kind of task and placement."""
    with Face(as_json=as_json) as face:
        from softprompt.model.templates.presets import CUES, preset_text

        found = [
            {"task": kind, "place": place, "template": preset_text(kind, place=place)}
            for kind in CUES
            for place in ("after", "before")
        ]
        face.show(found, lambda out: render_presets(out, found))


def split_argument(template: str | None) -> tuple[Path | None, str | None]:
    """A settings file or the text of a template, told apart by the suffix.

    >>> split_argument("run.yaml") == (Path("run.yaml"), None), split_argument("{text} It was {answer}")
    (True, (None, '{text} It was {answer}'))
    """
    if template is not None and template.lower().endswith((".yaml", ".yml")):
        return Path(template), None
    return None, template


def _without_data(changes: dict[str, Any], face: Face) -> Any:
    """A template by itself: of the settings only template, task and model are looked at."""
    from softprompt.app.cli.settings import with_changes
    from softprompt.app.config import ModelSettings, TaskSettings
    from softprompt.app.recipes.preview import template_view
    from softprompt.model.templates import TemplateSettings

    parts: dict[str, Any] = with_changes({}, changes)
    return template_view(
        TemplateSettings.parse(parts.get("template", {}), where="template"),
        task=TaskSettings.parse(parts.get("task", {}), where="task"),
        model=ModelSettings.parse(parts.get("model", {}), where="model"),
        watcher=face.watcher,
    )


def render(out: Screen, view: Any) -> None:
    """The page that the view draws itself."""
    out.heading(view.template)
    out.say()
    out.say_all(*view.lines())


def render_presets(out: Screen, found: list[dict[str, str]]) -> None:
    """The presets with their line ends drawn."""
    table = grid("task", "place", "template")
    for one in found:
        table.add_row(one["task"], one["place"], one["template"].replace("\n", "⏎"))
    out.print(table)
