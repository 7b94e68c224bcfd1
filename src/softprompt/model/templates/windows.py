"""A long text as overlapping windows: how many, how far apart, and how their scores become one.

A window is cut as text, between words, like any shortened field; so the row of a window is the row of the shorter text.

Knows texts and counts of tokens; no templates, no models.
"""

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from softprompt.core.config import Settings
from softprompt.model.templates.truncation import shorten

__all__ = ["WindowSettings", "cut_windows"]


class WindowSettings(Settings):
    """How a text that is longer than its room is divided, for ``keep: windows``."""

    most: int = Field(8, ge=2, le=256, description="windows of a text at most; what stands behind the last is lost")
    overlap: float = Field(0.25, ge=0, le=0.9, description="share of a window that the next one reads again")
    pool: Literal["mean", "max"] = Field(
        "mean", description="score of an answer: its mean log-probability over the windows, or its highest probability"
    )


def cut_windows(
    text: str, *, budget: int, settings: WindowSettings, count: Callable[[str], int]
) -> tuple[tuple[str, ...], int]:
    """The windows of a text, from its beginning, and the tokens behind the last one.

    The window at the end of the text is as long as the others: it begins earlier rather than being short.

    Args:
        text: Of more than ``budget`` tokens.
        budget: Tokens of a window at most.
        settings: How many, and how far apart.
        count: Tokens of a text.

    >>> words = lambda text: len(text.split())
    >>> cut_windows("a b c d e f g", budget=4, settings=WindowSettings(overlap=0.5), count=words)
    (('a b c d', 'c d e f', 'd e f g'), 0)
    >>> cut_windows("a b c d e f g", budget=2, settings=WindowSettings(most=2, overlap=0), count=words)
    (('a b', 'c d'), 3)
    """
    windows: list[str] = []
    start = end = 0
    while len(windows) < settings.most:
        rest = text[start:].lstrip()
        if count(rest) <= budget:
            whole = shorten(text, budget=budget, keep="tail", count=count)
            windows.append(max(whole, rest, key=len))
            return tuple(windows), 0
        start = len(text) - len(rest)
        window = shorten(rest, budget=budget, keep="head", count=count)
        if not window:
            break
        windows.append(window)
        end = start + len(window)
        again = shorten(window, budget=int(settings.overlap * budget), keep="tail", count=count)
        start = end - (len(again) if len(again) < len(window) else 0)
    return tuple(windows), count(text[end:].lstrip())
