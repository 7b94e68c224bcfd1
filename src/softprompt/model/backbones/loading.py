"""From a name to a frozen model: a hub id, a folder, ``embedded``, or a live model.

Safetensors only, no remote code, offline honoured. A model is loaded once, in the dtype of its file, so that its
fingerprint is that of the file; then it is cast in place to the dtype that a short measurement finds fastest.
"""

import json
import time
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from softprompt.core.errors import ModelError, SoftpromptError
from softprompt.model.backbones.base import Backbone, Spec
from softprompt.model.backbones.causal import CausalBackbone
from softprompt.model.backbones.families import family_of
from softprompt.model.backbones.fingerprint import fingerprint
from softprompt.model.backbones.tokenizer import TextTokenizer

__all__ = ["DTYPES", "embedded_folder", "fastest_dtype", "load", "wrap"]

DTYPES: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def embedded_folder() -> Path:
    """Folder of the model that ships with the package."""
    return Path(str(resources.files("softprompt") / "assets" / "embedded"))


def load(
    name: str | Path = "embedded",
    *,
    dtype: str = "auto",
    device: str = "auto",
    revision: str | None = None,
    attention: str | None = None,
) -> Backbone:
    """Load a model by hub id or folder, or the embedded one.

    Args:
        name: ``embedded``, a folder with config.json and safetensors, or a hub id.
        dtype: ``bf16``, ``fp16``, ``fp32``, or ``auto`` for the fastest here.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto``.
        revision: Branch, tag or commit of a hub id; what it resolves to is recorded.
        attention: ``sdpa`` or ``eager``; None leaves the choice to transformers.

    Raises:
        ModelError: ``model.not_found``, ``model.gated``, ``model.no_safetensors``, ``model.remote_code``,
            ``model.unreadable``, ``model.unsupported``, ``model.no_device``, ``model.no_tokenizer``.
    """
    place = pick_device(device)
    folder = embedded_folder() if str(name) == "embedded" else Path(name).expanduser()
    local = folder.is_dir()
    if local:
        _check_folder(folder)
    elif str(name).startswith((".", "/", "~")) or str(name).count("/") > 1:
        raise ModelError("model.not_found", f"there is no folder {str(name)!r}", cure="check the path")
    source = str(folder) if local else str(name)
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    if local:
        options = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(source, **options)
        _refuse_remote_code(config, str(name))
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        extra = {"attn_implementation": attention} if attention else {}
        model = AutoModelForCausalLM.from_pretrained(
            source, config=config, dtype="auto", use_safetensors=True, **options, **extra
        )
    except SoftpromptError:
        raise
    except Exception as error:  # transformers raises OSError, ValueError, RuntimeError, safetensors and hub errors
        raise _explain(error, str(name), local=local) from error
    resolved = None if local else getattr(config, "_commit_hash", None)
    return wrap(model, tokenizer, name=str(name), dtype=dtype, device=str(place), revision=resolved)


def wrap(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    name: str | None = None,
    dtype: str = "keep",
    device: str = "keep",
    revision: str | None = None,
) -> Backbone:
    """Use a live transformers model; it is frozen and set to evaluation mode, in place.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer, with a fast form.
        name: For messages and manifests.
        dtype: ``keep``, ``auto``, ``bf16``, ``fp16`` or ``fp32``.
        device: ``keep`` or where to move it.
        revision: Recorded.

    Raises:
        ModelError: ``model.unsupported``, ``model.no_tokenizer``.
    """
    config = model.config.get_text_config(decoder=True)
    family = family_of(model, config)
    if model.get_output_embeddings() is None:
        raise ModelError("model.unsupported", f"{type(model).__name__} has no output layer; load a ...ForCausalLM")
    texts = TextTokenizer(tokenizer)
    mark = fingerprint(model)
    model.eval().requires_grad_(False)
    if device != "keep":
        model.to(torch.device(device))  # type: ignore[arg-type]
    place = next(model.parameters()).device
    if dtype != "keep":
        wanted = fastest_dtype(place, config.hidden_size) if dtype == "auto" else _dtype(dtype)
        model.to(wanted)  # type: ignore[arg-type]
    embedding = model.get_input_embeddings()
    with torch.no_grad():
        width = embedding(torch.zeros(1, dtype=torch.long, device=place)).shape[-1]
    spec = Spec(
        name=name or getattr(config, "_name_or_path", "") or type(model).__name__,
        family=config.model_type,
        revision=revision,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        embed_dim=width,
        head_dim=model.get_output_embeddings().weight.shape[1],
        vocab_size=model.get_output_embeddings().weight.shape[0],
        kv_shapes=_kv_shapes(config),
        max_positions=int(getattr(config, "max_position_embeddings", None) or getattr(config, "seq_length", 0) or 2048),
        tree=family.tree,
        dtype=next(model.parameters()).dtype,
        device=place,
        fingerprint=mark,
        tokenizer_hash=texts.hash,
    )
    return CausalBackbone(model, texts, spec=spec, family=family)


