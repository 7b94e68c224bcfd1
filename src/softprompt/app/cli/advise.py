"""``softprompt advise``: which way to try first, why, and the command for it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.options import changes_in
from softprompt.app.cli.settings import read_config

SETTINGS = {".yaml", ".yml"}


def advise(
    source: Annotated[Path, typer.Argument(metavar="CONFIG|FILE", help="Settings, or labelled rows.")],
    *,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Try the untrained model and two classifiers on some rows.")
    ] = True,
    target: options.Target = None,
    model: options.Model = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    quantise: options.Quantise = None,
    sets: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Look at task, rows, model and machine, and say which way to try first and why.

    Test rows stay unseen: what is measured is measured on a part of the training rows.

        softprompt advise tickets.yaml

        softprompt advise tickets.csv --model Qwen/Qwen2.5-0.5B
    """
    with Face(as_json=as_json) as face:
        changes = changes_in(locals())
        if source.suffix.lower() in SETTINGS:
            config = read_config(source, changes)
        else:
            from softprompt.app.recipes.deciding import Wishes
            from softprompt.app.recipes.init import init

            config = init(str(source), Wishes(target=target)).config.with_(
                {key: value for key, value in changes.items() if key != "task.target"}
            )
        from softprompt.app.recipes.advise import advice

        found = advice(config, face.watcher, named=str(source), measure=measure).to_dict()
        face.show(found, lambda out: render(out, found))


def render(out: Screen, found: dict[str, Any]) -> None:
    """The advice, its reasons with their sources, what speaks against it, and what to type."""
    sentence = found["sentence"]
    out.heading(sentence[:1].upper() + sentence[1:])
    for head, reasons in (
        ("because", found["reasons"]),
        ("although", found["against"]),
        ("and keep in mind", found["cautions"]),
    ):
        if reasons:
            out.heading(head)
            for one in reasons:
                out.prose(f"- {one['why']} ({one['source']})")
    for note in found["notes"]:
        out.prose(f"note: {note}", style="dim")
    out.heading("type")
    for command in found["commands"]:
        out.say(f"  {command}")
    out.say()
    out.prose("These are rules of thumb; the comparison on your rows decides.", style="dim")
