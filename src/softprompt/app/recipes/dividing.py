"""The labelled rows of a run as splits and folds, the task that they settle, and rows without answers beside them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from softprompt.app.config import RunConfig, TaskSettings
from softprompt.core.errors import ConfigError, DataError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.duplicates import text_key, without_duplicates
from softprompt.data.inference import infer_label_sets, infer_labels, infer_scale
from softprompt.data.sources import Source, load
from softprompt.data.splits import Fold, folds, k_shot, num_units, split

__all__ = [
    "MANY_ROWS",
    "VALIDATION",
    "OnRead",
    "Sources",
    "drawn",
    "fields_read",
    "load_splits",
    "load_task",
    "load_unlabelled",
]

#: Folds that few rows without validation rows are divided into, from how many rows on a part is enough, and which part.
AUTO_FOLDS, MANY_ROWS, VALIDATION = 5, 1000, 0.2

#: What the training rows settle where a task leaves it out, by kind.
INFERENCES: Mapping[str, Callable[[Source, str, TaskSettings], Sequence[Any]]] = {
    "classify": lambda source, column, settings: infer_labels(source, column),
    "multilabel": lambda source, column, settings: infer_label_sets(source, column, separator=settings.separator),
    "score": lambda source, column, settings: infer_scale(source, column),
}

#: Rows by the name of their split, instead of the files that the settings name.
Sources = Mapping[str, Source]

#: Told rows by split as they were read.
OnRead = Callable[[Mapping[str, Dataset]], None]


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
    config: RunConfig, task: Task, sources: Sources, *, on_read: OnRead = lambda found: None
) -> tuple[dict[str, Dataset], tuple[Fold, ...], list[str]]:
    """Rows by split, and folds, where files are missing; copies of judged rows are dropped from the training side.

    Rows keep what is read: the fields of a written template; for the preset those of ``data.columns``, else ``text``
    where there is one, else all. A ticket's number in another column would make two equal texts look different.

    Args:
        config: The run.
        task: What is asked.
        sources: Rows by split.
        on_read: Told the rows as they were read, before any is left out; may refuse them.

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
    on_read(found)
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
