"""``softprompt report``: earlier runs beside each other, as a page to open or to send."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.tables import table_of
from softprompt.core.cards.card import WIDE, Column, Table
from softprompt.core.words import interval


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders that compare, tune or curve wrote; files of evaluate --json.",
        ),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where to write (RUN/report; of several runs: report)."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="LINE", help="What all stand beside (the reference of the first run).")
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(metavar="LINE", help="What is looked at closely beside it: rows that flip (the best other line)."),
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="COLUMN", help="Show scores by a column, read again from the runs' files."),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="The score that decides (that of the first run).")] = None,
    texts: Annotated[
        bool, typer.Option("--texts", help="Show the texts of rows, read again from the files of the runs.")
    ] = False,
    card: Annotated[bool, typer.Option("--card", help="Also README.md: a model card for a hub.")] = False,
    as_json: options.Json = False,
) -> None:
    """Put runs beside each other: one page without network, the same as JSON and Markdown.

    softprompt report runs/topic

    softprompt report runs/topic-compare runs/other --texts -o report

    softprompt report runs/topic-compare --slice channel --slice language --beside "LoRA, rank 8"
    """
    with Face(as_json=as_json) as face:
        from softprompt.app.recipes.report import report as make
        from softprompt.app.recipes.report import write_report

        made = make(runs, reference=reference, beside=beside, metric=metric, slices=slices or (), texts=texts)
        files = write_report(made, folder_for(runs, output), card=card)
        document = {**made.to_dict(), "files": [str(path) for path in files]}
        face.show(document, lambda out: render(out, document))


def folder_for(runs: list[Path], output: Path | None) -> Path:
    """Where a report goes.

    >>> folder_for([Path("runs/a")], None).as_posix(), folder_for([Path("a"), Path("b")], None).as_posix()
    ('runs/a/report', 'report')
    """
    if output is not None:
        return output
    alone = len(runs) == 1 and not runs[0].is_file()
    return runs[0] / "report" if alone else Path("report")


def render(out: Screen, document: dict[str, Any]) -> None:
    """The verdict, the table in short, and where the page lies."""
    out.heading(document["title"])
    out.prose(document["verdict"])
    for warning in document["warnings"]:
        out.prose(f"note: {warning}", style="yellow")
    if document["lines"]:
        out.say()
        out.print(table_of(line_rows(document), width=out.width))
    for curve in document["curves"]:
        out.say()
        for sentence in curve["sentences"]:
            if sentence != document["verdict"]:
                out.prose(sentence)
    out.say()
    for path in document["files"]:
        out.say(f"wrote: {path}")


def line_rows(document: dict[str, Any]) -> Table:
    """A line a contender: score, difference, verdict."""
    columns = (
        Column(""),
        Column(document["metric"] or "score", number=True),
        Column("", bounds=True),
        Column("difference", number=True, from_width=WIDE),
        Column("verdict"),
    )
    rows, strong = [], None
    for n, line in enumerate(document["lines"]):
        strong = n if line["own"] else strong
        value, _, bounds = interval(line["score"] or {}).partition(" ")
        against = line["against"]
        by = interval(against["difference"]) if against else ""
        rows.append((line["name"], value, bounds, by, against["verdict"] if against else ""))
    return Table(columns, tuple(rows), strong)
