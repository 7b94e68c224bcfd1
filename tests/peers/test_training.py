"""Defects of others that ours must not have, by name: where prompts start, and trainings that are cut short.

PEFT 0.21.2 is asked beside ours, so that a test also tells when something has been mended there.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from softprompt.core.tensors import PromptTensors
from softprompt.lab.lessons import vocabulary_of
from softprompt.lab.multitask import tune_together
from softprompt.model.backbones.loading import wrap
from softprompt.model.methods.multitask import MultitaskSettings
from softprompt.model.methods.starts import from_text, generator
from softprompt.testing import FAMILIES, tiny, tiny_tokenizer
from tests.lab.lessons import At, Killed, every_bit, lesson, run, with_
from tests.lab.training.small import llama
from tests.ops.formats.samples import hf_model, quietly


def size(tensor: torch.Tensor) -> float:
    """Root mean square."""
    return float(tensor.square().mean().sqrt())


def test_a_training_that_was_killed_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    """Not in PEFT: it does not train what it has loaded, nor load a best checkpoint back (huggingface/peft#2256).

    Ours goes on where it was, probe and optimiser included."""
    settings = with_(checkpoint_every=1e-9)
    whole = run(settings=settings)
    for stage in ("probe", "train"):
        with pytest.raises(Killed):
            run(settings=settings, folder=tmp_path / stage, on_event=At(stage, 2, Killed))
        assert every_bit(run(settings=settings, folder=tmp_path / stage)) == every_bit(whole)


def test_peft_refuses_to_train_what_it_has_loaded(tmp_path: Path) -> None:
    """What the test above, and the one of imported prompts in test_formats.py, are about still stands."""
    peft = pytest.importorskip("peft")
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    with quietly():
        peft.get_peft_model(hf_model(llama()), config).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="trainable"):
            peft.PeftModel.from_pretrained(hf_model(llama()), tmp_path, is_trainable=True)


def test_the_start_of_several_tasks_does_not_collapse() -> None:
    """PEFT multiplies the shared prompt by a product of two matrices that start near zero: tasks start at nothing.

    Its vectors are thousands of times smaller than those of words. Ours are the shared prompt, as long as words are.
    """
    settings = with_(rate=1e-12, steps=1)
    tasks = [lesson("one"), lesson("two", "{text}<soft 3> was it? {answer}")]
    learnt = tune_together(llama(), tasks, method=MultitaskSettings(rank=2), settings=settings).learnt
    usual = vocabulary_of(llama()).statistics.rms
    first, second = (vectors_of(one.prompt) for one in learnt)
    assert 0.5 * usual < size(first) < 2 * usual
    assert first.allclose(second)
    peft = pytest.importorskip("peft")
    config = peft.MultitaskPromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3, num_tasks=2)
    with quietly():
        encoder = peft.get_peft_model(hf_model(llama()), config).prompt_encoder["default"]
    begun = encoder(torch.arange(3)[None], torch.tensor([0])).detach()
    assert size(begun) < usual / 100, "PEFT mends it: say so in docs/methods/multitask.md"


def test_special_tokens_are_not_tiled_by_a_text_start(tmp_path: Path) -> None:
    """Where a tokenizer writes ``<bos>`` and ``<eos>`` around texts, PEFT repeats them in the middle of the prompt.

    Ours repeats the words alone."""
    source = tiny_tokenizer("<bos> $A <eos>")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = wrap(FAMILIES["llama"](), source, name="marked")
    words = list(b"topic")
    ids = [source.convert_tokens_to_ids(chr(one)) for one in words]
    vectors = from_text(vocabulary_of(backbone), "topic")(12, generator(0, "slot soft"))
    assert vectors.equal(backbone.embed(torch.tensor((ids * 3)[:12])).detach())
    peft = pytest.importorskip("peft")
    source.save_pretrained(tmp_path)
    config = peft.PromptTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=12,
        prompt_tuning_init="TEXT",
        prompt_tuning_init_text="topic",
        tokenizer_name_or_path=str(tmp_path),
    )
    with quietly():
        table = peft.get_peft_model(hf_model(backbone), config).prompt_encoder["default"].embedding.weight
    tiled = backbone.embed(torch.tensor(([256, *ids, 257] * 2)[:12]))
    assert table.detach().equal(tiled.detach()), "PEFT mends it: say so here"


def test_a_start_text_that_looks_like_a_special_token_is_text() -> None:
    """Nor does a start text smuggle one in."""
    backbone = tiny("llama")
    found = from_text(vocabulary_of(backbone), "<bos>")(5, generator(0, "slot soft"))
    assert found.equal(backbone.embed(torch.tensor(backbone.tokenizer.encode("<bos>"))).detach())
    assert backbone.tokenizer.bos_id not in backbone.tokenizer.encode("<bos>")


def vectors_of(prompt: PromptTensors) -> Any:
    """The vectors of its one slot."""
    (slot,) = prompt.slots.values()
    return slot.embed
