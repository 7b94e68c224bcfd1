"""The tokenizer of a model as softprompt uses it: an instance of its own in which user text is only text.

Splice rule 11: strings that look like special tokens are plain text, nothing is added before or after, and a blank that
some tokenizers put before the first word is switched off, because segments are tokenised one by one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import tokenizers
from transformers import PreTrainedTokenizerBase

from softprompt.core.errors import ModelError

__all__ = ["TextTokenizer"]


class TextTokenizer:
    """Implements :class:`softprompt.core.tokens.Tokenizer` on a fast tokenizer of transformers.

    Raises:
        ModelError: ``model.no_tokenizer`` when it has no fast form, or no end of sequence to close answers with.
    """

    def __init__(self, source: PreTrainedTokenizerBase) -> None:
        backend = getattr(source, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(
                "model.no_tokenizer",
                f"{type(source).__name__} has no fast form",
                cure="save it as tokenizer.json",
            )
        if source.eos_token_id is None:
            raise ModelError("model.no_tokenizer", "the tokenizer has no end-of-sequence token to close answers with")
        definition = json.loads(backend.to_str())
        self._source = source
        self._skeleton = tokenizers.Tokenizer.from_str(json.dumps(_without_prefix(definition)))
        self._text = tokenizers.Tokenizer.from_str(json.dumps(_without_prefix(definition)))
        self._text.encode_special_tokens = True
        for each in (self._skeleton, self._text):
            each.no_truncation()
            each.no_padding()
        self._definition = definition

    @property
    def bos_id(self) -> int | None:
        return self._source.bos_token_id

    @property
    def eos_id(self) -> int:
        return int(self._source.eos_token_id)

    @property
    def vocab_size(self) -> int:
        return self._text.get_vocab_size(with_added_tokens=True)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of special tokens."""
        return frozenset(self._source.all_special_ids)

    @property
    def hash(self) -> str:
        """Hash over the whole definition (vocabulary, merges, normalisers, special tokens)."""
        special = {"bos": self.bos_id, "eos": self.eos_id}
        text = json.dumps([self._definition, special], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._text.encode(_valid(text), add_special_tokens=False).ids)

    def encode_skeleton(self, text: str) -> tuple[int, ...]:
        return tuple(self._skeleton.encode(_valid(text), add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return self._text.decode(list(ids), skip_special_tokens=True)

    def piece(self, token: int) -> str:
        return self._text.decode([token], skip_special_tokens=False) or self._text.id_to_token(token) or f"<{token}>"

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        if not getattr(self._source, "chat_template", None):
            raise ModelError(
                "model.no_chat_template",
                "the model's tokenizer has no chat template",
                cure="write the roles into the template as text",
            )
        return str(
            self._source.apply_chat_template([dict(m) for m in messages], tokenize=False, add_generation_prompt=True)
        )


def _valid(text: str) -> str:
    """Lone surrogates, which no UTF-8 text holds, become the replacement character."""
    return text.encode("utf-8", "replace").decode() if any("\ud800" <= c <= "\udfff" for c in text) else text


def _without_prefix(part: Any) -> Any:
    """The definition without the blank that Llama-2-like tokenizers put before the first word."""
    if isinstance(part, list):
        return [_without_prefix(one) for one in part if not (isinstance(one, dict) and one.get("type") == "Prepend")]
    if not isinstance(part, dict):
        return part
    part = {key: _without_prefix(value) if key != "model" else value for key, value in part.items()}
    if part.get("type") == "Metaspace":
        part["prepend_scheme"] = "never"
    if part.get("type") == "ByteLevel" and "add_prefix_space" in part and "trim_offsets" in part:
        part["add_prefix_space"] = False
    normalizer = part.get("normalizer")
    if isinstance(normalizer, dict) and normalizer.get("type") == "Prepend":
        part["normalizer"] = None
    return part
