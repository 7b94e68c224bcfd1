"""Token files: one flat uint16 file a corpus, and the seeded order in which training reads blocks of it.

A piece is stored as its end-of-text token followed by its tokens; blocks are cut without regard to pieces. A batch is a
pure function of files, shares, seed and position: resuming needs one number. Knows nothing of models.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from torch import Tensor, from_numpy

END_OF_TEXT = 0  # the id of `<|endoftext|>`: first special token of the tokenizer
ENCODE_BATCH = 256  # pieces encoded at once


def encode_pieces(tokenizer: Tokenizer, pieces: Iterable[str]) -> Iterator[np.ndarray]:
    """Each piece as uint16 ids behind an end-of-text token; special-token strings in the text are not interpreted."""
    batch: list[str] = []
    for piece in pieces:
        batch.append(piece)
        if len(batch) == ENCODE_BATCH:
            yield from _encode(tokenizer, batch)
            batch = []
    yield from _encode(tokenizer, batch)


def _encode(tokenizer: Tokenizer, batch: list[str]) -> Iterator[np.ndarray]:
    for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
        yield np.array([END_OF_TEXT, *encoding.ids], dtype=np.uint16)


def write_tokens(path: Path, arrays: Iterable[np.ndarray]) -> int:
    """Append arrays to a new file and put it in place when it is complete; returns the number of tokens."""
    part = path.with_suffix(".part")
    count = 0
    with part.open("wb") as out:
        for array in arrays:
            array.tofile(out)
            count += len(array)
    part.replace(path)
    return count


class Blocks:
    """Blocks of `length` tokens from several token files, in an order that is reshuffled every pass.

    `shares` says which part of each corpus one pass reads (default 1): with 0.5 a pass reads half of its blocks, the
    next pass the other half.
    """

    def __init__(
        self, files: Mapping[str, Path], *, length: int, shares: Mapping[str, float] | None = None, seed: int = 0
    ) -> None:
        shares = dict(shares or {})
        if unknown := set(shares) - set(files):
            raise ValueError(f"no token file for {sorted(unknown)}; there are {sorted(files)}")
        self.length, self.seed = length, seed
        self._names = sorted(files)
        self._data = [np.memmap(files[name], dtype=np.uint16, mode="r") for name in self._names]
        self._sizes = [len(data) // length for data in self._data]
        self._takes = [int(size * shares.get(name, 1.0)) for name, size in zip(self._names, self._sizes, strict=True)]
        if not sum(self._takes):
            raise ValueError(
                f"the token files hold no block of {length} tokens: {dict(zip(self._names, self._sizes, strict=True))}"
            )
        self._pass, self._order = -1, np.empty((0, 2), dtype=np.int64)

    def __len__(self) -> int:
        """Blocks a pass."""
        return sum(self._takes)

    def describe(self) -> str:
        """One line: tokens a pass, by corpus."""
        parts = [f"{name} {take * self.length / 1e6:.1f}M" for name, take in zip(self._names, self._takes, strict=True)]
        return f"{len(self) * self.length / 1e6:.1f}M tokens a pass: {', '.join(parts)}"

    def batch(self, position: int, size: int) -> Tensor:
        """Blocks `position ... position + size - 1` of the endless stream, int64 [size, length]."""
        rows = [self._block(index) for index in range(position, position + size)]
        return from_numpy(np.stack(rows).astype(np.int64))

    def _block(self, index: int) -> np.ndarray:
        number, offset = divmod(index, len(self))
        if number != self._pass:
            self._pass, self._order = number, self._shuffle(number)
        corpus, block = self._order[offset]
        return np.asarray(self._data[corpus][block * self.length : (block + 1) * self.length])

    def _shuffle(self, number: int) -> np.ndarray:
        """The (corpus, block) pairs of one pass, [blocks, 2]; each corpus goes on where the pass before stopped."""
        chosen = []
        for corpus, (size, take) in enumerate(zip(self._sizes, self._takes, strict=True)):
            fixed = np.random.default_rng([self.seed, corpus]).permutation(size)
            blocks = fixed[np.arange(number * take, (number + 1) * take) % size] if take else fixed[:0]
            chosen.append(np.stack([np.full(take, corpus), blocks], axis=1))
        return np.random.default_rng([self.seed, len(self._sizes), number]).permutation(np.concatenate(chosen))


def token_files(folder: Path) -> dict[str, Path]:
    """The training files of a prepared folder, by corpus."""
    files = {path.stem: path for path in sorted((folder / "train").glob("*.bin"))}
    if not files:
        raise FileNotFoundError(f"no token files under {folder / 'train'}; run prepare.py first")
    return files
