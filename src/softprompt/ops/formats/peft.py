"""PEFT's adapters of soft prompts: adapter_config.json and adapter_model.safetensors, both ways, without PEFT itself.

PEFT saves four of its methods as one tensor, already materialised (its encoders are run before they are saved):

    PROMPT_TUNING, P_TUNING     prompt_embeddings [P, E], vectors in front of the text's embeddings
    PREFIX_TUNING, CARTRIDGE    prompt_embeddings [P, 2 L G D], viewed as [P, 2 L, G, D]: at 2 l the keys of layer l
                                after rotation, at 2 l + 1 its values; G heads of keys and values, not of queries

For an encoder-decoder (task type SEQ_2_SEQ_LM) vectors stand in front of what the encoder reads. PEFT saves as many
again for the decoder (``num_transformer_submodules`` 2) and never reads those. Keys and values go in front of the
decoder's opening, as ours do on its side, and PEFT gives them to its layers by turns
(:mod:`~softprompt.ops.formats.prefixes`).

PEFT puts them in front of everything, so a prompt whose slots all stand before its first field can be exported: words
before or between them become vectors (or keys and values) too. Checked against PEFT 0.21.2 by logits, both ways.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor

from softprompt.core.errors import PromptError
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones.base import Kind
from softprompt.model.prompts.document import MAX_MANIFEST_BYTES, decode_document, encode_document
from softprompt.model.prompts.manifest import Manifest
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import Described, Template
from softprompt.model.templates.parts import Slot, unparse
from softprompt.model.templates.segments import TextPiece
from softprompt.ops.formats.format import Foreign, Format, GetBackbone, Written, require_alone, require_kind
from softprompt.ops.formats.opening import Opening
from softprompt.ops.formats.prefixes import by_turns, flatten, in_turn, unflatten
from softprompt.ops.formats.readme import peft_page
from softprompt.ops.formats.sidecar import SIDECAR, Sidecar, digest, read_part

__all__ = ["PEFT"]

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
EMBEDDED, CACHED = ("PROMPT_TUNING", "P_TUNING"), ("CARTRIDGE", "PREFIX_TUNING")
KINDS = (*EMBEDDED, *CACHED)

#: PEFT's name of a task, and the kind of model that it is for.
TASKS: Mapping[str, Kind] = {"CAUSAL_LM": "causal", "SEQ_2_SEQ_LM": "seq2seq"}

# ---------------------------------------------------------------- there


def export(prompt: Prompt, backbone: GetBackbone, kind: str | None) -> Written:
    """An adapter's folder.

    Args:
        prompt: Its slots stand before its first field.
        backbone: Loads its model, asked where words stand before or between the slots, or vectors become keys and
            values.
        kind: PEFT's name; None: CARTRIDGE for keys and values, PROMPT_TUNING for vectors.

    Raises:
        PromptError: ``prompt.unsupported_export``, with the reason.
    """
    require_alone(prompt, "PEFT")
    require_kind(prompt, "PEFT", tuple(TASKS.values()))
    if prompt.tensors.head is not None:
        message = f"{prompt.name!r} answers by label vectors, which PEFT has no place for"
        cure = "tune with answers.form: words (--set answers.form=words), or export to npy or raw"
        raise PromptError("prompt.unsupported_export", message, cure=cure)
    slots = prompt.tensors.slots.values()
    if any(slot.hidden for slot in slots):
        message = f"{prompt.name!r} has vectors that enter inside the model, PEFT has them at the bottom only"
        raise PromptError("prompt.unsupported_export", message, cure="tune with method plain, or export to npy or raw")
    cached = any(slot.kv for slot in slots)
    decoder = cached and prompt.manifest.model.kind == "seq2seq"
    opening = Opening.of_decoder(prompt, format="PEFT") if decoder else Opening.of(prompt, format="PEFT")
    kind = kind or (CACHED[0] if cached else EMBEDDED[0])
    if kind in EMBEDDED and cached:
        message = f"{prompt.name!r} has keys and values, {kind} holds vectors"
        raise PromptError("prompt.unsupported_export", message, cure=f"write {' or '.join(CACHED)}")
    task = next(task for task, model in TASKS.items() if model == prompt.manifest.model.kind)
    if task == "SEQ_2_SEQ_LM" and not decoder:
        _require_encoder(prompt, opening, kind)
    config = {
        "peft_type": kind,
        "task_type": task,
        "base_model_name_or_path": prompt.manifest.model.id,
        "revision": prompt.manifest.model.revision,
        "inference_mode": True,
        "num_transformer_submodules": 2 if decoder else 1,
    }
    manifest = prompt.manifest
    if kind in EMBEDDED:
        model = None if opening.bare else backbone()
        layout = opening.layout(None if model is None else model.tokenizer)
        numbers = opening.vectors(prompt.tensors, model)
        config |= {"num_virtual_tokens": len(numbers), "token_dim": numbers.shape[1]}
        config |= {"encoder_hidden_size": numbers.shape[1]} if kind == "P_TUNING" else {"prompt_tuning_init": "RANDOM"}
    else:
        state = _state(opening, prompt.tensors, backbone)
        numbers, layers, heads = flatten(by_turns(state) if decoder else state, name=prompt.name)
        manifest = _compiled(prompt, opening, len(numbers))
        layout = [{"slot": "soft", "length": len(numbers)}]
        config |= {"num_virtual_tokens": len(numbers), "token_dim": numbers.shape[1] // (2 * layers)}
        config |= {"num_layers": layers, "num_attention_heads": heads}
        config |= {"num_frozen_tokens": 1} if kind == "CARTRIDGE" else {"prefix_projection": False}
    weights = safetensors.torch.save({"prompt_embeddings": numbers.contiguous()})
    page = Sidecar("peft", manifest, {WEIGHTS: digest(weights)}, opening=layout)
    files = {CONFIG: encode_document(config), WEIGHTS: weights, SIDECAR: page.encode()}
    text = peft_page(prompt, opening, kind=kind, num_vectors=len(numbers))
    return Written({**files, "README.md": text.encode()}, (f"give PEFT the text {opening.rest!r}, see README.md",))


def _require_encoder(prompt: Prompt, opening: Opening, kind: str) -> None:
    """Refuse what PEFT cannot put in front of an encoder's text.

    Raises:
        PromptError: ``prompt.unsupported_export``.
    """
    if kind not in EMBEDDED:
        message = f"{kind} of an encoder-decoder stands in front of the decoder, {prompt.name!r} on the encoder's side"
        raise PromptError("prompt.unsupported_export", message, cure=f"write {' or '.join(EMBEDDED)}")
    if any(isinstance(piece, TextPiece) for piece in opening.before):
        message = (
            f"{prompt.name!r} has words before its soft tokens, which an encoder reads as the beginning of the text"
        )
        cure = "tune with soft tokens before everything (--place before), or export to npy or raw"
        raise PromptError("prompt.unsupported_export", message, cure=cure)


def _state(opening: Opening, tensors: PromptTensors, backbone: GetBackbone) -> State:
    """Keys and values of the opening: the slot's own where it stands alone, else what the model makes of it."""
    slots = list(tensors.slots.values())
    if len(opening.before) == 1 and slots[0].embed is None:
        kv = slots[0].kv
        if sorted(kv) == list(range(len(kv))):
            pairs = [kv[layer] for layer in sorted(kv)]
            return State(tuple(k[None] for k, _ in pairs), tuple(v[None] for _, v in pairs), (slots[0].length,))
    return opening.state(tensors, backbone())


