"""Paths as people give them: a run folder stands for the prompt in it."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["prompt_paths"]


def prompt_paths(paths: Sequence[Path]) -> list[Path]:
    """The saved prompts at paths; of a run folder its ``prompt``.

    >>> [path.as_posix() for path in prompt_paths([Path("nowhere/topic.zip")])]
    ['nowhere/topic.zip']
    """
    return [path / "prompt" if _is_run_with_prompt(path) else path for path in paths]


def _is_run_with_prompt(path: Path) -> bool:
    return not (path / "manifest.json").exists() and (path / "prompt" / "manifest.json").is_file()
