"""Defects of others that ours must not have, by name: what a model computes with a prompt.

PEFT 0.21.2 is asked beside ours, so that a test also tells when something has been mended there.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from softprompt.core.records import Answer, Batch, Example, Node, Row, Soft, Text
from softprompt.core.tasks import parse_task
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones.base import Backbone, Want
from softprompt.model.decoding import Decoding, decode
from softprompt.model.prompted import PromptedModel
from softprompt.model.templates import RowBuilder
from softprompt.ops.formats.opening import template_of
from softprompt.testing import tiny
from tests.ops.formats.samples import BARE, TASK, build, close, exported, hf_model, noise, quietly

TEXTS = ("Nice one", "no", "a much longer text than the others")


def deep(backbone: Backbone, length: int = 3) -> PromptTensors:
    """Keys and values of every layer in the slot ``soft``."""
    pairs = {
        layer: (noise(layer, heads, length, width), noise(9 + layer, heads, length, width))
        for layer, (heads, width, _) in enumerate(backbone.spec.kv_shapes)
    }
    return PromptTensors({"soft": SlotTensors(kv=pairs)})


def asked(ids: tuple[int, ...], prompt: int, length: int) -> Row:
    """A text behind the soft tokens of a prompt, and two answers."""
    chain = (Node(Soft("soft", length, prompt)), Node(Text(ids, "text"), 0), Node(Text((58,)), 1))
    return Row((*chain, *(Node(Answer(answer, n, prompt), 2) for n, answer in enumerate(((65, 257), (66, 67, 257))))))


def peft_model(backbone: Any, name: str = "PromptTuningConfig", **settings: Any) -> Any:
    """The model inside PEFT with three random virtual tokens."""
    peft = pytest.importorskip("peft")
    config = getattr(peft, name)(task_type="CAUSAL_LM", num_virtual_tokens=3, **settings)
    with quietly():
        return peft.get_peft_model(hf_model(backbone), config).eval()


def test_results_do_not_depend_on_the_side_of_the_padding(tmp_path: Path) -> None:
    """PEFT puts the vectors in front of the padding (huggingface/peft#1093), so answers depend on the neighbours."""
    backbone = tiny("gpt2")
    prompt = build(backbone, BARE)
    builder = RowBuilder(template_of(prompt), parse_task(TASK), backbone.tokenizer, max_tokens=200)
    rows = [builder.row(Example({"text": text}), target=False) for text in TEXTS]
    model = PromptedModel(backbone, [prompt.tensors])
    alone = torch.cat([model.scores(Batch((row,)))[0].values for row in rows])
    assert close(model.scores(Batch(tuple(rows)))[0].values, alone)
    # the same prompt inside PEFT, in a batch that is padded on the left as for writing
    folder = exported(prompt, "peft", tmp_path / "out", backbone)
    with quietly():
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(hf_model(backbone), str(folder)).eval()
    ids = [[*backbone.tokenizer.encode(text), *backbone.tokenizer.encode(" It was")] for text in TEXTS]
    widest = max(map(len, ids))
    padded = torch.tensor([[0] * (widest - len(one)) + one for one in ids])
    mask = torch.tensor([[0] * (widest - len(one)) + [1] * len(one) for one in ids])
    with torch.no_grad(), quietly():
        together = adapted(input_ids=padded, attention_mask=mask).logits[:, -1]
        single = torch.cat([adapted(input_ids=torch.tensor([one])).logits[:, -1] for one in ids])
    assert close(together[2], single[2]), "the longest row has no padding"
    assert not close(together[0], single[0]), "PEFT mends it: say so in the docs and in the README of exports"


def test_mixed_prompts_in_one_batch_are_never_silently_ignored() -> None:
    """PEFT drops ``adapter_names`` where adapters are soft prompts, and answers every row by the active one.

    Ours answers every row by its own prompt, whatever its kind and length."""
    backbone = tiny("llama")
    plain, longer = (PromptTensors({"soft": SlotTensors(embed=noise(n, n, 32))}) for n in (3, 5))
    prompts = [plain, longer, deep(backbone)]
    rows = [asked(backbone.tokenizer.encode(text), k, (3, 5, 3)[k]) for k, text in enumerate(TEXTS)]
    model = PromptedModel(backbone, prompts)
    together = model.scores(Batch(tuple(rows)))
    for k, row in enumerate(rows):
        assert close(together[k].values, model.scores(Batch((row,)))[k].values)
    same_text = [asked((72, 105), k, (3, 5, 3)[k]) for k in range(3)]
    told_apart = model.scores(Batch(tuple(same_text)))
    assert not close(told_apart[0].values, told_apart[1].values)
    assert not close(told_apart[0].values, told_apart[2].values)
    # the same in PEFT
    adapted = peft_model(backbone)
    adapted.add_adapter("other", type(adapted.peft_config["default"])(task_type="CAUSAL_LM", num_virtual_tokens=3))
    ids = torch.tensor([backbone.tokenizer.encode("Nice")] * 2)
    with torch.no_grad(), quietly():
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        first, second = adapted(**given, adapter_names=["default", "other"]).logits
        adapted.set_adapter("other")
        other = adapted(**given).logits[1]
    assert first.equal(second), "PEFT mixes soft prompts now: say so in the docs"
    assert not close(second, other), "no difference: the test would prove nothing"


@pytest.mark.parametrize("layered", [False, True], ids=["vectors", "keys and values"])
def test_static_caches_do_not_crash_writing(layered: bool) -> None:
    """A static cache has its size before a prompt is there: PEFT's soft prompts end in a KeyError or AttributeError.

    Our states grow, whatever the model's generation settings ask for."""
    backbone = tiny("llama")
    prompt = deep(backbone) if layered else PromptTensors({"soft": SlotTensors(embed=noise(0, 3, 32))})
    row = Row((Node(Soft("soft", 3)), Node(Text((72, 105), "text"), 0)))
    settings = Decoding(max_new_tokens=6)
    with torch.no_grad():
        usual = decode(backbone, [row], [prompt], settings)[0].ids
        backbone.model.generation_config.cache_implementation = "static"
        assert decode(backbone, [row], [prompt], settings)[0].ids == usual
    adapted = peft_model(tiny("llama"), "PrefixTuningConfig" if layered else "PromptTuningConfig")
    ids = torch.tensor([[72, 105]])
    with pytest.raises((KeyError, AttributeError)), quietly():
        adapted.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, cache_implementation="static"
        )


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom"])
def test_a_prefix_is_learnt_with_gradient_checkpointing(family: str) -> None:
    """PEFT refuses it (huggingface/peft#869, #2191): its cache would grow again when a layer is computed again.

    Ours gives the same loss and the same gradient with it as without."""
    backbone = tiny(family)
    found = []
    for checkpoint in (False, True):
        prompt = deep(backbone)
        leaves = [tensor.requires_grad_() for _, tensor in prompt.tensors()]
        scores = PromptedModel(backbone, [prompt]).scores(
            Batch((asked(backbone.tokenizer.encode(TEXTS[2]), 0, 3),)), checkpoint=checkpoint
        )
        loss = -scores[0].values.log_softmax(-1)[0, 0]
        loss.backward()
        found.append((loss.detach(), torch.cat([one.grad.flatten() for one in leaves if one.grad is not None])))
    (loss, gradient), (loss_again, gradient_again) = found
    assert gradient.abs().max() > 0
    assert close(loss_again, loss)
    assert float((gradient_again - gradient).abs().max()) <= 1e-5 * float(gradient.abs().max())


