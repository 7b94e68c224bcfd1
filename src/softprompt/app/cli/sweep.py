"""``softprompt sweep``: search the settings of a run, and confirm the winner."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.options import changes_in
from softprompt.app.cli.settings import read_config
from softprompt.app.cli.tables import grid
from softprompt.core.words import counted, duration, interval

SEARCH = "Search"
BEST = 5  #: trials that are shown


def sweep(
    config: options.Config = None,
    *,
    trials: Annotated[int | None, typer.Option(metavar="N", help="Trials in all (32).", rich_help_panel=SEARCH)] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="M", help="Begin no trial that would end later.", rich_help_panel=SEARCH)
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes (1), or workers of --ray (one a machine).", rich_help_panel=SEARCH),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Train on a Ray cluster: local, auto, HOST:PORT.", rich_help_panel=SEARCH),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(metavar="tpe|random", help="How trials are drawn (tpe).", rich_help_panel=SEARCH)
    ] = None,
    halving: Annotated[
        bool | None,
        typer.Option("--halving/--no-halving", help="Give up two thirds early, twice (yes).", rich_help_panel=SEARCH),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Steps of a trial (those of the run).", rich_help_panel=SEARCH)
    ] = None,
    confirm: Annotated[
        int | None,
        typer.Option(metavar="N", help="Fresh seeds for the winner (3); 0: none.", rich_help_panel=SEARCH),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Database of the study (a file in the folder).", rich_help_panel=SEARCH),
    ] = None,
    train: options.Train = None,
    validation: options.Validation = None,
    test: options.Test = None,
    folds: options.Folds = None,
    target: options.Target = None,
    text_column: options.TextColumn = None,
    read: options.Read = None,
    on_bad_row: options.OnBadRow = None,
    task: options.TaskKind = None,
    labels: options.Labels = None,
    effort: options.Effort = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Folder (runs/NAME-sweep).")
    ] = None,
    model: options.Model = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    quantise: options.Quantise = None,
    sets: options.Set = None,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Begin anew, or go on with the study that is there.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Search length, rate, start, method and noise (or your own sweep: block), then confirm the winner.

    Trials share one model and one reading of the texts. The same command goes on after a kill.

        softprompt sweep run.yaml --trials 64 --minutes 30

        softprompt sweep --train tickets.csv --target topic --effort quick
    """
    with Face(as_json=as_json) as face:
        own = {
            "trials": trials,
            "minutes": minutes,
            "jobs": jobs,
            "ray": ray,
            "sampler": sampler,
            "halving": halving,
            "steps": steps,
            "confirm": confirm,
            "storage": storage,
        }
        changes = {f"sweep.{key}": value for key, value in own.items() if value is not None}
        settings = read_config(config, {**changes, **changes_in(locals())})
        from softprompt.app.recipes.searching import num_kept
        from softprompt.app.recipes.sweep import sweep as search

        face.keeps(lambda: kept_in(settings.beside("sweep"), num_kept(settings)))
        document = search(settings, face.watcher, fresh=fresh).to_dict()
        face.show(document, lambda out: render(out, document))


def kept_in(folder: Path, count: int) -> str:
    """What a sweep that was cut short can go on from; nothing before a trial has come to an end.

    >>> kept_in(Path("tone-sweep"), 1), kept_in(Path("tone-sweep"), 0)
    ('the study of tone-sweep keeps 1 trial, and the same command goes on from there', '')
    """
    trials = counted(count, "trial")
    return f"the study of {folder} keeps {trials}, and the same command goes on from there" if count else ""


def render(out: Screen, found: dict[str, Any]) -> None:
    """The best trials, what decides, the best score by length, and what the winner reached with fresh seeds."""
    counted = ", ".join(f"{count} {state}" for state, count in found["count"].items())
    out.heading(f"{len(found['trials'])} trials ({counted}) after {duration(found['seconds'])}")
    names = list(found["best"]["values"])
    done = [one for one in found["trials"] if one["state"] == "complete"]
    table = grid("trial", found["metric"], *names, numbers=(0, 1))
    for one in sorted(done, key=lambda one: (-one["score"], one["number"]))[:BEST]:
        strong = "bold" if one["number"] == found["best"]["number"] else ""
        cells = [_told(one["values"][name]) for name in names]
        table.add_row(str(one["number"]), f"{one['score']:.3f}", *cells, style=strong)
    out.print(table)
    if found["importance"]:
        out.heading("what decides")
        for name, share in found["importance"].items():
            out.say(f"{name:<14} {'█' * max(1, round(30 * share))} {100 * share:.0f} %")
    if len(found["by_length"]) > 1:
        out.heading(f"best {found['metric']} by length")
        top = max(one["score"] for one in found["by_length"])
        for one in found["by_length"]:
            share = max(0.0, one["score"] / top) if top > 0 else 0.0
            out.say(f"{one['length']:>4} tokens    {'█' * max(1, round(30 * share))} {one['score']:.3f}")
    out.say()
    if (confirmed := found["confirmed"]) is not None:
        metric, score = next(iter(confirmed["metrics"].items()))
        seeds = len(confirmed["seeds"])
        out.prose(
            f"confirmed with {seeds} fresh seed{'s' if seeds > 1 else ''}: {metric} {interval(score)} on "
            f"{confirmed['split']} rows; the trial itself had {found['best']['score']:.3f}"
        )
        for note in confirmed["notes"]:
            out.prose(f"note: {note}", style="dim")
    for note in found["notes"]:
        out.prose(f"note: {note}", style="yellow")
    out.say(f"kept:  {found['folder']} (sweep.json, sweep.svg), settings in {found['settings']}")
    if confirmed is not None:
        out.say(f'next:  softprompt predict {confirmed["prompt"]} --text "..."')
    else:
        out.say(f"next:  softprompt tune {found['settings']}")


def _told(value: Any) -> str:
    from softprompt.lab.sweep.space import told

    return told(value)
