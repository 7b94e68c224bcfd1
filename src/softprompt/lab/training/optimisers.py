"""One optimiser and one schedule a prompt, so that K prompts together are K prompts alone (law 6)."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

__all__ = ["PromptOptimiser", "scheduled"]


def scheduled(step: int, steps: int, *, warmup: float, shape: Literal["cosine", "linear", "constant"]) -> float:
    """Factor of the rate at a step: linear from near 0 during the warm-up, then down to 0 (or level).

    >>> [round(scheduled(s, 100, warmup=0.1, shape="cosine"), 2) for s in (0, 9, 55, 99)]
    [0.1, 1.0, 0.5, 0.0]
    """
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    if shape == "constant":
        return 1.0
    done = (step - rising) / max(1, steps - rising)
    return 1 - done if shape == "linear" else 0.5 * (1 + math.cos(math.pi * done))


class PromptOptimiser:
    """The optimiser of one prompt: clipping, schedule and state of its own.

    Args:
        parameters: Of this prompt only.
        rate: Peak rate.
        kind: ``adamw`` (Loshchilov & Hutter 2019; betas 0.9, 0.98) or ``adafactor`` (Shazeer & Stern 2018).
        weight_decay: Decoupled.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, rate: float, kind: str = "adamw", weight_decay: float = 0.0
    ) -> None:
        self.parameters = list(parameters)
        self.rate = rate
        self._optimiser: torch.optim.Optimizer
        if kind == "adamw":
            self._optimiser = torch.optim.AdamW(
                self.parameters, lr=rate, betas=(0.9, 0.98), eps=1e-8, weight_decay=weight_decay
            )
        else:
            self._optimiser = torch.optim.Adafactor(self.parameters, lr=rate, weight_decay=weight_decay)

    def step(self, *, factor: float, divide: float, clip: float | None) -> float:
        """One update from the gradients that lie in the parameters.

        Args:
            factor: Of the rate, from the schedule.
            divide: The gradients are those of a sum; this makes them those of a mean.
            clip: Largest norm.

        Returns:
            Norm of the gradient before clipping; not finite means that nothing was changed.
        """
        grads = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if not grads:
            return 0.0
        for grad in grads:
            grad.div_(divide)
        norm = float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in grads])))
        if math.isfinite(norm):
            if clip is not None and norm > clip:
                for grad in grads:
                    grad.mul_(clip / norm)
            for group in self._optimiser.param_groups:
                group["lr"] = self.rate * factor
            self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return norm

    def zero(self) -> None:
        """Forget the gradients."""
        self._optimiser.zero_grad(set_to_none=True)

    def free(self) -> None:
        """Give the memory of gradients and state back; the prompt learns no more."""
        self._optimiser.zero_grad(set_to_none=True)
        self._optimiser.state.clear()

    def tensors(self) -> dict[str, Tensor]:
        """State as named tensors, for a checkpoint."""
        state = self._optimiser.state_dict()["state"]
        return {
            f"{index}.{name}": torch.as_tensor(value)
            for index, entries in state.items()
            for name, value in entries.items()
            if value is not None
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Inverse of :meth:`tensors`."""
        state: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value.clone()
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": state, "param_groups": groups})
