"""Keys and values as PEFT lays them out, [P, 2 L G D]: viewed as [P, 2 L, G, D], keys of layer l at 2 l, values behind.

In front of a decoder PEFT 0.21.2 goes by turns: it takes the L layers twice over (``num_transformer_submodules`` 2),
cuts them into pairs of a decoder layer's own and of its cross-attention, and drops the second of each. So decoder layer
n gets the numbers of layer 2 n modulo L, and for an even L two layers get the same. What is to give every layer its
own has twice as many layers, every other one blank.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.core.errors import PromptError
from softprompt.core.tensors import SlotTensors, State

__all__ = ["by_turns", "flatten", "in_turn", "unflatten"]


def flatten(state: State, *, name: str) -> tuple[Float[Tensor, "P N"], int, int]:
    """Keys and values as PEFT lays them out; the number of layers and of heads.

    Raises:
        PromptError: ``prompt.unsupported_export`` where layers or keys and values differ in shape.
    """
    parts = list(state.tensors())
    if len({tuple(part.shape) for part in parts}) != 1:
        message = f"the keys and values of {name!r} differ in shape by layer, PEFT has one shape for all"
        raise PromptError("prompt.unsupported_export", message, cure="export to npy or raw")
    heads = parts[0].shape[1]
    stacked = torch.stack([part[0].detach().cpu() for part in parts])  # [2 L, G, P, D]
    return stacked.permute(2, 0, 1, 3).reshape(stacked.shape[2], -1), len(parts) // 2, heads


def unflatten(numbers: Float[Tensor, "P N"], *, layers: int, heads: int) -> SlotTensors:
    """Inverse of :func:`flatten`.

    >>> slot = unflatten(torch.arange(16.0)[None], layers=2, heads=2)
    >>> slot.kv[1][0].tolist()
    [[[8.0, 9.0]], [[10.0, 11.0]]]
    """
    parts = numbers.reshape(len(numbers), 2 * layers, heads, -1).permute(1, 2, 0, 3).contiguous()
    return SlotTensors(kv={layer: (parts[2 * layer], parts[2 * layer + 1]) for layer in range(layers)})


def by_turns(state: State) -> State:
    """Keys and values for a decoder: a blank layer behind each.

    >>> ones = torch.ones(1, 1, 2, 1)
    >>> [int(keys.sum()) for keys in by_turns(State((ones, 2 * ones), (ones, ones), (2,))).keys]
    [2, 0, 4, 0]
    """
    keys, values = (
        tuple(one for part in parts for one in (part, torch.zeros_like(part))) for parts in (state.keys, state.values)
    )
    return State(keys, values, state.lengths)


def in_turn(slot: SlotTensors, *, layers: int) -> SlotTensors:
    """What PEFT gives the first ``layers`` layers of a decoder.

    >>> kv = {n: (torch.full((1, 1, 1), float(n)), torch.zeros(1, 1, 1)) for n in range(3)}
    >>> [int(keys) for keys, _ in in_turn(SlotTensors(kv=kv), layers=3).kv.values()]
    [0, 2, 1]
    """
    return SlotTensors(kv={n: slot.kv[2 * n % len(slot.kv)] for n in range(layers)})
