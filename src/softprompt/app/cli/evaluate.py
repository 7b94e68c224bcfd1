"""``softprompt evaluate``: what saved prompts are worth on labelled rows."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.failures import LIMIT
from softprompt.app.cli.options import columns_of, decoding_of, file_of, model_of, on_bad_row_of
from softprompt.app.cli.paths import prompt_paths
from softprompt.app.cli.tables import class_table, metric_table, slice_table
from softprompt.core.cards.views import withheld_sentence
from softprompt.core.errors import ResourceError
from softprompt.core.words import counted, duration

CLOSER, PIPELINES = "Look closer", "In pipelines"


def evaluate(
    prompts: options.Prompts,
    *,
    data: Annotated[Path, typer.Option("--data", "-d", metavar="FILE", help="Labelled rows.")],
    text_column: options.TextColumn = None,
    columns: options.Columns = None,
    read: options.Read = None,
    on_bad_row: options.OnBadRow = None,
    target: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Column of the right answers, one a prompt, in order.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Rows with the same value (one customer) count once in all intervals (as it learnt; '' for none).",
        ),
    ] = None,
    min_confidence: options.MinConfidence = None,
    min_precision: options.MinPrecision = None,
    precision: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Find the threshold from which on answers are right this often, and keep it in the prompt.",
            rich_help_panel=CLOSER,
        ),
    ] = None,
    choose_on: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Other labelled rows to find it on.", rich_help_panel=CLOSER),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Write it into the saved prompt.", rich_help_panel=CLOSER)
    ] = True,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="COLUMN", help="Show the score by a column.", rich_help_panel=CLOSER),
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write the rows that were not answered rightly.", rich_help_panel=CLOSER),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=LIMIT",
            help="End with status 10 when a score is worse; again for more.",
            rich_help_panel=PIPELINES,
        ),
    ] = None,
    fail_under_bound: Annotated[
        bool,
        typer.Option(
            "--fail-under-bound", help="The bound of the interval has to keep the limits.", rich_help_panel=PIPELINES
        ),
    ] = False,
    beams: options.Beams = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    max_new_tokens: options.MaxNewTokens = None,
    seed: options.Seed = None,
    track: options.Track = None,
    model: options.OfModel = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    quantise: options.Quantise = None,
    as_json: options.Json = False,
) -> None:
    """Judge saved prompts on labelled rows: every score with its interval, and a report by class.

        softprompt evaluate runs/topic --data new.csv

        softprompt evaluate runs/topic --data new.csv --precision 0.95 --slice channel --errors wrong.csv

        softprompt evaluate runs/topic --data new.csv --fail-under macro_f1=0.80

    Exit status: 0 done, 10 a limit of --fail-under is not kept, else the kind of error.
    """
    changes = decoding_of(locals())
    with Face(as_json=as_json) as face:
        paths = prompt_paths(prompts)
        targets = targets_for(target, paths)
        from softprompt.app.recipes.evaluate import Labelled
        from softprompt.app.recipes.examine import Questions, examine, write_mistakes
        from softprompt.app.recipes.routes import keep_route
        from softprompt.lab.gates import parse_gate

        keep = keep and precision is not None
        check_writable(*(paths if keep else []), *([errors] if errors else []))
        found = examine(
            paths,
            Labelled(
                file_of(str(data), read),
                columns_of(columns, text_column),
                targets,
                on_bad_row=on_bad_row_of(on_bad_row),
                group=group,
            ),
            Questions(
                min_confidence=min_confidence,
                min_precision=min_precision,
                precision=precision,
                choose_on=None if choose_on is None else file_of(choose_on, read),
                slices=slices or (),
                gates=[parse_gate(text) for text in fail_under or ()],
                bound=fail_under_bound,
                decoding=changes,
            ),
            model=model_of(model, dtype, device, quantise, prompts=paths),
            track=track or (),
            watcher=face.watcher,
        )
        document = [
            {"prompt": str(path), "data": str(data), **one.to_dict()} for path, one in zip(paths, found, strict=True)
        ]
        if errors is not None:
            write_mistakes(errors, [(one.evaluation.name, wrong) for one in found for wrong in one.mistakes])
        face.show(document, lambda out: render(out, document))
        for path, one in zip(paths, found, strict=True):
            if keep and one.route is not None:
                keep_route(path, one.route)
                face.note(f"{path} keeps the threshold: softprompt predict {path} --min-precision {precision:g}")
        if errors is not None:
            face.note(f"{counted(sum(len(one.mistakes) for one in found), 'row')} in {errors}")
        if failed := [wrong.sentence for one in found for wrong in one.passages if not wrong.passed]:
            face.print_error(Text(f"failed: {'; '.join(failed)}", style="bold red"))
            raise typer.Exit(LIMIT)


def check_writable(*paths: Path) -> None:
    """Refuse, before anything is computed, what could not be written after it.

    Raises:
        ResourceError: ``resource.write_failed``.
    """
    for path in paths:
        if not os.access(path.parent, os.W_OK) or (path.is_dir() and not os.access(path, os.W_OK)):
            message = f"{path} cannot be written"
            cure = "name another file for --errors" if path.suffix == ".csv" else "give --no-keep"
            raise ResourceError("resource.write_failed", message, cure=cure)


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
        if withheld := withheld_sentence(one):
            out.say()
            out.say(withheld)
        if one["lost"]:
            out.say(one["lost"], style="yellow" if one["cut"] else None)
        closer(out, one)


def closer(out: Screen, one: dict[str, Any]) -> None:
    """What can be routed, slices, cut rows, confusions and limits, as far as there are any."""
    for found in (*one["slices"], *([one["cut_rows"]] if one["cut_rows"] else [])):
        out.say()
        out.print(slice_table(found))
        out.prose(found["sentence"], style="yellow" if any(s["worse"] for s in found["slices"]) else None)
    if one["confusions"]:
        out.say()
        out.say_all(*(pair["sentence"] for pair in one["confusions"]))
    if one["routing"]:
        out.say()
        out.prose(one["routing"]["sentence"], style="bold" if one["routing"]["threshold"] is not None else "yellow")
    for limit in one["limits"]:
        if limit["passed"]:
            out.say(f"{limit['sentence']}")
