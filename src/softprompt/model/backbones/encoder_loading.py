"""Loading encoders: with their mask head where one was trained, bare where none was.

transformers fills a head that the file lacks with random numbers and only warns. So what it says is missing decides:
weights of the head alone, and the bare encoder is taken out of what was read (ELECTRA, DeBERTa-v3, MiniLM, sentence
encoders); others, and the caller refuses the file. A pooler is never used and never loaded, because a random one would
be part of the fingerprint.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoModel, AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase

from softprompt.core.errors import ModelError
from softprompt.model.backbones.base import Spec
from softprompt.model.backbones.encoders import encoder_of, mask_head_of
from softprompt.model.backbones.masked import ROOM, MaskedBackbone, encode
from softprompt.model.backbones.observers import View
from softprompt.model.backbones.splicing.lines import Line
from softprompt.model.backbones.splicing.splice import lay_out
from softprompt.model.backbones.tokenizer import TextTokenizer
from softprompt.model.backbones.weights.holding import hold
from softprompt.model.backbones.weights.spread import inputs_device, require_one_device

__all__ = ["read_encoder", "wrap_encoder"]


def read_encoder(source: str, config: Any, options: Mapping[str, Any]) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    """The model in a folder or of a hub id, and what transformers says of its weights.

    Args:
        source: Folder or hub id.
        config: Of the model.
        options: Of ``from_pretrained``.

    Raises:
        ModelError: ``model.unsupported``.
    """
    encoder_of(config)
    common = {"config": config, "output_loading_info": True, **options}
    if getattr(config, "legacy", True) and type(config) in AutoModelForMaskedLM._model_mapping:
        model, report = AutoModelForMaskedLM.from_pretrained(source, **common)
        body = f"{model.base_model_prefix}."
        lacks = [*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])]
        if not lacks or any(name.startswith(body) for name in lacks):
            return model, report
        if not {"device_map", "quantization_config"} & set(options):  # these belong to the model as a whole
            return model.base_model, report | {"missing_keys": [], "mismatched_keys": []}
    bare = AutoModel._model_mapping[type(config)]
    takes = inspect.signature(bare.__init__).parameters
    pooler = {"add_pooling_layer": False} if "add_pooling_layer" in takes else {}
    model, report = AutoModel.from_pretrained(source, **common, **pooler)
    return model, report


def wrap_encoder(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    name: str | None,
    dtype: str,
    device: str,
    revision: str | None,
    quantise: str | None,
) -> MaskedBackbone:
    """A live encoder as a backbone; arguments as of :func:`softprompt.model.backbones.loading.wrap`.

    Raises:
        ModelError: ``model.unsupported``, ``model.unsupported_scheme``, ``model.no_tokenizer``,
            ``model.unknown_dtype``, ``model.spread``.
    """
    config = model.config
    family, head = encoder_of(config), mask_head_of(model)
    texts = TextTokenizer(tokenizer)
    if head is not None and texts.mask_id is None:
        raise ModelError("model.no_tokenizer", "the tokenizer of a masked model has no mask token")
    require_one_device(model, config.model_type)
    held = hold(model, dtype=dtype, device=device, width=config.hidden_size, quantise=quantise)
    embed_dim, head_dim, shapes = _measure(model)
    table: Any = model.get_input_embeddings() if head is None else head
    spec = Spec(
        name=name or getattr(config, "_name_or_path", "") or type(model).__name__,
        family=config.model_type,
        revision=revision,
        embed_dim=embed_dim,
        head_dim=head_dim,
        vocab_size=table.weight.shape[0],
        kv_shapes=shapes,
        max_positions=int(config.max_position_embeddings) - family.offset(config) - ROOM,
        tree=False,
        **held._asdict(),
        tokenizer_hash=texts.hash,
        kind="masked",
        words=head is not None,
    )
    return MaskedBackbone(model, texts, spec=spec, mask=None if head is None else texts.mask_id)


@torch.no_grad()
def _measure(model: PreTrainedModel) -> tuple[int, int, tuple[tuple[int, int, int], ...]]:
    """Width of the embeddings and of what the output layer gets, and (G, Dk, Dv) by layer: two tokens go through.

    Raises:
        ModelError: ``model.unsupported`` where a layer's attention is not the one that sees states.
    """
    place = inputs_device(model)
    line = Line(0, None, 0)
    line.extend((0, 0), -1)
    view = View(lay_out([line], 0, place), keep=True)
    embeds = model.get_input_embeddings()(view.inputs.ids)
    hidden, _ = encode(model, embeds, view)
    layers = model.config.num_hidden_layers
    if len(view.keys) != layers:
        raise ModelError(
            "model.unsupported",
            f"{type(model).__name__} has {layers} layers, and the attention of {len(view.keys)} can be given states",
        )
    shapes = tuple((k.shape[1], k.shape[3], v.shape[3]) for k, v in zip(view.keys, view.values, strict=True))
    return embeds.shape[-1], hidden.shape[-1], shapes
