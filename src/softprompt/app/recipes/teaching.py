"""A teacher's probabilities of the answers: asked before the run's own model is loaded, kept, and the teacher let go.

There are never two models in memory. What a teacher said is kept in the run folder under the hash of everything it
depends on (teacher, template, labels, texts), so a run that is repeated or resumed asks it only about new rows. The
files hold hashes and probabilities, no texts.

Teacher and model share neither tokenizer nor template: they meet in the names of the answers.
"""

import gc
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from softprompt.app.config import RunConfig
from softprompt.app.recipes.saved import ask_of, backbone_for
from softprompt.app.watch import Watcher
from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import ConfigError
from softprompt.core.files import write_whole
from softprompt.core.records import Example
from softprompt.core.tasks import Task, parse_task
from softprompt.lab.second import TeacherSettings
from softprompt.model.backbones import loading
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.finding.places import model_folder
from softprompt.model.prediction import Ask, Predictor
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import RowBuilder

__all__ = ["Taught", "teach"]

#: By question (see :attr:`Example.question`): a probability of each of the task's candidates, in order.
Taught = Mapping[str, tuple[float, ...]]


def teach(
    config: RunConfig,
    task: Task,
    rows: Sequence[Example],
    watcher: Watcher,
    *,
    alone: bool = True,
    first: Callable[[], None] = lambda: None,
) -> tuple[dict[str, tuple[float, ...]], tuple[str, ...]]:
    """What the teacher says to each row, and what to note.

    Args:
        config: The run.
        task: Whose answers are asked for.
        rows: Labelled and unlabelled; answers are not looked at.
        watcher: Told what happens.
        alone: Whether no other model is in memory.
        first: Called before the teacher is loaded, where it has to be: refuses what would make its answers useless.

    Raises:
        ConfigError: ``config.teacher_labels``: the teacher does not know the labels; ``config.invalid``: another model
            is in memory.
        PromptError, ModelError, TemplateError: what is wrong with the teacher, or its template with the rows.
    """
    settings = config.teacher
    assert settings is not None
    prompt = _saved(settings)
    if prompt is not None:
        _require_labels(prompt, task, settings.name)
    folder = config.folder / "teacher"
    path = folder / f"{_key(config, task, rows, prompt)}.json"
    known = _read(path)
    asked = list({one.question: one for one in rows if one.question not in known}.values())
    notes = _notes(prompt, config)
    if not asked:
        return known, notes
    if not alone:
        message = "the model of this run is in memory already, and a teacher beside it would be the second"
        raise ConfigError(
            "config.invalid", message, cure="give the model by its name, and it is loaded after the teacher"
        )
    first()
    watcher.stage(f"ask the teacher {settings.name}", total=len(asked), unit="rows")
    known |= _answers(config, task, fields_of(rows), prompt, asked, watcher)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({"teacher": settings.name, "rows": known}).encode())
    return known, notes


def fields_of(rows: Sequence[Example]) -> tuple[str, ...]:
    """Names of the rows' fields, in order of first appearance."""
    return tuple(dict.fromkeys(name for row in rows for name in row.fields))


def _answers(
    config: RunConfig,
    task: Task,
    fields: Sequence[str],
    prompt: Prompt | None,
    rows: Sequence[Example],
    watcher: Watcher,
) -> dict[str, tuple[float, ...]]:
    """Ask the teacher, which is in memory only here."""
    backbone, ask = _load(config, task, fields, prompt, watcher)
    found: dict[str, tuple[float, ...]] = {}
    for done, (one, (said,)) in enumerate(zip(rows, Predictor(backbone, [ask]).predict(rows), strict=True), 1):
        p = said.probabilities or {}
        mine = [p[name] for name in task.names] if task.names else list(p.values())
        total = sum(mine)
        found[one.question] = tuple(value / total if total else 1 / len(mine) for value in mine)
        watcher.advance(done)
    del backbone, ask
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return found


def _load(
    config: RunConfig, task: Task, fields: Sequence[str], prompt: Prompt | None, watcher: Watcher
) -> tuple[Backbone, Ask]:
    """A saved prompt with its model; or a model, asked by the run's template in words alone, calibrated."""
    assert config.teacher is not None
    if prompt is not None:
        backbone = backbone_for([prompt], watcher=watcher)
        return backbone, ask_of(prompt, backbone)[0]
    model = config.model
    backbone = loading.load(config.teacher.name, dtype=model.dtype, device=model.device, attention=model.attention)
    template = config.template.build(
        config.task.kind, fields=fields, tokenizer=backbone.tokenizer, model=backbone.spec.kind
    )
    builder = RowBuilder(template.without_slots(), task, backbone.tokenizer, max_tokens=backbone.spec.max_positions)
    return backbone, Ask(builder, answers=AnswerSettings(form="words", calibrate="contextual"))


def _saved(settings: TeacherSettings) -> Prompt | None:
    """The saved prompt at the teacher's name; None where it names a model."""
    path = Path(settings.name).expanduser()
    for folder in (path, path / "prompt"):
        if (folder / "manifest.json").is_file():
            return Prompt.load(folder)
    return Prompt.load(path) if path.suffix.lower() == ".zip" else None


def _require_labels(prompt: Prompt, task: Task, name: str) -> None:
    theirs = parse_task(prompt.manifest.task)
    kind, known = getattr(theirs, "kind", None), theirs.names
    if kind != getattr(task, "kind", None):
        message = f"the teacher {name} is for {kind}, this task is {getattr(task, 'kind', type(task).__name__)}"
        raise ConfigError("config.teacher_labels", message, cure="name a prompt of the same kind, or a model")
    missing = [label for label in task.names if label not in known]
    if missing:
        listed = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        message = f"the teacher {name} does not know {listed}; it knows {', '.join(map(repr, known))}"
        raise ConfigError("config.teacher_labels", message, cure="name a prompt of the same labels, or a model")


def _notes(prompt: Prompt | None, config: RunConfig) -> tuple[str, ...]:
    if prompt is None:
        return ()
    return (
        f"the teacher {prompt.name!r} is a trained prompt: where it learnt from rows that judge here, scores flatter",
    )


def _key(config: RunConfig, task: Task, rows: Sequence[Example], prompt: Prompt | None) -> str:
    """Hash of what the teacher's answers depend on besides the rows (16 hex digits)."""
    assert config.teacher is not None
    teacher: Any = prompt.content_hash if prompt is not None else _files(config.teacher.name)
    template = None if prompt is not None else config.template.model_dump(mode="json")
    asked = [teacher, template, sorted(fields_of(rows)), task.model_dump(mode="json", by_alias=True)]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _files(name: str) -> list[Any]:
    """What a model by this name is now: its name, and where it is a folder its files by size and time."""
    folder = model_folder(name)
    if not folder.is_dir():
        return [name]
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return [name, *([path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files)]


def _read(path: Path) -> dict[str, tuple[float, ...]]:
    """What is kept; nothing where it is damaged."""
    try:
        return {question: tuple(p) for question, p in json.loads(path.read_text("utf-8"))["rows"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
