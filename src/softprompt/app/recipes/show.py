"""What stands at a path, in full: a saved prompt, or a run folder with its report and its prompt."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.app.recipes.runs import REPORT, TABLE, RunSummary, is_run, summary
from softprompt.core.errors import PromptError
from softprompt.model.prompts.prompt import Prompt

__all__ = ["ComparisonCard", "PromptCard", "RunCard", "show"]


@dataclass(frozen=True)
class PromptCard:
    """A saved prompt and where it lies."""

    path: Path
    prompt: Prompt

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"kind": "prompt", "path": str(self.path), **self.prompt.to_dict()}


@dataclass(frozen=True)
class RunCard:
    """A run.

    Attributes:
        summary: In a line.
        report: The content of report.json, without single items; empty while unfinished.
        prompt: Its prompt, where one is saved.
    """

    summary: RunSummary
    report: dict[str, Any]
    prompt: PromptCard | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        prompt = None if self.prompt is None else self.prompt.to_dict()
        return {"kind": "run", **self.summary.to_dict(), "report": self.report, "prompt": prompt}


@dataclass(frozen=True)
class ComparisonCard:
    """A comparison to look at.

    Attributes:
        folder: Of the comparison.
        table: Its ``table.json`` without the outcome of every row.
    """

    folder: Path
    table: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"kind": "comparison", "folder": str(self.folder), "table": self.table}


def show(path: str | Path) -> PromptCard | RunCard | ComparisonCard:
    """Look at a path.

    Raises:
        PromptError: ``prompt.not_found`` when nothing of the kind is there; any ``prompt.*`` for a broken prompt.
    """
    path = Path(path)
    if path.is_dir() and is_run(path):
        found = summary(path)
        prompt = None if found.prompt is None else PromptCard(found.prompt, Prompt.load(found.prompt))
        readable = found.state in ("finished", "stopped")
        if readable and (path / TABLE).is_file():
            return ComparisonCard(path, _without_items(json.loads((path / TABLE).read_text("utf-8"))))
        report = json.loads((path / REPORT).read_text("utf-8")) if readable else {}
        return RunCard(found, _without_items(report), prompt)
    if not path.exists():
        message, cure = "there is no saved prompt and no run", "softprompt runs lists the runs"
        raise PromptError("prompt.not_found", message, cure=cure).at(str(path))
    return PromptCard(path, Prompt.load(path))


def _without_items(value: Any) -> Any:
    """A report without the outcome of every row: hundreds of lines that report.json keeps."""
    if isinstance(value, dict):
        return {key: _without_items(inner) for key, inner in value.items() if key != "items"}
    return [_without_items(inner) for inner in value] if isinstance(value, list) else value
