"""From a name to a frozen model: a hub id, a folder, ``embedded``, or a live model.

Safetensors only, no remote code, offline honoured. A model is loaded once, in the dtype of its file, so that its
fingerprint is that of the file; then it is cast in place to the dtype that a short measurement finds fastest. Nothing
is printed, and no setting of transformers is changed beyond the call.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import GatedRepoError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as hf_logging

from softprompt.core.errors import ModelError, SoftpromptError
from softprompt.model.backbones.base import Backbone, Spec
from softprompt.model.backbones.calls import cache_of, call, layers_of, tensors_of
from softprompt.model.backbones.causal import CausalBackbone
from softprompt.model.backbones.encoder_loading import read_encoder, wrap_encoder
from softprompt.model.backbones.encoders import is_encoder
from softprompt.model.backbones.families import Family, family_of
from softprompt.model.backbones.finding.hub import require_reachable
from softprompt.model.backbones.finding.kinds import auto_class, frame_of, kind_of, measure_seq2seq, positions_of
from softprompt.model.backbones.finding.live import require_live, require_name
from softprompt.model.backbones.finding.places import embedded_folder, model_folder
from softprompt.model.backbones.seq2seq import Seq2SeqBackbone
from softprompt.model.backbones.splicing.sides import Frame
from softprompt.model.backbones.tokenizer import TextTokenizer
from softprompt.model.backbones.weights.compiling import compile_blocks
from softprompt.model.backbones.weights.devices import DTYPES, dtype_of, fastest_dtype, pick_device
from softprompt.model.backbones.weights.holding import hold
from softprompt.model.backbones.weights.quantised import quantisation_of, quiet
from softprompt.model.backbones.weights.spread import (
    DeviceMap,
    checked_map,
    inputs_device,
    require_one_device,
    require_parts,
)

__all__ = ["DTYPES", "embedded_folder", "fastest_dtype", "load", "pick_device", "wrap"]


def load(
    name: str | Path = "embedded",
    *,
    dtype: str = "auto",
    device: str = "auto",
    revision: str | None = None,
    attention: str | None = None,
    quantise: str | None = None,
    device_map: DeviceMap | None = None,
    compile: bool = False,
) -> Backbone:
    """Load a model by hub id or folder, or the embedded one.

    Args:
        name: ``embedded``, a folder with config.json and safetensors, or a hub id.
        dtype: ``bf16``, ``fp16``, ``fp32``, or ``auto`` for the fastest here.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto``.
        revision: Branch, tag or commit of a hub id; what it resolves to is recorded.
        attention: ``sdpa`` or ``eager``; None leaves the choice to transformers.
        quantise: A name in ``quantised.SCHEMES``, e.g. ``int8``, ``nf4``; None takes the files as they are.
        device_map: ``auto``, or parts of the model -> devices, for one that no device holds; instead of ``device``.
        compile: Compile the feed-forward blocks of a causal model; the first calls take minutes.

    Raises:
        ModelError: ``model.not_found``, ``model.gated``, ``model.no_safetensors``, ``model.remote_code``,
            ``model.unreadable``, ``model.unsupported``, ``model.no_device``, ``model.no_tokenizer``,
            ``model.unknown_dtype``, ``model.unknown_scheme``, ``model.unsupported_scheme``, ``model.spread``,
            ``model.bad_device_map``, ``model.cannot_compile``.
        ExtraError: ``extra.missing`` where a scheme's library or accelerate is.
    """
    require_name(name)
    place = pick_device(device)
    if dtype != "auto":
        dtype_of(dtype)
    folder = model_folder(name)
    local = folder.is_dir()
    if local:
        _check_folder(folder)
    elif str(name).startswith((".", "/", "~")) or str(name).count("/") > 1:
        raise ModelError("model.not_found", f"there is no folder {str(name)!r}", cure="check the path")
    else:
        require_reachable(str(name), revision=revision)
    source = str(folder) if local else str(name)
    options: dict[str, Any] = {"trust_remote_code": False}
    options |= {"local_files_only": True} if local else {"revision": revision}
    extra: dict[str, Any] = {"attn_implementation": attention} if attention else {}
    try:
        with _quiet(), quiet():
            config = AutoConfig.from_pretrained(source, **options)
            _refuse_remote_code(config, str(name))
            tokenizer = _tokenizer(source, str(name), options)
            extra |= {"dtype": "auto", "use_safetensors": True, **_held(config, place, quantise, device_map)}
            if is_encoder(config):
                model, report = read_encoder(source, config, options | extra)
            else:
                model, report = auto_class(config).from_pretrained(
                    source, config=config, output_loading_info=True, **options, **extra
                )
    except SoftpromptError:
        raise
    except Exception as error:  # transformers raises OSError, ValueError, RuntimeError, safetensors and hub errors
        raise _explain(error, str(name), local=local, config=_config(source, options)) from error
    _refuse_missing(report, str(name))
    if device_map is not None:
        require_parts(model, device_map)
    resolved = None if local else getattr(config, "_commit_hash", None)
    said: dict[str, Any] = {
        "name": str(name),
        "dtype": dtype,
        "revision": resolved,
        "quantise": quantise,
        "compile": compile,
    }
    return wrap(model, tokenizer, device="keep" if device_map else str(place), **said)


def _held(config: Any, place: torch.device, quantise: str | None, device_map: DeviceMap | None) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` that say how weights are held and where.

    Raises:
        ModelError: ``model.unknown_scheme``, ``model.bad_device_map``.
        ExtraError: ``extra.missing``.
    """
    scheme = None if quantise is None else quantisation_of(quantise, config)
    held: dict[str, Any] = {} if scheme is None else {"quantization_config": scheme}
    if device_map is not None:
        return held | {"device_map": checked_map(device_map)}
    # Quantised weights are made where they are to lie; bitsandbytes' cannot be moved afterwards.
    packed = scheme is not None or getattr(config, "quantization_config", None) is not None
    return held | ({"device_map": {"": str(place)}} if packed else {})


