"""Progressive prompts: what was learnt earlier has the same bits for ever, whatever is learnt in front of it."""

from dataclasses import replace

import pytest
import torch

from softprompt.core.errors import ConfigError, PromptError
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.methods.progressive import Progressive, ProgressiveSettings
from softprompt.model.methods.starts import Start, StartSettings, generator, initialiser, start_prompt
from tests.lab.training.small import trainer
from tests.model.methods.begun import WIDTH, words_at

EARLIER = PromptTensors({"soft": SlotTensors(embed=torch.arange(2.0 * WIDTH).reshape(2, WIDTH) / 7)})


def begun(length: int, *, seed: int = 0) -> Start:
    init = initialiser(StartSettings(kind="in_front"), words_at(1.0), saved=EARLIER)
    return start_prompt({"soft": (length, init)}, scale=1.0, seed=seed, kept={"soft": 2})


def test_the_earlier_prompt_stands_behind_the_new_vectors():
    vectors = begun(5).slots["soft"]
    assert torch.equal(vectors[3:], EARLIER.slots["soft"].embed)
    assert not torch.equal(vectors[:3], begun(5, seed=1).slots["soft"][:3])


def test_only_new_vectors_are_learnt_in_every_slot():
    start = replace(begun(5), slots={"a": torch.ones(3, 2), "b": torch.ones(2, 2), "c": torch.ones(4, 2)})
    method = Progressive.start(ProgressiveSettings(), [replace(start, kept={"a": 1, "c": 4})])
    with torch.no_grad():
        next(method.parameters_of(0)).fill_(9.0)
    found = {name: slot.embed for name, slot in method.materialise()[0].slots.items()}
    assert {name: (vectors == 9).all(1).tolist() for name, vectors in found.items() if vectors is not None} == {
        "a": [True, True, False],
        "b": [True, True],
        "c": [False] * 4,
    }


def test_training_leaves_the_earlier_vectors_bit_for_bit():
    run = trainer((0, 1), name="progressive")
    before = [prompt.slots["soft"].embed for prompt in run.method.materialise()]
    for old, outcome in zip(before, run.run(), strict=True):
        new = outcome.tensors.slots["soft"].embed
        assert old is not None
        assert new is not None
        assert torch.equal(new[-1:], old[-1:])
        assert not torch.isclose(new[:-1], old[:-1]).any(1).all()


@pytest.mark.parametrize("length", [1, 2])
def test_a_slot_without_room_is_refused_with_a_length_that_has_some(length: int):
    with pytest.raises(PromptError, match=rf"has {length} soft tokens and the saved prompt 2.*<soft 22>"):
        begun(length)


def test_there_has_to_be_an_earlier_prompt():
    with pytest.raises(ConfigError, match=r"there is none \[config.invalid\].*start_from"):
        Progressive.start(ProgressiveSettings(), [Start({"soft": torch.ones(2, 2)}, 1.0)])
    with pytest.raises(ConfigError, match="needs a saved prompt to stand in front of"):
        initialiser(StartSettings(kind="in_front"), words_at(1.0))(3, generator(0, "slot"))
