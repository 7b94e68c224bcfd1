"""Calls of a transformers encoder-decoder: the encoder alone, cross keys and values alone, and the decoder.

The cross keys and values of a reading are made once and given to every line that reads it, in a cache that the model
finds filled. They are made by the model itself, from a decoder that reads one token, so nothing here knows an
architecture but for its positions.

Positions: a decoder with a table of them is told each token's own by a hook on the table, because its forward takes
none and would count padded columns. T5's bias depends on distances alone, which columns have right as long as a line
is contiguous.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from softprompt.core.tensors import State
from softprompt.model.backbones.attention import fast_attention
from softprompt.model.backbones.calls import cache_of, tensors_of
from softprompt.model.backbones.splice import Inputs, roll

__all__ = ["cross_states", "decode", "encode", "encoder_layers", "is_wide", "mask_of"]


def encode(model: PreTrainedModel, embeds: Float[Tensor, "S L E"], inputs: Inputs) -> State:
    """The encoder's output for lines that are padded on the right, as a state of one layer (values of width 0)."""
    with fast_attention(embeds):
        hidden = model.get_encoder()(inputs_embeds=embeds, attention_mask=inputs.mask).last_hidden_state[:, None]
    return roll([hidden], [hidden[..., :0]], inputs)


def encoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The encoder's layers: its first list of modules."""
    return list(next(module for module in model.get_encoder().modules() if isinstance(module, nn.ModuleList)))


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
    past: State | None,
    keep: Int[Tensor, " N"],
    project: bool,
) -> tuple[Float[Tensor, "N H"], Float[Tensor, "N V"] | None, tuple[Sequence[Tensor], Sequence[Tensor]]]:
    """One forward of the decoder.

    Args:
        model: In evaluation mode.
        embeds: Of the decoder's live tokens.
        mask: Over the past and the live columns.
        positions: Logical positions.
        memory: Cross keys and values, a row a line.
        past: States of what the decoder has read before.
        keep: Flat indices into S * L.
        project: Whether logits are wanted.

    Returns:
        What the output layer gets at ``keep``, its logits, and the decoder's keys and values by layer.
    """
    caught: list[Tensor] = []

    def catch(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        kept = args[0].reshape(-1, args[0].shape[-1]).index_select(0, keep.to(args[0].device))
        caught.append(kept)
        # Without a reader of logits one row goes through, because the model insists on its output layer.
        return (kept if project else kept[:1].detach(),)

    cache = EncoderDecoderCache(cache_of(past), cache_of(memory))
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
                past_key_values=cache,
                use_cache=True,
            ).logits
    finally:
        handle.remove()
    states = tensors_of(cache.self_attention_cache, device=embeds.device)
    return caught[0], logits.reshape(-1, logits.shape[-1]) if project else None, states


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
