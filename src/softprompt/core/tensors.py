"""The narrow waist: the tensors a method yields and the states a model has computed.

Letters: B rows, T tokens, P soft tokens, H hidden width, E embedding width (E != H in OPT-350m, ALBERT), L layers,
G key/value heads, D head width, V vocabulary, C labels, K prompts.

Methods yield :class:`PromptTensors`; backbones consume them; nothing after training knows a method. This is the one
module of core that imports torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Head", "PromptTensors", "SlotTensors", "State"]


@dataclass(frozen=True)
class SlotTensors:
    """What stands in one soft slot; any subset. Layers are addressed by index, and shapes may differ by layer.

    Attributes:
        embed: Vectors that enter exactly where the embedding module's output enters (scale of some models included).
        hidden: Vectors inserted before layer m, by m.
        kv: Keys (after rotation) [G, P, Dk] and values [G, P, Dv] by layer.
    """

    embed: Float[Tensor, "P E"] | None = None
    hidden: Mapping[int, Float[Tensor, "P H"]] = field(default_factory=dict)
    kv: Mapping[int, tuple[Float[Tensor, "_ P _"], Float[Tensor, "_ P _"]]] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Number of soft tokens P."""
        if self.embed is not None:
            return self.embed.shape[0]
        for vectors in self.hidden.values():
            return vectors.shape[0]
        for keys, _ in self.kv.values():
            return keys.shape[1]
        return 0

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor, in a fixed order: the entries of a saved prompt."""
        if self.embed is not None:
            yield "embed", self.embed
        for layer, vectors in sorted(self.hidden.items()):
            yield f"hidden.{layer}", vectors
        for layer, (keys, values) in sorted(self.kv.items()):
            yield f"keys.{layer}", keys
            yield f"values.{layer}", values


@dataclass(frozen=True)
class Head:
    """Label vectors: scores = weight @ h + bias for the state h that the model's own output layer would get."""

    weight: Float[Tensor, "C H"]
    bias: Float[Tensor, " C"]


@dataclass(frozen=True)
class PromptTensors:
    """All tensors of one prompt: its slots by name, and its head where it has label vectors.

    >>> prompt = PromptTensors({"soft": SlotTensors(embed=torch.zeros(2, 4))})
    >>> [name for name, _ in prompt.tensors()], prompt.num_parameters, prompt.num_bytes
    (['slots.soft.embed'], 8, 32)
    """

    slots: Mapping[str, SlotTensors] = field(default_factory=dict)
    head: Head | None = None

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor, in a fixed order."""
        for slot, content in sorted(self.slots.items()):
            for name, tensor in content.tensors():
                yield f"slots.{slot}.{name}", tensor
        if self.head is not None:
            yield "head.weight", self.head.weight
            yield "head.bias", self.head.bias

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Inverse of :meth:`tensors`.

        Raises:
            KeyError: A name that :meth:`tensors` never yields.
        """
        embed: dict[str, Tensor] = {}
        hidden: dict[str, dict[int, Tensor]] = {}
        kv: dict[str, dict[int, dict[str, Tensor]]] = {}
        for name, tensor in tensors.items():
            match name.split("."):
                case ["slots", slot, "embed"]:
                    embed[slot] = tensor
                case ["slots", slot, "hidden", layer]:
                    hidden.setdefault(slot, {})[int(layer)] = tensor
                case ["slots", slot, ("keys" | "values") as part, layer]:
                    kv.setdefault(slot, {}).setdefault(int(layer), {})[part] = tensor
                case ["head", "weight" | "bias"]:
                    pass
                case _:
                    raise KeyError(name)
        slots = {
            slot: SlotTensors(
                embed.get(slot),
                hidden.get(slot, {}),
                {layer: (pair["keys"], pair["values"]) for layer, pair in kv.get(slot, {}).items()},
            )
            for slot in sorted({*embed, *hidden, *kv})
        }
        head = Head(tensors["head.weight"], tensors["head.bias"]) if "head.weight" in tensors else None
        return cls(slots, head)

    @property
    def num_parameters(self) -> int:
        """Number of stored numbers."""
        return sum(tensor.numel() for _, tensor in self.tensors())

    @property
    def num_bytes(self) -> int:
        """Size of the numbers in bytes."""
        return sum(tensor.numel() * tensor.element_size() for _, tensor in self.tensors())

    def to(self, *args: object, **kwargs: object) -> Self:
        """Every tensor moved or cast, as ``Tensor.to``."""
        return type(self).from_tensors({name: tensor.to(*args, **kwargs) for name, tensor in self.tensors()})  # type: ignore[call-overload]

    def detach(self) -> Self:
        """Every tensor cut from its graph and copied."""
        return type(self).from_tensors({name: tensor.detach().clone() for name, tensor in self.tensors()})


