"""The encoder benchmark: contenders make steps on a tiny shape, states change no loss, and the page divides right."""

import pytest
import torch

from benchmarks.encoders import NAMES, config_of, contenders
from benchmarks.rig.contenders import Step
from benchmarks.rig.lengths import Found, page

TINY = {"num_hidden_layers": 1, "hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 8}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT asks transformers by an old name
def test_every_contender_makes_a_step_and_states_change_nothing() -> None:
    found = {one.name: one for one in contenders(config_of(**TINY), 6, torch.float32)}
    assert list(found) == list(NAMES)
    loss, gradient = found["after"].gradient()
    again, same = found["after_no_cache"].gradient()
    assert abs(loss - again) < 1e-6
    torch.testing.assert_close(gradient, same)
    for one in found.values():
        assert one.step().loss > 0
    assert found["after"].read_seconds > 0


def test_the_page_says_how_many_times_faster() -> None:
    steps = {name: [Step(9.0, float(n), 1.0)] for n, name in enumerate(NAMES, start=1)}
    text = page({64: Found(steps, 0.5)}, NAMES, rows=16, dtype="fp32")
    assert "| after the text, states in RAM | 4.000 s (0.2 x) |" in text
    assert "| reading the texts once | 0.500 s |" in text
