"""Interleaved timing: every repeat runs all contenders once, so that a disturbance hits all of them alike."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from .contenders import Contender, Step

__all__ = ["agree", "interleaved", "summary"]


def interleaved(
    contenders: Sequence[Contender], *, repeats: int, on_repeat: Callable[[int], None] = lambda repeat: None
) -> dict[str, list[Step]]:
    """Steps by contender; one warm-up round is thrown away, and the order rotates from repeat to repeat."""
    found: dict[str, list[Step]] = {one.name: [] for one in contenders}
    for repeat in range(-1, repeats):
        shift = max(repeat, 0) % len(contenders)
        for one in (*contenders[shift:], *contenders[:shift]):
            step = one.step()
            if repeat >= 0:
                found[one.name].append(step)
        on_repeat(repeat + 1)
    return found


def summary(steps: Mapping[str, Sequence[Step]], *, reference: str = "peft") -> dict[str, dict[str, Any]]:
    """Median, spread and ratio to the reference by contender, in seconds.

    >>> steps = {"peft": [Step(4.0, 8.0, 1.0)], "after": [Step(0.5, 1.0, 1.0)]}
    >>> summary(steps)["after"]["times_faster"]
    8.0
    """
    middle = {name: median(step.seconds for step in found) for name, found in steps.items()}
    return {
        name: {
            "median": round(middle[name], 4),
            "low": round(min(step.seconds for step in found), 4),
            "high": round(max(step.seconds for step in found), 4),
            "cpu_median": round(median(step.cpu_seconds for step in found), 4),
            "repeats": len(found),
            "times_faster": round(middle[reference] / middle[name], 2) if reference in middle else None,
        }
        for name, found in steps.items()
    }


def agree(contenders: Mapping[str, Contender]) -> dict[str, dict[str, float]]:
    """Loss and gradient of contenders that must compute the same from the same vectors.

    Returns:
        By pair: ``loss`` of each, ``difference`` of the losses, and ``gradient``: |a - b| / |b| of the gradients.
    """
    pairs = [("before", "peft"), ("peft_best", "peft"), ("after_no_cache", "after")]
    found: dict[str, dict[str, float]] = {}
    for one, other in pairs:
        if one in contenders and other in contenders:
            loss, gradient = contenders[one].gradient()
            expected, wanted = contenders[other].gradient()
            found[f"{one} = {other}"] = {
                "loss": round(loss, 5),
                "expected": round(expected, 5),
                "difference": round(abs(loss - expected), 5),
                "gradient": round(float((gradient - wanted).norm() / wanted.norm()), 5),
            }
    return found
