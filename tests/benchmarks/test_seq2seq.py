"""The benchmark of encoder-decoders measures what it says: PEFT and ours compute the same before, less after."""

import pytest
import torch

from benchmarks.rig.lengths import Found, page
from benchmarks.seq2seq import NAMES, contenders, model_of


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks transformers by an old name
def test_contenders_compute_the_same_where_they_should_and_the_page_names_them():
    model = model_of(torch.float32, d_model=32, d_kv=8, num_heads=4, d_ff=48, num_layers=2, vocab_size=400)
    found = {one.name: one for one in contenders(model, 6)}
    assert found["after"].store._wide
    assert not found["after_output"].store._wide
    for one, other in (("before", "peft"), ("after_output", "after"), ("after_no_cache", "after")):
        loss, gradient = found[one].gradient()
        expected, wanted = found[other].gradient()
        assert abs(loss - expected) < 1e-4
        assert float((gradient - wanted).norm() / wanted.norm()) < 1e-3
    steps = {name: [one.step()] for name, one in found.items()}
    text = page({6: Found(steps, 0.1)}, NAMES, rows=16, dtype="fp32")
    assert "decoder's side, cross keys and values in RAM" in text
