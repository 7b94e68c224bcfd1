"""An encoder-decoder made of a sentence encoder: its encoder is the same, and its decoder learns."""

import itertools

import torch
from transformers import BertConfig, BertModel

from benchmarks.survey import decoder

BEGIN, END, MASK, WORDS = 1, 2, 3, 50


def bert() -> BertModel:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    return BertModel(BertConfig(vocab_size=WORDS, max_position_embeddings=64, pad_token_id=0, **shape)).eval()


def test_the_encoder_is_the_same() -> None:
    original = bert()
    made = decoder.bart_of(original, begin=BEGIN, end=END)
    ids = torch.tensor([[BEGIN, 7, 8, 9, END]])
    with torch.no_grad():
        torch.testing.assert_close(
            made.model.encoder(input_ids=ids)[0], original(input_ids=ids)[0], atol=1e-3, rtol=1e-3
        )
    assert made.lm_head.weight.data_ptr() == made.model.shared.weight.data_ptr()


def test_the_decoder_learns_and_nothing_else_does() -> None:
    made = decoder.bart_of(bert(), begin=BEGIN, end=END, layers=2)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    decoder.train(made, itertools.repeat([7, 8, 9, 7, 8, 9]), mask=MASK, minutes=0.01)
    moved = {name for name, value in made.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith(("model.decoder", "final_logits_bias")) for name in moved)


def test_masks_stand_for_spans() -> None:
    found = [decoder._masked(range(10, 54), MASK) for _ in range(50)]
    assert all(len(one) <= 44 and set(one) <= {MASK, *range(10, 54)} for one in found)
    assert sum(one.count(MASK) for one in found) > 50
