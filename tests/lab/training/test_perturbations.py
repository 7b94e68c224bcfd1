"""Noise, dropout and the adversary: what they do to the vectors of a step, and that they do it to the losses."""

import math
from typing import Any

import pytest
import torch

from softprompt.core.errors import ConfigError
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.lab.training.gradients import Gradients
from softprompt.lab.training.perturbations import Adversary, drawn, require_vectors
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.prompted import PromptedModel
from tests.lab.training.small import SETTINGS, llama, method, problem, trainer

ONES = torch.ones(50, 40)


def change(
    step: int = 0, seed: int = 0, slot: str = "soft", vectors: torch.Tensor = ONES, **given: float
) -> torch.Tensor:
    found = drawn(TrainingSettings.parse(given), seeds=[seed], step=step)
    assert found is not None
    return found(0, slot, vectors)


@pytest.mark.parametrize("given", [{"noise": 0.3}, {"dropout": 0.3}, {"noise": 0.1, "dropout": 0.2}])
def test_seed_slot_and_step_decide_what_is_drawn(given: dict[str, float]):
    one = change(**given)
    assert torch.equal(one, change(**given))
    for other in (change(step=1, **given), change(seed=1, **given), change(slot="tone", **given)):
        assert not torch.equal(one, other)


def test_dropout_keeps_the_mean_and_drops_its_share():
    dropped = 3 * ONES + change(dropout=0.3, vectors=3 * ONES)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    torch.testing.assert_close(dropped[dropped != 0], torch.full_like(dropped[dropped != 0], 3 / 0.7))


def test_noise_has_its_size():
    assert change(noise=0.2).std().item() == pytest.approx(0.2, rel=0.05)
    assert drawn(SETTINGS, seeds=[0], step=0) is None


def test_the_adversary_goes_up_the_gradient_as_far_as_allowed_for_every_vector():
    adversary = Adversary(0.5)
    vectors = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    weights[2] = 0.0
    for share in (0.25, 0.75):  # two pieces of a step
        ((vectors + adversary.watch(0, "soft", vectors)) * weights * share).sum().backward()
    step = adversary.attack(0, "soft", vectors)
    torch.testing.assert_close(step.square().mean(1).sqrt(), torch.tensor([0.5, 0.5, 0.0]))
    torch.testing.assert_close(step[:2], 0.5 * weights[:2] / weights[:2].square().mean(1, keepdim=True).sqrt())


def test_a_prompt_without_a_row_in_the_step_is_not_attacked():
    adversary = Adversary(0.5)
    adversary.watch(3, "soft", ONES)
    assert adversary.attack(3, "soft", ONES).abs().max() == 0


def losses(**given: Any) -> tuple[float, float]:
    """Sum of the losses and of the weights of one step."""
    task = problem((0,))
    settings = SETTINGS.model_copy(update=given)
    gradients = Gradients(PromptedModel(llama()), method((0,)), task, settings, None)
    rows = [gradients.asked(row) for row in task.train[0] if row is not None]
    (found,) = gradients(rows, step=0).values()
    return found


@pytest.mark.parametrize("pieces", [100_000, 25])
def test_an_attacked_step_weighs_both_passes_and_is_the_harder_one(pieces: int):
    total, weight = losses(micro_tokens=pieces)
    attacked, both = losses(micro_tokens=pieces, adversarial=0.05)
    assert both == pytest.approx(2 * weight)
    assert attacked - total > total  # the second pass alone
    nothing, _ = losses(micro_tokens=pieces, adversarial=1e-7)
    assert nothing == pytest.approx(2 * total, rel=1e-4)


def test_weight_decay_pulls_the_numbers_towards_zero_and_smoothing_keeps_answers_unsure():
    def ended(**given: Any) -> PromptTensors:
        (outcome,) = trainer((0,), settings=SETTINGS.model_copy(update={"steps": 20, "keep": "last", **given})).run()
        return outcome.tensors

    def size(prompt: PromptTensors) -> float:
        return math.sqrt(sum(float(tensor.square().sum()) for _, tensor in prompt.tensors()))

    free = size(ended())
    assert size(ended(weight_decay=1.0)) < 0.9 * free
    assert size(ended(max_rms=0.3)) < free
    heads = [prompt.head for prompt in (ended(), ended(smoothing=0.9))]
    assert heads[0] is not None
    assert heads[1] is not None
    spread = [float(head.bias.std()) for head in heads]
    assert spread[1] < spread[0]


@pytest.mark.parametrize("name", ["deep", {"name": "deep", "bottleneck": 4}, "late"])
@pytest.mark.parametrize("given", [{"noise": 0.3}, {"dropout": 0.3}, {"adversarial": 0.3}, {"max_rms": 0.5}], ids=str)
def test_every_regularisation_acts_on_tensors_of_the_layers(name: Any, given: dict[str, float]):
    """What is learnt is another prompt than without, every number is finite, and twice is once."""

    def learnt(**more: float) -> PromptTensors:
        settings = SETTINGS.model_copy(update={"keep": "last", **more})
        (outcome,) = trainer((0,), settings=settings, name=name).run()
        return outcome.tensors

    free, one, again = learnt(), learnt(**given), learnt(**given)
    for (title, left), (_, right), (_, same) in zip(free.tensors(), one.tensors(), again.tensors(), strict=True):
        assert right.isfinite().all()
        assert torch.equal(right, same)
        if title.startswith("slots"):
            assert not torch.equal(left, right), title


def test_the_adversary_attacks_every_heads_part_of_a_token():
    adversary, keys = Adversary(0.5), torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    ((keys + adversary.watch(0, "soft.keys.0", keys)) ** 2).sum().backward()
    torch.testing.assert_close(
        adversary.attack(0, "soft.keys.0", keys).square().mean(-1).sqrt(), torch.full((2, 3), 0.5)
    )


@pytest.mark.parametrize("name", ["noise", "dropout", "adversarial", "max_rms"])
def test_what_would_do_nothing_is_refused(name: str):
    settings = TrainingSettings.parse({name: 0.5})
    head_only = PromptTensors({}, Head(torch.ones(2, 3), torch.zeros(2)))
    with pytest.raises(ConfigError, match=rf"training.{name}: acts on soft tokens.*'plain' has none"):
        require_vectors(settings, [head_only], method="plain")
    require_vectors(settings, [head_only, PromptTensors({"soft": SlotTensors(embed=torch.ones(1, 3))})], method="plain")
    require_vectors(TrainingSettings(), [head_only], method="plain")
