"""A method: how the numbers that are trained become the tensors that a model reads.

One :class:`Method` holds K prompts that are trained together. Every prompt has parameters of its own and draws from a
generator of its own, so K prompts together are K prompts alone (law 6). Slots, lengths, heads and seeds may differ.

**Scale.** Embeddings of one model are a hundred times larger than those of another, and Adam's step has the size of the
learning rate whatever the gradient. So vectors are trained in units of the model's own table:

    vectors = scale * parameter        scale = RMS of a sample of the model's embedding table
    W = head_scale * parameter         head_scale = RMS of a sample of the model's output vectors; biases are logits

and a rate of 0.01 moves a number by about one hundredth of what is typical of that model. Parameters are fp32 whatever
the model's dtype.

Knows no backbone, no optimiser, no task: it yields :class:`~softprompt.core.tensors.PromptTensors`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Generic, NamedTuple, Self, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.core.config import Settings
from softprompt.core.errors import PromptError
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.methods.starts import Start, StartKind

__all__ = ["LabelVectors", "Method", "MethodSettings", "Parametrisation", "Perturbation", "SoftVectors", "Unit"]

#: (prompt, slot, vectors in their unit) -> what is added to them: noise, dropout, an adversary's step. Of tensors that
#: enter the layers the slot's name goes on: ``soft.keys.0``. The caller owns the generators: a resumed run draws the
#: same.
Perturbation = Callable[[int, str, Tensor], Tensor]


class Unit(NamedTuple):
    """In what one tensor of a slot is trained.

    Attributes:
        size: What is typical of its numbers.
        kept: So many of its first tokens are not learnt, and nothing is done to them.
    """

    size: Tensor
    kept: int = 0


class MethodSettings(Settings):
    """Base of every method's settings; ``name`` is its key in the table of methods.

    Attributes:
        start_kind: Where prompts of this method start if the run does not say; None: as all do.
        shares: Whether prompts of one group share parameters.
    """

    start_kind: ClassVar[StartKind | None] = None
    shares: ClassVar[bool] = False

    name: str


S = TypeVar("S", bound=MethodSettings)


class Parametrisation(nn.Module, ABC):
    """The parameters of ONE prompt's slots."""

    @abstractmethod
    def forward(self) -> Mapping[str, SlotTensors]:
        """The slots' tensors, with a graph back to the parameters."""

    @abstractmethod
    def units(self, slot: str) -> Mapping[str, Unit]:
        """By name of each tensor of a slot (``embed``, ``hidden.8``, ``keys.0``) what it is measured in."""

    def after_step(self) -> None:
        """Project parameters back to where they are allowed; called after every optimiser step."""
        return


class NoSlots(Parametrisation):
    """A prompt that is a head only: the linear probe among prompts."""

    def forward(self) -> dict[str, SlotTensors]:
        return {}

    def units(self, slot: str) -> dict[str, Unit]:
        return {}


class SoftVectors(Parametrisation):
    """Base of parametrisations of embedding vectors: all slots of a prompt are one [P, E], in units of the scale."""

    scale: Tensor

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.names = sorted(start.slots)
        self.lengths = [len(start.slots[name]) for name in self.names]
        for name, layers in start.layers.items():
            if layers.saved is not None:
                held = ", ".join(found for found, _ in layers.saved.tensors())
                raise PromptError(
                    "prompt.other_slots",
                    f"slot {name!r} of the saved prompt enters the layers ({held}); this method trains vectors among "
                    "the embeddings",
                    cure="continue it with method: deep (keys and values) or late (hidden)",
                )
        assert start.scale > 0, "the scale of an embedding table is positive"
        self.register_buffer("scale", torch.tensor(start.scale, device=start.slots[self.names[0]].device))

    def begun(self, start: Start) -> Float[Tensor, "P E"]:
        """Where the vectors of all slots start, in units of the scale."""
        return torch.cat([start.slots[name].detach().float() for name in self.names]) / start.scale

    def units(self, slot: str) -> dict[str, Unit]:
        return {"embed": Unit(self.scale)}

    def split(self, vectors: Float[Tensor, "P E"]) -> dict[str, SlotTensors]:
        """Vectors in units of the scale -> slots at the model's scale."""
        parts = torch.split_with_sizes(self.scale * vectors, self.lengths)
        return {name: SlotTensors(embed=part) for name, part in zip(self.names, parts, strict=True)}


class LabelVectors(nn.Module):
    """The head of one prompt: a vector in units of the output vectors' scale, and a bias, for each label."""

    scale: Tensor

    def __init__(self, head: Head, scale: float) -> None:
        super().__init__()
        assert scale > 0, "the scale of output vectors is positive"
        self.weight = nn.Parameter(head.weight.detach().float() / scale)
        self.bias = nn.Parameter(head.bias.detach().float().clone())
        self.register_buffer("scale", torch.tensor(scale, device=head.weight.device))

    def forward(self) -> Head:
        """The head at the model's scale."""
        return Head(self.scale * self.weight, self.bias)


