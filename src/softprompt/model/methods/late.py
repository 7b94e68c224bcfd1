"""Late prompts: vectors that enter at a later layer, beside what the model has made of the text up to there.

    vectors = scale * parameter          inserted before layer m; scale: root mean square of what goes into that layer

Liu et al. 2022 (late prompt tuning, https://arxiv.org/abs/2210.11292) insert prompts, which a network makes of each
text, at a middle layer and claim scores near full tuning, trained faster: the way back to the prompt is shorter, and
the layers below it need no gradient. Here the vectors start as what the model itself makes of the start tokens up to
there.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from softprompt.core.errors import ConfigError, PromptError
from softprompt.core.tensors import SlotTensors
from softprompt.model.methods.base import Method, MethodSettings, Parametrisation, Unit
from softprompt.model.methods.deep import layers_of, unit_of
from softprompt.model.methods.starts import Start, StartKind

__all__ = ["Late", "LateSettings"]


class LateSettings(MethodSettings):
    """Late prompts: vectors that enter at a later layer."""

    start_kind: ClassVar[StartKind | None] = "demonstrations"

    name: Literal["late"] = "late"
    layer: int | float = Field(
        2 / 3,
        ge=0,
        description="the layer that they go into: its number, from 0, or below 1 a share of the model's layers",
    )

    def layer_of(self, count: int) -> int:
        """The layer in a model of ``count`` layers.

        Raises:
            ConfigError: ``config.invalid`` for a layer that the model has not.

        >>> LateSettings().layer_of(12), LateSettings(layer=1).layer_of(12), LateSettings(layer=0.99).layer_of(4)
        (8, 1, 3)
        """
        if isinstance(self.layer, float) and self.layer < 1:
            return min(count - 1, round(self.layer * count))
        if self.layer != int(self.layer) or self.layer >= count:
            message = f"method.layer is {self.layer:g}: the model has {count} layers, 0 to {count - 1}"
            raise ConfigError("config.invalid", message, cure="give one of them, or a share such as 0.67")
        return int(self.layer)


class LateVectors(nn.Module):
    """One slot: vectors in units of what goes into the layer."""

    unit: Tensor

    def __init__(self, vectors: Tensor, layer: int) -> None:
        super().__init__()
        vectors = vectors.detach().float()
        self.layer = layer
        self.register_buffer("unit", unit_of(vectors))
        self.vectors = nn.Parameter(vectors / self.unit)

    def forward(self) -> SlotTensors:
        """The vectors at the model's scale."""
        return SlotTensors(hidden={self.layer: self.unit * self.vectors})


def _begun(config: LateSettings, start: Start, slot: str) -> LateVectors:
    """A slot at its start."""
    layers = layers_of(start, slot, config.name)
    layer = config.layer_of(layers.count)
    if layers.saved is None:
        return LateVectors(layers.prefill(start.slots[slot], layer).hidden[layer], layer)
    if set(layers.saved.hidden) != {layer} or layers.saved.length != len(start.slots[slot]):
        held = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in layers.saved.tensors())
        message = f"slot {slot!r} holds {held}; {len(start.slots[slot])} vectors of layer {layer} are needed"
        raise PromptError("prompt.other_slots", message, cure="continue with the same method, layer and length")
    return LateVectors(layers.saved.hidden[layer], layer)


class LatePrompt(Parametrisation):
    """One prompt: the vectors of all its slots."""

    def __init__(self, config: LateSettings, start: Start) -> None:
        super().__init__()
        self.names = sorted(start.slots)
        self.parts = nn.ModuleList(_begun(config, start, name) for name in self.names)

    def forward(self) -> dict[str, SlotTensors]:
        return {name: part() for name, part in zip(self.names, self.parts, strict=True)}

    def units(self, slot: str) -> dict[str, Unit]:
        part = self.parts[self.names.index(slot)]
        assert isinstance(part, LateVectors)
        return {f"hidden.{part.layer}": Unit(part.unit)}


class Late(Method[LateSettings]):
    """Vectors that enter at a later layer.

    >>> import torch
    >>> from softprompt.model.methods.starts import Layers
    >>> model = Layers(3, lambda vectors, layer: SlotTensors(hidden={layer: vectors + layer}))
    >>> start = Start({"soft": torch.tensor([[9.0], [2.0]])}, scale=1.0, layers={"soft": model})
    >>> late = Late.start(LateSettings(), [start])
    >>> [parameter.tolist() for parameter in late.parameters_of(0)]
    [[[2.75], [1.0]]]
    >>> late.materialise()[0].slots["soft"].hidden
    {2: tensor([[11.],
            [ 4.]])}
    """

    @classmethod
    def parametrise(cls, config: LateSettings, start: Start) -> Parametrisation:
        return LatePrompt(config, start)
