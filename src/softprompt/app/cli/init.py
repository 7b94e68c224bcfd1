"""``softprompt init``: from a file of rows to a settings file that runs, with the reason for everything in it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.failures import usage_error
from softprompt.app.cli.settings import parse_labels
from softprompt.app.cli.tables import grid
from softprompt.core.words import counted, percent

if TYPE_CHECKING:
    from softprompt.app.recipes.init import Ask, Question, Wishes

#: Columns that are listed one by one.
SHOWN = 12


def init(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Rows: csv, tsv, jsonl, json, xlsx, parquet.")],
    *,
    text_column: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="What is read; several times for several.", rich_help_panel=options.ROWS),
    ] = None,
    target: options.Target = None,
    task: options.TaskKind = None,
    labels: options.Labels = None,
    keep_labels: Annotated[
        bool,
        typer.Option(
            "--keep-labels",
            help="Every spelling is a label of its own (Billing, billing).",
            rich_help_panel=options.TASK,
        ),
    ] = False,
    read: options.Read = None,
    separator: Annotated[
        str | None, typer.Option(metavar=",|;|tab", help="Short for --read separator=...", rich_help_panel=options.ROWS)
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Short for --read encoding=...", rich_help_panel=options.ROWS)
    ] = None,
    model: options.Model = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="CONFIG.yaml", help="Where to write (FILE's name, here).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a settings file that is there.")] = False,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask; fail where something is unclear.")] = False,
    as_json: options.Json = False,
) -> None:
    """Look at a file and write settings that run: columns, task, labels, each with its reason and its flag.

    Questions are asked in a terminal only, and every one has a flag.

        softprompt init tickets.csv

        softprompt init tickets.csv --text-column body --target topic --no-input
    """
    with Face(as_json=as_json) as face:
        from softprompt.app.recipes.init import check_free, save, settings_name
        from softprompt.app.recipes.init import init as look

        path = output or Path(settings_name(str(file)))
        check_free(path, force=force)  # before the rows are read
        pairs = [*(read or ()), *_pairs(separator=separator, encoding=encoding)]
        wishes = _wishes(text_column, target, task, labels, keep_labels=keep_labels, read=pairs, model=model)
        asks = not (no_input or as_json) and sys.stdin.isatty() and face.err.is_terminal
        draft = look(file, wishes, ask=_asker(face) if asks else None, watcher=face.watcher)
        save(draft, path, force=force)
        document = {"written": str(path), **draft.to_dict()}
        face.show(document, lambda out: render(out, document))


def _pairs(**given: str | None) -> list[str]:
    return [f"{key}={value}" for key, value in given.items() if value is not None]


def _wishes(
    text_column: list[str] | None,
    target: str | None,
    task: str | None,
    labels: str | None,
    *,
    keep_labels: bool,
    read: list[str],
    model: str | None,
) -> "Wishes":
    from softprompt.app.recipes.init import Wishes
    from softprompt.data.dialect import ReadSettings

    keys = {key.rpartition(".")[2]: value for key, value in options.changes_of(read=read).items()}
    return Wishes(
        text_columns=tuple(text_column or ()),
        target=target,
        task=task,
        labels=None if labels is None else parse_labels(labels),
        fold=not keep_labels,
        read=ReadSettings.parse(keys, where="--read"),
        model=model or "embedded",
    )


def _asker(face: Face) -> "Ask":
    """Asks in the terminal: a number, or several where several may be chosen; Ctrl-C ends it."""

    def ask(question: "Question") -> tuple[str, ...]:
        face.settle()
        face.err.say(f"{question.text}  ({question.flag} answers it, too)")
        for number, option in enumerate(question.options, 1):
            face.err.say(f"  {number}  {option}")
        how = "number, or several with blanks between" if question.many else "number"
        while True:
            face.err.print(f"{how}: ", end="")
            chosen = answer_of(sys.stdin.readline(), question.options, many=question.many)
            if chosen:
                return chosen

    return ask


def answer_of(line: str, options: tuple[str, ...], *, many: bool) -> tuple[str, ...]:
    """What was typed as options; nothing when it is none of them.

    Raises:
        ConfigError: ``config.usage``: the terminal is closed.

    >>> answer_of("2 1", ("a", "b"), many=True), answer_of("3", ("a", "b"), many=False)
    (('b', 'a'), ())
    """
    if not line:
        raise usage_error("no answer came", cure="give the flag, or answer in a terminal")
    parts = line.replace(",", " ").split()
    numbers = [int(part) for part in parts if part.isdigit() and 1 <= int(part) <= len(options)]
    fits = len(numbers) == len(parts) and (len(numbers) == 1 or (many and len(numbers) > 1))
    return tuple(dict.fromkeys(options[number - 1] for number in numbers)) if fits else ()


def render(out: Screen, found: dict[str, Any]) -> None:
    """The columns, what was decided, what to look at, and what comes next."""
    columns = counted(len(found["columns"]), "column")
    out.say(f"{found['source']}: {counted(found['rows'], 'row')} that can be used, {columns}")
    out.say()
    out.print(_columns(found["columns"]))
    out.heading("decided")
    table = grid("", "", "why", "otherwise")
    for one in found["decisions"]:
        table.add_row(one["about"], one["chosen"], one["why"], one["flag"])
    out.print(table)
    _facts(out, found)
    if found["warnings"]:
        out.heading("look at this")
        for warning in found["warnings"]:
            out.prose(f"  {warning}", style="yellow")
    out.say()
    out.say(f"wrote {found['written']}", style="green")
    out.say(f"next: softprompt check {found['written']}, then softprompt tune {found['written']}")


def _columns(columns: list[dict[str, Any]]) -> Any:
    table = grid("column", "holds", "filled", "different", "words", "looks personal", numbers=(2, 3, 4))
    for one in columns[:SHOWN]:
        personal = ", ".join(f"{form} {rows:,}" for form, rows in one["personal"].items())
        words = one["words"]["median"]
        table.add_row(
            one["name"], one["kind"], f"{one['num_filled']:,}", f"{one['num_distinct']:,}", f"{words}", personal
        )
    if len(columns) > SHOWN:
        table.add_row(f"... and {len(columns) - SHOWN} more", "", "", "", "", "")
    return table


def _facts(out: Screen, found: dict[str, Any]) -> None:
    """Language, lengths, balance, copies, a line each."""
    words, language = found["words"], found["language"]
    out.heading("texts and answers")
    out.say(f"  language   {language['name']} ({language['why']})")
    out.say(f"  words      {words['shortest']:,} to {words['longest']:,}, median {words['median']:,}")
    if found["labels"]:
        rows = max(1, sum(found["labels"].values()))
        shown = sorted(found["labels"].items(), key=lambda item: -item[1])
        few = ", ".join(f"{name} {percent(count / rows, digits=0)}" for name, count in shown[:SHOWN])
        more = f", and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
        out.say(f"  labels     {few}{more}")
    if found["copies"]:
        conflicting = (
            f", {counted(found['conflicting'], 'text')} with different answers" if found["conflicting"] else ""
        )
        out.say(f"  copies     {counted(found['copies'], 'row')} repeat an earlier text{conflicting}")
