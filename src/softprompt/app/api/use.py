"""Saved prompts at work: loaded, asked, judged, looked at closely, and joined."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from softprompt.app.api.arguments import OnBadRow, Prompts, file_of, model_of, prompts_of, rows_or_skip
from softprompt.app.live import watcher_here
from softprompt.app.recipes import ensemble as joining
from softprompt.app.recipes import evaluate as evaluating
from softprompt.app.recipes import examine as examining
from softprompt.app.recipes import predict as predicting
from softprompt.app.recipes.evaluate import Labelled
from softprompt.app.recipes.routes import keep_route
from softprompt.app.recipes.writing import Ways
from softprompt.app.watch import Watcher
from softprompt.core.errors import ConfigError, DataError
from softprompt.core.frames import is_frame, to_frame
from softprompt.data.sources import File, Frame, Source
from softprompt.lab.evaluation import Evaluation
from softprompt.lab.explanation import Method
from softprompt.lab.gates import Gate
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.prompt import Prompt

if TYPE_CHECKING:
    import pandas

__all__ = ["ensemble", "evaluate", "examine", "load", "predict"]


def load(path: str | Path) -> Prompt:
    """A saved prompt, from its folder or zip file, or from the folder of its run; nothing in it is executed.

    Raises:
        PromptError: Any ``prompt.*``.
        ConfigError: ``config.invalid``: it is no path.
    """
    (found,) = prompts_of(path)
    return found if isinstance(found, Prompt) else Prompt.load(found)


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
    decoding: Ways | None = None,
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
        decoding: How answers are written, where not as the prompts' tasks say: ``{"num_beams": 4}``, ``{"temperature":
            0.7, "seed": 3}``; see docs/generation.md.
        track: Trackers to tell: ``mlflow``, ``tensorboard``, ``wandb``.
        watcher: Told what happens.

    Raises:
        SoftpromptError: Whatever is wrong, with its code.
    """
    return evaluating.evaluate(
        prompts_of(prompts),
        file_of(data, read),
        columns=columns,
        min_confidence=min_confidence,
        on_bad_row=rows_or_skip(on_bad_row),
        group=group,
        decoding=decoding,
        track=[track] if isinstance(track, str) else track,
        watcher=watcher or watcher_here(),
        **model_of(model),
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
        prompts_of(prompts),
        file_of(data, read),
        by=by,
        out=out,
        name=name,
        calibrate=calibrate,
        overwrite=overwrite,
        columns=columns,
        on_bad_row=rows_or_skip(on_bad_row),
        group=group,
        watcher=watcher or watcher_here(),
        **model_of(model),
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
    decoding: Ways | None = None,
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
    listed = prompts_of(prompts)
    if keep and (precision is None or any(isinstance(one, Prompt) for one in listed)):
        message = "keep writes the threshold of a precision into saved prompts: it needs precision and paths"
        raise ConfigError("config.invalid", message, cure="give both, or leave keep out")
    found = examining.examine(
        listed,
        Labelled(file_of(data, read), columns, on_bad_row=rows_or_skip(on_bad_row), group=group),
        examining.Questions(
            precision=precision,
            choose_on=None if choose_on is None else file_of(choose_on, read),
            slices=slices,
            gates=[Gate(metric, limit) for metric, limit in (limits or {}).items()],
            bound=bound,
            decoding=decoding,
        ),
        watcher=watcher or watcher_here(),
        **model_of(model),
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
    decoding: Ways | None = None,
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
    decoding: Ways | None = None,
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
    decoding: Ways | None = None,
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
    if isinstance(source, str) and " " in source and not os.path.exists(source):  # noqa: PTH110 - a text may be too long
        cure = 'texts stand in a list: sp.predict(prompt, ["Where is my parcel?"])'
        raise DataError("data.missing_file", f"there is no file {source[:60]!r}", cure=cure)
    if is_frame(source) and on_bad_row == "skip":
        message = "a data frame is answered by one with the same rows: none can be left out"
        raise ConfigError("config.invalid", message, cure="drop the bad rows, or give dicts: frame.to_dict('records')")
    answers = predicting.predict(
        prompts_of(prompts),
        file_of(source, read),
        columns=columns,
        min_confidence=min_confidence,
        min_precision=min_precision,
        explain=explain,
        decoding=decoding,
        on_bad_row=rows_or_skip(on_bad_row),
        watcher=watcher or (watcher_here() if is_frame(source) else None),
        **model_of(model),
    )
    if is_frame(source):
        return to_frame(predicting.as_columns(list(answers)), index=source.index)
    return answers
