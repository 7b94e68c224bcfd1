"""P-tuning: the LSTM is torch's, tokens depend on their neighbours only through it, and nothing depends on luck."""

import pytest
import torch
from torch import nn

from softprompt.model.methods.p_tuning import PTuning, PTuningSettings, Recurrent
from softprompt.model.methods.starts import Start, generator
from tests.model.methods.begun import STARTS


@pytest.mark.parametrize("backwards", [False, True])
def test_the_lstm_is_the_one_of_torch(backwards: bool):
    ours = Recurrent(5, 3, generator(0, "test"), backwards=backwards)
    inputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    theirs = nn.LSTM(5, 3)
    order = [0, 1, 3, 2]  # torch: input, forget, cell, output; ours: input, forget, output, cell
    with torch.no_grad():
        for name, layer in (("ih", ours.read), ("hh", ours.keep)):
            rows = layer.weight.reshape(4, 3, -1)[order].reshape(12, -1) / layer.weight.shape[1]
            theirs.get_parameter(f"weight_{name}_l0").copy_(rows)
            theirs.get_parameter(f"bias_{name}_l0").copy_(layer.bias.reshape(4, 3)[order].reshape(12))
        expected, _ = theirs(inputs.flip(0) if backwards else inputs)
    torch.testing.assert_close(ours(inputs), expected.flip(0) if backwards else expected)


@pytest.mark.parametrize(("encoder", "together"), [("mlp", False), ("lstm", True)])
def test_tokens_depend_on_each_other_through_the_lstm_only(encoder: str, together: bool):
    method = PTuning.start(PTuningSettings.parse({"encoder": encoder, "hidden": 4}), [STARTS[0]])
    with torch.no_grad():  # the last layer is zero at the start
        method.get_parameter("prompts.0.encoder.layers.2.weight").fill_(1.0)
    vectors = method()[0].slots["soft"].embed
    assert vectors is not None
    vectors[0].sum().backward()
    grad = method.get_parameter("prompts.0.inputs").grad
    assert grad is not None
    assert (grad[1:].abs().max() > 0) == together


def test_the_seed_decides_the_network():
    def network(seed: int) -> torch.Tensor:
        method = PTuning.start(PTuningSettings(), [Start(STARTS[0].slots, 0.02, seed)])
        return method.get_parameter("prompts.0.encoder.layers.0.weight")

    assert torch.equal(network(1), network(1))
    assert not torch.equal(network(1), network(2))
