"""``softprompt predict``: answers for new rows, as JSON lines, while they come."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen, to_json
from softprompt.app.cli.failures import usage_error
from softprompt.app.cli.highlights import explained
from softprompt.app.cli.options import columns_of, decoding_of, file_of, model_of, on_bad_row_of
from softprompt.app.cli.paths import prompt_paths
from softprompt.app.cli.streams import decoded
from softprompt.core.errors import ConfigError, DataError, ResourceError, nearest
from softprompt.core.words import counted

if TYPE_CHECKING:
    from softprompt.app.recipes.predict import Answered
    from softprompt.lab.explanation import Method


def predict(
    prompts: options.Prompts,
    *,
    source: Annotated[
        str | None,
        typer.Option("--input", "-i", metavar="FILE|-", help="Rows in any format; - reads lines from stdin."),
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", "-t", help="A text to answer; again for more.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of stdout.")
    ] = None,
    min_confidence: options.MinConfidence = None,
    min_precision: options.MinPrecision = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show which words decided; with --json as numbers.")
    ] = False,
    explain_by: Annotated[
        str | None, typer.Option(metavar="auto|occlusion|gradient", help="How: delete words, or gradients (auto).")
    ] = None,
    beams: options.Beams = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    max_new_tokens: options.MaxNewTokens = None,
    seed: options.Seed = None,
    text_column: options.TextColumn = None,
    columns: options.Columns = None,
    read: options.Read = None,
    on_bad_row: options.OnBadRow = None,
    model: options.OfModel = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    quantise: options.Quantise = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: the default, except with --explain.")] = False,
) -> None:
    """Answer new rows: one JSON object a line, in order; several prompts share one reading of each text.

        softprompt predict runs/topic --text "Where is my parcel?"

        softprompt predict runs/topic runs/tone --input new.jsonl --output answers.jsonl

        softprompt predict runs/topic --input new.jsonl --min-precision 0.95 --explain

        softprompt predict runs/reply --input new.jsonl --temperature 0.7 --seed 3

    Lines from stdin are JSON objects, or plain texts; with --read, for example --read format=csv, what it says.
    """
    changes = decoding_of(locals())
    with Face(as_json=as_json, stream=output is None) as face:
        if (source is None) == (not text):
            cure = 'softprompt predict PROMPT --text "Where is my parcel?", or --input rows.jsonl'
            raise usage_error("give either --input or --text", cure=cure)
        paths = prompt_paths(prompts)
        from softprompt.app.recipes.predict import predict as ask

        rows: Any = text or (
            read_lines(decoded(sys.stdin)) if source == "-" and not read else file_of(source or "-", read)
        )
        answers = ask(
            paths,
            rows,
            columns=columns_of(columns, text_column),
            model=model_of(model, dtype, device, quantise, prompts=paths),
            min_confidence=min_confidence,
            min_precision=min_precision,
            explain=method_of(explain_by) if explain or explain_by else None,
            decoding=changes,
            on_bad_row=on_bad_row_of(on_bad_row),
            watcher=face.watcher,
        )
        count = 0
        shown = bool(explain or explain_by) and not as_json and output is None

        def kept() -> str:
            return f"{counted(count, 'row')} answered" + (f" in {output}" if output else "")

        with nullcontext(face.out.file) if output is None else opened(output) as file:
            for answer in answers:
                face.kept = kept  # before the first answer comes there is nothing to tell
                if shown:
                    show(face.out, answer)
                    count += 1
                    continue
                file.write(to_json(answer.to_dict()) + "\n")
                file.flush()  # a row counts as answered when it has left, also where the disk fills up
                count += 1
        if output is not None:
            face.note(kept())


def method_of(name: str | None) -> "Method":
    """How to explain.

    Raises:
        ConfigError: ``config.unknown_name``.
    """
    from softprompt.lab.explanation import METHODS

    found = name or "auto"
    if found not in METHODS:
        message = f"no way to explain is called {found!r}; {nearest(found, METHODS)}"
        raise ConfigError("config.unknown_name", message)
    return cast("Method", found)


def show(out: Screen, answered: "Answered") -> None:
    """One row for people: its texts with the words that decided."""
    for name, why in answered.explanations.items():
        alone = len(answered.explanations) == 1
        withheld = answered.answers[name].abstained
        for line in explained("" if alone else name, why, answered.fields, withheld=withheld):
            out.say(line)
    out.say()


def read_lines(lines: Iterable[str]) -> Iterator[dict[str, Any] | str]:
    """Rows from lines: JSON objects when the first line is one, else plain texts; blank lines are passed over.

    Raises:
        DataError: ``data.bad_json`` with the line; ``data.no_rows`` when nothing comes.

    >>> list(read_lines(["Where is it?\\n", "\\n", "{no json}\\n"]))
    ['Where is it?', '{no json}']
    """
    objects: bool | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if objects is None:
            objects = line.lstrip().startswith("{") and _is_object(line)
        yield _object(line, number) if objects else line.rstrip("\n")
    if objects is None:
        raise DataError("data.no_rows", "nothing came from stdin", cure="pipe rows into it, one a line").at("stdin")


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError("data.bad_json", f"the line is no valid JSON: {error}").at(f"stdin:{number}") from None
    if not isinstance(found, dict):
        message = f"the row is of type {type(found).__name__}, an object like the lines before is needed"
        raise DataError("data.bad_json", message).at(f"stdin:{number}")
    return found


def opened(path: Path) -> TextIO:
    """A file to write.

    Raises:
        ResourceError: ``resource.write_failed``.
    """
    try:
        return path.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise ResourceError("resource.write_failed", message, cure="name another --output") from None