def _compiled(prompt: Prompt, opening: Opening, length: int) -> Manifest:
    """The manifest of the opening as one slot of keys and values."""
    if len(opening.before) == 1 and all(slot.kv for slot in prompt.tensors.slots.values()):
        return prompt.manifest
    described = Described.from_dict(prompt.manifest.template)
    template = described.template
    last = max(n for n, part in enumerate(template.parts) if isinstance(part, Slot))
    text = unparse([Slot(length), *template.parts[last + 1 :]])
    read = {name: getattr(template, name) for name in ("truncate", "keep", "strip", "windows")}
    short = Template.parse(text, **read)
    kept = replace(described, template=short).to_dict()
    changes = {"template": kept, "placement": "before", "parents": (prompt.content_hash,)}
    requires = tuple(sorted({*prompt.manifest.requires, "kv"} - {"embed"}))
    return prompt.manifest.model_copy(update={**changes, "requires": requires})


# ---------------------------------------------------------------- and back


def recognises(path: Path) -> bool:
    """Whether a folder looks like an adapter's, whole or not."""
    return path.is_dir() and any((path / name).exists() for name in (CONFIG, WEIGHTS, PICKLED))


def read(path: Path, max_bytes: int) -> Foreign:
    """The prompt of an adapter's folder.

    Raises:
        PromptError: ``prompt.incomplete``, ``prompt.pickled``, ``prompt.unsupported_import``, ``prompt.bad_manifest``,
            ``prompt.bad_tensors``, ``prompt.shape_mismatch``.
    """
    config = decode_document(read_part(path, CONFIG, max_bytes=MAX_MANIFEST_BYTES), name=CONFIG)
    kind = str(config.get("peft_type"))
    _require_prompt(config, kind)
    if not (path / WEIGHTS).exists() and (path / PICKLED).exists():
        message = f"{PICKLED} is pickled and can run code: it is not read"
        cure = "save it as safetensors in an environment that you trust: model.save_pretrained(folder)"
        raise PromptError("prompt.pickled", message, cure=cure)
    data = read_part(path, WEIGHTS, max_bytes=max_bytes)
    numbers = _numbers(data, config)[: config["num_virtual_tokens"]]
    page = Sidecar.load(path)
    whole: list[Mapping[str, Any]] = [{"slot": "soft", "length": len(numbers)}]
    slots = whole if page is None or not page.opening else page.opening
    names = [str(one["slot"]) for one in slots if "slot" in one]
    told = sum(int(one.get("length", one.get("words", 0))) for one in slots)
    if told != len(numbers) or (kind in CACHED and not len(names) == len(slots) == 1):
        message = f"{SIDECAR} describes other vectors than the {len(numbers)} of {WEIGHTS}"
        raise PromptError("prompt.shape_mismatch", message, cure=f"remove {SIDECAR} to import the vectors alone")
    if kind in EMBEDDED:
        tensors = PromptTensors(_cut(numbers, slots))
    else:
        layers, heads = int(config["num_layers"]), int(config["num_attention_heads"])
        slot = unflatten(numbers, layers=layers, heads=heads)
        if config.get("task_type") == "SEQ_2_SEQ_LM":
            slot = in_turn(slot, layers=layers if page is None else layers // 2)
        tensors = PromptTensors({names[0]: slot})
    facts = {key: config[key] for key in ("peft_type", "task_type", "peft_version") if config.get(key) is not None}
    return Foreign(
        "peft",
        tensors,
        None if page is None else page.manifest,
        changed=page is not None and page.changed({WEIGHTS: data}),
        first=True,
        model=str(config.get("base_model_name_or_path") or ""),
        revision=config.get("revision") if isinstance(config.get("revision"), str) else None,
        facts=facts,
        kind=TASKS[str(config.get("task_type") or "CAUSAL_LM")],
    )


def _require_prompt(config: dict[str, Any], kind: str) -> None:
    """Refuse adapters that are no soft prompt of a model that writes."""
    if kind not in KINDS:
        message = f"the adapter is {kind}, which changes the model instead of prompting it"
        if kind in ("MULTITASK_PROMPT_TUNING", "CPT", "ADAPTION_PROMPT"):
            message = f"the adapter is {kind}, whose numbers mean nothing without PEFT's own code"
        cure = f"import {', '.join(KINDS)}; use this one with PEFT"
        raise PromptError("prompt.unsupported_import", message, cure=cure)
    if (task := config.get("task_type") or "CAUSAL_LM") not in TASKS:
        message = f"the adapter is for {task}; prompts of models that write are imported: {', '.join(TASKS)}"
        cure = "use this one with PEFT, or tune a prompt for its model (softprompt tune)"
        raise PromptError("prompt.unsupported_import", message, cure=cure)
    if task == "SEQ_2_SEQ_LM" and kind in CACHED and config.get("num_transformer_submodules") not in (None, 2):
        message = (
            f"the adapter is {kind} for {task} with num_transformer_submodules = "
            f"{json.dumps(config['num_transformer_submodules'])}: PEFT then mixes what the decoder reads of itself "
            "with what it reads of the encoder"
        )
        raise PromptError("prompt.unsupported_import", message, cure="train it with num_transformer_submodules=2")
    needed = ["num_virtual_tokens", "token_dim"]
    needed += ["num_layers", "num_attention_heads"] if kind in CACHED else []
    for name in needed:
        if type(value := config.get(name)) is not int or value < 1:
            message = f"{CONFIG} has {name} = {json.dumps(value)}, a number from 1 is needed"
            raise PromptError("prompt.bad_manifest", message, cure="save the adapter again with PEFT")


def _numbers(data: bytes, config: dict[str, Any]) -> Float[Tensor, "P N"]:
    """The one tensor, in the shape that the configuration promises."""
    try:
        found = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        cure = "copy the folder again, or let PEFT write it again"
        raise PromptError("prompt.bad_tensors", f"{WEIGHTS} cannot be read: {error}", cure=cure) from None
    if others := sorted(set(found) - {"prompt_embeddings"}):
        message = f"the adapter also holds {', '.join(others[:3])}: other weights of the model were trained with it"
        cure = "a prompt cannot carry them; train without modules_to_save, or use it with PEFT"
        raise PromptError("prompt.unsupported_import", message, cure=cure)
    if "prompt_embeddings" not in found:
        raise PromptError("prompt.incomplete", f"{WEIGHTS} holds no prompt_embeddings", cure="save the adapter again")
    numbers = found["prompt_embeddings"]
    if not numbers.is_floating_point():
        raise PromptError("prompt.bad_dtype", f"prompt_embeddings are {numbers.dtype}; fp32, fp16 and bf16 are read")
    width = config["token_dim"] * (2 * config["num_layers"] if config["peft_type"] in CACHED else 1)
    parts = config.get("num_transformer_submodules") or 2  # of an encoder-decoder; the second is never read
    sided = config.get("task_type") == "SEQ_2_SEQ_LM" and config["peft_type"] in EMBEDDED
    copies = parts if sided and parts in (1, 2) else 1
    wanted = (config["num_virtual_tokens"] * copies, width)
    if tuple(numbers.shape) != wanted or (config["peft_type"] in CACHED and width % config["num_attention_heads"]):
        came = " x ".join(map(str, numbers.shape))
        message = f"{CONFIG} promises {wanted[0]} x {wanted[1]} numbers, {WEIGHTS} holds {came}"
        raise PromptError("prompt.shape_mismatch", message, cure="both files must come from one save")
    return numbers


def _cut(numbers: Float[Tensor, "T E"], layout: Sequence[Mapping[str, Any]]) -> dict[str, SlotTensors]:
    """The slots among vectors of words and slots."""
    found: dict[str, SlotTensors] = {}
    at = 0
    for one in layout:
        length = int(one.get("length", one.get("words", 0)))
        if "slot" in one:
            found[one["slot"]] = SlotTensors(embed=numbers[at : at + length].clone())
        at += length
    return found


PEFT = Format("an adapter's folder for PEFT", export, recognises, read, KINDS)
