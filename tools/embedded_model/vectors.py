"""Packed tokens -> a vector of meaning for each token, and how much each tells of a text.

    python -m tools.embedded_model.vectors DATA [--size 256]

Writes DATA/vectors.safetensors. The directions are a truncated SVD of the positive pointwise mutual information of
tokens within a window (Levy & Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization", contexts
smoothed by the power 0.75; Levy, Goldberg & Dagan 2015), the weights are a / (a + frequency) (Arora et al. 2017, "A
Simple but Tough-to-Beat Baseline for Sentence Embeddings"). Knows counts; nothing of models.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy import sparse
from scipy.sparse.linalg import svds
from tokenizers import Tokenizer

from .tokens import token_files

FILE = "vectors.safetensors"
WINDOW = 6  # tokens to either side that count as context, near ones more
SMOOTHING = 0.75  # power of the contexts' frequencies
SINGULAR_POWER = 0.4  # directions are U S^0.4, then scaled to length one
RARE = 1e-3  # `a` of the weights
CHUNK_TOKENS = 20_000_000
WORD_START = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"  # how a byte-level vocabulary writes a leading blank


def same_words(names: Sequence[str]) -> np.ndarray:
    """Which tokens are one word: case and the leading blank do not count; a piece inside a word is its own. int32 [V].

    >>> same_words(["\u0120Refund", "\u0120refund", "REFUND", "und"]).tolist()
    [0, 0, 0, 1]
    """
    words: dict[str, int] = {}
    keys = ("##" * name[:1].islower() + name.removeprefix(WORD_START).lower() for name in names)
    return np.array([words.setdefault(key, len(words)) for key in keys], dtype=np.int32)


def count_neighbours(streams: Iterable[np.ndarray], size: int, *, window: int = WINDOW) -> sparse.csr_matrix:
    """How often words stand within a window of each other, a neighbour at distance d counted (window + 1 - d) / window.

    Args:
        streams: Word numbers below `size` in the order of the text, a 1-D array a corpus.
        size: How many words there are, W.
        window: The largest distance.

    Returns:
        Symmetric counts, float32 [W, W]; pairs counted less than once are dropped.
    """
    counts = sparse.csr_matrix((size, size), dtype=np.float32)
    for stream in streams:
        for distance in range(1, window + 1):
            weight = (window + 1 - distance) / window
            for start in range(0, len(stream) - distance, CHUNK_TOKENS):
                right = stream[start + distance : start + distance + CHUNK_TOKENS]
                left = stream[start : start + len(right)]
                ones = np.full(len(right), weight, dtype=np.float32)
                counts += sparse.coo_matrix((ones, (left, right)), shape=(size, size)).tocsr()
    counts = (counts + counts.T).tocsr()
    counts.data[counts.data < 1] = 0
    counts.eliminate_zeros()
    return counts


def directions(counts: sparse.csr_matrix, size: int, *, seed: int = 0) -> np.ndarray:
    """Unit vectors of the words, float32 [W, size]; a word without neighbours gets zeros.

    >>> twins = sparse.csr_matrix(np.array([[0, 0, 9, 1], [0, 0, 9, 1], [9, 9, 0, 5], [1, 1, 5, 9.0]]))
    >>> found = directions(twins, 2)
    >>> bool(found[0] @ found[1] > 0.99 > found[0] @ found[2])
    True
    """
    rows = np.asarray(counts.sum(axis=1)).ravel() + 1e-9
    contexts = rows**SMOOTHING / (rows**SMOOTHING).sum()
    pairs = counts.tocoo()
    information = np.log(pairs.data / (rows[pairs.row] * contexts[pairs.col]))
    kept = information > 0
    matrix = sparse.csr_matrix(
        (information[kept], (pairs.row[kept], pairs.col[kept])), shape=counts.shape, dtype=np.float64
    )
    start = np.random.default_rng(seed).standard_normal(matrix.shape[0])
    left, values, _ = svds(matrix, k=size, v0=start)
    vectors = left[:, ::-1] * values[::-1] ** SINGULAR_POWER
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(length, 1e-9)).astype(np.float32)


def weights(token_counts: np.ndarray, words: np.ndarray) -> np.ndarray:
    """How much each token tells of a text, by its word's frequency: near 1 if rare, 0.02 for "the". float32 [V]."""
    frequency = np.bincount(words, weights=token_counts)[words] / max(token_counts.sum(), 1)
    return (RARE / (RARE + frequency)).astype(np.float32)


def load_vectors(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """What `main` wrote: unit directions, float32 [V, D], and weights, float32 [V]."""
    found = load_file(data / FILE)
    return found["directions"], found["weights"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder written by prepare.py")
    parser.add_argument("--size", type=int, default=256, help="numbers a vector")
    options = parser.parse_args(arguments)

    tokenizer = Tokenizer.from_file(str(options.data / "tokenizer.json"))
    names = [tokenizer.id_to_token(token) for token in range(tokenizer.get_vocab_size())]
    words = same_words(names)
    corpora = [np.fromfile(path, dtype=np.uint16) for path in token_files(options.data).values()]
    counted = np.sum([np.bincount(corpus, minlength=len(names)) for corpus in corpora], axis=0)
    counts = count_neighbours((words[corpus] for corpus in corpora), int(words.max()) + 1)
    found = directions(counts, options.size)
    save_file(
        {"directions": found[words], "weights": weights(counted, words)},
        options.data / FILE,
        metadata={"meta": json.dumps({"window": WINDOW, "words": len(found), "pairs": int(counts.nnz)})},
    )
    print(
        f"{len(names)} tokens, {len(found)} words, {counts.nnz / 1e6:.1f}M pairs -> {options.data / FILE}", flush=True
    )


if __name__ == "__main__":
    main()
