"""From a run's settings to everything a run needs: rows first, because they fail fastest, then the model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from softprompt.app.config import ModelSettings, RunConfig, TaskSettings
from softprompt.app.recipes.rows import read_rows
from softprompt.app.watch import Watcher
from softprompt.core.answers import AnswerSettings, prior_offsets
from softprompt.core.errors import ConfigError, DataError, TemplateError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.core.words import percent
from softprompt.data.balance import balanced, imbalance
from softprompt.data.dataset import Dataset
from softprompt.data.duplicates import text_key, without_duplicates
from softprompt.data.inference import infer_label_sets, infer_labels, infer_scale
from softprompt.data.page import DataPage
from softprompt.data.sources import Source, load
from softprompt.data.splits import Fold, folds, k_shot, num_units, split
from softprompt.model.backbones import loading
from softprompt.model.backbones.base import Backbone, Spec
from softprompt.model.backbones.cloze import cannot_write, no_mask_head
from softprompt.model.backbones.copies import module_of
from softprompt.model.backbones.quantised import EXACT, SCHEMES, share_of
from softprompt.model.prediction import Ask
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.rows import Answers

__all__ = ["VALIDATION", "Prepared", "Sources", "fields_read", "load_backbone", "load_task", "prepare"]

#: Folds that few rows without validation rows are divided into, from how many rows on a part is enough, and which part.
AUTO_FOLDS, MANY_ROWS, VALIDATION = 5, 1000, 0.2

#: Rows of the most frequent label for each of the rarest from which labels are uneven, and how far scores are then
#: corrected. Measured on the field urgent of the example messages, see docs/few-labels.md.
UNEVEN, HALF = 2.0, 0.5

#: What the training rows settle where a task leaves it out, by kind.
INFERENCES: Mapping[str, Callable[[Source, str, TaskSettings], Sequence[Any]]] = {
    "classify": lambda source, column, settings: infer_labels(source, column),
    "multilabel": lambda source, column, settings: infer_label_sets(source, column, separator=settings.separator),
    "score": lambda source, column, settings: infer_scale(source, column),
}

#: What is said of a loaded model, by kind; most are causal.
_KINDS = {"causal": "", "seq2seq": "encoder-decoder, ", "masked": "encoder, "}

#: Rows by the name of their split, instead of the files that the settings name.
Sources = Mapping[str, Source]

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
        old = self.builder
        builder = RowBuilder(old.template, task, old.tokenizer, max_tokens=old.max_tokens, answers=old.answers)
        return replace(self, builder=builder)

    @property
    def correction(self) -> tuple[float, ...]:
        """What corrects others that learn from these rows for the labels' shares as this run is; empty for none."""
        rows = self.splits["train"]
        if self.answers.offsets or not rows.classes or self.config.training.class_weights != "balanced":
            return self.answers.offsets
        return prior_offsets(list(rows.labels().values()))

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


def load_task(config: RunConfig, source: Source) -> Task:
    """The task; one without labels, or without a scale, takes those of the training rows.

    Raises:
        DataError: ``data.missing_column``, ``data.one_label``, ``data.too_many_labels``, ``data.bad_value``.
        ConfigError: ``config.invalid``.
    """
    settings = config.task
    if settings.targets is not None:
        names = ", ".join(settings.targets)
        message = (
            f"task.targets names several tasks ({names}); softprompt tune trains them together, the rest takes one"
        )
        cure = f"name one: --target {next(iter(settings.targets))}, and leave task.targets out"
        raise ConfigError("config.invalid", message, cure=cure)
    if settings.open is None:
        return settings.build()
    column = config.data.columns.get(settings.target, settings.target)
    return settings.build(INFERENCES[settings.kind](source, column, settings))


def load_splits(
    config: RunConfig, task: Task, sources: Sources
) -> tuple[dict[str, Dataset], tuple[Fold, ...], list[str]]:
    """Rows by split, and folds, where files are missing; copies of judged rows are dropped from the training side.

    Rows keep what is read: the fields of a written template; for the preset those of ``data.columns``, else ``text``
    where there is one, else all. A ticket's number in another column would make two equal texts look different.

    Raises:
        DataError: whatever is wrong with the rows.
    """
    data = config.data
    notes: list[str] = []
    found: dict[str, Dataset] = {}
    wanted = config.template.fields(config.task.kind)
    for name in ("train", "validation", "test"):
        if (source := sources.get(name)) is not None:
            found[name] = load(
                source,
                task,
                columns=data.columns,
                roles={str(role): column for role, column in data.roles.items()},
                template_fields=wanted,
                on_bad_row=data.on_bad_row,
                skipped_path=config.folder / f"skipped.{name}.jsonl",
            )
            notes.extend(f"{name}: {note}" for note in found[name].notes)
            if found[name].skipped:
                where = config.folder / f"skipped.{name}.jsonl"
                notes.append(f"{len(found[name].skipped)} bad rows of {name} were left out; they are kept in {where}")
    if wanted is None:
        fields = fields_read(config, found["train"].fields())
        found = {name: part.reading(fields) for name, part in found.items()}
    if task.fixed_candidates:
        found["train"].require_two_labels()
    num_folds = _num_folds(config, task, found)
    validation = 0.0 if num_folds else data.split.validation or VALIDATION
    shares = {"validation": validation, "test": data.split.test}
    missing = {name: share for name, share in shares.items() if name not in found and share}
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
        found["train"] = _left(found, kept, task)
    if data.split.k_shot is not None:
        found["train"] = k_shot(found["train"], k=data.split.k_shot, seed=data.split.seed)
    return found, _folds(config, found["train"], num_folds), notes


