"""A trained model -> a wider one with another vocabulary, whose new half starts from vectors of meaning.

    python -m tools.embedded_model.grow MODEL DATA --out FOLDER [--intermediate 768]

DATA holds the new tokenizer.json and vectors.safetensors. The wide model first says about what the narrow one said:
old weights stand in the old entries, zeros between them and the new ones, and the gains of the norms make up for the
width (growing without forgetting: Chen et al. 2016, "Net2Net"; Gong et al. 2019). A token that the old vocabulary lacks
starts as the mean of the pieces it was written with. The new half of an embedding is the token's direction times its
weight; the new heads attend evenly and pass the mean of it on, so that the final states begin with a gist (gist.py).
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from .model import HEAD_DIM, Shape, export_model, load_model, new_model
from .tokens import token_files
from .vectors import load_vectors

SCALE = 2.0  # length of a new half whose weight is 1: about that of an old half
FINAL_GAIN = 0.1  # what the new half may say to the logits at first, beside the old half
CALIBRATION_ROWS, CALIBRATION_TOKENS = 16, 128


def old_halves(old: Tensor, old_tokenizer: Tokenizer, tokenizer: Tokenizer) -> Tensor:
    """The old embedding of each new token, or the mean of its pieces' embeddings, [V, old hidden]."""
    rows = []
    for token in range(tokenizer.get_vocab_size()):
        name = tokenizer.id_to_token(token)
        known = old_tokenizer.token_to_id(name)
        pieces = [known] if known is not None else [piece.id for piece in old_tokenizer.model.tokenize(name)]
        rows.append(old[pieces].mean(0))
    return torch.stack(rows)


@torch.no_grad()
def grow(narrow: LlamaForCausalLM, embeddings: Tensor, halves: Tensor, *, intermediate: int) -> LlamaForCausalLM:
    """The wide model, its norms not yet calibrated.

    Args:
        narrow: The trained model.
        embeddings: The old half of each token, [V, H].
        halves: The new half of each token, [V, D]; D a multiple of 128.
        intermediate: Width of the feed-forward blocks, at least the old one.

    Raises:
        ValueError: The feed-forward blocks would shrink.
    """
    config = narrow.config
    before, added = config.hidden_size, halves.shape[1]
    if intermediate < config.intermediate_size:
        raise ValueError(f"intermediate {intermediate} is less than the old {config.intermediate_size}")
    shape = Shape(
        before + added, config.num_hidden_layers, intermediate, len(embeddings), config.max_position_embeddings
    )
    wide = new_model(shape)
    wide.model.embed_tokens.weight.copy_(torch.cat([embeddings, halves], dim=1))
    for number, (old, new) in enumerate(zip(narrow.model.layers, wide.model.layers, strict=True)):
        for name in ("q_proj", "k_proj", "v_proj"):
            _corner(getattr(new.self_attn, name).weight, getattr(old.self_attn, name).weight)
        for name in ("gate_proj", "up_proj"):
            _corner(getattr(new.mlp, name).weight, getattr(old.mlp, name).weight)
        _corner_that_writes(new.self_attn.o_proj.weight, old.self_attn.o_proj.weight)
        _corner_that_writes(new.mlp.down_proj.weight, old.mlp.down_proj.weight)
        for name in ("input_layernorm", "post_attention_layernorm"):
            _gains(getattr(new, name).weight, getattr(old, name).weight)
        _pass_on(new.self_attn.v_proj.weight, new.self_attn.o_proj.weight, before, number)
    _gains(wide.model.norm.weight, narrow.model.norm.weight)
    wide.model.norm.weight[before:] *= FINAL_GAIN
    return wide


def _corner(new: Tensor, old: Tensor) -> None:
    """The old matrix in the corner, undisturbed: it reads nothing new."""
    rows, columns = old.shape
    new[:rows, :columns] = old
    new[:rows, columns:] = 0


def _corner_that_writes(new: Tensor, old: Tensor) -> None:
    """The old matrix in the corner: nothing new is written into the old half, nor the other way."""
    _corner(new, old)
    new[old.shape[0] :, : old.shape[1]] = 0


def _gains(new: Tensor, old: Tensor) -> None:
    new[: len(old)] = old
    new[len(old) :] = old.abs().mean()


def _pass_on(values: Tensor, output: Tensor, before: int, layer: int) -> None:
    """New heads that write the mean of one part of the new half back into it; layers take the parts in turn."""
    first_head, first_value = before, before // 2  # two query heads share a key/value head
    part = values.shape[0] - first_value
    added = output.shape[0] - before
    start = before + layer * part % added
    eye = torch.eye(part)
    values[first_value:] = 0
    values[first_value:, start : start + part] = eye
    output[:, first_head:] = 0
    for head in range((output.shape[1] - first_head) // HEAD_DIM):
        column, source = first_head + head * HEAD_DIM, head // 2 * HEAD_DIM
        output[start + source : start + source + HEAD_DIM, column : column + HEAD_DIM] = torch.eye(HEAD_DIM) / 2


@torch.no_grad()
def calibrate(wide: LlamaForCausalLM, ids: Tensor, before: int) -> None:
    """Scale every norm's gain, first to last, so that its old half comes out as large as it did alone.

    Args:
        wide: The model; changed in place.
        ids: Some text, [B, T].
        before: Entries of the old half.
    """
    norms = [norm for layer in wide.model.layers for norm in (layer.input_layernorm, layer.post_attention_layernorm)]
    for norm in (*norms, wide.model.norm):
        seen: list[Tensor] = []
        handle = norm.register_forward_pre_hook(_keeper(seen))
        wide.model(ids, use_cache=False)
        handle.remove()
        whole, half = (part.float().pow(2).mean(-1).sqrt() for part in (seen[0], seen[0][..., :before]))
        norm.weight *= (whole / half).median()


def _keeper(seen: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    return lambda _, inputs: seen.append(inputs[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model folder of this toolchain, with its tokenizer.json")
    parser.add_argument("data", type=Path, help="a folder of prepare.py with vectors.safetensors of vectors.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--intermediate", type=int, default=768)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)

    narrow = load_model(options.model)
    tokenizer_json = options.data / "tokenizer.json"
    old_tokenizer, tokenizer = (
        Tokenizer.from_file(str(path)) for path in (options.model / "tokenizer.json", tokenizer_json)
    )
    directions, weights = (torch.from_numpy(array) for array in load_vectors(options.data))
    embeddings = old_halves(narrow.model.embed_tokens.weight.detach(), old_tokenizer, tokenizer)
    wide = grow(narrow, embeddings, SCALE * weights[:, None] * directions, intermediate=options.intermediate)
    corpus = np.fromfile(next(iter(token_files(options.data).values())), dtype=np.uint16)
    sample = corpus[: CALIBRATION_ROWS * CALIBRATION_TOKENS].astype(np.int64)
    calibrate(wide, torch.from_numpy(sample).view(CALIBRATION_ROWS, -1), narrow.config.hidden_size)
    export_model(wide, tokenizer_json, options.out)
    widths = f"{narrow.config.hidden_size} -> {wide.config.hidden_size} wide"
    print(f"{widths}, {wide.num_parameters():,} parameters -> {options.out}")


if __name__ == "__main__":
    main()
