"""Encoder-decoders by single facts; the laws of all of them are in tests/laws."""

import pytest
import torch
import transformers as hf

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Batch, Node, Readout, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.backbones.base import Want
from softprompt.model.backbones.loading import load, wrap
from softprompt.model.decoding import Decoding, decode
from softprompt.testing import SEQ2SEQ, tiny, tiny_tokenizer

TEXT = tuple(range(40, 53))


def chain(*, place="decoder", answer=(65, 66, 257)):
    text, soft = Text(TEXT, "text"), Soft("soft", 3)
    if place == "encoder":
        nodes = [Node(soft), Node(text, 0)]
    else:
        nodes = [Node(text), Node(soft, 0, "decoder")]
    return Row((*nodes, Node(Answer(answer), 1)))


def vectors(backbone):
    generator = torch.Generator().manual_seed(3)
    return [PromptTensors({"soft": SlotTensors(embed=torch.randn(3, backbone.spec.embed_dim, generator=generator))})]


@pytest.mark.parametrize("family", ["t5", "mt5", "bart"])
def test_an_answers_score_is_transformers_own_loss(family):
    """A text prompt: what transformers' labels give, summed over the tokens of the answer and its terminator."""
    backbone = tiny(family)
    row = Row((Node(Text(TEXT, "text")), Node(Answer((65, 66, 257)), 0)))
    score = backbone.forward(Batch((row,))).answers[0].scores[0]
    opening = backbone.frame.opening[1:]
    labels = torch.tensor([[*opening, 65, 66, 257]])
    with torch.no_grad():
        output = backbone.model(input_ids=torch.tensor([[*TEXT, *backbone.frame.closing]]), labels=labels)
    logprobs = output.logits[0].log_softmax(-1)
    expected = sum(logprobs[n, token] for n, token in enumerate(labels[0].tolist()) if n >= len(opening))
    assert abs(float(score - expected)) < 1e-4
    if not opening:
        assert abs(float(score) + 3 * float(output.loss)) < 1e-4


@pytest.mark.parametrize("method", ["greedy", "beam"])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_written_answers_are_transformers_own(family, method):
    backbone = tiny(family, seed=2)
    beams = 3 if method == "beam" else 1
    settings = Decoding(method=method, max_new_tokens=8, **({"num_beams": beams} if beams > 1 else {}))
    texts = [TEXT, TEXT[:4]]
    found = decode(backbone, [Row((Node(Text(text, "text")),)) for text in texts], [], settings)
    for text, one in zip(texts, found, strict=True):
        out = backbone.model.generate(
            torch.tensor([[*text, *backbone.frame.closing]]),
            decoder_input_ids=torch.tensor([backbone.frame.opening]),
            max_new_tokens=8,
            num_beams=beams,
            do_sample=False,
        )
        assert list(one.ids) == out[0, len(backbone.frame.opening) :][: len(one.ids)].tolist()


def test_the_decoders_side_leaves_the_text_frozen_and_the_encoders_does_not():
    backbone = tiny("t5")
    after, before = (backbone.plan(Batch((chain(place=place),) * 2)) for place in ("decoder", "encoder"))
    assert (after.frozen_tokens, after.live_tokens) == (2 * 14, 2 * (1 + 3 + 2))
    assert (before.frozen_tokens, before.live_tokens) == (0, 2 * (14 + 3 + 1 + 2))
    assert after.state_bytes == backbone.read(Batch((chain(),) * 2)).num_bytes
    assert before.live_flops > 2 * after.live_flops


def test_head_and_answers_of_several_prompts_read_one_text():
    backbone = tiny("bart")
    prompts = [*vectors(backbone), *vectors(backbone)]
    text = Node(Text(TEXT, "text"))
    tree = [text]
    for k in range(2):
        tree += [Node(Soft("soft", 3, k), 0, "decoder"), Node(Readout(k), len(tree))]
    state = backbone.read(Batch((Row(tuple(tree)),)))
    assert len(state) == 1
    found = backbone.forward(Batch((Row(tuple(tree)),)), prompts, state).readouts
    torch.testing.assert_close(found[0].values, found[1].values)


def test_either_side_may_be_as_long_as_the_models_positions():
    backbone = tiny("bart")
    longest = Text((7,) * (backbone.max_columns - 1))
    backbone.forward(Batch((Row((Node(longest),)),)), want=Want(last=True))
    for nodes in ((Node(Text((7,) * 256)),), (Node(Text((7,))), Node(longest, 0, "decoder"))):
        with pytest.raises(ModelError, match="on one side, tiny-bart takes 256") as caught:
            backbone.forward(Batch((Row(nodes),)), want=Want(last=True))
        assert caught.value.code == "model.too_long"


@pytest.mark.parametrize("family", ["flan_t5", "bart"])
def test_a_folder_gives_the_model_that_was_saved(family, tmp_path):
    backbone = tiny(family)
    backbone.model.save_pretrained(tmp_path)
    tiny_tokenizer("<bos> $A <eos>" if family == "bart" else "$A <eos>").save_pretrained(tmp_path)
    loaded = load(tmp_path, dtype="fp32")
    assert (loaded.spec.kind, loaded.frame) == ("seq2seq", backbone.frame)
    batch = Batch((chain(),))
    ours, theirs = (one.forward(batch, vectors(one)).answers[0].scores for one in (backbone, loaded))
    torch.testing.assert_close(ours, theirs)


def refused(model, tokenizer=None):
    with pytest.raises(ModelError) as caught:
        wrap(model, tokenizer or tiny_tokenizer("$A <eos>"))
    assert caught.value.code == "model.unsupported"
    return caught.value.message


def test_encoder_decoders_that_nobody_compared_are_refused():
    config = hf.LongT5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    message = refused(hf.LongT5ForConditionalGeneration(config))
    assert message.startswith("longt5 is an encoder-decoder that nobody has compared; compared are bart")
    assert {tiny(family).spec.family for family in SEQ2SEQ} == set(message.rpartition("are ")[2].split(", "))


def test_a_decoder_needs_a_first_token_and_texts_no_other_marks():
    model = SEQ2SEQ["mbart"]()
    assert "begin with marks (257" in refused(model, tiny_tokenizer("<eos> $A <eos>"))
    model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = None
    assert "decoder_start_token_id" in refused(model)
