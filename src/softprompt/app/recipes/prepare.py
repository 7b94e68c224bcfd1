"""From a run's settings to everything a run needs: rows first, because they fail fastest, then the model."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

from softprompt.app.config import ModelSettings, RunConfig
from softprompt.app.recipes.dividing import OnRead, Sources, drawn, load_splits, load_task, load_unlabelled
from softprompt.app.recipes.rows import read_rows
from softprompt.app.watch import Watcher
from softprompt.core.answers import AnswerSettings, prior_offsets
from softprompt.core.errors import ConfigError, TemplateError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.core.words import percent
from softprompt.data.balance import balanced, imbalance
from softprompt.data.dataset import Dataset
from softprompt.data.page import DataPage
from softprompt.data.splits import Fold
from softprompt.lab.training.settings import PASSES, TrainingSettings
from softprompt.model.backbones import loading
from softprompt.model.backbones.base import Backbone, Spec
from softprompt.model.backbones.splicing.cloze import cannot_write, no_mask_head
from softprompt.model.backbones.weights.copies import module_of
from softprompt.model.backbones.weights.quantised import EXACT, SCHEMES, share_of
from softprompt.model.prediction import Ask
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.rows import Answers

__all__ = ["Prepared", "load_backbone", "prepare"]

#: Rows of the most frequent label for each of the rarest from which labels are uneven, and how far scores are then
#: corrected. Measured on the field urgent of the example messages, see docs/few-labels.md.
UNEVEN, HALF = 2.0, 0.5

#: Passes over the rows below which more steps were better: see docs/training.md.
SELDOM = 3

#: What is said of a loaded model, by kind; most are causal.
_KINDS = {"causal": "", "seq2seq": "encoder-decoder, ", "masked": "encoder, "}

#: Task and rows -> a teacher's probabilities by question, and what to note.
Teach = Callable[[Task, Sequence[Example]], tuple[Mapping[str, tuple[float, ...]], tuple[str, ...]]]


@dataclass(frozen=True)
class Prepared:
    """A run, ready to go.

    Attributes:
        config: As given.
        backbone: The frozen model.
        builder: Template, task and answers.
        answers: With ``auto`` decided.
        splits: ``train``, ``validation`` where there are no folds, and, where there is one, ``test``.
        notes: What a user should know about the rows.
        folds: Of the training rows; none without a cross-validation.
        unlabelled: Rows without answers, none of which repeats a labelled text; None: there are none.
        num_repeated: Unlabelled rows that did, and were dropped.
        taught: What a teacher says to labelled and unlabelled rows, by :attr:`Example.question`.
        strip_html: Whether HTML in the training rows became plain text.
    """

    config: RunConfig
    backbone: Backbone
    builder: RowBuilder
    answers: AnswerSettings
    splits: Mapping[str, Dataset]
    notes: tuple[str, ...] = ()
    folds: tuple[Fold, ...] = ()
    strip_html: bool = False
    unlabelled: Dataset | None = None
    num_repeated: int = 0
    taught: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def second(self) -> bool:
        """Whether a second round of training was asked for."""
        return self.unlabelled is not None or bool(self.taught)

    @property
    def crossed(self) -> bool:
        """Whether the folds take the place of validation rows."""
        return bool(self.folds) and "validation" not in self.splits

    def weighted(self, split: str) -> tuple[Example, ...]:
        """Rows to learn from, with the weights of their labels where these are balanced."""
        if self.config.training.class_weights == "balanced":
            return balanced(self.splits[split]).rows
        return self.splits[split].rows

    def asking(self, task: Task) -> Self:
        """The same with another task of the same candidates: one in which what was open is settled."""
        return replace(self, builder=self.builder.of(task=task))

    @property
    def correction(self) -> tuple[float, ...]:
        """What corrects others that learn from these rows for the labels' shares as this run is; empty for none."""
        rows = self.splits["train"]
        if self.answers.offsets or not rows.classes or self.config.training.class_weights != "balanced":
            return self.answers.offsets
        return prior_offsets(list(rows.labels().values()))

    @property
    def training(self) -> TrainingSettings:
        """With what the effort decides for so many rows."""
        return self.config.training.resolved(len(self.splits["train"]))

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
            notes=self.notes,
            fit=lambda example: self.builder.split(example).fit,
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
        quantise=settings.quantise,
        device_map=settings.device_map,
        compile=settings.compile,
    )
    spec = backbone.spec
    dtype = str(spec.dtype).removeprefix("torch.")
    size = f"{spec.num_parameters / 1e6:.1f} M parameters"
    few = "" if spec.quantised is None else f", {percent(share_of(module_of(backbone)))} of them {spec.quantised}"
    watcher.note(f"model {spec.name}: {_KINDS[spec.kind]}{size}{few}, {dtype} on {spec.device}")
    if spec.quantised is not None and (tolerance := SCHEMES[spec.quantised].tolerance) > EXACT:
        watcher.note(
            f"{spec.quantised} rounds activations: scores of a text can change by up to {tolerance:g} with its company"
        )
    return backbone


