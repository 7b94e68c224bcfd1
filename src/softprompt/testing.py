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
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import wrap
from softprompt.model.backbones.weights.devices import cast

__all__ = ["ENCODERS", "FAMILIES", "MORE", "SEQ2SEQ", "tiny", "tiny_tokenizer"]

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

#: Causal family -> a fresh model of it, held to every law.
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

_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_SCALES = {"embedding_multiplier": 3.0, "attention_multiplier": 0.3, "residual_multiplier": 0.7, "logits_scaling": 2.0}
_LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 12}

#: More causal families, held to the laws of scores, roads and decoding: experts, each token's chosen by itself; one
#: head of keys and values for all; scaled embeddings, residuals and logits; attention sinks; states kept in small.
MORE: dict[str, Callable[[], hf.PreTrainedModel]] = {
    "mixtral": lambda: hf.MixtralForCausalLM(
        hf.MixtralConfig(**_BASE, **_HEADS, num_local_experts=4, num_experts_per_tok=2, sliding_window=6)
    ),
    "qwen2_moe": lambda: hf.Qwen2MoeForCausalLM(
        hf.Qwen2MoeConfig(
            **_BASE, **_EXPERTS, num_key_value_heads=2, shared_expert_intermediate_size=24, decoder_sparse_step=2
        )
    ),
    "qwen3_moe": lambda: hf.Qwen3MoeForCausalLM(hf.Qwen3MoeConfig(**_BASE, **_HEADS, **_EXPERTS, norm_topk_prob=True)),
    "gpt_oss": lambda: hf.GptOssForCausalLM(
        hf.GptOssConfig(
            **_BASE, **_HEADS, num_local_experts=4, num_experts_per_tok=2, sliding_window=6,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        )
    ),
    "deepseek_v3": lambda: hf.DeepseekV3ForCausalLM(
        hf.DeepseekV3Config(
            **_BASE, **_LATENT, num_key_value_heads=4, n_routed_experts=4, num_experts_per_tok=2, n_group=1,
            topk_group=1, n_shared_experts=1, moe_intermediate_size=24, first_k_dense_replace=1,
        )
    ),
    "qwen3": lambda: hf.Qwen3ForCausalLM(
        hf.Qwen3Config(**_BASE, **_HEADS, use_sliding_window=True, sliding_window=6, max_window_layers=1)
    ),
    "phi3": lambda: hf.Phi3ForCausalLM(hf.Phi3Config(**_BASE, num_key_value_heads=2, sliding_window=6)),
    "mpt": lambda: hf.MptForCausalLM(
        hf.MptConfig(vocab_size=_VOCAB, d_model=32, n_layers=3, n_heads=4, max_seq_len=256, expansion_ratio=2)
    ),
    "gpt_bigcode": lambda: hf.GPTBigCodeForCausalLM(hf.GPTBigCodeConfig(**_GPT2, multi_query=True)),
    "gptj": lambda: hf.GPTJForCausalLM(hf.GPTJConfig(**_GPT2, rotary_dim=4)),
    "gemma": lambda: hf.GemmaForCausalLM(hf.GemmaConfig(**_BASE, num_key_value_heads=1, head_dim=8)),
    "cohere": lambda: hf.CohereForCausalLM(hf.CohereConfig(**_BASE, num_key_value_heads=2, logit_scale=0.25)),
    "cohere2": lambda: hf.Cohere2ForCausalLM(
        hf.Cohere2Config(**_BASE, num_key_value_heads=2, logit_scale=0.25, sliding_window=6)
    ),
    "granite": lambda: hf.GraniteForCausalLM(hf.GraniteConfig(**_BASE, **_SCALES, num_key_value_heads=2)),
    "olmo2": lambda: hf.Olmo2ForCausalLM(hf.Olmo2Config(**_BASE, num_key_value_heads=2)),
}  # fmt: skip

_T5 = {
    "vocab_size": _VOCAB,
    "d_model": 32,
    "d_kv": 8,
    "num_heads": 4,
    "d_ff": 48,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "bos_token_id": None,
    "eos_token_id": 257,
    "pad_token_id": 258,
    "decoder_start_token_id": 258,
}
_BART = {
    "vocab_size": _VOCAB,
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 256,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 258,
    "decoder_start_token_id": 257,
    "forced_eos_token_id": None,
}
#: What the tokenizer of a family writes around a text.
_MARKED = dict.fromkeys(("t5", "flan_t5", "mt5", "umt5", "mbart", "pegasus"), "$A <eos>") | {"bart": "<bos> $A <eos>"}
_GATED = {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}

