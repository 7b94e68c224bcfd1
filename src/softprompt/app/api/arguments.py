"""What callers may give: rows, models and prompts in the forms that one has them in, and what recipes take instead."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from softprompt.app.config import ModelSettings, RunConfig
from softprompt.app.recipes.runs import prompt_at
from softprompt.core.errors import ConfigError, DataError
from softprompt.core.tasks import Task
from softprompt.data.dialect import ReadSettings
from softprompt.data.sources import File, Source
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.prompt import Prompt

__all__ = ["OnBadRow", "Prompts", "file_of", "model_of", "prompts_of", "rows_or_skip", "run_of"]

OnBadRow = Literal["error", "skip"]
Prompts = str | Path | Prompt | Sequence[str | Path | Prompt]


def run_of(
    task: Any,
    parts: Mapping[str, Source | None],
    model: Backbone | str,
    settings: Mapping[str, Any],
) -> tuple[RunConfig, dict[str, Source], Backbone | None]:
    """Settings, rows and model from the arguments of a call; ``task`` is one, its settings, or None.

    Raises:
        ConfigError: ``config.invalid``, ``config.unknown_key``.
    """
    if task is not None and not isinstance(task, Task | Mapping):
        cure = 'e.g. sp.Task.classify(["no", "yes"], target="label")'
        raise ConfigError("config.invalid", f"a task is needed, or its settings, and {_came(task)}", cure=cure)
    sources = {name: source for name, source in parts.items() if source is not None}
    names = {name: str(s) if isinstance(s, str | Path) else f"<{type(s).__name__}>" for name, s in sources.items()}
    given = dict(settings)
    given["data"] = {**dict(given.get("data", {})), **names}
    if task is not None:
        plain = task.model_dump(mode="json", by_alias=True) if isinstance(task, Task) else dict(task)
        given["task"] = plain
    if isinstance(model, Backbone):
        given.setdefault("model", {"name": model.spec.name})
        return RunConfig.parse(given), sources, model
    given["model"] = {**dict(given.get("model", {})), "name": model}
    return RunConfig.parse(given), sources, None


def file_of(source: Any, read: Mapping[str, Any] | None) -> Any:
    """A file with the settings of reading it; other sources as they are.

    Raises:
        DataError: ``data.bad_source``: what came cannot hold rows.
    """
    if not isinstance(source, str | Path | File | Iterable):
        cure = "give a path, a list of dicts or texts, or a data frame"
        raise DataError("data.bad_source", f"rows are needed, and {_came(source)}", cure=cure)
    return File(source, ReadSettings.parse(read)) if read and isinstance(source, str | Path) else source


def prompts_of(prompts: Any) -> list[str | Path | Prompt]:
    """One or several prompts as a list; a run folder stands for the prompt in it.

    Raises:
        ConfigError: ``config.invalid``: there is none, or something else.
    """
    alone = isinstance(prompts, str | Path | Prompt) or not isinstance(prompts, Iterable)
    listed = [prompts] if alone else list(prompts)
    cure = "give a path, what sp.load or a report gave, or a list of these"
    if not listed:
        raise ConfigError("config.invalid", "a saved prompt is needed, and the list is empty", cure=cure)
    if wrong := [one for one in listed if not isinstance(one, str | Path | Prompt)]:
        raise ConfigError("config.invalid", f"a saved prompt is needed, and {_came(wrong[0])}", cure=cure)
    return [one if isinstance(one, Prompt) or (found := prompt_at(Path(one))) == Path(one) else found for one in listed]


def model_of(model: Any) -> dict[str, Any]:
    """A model, or where it is, as the arguments of a recipe; none for the prompts' own.

    Raises:
        ConfigError: ``config.invalid``: it is something else.
    """
    if isinstance(model, Backbone):
        return {"backbone": model}
    if isinstance(model, Path):
        model = str(model)
    return {} if model is None else {"model": ModelSettings.parse({"name": model}, where="model")}


def rows_or_skip(said: Any) -> OnBadRow:
    """What becomes of bad rows.

    Raises:
        ConfigError: ``config.invalid``.
    """
    if said not in ("error", "skip"):
        message = f"on_bad_row is 'error' or 'skip', got {said!r}"
        raise ConfigError("config.invalid", message, cure="leave it out to stop at bad rows")
    return "skip" if said == "skip" else "error"


def _came(thing: Any) -> str:
    return "nothing came" if thing is None else f"what came is of type {type(thing).__name__}"
