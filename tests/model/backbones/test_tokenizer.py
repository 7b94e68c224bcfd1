"""User text is only text: nothing added, nothing taken away, nothing special."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from softprompt.core.errors import ModelError
from softprompt.model.backbones.tokenizer import TextTokenizer
from softprompt.testing import tiny_tokenizer

CHAT = "{% for m in messages %}<bos>{{ m.role }}: {{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
BLANK = "▁"


def fast(backend, **options):
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", **options)


def words(*extra):
    """Merges-free vocabulary: special tokens, all bytes, letters and the blank sign."""
    symbols = [
        "<unk>",
        "<bos>",
        "<eos>",
        *(f"<0x{n:02X}>" for n in range(256)),
        BLANK,
        *"abcdefghijklmnopqrstuvwxyz",
        *extra,
    ]
    return {symbol: n for n, symbol in enumerate(symbols)}


def llama2():
    """A blank is put before the first word by a normaliser and taken away by the decoder."""
    backend = Tokenizer(models.BPE(words(), [], unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)])
    backend.decoder = decoders.Sequence(
        [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return fast(backend)


def prepend_alone():
    backend = Tokenizer(models.BPE(words(), [], unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Prepend(BLANK)
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(BLANK, 1, 0)])
    return fast(backend)


def metaspace():
    """The same by a pre-tokeniser, as in T5 and the later Mistrals."""
    backend = Tokenizer(models.BPE(words(), [], unk_token="<unk>", byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(BLANK, prepend_scheme="first")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(BLANK, prepend_scheme="first")])
    return fast(backend)


def roberta():
    """The same by a byte-level pre-tokeniser."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({symbol: n for n, symbol in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)])
    backend.decoder = decoders.ByteLevel()
    return fast(backend)


KINDS = {
    "byte level": tiny_tokenizer,
    "byte level with a blank": roberta,
    "llama 2": llama2,
    "metaspace": metaspace,
    "prepend": prepend_alone,
}
LOADED = {name: TextTokenizer(make()) for name, make in KINDS.items()}


@pytest.mark.parametrize("tokenizer", LOADED.values(), ids=LOADED.keys())
@given(text=st.text(st.characters(exclude_characters=BLANK, exclude_categories=["Cs"])))
def test_text_goes_in_and_comes_out_as_it_is(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("tokenizer", LOADED.values(), ids=LOADED.keys())
@given(left=st.text("ab <bos>\n"), right=st.text("ab <eos>\n"))
def test_segments_one_by_one_are_the_text_in_one(tokenizer, left, right):
    """These tokenizers have no merges, so nothing but a hidden prefix could make a difference."""
    assert tokenizer.encode(left) + tokenizer.encode(right) == tokenizer.encode(left + right)


@pytest.mark.parametrize("tokenizer", LOADED.values(), ids=LOADED.keys())
def test_special_strings_are_text_except_in_a_skeleton(tokenizer):
    ids = tokenizer.encode("a<eos>b")
    assert tokenizer.eos_id not in ids
    assert len(ids) == 7
    assert tokenizer.decode(ids) == "a<eos>b"
    skeleton = tokenizer.encode_skeleton("a<eos>b")
    assert len(skeleton) == 3
    assert skeleton[1] == tokenizer.eos_id
    assert tokenizer.decode(skeleton) == "ab"
    assert tokenizer.bos_id not in tokenizer.encode("a")


def test_control_tokens_that_are_not_marked_special_are_text_too_and_blanks_stay_words():
    source = tiny_tokenizer()
    source.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("  ", normalized=False)])
    tokenizer = TextTokenizer(source)
    (call,) = tokenizer.encode_skeleton("<tool_call>")
    assert call not in tokenizer.encode("<tool_call>")
    assert tokenizer.decode(tokenizer.encode("<tool_call>")) == "<tool_call>"
    assert tokenizer.decode([call]) == "<tool_call>"
    assert len(tokenizer.encode("  ")) == 1
    assert tokenizer.decode(tokenizer.encode("a  b")) == "a  b"


def test_lone_surrogates_become_a_replacement():
    tokenizer = LOADED["byte level"]
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a?b"