def pick_device(device: str = "auto") -> torch.device:
    """The named device, or the best one there is.

    Raises:
        ModelError: ``model.no_device``.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError:
        raise ModelError("model.no_device", f"{device!r} is no device; known: auto, cpu, cuda, cuda:N, mps") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(place.type, False):
        raise ModelError("model.no_device", f"there is no {device!r} on this machine", cure="use device: auto")
    return place


def fastest_dtype(device: torch.device, width: int, *, rounds: int = 5) -> torch.dtype:
    """Time one product of the model's width in each dtype and take the fastest; float32 unless another wins by a fifth.

    float16 is a candidate only on accelerators: on CPUs its range costs accuracy and its products are rarely faster.
    """
    candidates = [torch.float32, torch.bfloat16] + ([torch.float16] if device.type != "cpu" else [])
    times: dict[torch.dtype, float] = {}
    size = max(256, min(width, 4096))
    for dtype in candidates:
        a = torch.ones(512, size, device=device, dtype=dtype)
        b = torch.ones(size, 4 * size, device=device, dtype=dtype)
        try:
            samples = [_seconds(a, b, device) for _ in range(rounds + 1)][1:]
        except RuntimeError:  # a dtype without kernels here
            continue
        times[dtype] = sorted(samples)[len(samples) // 2]
    best = min(times, key=lambda dtype: times[dtype])
    return best if times[best] < 0.8 * times[torch.float32] else torch.float32


def _seconds(a: torch.Tensor, b: torch.Tensor, device: torch.device) -> float:
    start = time.perf_counter()
    product = a @ b
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    float(product[0, 0])
    return time.perf_counter() - start


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise ModelError("model.unsupported", f"dtype {name!r} is unknown; known: auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def _kv_shapes(config: Any) -> tuple[tuple[int, int, int], ...]:
    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    if getattr(config, "model_type", "") == "falcon" and not getattr(config, "new_decoder_architecture", False):
        groups = 1 if getattr(config, "multi_query", False) else heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return ((groups, width, width),) * config.num_hidden_layers


def _check_folder(folder: Path) -> None:
    """Refuse what would fail later with a worse message."""
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError("model.unreadable", f"{folder} has no config.json", cure="point at the folder of a model")
    try:
        json.loads(config.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError("model.unreadable", f"{config} cannot be read: {error}") from None
    if not any(folder.glob("*.safetensors")):
        others = sorted(path.name for path in folder.glob("*.bin")) or ["no weights"]
        raise ModelError(
            "model.no_safetensors",
            f"{folder} has {', '.join(others[:3])} and no .safetensors; pickled weights can run code and are refused",
            cure="convert them with save_pretrained in an environment that you trust",
        )


def _refuse_remote_code(config: Any, name: str) -> None:
    if getattr(config, "auto_map", None):
        raise ModelError(
            "model.remote_code",
            f"{name} needs code from its repository, which is never run",
            cure="load it yourself and hand it over with sp.wrap(model, tokenizer)",
        )


def _explain(error: Exception, name: str, *, local: bool) -> ModelError:
    """One line for whatever went wrong while loading."""
    text = " ".join(str(error).split())
    kind = type(error).__name__
    if kind == "GatedRepoError" or "gated repo" in text:
        return ModelError(
            "model.gated", f"{name} is gated on the hub", cure="ask for access there, then `hf auth login`"
        )
    if "trust_remote_code" in text or "custom code" in text:
        return ModelError(
            "model.remote_code",
            f"{name} needs code from its repository, which is never run",
            cure="load it yourself and hand it over with sp.wrap(model, tokenizer)",
        )
    if "safetensors" in text and ("no file named" in text or "does not appear to have" in text):
        return ModelError(
            "model.no_safetensors", f"{name} has no .safetensors; pickled weights can run code and are refused"
        )
    if not local and (isinstance(error, OSError) or "offline" in text.lower()):
        return ModelError(
            "model.not_found",
            f"{name!r} is neither a folder nor a model that the hub (or its local cache) gave",
            cure="check the name and the network, or use 'embedded'",
        )
    return ModelError("model.unreadable", f"{name} cannot be loaded: {kind}: {text[:300]}")
