"""Tiny real models for tests: ours, and those of whoever writes a method or a backbone.

Each family is the real transformers class with two or three layers and random weights, so no download is needed and a
forward takes a millisecond. The weights are scaled up: with the default initialisation attention is nearly uniform, and
a model that ignores positions or masks would pass. Families are chosen to differ in what breaks a splice: rotary,
learned and slot positions, ALiBi, sliding windows, tied and untied heads, grouped and single key/value heads, soft
caps, scaled embeddings, and embeddings narrower than the model.
"""

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.devices import cast
from softprompt.model.backbones.loading import wrap

__all__ = ["FAMILIES", "tiny", "tiny_tokenizer"]

_VOCAB = 300

_BASE: dict[str, Any] = {
    "vocab_size": _VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 258,
}
_HEADS = {"num_key_value_heads": 2, "head_dim": 8}
_GPT2 = {
    "vocab_size": _VOCAB,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 256,
    "bos_token_id": 256,
    "eos_token_id": 257,
}
_GEMMA = {**_BASE, **_HEADS, "sliding_window": 7, "query_pre_attn_scalar": 8}

#: Family -> a fresh model of it.
FAMILIES: dict[str, Callable[[], hf.PreTrainedModel]] = {
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_BASE, **_HEADS, tie_word_embeddings=True)),
    "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**_BASE, num_key_value_heads=1, tie_word_embeddings=False)),
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**_GPT2)),
    "gpt_neox": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**_BASE, rotary_pct=0.5)),
    "opt": lambda: hf.OPTForCausalLM(
        hf.OPTConfig(
            **{key: value for key, value in _BASE.items() if key != "intermediate_size"},
            ffn_dim=48,
            word_embed_proj_dim=20,
            do_layer_norm_before=False,
        )
    ),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**_BASE, **_HEADS, sliding_window=6)),
    "gemma2": lambda: hf.Gemma2ForCausalLM(hf.Gemma2Config(**_GEMMA)),
    "gemma3": lambda: hf.Gemma3ForCausalLM(hf.Gemma3TextConfig(**_GEMMA, sliding_window_pattern=2)),
    "falcon": lambda: hf.FalconForCausalLM(
        hf.FalconConfig(**{**_BASE, "ffn_hidden_size": 48}, multi_query=True, alibi=False)
    ),
    "falcon_alibi": lambda: hf.FalconForCausalLM(
        hf.FalconConfig(**{**_BASE, "ffn_hidden_size": 48}, multi_query=False, alibi=True)
    ),
    "bloom": lambda: hf.BloomForCausalLM(
        hf.BloomConfig(
            vocab_size=_VOCAB, hidden_size=32, n_layer=3, n_head=4, bos_token_id=256, eos_token_id=257, pad_token_id=258
        )
    ),
}


def tiny(
    family: str = "llama", *, seed: int = 0, dtype: torch.dtype = torch.float32, attention: str | None = None
) -> Backbone:
    """A tiny frozen model.

    Args:
        family: One of :data:`FAMILIES`.
        seed: Of the weights; equal seeds give equal models.
        dtype: Of the weights.
        attention: ``sdpa`` or ``eager``; None leaves transformers' choice.

    >>> backbone = tiny("opt")
    >>> backbone.spec.embed_dim, backbone.spec.kv_shapes[0]
    (20, (4, 8, 8))
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FAMILIES[family]()
        _scale_up(model)
    if attention:
        model.set_attn_implementation(attention)
    cast(model, dtype)
    return wrap(model, tiny_tokenizer(), name=f"tiny-{family}")


def tiny_tokenizer() -> hf.PreTrainedTokenizerFast:
    """Bytes as tokens, with ``<bos>``, ``<eos>`` and ``<pad>``; ids up to 258 of a vocabulary of 300."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return hf.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>")


@torch.no_grad()
def _scale_up(model: torch.nn.Module) -> None:
    """Weights large enough that attention is sharp and every position counts."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            if name.endswith("bias"):
                parameter.normal_(0, 0.2)
        elif "embed" in name or "wte" in name or "wpe" in name:
            parameter.normal_(0, 0.5)
        else:
            parameter.normal_(0, 1.6 / parameter.shape[-1] ** 0.5)
