"""Paths as people give them: a run folder stands for the prompt in it."""

from collections.abc import Sequence
from pathlib import Path

from softprompt.app.recipes.runs import prompt_at

__all__ = ["prompt_paths"]


def prompt_paths(paths: Sequence[Path]) -> list[Path]:
    """The saved prompts at paths; of a run folder its ``prompt``.

    >>> [path.as_posix() for path in prompt_paths([Path("nowhere/topic.zip")])]
    ['nowhere/topic.zip']
    """
    return [prompt_at(path) for path in paths]
