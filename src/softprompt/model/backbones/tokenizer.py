"""The tokenizer of a model as softprompt uses it: an instance of its own in which user text is only text.

Splice rule 11: strings that look like special tokens are plain text, nothing is added before or after, and a blank that
some tokenizers put before the first word (and take away when decoding) is switched off, because segments are tokenised
one by one.

Control tokens of chat models (``<tool_call>``, ``<|fim_prefix|>``) are often not marked as special; for user text every
added token is, unless it is white space, which some models add as words.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tokenizers
from jinja2 import TemplateError as JinjaError
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
        if source.eos_token_id is None and source.sep_token_id is None:
            raise ModelError("model.no_tokenizer", "the tokenizer has no end-of-sequence token to close answers with")
        definition = json.loads(backend.to_str())
        # What a call of the tokenizer leaves behind is no part of its definition.
        definition |= {"truncation": None, "padding": None}
        self._definition = definition
        self._source = source
        neutral = _without_prefix(definition)
        self._skeleton = tokenizers.Tokenizer.from_str(json.dumps(neutral))
        self._text = tokenizers.Tokenizer.from_str(json.dumps(_all_special(neutral)))
        self._text.encode_special_tokens = True
        self._decoders = frozenset(_kinds(definition.get("decoder")))
        vocabulary = {} if self.mask_id is None else self._skeleton.get_vocab(with_added_tokens=False)
        self._unused = frozenset(token for name, token in vocabulary.items() if _UNUSED.fullmatch(name))
        self._added = frozenset(added["content"] for added in definition["added_tokens"])

    @property
    def bos_id(self) -> int | None:
        """Of encoders that have no beginning of sequence the token that they begin with, ``[CLS]``."""
        return _first(self._source.bos_token_id, self._source.cls_token_id)

    @property
    def eos_id(self) -> int:
        """Of encoders that have no end of sequence the token that they close a text with, ``[SEP]``."""
        found = _first(self._source.eos_token_id, self._source.sep_token_id)
        assert found is not None, "asked for when the tokenizer was taken"
        return found

    @property
    def mask_id(self) -> int | None:
        """What stands for a token that a masked model predicts."""
        return _first(self._source.mask_token_id)

    @property
    def first_blank(self) -> str:
        """The blank that the model's own tokenizer puts before the first word of a text, or nothing."""
        parts = (self._definition.get("normalizer"), self._definition.get("pre_tokenizer"))
        return " " if any(_prepends(part) for part in parts) else ""

    @property
    def vocab_size(self) -> int:
        return self._skeleton.get_vocab_size(with_added_tokens=True)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of special tokens, and of places that BERT's vocabulary left free (``[unused7]``)."""
        return frozenset(self._source.all_special_ids) | self._unused

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
        return self._skeleton.decode(list(ids), skip_special_tokens=True)

    def piece(self, token: int) -> str:
        text = self._skeleton.decode([token], skip_special_tokens=False)
        return text or self._skeleton.id_to_token(token) or f"<{token}>"

    def as_bytes(self, token: int) -> bytes | None:
        name = self._skeleton.id_to_token(token)
        if name is None or token in self.special_ids:
            return None
        if name in self._added:
            return None if name.strip() else name.encode()
        if "ByteLevel" in self._decoders:
            found = [_BYTES.get(c) for c in name]
            return None if None in found else bytes(byte for byte in found if byte is not None)
        if "ByteFallback" in self._decoders and (byte := _BYTE_NAME.fullmatch(name)):
            return bytes([int(byte[1], 16)])
        text = self._skeleton.decode([token], skip_special_tokens=False)
        return None if "\ufffd" in text else text.encode()

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        if not getattr(self._source, "chat_template", None):
            raise ModelError(
                "model.no_chat_template",
                "the model's tokenizer has no chat template",
                cure="write the roles into the template as text",
            )
        turns = [dict(message) for message in messages]
        try:
            return str(self._source.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        except JinjaError as error:  # what a chat template says to turns that its model was not trained on
            roles = ", ".join(turn["role"] for turn in turns)
            raise ModelError(
                "model.chat_template",
                f"the model's chat template refuses these turns ({roles}): {error}",
                cure="leave out the system part, or write the roles into a template of your own",
            ) from None


def _first(*ids: int | None) -> int | None:
    """The first id that there is."""
    return next((int(token) for token in ids if token is not None), None)


def _kinds(part: Any) -> Iterator[str]:
    """Types of a part of the definition and of those inside it."""
    if isinstance(part, dict):
        yield str(part.get("type"))
        for inner in part.get("decoders", ()):
            yield from _kinds(inner)


def _byte_letters() -> dict[str, int]:
    """The letter that stands for each byte in byte-level vocabularies (GPT-2): printable ones for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTES = _byte_letters()
_UNUSED = re.compile(r"\[unused\d+\]")
_BYTE_NAME = re.compile("<0x([0-9A-F]{2})>")


def _valid(text: str) -> str:
    """Lone surrogates, which no UTF-8 text holds, become the replacement character."""
    return text.encode("utf-8", "replace").decode() if any("\ud800" <= c <= "\udfff" for c in text) else text


def _all_special(definition: dict[str, Any]) -> dict[str, Any]:
    """The definition with every added token that has something to see marked as special."""
    tokens = definition["added_tokens"]
    added = [token | {"special": token["special"] or bool(token["content"].strip())} for token in tokens]
    return definition | {"added_tokens": added}


def _without_prefix(definition: dict[str, Any]) -> dict[str, Any]:
    """The definition without the blank that some tokenizers put before the first word, and without taking one away.

    It is put there by a ``Prepend`` normaliser (Llama 2), a ``Metaspace`` or a ``ByteLevel`` pre-tokeniser, and taken
    away by a ``Strip`` or ``Metaspace`` decoder.
    """
    changed = dict(definition)
    for place in ("normalizer", "pre_tokenizer", "decoder"):
        changed[place] = _neutral(changed.get(place))
    return changed


def _prepends(part: Any) -> bool:
    """Whether a part of the definition puts a blank before the first word."""
    if not isinstance(part, dict):
        return False
    inner = part.get("normalizers") or part.get("pretokenizers") or ()
    own = part.get("type") == "Prepend" or part.get("add_prefix_space") is True
    return own or part.get("prepend_scheme") in ("first", "always") or any(_prepends(one) for one in inner)


def _neutral(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    if kind == "Prepend" or (kind == "Strip" and "content" in part):
        return None
    if kind == "Metaspace":
        return part | {"prepend_scheme": "never"}
    if kind == "ByteLevel":
        return part | {"add_prefix_space": False}
    if kind == "Sequence":
        (name,) = part.keys() & {"normalizers", "pretokenizers", "decoders"}
        if any(one.get("type") == "WhitespaceSplit" for one in part[name]):
            return part  # T5, ALBERT: white space is gone, and the mark before each word is all that is left of it
        return part | {name: [kept for one in part[name] if (kept := _neutral(one)) is not None]}
    return part
