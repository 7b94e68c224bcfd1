"""What the floors above may ask of a tokenizer, whatever library it comes from."""

from collections.abc import Mapping, Sequence
from typing import Protocol

__all__ = ["Tokenizer"]


class Tokenizer(Protocol):
    """Text to ids and back, with all special tokens disabled on the way in (splice rule 11).

    Attributes:
        bos_id: Beginning of sequence, None where the model has none.
        eos_id: End of sequence: the terminator of every answer.
        vocab_size: Number of rows of the embedding table.
    """

    @property
    def bos_id(self) -> int | None: ...
    @property
    def eos_id(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of ``text`` as plain text: strings that look like special tokens stay text; nothing is added."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ``ids``, special tokens left out, blanks as they stand."""
        ...

    def piece(self, token: int) -> str:
        """One token as a reader should see it (for displays, not for joining)."""
        ...

    def as_bytes(self, token: int) -> bytes | None:
        """The bytes of text that a token stands for; None for special tokens and those that stand for none."""
        ...

    def encode_skeleton(self, text: str) -> tuple[int, ...]:
        """Ids of text written by a chat template: here special-token strings ARE special tokens."""
        ...

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The model's own chat template rendered for ``messages`` (role, content), ready for the assistant's turn.

        Raises:
            ModelError: ``model.no_chat_template``.
        """
        ...