@dataclass(frozen=True)
class State:
    """Everything a model has computed for the first tokens of some rows: keys and values of every layer.

    One type for the frozen part of training rows, a compiled prompt and decoding. Never mutated. Rows of different
    length are padded on the LEFT, so that what follows is physically contiguous (splice rule 1).

    Attributes:
        keys: [B, G, T, Dk] by layer, after rotation; padding is zero. G and the widths may differ by layer.
        values: [B, G, T, Dv] by layer.
        lengths: Number of real tokens by row; the next token of row i has position ``lengths[i]``.
        memory: What the rows read beside themselves, a row each: of an encoder-decoder the encoder's states. They are
            cross keys and values by layer, or the encoder's output alone: keys of one layer with G = 1, values of
            width 0.
        since: By token the first layer in which it exists, since soft tokens may enter above the text; None where all
            exist in every layer. Keys and values of layers below are there, and nobody sees them.
    """

    keys: tuple[Float[Tensor, "B _ T _"], ...]
    values: tuple[Float[Tensor, "B _ T _"], ...]
    lengths: tuple[int, ...]
    memory: "State | None" = None
    since: Int[Tensor, "B T"] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def width(self) -> int:
        """Padded length T."""
        return self.keys[0].shape[2] if self.keys else 0

    @property
    def num_bytes(self) -> int:
        """Size of the tensors in bytes, padding included."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors())

    def tensors(self) -> Iterator[Tensor]:
        """Keys and values layer by layer, then those of the memory."""
        for keys, values in zip(self.keys, self.values, strict=True):
            yield keys
            yield values
        if self.memory is not None:
            yield from self.memory.tensors()

    def take(self, rows: Sequence[int]) -> Self:
        """The given rows in the given order; a row may be taken several times.

        >>> state = State((torch.zeros(1, 1, 3, 2),), (torch.zeros(1, 1, 3, 2),), (3,))
        >>> state.take([0, 0]).lengths
        (3, 3)
        """
        lengths = tuple(self.lengths[i] for i in rows)
        if list(rows) == list(range(len(self))):
            return self
        width, start = max(lengths, default=0), self.width - max(lengths, default=0)
        assert width >= 0
        index = torch.tensor(list(rows), dtype=torch.long, device=self.keys[0].device if self.keys else None)
        return type(self)(
            tuple(keys[:, :, start:].index_select(0, index) for keys in self.keys),
            tuple(values[:, :, start:].index_select(0, index) for values in self.values),
            lengths,
            None if self.memory is None else self.memory.take(rows),
            None if self.since is None else self.since[:, start:].index_select(0, index),
        )

    def crop(self, length: int) -> Self:
        """The first ``length`` tokens of every row (rows that are shorter stay); the memory stays whole."""
        if all(own <= length for own in self.lengths):
            return self
        return self.stack([self.row(i, length) for i in range(len(self))])

    def row(self, index: int, length: int | None = None) -> Self:
        """One row without padding, optionally only its first ``length`` tokens. Views, no copy."""
        own = self.lengths[index]
        start = self.width - own
        stop = start + min(own, own if length is None else length)
        return type(self)(
            tuple(keys[index : index + 1, :, start:stop] for keys in self.keys),
            tuple(values[index : index + 1, :, start:stop] for values in self.values),
            (stop - start,),
            None if self.memory is None else self.memory.row(index),
            None if self.since is None else self.since[index : index + 1, start:stop],
        )

    @classmethod
    def stack(cls, states: Sequence[Self]) -> Self:
        """One state of all rows, padded on the left to the longest."""
        assert states, "nothing to stack"
        if len(states) == 1:
            return states[0]
        width = max(state.width for state in states)

        def join(parts: Sequence[Tensor]) -> Tensor:
            if all(part.shape[2] == width for part in parts):
                return torch.cat(list(parts))
            rows = sum(part.shape[0] for part in parts)
            out = parts[0].new_zeros(rows, parts[0].shape[1], width, parts[0].shape[3])
            at = 0
            for part in parts:
                out[at : at + part.shape[0], :, width - part.shape[2] :] = part
                at += part.shape[0]
            return out

        layers = range(len(states[0].keys))
        memories = [state.memory for state in states if state.memory is not None]
        assert len(memories) in (0, len(states)), "either all rows read a memory or none"
        since: Tensor | None = None
        if late := [state.since for state in states if state.since is not None]:
            parts = [late[0].new_zeros(len(one), one.width) if one.since is None else one.since for one in states]
            since = torch.cat([torch.nn.functional.pad(part, (width - part.shape[1], 0)) for part in parts])
        return cls(
            tuple(join([state.keys[layer] for state in states]) for layer in layers),
            tuple(join([state.values[layer] for state in states]) for layer in layers),
            tuple(length for state in states for length in state.lengths),
            State.stack(memories) if memories else None,
            since,
        )
