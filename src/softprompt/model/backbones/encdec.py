"""Calls of a transformers encoder-decoder: the encoder alone, cross keys and values alone, and the decoder.

The cross keys and values of a reading are made once and given to every line that reads it, in a cache that the model
finds filled. They are made by the model itself, from a decoder that reads one token, so nothing here knows an
architecture but for its positions.

Keys and values in an encoder take the places of its own, in every layer, behind the projections that make them. Nothing
of their tokens is left in its output: no state is theirs.

Positions: a decoder with a table of them is told each token's own by a hook on the table, because its forward takes
none and would count padded columns. T5's bias depends on distances alone, which columns have right as long as a line
is contiguous.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from softprompt.core.tensors import State
from softprompt.model.backbones.attention import fast_attention
from softprompt.model.backbones.calls import cache_of, checkpointed, tensors_of
from softprompt.model.backbones.entering import entering
from softprompt.model.backbones.splicing.slots import Layered, Written
from softprompt.model.backbones.splicing.splice import Inputs, roll

__all__ = [
    "cross_states",
    "decode",
    "encode",
    "encoder_shapes",
    "is_wide",
    "keys_values",
    "layers_of",
    "mask_of",
]

#: Names of the modules that make keys and those that make values, T5's and BART's.
PROJECTIONS = (("k", "k_proj"), ("v", "v_proj"))


def encode(
    model: PreTrainedModel,
    embeds: Float[Tensor, "S L E"],
    inputs: Inputs,
    layered: Layered | None = None,
    *,
    checkpoint: bool = False,
) -> State:
    """The encoder's output for lines that are padded on the right, as a state of one layer (values of width 0).

    Args:
        model: In evaluation mode.
        embeds: Of the lines.
        inputs: The lines.
        layered: What soft slots put into the layers.
        checkpoint: Layers forget their activations and recompute them backwards.
    """
    encoder = model.get_encoder()
    layers = layers_of(encoder)
    written = {} if layered is None else layered.written
    with ExitStack() as stack:
        stack.enter_context(fast_attention(embeds))
        stack.enter_context(entering(layers, layered, causal=False))
        stack.enter_context(_written_over(layers, written))
        stack.enter_context(checkpointed(layers, enabled=checkpoint))
        hidden = encoder(inputs_embeds=embeds, attention_mask=inputs.mask).last_hidden_state
    if not written:
        return roll([hidden[:, None]], [hidden[:, None, :, :0]], inputs)
    places = torch.cat([one.places for one in written.values()]).to(inputs.mask.device)
    return _gathered(hidden, inputs.mask.flatten().index_fill(0, places, False).view_as(inputs.mask))


def _gathered(hidden: Float[Tensor, "S L H"], kept: Bool[Tensor, "S L"]) -> State:
    """Some columns in their order, padded on the left."""
    lengths = kept.sum(1)
    longest = int(lengths.max())
    order = kept.long().sort(dim=1, stable=True).indices[:, kept.shape[1] - longest :]
    rows = hidden.gather(1, order[..., None].expand(-1, -1, hidden.shape[-1]))
    padding = torch.arange(longest, device=kept.device) < longest - lengths[:, None]
    states = rows.masked_fill(padding[..., None], 0)[:, None]
    return State((states,), (states[..., :0],), tuple(lengths.tolist()))


def layers_of(side: nn.Module) -> list[nn.Module]:
    """The layers of an encoder or a decoder: its first list of modules."""
    return list(next(module for module in side.modules() if isinstance(module, nn.ModuleList)))


def _projections(layer: nn.Module) -> list[Any]:
    """What makes a layer's own keys, and its own values: its first such modules, before those of cross-attention."""
    named = [(name.rpartition(".")[2], module) for name, module in layer.named_modules()]
    return [next(module for name, module in named if name in names) for names in PROJECTIONS]


