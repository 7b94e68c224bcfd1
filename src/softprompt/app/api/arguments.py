"""What callers may give: rows, models and prompts in the forms that one has them in, and what recipes take instead."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from softprompt.app.config import ModelSettings, RunConfig
from softprompt.core.tasks import Task
from softprompt.data.dialect import ReadSettings
from softprompt.data.sources import File, Source
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.prompt import Prompt

__all__ = ["OnBadRow", "Prompts", "file_of", "model_of", "prompts_of", "run_of"]

OnBadRow = Literal["error", "skip"]
Prompts = str | Path | Prompt | Sequence[str | Path | Prompt]


def run_of(
    task: Task | Mapping[str, Any] | None,
    parts: Mapping[str, Source | None],
    model: Backbone | str,
    settings: Mapping[str, Any],
) -> tuple[RunConfig, dict[str, Source], Backbone | None]:
    """Settings, rows and model from the arguments of a call."""
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
    """A file with the settings of reading it; other sources as they are."""
    return File(source, ReadSettings.parse(read)) if read and isinstance(source, str | Path) else source


def prompts_of(prompts: Prompts) -> list[str | Path | Prompt]:
    """One or several prompts as a list."""
    return [prompts] if isinstance(prompts, str | Path | Prompt) else list(prompts)


def model_of(model: Backbone | str | None) -> dict[str, Any]:
    """A model, or where it is, as the arguments of a recipe; none for the prompts' own."""
    if isinstance(model, Backbone):
        return {"backbone": model}
    return {} if model is None else {"model": ModelSettings(name=model)}
