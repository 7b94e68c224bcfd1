"""Copies whose weights may be trained, and the proof that the loaded model stayed as it was."""

import pytest
import torch

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Batch, Node, Row, Text
from softprompt.model.backbones.weights.copies import exact_hash, module_of, trainable_copy, unchanged
from softprompt.testing import tiny

ROW = Row((Node(Text((5, 6, 7), "text")), Node(Answer((9, 257), 0), 0), Node(Answer((8, 257), 1), 0)))


def scores(backbone):
    return backbone.forward(Batch((ROW,))).answers[0].scores


@pytest.mark.parametrize("share", [False, True])
def test_a_copy_scores_as_the_loaded_model(share):
    loaded = tiny()
    torch.testing.assert_close(scores(trainable_copy(loaded, share=share)), scores(loaded))


def test_every_weight_of_a_copy_gets_a_gradient_and_the_loaded_model_none():
    loaded = tiny()
    own = trainable_copy(loaded)
    module_of(own).requires_grad_(True)
    scores(own).sum().backward()
    missing = [name for name, one in module_of(own).named_parameters() if one.grad is None]
    assert not missing
    assert all(one.grad is None and not one.requires_grad for one in module_of(loaded).parameters())


def test_a_shared_copy_takes_no_memory_and_its_modules_are_its_own():
    loaded = tiny()
    own = module_of(trainable_copy(loaded, share=True))
    pairs = zip(own.parameters(), module_of(loaded).parameters(), strict=True)
    assert all(one is other for one, other in pairs)
    own.add_module("more", torch.nn.Linear(2, 2))
    assert not hasattr(module_of(loaded), "more")


def test_training_a_copy_leaves_the_loaded_model():
    loaded = tiny()
    with unchanged(loaded, during="a test"):
        own = trainable_copy(loaded)
        module_of(own).requires_grad_(True)
        optimiser = torch.optim.SGD(module_of(own).parameters(), lr=0.1)
        scores(own).sum().backward()
        optimiser.step()
    assert not torch.equal(scores(own), scores(loaded))


@pytest.mark.parametrize(
    "bug",
    [
        lambda module: next(module.parameters()).data.view(-1)[:1].nextafter_(torch.tensor(9.0)),
        lambda module: module.add_module("left_behind", torch.nn.Identity()),
        lambda module: module.requires_grad_(True),
        lambda module: module.train(),
    ],
    ids=["last bit", "module", "trained", "mode"],
)
def test_a_changed_model_is_refused(bug):
    loaded = tiny()
    with pytest.raises(ModelError, match="LoRA changed the loaded model") as error, unchanged(loaded, during="LoRA"):
        bug(module_of(loaded))
    assert error.value.code == "model.changed"


def test_without_a_module_there_is_nothing_to_copy():
    elsewhere = tiny()
    del elsewhere.model
    with pytest.raises(ModelError) as error:
        module_of(elsewhere)
    assert error.value.code == "model.unsupported"


def test_the_hash_depends_on_nothing_but_the_model():
    assert exact_hash(module_of(tiny())) == exact_hash(module_of(tiny()))
