"""Answers for new rows: one or several saved prompts over one reading of each text, as a stream."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, tee
from pathlib import Path
from typing import Any, Literal

from softprompt.app.config import ModelSettings
from softprompt.app.recipes.evaluate import open_prompts
from softprompt.app.recipes.leftout import LeftOut
from softprompt.app.recipes.mapping import fitting, said_of_columns, ways_to_read
from softprompt.app.recipes.routes import bar_of
from softprompt.app.recipes.saved import strips_html
from softprompt.app.recipes.writing import Ways, way_of
from softprompt.app.watch import Watcher
from softprompt.core.decoding import Decoding
from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.core.words import counted
from softprompt.data.dataset import Dataset
from softprompt.data.dialect import ReadSettings
from softprompt.data.hub import PREFIX
from softprompt.data.sources import File, Frame, Reading, Source, load, without_html
from softprompt.data.streams import open_stream
from softprompt.lab.explanation import Explanation, Method
from softprompt.lab.explanation import explain as explaining
from softprompt.model.backbones.base import Backbone
from softprompt.model.prediction import Ask, Prediction, Predictor
from softprompt.model.prompts.prompt import Prompt

__all__ = ["Answered", "as_columns", "predict"]

#: Rows of an iterable that are taken at a time.
CHUNK = 256


@dataclass(frozen=True)
class Answered:
    """The answers to one row, by name of the prompt, with what explains them where that was asked, and how they came.

    Ways of writing stand only for prompts that do not write greedily: what has to be known to have an answer again.
    """

    id: str
    answers: Mapping[str, Prediction]
    explanations: Mapping[str, Explanation] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    ways: Mapping[str, Decoding] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Plain data; with one prompt its answer stands at the top."""
        said = {name: {k: v for k, v in one.to_dict().items() if k != "id"} for name, one in self.answers.items()}
        for name, why in self.explanations.items():
            said[name]["explanation"] = why.to_dict()
        for name, way in self.ways.items():
            said[name]["decoding"] = {"method": way.method, **way.model_dump(mode="json", exclude_defaults=True)}
        return {"id": self.id, **(next(iter(said.values())) if len(said) == 1 else {"answers": said})}


def predict(  # noqa: PLR0913 - what users may ask of a call
    prompts: Sequence[str | Path | Prompt],
    source: Source | Iterable[str],
    *,
    columns: dict[str, str] | None = None,
    model: ModelSettings | None = None,
    backbone: Backbone | None = None,
    min_confidence: float | None = None,
    min_precision: float | None = None,
    explain: Method | None = None,
    decoding: Ways | None = None,
    on_bad_row: Literal["error", "skip"] = "error",
    watcher: Watcher | None = None,
) -> Iterator[Answered]:
    """Answer rows in their order.

    Args:
        prompts: Paths or prompts, of one model; they share one reading of each text.
        source: A file, dicts, a data frame, or plain texts (for templates with one field).
        columns: Template field -> column, where the names differ.
        model: Where the model is, when not where it was.
        backbone: A model that is loaded already.
        min_confidence: Below it an answer is withheld (``answer`` is None).
        min_precision: The same by the threshold that each prompt keeps for this precision.
        explain: Say which words decided, see :func:`softprompt.lab.explanation.explain`.
        decoding: What changes in how answers are written, e.g. ``{"num_beams": 4}``; None: as the prompts' tasks say.
        on_bad_row: Stop at rows that cannot be used, or leave them out and say which.
        watcher: Told what happens.

    Raises:
        PromptError, ModelError, DataError, ConfigError: each with its code.
    """
    watcher = watcher or Watcher()
    loaded = [one if isinstance(one, Prompt) else Prompt.load(one) for one in prompts]
    bars = [bar_of(one, min_confidence, min_precision) for one in loaded]
    backbone, asks = open_prompts(loaded, model=model, backbone=backbone, decoding=decoding, watcher=watcher)
    left = LeftOut(watcher) if on_bad_row == "skip" else None
    read, kept = tee(_plain(source, asks, _examples(source, asks, columns, watcher, left)))
    names = _names(asks)
    found = {name: way_of(ask) for name, ask in zip(names, asks, strict=True)}
    writing = {name: way for name, way in found.items() if way is not None and way.method != "greedy"}
    predictor = Predictor(backbone, asks, min_confidence=min_confidence)
    watcher.stage("predict", unit="rows")
    done, blank = 0, 0
    for done, (row, example) in enumerate(zip(predictor.predict(read), kept, strict=False), 1):
        blank += not any(text.strip() for text in example.fields.values())
        answers = [_withheld(one, bar) for one, bar in zip(row, bars, strict=True)]
        why = [explaining(predictor, example, ask=k, method=explain) for k in range(len(asks))] if explain else []
        watcher.advance(done)
        by_name = dict(zip(names, answers, strict=True))
        yield Answered(row[0].id, by_name, dict(zip(names, why, strict=False)), example.fields, writing)
    if left is not None:
        left.close()
    if blank:
        fields = ", ".join(dict.fromkeys(name for ask in asks for name in ask.builder.template.fields))
        watcher.note(f"{blank:,} of {counted(done, 'row')} had no text in {fields}; the answers go by nothing")
    watcher.done()