def _require_choice(config: RunConfig, task: Task) -> None:
    """Refuse a second round for answers that have no probabilities to be sure by.

    Raises:
        ConfigError: ``config.invalid``.
    """
    if task.objective != "choice":
        message = f"unlabelled rows and teachers are for classify and choose, this task is {config.task.kind}"
        raise ConfigError("config.invalid", message, cure="leave data.unlabelled and teacher out")


def prepare(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
    teach: Teach | None = None,
    on_read: OnRead = lambda found: None,
) -> Prepared:
    """Read the rows, load the model, build the template.

    Args:
        config: The run.
        watcher: Told what happens.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.
        teach: Asks the teacher about the rows, before the model is loaded; None leaves it out.
        on_read: Told the rows as they were read, before the model is loaded; may refuse them.

    Raises:
        DataError, ModelError, TemplateError, ConfigError: each with its code.
    """
    watcher = watcher or Watcher()
    watcher.stage("read the data")
    rows = read_rows(config, sources)
    task = load_task(config, rows["train"])
    written = config.template.text or config.template.chat
    splits, parts, notes = load_splits(config, task, rows, on_read=on_read)
    if "unlabelled" in rows or config.teacher is not None:
        _require_choice(config, task)
    unlabelled, repeated = load_unlabelled(config, task, rows.get("unlabelled"), splits)
    taught: Mapping[str, tuple[float, ...]] = {}
    if config.teacher is not None and teach is not None:
        taught, said = teach(task, [*splits["train"], *drawn(config, splits["train"], unlabelled)])
        notes.extend(said)
    backbone = backbone or load_backbone(config.model, watcher)
    fields = splits["train"].fields()
    template = config.template.build(
        config.task.kind,
        fields=fields,
        tokenizer=backbone.tokenizer,
        words=task.words,
        model=backbone.spec.kind,
    )
    for name in template.required_fields:
        if name not in fields:
            raise TemplateError(
                "template.missing_field",
                f"the template's field {name!r} is no column of the data; columns: {', '.join(sorted(fields))}",
                cure="map it under data.columns, or write another template",
            )
    notes.extend(_say_turns(config, template, splits))
    if not written and len(fields) > 1:
        notes.append(f"template over the columns {', '.join(fields)}: {template}")
    spec = backbone.spec
    answers = config.answers.resolved(task, num_parameters=spec.num_parameters, words=spec.words)
    notes.extend(_say_masks(task, answers, spec))
    if answers.form == "vectors" and not template.slots:
        notes.append("the template has no soft slot, as in <soft 20>: only label vectors are learnt")
    answers = _with_prior(config, answers, task, splits["train"])
    if answers.offsets and config.answers.prior == "auto" and not config.answers.offsets:
        notes.append(f"uneven labels: their scores are corrected for their shares by half (answers.prior: {HALF:g})")
    notes.extend(_say_visits(config.training, len(splits["train"])))
    limit = min(config.max_tokens or backbone.spec.max_positions, backbone.spec.max_positions)
    form: Answers = "vectors" if answers.form == "vectors" else "words"
    builder = RowBuilder(template, task, backbone.tokenizer, max_tokens=limit, answers=form)
    Ask(builder).constraint(splits["train"][0])  # answers too short for any object are refused here
    stripped = rows["train"].strip_html
    return Prepared(
        config,
        backbone,
        builder,
        answers,
        splits,
        tuple(notes),
        parts,
        stripped,
        unlabelled,
        repeated,
        taught,
    )


