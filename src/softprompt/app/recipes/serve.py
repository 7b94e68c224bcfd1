"""From saved prompts to an engine: loaded, checked against one model, and named."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.app.config import ModelSettings
from softprompt.app.recipes.evaluate import open_prompts
from softprompt.app.recipes.routes import bar_of
from softprompt.app.watch import Watcher
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.prompt import Prompt
from softprompt.ops.serving import Engine, Limits, Served

__all__ = ["ServePlan", "open_engine"]


@dataclass(frozen=True)
class ServePlan:
    """An engine that is ready to start, and what it will serve."""

    engine: Engine

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        spec = self.engine.spec
        return {
            "model": {
                "id": spec.name,
                "fingerprint": spec.fingerprint,
                "dtype": str(spec.dtype).removeprefix("torch."),
                "device": str(spec.device),
            },
            "prompts": [
                {
                    "name": prompt.name,
                    "task": prompt.kind,
                    "labels": list(prompt.ask.task.names),
                    "fields": list(prompt.fields),
                    "candidate_fields": list(prompt.candidate_fields),
                    "place": prompt.ask.builder.template.placement,
                    "writes": prompt.writes,
                    "min_confidence": prompt.min_confidence,
                }
                for prompt in self.engine.prompts
            ],
            "max_batch": self.engine.limits.max_batch,
        }


def open_engine(
    prompts: Sequence[tuple[str, str | Path | Prompt]],
    *,
    model: ModelSettings | None = None,
    backbone: Backbone | None = None,
    min_confidence: float | None = None,
    min_precision: float | None = None,
    limits: Limits | None = None,
    watcher: Watcher | None = None,
) -> ServePlan:
    """Load prompts and their model.

    Args:
        prompts: Names, and paths or prompts of one model; where the name is empty the prompt's own.
        model: Where the model is, when not where it was.
        backbone: A model that is loaded already.
        min_confidence: Below it an answer is withheld.
        min_precision: The same by the threshold that each prompt keeps for this precision.
        limits: How much the engine takes.
        watcher: Told what happens.

    Raises:
        PromptError, ModelError, ConfigError: What is wrong with them.
        ServingError: ``serving.same_name``.
    """
    watcher = watcher or Watcher()
    loaded = [one if isinstance(one, Prompt) else Prompt.load(one) for _, one in prompts]
    bars = [bar_of(one, min_confidence, min_precision) for one in loaded]
    backbone, asks = open_prompts(loaded, model=model, backbone=backbone, watcher=watcher)
    served = []
    for n, (prompt, ask, bar) in enumerate(zip(loaded, asks, bars, strict=True)):
        name = prompts[n][0] or prompt.name or f"prompt-{n}"
        served.append(Served(name, ask, bar, prompt.manifest.created))
    return ServePlan(Engine(backbone, served, limits=limits))
