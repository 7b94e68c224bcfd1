"""Columns that only some contenders read: their own templates may name more than the run's template does.

The run's rows stay what they are, and so do the numbers of all others, which are known by the hash of the rows: what is
read besides is kept beside them, by row. Knows settings and rows; no models.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from softprompt.app.config import RunConfig
from softprompt.app.recipes.dividing import Sources, load_task
from softprompt.core.errors import DataError, SoftpromptError
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.sources import Source, load
from softprompt.lab.comparison.settings import EntrantSettings, SoftSettings, TextSettings
from softprompt.model.templates import Template
from softprompt.model.templates.settings import OF_TASK

__all__ = ["Beside", "Further", "named_by", "read_further"]

#: By id (or place) and content of a row: name of a column -> its text.
Beside = Mapping[tuple[str, str], Mapping[str, str]]


def named_by(settings: EntrantSettings) -> tuple[str, ...]:
    """Fields that a contender's own template reads; none for those that have no template of their own.

    Raises:
        TemplateError: A template that cannot be parsed, with the contender's name.

    >>> named_by(TextSettings(template="{title}: {text} {task.labels} is {answer}"))
    ('title', 'text')
    """
    if not isinstance(settings, TextSettings | SoftSettings) or settings.template is None:
        return ()
    try:
        fields = Template.parse(settings.template).fields
    except SoftpromptError as error:
        raise error.at(settings.called) from None
    return tuple(name for name in fields if not name.startswith(OF_TASK))


@dataclass(frozen=True)
class Further:
    """The rows as they were read with the columns that only contenders name.

    Attributes:
        own: Fields of the run.
        names: Columns that are read besides.
        whole: By split, with all of them; empty where nobody names any.
    """

    own: tuple[str, ...]
    names: tuple[str, ...]
    whole: Mapping[str, Dataset]

    def beside(self, splits: Mapping[str, Dataset]) -> Beside:
        """What contenders read besides the run's own fields, for every row of its splits; empty where that is nothing.

        Raises:
            DataError: ``data.bad_rows``: a row that has no text there.
        """
        found: dict[tuple[str, str], Mapping[str, str]] = {}
        texts = {split: _by_place(part, self.own) for split, part in self.whole.items()}
        for split, part in splits.items() if self.names else ():
            for row in part:
                if (fields := texts.get(split, texts["train"]).get((row.source, row.content))) is None:
                    names = ", ".join(map(repr, self.names))
                    message = f"the row has no text for {names}, which a contender's template reads"
                    cure = "correct the row, or take the column out of the template"
                    raise DataError("data.bad_rows", message, cure=cure).at(row.source or row.id)
                found[row.id, row.content] = {name: fields[name] for name in self.names}
        return found


def read_further(
    config: RunConfig, rows: Sources, own: Sequence[str], contenders: Iterable[EntrantSettings]
) -> Further:
    """Read what contenders name besides the run's own fields; done before a model is loaded.

    Args:
        config: The run.
        rows: Where its rows are, by split.
        own: Fields that the run reads.
        contenders: Who takes part.

    Raises:
        DataError: ``data.unknown_field``, ``data.leaked_answer``: a contender names what is no column of the data, or
            the answer.
        TemplateError: A template that cannot be parsed.
    """
    every = {one.called: tuple(name for name in named_by(one) if name not in own) for one in contenders}
    named = {called: more for called, more in every.items() if more}
    if not named:
        return Further(tuple(own), (), {})
    names = tuple(dict.fromkeys(name for more in named.values() for name in more))
    task = load_task(config, rows["train"])
    sources = {split: source for split, source in rows.items() if split in {"train", "validation", "test"}}
    return Further(tuple(own), names, {at: _read(config, task, one, own, named) for at, one in sources.items()})


def _by_place(rows: Dataset, own: Sequence[str]) -> Beside:
    """All fields of a row, by where it stands and what it is in the run."""
    less = rows.reading(own)
    return {(row.source, narrow.content): row.fields for row, narrow in zip(rows, less, strict=True)}


def _read(
    config: RunConfig, task: Task, source: Source, own: Sequence[str], named: Mapping[str, Sequence[str]]
) -> Dataset:
    """The rows with all that anybody names; what is wrong with that is told of the first who names it."""
    data = config.data
    roles = {str(role): column for role, column in data.roles.items()}

    def load_with(more: Iterable[str]) -> Dataset:
        return load(
            source,
            task,
            columns=data.columns,
            roles=roles,
            template_fields=tuple(dict.fromkeys((*own, *more))),
            on_bad_row=data.on_bad_row,
        )

    try:
        return load_with(name for more in named.values() for name in more)
    except DataError:
        for called, more in named.items():
            try:
                load_with(more)
            except DataError as error:
                raise error.at(called) from None
        raise
