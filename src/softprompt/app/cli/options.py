"""Arguments and options that several commands share, and how those that set a key of a run name it.

An option that sets a key leaves its value to the settings classes, so that allowed values stand in one place.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.app.cli.settings import parse_labels, parse_seconds, parse_sets

__all__ = [
    "Beams",
    "Columns",
    "Config",
    "Device",
    "Dtype",
    "Effort",
    "Folds",
    "Json",
    "Labels",
    "MaxNewTokens",
    "MinConfidence",
    "MinPrecision",
    "Model",
    "OfModel",
    "OnBadRow",
    "Place",
    "Prompts",
    "Quantise",
    "Read",
    "Schema",
    "Seed",
    "Set",
    "Target",
    "TaskKind",
    "Teacher",
    "Temperature",
    "Template",
    "Test",
    "TextColumn",
    "TopK",
    "TopP",
    "Track",
    "Train",
    "Unlabelled",
    "Validation",
    "changes_in",
    "changes_of",
    "columns_of",
    "decoding_of",
    "file_of",
    "model_of",
    "on_bad_row_of",
]

ROWS, TASK, TRAINING, MODEL, WRITTEN = "Rows", "Task and template", "Training", "Model", "Written answers"

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
Config = Annotated[
    Path | None,
    typer.Argument(metavar="CONFIG.yaml", help="Settings of the run (docs/reference/config.md); flags win over it."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the settings, for example training.steps=100."),
]

# ---------------------------------------------------------------- rows

Train = Annotated[
    str | None,
    typer.Option("--train", metavar="FILE", help="Rows to learn from: csv, xlsx, jsonl, ...", rich_help_panel=ROWS),
]
Validation = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Rows that choose; without them --folds.", rich_help_panel=ROWS),
]
Folds = Annotated[
    str | None,
    typer.Option(
        metavar="K|none", help="Cross-validation (5, under 1,000 rows without --validation).", rich_help_panel=ROWS
    ),
]
Test = Annotated[
    str | None, typer.Option(metavar="FILE", help="Rows for the score, touched once, at the end.", rich_help_panel=ROWS)
]
Unlabelled = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Rows without answers: a second round learns from them.", rich_help_panel=ROWS),
]
Method = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="plain, residual, low_rank, ...: see docs/methods.md.", rich_help_panel=TRAINING),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="A larger model, or a saved prompt: its answers are learnt.", rich_help_panel=TRAINING
    ),
]
Target = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column of the right answer (label).", rich_help_panel=ROWS)
]
Targets = Annotated[
    str | None,
    typer.Option(metavar="A,B,C", help="Several columns: a task each, trained in one run.", rich_help_panel=ROWS),
]
TextColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column that the field {text} reads.", rich_help_panel=ROWS)
]
Read = Annotated[
    list[str] | None,
    typer.Option(
        "--read",
        metavar="KEY=VALUE",
        help="How files are read: format, encoding, separator, header, sheet, rows, strip_html (else found out).",
        rich_help_panel=ROWS,
    ),
]
OnBadRow = Annotated[
    str | None,
    typer.Option(
        "--on-bad-row",
        metavar="error|skip",
        help="Stop at rows that cannot be used (error), or leave them out and say which.",
        rich_help_panel=ROWS,
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="FIELD=COLUMN", help="Column of a field, where the names differ."),
]

# ---------------------------------------------------------------- task and template

TaskKind = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="KIND",
        help="classify, choose, multilabel, score, generate, extract, dialogue.",
        rich_help_panel=TASK,
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C", help="Labels, or name=answer text; without them those of --train.", rich_help_panel=TASK
    ),
]
Schema = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|{...}", help="Fields of --task extract: JSON Schema or field: type.", rich_help_panel=TASK
    ),
]
Effort = Annotated[
    str | None,
    typer.Option(metavar="quick|normal|thorough", help="One dial for all defaults.", rich_help_panel=TRAINING),
]
Template = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="For example '{text}<soft 20> It was {answer}'; see `template`.", rich_help_panel=TASK
    ),
]
Place = Annotated[
    str | None,
    typer.Option(metavar="before|after", help="Soft tokens before or after the text (after).", rich_help_panel=TASK),
]

# ---------------------------------------------------------------- model

Model = Annotated[
    str | None, typer.Option(metavar="MODEL", help="embedded, a folder, or a hub id (embedded).", rich_help_panel=MODEL)
]
Dtype = Annotated[
    str | None,
    typer.Option(metavar="auto|bf16|fp16|fp32", help="Precision of the model; auto measures.", rich_help_panel=MODEL),
]
Device = Annotated[str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1.", rich_help_panel=MODEL)]
Quantise = Annotated[
    str | None,
    typer.Option(
        metavar="int8|int8-dynamic|llm-int8|nf4|fp4", help="Hold the weights in few bits.", rich_help_panel=MODEL
    ),
]

# ---------------------------------------------------------------- trackers

Track = Annotated[
    list[str] | None,
    typer.Option("--track", metavar="mlflow|tensorboard|wandb", help="Also tell a tracker; again for more."),
]

# ---------------------------------------------------------------- saved prompts

Prompts = Annotated[
    list[Path],
    typer.Argument(metavar="PROMPT", help="Saved prompts of one model: folders, zip files, run folders."),
]
OfModel = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="Where the model is, when not where it was.", rich_help_panel=MODEL),
]
MinConfidence = Annotated[
    float | None, typer.Option(metavar="P", min=0.0, max=1.0, help="Withhold answers that are less probable than this.")
]
MinPrecision = Annotated[
    float | None,
    typer.Option(
        metavar="P", help="Withhold answers below the threshold that `evaluate --precision P` put into the prompt."
    ),
]

# ---------------------------------------------------------------- written answers

Beams = Annotated[
    int | None, typer.Option(metavar="N", help="Keep several answers in hand, give the best.", rich_help_panel=WRITTEN)
]
Temperature = Annotated[
    float | None,
    typer.Option(metavar="T", help="Draw tokens; below 1 safer, 0 the likeliest each time.", rich_help_panel=WRITTEN),
]
TopP = Annotated[
    float | None,
    typer.Option(metavar="P", help="Draw from the likeliest tokens of this probability.", rich_help_panel=WRITTEN),
]
TopK = Annotated[int | None, typer.Option(metavar="K", help="Draw from the likeliest K.", rich_help_panel=WRITTEN)]
MaxNewTokens = Annotated[
    int | None, typer.Option(metavar="N", help="Longest answer in tokens.", rich_help_panel=WRITTEN)
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="S", help="Of the draws: same seed, same answers.", rich_help_panel=WRITTEN),
]

#: Option -> the setting of decoding that it changes.
WAYS: Mapping[str, str] = {
    "beams": "num_beams",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_new_tokens": "max_new_tokens",
    "seed": "seed",
}

#: Option -> the key that it sets.
KEYS: Mapping[str, str] = {
    "train": "data.train",
    "unlabelled": "data.unlabelled",
    "teacher": "teacher.name",
    "validation": "data.validation",
    "test": "data.test",
    "folds": "data.folds",
    "target": "task.target",
    "targets": "task.targets",
    "text_column": "data.columns.text",
    "on_bad_row": "data.on_bad_row",
    "task": "task.kind",
    "labels": "task.labels",
    "schema": "task.schema",
    "template": "template.text",
    "place": "template.place",
    "method": "method.name",
    "effort": "training.effort",
    "max_time": "training.max_time",
    "seed": "training.seeds",
    "output": "output",
    "track": "track",
    "name": "name",
    "model": "model.name",
    "dtype": "model.dtype",
    "device": "model.device",
    "quantise": "model.quantise",
}

READ = "data.read"  #: the section that --read sets

_PARSED: Mapping[str, Callable[[Any], Any]] = {"labels": parse_labels, "max_time": parse_seconds, "output": str}


def changes_of(sets: Sequence[str] | None = None, *, read: Sequence[str] | None = None, **flags: Any) -> dict[str, Any]:
    """What flags change in the settings, by dotted key; those that were not given change nothing.

    >>> changes_of(["training.steps=9"], train="rows.csv", place=None, max_time="2m")
    {'data.train': 'rows.csv', 'training.max_time': 120.0, 'training.steps': 9}
    """
    given = {name: value for name, value in flags.items() if value is not None and value != []}
    named = {KEYS[name]: _PARSED[name](value) if name in _PARSED else value for name, value in given.items()}
    reading = {f"{READ}.{key}": value for key, value in _reads(read).items()}
    return {**named, **reading, **parse_sets(sets or ())}


def changes_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same from all options of a command, which are its ``locals()``; those that set no key are passed over.

    >>> changes_in({"train": "rows.csv", "sets": ["training.steps=9"], "read": None, "as_json": True})
    {'data.train': 'rows.csv', 'training.steps': 9}
    """
    flags = {name: value for name, value in options.items() if name in KEYS}
    return changes_of(options.get("sets"), read=options.get("read"), **flags)