def fields_read(config: RunConfig, fields: Sequence[str]) -> tuple[str, ...]:
    """What the preset's template reads of the fields that are there."""
    named = tuple(name for name in config.data.columns if name in fields)
    return named or (("text",) if "text" in fields else tuple(fields))


def _left(found: Mapping[str, Dataset], kept: Dataset, task: Task) -> Dataset:
    """The training rows that repeat no judged text, when there is still something to learn from.

    Raises:
        DataError: ``data.no_rows``: there is none; ``data.one_label``.
    """
    judged = " and ".join(name for name in found if name != "train")
    dropped = len(found["train"]) - len(kept)
    cure = (
        "give other rows as train; or leave validation and test out, and parts of the training rows are kept for them"
    )
    if not len(kept):
        message = f"all {dropped:,} training rows repeat a text of {judged}: no row is left to learn from"
        raise DataError("data.no_rows", message, cure=cure).at(found["train"].name)
    if not task.fixed_candidates:
        return kept
    try:
        return kept.require_two_labels()
    except DataError as error:
        message = f"{dropped:,} training rows repeat a text of {judged}; of those that are left {error.message}"
        raise DataError(error.code, message, cure=cure).at(found["train"].name) from None


def load_unlabelled(
    config: RunConfig, task: Task, source: Source | None, labelled: Mapping[str, Dataset]
) -> tuple[Dataset | None, int]:
    """Rows without answers, less those whose text stands in a labelled split (and how many these were), each once.

    Raises:
        DataError: whatever is wrong with the rows; ``data.nothing_unlabelled``.
    """
    if source is None:
        return None, 0
    fields = labelled["train"].fields()
    found = load(source, task, columns=config.data.columns, template_fields=fields, answers=False)
    fresh = without_duplicates(found, against=list(labelled.values()))
    if not len(fresh):
        message = f"all {len(found):,} unlabelled rows repeat a labelled text: there is nothing more to learn from"
        raise DataError("data.nothing_unlabelled", message, cure="give other rows under data.unlabelled").at(found.name)
    first = {text_key(row): i for i, row in reversed(list(enumerate(fresh)))}
    return fresh.select(sorted(first.values())), len(found) - len(fresh)


def drawn(config: RunConfig, labelled: Dataset, unlabelled: Dataset | None) -> list[Example]:
    """The unlabelled rows that a teacher is asked about: as many as are learnt from, by their hash, so any of them."""
    most = round(config.second.most * len(labelled))
    return sorted(unlabelled or (), key=lambda row: row.content)[:most]


def _require_choice(config: RunConfig, task: Task) -> None:
    """Refuse a second round for answers that have no probabilities to be sure by.

    Raises:
        ConfigError: ``config.invalid``.
    """
    if task.objective != "choice":
        message = f"unlabelled rows and teachers are for classify and choose, this task is {config.task.kind}"
        raise ConfigError("config.invalid", message, cure="leave data.unlabelled and teacher out")


def _num_folds(config: RunConfig, task: Task, found: Mapping[str, Dataset]) -> int:
    """Folds that are asked for, or that few labelled rows without validation rows get; 0 for none."""
    asked, rows = config.data.folds, found["train"]
    if asked == "none":
        return 0
    if asked != "auto":
        return asked
    divided = "validation" in found or config.data.split.validation is not None
    if divided or len(rows) >= MANY_ROWS or task.candidates(rows[0]) is None:
        return 0
    second = sorted(rows.labels().values())[-2:-1]  # of a label with a single row there is nothing to leave out
    return AUTO_FOLDS if num_units(rows) > 1 and second != [1] else 0


def _folds(config: RunConfig, rows: Dataset, k: int) -> tuple[Fold, ...]:
    """The folds; none that leaves a prompt with one label."""
    if not k:
        return ()
    parts = folds(rows, k=min(k, num_units(rows)) if config.data.folds == "auto" else k, seed=config.data.split.seed)
    for fold in parts:
        there = {rows[i].target for i in fold.train}
        if rows.classes and len(there) < 2:
            raise DataError(
                "data.class_too_small",
                f"{len(parts)} folds leave one of them with the label {', '.join(map(str, there))!r} alone",
                cure="add rows of the other labels, or set data.folds: none",
            ).at(rows.name)
    return parts


def prepare(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
    teach: Teach | None = None,
) -> Prepared:
    """Read the rows, load the model, build the template.

    Args:
        config: The run.
        watcher: Told what happens.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.
        teach: Asks the teacher about the rows, before the model is loaded; None leaves it out.

    Raises:
        DataError, ModelError, TemplateError, ConfigError: each with its code.
    """
    watcher = watcher or Watcher()
    watcher.stage("read the data")
    rows = read_rows(config, sources)
    task = load_task(config, rows["train"])
    written = config.template.text or config.template.chat
    splits, parts, notes = load_splits(config, task, rows)
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
