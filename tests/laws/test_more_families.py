"""More causal families under the laws of scores, roads, company and decoding; the others come with what these share."""

import pytest
import torch
from torch import nn

from softprompt.testing import MORE, tiny
from tests.laws.checks import check_decoding, check_mates, check_scores
from tests.laws.examples import MIXED, TEXTS
from tests.laws.roads import assert_equal, travel
from tests.laws.strategies import prompts_for

#: Families whose tokens choose among experts.
EXPERTS = ["mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss", "deepseek_v3"]


@pytest.mark.parametrize("family", MORE)
def test_scores_roads_and_decoding_are_those_of_transformers(family):
    backbone = tiny(family)
    prompts = prompts_for(backbone)
    check_scores(backbone, MIXED, prompts)
    with torch.no_grad():  # of the roads the one with everything on it
        fast, plain = (travel(backbone, MIXED, prompts, road) for road in ("tree on states", "repeated rows"))
        assert_equal(fast, plain)
    check_decoding(backbone, TEXTS, num_tokens=6)


@pytest.mark.parametrize("family", EXPERTS)
def test_experts_are_chosen_by_each_token_alone(family):
    """And tokens do choose differently, or the law would hold for any routing."""
    backbone = tiny(family)
    chosen: list[set[int]] = []
    for module in routers(backbone.model):
        module.register_forward_hook(lambda _module, _args, out: chosen.append(experts_in(out)))
    check_mates(backbone, MIXED, prompts_for(backbone))
    assert chosen
    assert max(map(len, chosen)) >= 3


def routers(model: nn.Module) -> list[nn.Module]:
    """Modules with one row of weights an expert, of which there are four."""
    found = [module for module in model.modules() if getattr(getattr(module, "weight", None), "shape", ())[:1] == (4,)]
    assert found
    return found


def experts_in(out: object) -> set[int]:
    """The best expert of each token: from logits, or the first of what a router gives."""
    scores = out[0] if isinstance(out, tuple) else out
    assert isinstance(scores, torch.Tensor)
    return set(scores.reshape(-1, 4).argmax(-1).tolist())
