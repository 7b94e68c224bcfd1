"""Soft tokens for vLLM: one dense tensor a slot, in the model's dtype, and how they are sent (``prompt_embeds``).

vLLM adds nothing to a prompt of embeddings: whoever asks sends the whole row, the model's own vectors for the words and
the trained ones for the soft tokens; :mod:`softprompt.ops.formats.vllm_client` does that. What is no vector at the
bottom of the model cannot be sent.
"""

from pathlib import Path

import safetensors.torch
import torch

from softprompt.core.errors import PromptError
from softprompt.model.prompts.prompt import Prompt
from softprompt.ops.formats.format import Format, GetBackbone, Written, require_alone, require_kind
from softprompt.ops.formats.readme import vllm_page
from softprompt.ops.formats.sidecar import SIDECAR, Sidecar, digest, format_at

__all__ = ["VLLM", "require_vectors"]

WEIGHTS = "prompt_embeds.safetensors"
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def require_vectors(prompt: Prompt) -> None:
    """Refuse what cannot be sent as embeddings.

    Raises:
        PromptError: ``prompt.unsupported_export``: label vectors, keys and values, vectors inside the model, an
            ensemble, no soft tokens.
    """
    require_alone(prompt, "vLLM")
    require_kind(prompt, "vLLM")
    slots = prompt.tensors.slots.values()
    if prompt.tensors.head is not None:
        what, cure = "answers by label vectors, vLLM by words", "tune with answers.form: words, or use softprompt serve"
    elif not slots:
        what, cure = "has no soft tokens", "send the text of its template as it is"
    elif any(slot.embed is None or slot.hidden or slot.kv for slot in slots):
        what = "has numbers that enter inside the model, vLLM takes vectors at the bottom"
        cure = "tune with method plain, or use softprompt serve"
    else:
        return
    raise PromptError("prompt.unsupported_export", f"{prompt.name!r} {what}", cure=cure)


def export(prompt: Prompt, backbone: GetBackbone, kind: str | None) -> Written:
    """Tensors, page and softprompt.json.

    Raises:
        PromptError: As :func:`require_vectors`.
    """
    require_vectors(prompt)
    dtype = _DTYPES.get(prompt.manifest.model.dtype, torch.float32)
    vectors = {name: slot.embed for name, slot in prompt.tensors.slots.items() if slot.embed is not None}
    weights = safetensors.torch.save({name: one.detach().cpu().to(dtype).contiguous() for name, one in vectors.items()})
    page = Sidecar("vllm", prompt.manifest, {WEIGHTS: digest(weights)})
    notes = (f"vectors are {prompt.manifest.model.dtype or 'float32'}; start vLLM with --enable-prompt-embeds",)
    return Written({WEIGHTS: weights, SIDECAR: page.encode(), "README.md": vllm_page(prompt).encode()}, notes)


def recognises(path: Path) -> bool:
    """Whether softprompt wrote the folder for vLLM."""
    return path.is_dir() and format_at(path) == "vllm"


VLLM = Format("vectors in the model's dtype, to be sent as prompt_embeds", export, recognises)
