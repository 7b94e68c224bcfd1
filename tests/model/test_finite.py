"""A model that answers with nan is one line, whatever it is asked for."""

import pytest
import torch

from softprompt.core.errors import ModelError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import wrap
from softprompt.model.finite import require_numbers
from softprompt.model.prediction import Ask, Predictor
from softprompt.model.templates import RowBuilder, Template
from softprompt.testing import FAMILIES, tiny_tokenizer


@pytest.fixture(scope="module")
def damaged() -> Backbone:
    torch.manual_seed(0)
    model = FAMILIES["llama"]()
    with torch.no_grad():
        model.get_output_embeddings().weight[0, 0] = torch.nan
    return wrap(model, tiny_tokenizer(), dtype="fp32", device="cpu")


@pytest.mark.parametrize("task", [Task.classify(["no", "yes"]), Task.generate(max_new_tokens=3)])
def test_a_model_that_answers_with_nan_is_refused(damaged: Backbone, task: Task) -> None:
    builder = RowBuilder(Template.parse("{text} It was {answer}"), task, damaged.tokenizer, max_tokens=64)
    with pytest.raises(ModelError, match=r"not a number \(nan\).*float32.*check the weights") as caught:
        list(Predictor(damaged, [Ask(builder)]).predict([Example({"text": "Fine."}, id="a")]))
    assert caught.value.code == "model.not_finite"


def test_the_cure_of_fp16_is_another_precision() -> None:
    with pytest.raises(ModelError, match="dtype fp32 or bf16: fp16 overflows"):
        require_numbers(torch.tensor([[0.0, torch.nan]]), torch.float16)
