"""The judged rows of earlier runs, read again from the files that their settings name: their texts, and any column.

Runs keep ids and answers of rows and no texts. Whoever wants more has to have the files still; rows are found by their
ids, and their columns by the place in the file that each row remembers. Knows settings and files; no models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from softprompt.app.config import RunConfig
from softprompt.app.recipes.dividing import load_splits, load_task
from softprompt.app.recipes.rows import read_rows
from softprompt.app.report.sources import CONFIG, Entry
from softprompt.app.yaml import read_yaml
from softprompt.core.errors import ConfigError, DataError, nearest
from softprompt.core.records import Example
from softprompt.data.entries import Record
from softprompt.data.nested import NOWHERE, follow
from softprompt.data.reading import Reading
from softprompt.data.values import to_text

__all__ = ["JudgedRows", "read_again", "text_of"]


@dataclass(frozen=True)
class JudgedRows:
    """What was read again.

    Attributes:
        texts: By id of the row.
        columns: Column -> value by id of the row.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_again(entries: Sequence[Entry], *, columns: Sequence[str] = ()) -> JudgedRows:
    """The rows that judged the runs.

    Args:
        entries: The runs; those whose settings name no rows are passed over.
        columns: Of the files, whether a template reads them or not; dots go down into objects.

    Raises:
        ConfigError: ``config.invalid``: settings that name no rows any more, or columns of runs without settings.
        DataError: What is wrong with the rows; ``data.missing_column``.
    """
    texts: dict[str, str] = {}
    found: dict[str, dict[str, str]] = {column: {} for column in columns}
    named = [one for one in entries if one.lines and one.config]
    if columns and not named:
        message = "the settings of these runs are not there, and only they say where the rows lie"
        raise ConfigError("config.invalid", message, cure="name the folder of a run")
    for entry in named:
        config = RunConfig.parse(read_yaml(entry.path / CONFIG), where=str(entry.path / CONFIG))
        if entry.kind == "comparison" and config.data.test is None and not config.data.split.test:
            config = config.with_({"data.split.test": config.compare.test})
        sources = read_rows(config, named=columns)
        splits, _, _ = load_splits(config, load_task(config, sources["train"]), sources)
        wanted = {item.id for line in entry.lines for run in line.runs for item in run.evaluation.items}
        judged = [row for part in splits.values() for row in part.rows if row.id in wanted]
        texts |= {row.id: text_of(row) for row in judged}
        for column in columns:
            found[column] |= _values(judged, sources, column)
    return JudgedRows(texts, found)


def _values(judged: Sequence[Example], sources: Mapping[str, Reading], column: str) -> dict[str, str]:
    """The cells of a column by id of the row; empty where a row has none.

    Raises:
        DataError: ``data.missing_column``: no judged row has it.
    """
    records = {one.source: one for read in sources.values() for one in read.entries if isinstance(one, Record)}
    cells = {row.id: follow(records[row.source].values, column) for row in judged if row.source in records}
    if all(cell is NOWHERE for cell in cells.values()):
        known = list(dict.fromkeys(name for one in records.values() for name in one.values))
        message = f"the column {column!r} to slice by is not in the judged rows; {nearest(column, known)}"
        raise DataError("data.missing_column", message)
    return {id: "" if cell is NOWHERE else to_text(cell) for id, cell in cells.items()}


def text_of(row: Example) -> str:
    """The fields of a row in one text.

    >>> text_of(Example({"text": "hi"})), text_of(Example({"title": "a", "body": "b"}))
    ('hi', 'title: a / body: b')
    """
    if len(row.fields) == 1:
        return str(next(iter(row.fields.values())))
    return " / ".join(f"{name}: {text}" for name, text in row.fields.items())
