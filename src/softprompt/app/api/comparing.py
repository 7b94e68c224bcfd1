"""Beside what else one could do: comparisons, learning curves, and earlier runs in one report."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from softprompt.app.api.arguments import run_of
from softprompt.app.live import watcher_here
from softprompt.app.recipes import compare as recipe
from softprompt.app.recipes import curve as learning
from softprompt.app.recipes import report as reporting
from softprompt.app.report import Report
from softprompt.app.watch import Watcher
from softprompt.core.tasks import Task
from softprompt.data.sources import Source
from softprompt.lab.learning_curve import CurveSettings
from softprompt.model.backbones.base import Backbone

__all__ = ["compare", "curve", "report"]


def compare(  # noqa: PLR0913 - what users may ask of a call
    task: Task | Mapping[str, Any] | None = None,
    *,
    train: Source,
    validation: Source | None = None,
    test: Source | None = None,
    model: Backbone | str = "embedded",
    contenders: Sequence[str | Mapping[str, Any]] | None = None,
    reference: str | None = None,
    budget: Mapping[str, int | float] | None = None,
    force: bool = False,
    watcher: Watcher | None = None,
    fresh: bool = False,
    **settings: Any,
) -> recipe.CompareReport:
    """Compare soft prompts with what else one could do, on the same rows, seeds and budget.

    Args:
        task: What is asked; None: classify by the column ``label``.
        train: Rows to learn from: a path, dicts, a data frame.
        validation: Rows that choose; None: a fifth of ``train``.
        test: Rows that judge; None: three tenths of ``train``.
        model: A loaded model, or its name. No contender changes it.
        contenders: Words or mappings, as under ``compare.contenders``; None: what fits the task and this machine.
        reference: Name of the line that all stand beside; None: the first soft prompt.
        budget: ``{"steps": 200}``, ``{"tokens": 1_000_000}`` or ``{"minutes": 10}`` for every trained contender.
        force: Go on although test rows stand in train, too.
        watcher: Told what happens; None: a live display in a notebook, nobody elsewhere.
        fresh: Run lines again that are complete.
        settings: Any other key of a run, as for :func:`tune`.

    Raises:
        SoftpromptError: Whatever is wrong, with its code; what fits no contender stays in its line.
    """
    given = {"contenders": contenders, "reference": reference, "budget": budget, "force": force or None}
    own = {**dict(settings.get("compare", {})), **{name: value for name, value in given.items() if value is not None}}
    parts = {"train": train, "validation": validation, "test": test}
    config, sources, backbone = run_of(task, parts, model, {**settings, "compare": own})
    return recipe.compare(config, watcher or watcher_here(), sources=sources, backbone=backbone, fresh=fresh)


def curve(
    task: Task | Mapping[str, Any] | None = None,
    *,
    train: Source,
    test: Source | None = None,
    model: Backbone | str = "embedded",
    contenders: Sequence[str | Mapping[str, Any]] | None = None,
    measure: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    **settings: Any,
) -> learning.CurveReport:
    """Measure how scores grow with labelled rows, and what more labels would bring.

    Args:
        task: What is asked; None: classify by the column ``label``.
        train: Rows to learn from: a path, dicts, a data frame.
        test: Rows that judge; None: three tenths of ``train``.
        model: A loaded model, or its name.
        contenders: As for :func:`compare`; None: TF-IDF, embeddings, the run's soft prompt and LoRA.
        measure: ``{"draws": 3, "first": 16, "more": 50}``.
        watcher: Told what happens; None: a live display in a notebook, nobody elsewhere.
        settings: Any other key of a run, as for :func:`tune`.

    Raises:
        SoftpromptError: Whatever is wrong, with its code.
    """
    config, sources, backbone = run_of(task, {"train": train, "test": test}, model, settings)
    return learning.curve(
        config,
        watcher or watcher_here(),
        settings=CurveSettings.parse(dict(measure or {})),
        contenders=contenders,
        sources=sources,
        backbone=backbone,
    )


def report(
    *runs: str | Path | Sequence[str | Path],
    reference: str | None = None,
    beside: str | None = None,
    metric: str | None = None,
    slices: Sequence[str] = (),
    texts: bool = False,
    output: str | Path | None = None,
) -> Report:
    """Put earlier runs beside each other.

    Args:
        runs: What ``compare``, ``tune`` and ``curve`` wrote; files of ``softprompt evaluate --json``; lists of these.
        reference: Name of the line that all stand beside; None: that of the first run.
        beside: Name of the line that is looked at closely beside it; None: the best of the others.
        metric: The score that decides; None: that of the first run.
        slices: Columns to show scores by, read again from the files of the runs.
        texts: Show the texts of rows, read again from the files of the runs.
        output: Folder for page, JSON and Markdown; None writes nothing.

    Raises:
        DataError: ``data.no_report``, ``data.lengths_differ``; ConfigError: ``config.unknown_name``.
    """
    named = [one for run in runs for one in ([run] if isinstance(run, str | PathLike) else run)]
    made = reporting.report(named, reference=reference, beside=beside, metric=metric, slices=slices, texts=texts)
    if output is not None:
        reporting.write_report(made, Path(output))
    return made