def wrap(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    name: str | None = None,
    dtype: str = "keep",
    device: str = "keep",
    revision: str | None = None,
    quantise: str | None = None,
    compile: bool = False,
) -> Backbone:
    """Use a live transformers model; it is frozen and set to evaluation mode, in place.

    Args:
        model: A causal language model, an encoder-decoder, a masked language model or a bare encoder.
        tokenizer: Its tokenizer, with a fast form.
        name: For messages and manifests.
        dtype: ``keep``, ``auto``, ``bf16``, ``fp16`` or ``fp32``.
        device: ``keep`` or where to move it.
        revision: Recorded.
        quantise: The scheme that it has to be in; it is found and recorded without.
        compile: Compile the feed-forward blocks of a causal model, in place.

    Raises:
        ModelError: ``model.unsupported``, ``model.unsupported_scheme``, ``model.no_tokenizer``,
            ``model.unknown_dtype``, ``model.spread``, ``model.cannot_compile``.
    """
    require_live(model, tokenizer)
    if compile and (is_encoder(model.config) or kind_of(model.config) != "causal"):
        message = f"{model.config.model_type} is no causal model; only these were compared with compiled blocks"
        raise ModelError("model.cannot_compile", message, cure="leave compile away")
    if is_encoder(model.config):
        return wrap_encoder(
            model, tokenizer, name=name, dtype=dtype, device=device, revision=revision, quantise=quantise
        )
    kind = kind_of(model.config)
    config = model.config.get_text_config(decoder=True) if kind == "causal" else model.config
    if model.get_output_embeddings() is None:
        wanted = {"causal": "...ForCausalLM", "seq2seq": "...ForConditionalGeneration"}[kind]
        raise ModelError("model.unsupported", f"{type(model).__name__} has no output layer; load a {wanted}")
    family = family_of(model, config) if kind == "causal" else None
    frame = None if family else frame_of(model, tokenizer)
    texts = TextTokenizer(tokenizer)
    if kind != "causal":
        require_one_device(model, config.model_type)
    held = hold(model, dtype=dtype, device=device, width=config.hidden_size, quantise=quantise)
    facts: dict[str, Any] = {
        "name": name or getattr(config, "_name_or_path", "") or type(model).__name__,
        "kind": kind,
        "family": config.model_type,
        "revision": revision,
        "head_dim": model.get_output_embeddings().weight.shape[1],
        "vocab_size": model.get_output_embeddings().weight.shape[0],
        "tokenizer_hash": texts.hash,
        **held._asdict(),
    }
    if frame is not None:
        return _seq2seq(model, tokenizer, texts, frame, facts)
    assert family is not None
    embed_dim, kv_shapes = _measure(model, family)
    if compile:
        compile_blocks(layers_of(model))
    length = getattr(config, "max_position_embeddings", None) or getattr(config, "seq_length", None)
    spec = Spec(**facts, embed_dim=embed_dim, kv_shapes=kv_shapes, max_positions=int(length or 2048), tree=family.tree)
    return CausalBackbone(model, texts, spec=spec, family=family)


