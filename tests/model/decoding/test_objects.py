"""Constrained answers: whatever the model prefers, every object is one of the schema, and none is out of reach."""

import json
import random
from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from softprompt.core.errors import ConfigError, DataError, ModelError
from softprompt.core.records import Node, Row, Text
from softprompt.core.schema import Schema
from softprompt.model.backbones.loading import embedded_folder
from softprompt.model.backbones.tokenizer import TextTokenizer
from softprompt.model.decoding import Decoding, decode
from softprompt.model.decoding.machines import ObjectMachine, reads
from softprompt.model.decoding.objects import ObjectConstraint, Trie, trie_of
from softprompt.testing import tiny, tiny_tokenizer
from tests.core.schemas import objects, schemas


@lru_cache
def byte_tokens() -> TextTokenizer:
    return TextTokenizer(tiny_tokenizer())


@lru_cache
def word_tokens() -> TextTokenizer:
    """Byte-level, with tokens of many letters."""
    return TextTokenizer(PreTrainedTokenizerFast.from_pretrained(str(embedded_folder())))


@lru_cache
def fallback_tokens() -> TextTokenizer:
    """As Llama 2's: blanks are a letter of their own, and what is no token is bytes."""
    letters = ["▁", *'{}[]":,.-0123456789abclmnorstu\\', "▁ab", "tr", "ue", '":', "▁{", "nul", 'l,"']
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    backend = Tokenizer(
        models.BPE({name: i for i, name in enumerate(names)}, [], unk_token="<unk>", byte_fallback=True)
    )
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>"))


TOKENIZERS = {"bytes": byte_tokens, "words": word_tokens, "fallback": fallback_tokens}


@given(st.data())
def test_a_machine_accepts_exactly_the_canonical_texts(data: st.DataObject) -> None:
    schema = Schema.parse(data.draw(schemas()))
    machine = ObjectMachine(schema)
    text = schema.canonical(data.draw(objects(schema)))
    assert reads(machine, text)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from('"\\{}[],:0123456789.-+eE truefalsn/uü\n\x7f'))
    other = data.draw(st.sampled_from([text[:at] + letter + text[at:], text[:at] + text[at + 1 :]]))
    try:
        canonical = schema.take(other) == other
    except DataError:
        canonical = False
    assert reads(machine, other) == canonical


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=7)
@given(st.data())
def test_every_walk_ends_in_an_object_of_the_schema(kind: str, data: st.DataObject) -> None:
    tokenizer, schema = TOKENIZERS[kind](), Schema.parse(data.draw(schemas(most=3)))
    lead = data.draw(st.sampled_from(["", " "]))
    constraint = ObjectConstraint(schema, tokenizer, lead=lead)
    room = constraint.fewest + data.draw(st.integers(0, 30))
    chance = random.Random(data.draw(st.integers(0, 2**16)))
    ids: tuple[int, ...] = ()
    while not ids or ids[-1] != tokenizer.eos_id:
        allowed = list(constraint.allowed(ids, room=room - len(ids)))
        assert allowed, f"nothing may follow {tokenizer.decode(ids)!r} with {room - len(ids)} tokens left"
        ids = (*ids, chance.choice(allowed))
    text = tokenizer.decode(ids).removeprefix(lead)
    assert len(ids) <= room
    assert schema.take(text) == text


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=7)
@given(st.data())
def test_every_object_can_be_written_as_the_tokenizer_writes_it(kind: str, data: st.DataObject) -> None:
    tokenizer, schema = TOKENIZERS[kind](), Schema.parse(data.draw(schemas(most=3)))
    text = " " + schema.canonical(data.draw(objects(schema)))
    constraint = ObjectConstraint(schema, tokenizer, lead=" ")
    ids = (*tokenizer.encode(text), tokenizer.eos_id)
    if tokenizer.decode(ids) != text:  # a letter of the vocabulary that stands for a blank
        return
    for n, token in enumerate(ids):
        assert token in constraint.allowed(ids[:n], room=len(ids) - n + constraint.fewest)


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(method="sample"), Decoding(method="beam", num_beams=3)])
def test_a_model_of_random_weights_writes_objects(decoding: Decoding) -> None:
    schema = Schema.parse({"who": {"type": "string", "maxLength": 6}, "n": "number?", "tags": "array"})
    backbone = tiny()
    rows = [Row((Node(Text(tuple(f"text {i}".encode()), "text")),)) for i in range(3)]
    constraint = ObjectConstraint(schema, backbone.tokenizer)
    torch.manual_seed(0)
    limited = decoding.model_copy(update={"max_new_tokens": 60})
    for answer in decode(backbone, rows, settings=limited, constraint=constraint):
        assert answer.finished == "terminator"
        assert json.loads(answer.text) == schema.read(answer.text)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_bytes_of_tokens_join_to_the_text(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]()
    text = 'naïve "text" {1: 2}, 北 🎈 ab\n'
    pieces = [tokenizer.as_bytes(token) for token in tokenizer.encode(text)]
    assert b"".join(piece for piece in pieces if piece) == text.encode()
    assert tokenizer.as_bytes(tokenizer.eos_id) is None
    assert trie_of(tokenizer).completes


def test_too_few_tokens_for_any_object_are_refused() -> None:
    constraint = ObjectConstraint(Schema.parse({"n": "integer"}), byte_tokens())
    with pytest.raises(ConfigError, match="the shortest object of the schema takes 8"):
        constraint.require(7)
    constraint.require(8)
    assert not constraint.allowed((), room=7)


def test_a_vocabulary_without_the_letters_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = Trie({1: b"{", 2: b"}", 3: b"a"})
    monkeypatch.setattr("softprompt.model.decoding.objects.trie_of", lambda tokenizer: poor)
    with pytest.raises(ModelError, match="cannot write the fields"):
        ObjectConstraint(Schema.parse({"n": "integer"}), byte_tokens())
