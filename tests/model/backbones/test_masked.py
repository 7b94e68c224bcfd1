"""Encoders as backbones: what they refuse, what a batch costs, and that the model is left as it was."""

import pytest
import torch
from transformers import AutoModel, BertConfig, BertForMaskedLM, BertForSequenceClassification

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Batch, Node, Readout, Row, Soft, Text
from softprompt.model.backbones.base import Want
from softprompt.model.backbones.encoder_loading import read_encoder
from softprompt.model.backbones.encoders import ENCODERS, REFUSED, encoder_of
from softprompt.model.backbones.loading import load, wrap
from softprompt.model.methods.starts import head_from_answers
from softprompt.testing import ENCODERS as TINY
from softprompt.testing import tiny, tiny_tokenizer
from tests.laws.strategies import prompts_for

EOS = 257


def row(length, *, soft=3):
    text = tuple(n % 250 for n in range(length))
    nodes = [Node(Text(text, "text")), Node(Soft("a", soft), 0), Node(Answer((5, EOS), 0), 1), Node(Readout(), 1)]
    return Row(tuple(nodes))


def tokenizer():
    made = tiny_tokenizer()
    made.add_special_tokens({"mask_token": "<mask>"})
    return made


def test_every_family_of_the_table_is_tried_or_shaped_like_one_that_is():
    tried = {tiny(name).spec.family for name in TINY}
    assert set(ENCODERS) - tried == {"camembert", "xlm-roberta"}  # RoBERTa by another name and vocabulary


def test_label_vectors_begin_with_what_the_model_says_in_words():
    for family in ("bert", "roberta", "albert", "distilbert", "electra", "mpnet", "deberta_v2"):
        backbone = tiny(family)
        nodes = (Node(Text((8, 9, 10), "text")), Node(Readout(), 0))
        words = (*nodes[:1], *(Node(Answer((token, EOS), n), 0) for n, token in enumerate((5, 6))))
        state = backbone.forward(Batch((Row(nodes),))).readouts[0].values[0]
        head = head_from_answers(backbone.output_vectors, [[5], [6]])
        scores = backbone.forward(Batch((Row(words),))).answers[0].scores
        said = head.weight @ state + head.bias
        torch.testing.assert_close(said[0] - said[1], scores[0] - scores[1], rtol=1e-4, atol=1e-4)


def test_an_encoder_without_a_mask_head_starts_label_vectors_without_a_preference():
    weight, bias = tiny("electra_discriminator").output_vectors(torch.tensor([5, 6]))
    assert weight.shape == (2, 32)
    assert not weight.any()
    assert not bias.any()


def test_a_row_may_fill_the_context_and_no_more():
    backbone = tiny("roberta")
    prompts = prompts_for(backbone)
    room = backbone.spec.max_positions - 3 - 1  # the soft tokens and an answer's token, as a template counts
    whole = Batch((row(room + 1),))
    assert backbone.forward(whole, prompts).answers[0].scores.isfinite().all()
    with pytest.raises(ModelError, match=r"a row needs 257 tokens, tiny-roberta takes 256 .* shorten the text"):
        backbone.forward(Batch((row(room + 2),)), prompts)


def test_what_a_masked_model_cannot_do_is_refused_with_the_cure():
    backbone = tiny("bert")
    prompts = prompts_for(backbone)
    batch = Batch((row(4),))
    with pytest.raises(ModelError, match=r"tiny-bert fills in masks .* \[model.cannot_write\]; .* causal or seq2seq"):
        backbone.forward(batch, prompts, want=Want(state=True))
    with pytest.raises(ModelError, match="cannot write"):
        backbone.step(backbone.read(batch), torch.zeros(1, 1, dtype=torch.long))
    with pytest.raises(ModelError, match="no_mask_head"):
        tiny("minilm").forward(Batch((Row((Node(Text((5,))),)),)), want=Want(last=True))


def test_a_batch_without_anything_to_read_gives_nothing():
    assert tiny("bert").forward(Batch((Row((Node(Text((5,))),)),))).answers == {}


