"""The dozen calls of ``import softprompt as sp``: the recipes with arguments that one can guess."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from softprompt.app.config import ModelSettings, RunConfig
from softprompt.app.live import watcher_here
from softprompt.app.recipes import compare as comparing
from softprompt.app.recipes import curve as learning
from softprompt.app.recipes import ensemble as joining
from softprompt.app.recipes import evaluate as evaluating
from softprompt.app.recipes import examine as examining
from softprompt.app.recipes import plan as planning
from softprompt.app.recipes import predict as predicting
from softprompt.app.recipes import report as reporting
from softprompt.app.recipes import sweep as sweeping
from softprompt.app.recipes import tune as tuning
from softprompt.app.recipes.evaluate import Labelled
from softprompt.app.recipes.prepare import prepare
from softprompt.app.recipes.routes import keep_route
from softprompt.app.report import Report
from softprompt.app.watch import Watcher
from softprompt.core.errors import ConfigError
from softprompt.core.frames import is_frame, to_frame
from softprompt.core.tasks import Task
from softprompt.data.dialect import ReadSettings
from softprompt.data.page import DataPage
from softprompt.data.sources import File, Frame, Source
from softprompt.lab.evaluation import Evaluation
from softprompt.lab.explanation import Method
from softprompt.lab.gates import Gate
from softprompt.lab.learning_curve import CurveSettings
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import load as load_model
from softprompt.model.backbones.loading import wrap
from softprompt.model.prompts.prompt import Prompt

if TYPE_CHECKING:
    import pandas

__all__ = [
    "compare",
    "curve",
    "data_page",
    "ensemble",
    "evaluate",
    "examine",
    "load",
    "load_model",
    "plan",
    "predict",
    "report",
    "sweep",
    "tune",
    "wrap",
]

OnBadRow = Literal["error", "skip"]
Prompts = str | Path | Prompt | Sequence[str | Path | Prompt]


def load(path: str | Path) -> Prompt:
    """A saved prompt, from its folder or zip file; nothing in it is executed.

    Raises:
        PromptError: Any ``prompt.*``.
    """
    return Prompt.load(path)


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
) -> tuning.TuneReport:
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
    config, sources, backbone = _run(task, parts, model, settings)
    return tuning.tune(config, watcher or watcher_here(), sources=sources, backbone=backbone, fresh=fresh)


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
    config, sources, backbone = _run(task, {"train": train, "validation": validation, "test": test}, model, settings)
    return sweeping.sweep(config, watcher or watcher_here(), sources=sources, backbone=backbone, fresh=fresh)


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
) -> comparing.CompareReport:
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
    config, sources, backbone = _run(task, parts, model, {**settings, "compare": own})
    return comparing.compare(config, watcher or watcher_here(), sources=sources, backbone=backbone, fresh=fresh)


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
    config, sources, backbone = _run(task, {"train": train, "test": test}, model, settings)
    return learning.curve(
        config,
        watcher or watcher_here(),
        settings=CurveSettings.parse(dict(measure or {})),
        contenders=contenders,
        sources=sources,
        backbone=backbone,
    )


def report(
    *runs: str | Path,
    reference: str | None = None,
    metric: str | None = None,
    texts: bool = False,
    output: str | Path | None = None,
) -> Report:
    """Put earlier runs beside each other.

    Args:
        runs: Folders that ``compare``, ``tune`` and ``curve`` wrote; files of ``softprompt evaluate --json``.
        reference: Name of the line that all stand beside; None: that of the first run.
        metric: The score that decides; None: that of the first run.
        texts: Show the texts of rows, read again from the files of the runs.
        output: Folder for page, JSON and Markdown; None writes nothing.

    Raises:
        DataError: ``data.no_report``, ``data.lengths_differ``; ConfigError: ``config.unknown_name``.
    """
    made = reporting.report(runs, reference=reference, metric=metric, texts=texts)
    if output is not None:
        reporting.write_report(made, Path(output))
    return made


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
    config, sources, backbone = _run(task, {"train": train, "validation": validation, "test": test}, model, settings)
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
    config, sources, backbone = _run(task, {"train": train, "validation": validation, "test": test}, model, settings)
    return prepare(config, sources=sources, backbone=backbone).page


def evaluate(  # noqa: PLR0913 - what users may ask of a call
    prompts: Prompts,
    data: Source,
    *,
    model: Backbone | str | None = None,
    columns: dict[str, str] | None = None,
    read: Mapping[str, Any] | None = None,
    min_confidence: float | None = None,
    on_bad_row: OnBadRow = "error",
    group: str | None = None,
    track: str | Sequence[str] = (),
    watcher: Watcher | None = None,
) -> list[Evaluation]:
    """Judge one or several saved prompts on labelled rows; one evaluation a prompt.

    Args:
        prompts: Paths or prompts, of one model.
        data: A path, dicts, a data frame.
        model: A loaded model, or where it is, when not where it was.
        columns: Template field -> column, where the names differ.
        read: How a file is read, e.g. ``{"encoding": "cp1252"}``; found out where not said.
        min_confidence: Below it an answer is withheld.
        on_bad_row: Stop at rows that cannot be used (``error``), or leave them out and say which (``skip``).
        group: Column whose equal values make rows dependent (one customer): such rows count once in intervals. None:
            the one that the prompt learnt with, where it is there; empty: none.
        track: Trackers to tell: ``mlflow``, ``tensorboard``, ``wandb``.
        watcher: Told what happens.

    Raises:
        SoftpromptError: Whatever is wrong, with its code.
    """
    return evaluating.evaluate(
        _listed(prompts),
        _file(data, read),
        columns=columns,
        min_confidence=min_confidence,
        on_bad_row=on_bad_row,
        group=group,
        track=[track] if isinstance(track, str) else track,
        watcher=watcher or watcher_here(),
        **_model(model),
    )


def ensemble(  # noqa: PLR0913 - what users may ask of a call
    prompts: Sequence[str | Path | Prompt],
    data: Source,
    *,
    by: str = "mean",
    out: str | Path | None = None,
    name: str = "ensemble",
    calibrate: bool = True,
    overwrite: bool = False,
    model: Backbone | str | None = None,
    columns: dict[str, str] | None = None,
    read: Mapping[str, Any] | None = None,
    on_bad_row: OnBadRow = "error",
    group: str | None = None,
    watcher: Watcher | None = None,
) -> joining.EnsembleReport:
    """Join saved prompts of one model and one task into one that answers for all of them: ``report.prompt``.

    The arguments are those of :func:`evaluate` and of :func:`softprompt.app.recipes.ensemble.ensemble`: ``data`` are
    labelled rows that choose, none that the prompts learnt from; ``by`` is ``mean``, ``majority``, ``weights`` or
    ``greedy``; ``out`` says where to save it.
    """
    return joining.ensemble(
        prompts,
        _file(data, read),
        by=by,
        out=out,
        name=name,
        calibrate=calibrate,
        overwrite=overwrite,
        columns=columns,
        on_bad_row=on_bad_row,
        group=group,
        watcher=watcher or watcher_here(),
        **_model(model),
    )


def examine(  # noqa: PLR0913 - what users may ask of a call
    prompts: Prompts,
    data: Source,
    *,
    precision: float | None = None,
    choose_on: Source | None = None,
    keep: bool = False,
    slices: Sequence[str] = (),
    limits: Mapping[str, float] | None = None,
    bound: bool = False,
    group: str | None = None,
    model: Backbone | str | None = None,
    columns: dict[str, str] | None = None,
    read: Mapping[str, Any] | None = None,
    on_bad_row: OnBadRow = "error",
    watcher: Watcher | None = None,
) -> list[examining.Examination]:
    """Judge saved prompts and look closer: what can be routed, where they are weak, their mistakes, their limits.

    The arguments are those of :func:`evaluate`, and:

    Args:
        precision: Find the threshold from which on answers are right this often: ``examination.coverage``.
        choose_on: Other labelled rows to find it on.
        keep: Write the threshold into the saved prompts, which then have to be paths.
        slices: Columns to show the score by: ``examination.slices``.
        limits: Metric -> worst value that is allowed, e.g. ``{"macro_f1": 0.8}``: ``examination.passed``.
        bound: Whether the bound of the interval has to keep the limits.
    """
    listed = _listed(prompts)
    if keep and (precision is None or any(isinstance(one, Prompt) for one in listed)):
        message = "keep writes the threshold of a precision into saved prompts: it needs precision and paths"
        raise ConfigError("config.invalid", message, cure="give both, or leave keep out")
    found = examining.examine(
        listed,
        Labelled(_file(data, read), columns, on_bad_row=on_bad_row, group=group),
        examining.Questions(
            precision=precision,
            choose_on=None if choose_on is None else _file(choose_on, read),
            slices=slices,
            gates=[Gate(metric, limit) for metric, limit in (limits or {}).items()],
            bound=bound,
        ),
        watcher=watcher,
        **_model(model),
    )
    for path, one in zip(listed, found, strict=True):
        if keep and one.route is not None and not isinstance(path, Prompt):
            keep_route(path, one.route)
    return found


@overload
def predict(
    prompts: Prompts,
    source: Frame,
    *,
    model: Backbone | str | None = None,
    columns: dict[str, str] | None = None,
    read: Mapping[str, Any] | None = None,
    min_confidence: float | None = None,
    min_precision: float | None = None,
    explain: Method | None = None,
    on_bad_row: OnBadRow = "error",
    watcher: Watcher | None = None,
) -> "pandas.DataFrame": ...
@overload
def predict(
    prompts: Prompts,
    source: str | Path | File | Iterable[Any],
    *,
    model: Backbone | str | None = None,
    columns: dict[str, str] | None = None,
    read: Mapping[str, Any] | None = None,
    min_confidence: float | None = None,
    min_precision: float | None = None,
    explain: Method | None = None,
    on_bad_row: OnBadRow = "error",
    watcher: Watcher | None = None,
) -> Iterator[predicting.Answered]: ...
def predict(  # noqa: PLR0913 - what users may ask of a call
    prompts: Prompts,
    source: Source | Iterable[str],
    *,
    model: Backbone | str | None = None,
    columns: dict[str, str] | None = None,
    read: Mapping[str, Any] | None = None,
    min_confidence: float | None = None,
    min_precision: float | None = None,
    explain: Method | None = None,
    on_bad_row: OnBadRow = "error",
    watcher: Watcher | None = None,
) -> Any:
    """Answer rows or plain texts, as a stream; several prompts share one reading of each text.

    A data frame is answered by a data frame with the same index: ``answer``, ``confidence``, ``p LABEL``, ...; the
    columns of several prompts carry their names. Of its rows none can be left out.

    The arguments are those of :func:`evaluate`, and:

    Args:
        min_precision: Withhold answers below the threshold that each prompt keeps for this precision.
        explain: Say which words decided: ``auto``, ``occlusion`` or ``gradient``.
    """
    if is_frame(source) and on_bad_row == "skip":
        message = "a data frame is answered by one with the same rows: none can be left out"
        raise ConfigError("config.invalid", message, cure="drop the bad rows, or give dicts: frame.to_dict('records')")
    answers = predicting.predict(
        _listed(prompts),
        _file(source, read),
        columns=columns,
        min_confidence=min_confidence,
        min_precision=min_precision,
        explain=explain,
        on_bad_row=on_bad_row,
        watcher=watcher or (watcher_here() if is_frame(source) else None),
        **_model(model),
    )
    if is_frame(source):
        return to_frame(predicting.as_columns(list(answers)), index=source.index)
    return answers


def _run(
    task: Task | Mapping[str, Any] | None,
    parts: Mapping[str, Source | None],
    model: Backbone | str,
    settings: Mapping[str, Any],
) -> tuple[RunConfig, dict[str, Source], Backbone | None]:
    """Settings, rows and model from the arguments of a call."""
    sources = {name: source for name, source in parts.items() if source is not None}
    names = {name: str(s) if isinstance(s, str | Path) else f"<{type(s).__name__}>" for name, s in sources.items()}
    given = dict(settings)
    given["data"] = {**dict(given.get("data", {})), **names}
    if task is not None:
        plain = task.model_dump(mode="json", by_alias=True) if isinstance(task, Task) else dict(task)
        given["task"] = plain
    if isinstance(model, Backbone):
        given.setdefault("model", {"name": model.spec.name})
        return RunConfig.parse(given), sources, model
    given["model"] = {**dict(given.get("model", {})), "name": model}
    return RunConfig.parse(given), sources, None


def _file(source: Any, read: Mapping[str, Any] | None) -> Any:
    """A file with the settings of reading it; other sources as they are."""
    return File(source, ReadSettings.parse(read)) if read and isinstance(source, str | Path) else source


def _listed(prompts: Prompts) -> list[str | Path | Prompt]:
    return [prompts] if isinstance(prompts, str | Path | Prompt) else list(prompts)


def _model(model: Backbone | str | None) -> dict[str, Any]:
    if isinstance(model, Backbone):
        return {"backbone": model}
    return {} if model is None else {"model": ModelSettings(name=model)}
