"""Judge saved prompts on labelled rows, several over one reading."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from softprompt.app.config import ModelSettings
from softprompt.app.recipes.judged import keep_first_scores
from softprompt.app.recipes.leftout import said_of
from softprompt.app.recipes.mapping import fitting, said_of_columns, ways_to_read
from softprompt.app.recipes.runs import is_run
from softprompt.app.recipes.saved import ask_of, backbone_for, strips_html
from softprompt.app.recipes.sealed import looks_at, note_look, sealed_hash, warning
from softprompt.app.recipes.tracked import track_evaluation
from softprompt.app.recipes.writing import Ways, check_ways, way_of, written
from softprompt.app.tracking import open_trackers
from softprompt.app.watch import Watcher
from softprompt.core.cards.views import origin_words
from softprompt.core.errors import DataError
from softprompt.core.tasks import Task, parse_task
from softprompt.core.words import counted
from softprompt.data.dataset import Dataset
from softprompt.data.entries import Record
from softprompt.data.nested import NOWHERE, follow
from softprompt.data.sources import Reading, Source, load, named_columns, read_source
from softprompt.lab.evaluation import Evaluation, evaluate_asks
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Ask, Predictor
from softprompt.model.prompts.prompt import Prompt

__all__ = ["Judged", "Labelled", "evaluate", "judge", "open_prompts"]


@dataclass(frozen=True)
class Labelled:
    """Labelled rows and what their columns are.

    Attributes:
        data: The rows.
        columns: Template field -> column, where the names differ.
        targets: Column of the answers by prompt, where the names differ.
        besides: Columns to keep that no template reads.
        on_bad_row: Stop at rows that cannot be used, or leave them out.
        group: Column whose equal values make rows dependent: one customer, one conversation. None: the one that a
            prompt learnt with, where it is there; empty: every row counts for itself.
    """

    data: Source
    columns: dict[str, str] | None = None
    targets: Sequence[str] | None = None
    besides: Collection[str] = ()
    on_bad_row: Literal["error", "skip"] = "error"
    group: str | None = None

    def tasks(self, asks: Sequence[Ask]) -> list[Task]:
        """What each prompt is asked, with the column of its answers."""
        if self.targets is None:
            return [ask.task for ask in asks]
        return [ask.task.model_copy(update={"target": target}) for ask, target in zip(asks, self.targets, strict=True)]

    def read(self, tasks: Sequence[Task], asks: Sequence[Ask]) -> Reading:
        """The rows, read once for all prompts; without HTML where they learnt so.

        Raises:
            DataError: What cannot be read.
            PromptError: ``prompt.other_reading``.
        """
        named: set[str] = set(self.besides)
        for task, ask in zip(tasks, asks, strict=True):
            named |= {name for name in (ask.group if self.group is None else self.group,) if name}
            fields = ask.builder.template.fields
            for way in ways_to_read([ask], [task], self.columns):
                named |= named_columns(task, columns=way, template_fields=fields)
        found = read_source(self.data, named=named)
        return replace(found, strip_html=found.strip_html or strips_html(asks))

    def group_in(self, reading: Reading, ask: Ask) -> str | None:
        """The column by which the rows of a prompt are grouped; None: by none."""
        if self.group is not None:
            return self.group or None
        name = ask.group
        records = (entry.values for entry in reading.entries if isinstance(entry, Record))
        return name if name and any(follow(values, name) is not NOWHERE for values in records) else None

    def rows(self, reading: Reading, task: Task, ask: Ask) -> Dataset:
        """The rows of one prompt, with a note where its columns are those that it learnt from.

        Raises:
            DataError: As :func:`load`; ``data.missing_column`` for a column to keep.
        """
        besides = [name for name in self.besides if name != task.target]
        fields = (*ask.builder.template.fields, *besides)
        group = self.group_in(reading, ask)

        def read(columns: dict[str, str]) -> Dataset:
            return load(
                reading,
                task,
                columns=columns,
                template_fields=fields,
                roles={} if group is None else {"group": group},
                on_bad_row=self.on_bad_row,
            )

        try:
            found, way = fitting(ways_to_read([ask], [task], self.columns), read)
        except DataError as error:
            missing = [name for name in besides if f"{{{name}}}" in error.message]
            if error.code != "data.unknown_field" or not missing:
                raise
            message = f"the column {missing[0]!r} to slice by is not in the data; {error.message.partition('; ')[2]}"
            raise DataError("data.missing_column", message).at(*error.context) from None
        said = said_of_columns(way, self.columns)
        return replace(found, notes=(*found.notes, said)) if said else found


@dataclass(frozen=True)
class Judged:
    """A prompt and what became of it.

    Attributes:
        ask: The prompt as it was asked.
        rows: The labelled rows; their fields hold the columns that were asked for besides.
        evaluation: How well it answers.
        predictor: To ask it more.
    """

    ask: Ask
    rows: Dataset
    evaluation: Evaluation
    predictor: Predictor


def open_prompts(
    prompts: Sequence[str | Path | Prompt],
    *,
    model: ModelSettings | None = None,
    backbone: Backbone | None = None,
    decoding: Ways | None = None,
    watcher: Watcher | None = None,
) -> tuple[Backbone, list[Ask]]:
    """Saved prompts and their model, ready to be asked.

    Args:
        prompts: Paths or prompts, of one model.
        model: Where the model is, when not where it was.
        backbone: A model that is loaded already.
        decoding: What changes in how answers are written.
        watcher: Told what happens.

    Raises:
        PromptError, ModelError: What is wrong with them.
        ConfigError: ``config.invalid``, ``config.unknown_key``: what is wrong with ``decoding``.
    """
    watcher = watcher or Watcher()
    loaded = [one if isinstance(one, Prompt) else Prompt.load(one) for one in prompts]
    if decoding:
        check_ways({prompt.name: parse_task(prompt.manifest.task) for prompt in loaded}, decoding)
    backbone = backbone or backbone_for(loaded, model, watcher)
    asks = []
    for prompt in loaded:
        ask, notes = ask_of(prompt, backbone)
        asks.append(ask)
        for note in notes:
            watcher.note(f"{prompt.name}: {note}")
        if prompt.manifest.unevaluated:
            watcher.note(f"{prompt.name}: {origin_words(prompt.manifest.to_dict())}; nobody has judged it so far")
    asks = written(asks, decoding)
    for ask in asks:
        if (way := way_of(ask)) is not None and (decoding or way.method != "greedy"):
            watcher.note(f"{ask.name}: writes {way.words}, {counted(way.max_new_tokens or 0, 'token')} at most")
    return backbone, asks


def evaluate(  # noqa: PLR0913 - what users may ask of a call
    prompts: Sequence[str | Path | Prompt],
    data: Source,
    *,
    columns: dict[str, str] | None = None,
    targets: Sequence[str] | None = None,
    model: ModelSettings | None = None,
    backbone: Backbone | None = None,
    min_confidence: float | None = None,
    on_bad_row: Literal["error", "skip"] = "error",
    group: str | None = None,
    decoding: Ways | None = None,
    track: Sequence[str] = (),
    watcher: Watcher | None = None,
) -> list[Evaluation]:
    """Judge prompts on labelled rows.

    Args:
        prompts: Paths or prompts, of one model.
        data: Labelled rows; each prompt's task names the column of its answers.
        columns: Template field -> column, where the names differ.
        targets: Column of the answers by prompt, where the names differ.
        model: Where the model is, when not where it was.
        backbone: A model that is loaded already.
        min_confidence: Below it an answer is withheld, and counts as wrong.
        on_bad_row: Stop at rows that cannot be used, or leave them out and say which.
        group: Column whose equal values make rows dependent; None: as :class:`Labelled`.
        decoding: What changes in how answers are written, e.g. ``{"num_beams": 4}``; None: as the prompts' tasks say.
        track: Names of trackers to tell.
        watcher: Told what happens.

    Raises:
        PromptError, ModelError, DataError, ConfigError, ExtraError: each with its code.
    """
    watcher = watcher or Watcher()
    open_trackers(track)  # a missing one is said before anything is computed
    backbone, asks = open_prompts(prompts, model=model, backbone=backbone, decoding=decoding, watcher=watcher)
    bars = [min_confidence] * len(asks)
    labelled = Labelled(data, columns, targets, on_bad_row=on_bad_row, group=group)
    judged = judge(prompts, backbone, asks, labelled, bars=bars, as_saved=not decoding, track=track, watcher=watcher)
    found = [one.evaluation for one in judged]
    watcher.done()
    return found


def judge(
    prompts: Sequence[str | Path | Prompt],
    backbone: Backbone,
    asks: Sequence[Ask],
    labelled: Labelled,
    *,
    bars: Sequence[float | None],
    as_saved: bool = True,
    track: Sequence[str] = (),
    watcher: Watcher,
) -> Iterator[Judged]:
    """Judge prompts that are open, one after the other, on rows that are read once.

    Args:
        prompts, backbone, asks: As :func:`open_prompts` takes and gives them.
        labelled: The rows.
        bars: By prompt, the confidence below which an answer is withheld.
        as_saved: Whether they write as their tasks say; other scores are not kept in a prompt that has none.
        track: Names of trackers to tell.
        watcher: Told what happens.
    """
    watcher.stage("judge")
    tasks = labelled.tasks(asks)
    reading = labelled.read(tasks, asks)
    for note in reading.notes:
        watcher.note(note)
    for prompt, task, ask, bar in zip(prompts, tasks, asks, bars, strict=True):
        rows = labelled.rows(reading, task, ask)
        if labelled.group is None and (group := labelled.group_in(reading, ask)):
            said = f"rows with the same {group!r} count once, as it learnt; --group '' counts every row"
            watcher.note(f"{ask.name}: {said}")
        for note in rows.notes[len(reading.notes) :]:
            watcher.note(f"{ask.name}: {note}")
        if rows.skipped:
            watcher.note(f"{ask.name}: {said_of(rows.skipped)}")
        predictor = Predictor(backbone, [ask], min_confidence=bar)
        (evaluation,) = evaluate_asks(predictor, rows)
        yield Judged(ask, rows, evaluation, predictor)
        if track:
            saved = prompt if isinstance(prompt, Prompt) else Prompt.load(prompt)
            track_evaluation(track, evaluation, saved, rows, watcher=watcher)
        if isinstance(prompt, str | Path) and (said := _looked(Path(prompt), rows, ask)):
            watcher.note(f"{ask.name}: {said}")
        kept = bar is None and as_saved
        first = keep_first_scores(prompt, evaluation, split=rows.name) if kept else ""
        if first:
            watcher.note(f"{ask.name}: {first}")


def _looked(prompt: Path, rows: Dataset, ask: Ask) -> str:
    """Count a look where these are the test rows of the prompt's run, or of one beside it; the warning, if any."""
    folder = prompt if is_run(prompt) else prompt.parent
    content = sealed_hash(rows, fields=ask.builder.template.fields)
    if not is_run(folder) or not looks_at(folder, content):
        return ""
    return warning(note_look(folder, content, by="evaluate"))
