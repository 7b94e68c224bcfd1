"""``softprompt curve``: how the score grows with labelled rows, and what more labels would bring."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.options import changes_in
from softprompt.app.cli.settings import read_config
from softprompt.app.cli.tables import table_of
from softprompt.core.cards.card import Column, Table
from softprompt.core.words import counted, duration

CURVE = "Curve"


def curve(
    config: options.Config = None,
    contenders: Annotated[
        list[str] | None,
        typer.Option(
            "--contender",
            "-c",
            metavar="NAME|TEMPLATE",
            help="Who takes part, one each time, as in compare. Left out: TF-IDF, embeddings, the soft prompt, LoRA.",
            rich_help_panel=CURVE,
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, max=50, help="Orders of the rows; one has no intervals.", rich_help_panel=CURVE)
    ] = 3,
    more: Annotated[int, typer.Option(min=1, help="Further labels to look at.", rich_help_panel=CURVE)] = 50,
    first: Annotated[int, typer.Option("--from", min=4, help="Rows of the smallest part.", rich_help_panel=CURVE)] = 16,
    metric: Annotated[str | None, typer.Option(help="The score (the task's first).", rich_help_panel=CURVE)] = None,
    train: options.Train = None,
    validation: options.Validation = None,
    test: options.Test = None,
    target: options.Target = None,
    text_column: options.TextColumn = None,
    read: options.Read = None,
    on_bad_row: options.OnBadRow = None,
    task: options.TaskKind = None,
    labels: options.Labels = None,
    template: options.Template = None,
    effort: options.Effort = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Its folder (runs/NAME-curve).")
    ] = None,
    model: options.Model = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    quantise: options.Quantise = None,
    sets: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Measure the score against the number of labelled rows, and say what more labels would bring.

    Points that were measured are kept: a curve that was stopped goes on, another contender adds its own.

        softprompt curve tickets.yaml --effort quick

        softprompt curve tickets.yaml -c tfidf -c after --draws 5 --more 100
    """
    with Face(as_json=as_json) as face:
        settings = read_config(config, changes_in(locals()))
        from softprompt.app.recipes.curve import curve as run
        from softprompt.lab.learning_curve import CurveSettings

        face.keeps(lambda: kept_in(settings.beside("curve")))
        measure = CurveSettings(first=first, draws=draws, more=more, metric=metric)
        report = run(settings, face.watcher, settings=measure, contenders=contenders).to_dict()
        face.show(report, lambda out: render(out, report))


def kept_in(folder: Path) -> str:
    """What a curve that was cut short goes on from."""
    count = len(list((folder / "points").glob("*.json")))
    return f"{folder} keeps {counted(count, 'point')}, and the same command goes on from there" if count else ""


def render(out: Screen, report: dict[str, Any]) -> None:
    """The table by size, what more labels would bring, and where it lies."""
    rows, judging = counted(report["num_rows"], "labelled row"), counted(report["num_test"], "row")
    out.heading(f"{report['name']}: {report['metric']} on {judging}, learnt from up to {rows}")
    out.print(table_of(point_rows(report), width=out.width))
    out.say()
    for sentence in report["sentences"]:
        out.prose(sentence)
    for contender, why in report["left_out"].items():
        out.prose(f"left out: {contender}: {why}", style="yellow")
    for note in report["notes"]:
        out.prose(f"note: {note}", style="dim")
    out.say(f"saved: {report['folder']}, after {duration(report['took_seconds'])}")
    out.say(f"next:  softprompt report {report['folder']}")


def point_rows(report: dict[str, Any]) -> Table:
    """A line a contender, a column a size: the mean over the draws and half the width of its interval."""
    sizes = report["sizes"]
    rows = []
    for one in report["curves"]:
        cells = []
        for size in sizes:
            found = one["by_size"].get(str(size))
            if found is None:
                cells.append("-")
                continue
            unsure = "" if found["high"] is None else f" ± {found['high'] - found['estimate']:.3f}"
            cells.append(f"{found['estimate']:.3f}{unsure}")
        rows.append((one["name"], *cells))
    return Table((Column("rows"), *(Column(f"{size:,}", number=True) for size in sizes)), tuple(rows))
