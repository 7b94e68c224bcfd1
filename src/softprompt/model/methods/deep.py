"""Deep prompts: keys and values of every layer are the parameters, and no vector among the embeddings.

    keys_l = scale_l * parameter        values_l = scale'_l * parameter        for every layer l

Prefix tuning (Li and Liang 2021, https://arxiv.org/abs/2101.00190; Liu et al. 2022, P-tuning v2,
https://arxiv.org/abs/2110.07602). They trained keys and values through a network, because training them from random
numbers was unstable. Here they start as what the model itself makes of real text in that place (Eyuboglu et al. 2025,
cartridges, https://arxiv.org/abs/2506.06266), so that step 0 is a text prompt, and every layer is trained in units of
its own. The first token is kept as it is: models lay much of their attention there (Xiao et al. 2024, attention sinks,
https://arxiv.org/abs/2309.17453), and moving it moves everything.

``bottleneck`` puts Li and Liang's network back, as a deviation from the start that begins at zero:

    numbers = start + up(tanh(down(inputs)))          inputs [P, E], one a token, trained; thrown away in the end

so all layers of a token move together, whatever the start.

Keys are those after rotation, so a prompt carries the positions that it was read at: the slot's place in the template
where only the template's own words stand before it, and the first ones elsewhere.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from softprompt.core.errors import ConfigError, PromptError
from softprompt.core.tensors import SlotTensors
from softprompt.model.methods.base import Method, MethodSettings, Parametrisation, Unit
from softprompt.model.methods.p_tuning import Layer
from softprompt.model.methods.starts import Layers, Start, StartKind, generator

__all__ = ["Deep", "DeepSettings", "layers_of", "unit_of"]


class DeepSettings(MethodSettings):
    """Deep prompts: keys and values of every layer."""

    start_kind: ClassVar[StartKind | None] = "demonstrations"

    name: Literal["deep"] = "deep"
    init: Literal["prefill", "zero", "random"] = Field(
        "prefill",
        description="what the model makes of the start tokens, zeros, or normal numbers of each layer's own size",
    )
    sink: bool = Field(True, description="keep the first token as it was read (init: prefill), as an attention sink")
    bottleneck: int | None = Field(
        None,
        ge=1,
        description="width of a network that makes keys and values while they are trained, as in prefix tuning; "
        "None: they are trained themselves",
    )


class Network(nn.Module):
    """What is added to the numbers of each token, zero at the start: [P, E] inputs -> [P, S].

    Args:
        inputs: Of each token, in units of the embeddings.
        outputs: S, numbers a token in all layers.
        width: Of the hidden layer.
        rng: The prompt's own.
    """

    def __init__(self, inputs: Float[Tensor, "P E"], outputs: int, *, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.inputs = nn.Parameter(inputs)
        self.down = Layer(inputs.shape[1], width, rng).to(inputs.device)
        self.up = Layer(width, outputs, rng, zero=True).to(inputs.device)

    def forward(self) -> Float[Tensor, "P S"]:
        found: Tensor = self.up(self.down(self.inputs).tanh())
        return found


class KeysValues(nn.Module):
    """One slot: its numbers in units of each layer's keys and values, the kept first tokens apart.

    Args:
        pairs: Keys and values by layer at the start.
        keep: First tokens that are not learnt.
        network: Made of the free tokens' number and the numbers of each; None: the numbers are the parameters.
    """

    units: Tensor
    kept: Tensor
    start: Tensor

    def __init__(
        self,
        pairs: Mapping[int, tuple[Tensor, Tensor]],
        *,
        keep: int,
        network: Callable[[int, int], Network] | None = None,
    ) -> None:
        super().__init__()
        self.layers = sorted(pairs)
        parts = [part.detach().float() for layer in self.layers for part in pairs[layer]]
        self.shapes = [(part.shape[0], part.shape[2]) for part in parts]
        self.length, self.keep = parts[0].shape[1], keep
        self.register_buffer("units", torch.stack([unit_of(part) for part in parts]))
        self.register_buffer("kept", torch.cat([part[:, :keep].flatten() for part in parts]))
        numbers = torch.cat([(part[:, keep:] / unit).flatten() for part, unit in zip(parts, self.units, strict=True)])
        self.network = network and network(self.length - keep, sum(heads * width for heads, width in self.shapes))
        if self.network is None:
            self.numbers = nn.Parameter(numbers)
        else:
            self.register_buffer("start", numbers)

    def forward(self) -> SlotTensors:
        """Keys and values at the model's scale."""
        count = self.length - self.keep
        numbers = self.numbers if self.network is None else self.start + self._moved(self.network())
        free = torch.split_with_sizes(numbers, [g * count * d for g, d in self.shapes])
        kept = torch.split_with_sizes(self.kept, [g * self.keep * d for g, d in self.shapes])
        parts = [
            torch.cat([first.view(g, self.keep, d), unit * rest.view(g, count, d)], dim=1)
            for (g, d), first, rest, unit in zip(self.shapes, kept, free, self.units, strict=True)
        ]
        return SlotTensors(kv=dict(zip(self.layers, zip(parts[0::2], parts[1::2], strict=True), strict=True)))

    def _moved(self, made: Float[Tensor, "P S"]) -> Float[Tensor, " N"]:
        """What the network says by token, in the order of the numbers: by layer, head, token."""
        by_layer = torch.split_with_sizes(made, [g * d for g, d in self.shapes], dim=1)
        return torch.cat(
            [part.view(-1, g, d).transpose(0, 1).flatten() for part, (g, d) in zip(by_layer, self.shapes, strict=True)]
        )

    def measured(self) -> dict[str, Unit]:
        """The unit of each tensor, by name."""
        names = [f"{part}.{layer}" for layer in self.layers for part in ("keys", "values")]
        return {name: Unit(unit, self.keep) for name, unit in zip(names, self.units, strict=True)}


