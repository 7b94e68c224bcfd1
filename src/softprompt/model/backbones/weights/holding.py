"""A live model becomes ours: frozen, in evaluation mode, recognised, on its device and in its precision.

The same for every kind of model. The order matters: what it is, is settled before anything is cast.
"""

from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from softprompt.model.backbones.weights.devices import cast, dtype_of, fastest_dtype
from softprompt.model.backbones.weights.fingerprint import fingerprint
from softprompt.model.backbones.weights.quantised import num_numbers, scheme_of, steady
from softprompt.model.backbones.weights.spread import inputs_device, is_spread

__all__ = ["Held", "hold"]


class Held(NamedTuple):
    """What is known of a model once it is held: fields of a ``Spec``."""

    num_parameters: int
    dtype: torch.dtype
    device: torch.device
    fingerprint: str
    quantised: str | None


def hold(model: PreTrainedModel, *, dtype: str, device: str, width: int, quantise: str | None = None) -> Held:
    """Freeze a model, in place.

    Args:
        model: As loaded, in the dtype of its files.
        dtype: ``keep``, ``auto``, ``bf16``, ``fp16`` or ``fp32``.
        device: ``keep`` or where to move it; a model that lies on several stays.
        width: Of its layers, for the measurement of ``auto``.
        quantise: The scheme that it has to be in; None takes what it is.

    Raises:
        ModelError: ``model.unsupported_scheme``, ``model.unknown_dtype``.
    """
    scheme = scheme_of(model, asked=quantise)
    model.eval().requires_grad_(False)
    if scheme is not None:
        steady(model, _float_dtype(model))
    mark = fingerprint(model, quantised=scheme)
    if device != "keep" and not is_spread(model) and inputs_device(model) != torch.device(device):
        model.to(torch.device(device))
    place = inputs_device(model)
    if dtype != "keep":
        cast(model, fastest_dtype(place, width) if dtype == "auto" else dtype_of(dtype))
    if scheme is not None:
        steady(model, _float_dtype(model))
    count = sum(map(num_numbers, model.parameters()))
    return Held(count, _float_dtype(model), place, mark, scheme)


def _float_dtype(model: PreTrainedModel) -> torch.dtype:
    """Of the embeddings: they are quantised in no scheme."""
    dtype: torch.dtype = next(model.get_input_embeddings().parameters()).dtype
    return dtype