def _seq2seq(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: TextTokenizer,
    frame: Frame,
    facts: Mapping[str, Any],
) -> Seq2SeqBackbone:
    embed_dim, output, cross = measure_seq2seq(model)
    columns = positions_of(model, tokenizer)
    spec = Spec(
        **facts,
        embed_dim=embed_dim,
        kv_shapes=(output,),
        wide_shapes=cross,
        max_positions=columns - max(len(frame.closing), len(frame.opening)),
        tree=False,
    )
    return Seq2SeqBackbone(model, texts, spec=spec, frame=frame, max_columns=columns)


def _tokenizer(source: str, name: str, options: dict[str, Any]) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:  # as for the model: transformers raises whatever came up
        raise ModelError(
            "model.no_tokenizer",
            f"the tokenizer of {name} cannot be loaded: {_one_line(error)}",
            cure="put its tokenizer.json and tokenizer_config.json beside the weights",
        ) from error


def _measure(model: PreTrainedModel, family: Family) -> tuple[int, tuple[tuple[int, int, int], ...]]:
    """Embedding width and (G, Dk, Dv) by layer, by sending two tokens through: configs say it in too many ways.

    Raises:
        ModelError: ``model.unsupported`` where a layer does not keep keys and values of both tokens.
    """
    place = inputs_device(model)
    name = type(model).__name__
    cache = cache_of()
    with torch.no_grad():
        embeds = model.get_input_embeddings()(torch.zeros(1, 2, dtype=torch.long, device=place))
        try:
            call(
                model,
                embeds,
                torch.ones(1, 2, dtype=torch.bool, device=place),
                torch.arange(2, device=place)[None],
                takes_positions=family.takes_positions,
                cache=cache,
                keep=torch.zeros(1, dtype=torch.long, device=place),
                project=False,
            )
            shapes = [(keys.shape, values.shape) for keys, values in zip(*tensors_of(cache, device=place), strict=True)]
        except (AttributeError, IndexError, TypeError, ValueError, NotImplementedError, RuntimeError) as error:
            raise ModelError(
                "model.unsupported", f"{name} cannot be driven with vectors and cached states: {error}"
            ) from error
    layers = model.config.get_text_config(decoder=True).num_hidden_layers
    if len(shapes) != layers or any(keys[2] != 2 or values[2] != 2 for keys, values in shapes):
        raise ModelError(
            "model.unsupported",
            f"{name} has {layers} layers and {len(shapes)} that keep keys and values; every layer has to",
            cure="use a model with attention in every layer",
        )
    return embeds.shape[-1], tuple((keys[1], keys[3], values[3]) for keys, values in shapes)