#: Encoder-decoder family -> a fresh model of it: distances as positions, or tables of them; tied and untied heads.
SEQ2SEQ: dict[str, Callable[[], hf.PreTrainedModel]] = {
    "t5": lambda: hf.T5ForConditionalGeneration(hf.T5Config(**_T5)),
    "flan_t5": lambda: hf.T5ForConditionalGeneration(hf.T5Config(**_GATED)),
    "mt5": lambda: hf.MT5ForConditionalGeneration(hf.MT5Config(**_GATED)),
    "umt5": lambda: hf.UMT5ForConditionalGeneration(hf.UMT5Config(**_GATED)),
    "bart": lambda: hf.BartForConditionalGeneration(hf.BartConfig(**_BART)),
    "mbart": lambda: hf.MBartForConditionalGeneration(hf.MBartConfig(**_BART, scale_embedding=True)),
    "pegasus": lambda: hf.PegasusForConditionalGeneration(hf.PegasusConfig(**{**_BART, "decoder_start_token_id": 258})),
}

_ENCODER = {key: value for key, value in _BASE.items() if key not in ("bos_token_id", "eos_token_id")}
_ROBERTA = {**_ENCODER, "pad_token_id": 1, "max_position_embeddings": 258}
_DISTANCES = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "max_relative_positions": 256}

#: Encoder family -> a fresh model of it: with a mask head, or bare.
ENCODERS: dict[str, Callable[[], hf.PreTrainedModel]] = {
    "bert": lambda: hf.BertForMaskedLM(hf.BertConfig(**_ENCODER)),
    "roberta": lambda: hf.RobertaForMaskedLM(hf.RobertaConfig(**_ROBERTA)),
    "albert": lambda: hf.AlbertForMaskedLM(hf.AlbertConfig(**_ENCODER, embedding_size=20)),
    "distilbert": lambda: hf.DistilBertForMaskedLM(
        hf.DistilBertConfig(
            vocab_size=_VOCAB, dim=32, n_layers=3, n_heads=4, hidden_dim=48, max_position_embeddings=256,
            pad_token_id=258,
        )
    ),
    "electra": lambda: hf.ElectraForMaskedLM(hf.ElectraConfig(**_ENCODER, embedding_size=20)),
    "mpnet": lambda: hf.MPNetForMaskedLM(hf.MPNetConfig(**_ROBERTA)),
    "deberta_v2": lambda: hf.DebertaV2ForMaskedLM(
        hf.DebertaV2Config(
            **_ENCODER, **_DISTANCES, position_buckets=8, share_att_key=True, norm_rel_ebd="layer_norm",
            position_biased_input=False, type_vocab_size=0,
        )
    ),
    "deberta_v2_unbucketed": lambda: hf.DebertaV2ForMaskedLM(hf.DebertaV2Config(**_ENCODER, **_DISTANCES)),
    "minilm": lambda: hf.BertModel(hf.BertConfig(**_ENCODER), add_pooling_layer=False),
    "electra_discriminator": lambda: hf.ElectraModel(hf.ElectraConfig(**_ENCODER, embedding_size=20)),
}  # fmt: skip


def tiny(
    family: str = "llama", *, seed: int = 0, dtype: torch.dtype = torch.float32, attention: str | None = None
) -> Backbone:
    """A tiny frozen model.

    Args:
        family: One of :data:`FAMILIES`, :data:`MORE`, :data:`SEQ2SEQ` or :data:`ENCODERS`.
        seed: Of the weights; equal seeds give equal models.
        dtype: Of the weights.
        attention: ``sdpa`` or ``eager``; None leaves transformers' choice.

    >>> backbone = tiny("opt")
    >>> backbone.spec.embed_dim, backbone.spec.kv_shapes[0]
    (20, (4, 8, 8))
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = {**FAMILIES, **MORE, **SEQ2SEQ, **ENCODERS}[family]()
        _scale_up(model)
    if attention:
        model.set_attn_implementation(attention)
    cast(model, dtype)
    tokenizer = tiny_tokenizer(_MARKED.get(family))
    if family in ENCODERS:
        tokenizer.add_special_tokens({"mask_token": "<mask>"})
    return wrap(model, tokenizer, name=f"tiny-{family}")


def tiny_tokenizer(marked: str | None = None) -> hf.PreTrainedTokenizerFast:
    """Bytes as tokens, with ``<bos>``, ``<eos>`` and ``<pad>``; ids up to 258 of a vocabulary of 300.

    Args:
        marked: What a call of the tokenizer writes around a text ``$A``, e.g. ``$A <eos>``; None: nothing.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    if marked:
        special = [("<bos>", 256), ("<eos>", 257)]
        backend.add_special_tokens([token for token, _ in special])
        backend.post_processor = processors.TemplateProcessing(single=marked, special_tokens=special)
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