def encoder_shapes(model: PreTrainedModel) -> list[tuple[int, int, int]]:
    """(G, Dk, Dv) of what the encoder attends to, by layer."""
    heads = model.config.num_attention_heads
    made = [[int(module.out_features) for module in _projections(layer)] for layer in layers_of(model.get_encoder())]
    return [(heads, keys // heads, values // heads) for keys, values in made]


@contextmanager
def keys_values(layers: Sequence[nn.Module]) -> Iterator[list[list[Tensor]]]:
    """What layers make of the tokens of calls, heads side by side: the keys by layer, and the values."""
    found: list[list[Tensor]] = [[], []]

    def caught(into: list[Tensor]) -> Callable[..., None]:
        return lambda _module, _args, made: into.append(made)

    with ExitStack() as stack:
        for layer in layers:
            for module, into in zip(_projections(layer), found, strict=True):
                stack.callback(module.register_forward_hook(caught(into)).remove)
        yield found


@contextmanager
def _written_over(layers: Sequence[nn.Module], written: Mapping[int, Written]) -> Iterator[None]:
    """Within it, layers have given keys and values at some places; also when they are recomputed, outside of it."""
    originals = {n: (layers[n].forward, vars(layers[n]).get("forward")) for n in written}
    try:
        for n, (forward, _) in originals.items():
            layers[n].forward = partial(_run_over, layers[n], forward, written[n])
        yield
    finally:
        for n, (_, own) in originals.items():
            vars(layers[n]).pop("forward", None)
            if own is not None:
                layers[n].forward = own


def _run_over(layer: nn.Module, forward: Callable[..., Any], written: Written, *args: Any, **kwargs: Any) -> Any:
    def over(values: Tensor) -> Callable[..., Tensor]:
        def write(_module: nn.Module, _args: Any, made: Tensor) -> Tensor:
            flat = made.reshape(-1, made.shape[-1])
            given = values.flatten(1).to(flat)
            return flat.index_copy(0, written.places.to(flat.device), given).view_as(made)

        return write

    with ExitStack() as stack:
        for module, values in zip(_projections(layer), (written.keys, written.values), strict=True):
            stack.callback(module.register_forward_hook(over(values)).remove)
        return forward(*args, **kwargs)


def is_wide(state: State) -> bool:
    """Whether a memory holds cross keys and values, and not the encoder's output alone."""
    return state.values[0].shape[-1] > 0


def cross_states(model: PreTrainedModel, state: State, opening: Float[Tensor, "1 1 E"]) -> State:
    """Cross keys and values by layer from the encoder's output; a memory that holds them already is returned as it is.

    Args:
        model: In evaluation mode.
        state: A memory.
        opening: Some token's embedding, for the decoder to read; nothing depends on it.
    """
    if is_wide(state):
        return state
    cache = EncoderDecoderCache(cache_of(), cache_of())
    rows = len(state)
    model.get_decoder()(
        inputs_embeds=opening.expand(rows, -1, -1),
        attention_mask=torch.ones(rows, 1, dtype=torch.bool, device=opening.device),
        encoder_hidden_states=state.keys[0][:, 0],
        encoder_attention_mask=mask_of(state, opening.device),
        past_key_values=cache,
        use_cache=True,
    )
    return State(*tensors_of(cache.cross_attention_cache, device=opening.device), state.lengths)


def mask_of(state: State, device: torch.device) -> Bool[Tensor, "B T"]:
    """Which columns of a state are real."""
    starts = torch.tensor([state.width - length for length in state.lengths])
    return (torch.arange(state.width) >= starts[:, None]).to(device)


def decode(
    model: PreTrainedModel,
    embeds: Float[Tensor, "S L E"],
    mask: Bool[Tensor, "S W"],
    positions: Int[Tensor, "S L"],
    *,
    memory: State,
    cache: DynamicCache,
    keep: Int[Tensor, " N"],
    project: bool,
) -> tuple[Float[Tensor, "N H"], Float[Tensor, "N V"] | None]:
    """One forward of the decoder.

    Args:
        model: In evaluation mode.
        embeds: Of the decoder's live tokens.
        mask: Over the past and the live columns.
        positions: Logical positions.
        memory: Cross keys and values, a row a line.
        cache: Of what the decoder has read before; mutated.
        keep: Flat indices into S * L.
        project: Whether logits are wanted.

    Returns:
        What the output layer gets at ``keep``, and its logits.
    """
    caught: list[Tensor] = []

    def catch(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        kept = args[0].reshape(-1, args[0].shape[-1]).index_select(0, keep.to(args[0].device))
        caught.append(kept)
        # Without a reader of logits one row goes through, because the model insists on its output layer.
        return (kept if project else kept[:1].detach(),)

    # The cache holds all that is read of the encoder; its output is asked for its shape alone.
    output = embeds.new_zeros(1, 1, 1).expand(len(memory), memory.width, model.config.d_model)
    handle = model.get_output_embeddings().register_forward_pre_hook(catch)
    try:
        with fast_attention(embeds), _positions_at(model.get_decoder(), positions):
            logits = model(
                encoder_outputs=BaseModelOutput(last_hidden_state=output),
                attention_mask=mask_of(memory, embeds.device),
                decoder_inputs_embeds=embeds,
                decoder_attention_mask=mask,
                past_key_values=EncoderDecoderCache(cache, cache_of(memory)),
                use_cache=True,
            ).logits
    finally:
        handle.remove()
    return caught[0], logits.reshape(-1, logits.shape[-1]) if project else None


@contextmanager
def _positions_at(decoder: nn.Module, positions: Int[Tensor, "S L"]) -> Iterator[None]:
    """The decoder's table of positions, where it has one, gives each token the vector of its own position."""
    table = getattr(decoder, "embed_positions", None)
    if table is None:
        yield
        return

    def ask(_table: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        return args, kwargs | {"position_ids": torch.arange(int(positions.max()) + 1, device=positions.device)}

    def pick(_table: nn.Module, _args: Any, vectors: Tensor) -> Tensor:
        return vectors.reshape(-1, vectors.shape[-1])[positions.to(vectors.device)]

    handles = table.register_forward_pre_hook(ask, with_kwargs=True), table.register_forward_hook(pick)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
