"""LoRA and full fine-tuning by the same trainer: they learn, resume, and leave the loaded model as it was."""

import math
from dataclasses import replace

import pytest
import torch

from softprompt.core.answers import AnswerSettings
from softprompt.core.errors import ConfigError, ModelError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab.comparison.finetuning import weights as subject
from softprompt.lab.comparison.finetuning.weights import WeightsLearning, learn_weights
from softprompt.lab.comparison.settings import FullSettings, LoraSettings
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.backbones.weights.copies import exact_hash, module_of
from softprompt.model.templates import RowBuilder, Template
from softprompt.testing import tiny

TRAINING = TrainingSettings(
    steps=8, batch_size=4, probe_steps=2, evaluations=2, seeds=(0, 1), micro_tokens=4096
).resolved()
WORDS = {"no": "alpha", "yes": "beta"}
TASK = Task.classify(list(WORDS), metrics=("accuracy",))
BACKBONE = tiny()


def rows(count, start=0):
    names = list(WORDS)
    return [Example({"text": f"{WORDS[names[i % 2]]} {i}"}, names[i % 2]) for i in range(start, start + count)]


def learning(settings, *, answers="vectors", **changes):
    template = Template.parse("{text} is {answer}")
    builder = RowBuilder(template, TASK, BACKBONE.tokenizer, max_tokens=64, answers=answers)
    given = WeightsLearning(
        backbone=BACKBONE,
        builder=builder,
        answers=AnswerSettings(form=answers),
        train=rows(16),
        validation=rows(6, 16),
        training=TRAINING,
        settings=settings,
    )
    return replace(given, **changes)


def bits(fitted):
    return [tensor.clone() for tensor in module_of(fitted.backbone).state_dict().values()]


@pytest.mark.parametrize(
    ("settings", "answers"),
    [
        (LoraSettings(rank=2, rates=(1e-2, 3e-2)), "vectors"),
        (LoraSettings(rank=2, rates=(3e-2,)), "words"),
        (FullSettings(rates=(1e-3, 3e-3)), "words"),
        (FullSettings(rates=(3e-3,)), "vectors"),
    ],
    ids=["lora vectors", "lora words", "full words", "full vectors"],
)
def test_they_learn_and_the_loaded_model_stays(settings, answers):
    before = exact_hash(module_of(BACKBONE))
    found = learning(settings, answers=answers)
    for one in learn_weights(found, [0, 1]):
        losses = [loss for _, _, loss in one.outcome.evaluations]
        assert losses[-1] < losses[0]
        said = one.fitted.predict(rows(4, 30))
        assert all(sum(found.probabilities.values()) == pytest.approx(1) for found in said)
        assert set(one.probe) == (set(settings.rates) if len(settings.rates) > 1 else set())
        assert one.rate in settings.rates
        assert one.outcome.step > 0
    assert exact_hash(module_of(BACKBONE)) == before


def test_what_is_counted_is_what_is_trained():
    (full,) = learn_weights(learning(FullSettings(rates=(1e-3,))), [0])
    head = 2 * BACKBONE.spec.head_dim + 2
    assert full.fitted.num_trained == BACKBONE.spec.num_parameters + head
    assert full.fitted.num_bytes == 4 * full.fitted.num_trained
    (lora,) = learn_weights(learning(LoraSettings(rank=1, rates=(1e-3,))), [0])
    (wider,) = learn_weights(learning(LoraSettings(rank=3, rates=(1e-3,))), [0])
    assert wider.fitted.num_trained - head == 3 * (lora.fitted.num_trained - head)


def test_seeds_differ_and_the_same_seed_does_not():
    settings = LoraSettings(rank=2, rates=(1e-2,))
    first, other, again = (next(iter(learn_weights(learning(settings), [seed]))) for seed in (0, 1, 0))
    pairs = list(zip(bits(first.fitted), bits(other.fitted), strict=True))
    assert any(not torch.equal(one, two) for one, two in pairs)
    assert all(torch.equal(a, b) for a, b in zip(bits(first.fitted), bits(again.fitted), strict=True))


def test_killed_and_resumed_is_the_same_bit_for_bit(tmp_path):
    settings = LoraSettings(rank=2, rates=(1e-2, 3e-2))
    (whole,) = learn_weights(learning(settings), [0])

    def kill(stage, event):
        if stage == "train" and event.kind == "step" and event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(learn_weights(learning(settings, folder=tmp_path, on_event=kill), [0]))
    stages = []
    resumed = learning(settings, folder=tmp_path, on_event=lambda stage, event: stages.append((stage, event.step)))
    (found,) = learn_weights(resumed, [0])
    assert all(torch.equal(a, b) for a, b in zip(bits(whole.fitted), bits(found.fitted), strict=True))
    assert min(stages)[0] == "train"
    assert min(step for _, step in stages) > 3


@pytest.mark.parametrize("family", ["gpt2", "t5", "bert"])
@pytest.mark.parametrize(
    "settings", [LoraSettings(rank=1, rates=(1e-2,)), FullSettings(rates=(1e-3,))], ids=["lora", "full"]
)
def test_every_kind_of_model_learns_and_stays(family, settings):
    loaded = tiny(family)
    builder = RowBuilder(Template.parse("{text} is {answer}"), TASK, loaded.tokenizer, max_tokens=64, answers="vectors")
    brief = TRAINING.model_copy(update={"steps": 2, "evaluations": 1})
    (found,) = learn_weights(learning(settings, backbone=loaded, builder=builder, training=brief), [0])
    (before, after) = found.outcome.evaluations[0], found.outcome.evaluations[-1]
    assert after[2] != before[2]
    assert len(found.fitted.predict(rows(2, 30))) == 2


def test_time_is_kept_to(tmp_path):
    (found,) = learn_weights(learning(FullSettings(rates=(1e-3, 1e-2)), max_seconds=0.5), [0])
    assert found.outcome.step < 8 or found.outcome.stop in {"finished", "time"}
    assert math.isfinite(found.outcome.value)


def test_modules_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match="no_such_module") as error:
        list(learn_weights(learning(LoraSettings(targets=("no_such_module",))), [0]))
    assert error.value.code == "config.invalid"


def test_planted_bug_training_the_loaded_model_itself_is_found(monkeypatch):
    loaded = tiny()
    state = {name: tensor.clone() for name, tensor in module_of(loaded).state_dict().items()}
    monkeypatch.setattr(subject, "trainable_copy", lambda backbone, share=False: backbone)
    with pytest.raises(ModelError) as error:
        list(learn_weights(learning(FullSettings(rates=(1e-3,)), backbone=loaded), [0]))
    assert error.value.code == "model.changed"
    module_of(loaded).requires_grad_(False)
    module_of(loaded).load_state_dict(state)
