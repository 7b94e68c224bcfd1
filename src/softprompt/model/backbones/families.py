"""What has to be known of an architecture beyond what its config says; one row a family.

Most causal models of transformers behave alike, so the table holds only the exceptions, each learnt from a wrong result. A
family that is not named gets the default row; linear-attention hybrids are refused, because their state is no sequence of
keys and values and cannot be cropped or re-batched.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from softprompt.core.errors import ModelError

__all__ = ["FAMILIES", "Family", "family_of"]

#: Kinds of layers whose state is no sequence of keys and values.
RECURRENT = {"linear_attention", "mamba", "mamba2", "recurrent", "conv", "rwkv"}


@dataclass(frozen=True)
class Family:
    """How one architecture is driven.

    Attributes:
        tree: A 4D mask is taken as it is. (Bloom refuses one, and ALiBi's bias is by key column, not by logical position.)
        takes_positions: The forward has ``position_ids``.
    """

    tree: bool = True
    takes_positions: bool = True

    @staticmethod
    def windows(config: Any) -> int | None | Mapping[str, int | None]:
        """Sliding window of a tree mask: one for all layers, or by kind of layer where the model takes a mask each."""
        window = getattr(config, "sliding_window", None)
        kinds = set(getattr(config, "layer_types", None) or ())
        if kinds & {"sliding_attention", "full_attention"}:
            return {kind: window if kind == "sliding_attention" else None for kind in sorted(kinds)}
        return window

    @staticmethod
    def layers(model: nn.Module) -> list[nn.Module]:
        """The decoder layers: the longest module list of the model."""
        lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
        return list(max(lists, key=len, default=nn.ModuleList()))


#: Exceptions by model type.
FAMILIES: dict[str, Family] = {
    "bloom": Family(tree=False),
    "mpt": Family(tree=False),
    "gpt_neo": Family(tree=False),  # local attention reads a bias buffer by physical position
}


def family_of(model: nn.Module, config: Any) -> Family:
    """The family of a loaded model.

    Raises:
        ModelError: ``model.unsupported`` for encoder-decoders and models with recurrent layers.
    """
    name = getattr(config, "model_type", type(model).__name__)
    kinds = set(getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or ())
    recurrent = kinds & RECURRENT or ({name} & {"mamba", "mamba2", "rwkv", "recurrent_gemma", "falcon_mamba"})
    if recurrent:
        raise ModelError(
            "model.unsupported",
            f"{name} has layers without keys and values ({', '.join(sorted(recurrent))}); their state cannot be "
            "cropped or re-batched, so nothing could be cached",
            cure="use a model with attention in every layer",
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError("model.unsupported", f"{name} is an encoder-decoder; causal models are supported so far")
    base = FAMILIES.get(name, Family())
    alibi = bool(getattr(config, "alibi", False))
    takes_positions = "position_ids" in inspect.signature(model.forward).parameters
    return Family(tree=base.tree and not alibi, takes_positions=takes_positions)