def _check_folder(folder: Path) -> None:
    """Refuse what would fail later with a worse message."""
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError("model.unreadable", f"{folder} has no config.json", cure="point at the folder of a model")
    try:
        if not isinstance(json.loads(config.read_text("utf-8")), dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError) as error:
        raise ModelError("model.unreadable", f"{config} cannot be read: {error}") from None
    if not any(folder.glob("*.safetensors")):
        others = sorted(path.name for path in folder.glob("*.bin")) or ["no weights"]
        raise ModelError(
            "model.no_safetensors",
            f"{folder} has {', '.join(others[:3])} and no .safetensors; pickled weights can run code and are refused",
            cure="convert them with save_pretrained in an environment that you trust",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no warnings of transformers in here; what the user has set comes back."""
    bars, hub_bars = hf_logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    verbosity = hf_logging.get_verbosity()
    hf_logging.disable_progress_bar()
    disable_progress_bars()
    hf_logging.set_verbosity_error()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()
        else:
            disable_progress_bars()


def _refuse_missing(report: Mapping[str, Any], name: str) -> None:
    """Refuse a file that lacks weights: transformers fills them with random numbers and only warns."""
    missing = sorted(report["missing_keys"])
    missing += sorted(str(entry[0]) for entry in report["mismatched_keys"])
    if missing:
        raise ModelError(
            "model.unreadable",
            f"{name} lacks {len(missing)} weights that its config asks for, or has them in another shape: "
            f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}",
            cure="get the complete model",
        )


def _refuse_remote_code(config: Any, name: str) -> None:
    if getattr(config, "auto_map", None):
        raise ModelError(
            "model.remote_code",
            f"{name} needs code from its repository, which is never run",
            cure="load it yourself and hand it over with sp.wrap(model, tokenizer)",
        )


def _config(source: str, options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What config.json says, of whatever kind the model is; None where it cannot be had."""
    try:
        with _quiet():
            found: dict[str, Any] = PretrainedConfig.get_config_dict(source, **options)[0]
    except Exception:  # noqa: BLE001 - what cannot be had is the fault that is being explained
        return None
    return found


def _explain(error: Exception, name: str, *, local: bool, config: Mapping[str, Any] | None) -> ModelError:
    """One line for whatever went wrong while loading."""
    text = " ".join(str(error).split())
    if isinstance(error, GatedRepoError) or "gated repo" in text:
        return ModelError(
            "model.gated", f"{name} is gated on the hub", cure="ask for access there, then `hf auth login`"
        )
    if "trust_remote_code" in text or "custom code" in text or (config or {}).get("auto_map"):
        return ModelError(
            "model.remote_code",
            f"{name} needs code from its repository, which is never run",
            cure="load it yourself and hand it over with sp.wrap(model, tokenizer)",
        )
    if config is not None and config.get("model_type") not in CONFIG_MAPPING:
        kind = config.get("model_type")
        said = "says no model_type" if kind is None else f"says model_type {kind!r}, which"
        unknown = "" if kind is None else f" transformers {transformers.__version__} does not know"
        cure = "check it against the model's own page; a newer model may need a newer transformers"
        return ModelError("model.unsupported", f"the config.json of {name} {said}{unknown}", cure=cure)
    if "device_map" in text:
        cure = "name every part of the model, or write auto"
        return ModelError("model.bad_device_map", f"{name} cannot be divided so: {_one_line(error)}", cure=cure)
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
    return ModelError("model.unreadable", f"{name} cannot be loaded: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    """Its first sentence, cut between words where that is long: what follows is most often advice for other readers.

    >>> _one_line(ValueError("The weights\\nare broken. Call us. " + "Now. " * 99))
    'ValueError: The weights are broken.'
    """
    first = re.split(r"(?<=[.!?])\s", str(error).strip(), maxsplit=1)[0]
    return f"{type(error).__name__}: {textwrap.shorten(first, 240, placeholder=' ...')}"