def unit_of(tensor: Tensor) -> Tensor:
    """Root mean square over all tokens [..., P, D] but the first, which in many models is far larger than the others.

    >>> unit_of(torch.tensor([[90.0, 90.0], [3.0, 4.0], [4.0, 3.0]])).item()
    3.5355...
    """
    others = tensor[..., 1:, :] if tensor.shape[-2] > 1 else tensor
    return others.square().mean().sqrt().clamp(min=1e-6)


def layers_of(start: Start, slot: str, method: str) -> Layers:
    """What the model makes of a slot's tokens.

    Raises:
        ConfigError: ``config.unsupported_method`` where nobody can say.
    """
    if slot not in start.layers:
        message = f"method {method!r} starts from what a model makes of slot {slot!r}, and there is no model"
        raise ConfigError("config.unsupported_method", message, cure="use another method, such as plain")
    return start.layers[slot]


def _begun(config: DeepSettings, start: Start, slot: str) -> KeysValues:
    """A slot at its start."""
    layers = layers_of(start, slot, config.name)
    vectors = start.slots[slot]
    keep = min(1, len(vectors) - 1) if config.sink and config.init == "prefill" else 0

    def network(length: int, numbers: int) -> Network:
        inputs = vectors[len(vectors) - length :].detach().float() / start.scale
        rng = generator(start.seed, f"deep network {slot}")
        return Network(inputs, numbers, width=config.bottleneck or 1, rng=rng)

    made = network if config.bottleneck is not None else None
    if layers.saved is not None:
        if not layers.saved.kv or layers.saved.length != len(vectors):
            held = "keys and values" if layers.saved.kv else "vectors of a later layer"
            message = (
                f"slot {slot!r} holds {layers.saved.length} tokens of {held}, {len(vectors)} keys and values are needed"
            )
            raise PromptError("prompt.other_slots", message, cure="continue with the same method and length")
        return KeysValues(layers.saved.kv, keep=keep, network=made)
    pairs = layers.prefill(vectors, None).kv
    if config.init != "prefill":
        rng = generator(start.seed, f"deep {slot}")
        pairs = {layer: (_filled(keys, rng), _filled(values, rng)) for layer, (keys, values) in pairs.items()}
    found = KeysValues(pairs, keep=keep, network=made)
    if config.init == "zero":
        nn.init.zeros_(found.numbers if made is None else found.start)
    return found


def _filled(like: Tensor, rng: torch.Generator) -> Tensor:
    """Normal numbers of the size of a layer's keys or values."""
    return torch.randn(like.shape, generator=rng).to(like.device) * unit_of(like.float())


class DeepPrompt(Parametrisation):
    """One prompt: keys and values of all its slots."""

    def __init__(self, config: DeepSettings, start: Start) -> None:
        super().__init__()
        self.names = sorted(start.slots)
        self.parts = nn.ModuleList(_begun(config, start, name) for name in self.names)

    def forward(self) -> dict[str, SlotTensors]:
        return {name: part() for name, part in zip(self.names, self.parts, strict=True)}

    def units(self, slot: str) -> dict[str, Unit]:
        part = self.parts[self.names.index(slot)]
        assert isinstance(part, KeysValues)
        return part.measured()


class Deep(Method[DeepSettings]):
    """Keys and values of every layer.

    >>> model = Layers(1, lambda vectors, layer: SlotTensors(kv={0: (vectors[None], 2 * vectors[None])}))
    >>> start = Start({"soft": torch.tensor([[9.0, 9.0], [3.0, -3.0]])}, scale=1.0, layers={"soft": model})
    >>> deep = Deep.start(DeepSettings(), [start])
    >>> [parameter.tolist() for parameter in deep.parameters_of(0)]
    [[1.0, -1.0, 1.0, -1.0]]
    >>> deep.materialise()[0].slots["soft"].kv[0][1]
    tensor([[[18., 18.],
             [ 6., -6.]]])
    """

    @classmethod
    def parametrise(cls, config: DeepSettings, start: Start) -> Parametrisation:
        return DeepPrompt(config, start)
