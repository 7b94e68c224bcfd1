"""``softprompt evaluate``: what saved prompts are worth on labelled rows."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.options import columns_of, file_of, model_of
from softprompt.app.cli.paths import prompt_paths
from softprompt.app.cli.tables import class_table, metric_table
from softprompt.app.cli.words import counted, duration, interval


def evaluate(
    prompts: options.Prompts,
    *,
    data: Annotated[Path, typer.Option("--data", "-d", metavar="FILE", help="Labelled rows.")],
    text_column: options.TextColumn = None,
    columns: options.Columns = None,
    read: options.Read = None,
    target: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Column of the right answers, one a prompt, in order.")
    ] = None,
    min_confidence: options.MinConfidence = None,
    model: options.OfModel = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Judge saved prompts on labelled rows: every score with its interval, and a report by class.

    softprompt evaluate runs/topic --data new.csv
    """
    with Face(as_json=as_json) as face:
        paths = prompt_paths(prompts)
        targets = targets_for(target, paths)
        from softprompt.app.recipes.evaluate import evaluate as judge

        found = judge(
            paths,
            file_of(str(data), read),
            columns=columns_of(columns, text_column),
            targets=targets,
            model=model_of(model, dtype, device, prompts=paths),
            min_confidence=min_confidence,
            watcher=face.watcher,
        )
        document = [
            {"prompt": str(path), "data": str(data), **one.to_dict()} for path, one in zip(paths, found, strict=True)
        ]
        face.show(document, lambda out: render(out, document))


def targets_for(targets: list[str] | None, prompts: list[Path]) -> list[str] | None:
    """A column a prompt; one given column stands for all.

    Raises:
        ConfigError: ``config.usage`` for another number of columns.
    """
    if not targets:
        return None
    if len(targets) == 1:
        return targets * len(prompts)
    if len(targets) != len(prompts):
        from softprompt.app.cli.failures import usage_error

        message = f"--target was given {len(targets)} times for {len(prompts)} prompts"
        raise usage_error(message, cure="give it once, or once a prompt in the same order")
    return targets


def render(out: Screen, evaluations: list[dict[str, Any]]) -> None:
    """The table of scores, then for each prompt its classes and what is to be known."""
    if len({one["name"] for one in evaluations}) < len(evaluations):  # told apart by where they lie
        evaluations = [{**one, "name": one["prompt"]} for one in evaluations]
    if len(evaluations) > 1:
        out.heading(f"{counted(len(evaluations), 'prompt')} on {evaluations[0]['data']}")
        out.print(metric_table(evaluations, width=out.width))
    for one in evaluations:
        out.heading(f"{one['name']} on {one['data']}: {counted(len(one['items']), 'row')}, {duration(one['seconds'])}")
        if len(evaluations) == 1:
            out.print(metric_table(evaluations, width=out.width))
        if one["classes"]:
            out.say()
            out.print(class_table(one["classes"], width=out.width))
        if one["abstained"]:
            out.say()
            given = f"; of those given {interval(one['answered'])} are right" if one["answered"] else ""
            out.say(f"{counted(one['abstained'], 'answer')} withheld{given}")
        if one["cut"]:
            out.say(f"{counted(one['cut'], 'row')} too long for the model: cut", style="yellow")
