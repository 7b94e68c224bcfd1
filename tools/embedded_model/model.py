"""The model of this toolchain: a Llama-shaped decoder, its loss, and the folder it is shipped in.

The one file here that imports transformers. Weights are float32 while they are trained, bfloat16 when shipped.
"""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, LlamaConfig, LlamaForCausalLM

HEAD_DIM = 64
SHARD_SIZE = "15MB"


@dataclass(frozen=True)
class Shape:
    """What distinguishes one model from another; heads are 64 wide, two query heads share a key/value head."""

    hidden: int = 256
    layers: int = 6
    intermediate: int = 704
    vocab_size: int = 8192
    context: int = 1024


def new_model(shape: Shape) -> LlamaForCausalLM:
    """A model with fresh weights: deviation 0.02, divided by sqrt(2 x layers) where a layer writes back (GPT-2's rule).

    >>> new_model(Shape(hidden=64, layers=1, intermediate=96, vocab_size=32)).num_parameters()
    37056
    """
    heads = shape.hidden // HEAD_DIM
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2),
        head_dim=HEAD_DIM,
        tie_word_embeddings=True,
        max_position_embeddings=shape.context,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        initializer_range=0.02,
    )
    model = LlamaForCausalLM(config)
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            torch.nn.init.normal_(weight, 0.0, 0.02 / math.sqrt(2 * shape.layers))
    return model


def load_model(folder: Path) -> LlamaForCausalLM:
    """The model of a folder, in float32, from safetensors only and from this disk only."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, local_files_only=True)


def load_encoder(folder: Path) -> tuple[Any, Any]:
    """A sentence encoder such as MiniLM and its tokenizer, in float32, from this disk only: to compare with."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def losses(model: LlamaForCausalLM, ids: Tensor, reading: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Language-model loss of texts, and the states from which other objectives are asked.

    The loss is the plain cross-entropy, not the model's own: compiled, it is the faster one on a CPU.

    Args:
        model: The model.
        ids: Texts, [B, T].
        reading: Tokens behind each text that are not predicted, [B, R]; R may be 0.
        asked: Positions whose next token is asked, each below T - 1, [P].

    Returns:
        The summed negative log-likelihood, in nats, of the tokens behind `asked`, []; the final states, [B, T + R, H].
    """
    hidden = model.model(torch.cat([ids, reading], dim=1), use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, asked]).float()
    loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, asked + 1].flatten(), reduction="sum")
    return loss, hidden


def matrices_and_rest(model: LlamaForCausalLM) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters for Muon (matrices inside the layers) and for AdamW (embeddings and norms)."""
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, weight in model.named_parameters():
        (matrices if weight.ndim == 2 and "embed" not in name else rest).append(weight)
    return matrices, rest


def export_model(model: LlamaForCausalLM, tokenizer_json: Path, folder: Path) -> None:
    """Write what is shipped: config, generation config, tokenizer and bfloat16 safetensors in shards under 16 MB."""
    shipped = LlamaForCausalLM(model.config).to(torch.bfloat16)
    shipped.load_state_dict(model.state_dict())
    shipped.save_pretrained(folder, max_shard_size=SHARD_SIZE)
    if tokenizer_json.resolve() != (folder / "tokenizer.json").resolve():
        shutil.copyfile(tokenizer_json, folder / "tokenizer.json")
    tokenizer_config = {
        "backend": "tokenizers",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "model_max_length": model.config.max_position_embeddings,
        "pad_token": "<|pad|>",
        "tokenizer_class": "TokenizersBackend",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2) + "\n")
