"""One prompt that uses everything a saved prompt can hold."""

import pytest
import torch

from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.prompts.manifest import Manifest, MethodRecord, ModelIdentity, Score
from softprompt.model.prompts.prompt import Prompt


def build_prompt() -> Prompt:
    """The golden prompt: every number is exact in its dtype, so the bytes are the same on every machine."""
    numbers = iter(torch.arange(200) / 8)

    def take(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        count = torch.Size(shape).numel()
        return torch.stack([next(numbers) for _ in range(count)]).reshape(shape).to(dtype)

    tensors = PromptTensors(
        {
            "soft": SlotTensors(embed=take(3, 4)),
            "deep_1": SlotTensors(
                hidden={0: take(2, 4), 10: take(2, 4, dtype=torch.bfloat16)},
                kv={2: (take(1, 2, 3, dtype=torch.float16), take(1, 2, 3))},
            ),
        },
        Head(take(2, 4), take(2)),
    )
    manifest = Manifest(
        name="topics – Thémen",
        created="2025-01-02T03:04:05+00:00",
        softprompt="0.1.0",
        task={"kind": "classify", "labels": {"BILLING_01": {"say": "billing"}, "OTHER": {"say": "other"}}},
        template={"text": '{text}<soft 3> It was {answer}\n"quoted"', "fields": ["text"]},
        answers={"form": "vectors"},
        method=MethodRecord(name="residual", config={"bottleneck": 64}),
        placement="after",
        model=ModelIdentity(
            id="embedded", architecture="LlamaForCausalLM", fingerprint="f" * 64, tokenizer="a" * 64, dtype="bfloat16"
        ),
        data_hash="0123456789abcdef",
        config={"train": {"rate": 0.01, "steps": 100, "early_stopping": True, "note": None}},
        scores=(Score(metric="accuracy", split="test", value=0.875, low=0.75, high=0.9375, num_items=400),),
        licence="CC0-1.0",
        author="A. Person",
        parents=("b" * 64,),
        notes="golden",
    )
    return Prompt(tensors, manifest)


@pytest.fixture
def prompt() -> Prompt:
    return build_prompt()
