"""Checkpoints of a training run: one safetensors file, replaced as a whole, from which the run goes on exactly.

Tensors are named `model.NAME`, `optimiser.I.PARAMETER.KEY` and `rng`; the rest travels as JSON in the header. Reading
one executes nothing.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

FILE = "checkpoint.safetensors"
STABLE_FILE = "stable.safetensors"


@dataclass
class Progress:
    """Where a run stands; everything else about it is in the weights, the optimisers and the settings."""

    step: int = 0
    blocks: int = 0
    tokens: int = 0
    active_seconds: float = 0.0
    decay_start: int | None = None


@dataclass
class Checkpoint:
    """Weights, the state of each optimiser, the random state, progress, settings and the model config."""

    model: dict[str, Tensor]
    optimisers: list[dict[int, dict[str, Tensor]]]
    rng: Tensor
    progress: Progress
    settings: dict[str, Any]
    config: dict[str, Any]

    @classmethod
    def of(
        cls,
        model: torch.nn.Module,
        optimisers: Sequence[Optimizer],
        *,
        progress: Progress,
        settings: dict[str, Any],
        config: dict[str, Any],
    ) -> "Checkpoint":
        """The present state of a run (its tensors are referred to, not copied)."""
        weights = {name: weight.detach() for name, weight in model.named_parameters()}  # tied weights once
        states = [optimiser.state_dict()["state"] for optimiser in optimisers]
        return cls(weights, states, torch.get_rng_state(), progress, settings, config)

    def restore(self, model: torch.nn.Module, optimisers: Sequence[Optimizer]) -> None:
        """Put weights, optimiser states and the random state back."""
        restore_weights(model, self.model)
        for optimiser, state in zip(optimisers, self.optimisers, strict=True):
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        torch.set_rng_state(self.rng)

    def save(self, path: Path) -> None:
        """Write beside, flush to the disk, rename: whatever happens, the old or the new file stands whole."""
        tensors = {f"model.{name}": weight for name, weight in self.model.items()} | {"rng": self.rng}
        for i, states in enumerate(self.optimisers):
            for parameter, values in states.items():
                tensors |= {f"optimiser.{i}.{parameter}.{key}": value for key, value in values.items()}
        header = {"progress": asdict(self.progress), "settings": self.settings, "config": self.config}
        part = path.with_suffix(".part")
        save_file(
            {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
            part,
            metadata={key: json.dumps(value) for key, value in header.items()},
        )
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, onto the CPU."""
    model: dict[str, Tensor] = {}
    optimisers: dict[int, dict[int, dict[str, Tensor]]] = {}
    with safe_open(path, framework="pt") as file:
        header = {key: json.loads(value) for key, value in file.metadata().items()}
        rng = file.get_tensor("rng")
        for name in file.keys():  # noqa: SIM118 (not a mapping)
            kind, _, rest = name.partition(".")
            if kind == "model":
                model[rest] = file.get_tensor(name)
            elif kind == "optimiser":
                i, parameter, key = rest.split(".")
                optimisers.setdefault(int(i), {}).setdefault(int(parameter), {})[key] = file.get_tensor(name)
    states = [optimisers[i] for i in sorted(optimisers)]
    return Checkpoint(model, states, rng, Progress(**header["progress"]), header["settings"], header["config"])


def restore_weights(model: torch.nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy named weights into a model that has exactly these parameters."""
    parameters = dict(model.named_parameters())
    if parameters.keys() != weights.keys():
        raise ValueError(f"the checkpoint is of another model: {sorted(parameters.keys() ^ weights.keys())[:4]} differ")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def refuse_other_settings(saved: dict[str, Any], given: dict[str, Any]) -> None:
    """Exact resume needs the same settings: name every difference.

    >>> refuse_other_settings({"seed": 0, "rows": 8}, {"seed": 1, "rows": 8})
    Traceback (most recent call last):
    ValueError: the checkpoint was made with other settings (seed: 0, now 1); give the same, or a new folder and --init
    """
    keys = sorted(saved | given)
    different = [f"{key}: {saved.get(key)}, now {given.get(key)}" for key in keys if saved.get(key) != given.get(key)]
    if different:
        reason = f"the checkpoint was made with other settings ({'; '.join(different)})"
        raise ValueError(f"{reason}; give the same, or a new folder and --init")