def file_of(path: str, read: Sequence[str] | None) -> Any:
    """A file with what ``--read KEY=VALUE`` says of it; without, the path alone.

    Raises:
        ConfigError: ``config.usage``, ``config.unknown_key``, ``config.invalid``.

    >>> file_of("rows.csv", ["separator=;"]).settings.separator
    ';'
    """
    if not read:
        return path
    from softprompt.data.dialect import ReadSettings
    from softprompt.data.reading import File

    return File(path, ReadSettings.parse(_reads(read), where="--read"))


def _reads(pairs: Sequence[str] | None) -> dict[str, str]:
    from softprompt.app.cli.failures import usage_error

    found = {}
    for pair in pairs or ():
        key, mark, value = pair.partition("=")
        if not (mark and key.strip() and value):
            raise usage_error(
                f"--read {pair!r} is no setting", cure="write KEY=VALUE, for example --read encoding=cp1252"
            )
        found[key.strip()] = value
    return found


def on_bad_row_of(said: str | None) -> Any:
    """What ``--on-bad-row`` says.

    Raises:
        ConfigError: ``config.usage``.

    >>> on_bad_row_of(None), on_bad_row_of("skip")
    ('error', 'skip')
    """
    from softprompt.app.cli.failures import usage_error

    if said not in (None, "error", "skip"):
        raise usage_error(f"--on-bad-row {said!r} is neither error nor skip", cure="write --on-bad-row skip")
    return said or "error"


