"""Judge saved prompts on labelled rows, several over one reading."""

from collections.abc import Sequence
from pathlib import Path

from softprompt.app.config import ModelSettings
from softprompt.app.recipes.runs import is_run
from softprompt.app.recipes.saved import ask_of, backbone_for
from softprompt.app.recipes.sealed import looks_at, note_look, sealed_hash, warning
from softprompt.app.watch import Watcher
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.sources import Reading, Source, load, named_columns, read_source
from softprompt.lab.evaluation import Evaluation, evaluate_asks
from softprompt.lab.prediction import Ask, Predictor
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.prompt import Prompt

__all__ = ["evaluate", "open_prompts"]


def open_prompts(
    prompts: Sequence[str | Path | Prompt],
    *,
    model: ModelSettings | None = None,
    backbone: Backbone | None = None,
    watcher: Watcher | None = None,
) -> tuple[Backbone, list[Ask]]:
    """Saved prompts and their model, ready to be asked.

    Raises:
        PromptError, ModelError: What is wrong with them.
    """
    watcher = watcher or Watcher()
    loaded = [one if isinstance(one, Prompt) else Prompt.load(one) for one in prompts]
    backbone = backbone or backbone_for(loaded, model, watcher)
    asks = []
    for prompt in loaded:
        ask, notes = ask_of(prompt, backbone)
        asks.append(ask)
        for note in notes:
            watcher.note(f"{prompt.name}: {note}")
    return backbone, asks


def evaluate(
    prompts: Sequence[str | Path | Prompt],
    data: Source,
    *,
    columns: dict[str, str] | None = None,
    targets: Sequence[str] | None = None,
    model: ModelSettings | None = None,
    backbone: Backbone | None = None,
    min_confidence: float | None = None,
    watcher: Watcher | None = None,
) -> list[Evaluation]:
    """Judge prompts on labelled rows.

    Args:
        prompts: Paths or prompts, of one model.
        data: Labelled rows; each prompt's task names the column of its answers.
        columns: Template field -> column, where the names differ.
        targets: Column of the answers by prompt, where the names differ.
        model: Where the model is, when not where it was.
        backbone: A model that is loaded already.
        min_confidence: Below it an answer is withheld, and counts as wrong.
        watcher: Told what happens.

    Raises:
        PromptError, ModelError, DataError: each with its code.
    """
    watcher = watcher or Watcher()
    backbone, asks = open_prompts(prompts, model=model, backbone=backbone, watcher=watcher)
    watcher.stage("judge")
    found: list[Evaluation] = []
    tasks = [
        ask.task if targets is None else ask.task.model_copy(update={"target": targets[k]})
        for k, ask in enumerate(asks)
    ]
    reading = _read(data, tasks, asks, columns)
    for note in reading.notes:
        watcher.note(note)
    for prompt, task, ask in zip(prompts, tasks, asks, strict=True):
        rows = _rows(reading, task, ask, columns)
        predictor = Predictor(backbone, [ask], min_confidence=min_confidence)
        found.extend(evaluate_asks(predictor, rows))
        if isinstance(prompt, str | Path) and (said := _looked(Path(prompt), rows, ask)):
            watcher.note(f"{ask.name}: {said}")
    watcher.done()
    return found


def _looked(prompt: Path, rows: Dataset, ask: Ask) -> str:
    """Count a look where these are the test rows of the prompt's run, or of one beside it; the warning, if any."""
    folder = prompt if is_run(prompt) else prompt.parent
    content = sealed_hash(rows, fields=ask.builder.template.fields)
    if not is_run(folder) or not looks_at(folder, content):
        return ""
    return warning(note_look(folder, content, by="evaluate"))


def _read(data: Source, tasks: Sequence[Task], asks: Sequence[Ask], columns: dict[str, str] | None) -> Reading:
    """The rows, read once for all prompts."""
    named: set[str] = set()
    for task, ask in zip(tasks, asks, strict=True):
        named |= named_columns(task, columns=columns or {}, template_fields=ask.builder.template.fields)
    return read_source(data, named=named)


def _rows(data: Source, task: Task, ask: Ask, columns: dict[str, str] | None) -> Dataset:
    fields = ask.builder.template.fields
    return load(data, task, columns=columns, template_fields=fields)
