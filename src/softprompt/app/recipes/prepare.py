"""From a run's settings to everything a run needs: rows first, because they fail fastest, then the model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from softprompt.app.config import ModelSettings, RunConfig
from softprompt.app.recipes.rows import read_rows
from softprompt.app.watch import Watcher
from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import TemplateError
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.duplicates import without_duplicates
from softprompt.data.page import DataPage
from softprompt.data.sources import Source, infer_labels, load
from softprompt.data.splits import k_shot, split
from softprompt.model.backbones import loading
from softprompt.model.backbones.base import Backbone
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.rows import Answers

__all__ = ["Prepared", "Sources", "load_backbone", "load_task", "prepare"]

#: Rows by the name of their split, instead of the files that the settings name.
Sources = Mapping[str, Source]


@dataclass(frozen=True)
class Prepared:
    """A run, ready to go.

    Attributes:
        config: As given.
        backbone: The frozen model.
        builder: Template, task and answers.
        answers: With ``auto`` decided.
        splits: ``train``, ``validation`` and, where there is one, ``test``.
        notes: What a user should know about the rows.
    """

    config: RunConfig
    backbone: Backbone
    builder: RowBuilder
    answers: AnswerSettings
    splits: Mapping[str, Dataset]
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """What is asked."""
        return self.builder.task

    @property
    def template(self) -> Template:
        """What stands where."""
        return self.builder.template

    @cached_property
    def page(self) -> DataPage:
        """The page before training; room for the fields is what the first row's other parts leave."""
        first = replace(self.splits["train"][0], fields=dict.fromkeys(self.template.fields, ""))
        lengths = self.builder.lengths(first)
        room = self.builder.max_tokens - lengths.words - lengths.slots - lengths.answer
        count = self.backbone.tokenizer.encode
        return DataPage.of(
            self.splits,
            self.task,
            count_tokens=lambda text: len(count(text)),
            max_tokens=room,
            fields=self.template.fields,
        )


def load_backbone(settings: ModelSettings, watcher: Watcher) -> Backbone:
    """The frozen model.

    Raises:
        ModelError: as :func:`softprompt.model.backbones.loading.load`.
    """
    watcher.stage(f"load {settings.name}")
    backbone = loading.load(
        settings.name,
        dtype=settings.dtype,
        device=settings.device,
        revision=settings.revision,
        attention=settings.attention,
    )
    spec = backbone.spec
    dtype = str(spec.dtype).removeprefix("torch.")
    watcher.note(f"model {spec.name}: {spec.num_parameters / 1e6:.1f} M parameters, {dtype} on {spec.device}")
    return backbone


def load_task(config: RunConfig, source: Source) -> Task:
    """The task; a classify task without labels takes those of the training rows.

    Raises:
        DataError: ``data.missing_column``, ``data.one_label``, ``data.too_many_labels``.
        ConfigError: ``config.invalid``.
    """
    settings = config.task
    if settings.kind == "classify" and settings.labels is None:
        column = config.data.columns.get(settings.target, settings.target)
        return settings.build(infer_labels(source, column))
    return settings.build()


def load_splits(
    config: RunConfig, task: Task, sources: Sources, template_fields: tuple[str, ...] | None
) -> tuple[dict[str, Dataset], list[str]]:
    """Rows by split, divided where files are missing; copies of judged rows are dropped from the training side.

    Raises:
        DataError: whatever is wrong with the rows.
    """
    data = config.data
    notes: list[str] = []
    found: dict[str, Dataset] = {}
    for name in ("train", "validation", "test"):
        if (source := sources.get(name)) is not None:
            found[name] = load(
                source,
                task,
                columns=data.columns,
                roles={str(role): column for role, column in data.roles.items()},
                template_fields=template_fields,
                on_bad_row=data.on_bad_row,
                skipped_path=config.folder / f"skipped.{name}.jsonl",
            )
            notes.extend(f"{name}: {note}" for note in found[name].notes)
            if found[name].skipped:
                where = config.folder / f"skipped.{name}.jsonl"
                notes.append(f"{len(found[name].skipped)} bad rows of {name} were left out; they are kept in {where}")
    if task.fixed_candidates:
        found["train"].require_two_labels()
    missing = {
        name: share
        for name, share in (("validation", data.split.validation), ("test", data.split.test))
        if name not in found and share
    }
    if missing:
        parts = split(
            found["train"],
            validation=missing.get("validation", 0.0),
            test=missing.get("test", 0.0),
            seed=data.split.seed,
        )
        found |= {name: part for name, part in parts.items() if name == "train" or name in missing}
    judged = [part for name, part in found.items() if name != "train"]
    kept = without_duplicates(found["train"], against=judged)
    if dropped := len(found["train"]) - len(kept):
        notes.append(f"{dropped} training rows repeat a judged text and were left out")
        found["train"] = kept
    if data.split.k_shot is not None:
        found["train"] = k_shot(found["train"], k=data.split.k_shot, seed=data.split.seed)
    return found, notes


def prepare(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
) -> Prepared:
    """Read the rows, load the model, build the template.

    Args:
        config: The run.
        watcher: Told what happens.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.

    Raises:
        DataError, ModelError, TemplateError, ConfigError: each with its code.
    """
    watcher = watcher or Watcher()
    watcher.stage("read the data")
    rows = read_rows(config, sources)
    task = load_task(config, rows["train"])
    written = config.template.text or config.template.chat
    wanted = None
    if config.template.text is not None:
        wanted = config.template.build(config.task.kind).fields
    splits, notes = load_splits(config, task, rows, wanted)
    backbone = backbone or load_backbone(config.model, watcher)
    fields = splits["train"].fields()
    named = tuple(name for name in config.data.columns if name in fields)
    chosen = named or (("text",) if "text" in fields else tuple(fields))
    template = config.template.build(config.task.kind, fields=chosen, tokenizer=backbone.tokenizer)
    for name in template.required_fields:
        if name not in fields:
            raise TemplateError(
                "template.missing_field",
                f"the template's field {name!r} is no column of the data; columns: {', '.join(sorted(fields))}",
                cure="map it under data.columns, or write another template",
            )
    if not written and len(chosen) > 1:
        notes.append(f"template over the columns {', '.join(chosen)}: {template}")
    answers = config.answers.resolved(task, num_parameters=backbone.spec.num_parameters)
    limit = min(config.max_tokens or backbone.spec.max_positions, backbone.spec.max_positions)
    form: Answers = "vectors" if answers.form == "vectors" else "words"
    builder = RowBuilder(template, task, backbone.tokenizer, max_tokens=limit, answers=form)
    return Prepared(config, backbone, builder, answers, splits, tuple(notes))
