"""Looks before a run: the rows as they are, the page before training, and what a template makes of a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.app.config import ModelSettings, RunConfig, TaskSettings
from softprompt.app.recipes.dividing import load_task
from softprompt.app.recipes.prepare import Prepared, load_backbone, prepare
from softprompt.app.recipes.rows import read_rows
from softprompt.app.watch import Watcher
from softprompt.core.errors import DataError
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.page import DataPage
from softprompt.data.sources import load
from softprompt.model.templates import RowBuilder, TemplateSettings, TemplateView
from softprompt.model.templates import show as show_template

__all__ = ["DataCheck", "data_check", "data_page", "template_check", "template_view"]

#: Labels that stand in where a template is looked at without data.
STAND_IN_LABELS = ("one label", "another label")


@dataclass(frozen=True)
class DataCheck:
    """Every row of every file, read and checked.

    Attributes:
        task: With labels of the training rows where the settings list none.
        files: What could be read, with the rows that cannot be used, by split.
        page: Balance, copies across files and the like; lengths are counted in words, no model is asked.
    """

    task: Task
    files: Mapping[str, Dataset]
    page: DataPage

    @property
    def num_bad(self) -> int:
        """Rows that cannot be used."""
        return sum(len(data.skipped) for data in self.files.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "bad_rows": self.num_bad,
            "warnings": list(self.page.warnings),
            "files": {
                name: {
                    "path": data.name,
                    "rows": len(data),
                    "notes": list(data.notes),
                    "fields": list(data.fields()),
                    "labels": data.labels(),
                    "bad": [{"source": row.source, "code": row.code, "reason": row.reason} for row in data.skipped],
                }
                for name, data in self.files.items()
            },
        }


def data_check(config: RunConfig, watcher: Watcher | None = None) -> DataCheck:
    """Read every file of a run and find every row that cannot be used; loads no model, writes nothing.

    Raises:
        DataError: A file of which nothing can be read, or a column that is not there.
        TemplateError: A template that cannot be parsed.
    """
    watcher = watcher or Watcher()
    watcher.stage("read the data")
    settings = config.data
    rows = read_rows(config)
    task = load_task(config, rows["train"])
    wanted = config.template.fields(config.task.kind)
    files = {
        name: load(
            source,
            task,
            columns=settings.columns,
            roles={str(role): column for role, column in settings.roles.items()},
            template_fields=wanted,
            on_bad_row="skip",
        )
        for name, source in rows.items()
    }
    page = DataPage.of(files, task, count_tokens=lambda text: len(text.split()))
    watcher.done()
    return DataCheck(task, files, page)


def data_page(config: RunConfig, watcher: Watcher | None = None) -> tuple[Prepared, DataPage]:
    """The page before training: rows, balance, lengths in tokens, what is cut.

    Raises:
        SoftpromptError: Whatever would stop the run before its first step.
    """
    ready = prepare(config, watcher)
    if watcher is not None:
        watcher.done()
    return ready, ready.page


def template_check(config: RunConfig, watcher: Watcher | None = None, *, row: int = 1) -> TemplateView:
    """What the template of a run makes of one of its training rows.

    Args:
        config: The run.
        watcher: Told what happens.
        row: Which, counted from 1.

    Raises:
        DataError: ``data.too_few_rows`` for a row that is not there; and whatever would stop the run.
    """
    ready = prepare(config, watcher)
    rows = ready.splits["train"]
    if not 1 <= row <= len(rows):
        raise DataError("data.too_few_rows", f"there is no row {row} to show; rows: 1 to {len(rows)}").at(rows.name)
    if watcher is not None:
        watcher.done()
    return show_template(ready.builder, rows[row - 1])


def template_view(
    template: TemplateSettings,
    *,
    task: TaskSettings,
    model: ModelSettings,
    fields: Sequence[str] = ("text",),
    watcher: Watcher | None = None,
) -> TemplateView:
    """What a template makes of a stand-in, without data.

    Args:
        template: Text, chat or preset.
        task: Its kind, and the labels that answer; two stand in where a classify task lists none.
        model: Whose tokens are counted.
        fields: Of the preset.
        watcher: Told what happens.

    Raises:
        TemplateError: Any fault of the template, before the model is loaded.
        ModelError: The model cannot be loaded.
    """
    if template.chat is None and template.turns != "chat":
        template.build(task.kind, fields=fields)
    watcher = watcher or Watcher()
    backbone = load_backbone(model, watcher)
    watcher.done()
    asked = task.build(STAND_IN_LABELS)
    built = template.build(
        task.kind, fields=fields, tokenizer=backbone.tokenizer, words=asked.words, model=backbone.spec.kind
    )
    builder = RowBuilder(built, asked, backbone.tokenizer, max_tokens=backbone.spec.max_positions, answers="words")
    return show_template(builder)
