"""Multitask prompts: all tasks start at what they share, and only what is shared is shared."""

from dataclasses import replace

import pytest
import torch

from softprompt.core.errors import ConfigError
from softprompt.core.tensors import PromptTensors
from softprompt.model.methods.multitask import Multitask, MultitaskSettings
from softprompt.model.methods.starts import Start
from tests.model.methods.begun import STARTS, start


def tasks(*groups: str, rank: int = 2) -> Multitask:
    """A task a group's name, of the same slots, each with a start of its own."""
    starts = [replace(start(k, lengths={"soft": 3}), group=group) for k, group in enumerate(groups)]
    return Multitask.start(MultitaskSettings(rank=rank), starts)


def vectors(prompt: PromptTensors) -> torch.Tensor:
    found = prompt.slots["soft"].embed
    assert found is not None
    return found


def test_every_task_of_a_group_starts_at_the_first_ones_start():
    """A product of small random numbers would start next to zero, and stay there."""
    first, second, third, fourth = map(vectors, tasks("a", "b", "a", "b").materialise())
    torch.testing.assert_close(first, start(0, lengths={"soft": 3}).slots["soft"])
    assert torch.equal(first, third)
    assert torch.equal(second, fourth)
    assert not torch.equal(first, second)


def test_a_task_reaches_what_is_shared_and_its_own_factors_only():
    method = tasks("a", "a", "b")
    vectors(method()[1]).square().sum().backward()
    moved = {name for name, parameter in method.named_parameters() if parameter.grad is not None}
    assert moved == {"shared.0.vectors", "prompts.1.u", "prompts.1.v"}


def test_groups_are_told_and_what_is_shared_counts_to_the_first():
    method = tasks("a", "b", "a", "")
    assert method.groups == ((0, 2), (1,), (3,))
    names = [[name for name, _ in method.named_parameters_of(k)] for k in range(4)]
    assert names[0] == ["slots.u", "slots.v", "shared.vectors"]
    assert names[2] == ["slots.u", "slots.v"]
    assert sum(map(len, names)) == len(list(method.parameters())) == len(method.state_dict()) - 4  # the scales


def test_prompts_without_a_group_share_nothing():
    method = tasks("", "")
    assert method.groups == ((0,), (1,))
    first, second = map(vectors, method.materialise())
    assert not torch.equal(first, second)


def test_factors_bend_what_is_shared_by_their_rank():
    method = tasks("a", "a", rank=2)
    with torch.no_grad():
        method.get_parameter("prompts.1.u").normal_(generator=torch.Generator().manual_seed(0))
    first, second = map(vectors, method.materialise())
    assert torch.linalg.matrix_rank(second / first - 1, rtol=1e-4) == 2


def test_tasks_of_other_slots_cannot_share():
    starts = [replace(one, group="a", head=None) for one in STARTS[:2]]
    with pytest.raises(ConfigError, match=r"same soft slots, came: \{'soft': 3\} and \{'tone': 2, 'topic': 5\}"):
        Multitask.start(MultitaskSettings(), starts)


def test_label_vectors_alone_are_a_group_of_nothing_shared():
    method = Multitask.start(MultitaskSettings(), [Start({}, 1.0, head=STARTS[0].head, group="a")])
    assert [name for name, _ in method.named_parameters_of(0)] == ["head.weight", "head.bias"]