def test_peft_refuses_a_prefix_with_gradient_checkpointing() -> None:
    """What the test above is about still stands."""
    peft = pytest.importorskip("peft")
    model = hf_model(tiny("llama"))
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    with quietly():
        model.gradient_checkpointing_enable()
        with pytest.raises(ValueError, match="gradient checkpointing"):
            peft.get_peft_model(model, config)


@pytest.mark.parametrize("layered", [False, True], ids=["vectors", "keys and values"])
def test_callers_tensors_are_not_changed_by_a_forward(layered: bool) -> None:
    """A cache that is handed to a model of transformers is longer afterwards; our states can be used again."""
    backbone = tiny("llama")
    prompt = deep(backbone) if layered else PromptTensors({"soft": SlotTensors(embed=noise(0, 3, 32))})
    text = Row((Node(Text((72, 105, 33), "text")), Node(Soft("soft", 3), 0), Node(Text((58,)), 1)))
    batch = Batch((text,))
    with torch.no_grad():
        state = backbone.read(batch)
        kept, own = _copied(state), prompt.detach()
        first = backbone.forward(batch, [prompt], state, want=Want(last=True, state=True))
        assert first.state is not None
        assert first.last is not None
        grown = _copied(first.state)
        backbone.step(first.state, torch.tensor([[65, 66]]))
        again = backbone.forward(batch, [prompt], state, want=Want(last=True))
    assert again.last is not None
    assert again.last.equal(first.last)
    assert all(a.equal(b) for a, b in zip(state.tensors(), kept, strict=True))
    assert all(a.equal(b) for a, b in zip(first.state.tensors(), grown, strict=True))
    assert all(a.equal(b) for (_, a), (_, b) in zip(prompt.tensors(), own.tensors(), strict=True))


def _copied(state: State) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in state.tensors()]
