"""Text files -> tokenizer, packed token files and held-out texts.

    python -m tools.embedded_model.prepare CORPUS.txt.zst ... --out FOLDER [--tokenizer tokenizer.json]

Writes OUT/tokenizer.json, OUT/heldout/NAME.txt, OUT/train/NAME.bin and OUT/meta.json. A corpus whose token file stands
is not packed again, so a run that was interrupted goes on with the next one.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from .corpus import SHORTEST_CHARS, Deduplicator, corpus_name, draw_pieces, read_documents, write_documents
from .tokens import encode_pieces, write_tokens

SPECIAL_TOKENS = ["<|endoftext|>", "<|pad|>", *(f"<|reserved_{i}|>" for i in range(4))]
TOKENIZER_PIECES = 48_000  # pieces, over all corpora, that the vocabulary is learnt from


def train_tokenizer(pieces: Iterator[str], *, vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer with single digits: any text can be encoded, and decoding gives it back exactly."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pieces, trainer)
    return tokenizer


def hold_out(paths: Sequence[Path], folder: Path) -> dict[str, int]:
    """Write the held-out texts of all corpora; returns their bytes by corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        corpus_name(path): write_documents(folder / f"{corpus_name(path)}.txt", _pieces(path, held=True))
        for path in paths
    }


def _pieces(path: Path, *, held: bool) -> Iterator[str]:
    return (piece for is_held, piece in draw_pieces(path) if is_held is held)


def _fresh_pieces(path: Path, duplicates: Deduplicator) -> Iterator[str]:
    """The training pieces without paragraphs seen before; what is left too short is dropped."""
    for piece in _pieces(path, held=False):
        fresh = duplicates.keep_new(piece).strip()
        if len(fresh) >= SHORTEST_CHARS:
            yield fresh


def pack_corpus(path: Path, out: Path, tokenizer: Tokenizer, duplicates: Deduplicator) -> int:
    """Write `out/train/NAME.bin` and, beside it, the paragraph fingerprints that later corpora are checked against."""
    name = corpus_name(path)
    target, fingerprints = out / "train" / f"{name}.bin", out / "train" / f"{name}.seen.npy"
    if target.exists():
        duplicates.seen.update(np.load(fingerprints).tolist())
        return target.stat().st_size // 2
    before = set(duplicates.seen)
    pieces = _fresh_pieces(path, duplicates)
    count = write_tokens(target.with_suffix(".done"), encode_pieces(tokenizer, pieces))
    np.save(fingerprints, np.array(sorted(duplicates.seen - before), dtype=np.uint64))
    target.with_suffix(".done").replace(target)  # last: a token file that stands has its fingerprints
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "corpora", nargs="+", type=Path, metavar="FILE", help=".txt or .txt.zst, documents separated by a line <|doc|>"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, help="keep this tokenizer.json instead of training one")
    parser.add_argument("--vocab-size", type=int, default=8192)
    options = parser.parse_args(arguments)
    (options.out / "train").mkdir(parents=True, exist_ok=True)

    print("holding out", flush=True)
    held_bytes = hold_out(options.corpora, options.out / "heldout")
    duplicates = Deduplicator()
    for name in held_bytes:  # a paragraph of the held-out texts must not come back in another article
        for piece in read_documents(options.out / "heldout" / f"{name}.txt"):
            duplicates.keep_new(piece)
    tokenizer = _obtain_tokenizer(options)
    meta: dict[str, dict[str, int]] = {}
    for path in options.corpora:
        before = duplicates.dropped_chars
        tokens = pack_corpus(path, options.out, tokenizer, duplicates)
        name, dropped = corpus_name(path), duplicates.dropped_chars - before
        meta[name] = {"train_tokens": tokens, "held_out_bytes": held_bytes[name]}
        print(f"{name}: {tokens / 1e6:.2f}M tokens, {dropped / 1e6:.2f}M repeated characters dropped", flush=True)
    (options.out / "meta.json").write_text(json.dumps(meta, indent=2))


def _obtain_tokenizer(options: argparse.Namespace) -> Tokenizer:
    target = options.out / "tokenizer.json"
    source = target if target.exists() else options.tokenizer
    if source is not None:
        tokenizer = Tokenizer.from_file(str(source))
    else:
        share = max(1, TOKENIZER_PIECES // len(options.corpora))
        sample = (piece for path in options.corpora for piece in islice(_pieces(path, held=False), share))
        tokenizer = train_tokenizer(sample, vocab_size=options.vocab_size)
    tokenizer.save(str(target))
    return tokenizer


if __name__ == "__main__":
    main()
