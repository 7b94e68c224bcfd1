"""What has to be known of an architecture beyond what its config says; one row a family.

Any causal model of transformers with keys and values in every layer is driven with a 2D mask. A tree mask, with which
branches share one line, is used only for the families below: each was compared with repeated rows, because a model that
quietly ignores a part of the mask gives wrong scores, not an error. Recurrent layers are refused: their state is no
sequence of keys and values and cannot be cropped or re-batched.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from softprompt.core.errors import ModelError

__all__ = ["FAMILIES", "Family", "family_of"]

#: Kinds of layers whose state is no sequence of keys and values.
RECURRENT = {"linear_attention", "mamba", "mamba2", "recurrent", "conv", "rwkv", "hybrid"}

#: Sliding window of a tree mask: none at all; the config's for every layer; or one mask by kind of layer.
Window = Literal["none", "every_layer", "by_kind"]


@dataclass(frozen=True)
class Family:
    """How one architecture is driven.

    Attributes:
        tree: A 4D mask is taken as it is.
        window: Where a 4D mask has to apply a sliding window.
        takes_positions: The forward has ``position_ids``; without them only ALiBi knows where it is.
    """

    tree: bool = False
    window: Window = "none"
    takes_positions: bool = True

    def windows(self, config: Any) -> int | Mapping[str, int | None] | None:
        """Sliding window of a tree mask: one for all layers, or by kind of layer where the model takes a mask each."""
        window: int | None = getattr(config, "sliding_window", None)
        kinds = sorted(set(getattr(config, "layer_types", None) or ()))
        if self.window == "by_kind" and kinds:
            return {kind: window if kind == "sliding_attention" else None for kind in kinds}
        return window if self.window == "every_layer" else None


def _families() -> dict[str, Family]:
    plain = """
        apertus arcee biogpt bitnet codegen cohere ctrl diffllama ernie4_5 falcon gemma glm glm4 gpt2 gpt_bigcode
        gpt_neox gpt_neox_japanese gptj granite granitemoe helium hunyuan_v1_dense jais2 llama nemotron olmo olmo2 olmoe
        opt persimmon phi seed_oss stablelm xglm
    """
    every_layer = "mistral mixtral phi3 phimoe qwen3_moe starcoder2"
    by_kind = """
        cohere2 dots1 exaone4 gemma2 gemma3_text gpt_oss ministral olmo3 qwen2 qwen2_moe qwen3 smollm3 vaultgemma
    """
    table = {name: Family(tree=True) for name in plain.split()}
    table |= {name: Family(tree=True, window="every_layer") for name in every_layer.split()}
    table |= {name: Family(tree=True, window="by_kind") for name in by_kind.split()}
    # No positions, but ALiBi: its bias is by key column, so branches cannot share a line, and no family without either.
    return table | {name: Family(takes_positions=False) for name in ("bloom", "mpt")}


#: Families with more than the default row, by model type.
FAMILIES: Mapping[str, Family] = _families()


def family_of(model: nn.Module, config: Any) -> Family:
    """The family of a loaded model.

    Raises:
        ModelError: ``model.unsupported`` for models with recurrent layers, and those that cannot be told positions.
    """
    name = getattr(config, "model_type", type(model).__name__)
    kinds = set(getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or ())
    recurrent = kinds & RECURRENT or ({name} & {"mamba", "mamba2", "rwkv", "recurrent_gemma", "falcon_mamba", "xlstm"})
    if recurrent:
        raise ModelError(
            "model.unsupported",
            f"{name} has layers without keys and values ({', '.join(sorted(recurrent))}); their state cannot be "
            "cropped or re-batched, so nothing could be cached",
            cure="use a model with attention in every layer",
        )
    base = FAMILIES.get(name, Family())
    takes_positions = "position_ids" in inspect.signature(model.forward).parameters
    if base.takes_positions and not takes_positions:
        raise ModelError(
            "model.unsupported",
            f"{name} cannot be told the positions of its tokens, so padded rows and cached states would be misread",
            cure="use another model",
        )
    alibi = bool(getattr(config, "alibi", False))
    masks = getattr(config, "_attn_implementation", "eager") in ("eager", "sdpa")
    return Family(tree=base.tree and masks and not alibi, window=base.window, takes_positions=takes_positions)
