"""Two tokenizers for tests: a toy with words, blanks and special tokens, and the embedded model's own file."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import tokenizers

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WORDS = ("It", "was", "billing", "delivery", "del", "ivery", "text", "the", "Answer", "Output", "user", "system", ":\n")
NAUGHTY = r"<\|endoftext\|>|<\|im_start\|>|<\|im_end\|>"


class Toy:
    """Bytes, some whole words with and without a blank before them, and three special tokens.

    ``naive`` shows the bug of splice rule 11: text that looks like a special token becomes one.
    """

    def __init__(self, *, bos: bool = True, naive: bool = False, chat: str = "chatml") -> None:
        table = [bytes([i]) for i in range(256)]
        table += [(blank + word).encode() for word in WORDS for blank in ("", " ")]
        self._table = [*table, *(name.encode() for name in SPECIAL)]
        self._ids = {piece: i for i, piece in enumerate(table)}
        self._first_special = len(table)
        self._naive = naive
        self._bos = bos
        self._chat = chat
        self.num_encoded = 0

    @property
    def bos_id(self) -> int | None:
        return self._first_special if self._bos else None

    @property
    def eos_id(self) -> int:
        return self._first_special

    @property
    def vocab_size(self) -> int:
        return len(self._table)

    def encode(self, text: str) -> tuple[int, ...]:
        self.num_encoded += 1
        return self.encode_skeleton(text) if self._naive else self._plain(text)

    def _plain(self, text: str) -> tuple[int, ...]:
        ids: list[int] = []
        # a word with the blank before it, a mark with the line end behind it, or one character
        for piece in re.findall(r" ?[A-Za-z]+|:\n|.", text, re.DOTALL):
            data = piece.encode("utf-8", "replace")
            ids.extend([self._ids[data]] if data in self._ids else data)
        return tuple(ids)

    def encode_skeleton(self, text: str) -> tuple[int, ...]:
        ids: list[int] = []
        for part in re.split(f"({NAUGHTY})", text):
            ids.extend((self._first_special + SPECIAL.index(part),) if part in SPECIAL else self._plain(part))
        return tuple(ids)

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self._table[i] for i in ids if i < self._first_special).decode("utf-8", "replace")

    def as_bytes(self, token: int) -> bytes | None:
        return self.piece(token).encode()

    def piece(self, token: int) -> str:
        return self._table[token].decode("utf-8", "replace")

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        turns = [f"<|im_start|>{m['role']}\n{m['content'].strip()}<|im_end|>\n" for m in messages]
        if self._chat == "drops system":
            turns = turns[-1:]
        if self._chat == "repeats":
            turns += turns[-1:]
        return "".join([*turns, "<|im_start|>assistant\n"])


class Real:
    """A tokenizer.json of the Hugging Face tokenizers library."""

    def __init__(self, path: Path) -> None:
        self._text = tokenizers.Tokenizer.from_file(str(path))
        self._text.encode_special_tokens = True
        self._skeleton = tokenizers.Tokenizer.from_file(str(path))
        self.bos_id: int | None = 0
        self.eos_id = 0
        self.vocab_size = self._text.get_vocab_size()

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._text.encode(text, add_special_tokens=False).ids)

    def encode_skeleton(self, text: str) -> tuple[int, ...]:
        return tuple(self._skeleton.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return self._text.decode(list(ids), skip_special_tokens=True)

    def as_bytes(self, token: int) -> bytes | None:
        return self.piece(token).encode()

    def piece(self, token: int) -> str:
        return self._text.decode([token], skip_special_tokens=False)

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        raise NotImplementedError
