"""``softprompt ensemble``: several saved prompts as one."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.options import columns_of, file_of, model_of, on_bad_row_of
from softprompt.app.cli.paths import prompt_paths
from softprompt.app.cli.tables import grid
from softprompt.core.words import duration, interval, size


def ensemble(
    prompts: options.Prompts,
    *,
    data: Annotated[
        str, typer.Option("--data", "-d", metavar="FILE", help="Labelled rows that choose: none that they learnt from.")
    ],
    by: Annotated[
        str, typer.Option(metavar="mean|majority|weights|greedy", help="How their answers become one.")
    ] = "mean",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PROMPT", help="Save it: a folder, or a file that ends in .zip."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the ensemble (that of --out).")] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate/--no-calibrate", help="Also fit a temperature to the pooled probabilities.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a saved prompt at --out.")] = False,
    text_column: options.TextColumn = None,
    columns: options.Columns = None,
    read: options.Read = None,
    on_bad_row: options.OnBadRow = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Rows with the same value (one customer) count once, and stay together."),
    ] = None,
    model: options.OfModel = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    quantise: options.Quantise = None,
    as_json: options.Json = False,
) -> None:
    """Join saved prompts of one task into one that answers for all of them, over one reading of each text.

        softprompt ensemble runs/a runs/b runs/c --data validation.csv --by greedy --out topic

    What it saves predicts, is evaluated, explained and served like any other prompt.
    """
    with Face(as_json=as_json) as face:
        paths = prompt_paths(prompts)
        from softprompt.app.recipes.ensemble import ensemble as join

        report = join(
            paths,
            file_of(data, read),
            by=by,
            out=out,
            name=name or (out.stem if out else "ensemble"),
            calibrate=calibrate,
            overwrite=overwrite,
            columns=columns_of(columns, text_column),
            group=group,
            on_bad_row=on_bad_row_of(on_bad_row),
            model=model_of(model, dtype, device, quantise, prompts=paths),
            watcher=face.watcher,
        )
        document = report.to_dict()
        face.show(document, lambda out: render(out, document))


def render(out: Screen, found: dict[str, Any]) -> None:
    """The members, the ensemble below them, how different they are, and whether it was worth it."""
    out.heading(f"{len(found['members'])} prompts as one, by {found['by']}, on {found['rows']:,} rows")
    metric = found["metric"]
    table = grid("prompt", "weight", metric, "", "ECE", numbers=(1, 2, 4))
    for one in found["members"]:
        table.add_row(one["name"], f"{100 * one['weight']:.0f} %", *_score(one["metrics"][metric]), _ece(one))
    table.add_row("together", "", *_score(found["ensemble"]["metrics"][metric]), _ece(found["ensemble"]), style="bold")
    out.print(table)
    out.say()
    for sentence in found["sentences"]:
        out.prose(sentence)
    spread = found["diversity"]
    q = "" if spread["q"] is None else f", Q {spread['q']:.2f}"
    out.prose(
        f"two of them differ in being right on {100 * spread['disagreement']:.1f} % of the rows, both are wrong on "
        f"{100 * spread['double_fault']:.1f} %{q}; at least one is right on {100 * spread['any_right']:.1f} %"
    )
    if "ece" in found["uncalibrated"]:
        before, after = (one["ece"]["estimate"] for one in (found["uncalibrated"], found["ensemble"]["calibration"]))
        out.prose(f"temperature {found['temperature']:.2f}: ECE {before:.3f} before, {after:.3f} after")
    for note in found["notes"]:
        out.prose(f"note: {note}", style="dim")
    where = f"saved: {found['saved']}, {size(found['num_bytes'])}" if found["saved"] else "not saved (no --out)"
    out.say(f"{where}; all answers took {duration(found['seconds'])}")
    if found["saved"]:
        out.say(f"next:  softprompt evaluate {found['saved']} --data FILE, with rows that nobody has looked at")


def _score(found: dict[str, Any]) -> tuple[str, str]:
    estimate, _, bounds = interval(found).partition(" ")
    return estimate, bounds


def _ece(found: dict[str, Any]) -> str:
    ece = found["calibration"].get("ece")
    return "" if ece is None else f"{ece['estimate']:.3f}"
