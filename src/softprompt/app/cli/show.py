"""``softprompt show`` and ``softprompt runs``: what was made, by path and as a list."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.compare import render_table
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.tables import class_table, comparison_table, grid, run_table, table_of
from softprompt.core.cards.tables import score_rows
from softprompt.core.cards.views import prompt_facts, verdict_sentences
from softprompt.core.words import duration, interval


def show(
    path: Annotated[Path, typer.Argument(help="A saved prompt (folder or zip), or a run folder.")],
    as_json: options.Json = False,
) -> None:
    """Show a saved prompt or a run: what it is for, how well it does it, what it belongs to."""
    with Face(as_json=as_json) as face:
        from softprompt.app.recipes.show import show as look

        document = look(path).to_dict()
        render = {"run": render_run, "comparison": render_comparison}.get(document["kind"], render_prompt)
        face.show(document, lambda out: render(out, document))


def runs(
    folder: Annotated[Path, typer.Argument(help="Where runs lie.")] = Path("runs"),
    as_json: options.Json = False,
) -> None:
    """List the runs of a folder, the latest first."""
    with Face(as_json=as_json) as face:
        from softprompt.app.recipes.runs import runs as look

        found = [run.to_dict() for run in look(folder)]
        face.show(found, lambda out: render_runs(out, found, folder))


def render_prompt(out: Screen, card: dict[str, Any]) -> None:
    """A saved prompt as pairs of words."""
    manifest = card["manifest"]
    out.heading(manifest["name"] or card["path"])
    table = grid("", "")
    table.show_header = False
    for name, value in prompt_facts(card):
        table.add_row(name, value)
    out.print(table)
    if manifest["scores"]:
        out.say()
        out.print(table_of(score_rows(manifest["scores"])))


def render_run(out: Screen, card: dict[str, Any]) -> None:
    """A run: its report, then its prompt."""
    score = f", {card['metric']} {interval(card['score'])} on {card['split']} rows" if card["score"] else ""
    took = f" after {duration(card['seconds'])}" if card["seconds"] is not None else ""
    out.heading(f"run {card['name']}: {card['state']}{took}{score}")
    report = card["report"]
    if report.get("comparison"):
        out.print(comparison_table(report["comparison"], width=out.width))
        out.say()
        for sentence in verdict_sentences(report["comparison"]):
            out.prose(sentence)
    if report and report["evaluation"]["classes"]:
        out.say()
        out.print(class_table(report["evaluation"]["classes"], width=out.width))
    for note in report.get("notes", ()):
        out.prose(f"note: {note}", style="dim")
    if card["resumes"]:
        out.say("it was not finished: the same command goes on from its checkpoint", style="yellow")
    if card["prompt"] is not None:
        render_prompt(out, card["prompt"])


def render_comparison(out: Screen, card: dict[str, Any]) -> None:
    """A comparison: its tables and its verdicts."""
    render_table(out, card["table"])


def render_runs(out: Screen, found: list[dict[str, Any]], folder: Path) -> None:
    """A line a run."""
    if not found:
        out.say(f"no runs in {folder}; softprompt tune makes one")
        return
    out.print(run_table(found, width=out.width))
