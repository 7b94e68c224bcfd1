"""A trained model -> the same with a smaller vocabulary: the last merges of its tokenizer are undone.

    python -m tools.embedded_model.shrink MODEL --vocab-size 15360 [--vectors DATA/vectors.safetensors] --out FOLDER

A byte-level BPE vocabulary is ordered by when a merge was learnt, so its beginning is the vocabulary that would have
been learnt with fewer entries: embeddings that stay keep their meaning, a word that is dropped is written in pieces.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from .model import export_model, load_model


def shrink_tokenizer(document: dict[str, Any], size: int) -> dict[str, Any]:
    """The document of a tokenizer.json with the first `size` entries, and the merges that make them.

    >>> merges = [["a", "b"], ["ab", "c"]]
    >>> vocab = {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4}
    >>> shrink_tokenizer({"model": {"vocab": vocab, "merges": merges}}, 4)["model"]
    {'vocab': {'a': 0, 'b': 1, 'c': 2, 'ab': 3}, 'merges': [['a', 'b']]}
    """
    model = document["model"]
    vocab = {name: token for name, token in model["vocab"].items() if token < size}
    merges = [merge for merge in model["merges"] if "".join(merge) in vocab]
    return {**document, "model": {**model, "vocab": vocab, "merges": merges}}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model folder of this toolchain, with its tokenizer.json")
    parser.add_argument("--vocab-size", type=int, required=True)
    parser.add_argument("--vectors", type=Path, help="vectors of meaning (vectors.py) to be cut with it")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    model = load_model(options.model)
    if not 0 < options.vocab_size <= model.config.vocab_size:
        parser.error(f"--vocab-size {options.vocab_size}: the model has {model.config.vocab_size} entries")
    document = json.loads((options.model / "tokenizer.json").read_text("utf-8"))
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer_json = options.out / "tokenizer.json"
    text = json.dumps(shrink_tokenizer(document, options.vocab_size), ensure_ascii=False, indent=2)
    tokenizer_json.write_text(text, encoding="utf-8")
    model.resize_token_embeddings(options.vocab_size)
    export_model(model, tokenizer_json, options.out)
    if options.vectors:
        vectors = {name: array[: options.vocab_size].copy() for name, array in load_file(options.vectors).items()}
        save_file(vectors, options.out / options.vectors.name)
    print(f"{len(document['model']['vocab']):,} -> {options.vocab_size:,} entries -> {options.out}")


if __name__ == "__main__":
    main()
