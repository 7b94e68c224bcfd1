"""``softprompt export``, ``import`` and ``convert``: prompts for other programs, from them, and for another model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.failures import usage_error
from softprompt.app.cli.paths import prompt_paths
from softprompt.app.cli.settings import parse_labels
from softprompt.app.cli.show import render_prompt
from softprompt.core.words import size

Out = Annotated[Path, typer.Option("--out", "-o", metavar="PROMPT", help="Where to save it: a folder, or a .zip.")]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Of the saved prompt.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a saved prompt that stands there.")]


def export(
    prompt: Annotated[Path, typer.Argument(metavar="PROMPT", help="A saved prompt, or a run folder.")],
    *,
    to: Annotated[str, typer.Option("--to", metavar="peft|npy|raw|vllm", help="The format.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder.")],
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="peft: PROMPT_TUNING, P_TUNING, CARTRIDGE or PREFIX_TUNING (what fits).",
        ),
    ] = None,
    model: options.OfModel = None,
    as_json: options.Json = False,
) -> None:
    """Write a saved prompt for another program; what its format cannot express is refused, with the reason.

    softprompt export runs/topic --to peft --out topic-peft
    """
    with Face(as_json=as_json) as face:
        (path,) = prompt_paths([prompt])
        from softprompt.app.recipes.formats import export_prompt

        done = export_prompt(path, to, out, kind=kind, model=model, watcher=face.watcher).to_dict()
        face.show(done, lambda out: render_export(out, done))


def import_(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="An adapter's folder of PEFT, an export of ours, or a .npy file.")
    ],
    *,
    out: Out,
    task: options.TaskKind = None,
    labels: options.Labels = None,
    target: options.Target = None,
    template: options.Template = None,
    name: Name = None,
    model: options.OfModel = None,
    overwrite: Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Make a saved prompt of what another program wrote; nothing in it is executed.

    softprompt import my-adapter --labels good,bad --template '<soft 20>{text} It was {answer}' --out tone
    """
    with Face(as_json=as_json) as face:
        asked = task_of(task, labels, target)
        from softprompt.app.recipes.formats import import_prompt

        require_room(out, overwrite=overwrite)
        made = import_prompt(source, model=model, task=asked, template=template, name=name, watcher=face.watcher)
        show_saved(face, made, out, overwrite=overwrite)


def convert(
    prompt: Annotated[Path, typer.Argument(metavar="PROMPT", help="A saved prompt, or a run folder.")],
    *,
    to_model: Annotated[str, typer.Option("--to-model", metavar="MODEL", help="The model to carry it to.")],
    out: Out,
    template: options.Template = None,
    name: Name = None,
    model: options.OfModel = None,
    overwrite: Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Carry a prompt to another model by what their vocabularies share: a start for training, not judged yet.

    softprompt convert runs/topic --to-model ./larger --out topic-larger
    """
    with Face(as_json=as_json) as face:
        (path,) = prompt_paths([prompt])
        from softprompt.app.recipes.convert import convert_prompt

        require_room(out, overwrite=overwrite)
        made = convert_prompt(path, to_model, template=template, name=name, model=model, watcher=face.watcher)
        show_saved(face, made, out, overwrite=overwrite)


def task_of(kind: str | None, labels: str | None, target: str | None) -> dict[str, Any] | None:
    """The task that flags describe; None where none does.

    Raises:
        ConfigError: ``config.usage``: a column of answers without a kind.

    >>> task_of(None, "good,bad", None)
    {'kind': 'classify', 'labels': ['good', 'bad']}
    """
    if kind is None and labels is None:
        if target is not None:
            raise usage_error("--target says where answers stand, not what is asked", cure="add --task or --labels")
        return None
    said: dict[str, Any] = {"kind": kind or "classify"}
    said |= {} if labels is None else {"labels": parse_labels(labels)}
    return said | ({} if target is None else {"target": target})


def require_room(out: Path, *, overwrite: bool) -> None:
    """Refuse a place that is taken before a model is loaded for what would go there."""
    from softprompt.model.prompts.prompt import Prompt

    Prompt.require_room(out, overwrite=overwrite)


def show_saved(face: Face, prompt: Any, out: Path, *, overwrite: bool) -> None:
    """Save a prompt, and show it."""
    prompt.save(out, overwrite=overwrite)
    document = {"kind": "prompt", "path": str(out), **prompt.to_dict()}
    face.show(document, lambda screen: render_prompt(screen, document))


def render_export(out: Screen, done: dict[str, Any]) -> None:
    """A line a file, then what a user should know."""
    out.heading(f"{done['format']} in {done['folder']}")
    for name, num_bytes in done["files"].items():
        out.say(f"  {name}  {size(num_bytes)}")
    for note in done["notes"]:
        out.prose(f"note: {note}", style="dim")
