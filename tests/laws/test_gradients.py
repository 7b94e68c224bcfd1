"""Laws 1, 3 and 4 backwards: every road has the gradient of plain transformers, and the frozen model stays as it is."""

import pytest
import torch

from softprompt.testing import tiny
from tests.laws.checks import check_checkpoint, check_frozen, check_gradients
from tests.laws.examples import MIXED
from tests.laws.strategies import EVERY, prompts_for, sided


@pytest.mark.parametrize("family", EVERY)
def test_every_road_has_the_gradient_of_plain_transformers(family):
    backbone = tiny(family)
    check_gradients(backbone, sided(backbone, MIXED), prompts_for(backbone))


@pytest.mark.parametrize("family", EVERY)
def test_forgetting_activations_changes_neither_loss_nor_gradient(family):
    backbone = tiny(family)
    check_checkpoint(backbone, sided(backbone, MIXED), prompts_for(backbone))


def test_forgetting_activations_leaves_no_trace_on_the_model():
    backbone = tiny("llama")
    before = [dict(vars(module)) for module in backbone.model.modules()]
    check_checkpoint(backbone, sided(backbone, MIXED), prompts_for(backbone))
    assert [dict(vars(module)).keys() for module in backbone.model.modules()] == [one.keys() for one in before]


@pytest.mark.parametrize("family", EVERY)
def test_training_leaves_every_tensor_of_the_model_bit_identical(family):
    backbone = tiny(family)
    check_frozen(backbone, sided(backbone, MIXED), prompts_for(backbone))


@pytest.mark.parametrize("family", ["gpt2", "opt", "gpt_neox"])
def test_in_double_precision_gradients_agree_to_nine_digits(family):
    backbone = tiny(family, dtype=torch.float64)
    check_gradients(backbone, sided(backbone, MIXED), prompts_for(backbone), tolerance=1e-9)
