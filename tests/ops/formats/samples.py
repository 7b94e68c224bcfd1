"""Prompts for tiny models, and what those models make of them in softprompt and inside PEFT."""

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softprompt.app.recipes.formats import fresh_manifest
from softprompt.core.answers import AnswerSettings
from softprompt.core.records import Batch, Example
from softprompt.core.tasks import parse_task
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.backbones.base import Backbone, Want
from softprompt.model.prompts.manifest import Origin, Score
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import Described, RowBuilder, Template
from softprompt.ops.formats.opening import template_of
from softprompt.ops.formats.table import export

TASK = {"kind": "classify", "labels": ["good", "bad"]}
BEFORE = "{bos}<soft 4>{text} It was {answer}"
BARE = "<soft 4>{text} It was {answer}"
FIELDS = {"text": "Nice one"}


def noise(seed: int, *shape: int) -> Tensor:
    """Numbers of a tiny model's scale, equal in every process."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / 2


def build(
    backbone: Backbone, template: str = BEFORE, *, kv: bool = False, head: bool = False, kind: str = "causal"
) -> Prompt:
    """A prompt for a model, with random numbers."""
    parsed, spec = Template.parse(template), backbone.spec
    slots = {}
    for seed, (name, place) in enumerate(parsed.slots.items()):
        shapes = enumerate(backbone.slot_shapes(decoder="<decoder><soft" in template))
        pairs = {n: (noise(90 + n, g, place.length, k), noise(70 + n, g, place.length, v)) for n, (g, k, v) in shapes}
        vectors = noise(seed, place.length, spec.embed_dim)
        slots[name] = SlotTensors(kv=pairs) if kv else SlotTensors(embed=vectors)
    tensors = PromptTensors(slots, Head(noise(50, 2, spec.head_dim), noise(51, 2)) if head else None)
    manifest = fresh_manifest(
        backbone,
        name="tone",
        task=parse_task(TASK),
        described=Described(parsed),
        answers=AnswerSettings(form="vectors" if head else "words"),
        origin=Origin(kind="imported"),
    )
    trained = {"origin": None, "unevaluated": False, "scores": (Score(metric="accuracy", split="test", value=0.75),)}
    model = manifest.model.model_copy(update={"kind": kind})
    return Prompt(
        tensors, manifest.model_copy(update={**trained, "model": model, "created": "2026-01-02T03:04:05+00:00"})
    )


def exported(prompt: Prompt, format: str, folder: Path, backbone: Backbone, *, kind: str | None = None) -> Path:
    """The files of an export in a folder."""
    folder.mkdir(parents=True)
    for name, data in export(prompt, format, backbone=lambda: backbone, kind=kind).files.items():
        (folder / name).write_bytes(data)
    return folder


def our_logits(prompt: Prompt, backbone: Backbone, fields: Mapping[str, str] = FIELDS) -> Tensor:
    """Logits where the answer begins."""
    builder = RowBuilder(template_of(prompt), parse_task({"kind": "generate"}), backbone.tokenizer, max_tokens=200)
    row = builder.row(Example(fields), target=False)
    last = backbone.forward(Batch((row,)), [prompt.tensors], want=Want(last=True)).last
    assert last is not None
    return last[0]


def hf_model(backbone: Any) -> Any:
    """A copy of the model itself, which PEFT may change."""
    return copy.deepcopy(backbone.model)


def peft_logits(folder: Path, backbone: Backbone, *texts: str) -> Tensor:
    """Logits behind one unpadded row inside PEFT, every text tokenised by itself."""
    with quietly():
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(hf_model(backbone), str(folder)).eval()
    return logits_of(adapted, backbone, *texts)


@contextmanager
def quietly() -> Iterator[None]:
    """What PEFT is warned of is not ours: it calls functions of transformers that will go, and asks the hub."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def logits_of(adapted: Any, backbone: Backbone, *texts: str) -> Tensor:
    """The same of a model that PEFT holds."""
    tokens = torch.tensor([[token for text in texts for token in backbone.tokenizer.encode(text)]])
    with torch.no_grad():
        found: Tensor = adapted(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0, -1].float()
    return found


def close(a: Tensor, b: Tensor) -> bool:
    """Equal as the laws mean it."""
    return bool((a - b).abs().max() <= 1e-5 * max(1.0, float(b.abs().max())))


def same(a: PromptTensors, b: PromptTensors) -> bool:
    """Equal names and equal numbers."""
    one, other = dict(a.tensors()), dict(b.tensors())
    return one.keys() == other.keys() and all(one[k].equal(other[k]) and one[k].dtype == other[k].dtype for k in one)
