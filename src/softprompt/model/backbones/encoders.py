"""What has to be known of an encoder beyond what its config says; one row a family.

A family is in the table after its observers were compared with transformers' own forward under a mask that says the
same, because an encoder that is driven wrongly gives wrong scores, not an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from softprompt.core.errors import ModelError

__all__ = ["ENCODERS", "Encoder", "encoder_of", "is_encoder", "mask_head_of"]


@dataclass(frozen=True)
class Encoder:
    """How one architecture is driven.

    Attributes:
        first_position: Position of the first token: RoBERTa and MPNet keep those below for padding. None: the id of
            the padding token and one.
        positions: Whether the model is told positions; DeBERTa-v2 and v3 mostly know distances alone, which are given
            to their attention.
    """

    first_position: int | None = 0
    positions: bool = True

    def offset(self, config: Any) -> int:
        """What is added to logical positions."""
        return int(config.pad_token_id) + 1 if self.first_position is None else self.first_position


#: Families by model type.
ENCODERS: Mapping[str, Encoder] = {
    "albert": Encoder(),
    "bert": Encoder(),
    "camembert": Encoder(first_position=None),
    "deberta-v2": Encoder(),
    "distilbert": Encoder(),
    "electra": Encoder(),
    "mpnet": Encoder(first_position=2),
    "roberta": Encoder(first_position=None),
    "xlm-roberta": Encoder(first_position=None),
}

#: Encoders that are refused, and why.
REFUSED: Mapping[str, str] = {
    "deberta": "the first DeBERTa computes keys and values in one product per head that softprompt does not know yet",
    "modernbert": "its layers see windows of the text, and observers outside of a window were not tested",
    "xlnet": "it predicts in permuted orders and has no masks",
    "longformer": "its layers see windows of the text, so observers would not see all of it",
    "big_bird": "its layers see random blocks of the text, so observers would not see all of it",
}


def is_encoder(config: Any) -> bool:
    """Whether a model of this config is read both ways.

    >>> from transformers import BertConfig, GPT2Config
    >>> is_encoder(BertConfig()), is_encoder(BertConfig(is_decoder=True)), is_encoder(GPT2Config())
    (True, False, False)
    """
    name = getattr(config, "model_type", "")
    return (name in ENCODERS or name in REFUSED) and not getattr(config, "is_decoder", False)


def encoder_of(config: Any) -> Encoder:
    """The family of a config.

    Raises:
        ModelError: ``model.unsupported``.
    """
    name = config.model_type
    if name in REFUSED:
        known = ", ".join(sorted(ENCODERS))
        raise ModelError("model.unsupported", f"{name}: {REFUSED[name]}", cure=f"use one of these: {known}")
    if getattr(config, "conv_kernel_size", 0):
        raise ModelError(
            "model.unsupported",
            f"this {name} mixes neighbouring tokens in a convolution, so observers would change the text's states",
            cure="use a DeBERTa without conv_kernel_size (v3, or v2 below xlarge)",
        )
    return ENCODERS[name]


def mask_head_of(model: PreTrainedModel) -> nn.Module | None:
    """The output layer of a model with a mask head, None for a bare encoder.

    Raises:
        ModelError: ``model.unsupported`` for a model with another head.
    """
    name = type(model).__name__
    if name.endswith("ForMaskedLM"):
        layer: nn.Module = model.get_output_embeddings()
        if getattr(model, "legacy", True):
            return layer
        message = f"the mask head of this {name} has no output layer of its own (legacy: false)"
        raise ModelError("model.unsupported", message, cure="hand over its bare encoder, which takes label vectors")
    if model.base_model is model:
        return None
    raise ModelError(
        "model.unsupported",
        f"{name} has a head that softprompt does not use",
        cure="load a ...ForMaskedLM or the bare encoder (AutoModel)",
    )
