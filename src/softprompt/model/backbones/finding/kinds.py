"""Which kind of model a config describes, and the transformers class that loads it.

Every kind has a backbone class of its own; what it has to know beyond a model's config is measured by a short forward,
because configs say it in too many ways.
"""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel, PreTrainedTokenizerBase

from softprompt.core.errors import ModelError
from softprompt.core.tensors import State
from softprompt.model.backbones.base import Kind
from softprompt.model.backbones.encdec import cross_states
from softprompt.model.backbones.splicing.sides import Frame
from softprompt.model.backbones.weights.spread import inputs_device

__all__ = ["SEQ2SEQ", "auto_class", "frame_of", "kind_of", "measure_seq2seq", "positions_of"]

#: Encoder-decoders that pass all laws. Others differ where it shows only in wrong scores: attention over blocks
#: (LongT5, LED), texts that begin with a language mark (mBART-50, NLLB), convolutions.
SEQ2SEQ = ("bart", "mbart", "mt5", "pegasus", "t5", "umt5")

#: Longest side of a model whose positions are distances, where its files say none: what T5 was trained with.
USUAL = 512


def kind_of(config: Any) -> Kind:
    """What kind of model a config describes.

    >>> from transformers import GPT2Config, T5Config
    >>> kind_of(T5Config()), kind_of(GPT2Config())
    ('seq2seq', 'causal')
    """
    return "seq2seq" if getattr(config, "is_encoder_decoder", False) else "causal"


def auto_class(config: Any) -> Any:
    """The transformers class that loads a model of this config with the output layer that is needed."""
    return {"causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}[kind_of(config)]


def frame_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Frame:
    """The marks of an encoder-decoder: what its tokenizer writes around a text, and its decoder's first tokens.

    A decoder learnt to write texts as its tokenizer gives them, so a mark at their beginning (BART's) belongs to the
    opening; on the encoder's side it is ``{bos}`` of the template.

    Raises:
        ModelError: ``model.unsupported`` for a family that was not compared, without a first token of the decoder, or
            whose texts begin with anything but the beginning of sequence.
    """
    name = model.config.model_type
    start = getattr(model.config, "decoder_start_token_id", None)
    start = getattr(model.generation_config, "decoder_start_token_id", None) if start is None else start
    before, behind = _marks(tokenizer)
    if name not in SEQ2SEQ:
        message = f"{name} is an encoder-decoder that nobody has compared; compared are {', '.join(SEQ2SEQ)}"
        raise ModelError("model.unsupported", message, cure="use one of these")
    if start is None:
        message = f"the config of {name} names no token that its decoder begins with (decoder_start_token_id)"
        raise ModelError("model.unsupported", message, cure="write it into config.json")
    if before not in ((), (tokenizer.bos_token_id,)):
        marks = ", ".join(map(str, before))
        message = f"texts of this {name} begin with marks ({marks}), mostly of a language, that templates cannot write"
        raise ModelError("model.unsupported", message, cure=f"use one of {', '.join(SEQ2SEQ)} without such marks")
    return Frame(behind, (int(start), *before))


def _marks(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids that a tokenizer writes before and behind a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next(n for n in range(len(whole)) if whole[n : n + len(bare)] == bare)
    return tuple(whole[:at]), tuple(whole[at + len(bare) :])


def positions_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Longest sequence of either side in tokens, marks included."""
    table = getattr(model.config, "max_position_embeddings", None)
    if table:
        return int(table)
    said = int(min(tokenizer.model_max_length, 1 << 20))  # 10**30 where a tokenizer does not know
    trained = int(getattr(model.config, "n_positions", None) or USUAL)
    return max(trained, said if said < 1 << 20 else 0)


@torch.no_grad()
def measure_seq2seq(model: PreTrainedModel) -> tuple[int, tuple[int, int, int], tuple[tuple[int, int, int], ...]]:
    """Embedding width, shape of the encoder's output, and (G, Dk, Dv) of the cross states by layer, from two tokens."""
    name, place = type(model).__name__, inputs_device(model)
    embeds = model.get_input_embeddings()(torch.zeros(1, 2, dtype=torch.long, device=place))
    try:
        hidden = model.get_encoder()(inputs_embeds=embeds).last_hidden_state[:, None]
        cross = cross_states(model, State((hidden,), (hidden[..., :0],), (2,)), embeds[:, :1])
    except (AttributeError, IndexError, TypeError, ValueError, NotImplementedError, RuntimeError) as error:
        message = f"{name} cannot be driven with vectors and a cached encoder: {error}"
        raise ModelError("model.unsupported", message) from error
    shapes = tuple((k.shape[1], k.shape[3], v.shape[3]) for k, v in zip(cross.keys, cross.values, strict=True))
    return embeds.shape[-1], (1, hidden.shape[-1], 0), shapes
