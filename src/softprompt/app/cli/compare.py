"""``softprompt compare``: what else one could do, on the same rows, with verdicts first and costs beside them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.failures import usage_error
from softprompt.app.cli.options import TRAINING, changes_in
from softprompt.app.cli.settings import read_config
from softprompt.app.cli.tables import table_of
from softprompt.core.cards.comparison import cost_rows, decision_rows, left_out_rows
from softprompt.core.words import counted, duration

COMPARISON = "Comparison"

#: What a budget may be of, and how its number is written.
BUDGETS = {"steps": int, "tokens": int, "minutes": float}


def compare(
    config: options.Config = None,
    contenders: Annotated[
        list[str] | None,
        typer.Option(
            "--contender",
            "-c",
            metavar="NAME|TEMPLATE",
            help="Who takes part, one each time: majority, tfidf, embeddings, zero-shot, few-shot, few-shot-similar, "
            "before, after, a method, ensemble, lora, full, or a text prompt with {answer}. Left out: what fits.",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="LINE", help="Whom all stand beside (the first soft prompt).", rich_help_panel=COMPARISON),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="steps=N|tokens=N|minutes=X",
            help="What every trained contender may spend (steps, as the effort has it).",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    max_usd: Annotated[
        float | None,
        typer.Option("--max-usd", help="Spend no more on APIs, all together.", rich_help_panel=COMPARISON),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Go on although test rows stand in train; the table says so.", rich_help_panel=COMPARISON
        ),
    ] = False,
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
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Seed of the trained contenders; several show the spread.", rich_help_panel=TRAINING),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the comparison.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Its folder (runs/NAME-compare).")
    ] = None,
    model: options.Model = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    quantise: options.Quantise = None,
    sets: options.Set = None,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Run all anew, or only what is not complete yet.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Compare soft prompts with what else one could do: same rows, seeds and budget.

    Lines that are complete are not run again: another contender, or a comparison that was stopped, costs only what is
    missing.

        softprompt compare tickets.yaml -c tfidf -c few-shot -c after -c lora --budget steps=200
    """
    with Face(as_json=as_json) as face:
        own = _own(contenders, reference, budget, max_usd, force=force)
        settings = read_config(config, {**own, **changes_in(locals())})
        from softprompt.app.recipes.compare import compare as run

        face.keeps(lambda: kept_in(settings.beside("compare")))
        report = run(settings, face.watcher, fresh=fresh).to_dict()
        face.show(report, lambda out: render(out, report))


def parse_budget(text: str) -> dict[str, int | float]:
    """``steps=200`` as the settings have it.

    Raises:
        ConfigError: ``config.usage``.

    >>> parse_budget("steps=200"), parse_budget("minutes=1.5")
    ({'steps': 200}, {'minutes': 1.5})
    """
    kind, _, value = text.partition("=")
    try:
        return {kind.strip(): BUDGETS[kind.strip()](value.replace("_", "").replace(",", ""))}
    except (KeyError, ValueError):
        cure = "write steps=200, tokens=1000000 or minutes=10"
        raise usage_error(f"--budget {text!r} is no budget", cure=cure) from None


def kept_in(folder: Path) -> str:
    """What a comparison that was cut short goes on from; nothing before a line is complete or a checkpoint written."""
    lines, begun = len(list((folder / "lines").glob("*.json"))), any((folder / "work").glob("*/*.checkpoint"))
    found = [counted(lines, "complete line")] if lines else []
    found += ["what a contender has learnt so far"] if begun else []
    return f"{folder} keeps {' and '.join(found)}, and the same command goes on from there" if found else ""


def render(out: Screen, report: dict[str, Any]) -> None:
    """A comparison that was run: its table, and what of it was run now."""
    render_table(out, report["table"])
    anew = f"run now: {', '.join(report['fresh'])}" if report["fresh"] else "nothing had to be run"
    out.prose(f"{anew}; {duration(report['seconds'])}")
    out.say(f"saved: {report['folder']}/table.json")


def render_table(out: Screen, table: dict[str, Any]) -> None:
    """The table for people: the verdict in a sentence, what decides, what it costs, what to read with it."""
    rows = ", ".join(f"{part['count']:,} {name}" for name, part in table["rows"].items())
    out.say()
    out.prose(f"{table['name']}: {table['verdict']}", style="bold")
    budget = ", ".join(f"{name} {value:,}" for name, value in table["budget"].items())
    out.prose(f"rows: {rows}; budget: {budget}; seeds {', '.join(map(str, table['seeds']))}", style="dim")
    out.say()
    for shown in (decision_rows(table), cost_rows(table), left_out_rows(table)):
        if shown.rows:
            if shown.title:
                out.heading(shown.title)
            out.print(table_of(shown, width=out.width))
    out.say()
    for one in table["verdicts"]:
        out.prose(one["sentence"])
    for warning in table["warnings"]:
        out.prose(f"note: {warning}", style="yellow")


def _own(
    contenders: list[str] | None, reference: str | None, budget: str | None, max_usd: float | None, *, force: bool
) -> dict[str, Any]:
    """The settings of ``compare`` that flags give."""
    found: dict[str, Any] = {"compare.contenders": contenders or None, "compare.reference": reference}
    found |= {"compare.max_usd": max_usd, "compare.force": force or None}
    found |= {"compare.budget": parse_budget(budget) if budget is not None else None}
    return {name: value for name, value in found.items() if value is not None}