def _say_masks(task: Task, answers: AnswerSettings, spec: Spec) -> list[str]:
    """What a masked model scores, in a note; none for models that write.

    Raises:
        ModelError: ``model.cannot_write``, ``model.no_mask_head``.
    """
    if spec.kind == "masked" and task.objective == "likelihood":
        raise cannot_write(spec.name)
    if answers.form == "words" and not spec.words:
        raise no_mask_head(spec.name)
    if spec.kind != "masked" or answers.form == "vectors":
        return []
    return ["answers are scored by their pseudo-log-likelihood, at masks and from left to right (a masked model)"]


def _say_visits(training: TrainingSettings, num_rows: int) -> list[str]:
    """That an effort's most steps see so many rows too seldom, in a note; none where they see each often enough.

    >>> _say_visits(TrainingSettings(effort="quick"), 4000)[0]
    '500 steps of 16 rows see each of the 4,000 rows 2 times; 1,250 may score more: training.steps, or more effort'
    >>> _say_visits(TrainingSettings(effort="quick"), 1600)
    []
    """
    steps, size = training.resolved(num_rows).steps, training.batch_size
    if training.steps is not None or not steps or steps * size >= SELDOM * num_rows:
        return []
    seen = f"{steps} steps of {size} rows see each of the {num_rows:,} rows {steps * size / num_rows:.2g} times"
    return [f"{seen}; {math.ceil(PASSES * num_rows / size):,} may score more: training.steps, or more effort"]


def _say_turns(config: RunConfig, template: Template, splits: Mapping[str, Dataset]) -> list[str]:
    """How the turns of conversations are written, in a note; none for other kinds of task.

    Raises:
        TemplateError: ``template.chat``: a conversation that the model's chat format has no place for.
    """
    if template.turns is None:
        lines = set(template.keep.values()) == {"turns"}
        settings = config.template
        told = settings.turns == "lines" or settings.text or settings.chat
        why = "as the template says" if told else "the model has no chat format"
        return [f"turns are lines that begin with User: or Assistant: ({why})"] if lines else []
    for row in (row for part in splits.values() for row in part):
        try:
            template.turns.write(row.fields[template.fields[0]])
        except TemplateError as error:
            raise error.at(row.source or row.id) from None
    return ["turns are in the model's own chat format (template.turns: lines would write User: and Assistant:)"]


def _with_prior(config: RunConfig, answers: AnswerSettings, task: Task, rows: Dataset) -> AnswerSettings:
    """The same with the offsets of a prior filled in, from the labels' shares of the training rows.

    Not on its own beside balanced weights, which do the same, and not where the user gave offsets.
    """
    strength = answers.prior
    if strength == "auto":
        weighted = config.training.class_weights == "balanced" or bool(answers.offsets)
        counted = task.one_right and bool(rows.classes) and task.metrics[:1] == ("macro_f1",)
        counted = counted and imbalance(rows) >= UNEVEN
        strength = HALF if counted and not weighted else 0.0
    if not strength:
        return answers
    if not rows.classes or not task.one_right:
        message = "answers.prior is for tasks with one of fixed labels a row"
        raise ConfigError("config.invalid", message, cure="leave answers.prior out")
    offsets = prior_offsets(list(rows.labels().values()), strength=strength)
    return answers.model_copy(update={"prior": strength, "offsets": offsets})
