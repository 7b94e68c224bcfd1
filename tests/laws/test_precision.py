"""The roads in other precisions and with another attention than transformers' choice."""

import pytest
import torch

from softprompt.testing import tiny
from tests.laws.checks import check_low_precision, check_mates, check_roads, check_scores
from tests.laws.examples import MIXED
from tests.laws.strategies import EVERY, prompts_for, sided

#: Families that compute in float64 from end to end; in the others norms, rotations or biases are always float32.
EXACT = ["gpt2", "opt", "gpt_neox", "falcon", "falcon_alibi"]


@pytest.mark.parametrize("family", EXACT)
def test_in_double_precision_roads_agree_to_nine_digits(family):
    backbone = tiny(family, dtype=torch.float64)
    prompts = prompts_for(backbone)
    check_scores(backbone, MIXED, prompts, tolerance=1e-9)
    check_roads(backbone, MIXED, prompts, tolerance=1e-9)


@pytest.mark.parametrize("family", EVERY)
def test_in_bfloat16_the_fast_roads_err_at_most_twice_as_much(family):
    exact = tiny(family)
    check_low_precision(tiny(family, dtype=torch.bfloat16), exact, sided(exact, MIXED) * 3, prompts_for(exact))


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "gemma2", "gemma3", "falcon", "t5", "bart"])
def test_eager_attention_takes_the_same_masks(family):
    backbone = tiny(family, attention="eager")
    prompts = prompts_for(backbone)
    check_scores(backbone, sided(backbone, MIXED), prompts)
    check_roads(backbone, sided(backbone, MIXED), prompts)


@pytest.mark.parametrize("family", EVERY)
def test_company_changes_nothing(family):
    backbone = tiny(family)
    check_mates(backbone, sided(backbone, MIXED), prompts_for(backbone))
