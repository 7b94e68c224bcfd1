"""Thresholds that saved prompts keep: from which confidence on a precision is reached, and answers need no human."""

from dataclasses import replace
from pathlib import Path

from softprompt.core.errors import ConfigError, PromptError
from softprompt.model.prompts.manifest import Route
from softprompt.model.prompts.prompt import Prompt

__all__ = ["bar_of", "keep_route", "route_of"]


def route_of(prompt: Prompt, precision: float) -> Route:
    """The threshold that a prompt keeps for a precision, or for a higher one.

    Raises:
        PromptError: ``prompt.no_route``.
    """
    if (route := prompt.manifest.route(precision)) is not None:
        return route
    kept = ", ".join(f"{route.precision:g}" for route in prompt.manifest.routes) or "none"
    message = f"{prompt.name!r} keeps no threshold for a precision of {precision:g}; it keeps: {kept}"
    raise PromptError("prompt.no_route", message, cure=f"evaluate it with --precision {precision:g} on labelled rows")


def bar_of(prompt: Prompt, min_confidence: float | None, min_precision: float | None) -> float | None:
    """The confidence below which a prompt's answers are withheld; None for none.

    Raises:
        ConfigError: ``config.invalid`` when both are given.
        PromptError: ``prompt.no_route``.
    """
    if min_confidence is not None and min_precision is not None:
        message = "min_confidence and min_precision both say which answers are given"
        raise ConfigError("config.invalid", message, cure="give one of them")
    return min_confidence if min_precision is None else route_of(prompt, min_precision).min_confidence


def keep_route(path: str | Path, route: Route) -> None:
    """Write a threshold into a saved prompt, in place of an older one for the same precision.

    Raises:
        PromptError: ``prompt.unwritable``, or what is wrong with the prompt.
    """
    prompt = Prompt.load(path)
    replace(prompt, manifest=prompt.manifest.with_route(route)).save(path, overwrite=True)
