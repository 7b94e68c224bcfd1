"""A rehearsal refuses what training would, and leaves no trace in what is trained afterwards."""

import pytest
import torch

from softprompt.core.errors import SoftpromptError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab.lessons import Lesson
from softprompt.lab.rehearsal import rehearse
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.tuning import tune
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.table import parse_method
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.rows import Answers
from softprompt.testing import tiny

ROWS = [Example({"text": f"{'good' if i % 2 else 'bad'} {i}"}, "yes" if i % 2 else "no") for i in range(12)]
PLAIN, QUICK = parse_method("plain"), TrainingSettings(steps=2, rate=0.05, seeds=(0,), evaluations=1)


def lesson(backbone: Backbone, template: str, task: Task, rows: list[Example]) -> Lesson:
    form: Answers = "words" if "<soft" in template else "vectors"
    builder = RowBuilder(Template.parse(template), task, backbone.tokenizer, max_tokens=99, answers=form)
    return Lesson("tone", builder, rows, rows)


def test_what_is_trained_afterwards_has_the_same_bits() -> None:
    backbone = tiny()
    one = lesson(backbone, "{text}<soft 4> It was {answer}", Task.classify(["no", "yes"]), ROWS)
    torch.manual_seed(3)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    rehearse(backbone, one, method=PLAIN, settings=QUICK)
    assert torch.equal(torch.rand(1), drawn)
    after = tune(backbone, [one], method=PLAIN, settings=QUICK).learnt[0].prompt
    alone = tune(tiny(), [one], method=PLAIN, settings=QUICK).learnt[0].prompt
    for (_, first), (_, second) in zip(after.tensors(), alone.tensors(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("family", ["llama", "t5", "bert"])
@pytest.mark.parametrize("name", ["plain", "residual", "low_rank", "p_tuning", "superposition", "context"])
def test_methods_over_embeddings_are_for_every_kind_of_model(family: str, name: str) -> None:
    backbone = tiny(family)
    one = lesson(backbone, "<soft 4>{text} It was {answer}", Task.classify(["no", "yes"]), ROWS)
    rehearse(backbone, one, method=parse_method(name), settings=QUICK)


def test_rows_that_show_nothing_do_not_hide_those_that_do() -> None:
    backbone = tiny()
    task = Task.multilabel(["big", "red"])
    rows = [Example({"text": f"plain {i}"}, ()) for i in range(20)]
    one = lesson(backbone, "{text}<soft 4> Tags: {answer}", task, [*rows, Example({"text": "bold"}, ("big",))])
    rehearse(backbone, one, method=parse_method("deep"), settings=QUICK)


def test_settings_that_would_do_nothing_are_refused() -> None:
    backbone = tiny()
    one = lesson(backbone, "{text} It was {answer}", Task.classify(["no", "yes"]), ROWS)
    with pytest.raises(SoftpromptError, match=r"training.noise: acts on soft tokens, and .*'deep' has none here"):
        rehearse(backbone, one, method=parse_method("deep"), settings=TrainingSettings(noise=0.1))
