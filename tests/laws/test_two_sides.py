"""The laws of training and of keeping on encoder-decoders, and bugs of two sides that the laws have to find.

The laws of the forward pass run over all encoder-decoders beside the causal families, in their own files.
"""

from dataclasses import replace

import pytest
import torch

from softprompt.core.records import Batch
from softprompt.core.tensors import State
from softprompt.lab.training.outcome import Outcome
from softprompt.model.backbones import encdec, seq2seq
from softprompt.model.backbones.splicing.sides import Sides
from softprompt.model.backbones.weights.fingerprint import fingerprint
from softprompt.model.states import Budget, StateStore
from softprompt.testing import tiny
from tests.lab.training.small import SETTINGS, Interrupt, filled, problem, rows, same, trainer
from tests.laws import checks
from tests.laws.examples import MIXED
from tests.laws.strategies import prompts_for, sided

FAMILIES = ["t5", "bart"]

#: Rows whose text alone is the encoder's.
ROWS = rows(9, place="decoder")


# --- keeping: both forms of states, every tier


@pytest.mark.parametrize("tier", ["memory", "file", "recompute"])
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_law_4_both_forms_in_every_tier_score_as_no_states_do(family, wide, tier, tmp_path):
    backbone = tiny(family)
    prompts, batch = prompts_for(backbone, slots=[{"soft": 4}]), Batch(tuple(ROWS))
    tokens = sum(trunk.length for trunk in backbone.trunks(batch))
    room = 2 * tokens * 4 * sum(g * (dk + dv) for g, dk, dv in backbone.spec.wide_shapes)
    budget = Budget(memory=room if wide or tier == "memory" else 0, file=room if tier == "file" else 0, folder=tmp_path)
    if not wide:
        budget = replace(budget, memory=tokens * backbone.spec.kv_bytes if tier == "memory" else 0)
    with StateStore(backbone, budget) as store, torch.no_grad():
        assert set(store.fill(ROWS).texts) == {"memory" if wide else tier}
        state = store.get(batch)
        assert encdec.is_wide(state) is wide
        kept = backbone.forward(batch, prompts, state).readouts[0].values
        fresh = backbone.forward(batch, prompts).readouts[0].values
    assert float((kept - fresh).abs().max()) < 1e-5 * max(1, float(fresh.abs().max()))


# --- training


class Killed(BaseException):
    """The process is gone: nothing of ours may catch it."""


def learnt(family: str, prompts=(0,), *, cache: bool = False, place: str = "decoder", **rest) -> list[Outcome]:
    backbone = tiny(family)
    answers = rest.get("answers", "vectors")
    task = problem(prompts, place=place, answers=answers)
    store = filled(task, backbone) if cache else None
    return trainer(prompts, task=task, backbone=backbone, store=store, **rest).run()


@pytest.mark.parametrize("place", ["decoder", "before"])
def test_law_1_the_model_stays_as_it_was(place):
    backbone = tiny("t5")
    before = fingerprint(backbone.model)
    trainer(task=problem(place=place), backbone=backbone).run()
    assert fingerprint(backbone.model) == before
    assert all(parameter.grad is None for parameter in backbone.model.parameters())


@pytest.mark.parametrize("cache", [False, True])
def test_law_4_a_training_on_states_learns_the_same(cache):
    (one,), (other,) = learnt("t5", cache=cache), learnt("t5", answers="vectors")
    torch.testing.assert_close(one.tensors.slots["soft"].embed, other.tensors.slots["soft"].embed, atol=1e-4, rtol=1e-4)
    (still,) = learnt("t5", rates=[1e-12])
    assert float((one.tensors.slots["soft"].embed - still.tensors.slots["soft"].embed).abs().max()) > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_law_5_killed_and_resumed_is_uninterrupted(family, tmp_path):
    settings = SETTINGS.model_copy(update={"checkpoint_every": 1e-9})
    with pytest.raises(Killed):
        learnt(family, cache=True, settings=settings, path=tmp_path / "c", on_event=Interrupt(4, Killed))
    resumed = learnt(family, cache=True, settings=settings, path=tmp_path / "c")
    assert same(resumed, learnt(family, cache=True, settings=settings))


@pytest.mark.parametrize("answers", ["words", "vectors"])
def test_law_6_prompts_together_end_where_each_ends_alone(answers):
    together = learnt("t5", (0, 1), answers=answers)
    for seed, one in enumerate(together):
        (alone,) = learnt("t5", (seed,), answers=answers)
        left, right = one.tensors.slots["soft"].embed, alone.tensors.slots["soft"].embed
        torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-4)


# --- planted bugs


def unmasked_memory(patch, backbone):
    """The decoder sees the padding of shorter texts."""
    patch.setattr(encdec, "mask_of", lambda state, device: torch.ones(len(state), state.width, dtype=torch.bool))


def memory_of_another_row(patch, backbone):
    """Lines read the encoder's texts in the order of the batch, whoever they belong to."""
    take = State.take
    patch.setattr(State, "take", lambda self, asked: take(self, [n % len(self) for n, _ in enumerate(asked)]))


def other_closing(patch, backbone):
    """The encoder's text ends in another mark than the model's."""
    backbone.frame = replace(backbone.frame, closing=(5,))


def other_opening(patch, backbone):
    """The decoder begins with the terminator instead of its own first token."""
    backbone.frame = replace(backbone.frame, opening=(5,))


def columns_as_positions(patch, backbone):
    """The decoder counts columns, the padding of shorter lines included."""
    patch.setattr(encdec, "_positions_at", lambda decoder, positions: torch.no_grad())


def slots_do_not_thaw(patch, backbone):
    """What stands before the first slot of an encoder counts as frozen, as in causal models."""
    real = seq2seq.split

    def split(batch, frame, *, frozen="soft", **rest):
        sides: Sides = real(batch, frame, frozen=None if frozen is None else "field", **rest)
        return sides

    patch.setattr(seq2seq, "split", split)


def check_roads(backbone):
    checks.check_roads(backbone, sided(backbone, MIXED), prompts_for(backbone))


def check_scores(backbone):
    frame = backbone.frame
    plain = tiny(backbone.spec.name.removeprefix("tiny-")).frame
    rows = sided(backbone, MIXED)
    seen = checks.travel(backbone, rows, prompts_for(backbone))
    backbone.frame = plain
    try:
        checks.assert_equal(seen, checks.oracle(backbone, rows, prompts_for(backbone)))
    finally:
        backbone.frame = frame


def check_mates(backbone):
    checks.check_mates(backbone, sided(backbone, MIXED), prompts_for(backbone))


def check_decoding(backbone):
    checks.check_feeding(backbone)


def check_gradients(backbone):
    checks.check_gradients(backbone, sided(backbone, MIXED), prompts_for(backbone))


@pytest.mark.parametrize(
    ("plant", "family", "law"),
    [
        (unmasked_memory, "t5", check_mates),
        (memory_of_another_row, "bart", check_mates),
        (other_closing, "t5", check_scores),
        (other_opening, "bart", check_scores),
        (columns_as_positions, "bart", check_decoding),
        (slots_do_not_thaw, "t5", check_gradients),
    ],
)
def test_a_planted_bug_breaks_its_law(plant, family, law, monkeypatch):
    backbone = tiny(family)
    with torch.no_grad() if law is check_scores else torch.enable_grad():
        law(backbone)
        plant(monkeypatch, backbone)
        with pytest.raises((AssertionError, RuntimeError)):
            law(backbone)
