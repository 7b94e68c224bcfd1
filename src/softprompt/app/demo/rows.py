"""Which rows a demonstration is about: the example messages, or the user's own table, with several answers a row.

All questions are about the same rows in the same places, so that one reading serves them all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from softprompt.app.demo.settings import DemoSettings
from softprompt.app.recipes.dividing import Sources
from softprompt.core.errors import DataError, nearest
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.formats import Record, read
from softprompt.data.inference import infer_labels
from softprompt.data.sources import load
from softprompt.data.splits import split
from softprompt.data.values import Unreadable, to_text

__all__ = ["EXAMPLE_TARGETS", "FIELD", "Table", "read_table"]

#: The field of the template, whatever the column is called.
FIELD = "text"

EXAMPLE_TARGETS = ("topic", "sentiment", "urgent")

MOST_ROWS = 600  #: more rows would not fit into the time; a stratified part is taken
MOST_TARGETS = 3  #: taken unasked
MOST_LABELS = 20  #: a column with more different texts does not look like labels
LEAST_ROWS_A_LABEL = 5  #: on average, likewise
VALIDATION, TEST = 1 / 6, 1 / 3  #: shares of the rows, as in the example messages


@dataclass(frozen=True)
class Table:
    """Rows by question and split.

    Attributes:
        name: For people.
        example: Whether these are the example messages.
        text_column: Where the text stands.
        sources: By target, each with train, validation and test.
        notes: What a user should know.
    """

    name: str
    example: bool
    text_column: str
    sources: Mapping[str, Sources]
    notes: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """What is asked, in order."""
        return tuple(self.sources)


def read_table(settings: DemoSettings) -> Table:
    """The rows of a demonstration, divided.

    Raises:
        DataError: whatever reading, checking and dividing the table raises; ``data.missing_column`` when no column
            looks like labels.
    """
    return _example(settings) if settings.data is None else _own(settings, settings.data)


def _example(settings: DemoSettings) -> Table:
    folder = Path(str(resources.files("softprompt") / "assets" / "example"))
    files = {part: str(folder / f"messages.{part}.jsonl") for part in ("train", "validation", "test")}
    targets = settings.targets or EXAMPLE_TARGETS
    sources = {
        target: {
            part: load(path, _task(files["train"], target), template_fields={FIELD}) for part, path in files.items()
        }
        for target in targets
    }
    return Table("the example messages", True, FIELD, sources)


def _own(settings: DemoSettings, path: Path) -> Table:
    records = [entry for entry in read(path) if isinstance(entry, Record)]
    columns = list(dict.fromkeys(name for record in records for name in record.values))
    text = settings.text_column or _text_column(records, columns)
    if text not in columns:
        message = f"the column {text!r} for the text is not in the data; {nearest(text, columns)}"
        raise DataError("data.missing_column", message).at(str(path))
    targets = tuple(dict.fromkeys(settings.targets)) or _label_columns(records, columns, text, str(path))
    sets = {target: _load(path, target, text, settings) for target in targets}
    usable = set.intersection(*({row.source for row in one} for one in sets.values()))
    skipped = max(len(one) + len(one.skipped) for one in sets.values()) - len(usable)
    notes = [f"{skipped} rows without a usable text or answer left out"] if skipped else []
    aligned = {
        target: one.select(i for i, row in enumerate(one) if row.source in usable) for target, one in sets.items()
    }
    first = aligned[targets[0]]
    if len(first) > MOST_ROWS:
        notes.append(f"{MOST_ROWS} of {len(first):,} rows taken, to keep to the time")
        share = MOST_ROWS / len(first)
        first = split(first, validation=0.0, test=share, seed=settings.seed)["test"]
    parts = split(first, validation=VALIDATION, test=TEST, seed=settings.seed)
    places = {name: {row.source for row in part} for name, part in parts.items()}
    sources = {
        target: {
            name: one.select((i for i, row in enumerate(one) if row.source in places[name]), name=part.name)
            for name, part in parts.items()
        }
        for target, one in aligned.items()
    }
    return Table(path.name, False, text, sources, tuple(notes))


def _load(path: Path, target: str, text: str, settings: DemoSettings) -> Dataset:
    columns = {} if text == FIELD else {FIELD: text}
    task = _task(str(path), target)
    return load(path, task, columns=columns, template_fields={FIELD}, on_bad_row=settings.on_bad_row)


def _task(path: str, target: str) -> Task:
    return Task.classify(infer_labels(path, target), target=target)


def _text_column(records: Sequence[Record], columns: Sequence[str]) -> str:
    """``text`` where there is one, else the column with the longest texts."""
    if FIELD in columns or not columns:
        return FIELD
    return max(columns, key=lambda name: sum(len(_cell(record, name)) for record in records))


def _label_columns(records: Sequence[Record], columns: Sequence[str], text: str, where: str) -> tuple[str, ...]:
    """Columns with few different texts, each several times; ``label`` alone where there is one.

    Raises:
        DataError: ``data.missing_column``.
    """
    if "label" in columns:
        return ("label",)
    found = []
    for name in columns:
        cells = [cell for record in records if (cell := _cell(record, name))]
        labels = len(set(cells))
        if name != text and 2 <= labels <= MOST_LABELS and len(cells) >= LEAST_ROWS_A_LABEL * labels:
            found.append(name)
    if not found:
        raise DataError(
            "data.missing_column",
            f"no column looks like labels (2 to {MOST_LABELS} different texts, {LEAST_ROWS_A_LABEL} rows each); "
            f"columns: {', '.join(columns)}",
            cure="name the columns of the answers: --target topic --target urgent",
        ).at(where)
    return tuple(found[:MOST_TARGETS])


def _cell(record: Record, name: str) -> str:
    try:
        return to_text(record.values.get(name)).strip()
    except Unreadable:
        return ""
