"""Laws 4, 5 and 6 of training on encoders, and bugs of masked models that the laws have to find."""

from dataclasses import replace

import pytest
import torch

from softprompt.model.backbones import masked, observers
from softprompt.model.backbones.encoders import Encoder
from softprompt.model.backbones.splicing import cloze
from softprompt.model.backbones.splicing.lines import Read
from softprompt.testing import tiny
from tests.lab.training.small import Interrupt, problem, same, trainer
from tests.laws import checks
from tests.laws.strategies import prompts_for
from tests.laws.test_masked import MIXED
from tests.laws.test_states import TIERS, difference
from tests.laws.test_training import Killed, distance, with_


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("family", ["bert", "deberta_v2"])
def test_law_4_every_tier_gives_what_reading_gives(family, tier, tmp_path):
    assert difference(tiny(family), tier, tmp_path) < 1e-5


@pytest.mark.parametrize("form", [{}, {"answers": "words"}, {"place": "before"}], ids=["vectors", "words", "before"])
def test_law_5_killed_and_resumed_is_uninterrupted(form, tmp_path):
    def make(**rest):
        backbone = tiny("bert")
        answers = {"answers": form["answers"]} if "answers" in form else {}
        settings = with_(checkpoint_every=1e-9)
        return trainer(task=problem(**form), backbone=backbone, settings=settings, **answers, **rest)

    for moment in (2, 4):
        with pytest.raises(Killed):
            make(path=tmp_path / "c", on_event=Interrupt(moment, Killed)).run()
    assert same(make(path=tmp_path / "c").run(), make().run())


@pytest.mark.parametrize("family", ["bert", "mpnet"])
@pytest.mark.parametrize("case", ["one diverges", "before the text"])
def test_law_6_together_is_alone(case, family):
    assert distance(case, family) < 1e-4


# --- planted bugs


def text_sees_padding(patch, backbone):
    """Padding of states and of lines is seen."""
    patch.setattr(observers.View, "mask", property(lambda view: None))


def positions_from_zero(patch, backbone):
    """Observers stand where the text stands."""
    lay_out = masked.lay_out

    def restarted(lines, width, device):
        inputs = lay_out(lines, width, device)
        return replace(inputs, positions=inputs.positions - torch.tensor(inputs.starts)[:, None])

    patch.setattr(masked, "lay_out", restarted)


def no_offset(patch, backbone):
    """RoBERTa's first token stands where its padding belongs."""
    patch.setattr(masked, "encoder_of", lambda config: Encoder())


def layers_by_module(patch, backbone):
    """States are looked up by module, of which ALBERT has one."""
    extend = observers.View.extend
    patch.setattr(observers.View, "extend", lambda view, layer, keys, values: extend(view, 0, keys, values))


def distances_from_zero(patch, backbone):
    """Distances are counted as if observers stood where the text begins."""
    distances = observers.View.distances.func
    patch.setattr(observers.View, "distances", property(lambda view: distances(view) - view.inputs.state_width))


def all_masked(patch, backbone):
    """Every token of an answer is predicted from masks alone."""

    def answer(self, answer):
        ids = answer.ids[:-1]
        line, first = self._line((), len(ids)), len(self.base.ids)
        reads = tuple(Read(line, first + n, token) for n, token in enumerate(ids))
        return cloze.Candidate(answer.prompt_index, self.walk.index, answer.candidate, reads)

    patch.setattr(cloze._Reader, "answer", answer)


def not_closed(patch, backbone):
    """Texts are read without what closes them."""
    reread = backbone.reread
    patch.setattr(backbone, "reread", lambda texts: reread([(*ids[:-1], 0) for ids in texts]))


def observed_observers(patch, backbone):
    """The text is live: it sees the soft tokens behind it."""
    patch.setattr(cloze._Walk, "trunk", lambda self, path: None)


@pytest.mark.parametrize(
    ("plant", "family", "law"),
    [
        (text_sees_padding, "bert", checks.check_mates),
        (text_sees_padding, "deberta_v2", checks.check_mates),
        (positions_from_zero, "distilbert", checks.check_scores),
        (no_offset, "roberta", checks.check_scores),
        (layers_by_module, "albert", checks.check_scores),
        (distances_from_zero, "mpnet", checks.check_scores),
        (distances_from_zero, "deberta_v2", checks.check_scores),
        (all_masked, "bert", checks.check_scores),
        (not_closed, "electra", checks.check_scores),
        (observed_observers, "bert", checks.check_scores),
    ],
)
def test_a_planted_bug_breaks_its_law(plant, family, law, monkeypatch):
    backbone = tiny(family)
    rows, prompts = MIXED[:5], prompts_for(backbone)
    law(backbone, rows, prompts)
    plant(monkeypatch, backbone)
    with pytest.raises(AssertionError):
        law(backbone, rows, prompts)