def test_a_plan_counts_texts_once_and_observers_always():
    backbone = tiny("bert")
    batch = Batch((row(20), row(20)))
    plan = backbone.plan(batch)
    # Frozen: 20 and what closes them. Live: 3 soft tokens, the mask, what closes the line; answer and head share it.
    assert (plan.lines, plan.frozen_tokens, plan.live_tokens, plan.readers) == (2, 42, 10, 2)
    assert plan.state_bytes == backbone.read(batch).num_bytes
    everything = backbone.plan(batch, frozen=None)
    assert (everything.frozen_tokens, everything.live_tokens) == (0, 52)
    assert everything.live_flops == plan.live_flops + plan.frozen_flops


@pytest.mark.parametrize("family", ["bert", "albert", "mpnet", "deberta_v2"])
def test_a_call_leaves_the_model_as_it_was(family):
    backbone = tiny(family)
    before = [dict(vars(module)).keys() for module in backbone.model.modules()]
    attention = backbone.model.config._attn_implementation
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        plain = backbone.model(ids).logits
        backbone.forward(Batch((row(5),)), prompts_for(backbone), checkpoint=True)
        with pytest.raises(ModelError):
            backbone.forward(Batch((row(400),)), prompts_for(backbone))
        assert torch.equal(backbone.model(ids).logits, plain)
    assert [dict(vars(module)).keys() for module in backbone.model.modules()] == before
    assert backbone.model.config._attn_implementation == attention


# --- loading


@pytest.fixture
def folder(tmp_path):
    tokenizer().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("family", ["bert", "albert", "distilbert", "electra", "deberta_v2"])
def test_a_saved_masked_model_is_the_model(family, folder):
    original = tiny(family)
    original.model.save_pretrained(folder)
    loaded = load(folder, dtype="fp32")
    assert loaded.spec.fingerprint == original.spec.fingerprint
    assert (loaded.spec.kind, loaded.spec.words) == ("masked", True)


@pytest.mark.parametrize("family", ["minilm", "electra_discriminator"])
def test_a_head_that_was_never_trained_is_not_made_up(family, folder, monkeypatch):
    original = tiny(family)
    original.model.save_pretrained(folder)
    monkeypatch.delattr(AutoModel, "from_pretrained")  # the file is read once
    first, second = load(folder, dtype="fp32"), load(folder, dtype="fp32")
    assert (first.spec.kind, first.spec.words) == ("masked", False)
    assert first.spec.fingerprint == second.spec.fingerprint == original.spec.fingerprint


def test_a_pooler_is_not_loaded(folder):
    config = BertConfig(**{**tiny("bert").model.config.to_dict(), "architectures": None})
    AutoModel.from_config(config).save_pretrained(folder)
    assert load(folder, dtype="fp32").model.pooler is None


def test_missing_weights_of_the_encoder_are_refused(folder):
    model = tiny("bert").model
    tensors = {name: tensor for name, tensor in model.state_dict().items() if "layer.1.output.dense" not in name}
    model.save_pretrained(folder, state_dict=tensors)
    with pytest.raises(ModelError, match="lacks 2 weights") as caught:
        load(folder)
    assert caught.value.code == "model.unreadable"


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_encoders_that_would_be_misread_are_refused_with_the_reason(name):
    with pytest.raises(ModelError, match=name) as caught:
        encoder_of(_Config(name))
    assert caught.value.code == "model.unsupported"
    assert "roberta" in caught.value.cure


def test_a_convolution_over_tokens_is_refused(folder):
    config = tiny("deberta_v2").model.config
    config.conv_kernel_size = 3
    with pytest.raises(ModelError, match="convolution"):
        read_encoder(str(folder), config, {})


def test_other_heads_and_tokenizers_without_a_mask_are_refused():
    config = BertConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(ModelError, match=r"BertForSequenceClassification has a head .* bare encoder"):
        wrap(BertForSequenceClassification(config), tokenizer())
    with pytest.raises(ModelError, match="no mask token"):
        wrap(BertForMaskedLM(config), tiny_tokenizer())


class _Config:
    def __init__(self, name):
        self.model_type = name