class Method(nn.Module, ABC, Generic[S]):
    """K prompts trained together.

    A method is a file with its settings, a :class:`Parametrisation` of one prompt, and a subclass that joins the two.

    Args:
        config: The method's settings, the same for all prompts.
        starts: Where each prompt starts; their number is K.

    Attributes:
        max_rms: Upper bound of each vector's root mean square, in units of the scale, whatever the parameters are; set
            by :func:`~softprompt.model.methods.table.start_method`.
    """

    max_rms: float | None = None

    def __init__(self, config: S, starts: Sequence[Start]) -> None:
        super().__init__()
        self.config = config
        self.prompts = nn.ModuleList(self.parametrise(config, start) if start.slots else NoSlots() for start in starts)
        self.heads = nn.ModuleDict(
            {str(k): LabelVectors(start.head, start.head_scale) for k, start in enumerate(starts) if start.head}
        )

    @classmethod
    def start(cls, config: S, starts: Sequence[Start]) -> Self:
        """K prompts at their starts."""
        return cls(config, starts)

    @classmethod
    @abstractmethod
    def parametrise(cls, config: S, start: Start) -> Parametrisation:
        """Fresh parameters of one prompt that has at least one slot."""

    @property
    def num_prompts(self) -> int:
        """K."""
        return len(self.prompts)

    def forward(self, *, perturb: Perturbation | None = None) -> tuple[PromptTensors, ...]:
        """The tensors of every prompt, with a graph back to its parameters.

        Args:
            perturb: Added to the vectors while training, so that it does not depend on their last digit.
        """
        return tuple(self._prompt(k, perturb) for k in range(self.num_prompts))

    def _prompt(self, k: int, perturb: Perturbation | None) -> PromptTensors:
        slots: Mapping[str, SlotTensors] = self.prompts[k]()
        if perturb is not None or self.max_rms is not None:
            slots = {name: self._changed(k, name, slot, perturb) for name, slot in slots.items()}
        key = str(k)
        return PromptTensors(slots, self.heads[key]() if key in self.heads else None)

    def _changed(self, k: int, name: str, slot: SlotTensors, perturb: Perturbation | None) -> SlotTensors:
        """Vectors below the bound, then perturbed, each in its unit."""
        part = self.prompts[k]
        assert isinstance(part, Parametrisation)
        units = part.units(name)
        changed = {}
        for title, tensor in slot.tensors():
            (size, kept), called = units[title], name if title == "embed" else f"{name}.{title}"
            free = _below(tensor[..., kept:, :], size, self.max_rms)
            if perturb is not None:
                free = free + size * perturb(k, called, free / size).to(free)
            changed[f"slots.{name}.{title}"] = torch.cat([tensor[..., :kept, :], free], dim=-2) if kept else free
        return PromptTensors.from_tensors(changed).slots[name]

    def named_parameters_of(self, k: int) -> Iterator[tuple[str, nn.Parameter]]:
        """Names (``slots.*``, ``head.*``) and parameters of prompt k, and of no other prompt."""
        for name, parameter in self.prompts[k].named_parameters():
            yield f"slots.{name}", parameter
        if str(k) in self.heads:
            for name, parameter in self.heads[str(k)].named_parameters():
                yield f"head.{name}", parameter

    def parameters_of(self, k: int) -> Iterator[nn.Parameter]:
        """Parameters of prompt k: together they are what its clipping, schedule and early stopping see."""
        return (parameter for _, parameter in self.named_parameters_of(k))

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Prompts that share parameters: they are clipped, stopped and kept together. By default each is alone.

        What a group shares counts to its first prompt, and law 6 holds for groups: K of them together are K alone.
        """
        return tuple((k,) for k in range(self.num_prompts))

    def after_step(self) -> None:
        """Project every prompt's parameters back to where they are allowed; called after every optimiser step."""
        for part in self.prompts:
            assert isinstance(part, Parametrisation)
            part.after_step()

    @torch.no_grad()
    def materialise(self) -> tuple[PromptTensors, ...]:
        """What is kept of every prompt: plain fp32 tensors, copied, with no trace of the method."""
        return tuple(prompt.detach() for prompt in self())


def _below(vectors: Float[Tensor, "*any N"], size: Tensor, most: float | None) -> Float[Tensor, "*any N"]:
    """Vectors whose root mean square is at most ``most`` times ``size``; those that are longer keep their direction."""
    if most is None:
        return vectors
    square = (vectors / size).square().mean(dim=-1, keepdim=True)
    return torch.where(square > most**2, vectors * (most**2 / square.clamp(min=most**2)).sqrt(), vectors)
