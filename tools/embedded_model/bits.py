"""Bits per byte: how well a model predicts a text, comparable between tokenizers. Knows nothing of training."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaForCausalLM

from .corpus import read_documents
from .model import losses
from .tokens import encode_pieces


def windows(stream: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """Windows of at most `length` tokens that overlap by one: every token but the first is predicted exactly once.

    >>> [w.tolist() for w in windows(np.arange(6), 3)]
    [[0, 1, 2], [2, 3, 4], [4, 5]]
    """
    for start in range(0, len(stream) - 1, length - 1):
        yield stream[start : start + length]


def clip_bytes(texts: Iterable[str], most: int | None) -> Iterator[str]:
    """Texts until their bytes exceed `most` (the last one is kept whole)."""
    total = 0
    for text in texts:
        if most is not None and total >= most:
            return
        total += len(text.encode())
        yield text


@torch.no_grad()
def bits_per_byte(
    model: LlamaForCausalLM, tokenizer: Tokenizer, texts: Sequence[str], *, length: int = 512, rows: int = 8
) -> float:
    """Bits that the model needs for each byte of UTF-8; end-of-text tokens between the texts count too."""
    stream = np.concatenate(list(encode_pieces(tokenizer, texts))).astype(np.int64)
    device = next(model.parameters()).device
    nats, batch = 0.0, list[np.ndarray]()
    training = model.training
    model.eval()
    for window in windows(stream, length):
        if batch and (len(batch) == rows or len(window) != len(batch[0])):
            nats += _batch_nats(model, batch, device)
            batch = []
        batch.append(window)
    nats += _batch_nats(model, batch, device)
    model.train(training)
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def _batch_nats(model: LlamaForCausalLM, batch: list[np.ndarray], device: torch.device) -> float:
    ids: Tensor = torch.from_numpy(np.stack(batch)).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        everywhere = torch.arange(ids.shape[1] - 1, device=ids.device)
    return losses(model, ids, ids[:, :0], everywhere)[0].item()


def held_out_bits(
    model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path, *, most_bytes: int | None = None, length: int = 512
) -> dict[str, float]:
    """Bits per byte of each `NAME.txt` under the folder, on at most about `most_bytes` of each (empty ones not)."""
    texts = {path.stem: list(clip_bytes(read_documents(path), most_bytes)) for path in sorted(folder.glob("*.txt"))}
    if not any(texts.values()):
        raise FileNotFoundError(f"no held-out texts (NAME.txt) under {folder}; run prepare.py first")
    return {name: bits_per_byte(model, tokenizer, held, length=length) for name, held in texts.items() if held}
