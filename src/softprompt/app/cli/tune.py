"""``softprompt tune``: a run from a settings file, from flags, or from both."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.options import TRAINING, changes_in
from softprompt.app.cli.settings import read_config
from softprompt.app.cli.tables import class_table, comparison_table, plan_lines, table_of
from softprompt.core.cards.tables import kind_of
from softprompt.core.cards.views import predict_command, run_card, run_notices
from softprompt.core.words import duration, size

if TYPE_CHECKING:
    from softprompt.app.config import RunConfig
    from softprompt.app.recipes.together import TogetherPlan


def tune(
    config: options.Config = None,
    *,
    train: options.Train = None,
    validation: options.Validation = None,
    test: options.Test = None,
    unlabelled: options.Unlabelled = None,
    folds: options.Folds = None,
    target: options.Target = None,
    targets: options.Targets = None,
    text_column: options.TextColumn = None,
    read: options.Read = None,
    on_bad_row: options.OnBadRow = None,
    task: options.TaskKind = None,
    labels: options.Labels = None,
    schema: options.Schema = None,
    template: options.Template = None,
    place: options.Place = None,
    method: options.Method = None,
    effort: options.Effort = None,
    teacher: options.Teacher = None,
    max_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="At most so long: 90s, 10m, 1.5h.", rich_help_panel=TRAINING)
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed; several train as many prompts.", rich_help_panel=TRAINING)
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run and its prompt.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Run folder (runs/NAME).")
    ] = None,
    track: options.Track = None,
    model: options.Model = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    quantise: options.Quantise = None,
    sets: options.Set = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do and cost; train nothing.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Start anew, or go on with what an unfinished run left.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Learn a prompt from rows, judge it beside baselines, and save it.

    Everything that decides a run is a key of its settings: from the file, from the named flags, or with --set.

        softprompt tune run.yaml --effort quick

        softprompt tune --train tickets.csv --target topic
    """
    with Face(as_json=as_json) as face:
        settings = read_config(config, changes_in(locals()))
        if settings.task.targets is not None:
            _several(face, settings, dry_run=dry_run, fresh=fresh)
            return
        if dry_run:
            from softprompt.app.recipes.plan import plan

            forecast = plan(settings, face.watcher)
            document = {**forecast.to_dict(), "settings": settings.model_dump(mode="json")}
            face.show(document, lambda out: out.say_all(*plan_lines(document)))
            return
        from softprompt.app.recipes.tune import tune as run

        face.keeps(lambda: kept_in(settings.folder))
        report = run(settings, face.watcher, fresh=fresh)
        document = report.to_dict()
        face.show(document, lambda out: render(out, document, size_bytes=report.prompt.num_bytes))
        if document["interrupted"] and "time" not in document["stopped"]:
            raise typer.Exit(face.cut_short(f"stopped; the best prompt so far is kept in {document['prompt']}"))


def _several(face: Face, settings: "RunConfig", *, dry_run: bool, fresh: bool) -> None:
    """Several tasks in one run."""
    from softprompt.app.recipes.together import plan_together, tune_together

    if dry_run:
        forecast = plan_together(settings, face.watcher)
        document = {**forecast.to_dict(), "settings": settings.model_dump(mode="json")}
        face.show(document, lambda out: render_plans(out, forecast, document))
        return
    face.keeps(lambda: kept_in(settings.folder))
    report = tune_together(settings, face.watcher, fresh=fresh)
    sizes = {target: one.prompt.num_bytes for target, one in report.reports.items()}
    document = report.to_dict()
    face.show(document, lambda out: render_several(out, document, sizes=sizes))
    if document["interrupted"] and not any("time" in one["stopped"] for one in document["targets"].values()):
        raise typer.Exit(face.cut_short(f"stopped; the best prompts so far are kept below {document['folder']}"))


def kept_in(folder: Path) -> str:
    """What a run that was cut short can go on from."""
    if not any(folder.glob("*.checkpoint")):
        return ""
    return f"{folder} keeps what is done so far, and the same command goes on from there"


def render_plans(out: Screen, forecast: "TogetherPlan", document: dict[str, Any]) -> None:
    """Every task's rows, then what all cost together."""
    for target, one in forecast.plans.items():
        out.heading(target)
        out.say_all(*(f"  {line}".rstrip() for line in one.page.lines()))
    out.heading(f"{len(forecast.plans)} tasks together{' (they share parameters)' if forecast.shares else ''}")
    silent = {**document, "data": {**document["data"], "warnings": []}}
    out.say_all(*(f"  {line}" for line in plan_lines(silent)))


def render_several(out: Screen, document: dict[str, Any], *, sizes: Mapping[str, int]) -> None:
    """Every task's report, and the folder that holds them."""
    for target, report in document["targets"].items():
        render(out, report, size_bytes=sizes[target])
    out.say()
    for note in document["notes"]:
        out.prose(f"note: {note}", style="dim")
    prompts = " ".join(report["prompt"] for report in document["targets"].values())
    fields = {name for report in document["targets"].values() for name in report["fields"]}
    out.say(f"all:   {predict_command(prompts, sorted(fields))}  (one reading)")


def render(out: Screen, report: dict[str, Any], *, size_bytes: int) -> None:
    """The report for people: the score, what it beats, classes, and what to do next."""
    card = run_card(report, size_bytes=size_bytes)
    out.heading(f"{card.title}: {card.headline}")
    if report["comparison"]:
        out.print(comparison_table(report["comparison"], width=out.width))
    if report["evaluation"]["classes"]:
        out.heading(f"by {kind_of(report['evaluation']['classes'])}")
        out.print(class_table(report["evaluation"]["classes"], width=out.width))
    if report["evaluation"]["lost"]:
        out.say()
        out.say(report["evaluation"]["lost"], style="yellow" if report["evaluation"]["cut"] else None)
    for table in card.tables:
        if table.title:
            out.heading(table.title)
            out.print(table_of(table))
            out.say(table.note)
    out.say()
    for sentence in card.sentences:
        out.prose(sentence)
    for notice in run_notices(report):
        out.prose(f"note: {notice.text}", style="dim" if notice.kind == "note" else "yellow")
    out.prose(f"kept:  {report['saved']}")
    out.say(f"saved: {report['prompt']}, {size(size_bytes)}, after {duration(report['seconds']['total'])}")
    out.say(f"next:  {card.commands[0]}")
