"""From rows to a prompt: tune and sweep, and what they would do and read."""

from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.app.api.arguments import run_of
from softprompt.app.live import watcher_here
from softprompt.app.recipes import plan as planning
from softprompt.app.recipes import sweep as sweeping
from softprompt.app.recipes import together
from softprompt.app.recipes import tune as recipe
from softprompt.app.recipes.prepare import prepare
from softprompt.app.watch import Watcher
from softprompt.core.tasks import Task
from softprompt.data.page import DataPage
from softprompt.data.sources import Source
from softprompt.model.backbones.base import Backbone

__all__ = ["data_page", "plan", "sweep", "tune", "tune_together"]


def tune(
    task: Task | Mapping[str, Any] | None = None,
    *,
    train: Source,
    validation: Source | None = None,
    test: Source | None = None,
    unlabelled: Source | None = None,
    model: Backbone | str = "embedded",
    watcher: Watcher | None = None,
    fresh: bool = True,
    **settings: Any,
) -> recipe.TuneReport:
    """Tune a prompt, judge it beside baselines, and save it in a run folder.

    Args:
        task: What is asked, e.g. ``Task.classify([...], target="topic")``; None: classify by the column ``label``.
        train: Rows to learn from: a path, dicts, a data frame.
        validation: Rows that choose; None: folds of ``train`` under 1,000 rows, else a fifth of it.
        test: Rows for the headline, touched once; None: the rows that folds left out, or the validation rows.
        unlabelled: Rows without answers, for a second round of training.
        model: A loaded model, or its name.
        watcher: Told what happens; None: a live display in a notebook, nobody elsewhere.
        fresh: Replace what an earlier run left in the folder.
        settings: Any other key of a run: ``template``, ``method``, ``training={"effort": "quick"}``, ``name``,
            ``output``, ``track="mlflow"``, ...; see docs/reference/config.md.

    Raises:
        SoftpromptError: Whatever is wrong, with its code.
    """
    parts = {"train": train, "validation": validation, "test": test, "unlabelled": unlabelled}
    config, sources, backbone = run_of(task, parts, model, settings)
    return recipe.tune(config, watcher or watcher_here(), sources=sources, backbone=backbone, fresh=fresh)


def tune_together(
    targets: Sequence[str] | Mapping[str, Mapping[str, Any]],
    *,
    train: Source,
    validation: Source | None = None,
    test: Source | None = None,
    model: Backbone | str = "embedded",
    watcher: Watcher | None = None,
    fresh: bool = True,
    **settings: Any,
) -> together.TogetherReport:
    """Tune a prompt for each of several tasks about the same texts, in one run over one reading.

    Args:
        targets: Columns of the answers, a task each; or column -> what differs in it (kind, labels, ...).
        train: As in :func:`tune`, and so is the rest; without validation rows a fifth of these is taken.
        validation: Rows that choose.
        test: Rows for the headlines.
        model: A loaded model, or its name.
        watcher: Told what happens.
        fresh: Replace what an earlier run left in the folder.
        settings: Any other key of a run; ``method="multitask"`` lets the tasks learn from each other, and ``distil={}``
            trains a prompt for each first that teaches them; see docs/methods/multitask.md.

    Raises:
        SoftpromptError: Whatever is wrong, with its code.
    """
    named = {name: dict(changes) for name, changes in targets.items()} if isinstance(targets, Mapping) else targets
    task = {**dict(settings.pop("task", {})), "targets": named}
    config, sources, backbone = run_of(task, {"train": train, "validation": validation, "test": test}, model, settings)
    return together.tune_together(config, watcher or watcher_here(), sources=sources, backbone=backbone, fresh=fresh)


def sweep(
    task: Task | Mapping[str, Any] | None = None,
    *,
    train: Source,
    validation: Source | None = None,
    test: Source | None = None,
    model: Backbone | str = "embedded",
    watcher: Watcher | None = None,
    fresh: bool = True,
    **settings: Any,
) -> sweeping.SweepReport:
    """Search the settings of a run, and confirm the winner with fresh seeds; the arguments of :func:`tune`, and:

    Args:
        fresh: Begin anew; False goes on with the study in the folder.
        settings: Also ``sweep={"trials": 64, "space": {...}}``; see docs/sweep.md.

    Raises:
        SoftpromptError: Whatever is wrong, with its code; ``extra.missing`` without optuna.
    """
    config, sources, backbone = run_of(task, {"train": train, "validation": validation, "test": test}, model, settings)
    return sweeping.sweep(config, watcher or watcher_here(), sources=sources, backbone=backbone, fresh=fresh)


def plan(
    task: Task | Mapping[str, Any] | None = None,
    *,
    train: Source,
    validation: Source | None = None,
    test: Source | None = None,
    model: Backbone | str = "embedded",
    **settings: Any,
) -> planning.RunPlan:
    """What :func:`tune` would do and cost, without doing it; the same arguments."""
    config, sources, backbone = run_of(task, {"train": train, "validation": validation, "test": test}, model, settings)
    return planning.plan(config, sources=sources, backbone=backbone)


def data_page(
    task: Task | Mapping[str, Any] | None = None,
    *,
    train: Source,
    validation: Source | None = None,
    test: Source | None = None,
    model: Backbone | str = "embedded",
    **settings: Any,
) -> DataPage:
    """The page before training: rows, balance, lengths in tokens, what is cut; the same arguments."""
    config, sources, backbone = run_of(task, {"train": train, "validation": validation, "test": test}, model, settings)
    return prepare(config, sources=sources, backbone=backbone).page