def test_the_hash_is_of_the_definition_not_of_what_calls_leave_behind():
    source = tiny_tokenizer()
    before = TextTokenizer(source).hash
    source(["a long text", "b"], padding=True, truncation=True, max_length=3)
    after = TextTokenizer(source)
    assert after.hash == before
    assert len(after.encode("a long text")) == 11
    assert len({TextTokenizer(make()).hash for make in KINDS.values()}) == len(KINDS)


def test_the_users_tokenizer_is_left_as_it_was():
    source = llama2()
    before = source.backend_tokenizer.to_str()
    TextTokenizer(source).encode("<eos>")
    assert source.backend_tokenizer.to_str() == before
    assert json.loads(before)["normalizer"]["type"] == "Sequence"


def test_ids_and_pieces():
    tokenizer = LOADED["byte level"]
    assert (tokenizer.bos_id, tokenizer.eos_id) == (256, 257)
    assert tokenizer.vocab_size == 259
    assert tokenizer.special_ids == {256, 257, 258}
    assert tokenizer.piece(tokenizer.encode(" ")[0]) == " "
    assert tokenizer.piece(257) == "<eos>"
    assert tokenizer.piece(9999) == "<9999>"
    assert (
        TextTokenizer(
            PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])), eos_token="a")
        ).bos_id
        is None
    )


def test_a_chat_is_rendered_by_the_models_own_template():
    source = tiny_tokenizer()
    with pytest.raises(ModelError, match="has no chat template") as caught:
        TextTokenizer(source).chat([{"role": "user", "content": "hi"}])
    assert caught.value.code == "model.no_chat_template"
    source.chat_template = CHAT
    assert TextTokenizer(source).chat([{"role": "user", "content": "hi"}]) == "<bos>user: hi>"


def test_a_chat_template_that_refuses_the_turns_is_quoted():
    source = tiny_tokenizer()
    source.chat_template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    with pytest.raises(ModelError, match=r"refuses these turns \(system, user\): no system role") as caught:
        TextTokenizer(source).chat([{"role": "system", "content": "x"}, {"role": "user", "content": "hi"}])
    assert caught.value.code == "model.chat_template"


def test_a_tokenizer_without_an_end_or_a_fast_form_is_refused():
    with pytest.raises(ModelError, match="no end-of-sequence token") as caught:
        TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, []))))
    assert caught.value.code == "model.no_tokenizer"

    class Slow(PreTrainedTokenizerBase):
        def __init__(self):
            pass

    with pytest.raises(ModelError, match="Slow has no fast form") as caught:
        TextTokenizer(Slow())
    assert caught.value.code == "model.no_tokenizer"


def t5():
    """White space is thrown away, and every word gets a mark instead."""
    vocabulary = [("<unk>", 0.0), ("</s>", 0.0), (BLANK, -2.0), (BLANK + "It", -3.0), (BLANK + "was", -3.0)]
    vocabulary += [(letter, -6.0) for letter in "Itwas"]
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(BLANK, prepend_scheme="always")]
    )
    backend.decoder = decoders.Metaspace(BLANK, prepend_scheme="always")
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")


def test_the_mark_before_each_word_stays_where_white_space_is_thrown_away():
    tokenizer = TextTokenizer(t5())
    assert tokenizer.encode("It was") == tokenizer.encode(" It was") == (3, 4)
    assert tokenizer.decode((3, 4)) == " It was"


@pytest.mark.parametrize(("make", "blank"), [(t5, " "), (metaspace, " "), (roberta, " "), (tiny_tokenizer, "")])
def test_a_tokenizer_says_whether_texts_begin_with_a_blank(make, blank):
    assert TextTokenizer(make()).first_blank == blank


def test_an_encoder_begins_with_cls_closes_with_sep_and_leaves_its_free_places_alone():
    names = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "un", "##used"]
    backend = Tokenizer(models.WordPiece({name: n for n, name in enumerate(names)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "pad_token": "[PAD]"}
    tokenizer = TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, **special))
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.mask_id) == (4, 5, 6)
    assert {1, 2} <= tokenizer.special_ids
    assert not {9, 10} & tokenizer.special_ids
    assert tokenizer.encode(" ab") == tokenizer.encode("ab") == (7, 8)
    assert 6 not in tokenizer.encode("a [MASK]")
