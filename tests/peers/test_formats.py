"""Defects of others that ours must not have, by name: imports, exports and what is made of them.

Those of the forward pass stand in test_forward.py, those of starts and of training in test_training.py. What PEFT does
is tried with PEFT itself where that is cheap, so that a test also tells when it has been mended there.
"""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import softprompt as sp
from softprompt.core.errors import PromptError
from softprompt.model.backbones.loading import wrap
from softprompt.ops.formats.opening import Opening
from softprompt.ops.formats.recycling import carry
from softprompt.testing import FAMILIES, tiny, tiny_tokenizer
from tests.ops.formats.samples import BARE, TASK, build, exported, noise, same

TEXTS = ("Nice one", "no", "a much longer text than the others")


def test_wrong_model_is_never_accepted_silently(tmp_path: Path) -> None:
    """An adapter names a model and nothing holds it to that: with equal shapes another one is taken without a word."""
    own, twin = tiny("llama"), tiny("llama", seed=1)
    folder = exported(build(own, BARE), "peft", tmp_path / "ours", own)
    with pytest.raises(PromptError, match="fingerprint") as caught:
        sp.import_prompt(folder, model=twin)
    assert caught.value.code == "prompt.other_model"
    (folder / "softprompt.json").unlink()  # as PEFT itself writes it: shapes are all there is to compare
    with pytest.raises(PromptError, match="vectors of 32 numbers") as caught:
        sp.import_prompt(folder, model=tiny("opt"))
    assert caught.value.code == "prompt.other_model"
    notes: list[str] = []

    class Heard(sp.Watcher):
        def note(self, text: str) -> None:
            notes.append(text)

    prompt = sp.import_prompt(folder, model=tiny("bloom"), watcher=Heard())
    assert any("it names the model tiny-llama, you name tiny-bloom" in note for note in notes)
    assert prompt.manifest.unevaluated
    assert prompt.manifest.origin is not None
    assert prompt.manifest.origin.model == "tiny-llama"


def test_keys_and_values_of_another_depth_or_width_are_refused(tmp_path: Path) -> None:
    own = tiny("llama")
    folder = exported(build(own, BARE, kv=True), "peft", tmp_path / "kv", own)
    (folder / "softprompt.json").unlink()
    with pytest.raises(PromptError, match=r"2 heads of 8 in layer 0.* has 1 of 8") as caught:
        sp.import_prompt(folder, model=tiny("qwen2"))
    assert caught.value.code == "prompt.other_model"
    config = copy.deepcopy(tiny("llama").model.config)
    config.num_hidden_layers = 2
    config.layer_types = None
    shallow = wrap(type(own.model)(config), tiny_tokenizer(), name="shallow")
    with pytest.raises(PromptError, match=r"for 3 layers.* has 2 layers"):
        sp.import_prompt(folder, model=shallow)


@pytest.mark.parametrize("format", ["peft", "npy", "raw", "vllm"])
def test_callers_tensors_are_never_changed_in_place(format: str, tmp_path: Path) -> None:
    backbone, other = tiny("llama"), tiny("gpt2")
    weights = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    prompt = build(backbone)
    before = prompt.tensors.detach()
    exported(prompt, format, tmp_path / "out", backbone)
    carry(prompt.tensors, backbone, other)
    array = np.ones((4, 32), dtype=np.float32)
    np.save(tmp_path / "ones.npy", array)
    made = sp.import_prompt(tmp_path / "ones.npy", model=backbone, template=BARE, task=TASK)
    list(sp.predict(made, TEXTS, model=backbone))
    assert same(prompt.tensors, before)
    assert all(weights[name].equal(tensor) for name, tensor in backbone.model.state_dict().items())
    assert made.tensors.slots["soft"].embed.eq(1).all()


def test_embedding_table_is_never_guessed_from_the_vocabulary_size() -> None:
    """PEFT takes the first parameter with as many rows as the vocabulary, and embeds tokens with that."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FAMILIES["llama"]()
        model.model.layers[0].mlp.gate_proj = torch.nn.Linear(32, 300, bias=False)
        model.model.layers[0].mlp.up_proj = torch.nn.Linear(32, 300, bias=False)
        model.model.layers[0].mlp.down_proj = torch.nn.Linear(300, 32, bias=False)
        table = model.model.embed_tokens
        del model.model.embed_tokens
        model.model.embed_tokens = table  # stands behind the layers now, where a search by size finds them first
    backbone = wrap(model, tiny_tokenizer(), name="decoy")
    first = next(name for name, value in model.named_parameters() if value.shape[0] == 300)
    assert "mlp" in first, "no decoy: the test would prove nothing"
    ids = torch.tensor(backbone.tokenizer.encode("Nice"))
    assert backbone.embed(ids).equal(table.weight[ids])
    prompt = build(backbone)
    vectors = Opening.of(prompt, format="PEFT").vectors(prompt.tensors, backbone)
    assert vectors[0].equal(table.weight[backbone.tokenizer.bos_id].detach())


def test_training_goes_on_from_an_imported_prompt(tmp_path: Path) -> None:
    """PEFT refuses to train what it loads for use, and has no way to go on from another tool's vectors."""
    backbone = tiny("llama")
    folder = exported(build(backbone, BARE), "peft", tmp_path / "adapter", backbone)
    (folder / "softprompt.json").unlink()
    imported = sp.import_prompt(folder, model=backbone, task=TASK, template=BARE)
    imported.save(tmp_path / "imported")
    rows = [{"text": f"{word} {n}", "label": word} for n in range(12) for word in ("good", "bad")]
    settings = {"effort": "quick", "steps": 2, "seeds": [0], "rate": 1e-7}
    report = sp.tune(
        {"kind": "classify", "labels": ["good", "bad"]},
        train=rows[:16],
        validation=rows[16:],
        model=backbone,
        template=BARE,
        answers={"form": "words"},
        training=settings,
        start={"kind": "prompt"},
        start_from=tmp_path / "imported",
        baselines=False,
        output=tmp_path / "run",
    )
    assert report.prompt.manifest.parents == (imported.content_hash,)
    assert not report.prompt.manifest.unevaluated
    (before,), (after,) = (one.tensors.slots.values() for one in (imported, report.prompt))
    assert after.embed.allclose(before.embed, atol=1e-4)
    assert not after.embed.equal(before.embed)


def test_vectors_of_another_slot_are_not_taken_for_the_same(tmp_path: Path) -> None:
    backbone = tiny("llama")
    np.save(tmp_path / "soft.npy", noise(1, 4, 32).numpy())
    with pytest.raises(PromptError, match=r"has the slots \{'a': 4, 'b': 4\}") as caught:
        sp.import_prompt(tmp_path / "soft.npy", model=backbone, template="<soft 4 a><soft 4 b>{text} {answer}")
    assert caught.value.code == "prompt.other_slots"
