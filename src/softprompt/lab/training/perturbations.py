"""What is done to vectors while they are learnt, so that a prompt does not depend on their last digit.

* **noise**: normal numbers are added in every step.
* **dropout**: a share of the numbers is 0 in a step, the rest grows in proportion (Srivastava et al. 2014).
* **adversary**: the step is learnt twice, the second time where a step of a given size hurts most:

      delta = size * g / RMS(g)      g: gradient of the step's loss by each vector

  One step up the gradient, each vector by itself, as in Miyato et al. 2017 (https://arxiv.org/abs/1605.07725).

Noise and adversary smooth a loss that is steep in the vectors: PTP (Chen et al. 2023,
https://arxiv.org/abs/2305.02423) reports higher scores and less spread over seeds. PTP also perturbs the text; here
only what is learnt is perturbed, because the text may be frozen.

All sizes are in units of the model's own table, and of tensors that enter the layers in units of what stands in that
layer. Of keys and values every head's part of a token is a vector. What is drawn is a function of the prompt's seed,
slot and step.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from softprompt.core.errors import ConfigError
from softprompt.core.tensors import PromptTensors
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.methods.base import Perturbation
from softprompt.model.methods.starts import generator

__all__ = ["Adversary", "drawn", "require_vectors"]


def drawn(settings: TrainingSettings, *, seeds: Sequence[int], step: int) -> Perturbation | None:
    """Noise and dropout of one step, the same in every piece of it and in a resumed run; None without either.

    >>> change = drawn(TrainingSettings(dropout=0.5), seeds=[7], step=3)
    >>> sorted(set((torch.ones(4, 4) + change(0, "soft", torch.ones(4, 4))).flatten().tolist()))
    [0.0, 2.0]
    """
    if not settings.noise and not settings.dropout:
        return None

    def draw(prompt: int, slot: str, vectors: Tensor) -> Tensor:
        change = torch.zeros_like(vectors)
        if settings.dropout:
            rng = generator(seeds[prompt], f"dropout {slot} {step}")
            kept = (torch.rand(vectors.shape, generator=rng) >= settings.dropout).to(vectors)
            change = vectors * (kept / (1 - settings.dropout) - 1)
        if settings.noise:
            rng = generator(seeds[prompt], f"noise {slot} {step}")
            change = change + torch.randn(vectors.shape, generator=rng).to(vectors) * settings.noise
        return change

    return draw


class Adversary:
    """Finds and makes the step that hurts most, of every vector of one training step.

    Args:
        size: Root mean square of the step, in units of the scale.
        under: What else is done to the vectors in this step.

    >>> adversary = Adversary(0.5)
    >>> vectors = torch.tensor([[3.0, 0.0]])
    >>> (vectors + adversary.watch(0, "soft", vectors)).square().sum().backward()
    >>> adversary.attack(0, "soft", vectors)
    tensor([[0.7071, 0.0000]])
    """

    def __init__(self, size: float, under: Perturbation | None = None) -> None:
        self.size, self.under = size, under
        self._zeros: dict[tuple[int, str], Tensor] = {}

    def watch(self, prompt: int, slot: str, vectors: Tensor) -> Tensor:
        """Changes nothing, and notes the gradient of the losses that come of it, summed over the pieces of a step."""
        key = (prompt, slot)
        if key not in self._zeros:
            self._zeros[key] = torch.zeros_like(vectors, requires_grad=True)
        return self._zeros[key] + self._below(prompt, slot, vectors)

    def attack(self, prompt: int, slot: str, vectors: Tensor) -> Tensor:
        """The step; nothing for vectors whose gradient is zero."""
        noted = self._zeros[prompt, slot].grad
        if noted is None:
            return torch.zeros_like(vectors) + self._below(prompt, slot, vectors)
        norm = torch.linalg.vector_norm(noted, dim=-1, keepdim=True)
        away = torch.where(norm > 0, noted / norm, noted)
        return self.size * math.sqrt(noted.shape[-1]) * away + self._below(prompt, slot, vectors)

    def _below(self, prompt: int, slot: str, vectors: Tensor) -> Tensor | float:
        return 0.0 if self.under is None else self.under(prompt, slot, vectors)


def require_vectors(settings: TrainingSettings, prompts: Sequence[PromptTensors], *, method: str) -> None:
    """Refuse settings that would silently do nothing: they act on soft tokens, and label vectors are none.

    Raises:
        ConfigError: ``config.invalid``.
    """
    names = [name for name in ("noise", "dropout", "adversarial", "max_rms") if getattr(settings, name)]
    if names and not any(prompt.slots for prompt in prompts):
        said = ", ".join(f"training.{name}" for name in names)
        message = f"{said}: acts on soft tokens, and method {method!r} has none here"
        raise ConfigError("config.invalid", message, cure="leave it out, or give the template a soft slot")
