"""What a model says must be numbers: in fp16 large activations overflow, and weights can be damaged.

One check where answers are used (candidates' scores, next tokens). Training has its own: a prompt whose loss is not
finite is left behind, the others go on.
"""

import torch
from torch import Tensor

from softprompt.core.errors import ModelError

__all__ = ["require_numbers"]


def require_numbers(values: Tensor, dtype: torch.dtype) -> None:
    """Refuse log-probabilities that are not numbers; -inf (never) is one.

    Args:
        values: Of any shape.
        dtype: Of the model's weights, for the message.

    Raises:
        ModelError: ``model.not_finite``.

    >>> require_numbers(torch.tensor([0.0, -torch.inf]), torch.float16)
    >>> require_numbers(torch.tensor([torch.nan]), torch.float16)
    Traceback (most recent call last):
    softprompt.core.errors.ModelError: the model's answer is not a number (nan), with weights in float16 ...
    """
    if bool(values.isnan().any()):
        name = str(dtype).removeprefix("torch.")
        cure = "load it with dtype fp32" if dtype != torch.float32 else "check the weights, or take another model"
        if dtype == torch.float16:
            cure += " or bf16: fp16 overflows at 65,504"
        message = f"the model's answer is not a number (nan), with weights in {name}"
        raise ModelError("model.not_finite", message, cure=cure)
