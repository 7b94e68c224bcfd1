"""From a file to settings that run, with the reason for everything in them.

    file → rows → what its columns are → what is asked and read (deciding.py) → YAML (draft.py)

Before the settings are handed back, rows are loaded by them as a run would, so what comes back runs; what a run could
not use is left out in the settings, and said.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.deciding import Ask, Deciding, Decision, Question, Wishes, fields_of
from softprompt.app.recipes.dividing import load_task
from softprompt.app.recipes.draft import write_settings
from softprompt.app.recipes.findings import Findings, look_at_rows
from softprompt.app.recipes.rows import read_rows
from softprompt.app.recipes.scales import label_sets, scale
from softprompt.app.watch import Watcher
from softprompt.app.yaml import parse_yaml
from softprompt.core.errors import ConfigError, DataError
from softprompt.core.files import write_whole
from softprompt.core.tasks import Task
from softprompt.data.content import STDIN
from softprompt.data.dataset import BadRow, Dataset
from softprompt.data.dialect import ReadSettings
from softprompt.data.entries import Record
from softprompt.data.formats import Table, open_table
from softprompt.data.hub import PREFIX
from softprompt.data.profile.columns import Column, look_at_columns, texts_of
from softprompt.data.profile.header import header_is_row
from softprompt.data.profile.labels import Labels, look_at_labels
from softprompt.data.profile.objects import objects_in
from softprompt.data.reading import read_source
from softprompt.data.sources import load
from softprompt.model.backbones.finding.peek import peek_kind, require_there
from softprompt.model.backbones.splicing.cloze import cannot_write
from softprompt.model.templates.presets import KEPT, preset_text

__all__ = ["Ask", "Decision", "Draft", "Question", "Wishes", "check_free", "init", "save", "settings_name"]

CHATS = ("openai", "sharegpt")  #: shapes of conversations
MANY_ROWS = 1000  #: from here on a fifth is kept for the score


@dataclass(frozen=True)
class Draft:
    """Settings, ready to be written.

    Attributes:
        source: The file of rows.
        text: YAML with comments.
        config: What it says.
        columns: Of the file.
        decisions: What was found out.
        findings: What the rows are like, and what to look at.
    """

    source: str
    text: str
    config: RunConfig
    columns: tuple[Column, ...]
    decisions: tuple[Decision, ...]
    findings: Findings

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "source": self.source,
            "columns": [column.to_dict() for column in self.columns],
            "decisions": [decision.to_dict() for decision in self.decisions],
            **self.findings.to_dict(),
            "yaml": self.text,
            "settings": self.config.model_dump(mode="json", exclude_unset=True),
        }


def init(
    source: str | Path, wishes: Wishes | None = None, *, ask: Ask | None = None, watcher: Watcher | None = None
) -> Draft:
    """Settings for the rows of a file.

    Args:
        source: A file, or the id of a data set; it is written as it is given, so a path counts from where the run is
            started.
        wishes: What is known already.
        ask: Answers questions; None: what cannot be told apart is an error.
        watcher: Told what happens.

    Raises:
        DataError: What reading raises; ``data.unclear_column``, ``data.no_answers``, ``data.unsupported_task``,
            ``data.missing_column``, ``data.one_label``, ``data.too_many_labels``, ``data.no_rows``.
        ConfigError: ``config.invalid``: wishes that contradict each other.
        ModelError: ``model.cannot_write``: answers are written, and the model fills in masks; ``model.not_found``,
            ``model.unreadable``: a path without a model.
    """
    wishes, watcher = wishes or Wishes(), watcher or Watcher()
    if str(source) == STDIN:
        cure = "save the rows to a file first: a run has to find them again"
        raise DataError("data.not_a_file", "settings cannot name rows that were piped in", cure=cure).at("stdin")
    watcher.stage(f"read {source}")
    require_there(wishes.model)
    deciding = Deciding(wishes, ask)
    try:
        draft = _draft(str(source), deciding)
    except DataError as error:
        raise error if error.context else error.at(str(source)) from None
    watcher.done()
    return draft


def settings_name(file: str) -> str:
    """What the settings of a file of rows are called, where nobody says.

    >>> settings_name("mails/tickets.2024.csv")
    'tickets.yaml'
    """
    return Path(file).name.split(".")[0] + ".yaml"


def check_free(path: Path, *, force: bool = False) -> None:
    """Whether settings may be written there.

    Raises:
        ConfigError: ``config.file_exists``: there is a file, and ``force`` is not set.
    """
    if path.exists() and not force:
        cure = "--force writes over it, --output writes elsewhere"
        raise ConfigError("config.file_exists", "there is such a file already", cure=cure).at(str(path))


def save(draft: Draft, path: Path, *, force: bool = False) -> None:
    """Write the settings.

    Raises:
        ConfigError: ``config.file_exists``, as :func:`check_free`.
        ResourceError: The file cannot be written.
    """
    check_free(path, force=force)
    write_whole(path, draft.text.encode("utf-8"))


def _draft(source: str, deciding: Deciding) -> Draft:
    read, rows = _read(source, deciding)
    columns = look_at_columns(rows)
    kind, target, candidates = deciding.asked(columns, rows)
    texts: tuple[str, ...] = ("text",)  # a dialogue makes it itself, from turns as they stand
    if kind == "dialogue":
        read = {**read, "format": "plain"}
    else:
        texts = deciding.texts(columns, apart=(target, *candidates))
    task: dict[str, Any] = {"kind": kind, "target": target}
    if candidates:
        task["candidates"] = candidates[0] if len(candidates) == 1 else list(candidates)
    answers, labels = texts_of(rows, target), None
    if kind == "classify":
        labels = look_at_labels(answers, fold=deciding.wishes.fold)
        task["labels"] = deciding.labels(labels)
    elif kind == "multilabel":
        found, labels = label_sets(deciding, answers)
        task |= found
    elif kind == "score":
        task |= scale(deciding, answers)
    elif kind == "extract":
        task["schema"] = deciding.fields(objects_in(rows, target))
    data: dict[str, Any] = {"train": source, "read": read, "columns": fields_of(texts)}
    if len(rows) >= MANY_ROWS:
        data["split"] = {"test": 0.2}
        why = f"{len(rows):,} rows are enough to keep some for the score"
        deciding.decide("test rows", "a fifth", why, "--set data.split.test=0 of softprompt tune")
        deciding.reasons["data.split"] = "kept for the score; data.test names a file instead"
    settings = {"data": {key: value for key, value in data.items() if value}, "task": task}
    _leave_out_bad(settings, deciding)
    return _written(settings, columns, labels, deciding)


# ---------------------------------------------------------------- the file


def _read(source: str, deciding: Deciding) -> tuple[dict[str, Any], list[Record]]:
    """Settings of reading, where they are not the plain case, and the rows."""
    wanted, wishes = deciding.wishes.read, deciding.wishes
    named = {name for name in (wishes.target, *wishes.text_columns) if name}
    if source.startswith(PREFIX):
        found = read_source(source, wanted, named=named)
        deciding.decide("file", "a data set of the hub", "; ".join(found.notes) or "its id", "--read KEY=VALUE")
        return {}, _usable(found.entries)
    table = open_table(source, wanted, named=named)
    rows = _usable(list(table.rows()))
    if table.dialect.format in {"csv", "tsv"} and "header" not in wanted.model_fields_set:
        table, rows = _with_first_line(table, rows, deciding, named)
    deciding.chats = table.dialect.shape in CHATS
    why = "; ".join(table.notes()) or "nothing speaks against it"
    deciding.decide("file", table.dialect.describe(), why, "--read KEY=VALUE")
    deciding.reasons.setdefault("data.read", "how the file is written")
    asked = {"strip_html": wanted.strip_html, "format": "plain" if wanted.format == "plain" else None}
    return {**table.dialect.settings(), **{key: value for key, value in asked.items() if value}}, rows


def _with_first_line(
    table: Table, rows: list[Record], deciding: Deciding, named: set[str]
) -> tuple[Table, list[Record]]:
    """The same, or the table with its first line as a row, where it is one."""
    why = header_is_row(list(rows[0].values), rows)
    if not why:
        return table, rows
    wanted = ReadSettings.parse({**deciding.wishes.read.model_dump(exclude_unset=True), "header": False})
    table = open_table(table.content.path, wanted, named=named)
    rows = _usable(list(table.rows()))
    deciding.decide("header", f"none: columns are {', '.join(rows[0].values)}", why, "--read header=true")
    deciding.reasons["data.read"] = "how the file is written: its first line is a row"
    return table, rows


def _usable(entries: Sequence[Any]) -> list[Record]:
    rows = [entry for entry in entries if isinstance(entry, Record)]
    if not rows:
        bad = next((entry for entry in entries if isinstance(entry, BadRow)), None)
        reason = "the file has no rows" if bad is None else f"no row can be used, the first: {bad.reason}"
        raise DataError("data.no_rows", reason, cure="check the file, or say how it is written with --read")
    return rows


# ---------------------------------------------------------------- proof and settings

_REASONS = {
    "data.no_target": "no answer",
    "data.unknown_label": "a text that stands for no label",
    "data.ragged_row": "too many or too few cells",
    "data.bad_json": "no valid JSON",
    "data.bad_csv": "no valid CSV",
}


def _loaded(config: RunConfig) -> tuple[Dataset, Task]:
    """Rows and task of settings, bad rows left out."""
    source = read_rows(config)["train"]
    task = load_task(config, source)
    fields = set(config.data.columns)
    return load(source, task, columns=config.data.columns, template_fields=fields, on_bad_row="skip"), task


def _leave_out_bad(settings: dict[str, Any], deciding: Deciding) -> None:
    """Load the rows as a run would; what it cannot use is left out in the settings, and said."""
    rows, _ = _loaded(RunConfig.parse(settings))
    if len(rows.skipped) > len(rows):
        first = rows.skipped[0]
        raise DataError(first.code, f"most rows cannot be used, the first: {first.reason}").at(first.source)
    if rows.skipped:
        settings["data"]["on_bad_row"] = "skip"
        counts = Counter(_REASONS.get(row.code, row.code) for row in rows.skipped)
        why = "; ".join(f"{count} with {reason}" for reason, count in counts.items())
        left_out = f"{len(rows.skipped)} left out"
        deciding.decide("bad rows", left_out, why, "--set data.on_bad_row=error of softprompt tune")
        deciding.reasons["data.on_bad_row"] = f"{left_out} and kept in a file: {why}"


def _written(
    settings: Mapping[str, Any], columns: tuple[Column, ...], labels: Labels | None, deciding: Deciding
) -> Draft:
    """The settings as a file, and read again from it: what comes back is what a run will read."""
    source, model = settings["data"]["train"], deciding.wishes.model
    config = RunConfig.parse({**settings, "model": model})
    rows, task = _loaded(config)
    findings = look_at_rows(rows, task, columns, labels, config=config)
    reasons = {
        **deciding.reasons,
        "template": "soft tokens behind the text are fast, before it they change how it is read",
        "model": findings.model_hint,
        "training": "quick, normal, thorough",
    }
    head = [
        f"Written by softprompt init from {Path(source).name}: {len(rows):,} rows that can be used.",
        "Look first: softprompt check FILE. Learn: softprompt tune FILE. All keys: docs/reference/config.md",
    ]
    known = peek_kind(model)
    if known == "masked" and task.objective == "likelihood":
        raise cannot_write(model)
    template: Any = {"place": "after"}  # the model decides what is written: its kind is not known, or its chat format
    if known is not None and KEPT.get(config.task.kind) != "turns":
        template = preset_text(config.task.kind, fields=tuple(config.data.columns), model=known)
    whole = {**settings, "template": template, "model": model, "training": {"effort": "normal"}}
    text = write_settings(head, whole, reasons)
    config = RunConfig.parse(parse_yaml(text), where=source)
    return Draft(source, text, config, columns, tuple(deciding.decisions), findings)