def as_columns(answered: Sequence[Answered]) -> list[dict[str, object]]:
    """Answers as lines of a table: one column a fact, with several prompts named after them.

    Probabilities have a column each (``p LABEL``) where all rows have the same labels.
    """
    said = [{name: one.to_dict() for name, one in row.answers.items()} for row in answered]
    lines: list[dict[str, object]] = [{} for _ in answered]
    for name in said[0] if said else ():
        facts = [row[name] for row in said]
        labels = {tuple(one["probabilities"] or ()) for one in facts}
        for line, one, row in zip(lines, facts, answered, strict=True):
            found = {key: value for key, value in one.items() if key not in {"id", "probabilities"}}
            if len(labels) == 1:
                found |= {f"p {label}": p for label, p in (one["probabilities"] or {}).items()}
            else:
                found["probabilities"] = one["probabilities"]
            if name in row.explanations:
                found["explanation"] = row.explanations[name].to_dict()
            line |= found if len(row.answers) == 1 else {f"{name} {key}": value for key, value in found.items()}
    return lines


def _plain(source: object, asks: Sequence[Ask], examples: Iterator[Example]) -> Iterator[Example]:
    """Examples without their HTML where the prompts learnt so, and the source has not been told to strip it itself."""
    told = getattr(getattr(source, "settings", source), "strip_html", False)
    return map(without_html, examples) if strips_html(asks) and not told else examples


def _withheld(prediction: Prediction, bar: float | None) -> Prediction:
    return prediction if bar is None else replace(prediction, abstained=prediction.confidence < bar)


def _names(asks: Sequence[Ask]) -> list[str]:
    """Names of the prompts, told apart where they are equal."""
    names: list[str] = []
    for k, ask in enumerate(asks):
        name = ask.name or f"prompt {k}"
        names.append(name if name not in names else f"{name} {k}")
    return names


def _examples(
    source: Source | Iterable[str],
    asks: Sequence[Ask],
    columns: dict[str, str] | None,
    watcher: Watcher,
    left: LeftOut | None,
) -> Iterator[Example]:
    """Unlabelled examples with every field that some prompt names; files and iterables come as they are read."""
    fields = tuple(dict.fromkeys(name for ask in asks for name in ask.builder.template.fields))
    task, said = asks[0].task, set[str]()
    ways = ways_to_read(asks, (), columns)

    def note_columns(way: Mapping[str, str]) -> None:
        if (told := said_of_columns(way, columns)) and told not in said:
            watcher.note(told)
            said.add(told)

    if isinstance(source, (str, os.PathLike)):
        source = File(source, ReadSettings())
    if isinstance(source, File) and not str(source.path).startswith(PREFIX):
        opened = source
        stream, way = fitting(
            ways, lambda way: open_stream(opened, task, columns=way, template_fields=fields, skip=left)
        )
        note_columns(way)
        for note in stream.notes:
            watcher.note(note)
        return iter(stream)

    def loaded(rows: Source) -> Dataset:
        skip: Literal["error", "skip"] = "error" if left is None else "skip"
        found, way = fitting(
            ways, lambda way: load(rows, task, columns=way, template_fields=fields, answers=False, on_bad_row=skip)
        )
        note_columns(way)
        if left is not None:
            for bad in found.skipped:
                left(bad)
        return found

    if isinstance(source, Reading | File | Frame):
        found = loaded(source)
        for note in found.notes:
            watcher.note(note)
        return iter(found)
    return _numbered(_parts(iter(source), fields, task, loaded, left))


def _numbered(parts: Iterable[Iterable[Example]]) -> Iterator[Example]:
    """Examples with ids: their own, or their number."""
    for number, row in enumerate((row for part in parts for row in part), 1):
        yield row if row.id else replace(row, id=str(number))


def _text(row: Any, number: int) -> str:
    """A plain text among plain texts.

    Raises:
        DataError: ``data.bad_source``.
    """
    if not isinstance(row, str):
        message = f"row {number} is of type {type(row).__name__}, and the rows before it are plain texts"
        raise DataError("data.bad_source", message, cure="give texts alone, or dicts alone")
    return row


def _parts(
    rows: Iterator[Any],
    fields: Sequence[str],
    task: Task,
    loaded: Callable[[Source], Dataset],
    left: LeftOut | None,
) -> Iterator[Iterable[Example]]:
    """Chunks of plain texts or of rows, as they come; the first is small, so that its answers come soon."""
    size, done = 1, 0
    while chunk := list(islice(rows, size)):
        if isinstance(chunk[0], str):
            if len(fields) != 1:
                named = ", ".join(fields)
                message = f"plain texts fill one field, the prompts name {named}"
                shape = json.dumps(dict.fromkeys(fields, "..."))
                cure = f"give rows with these columns; on the command line a line {shape} to --input -"
                raise DataError("data.unknown_field", message, cure=cure)
            yield [Example({fields[0]: task.asked(_text(text, done + n))}) for n, text in enumerate(chunk, 1)]
        else:
            try:
                yield loaded(chunk)
            except DataError as error:
                if left is None or error.code != "data.no_rows":
                    raise (error.at(f"after row {done}") if done else error) from None
                left.all(len(chunk), error.message)
        done += len(chunk)
        size = CHUNK