def columns_of(pairs: Sequence[str] | None, text_column: str | None = None) -> dict[str, str] | None:
    """Columns by field from ``FIELD=COLUMN``.

    Raises:
        ConfigError: ``config.usage``.

    >>> columns_of(["question=q"], "body")
    {'text': 'body', 'question': 'q'}
    """
    from softprompt.app.cli.failures import usage_error

    columns = {} if text_column is None else {"text": text_column}
    for pair in pairs or ():
        field, mark, column = pair.partition("=")
        if not (mark and field and column):
            raise usage_error(f"--column {pair!r} names no field and column", cure="write --column question=q")
        columns[field] = column
    return columns or None


def decoding_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of a command, its ``locals()``, change in how answers are written.

    >>> decoding_of({"beams": 4, "seed": None, "text": ["Hello"]})
    {'num_beams': 4}
    """
    return {key: options[name] for name, key in WAYS.items() if options.get(name) is not None}


def model_of(
    model: str | None, dtype: str | None, device: str | None, quantise: str | None = None, *, prompts: Sequence[Path]
) -> Any:
    """Settings of the model for saved prompts; None: as each says itself.

    ``--dtype`` alone keeps the model that the first prompt was made for, and how its weights are held.
    """
    given = {"name": model, "dtype": dtype, "device": device, "quantise": quantise}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return None
    from softprompt.app.config import ModelSettings
    from softprompt.model.prompts.prompt import Prompt

    if model is None:
        identity = Prompt.load(prompts[0]).manifest.model
        given = {"name": identity.id, "revision": identity.revision, "quantise": identity.quantised, **given}
    return ModelSettings.parse(given, where="command line")
