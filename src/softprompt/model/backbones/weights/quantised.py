"""Quantised models: which schemes there are, what each is good for, and which one a model is in.

A scheme is named by the user or found in the model that is given; nothing is quantised silently, and nothing that is
quantised passes for plain. What a scheme can do was tried against the laws on the same quantised model, not against the
plain one, because another precision is another model:

* *score*: states, trees and batches give what a plain forward of one row gives. bitsandbytes' LLM.int8() with outliers
  does not: which columns count as outliers is decided by the whole batch, so its rows are not their own.
* *train*: a gradient reaches the soft tokens. Where activations are rounded and nothing passes the gradient on
  (torchao's dynamic int8), what arrives is a twentieth of the gradient and points elsewhere, without an error.

Sources: Dettmers et al., LLM.int8(), NeurIPS 2022 (section 3: outlier features); Dettmers et al., QLoRA, NeurIPS 2023
(section 3: NF4).
"""

import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, TorchAoConfig

from softprompt.core.errors import ExtraError, ModelError
from softprompt.model.backbones.base import Spec

__all__ = [
    "EXACT",
    "SCHEMES",
    "Scheme",
    "num_numbers",
    "parts_of",
    "quantisation_of",
    "quiet",
    "require_training",
    "scheme_of",
    "share_of",
    "steady",
]


#: Tolerance of the laws for plain models in float32.
EXACT = 1e-5


@dataclass(frozen=True)
class Scheme:
    """One way to hold weights in few bits.

    Attributes:
        library: Distribution that it needs.
        what: In one sentence.
        config: Makes transformers' settings for it; its library is there.
        train: A right gradient reaches the soft tokens.
        tolerance: Up to which the laws hold in float32, as max|a - b| / max(1, max|b|). Rounding activations makes
            steps of differences in the last bit, so a text's scores can change with its company.
        reason: Why it is not trained through.
    """

    library: str
    what: str
    config: Callable[[], Any]
    train: bool = True
    tolerance: float = EXACT
    reason: str = ""


def _torchao(name: str) -> Any:
    from torchao import quantization  # optional

    return TorchAoConfig(getattr(quantization, name)())


@contextmanager
def quiet() -> Iterator[None]:
    """No words of the schemes' libraries about kernels that another machine would have."""
    loggers = [logging.getLogger(name) for name in ("torchao", "bitsandbytes", "torch.utils._pytree")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


#: Schemes by the name that users write; all of them score.
SCHEMES: Mapping[str, Scheme] = {
    "int8": Scheme(
        "torchao",
        "weights in 8 bits, a scale a row; activations as they are",
        lambda: _torchao("Int8WeightOnlyConfig"),
    ),
    "int8-dynamic": Scheme(
        "torchao",
        "weights and activations in 8 bits, a scale a row and a token",
        lambda: _torchao("Int8DynamicActivationInt8WeightConfig"),
        train=False,
        tolerance=0.1,
        reason="it rounds activations and passes no gradient through the rounding",
    ),
    "llm-int8": Scheme(
        "bitsandbytes",
        "weights and activations in 8 bits, without outliers (threshold 0)",
        lambda: BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0),
    ),
    "nf4": Scheme(
        "bitsandbytes",
        "weights in 4 bits at the quantiles of a normal distribution, a scale for 64",
        lambda: BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    ),
    "fp4": Scheme(
        "bitsandbytes",
        "weights in 4-bit floating point, a scale for 64",
        lambda: BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="fp4"),
    ),
}


def quantisation_of(name: str, config: Any) -> Any:
    """What transformers is told for a scheme, or None where the files are in it already.

    Args:
        name: One of :data:`SCHEMES`.
        config: Of the model that is to be loaded.

    Raises:
        ModelError: ``model.unknown_scheme``, ``model.unsupported_scheme`` for files that are quantised in another way.
        ExtraError: ``extra.missing``.
    """
    if name not in SCHEMES:
        raise ModelError("model.unknown_scheme", f"there is no way to quantise {name!r}; known: {', '.join(SCHEMES)}")
    scheme = SCHEMES[name]
    for library in (scheme.library, "accelerate"):
        if importlib.util.find_spec(library) is None:
            raise ExtraError.needs(library, extra="quantised", purpose=f"quantise: {name}")
    if getattr(config, "quantization_config", None) is not None:
        return None  # whether it is the same is seen in the weights
    with quiet():
        return scheme.config()


def scheme_of(model: nn.Module, *, asked: str | None = None) -> str | None:
    """The scheme that a loaded model is in, by its weights; None for a plain one.

    Args:
        model: Loaded.
        asked: The scheme that it has to be in.

    Raises:
        ModelError: ``model.unsupported_scheme`` for schemes that nobody has compared, that mix the rows of a batch, or
            are not the one that was asked for.
    """
    found = {name for module in model.modules() if (name := _of(module)) is not None}
    config = getattr(getattr(model, "config", None), "quantization_config", None)
    if config is not None and not found and asked is None:  # a library whose layers are not known here
        method = config.get("quant_method") if isinstance(config, dict) else config.quant_method
        found = {str(getattr(method, "value", method))}
    if strange := sorted(found - set(SCHEMES)):
        raise _refuse(strange)
    if len(found) > 1:
        listed = ", ".join(sorted(found))
        raise ModelError("model.unsupported_scheme", f"its layers are quantised in several ways: {listed}")
    mine = next(iter(found), None)
    if asked is not None and mine != asked:
        if mine is None:
            message = f"{type(model).__name__} has no layer that {asked} can quantise"
            raise ModelError("model.unsupported_scheme", message, cure="leave quantise away, or use another model")
        message = f"quantise says {asked}, and the files are in {mine} already"
        raise ModelError("model.unsupported_scheme", message, cure=f"leave quantise away, or write quantise: {mine}")
    return mine


def _refuse(found: list[str]) -> ModelError:
    """The error for schemes outside of the table."""
    if "llm-int8 with outliers" in found:
        return ModelError(
            "model.unsupported_scheme",
            "its layers are quantised by bitsandbytes in 8 bits with outliers (llm_int8_threshold above 0): which "
            "columns are outliers depends on the whole batch, so a text would get other scores in other company",
            cure="load it with quantise: llm-int8, which sets the threshold to 0",
        )
    return ModelError(
        "model.unsupported_scheme",
        f"its layers are quantised by {', '.join(found)}, which nobody has compared with plain forwards; "
        f"compared are {', '.join(SCHEMES)}",
        cure="load the plain model, with one of these as quantise where it is to be small",
    )


def _of(module: Any) -> str | None:
    """The scheme of one layer, by the type of its weights; these libraries need not be installed to ask."""
    weight, kind = getattr(module, "weight", None), type(module).__name__
    if kind == "Linear8bitLt":
        return "llm-int8 with outliers" if module.state.threshold else "llm-int8"
    if kind == "Linear4bit" or type(weight).__name__ == "Params4bit":
        return str(getattr(weight, "quant_type", "4-bit"))
    if weight is None or not hasattr(weight, "__tensor_flatten__"):
        return None
    if type(weight).__name__ == "Int8Tensor":
        return "int8" if weight.act_quant_kwargs is None else "int8-dynamic"
    return f"torchao's {type(weight).__name__}"


def steady(model: nn.Module, dtype: torch.dtype) -> None:
    """Make a quantised model compute the same with and without gradients, in one dtype; in place.

    On processors with bf16 products bitsandbytes repacks 4-bit weights in the first forward that needs no gradient,
    with their scales rounded to bf16, and goes on with these: training and use would be two models.

    Raises:
        ModelError: ``model.unsupported_scheme`` where that has happened: packing cannot be undone exactly.
    """
    module: Any  # its attributes are those of a layer of bitsandbytes
    for module in model.modules():
        if type(module).__name__ == "Linear8bitLt":  # it says in every forward that it computes in float16
            logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        if type(module).__name__ != "Linear4bit":
            continue
        if getattr(module.weight.quant_state, "packing_format_for_cpu", False):
            raise ModelError(
                "model.unsupported_scheme",
                "its 4-bit weights have been repacked by a forward without gradients, with other scales",
                cure="load it anew and hand it over before its first forward, or use quantise: nf4",
            )
        module.support_avx512bf16_for_cpu = False
        module.compute_dtype, module.compute_type_is_set = dtype, True


def parts_of(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """A tensor as plain ones: packed numbers and scales where it is made of such (torchao), else itself.

    >>> [name for name, _ in parts_of("weight", torch.zeros(2))]
    ['weight']
    """
    if not hasattr(tensor, "__tensor_flatten__"):
        return [(name, tensor)]
    parts = {part: getattr(tensor, part) for part in tensor.__tensor_flatten__()[0]}
    return [(f"{name}.{part}", value) for part, value in parts.items() if value is not None]


def share_of(model: nn.Module) -> float:
    """Share of a model's numbers that are quantised; embeddings, output layer and norms are not.

    >>> share_of(nn.Linear(2, 2))
    0.0
    """
    weights: list[Any] = [module.weight for module in model.modules() if _of(module)]
    return sum(map(num_numbers, weights)) / max(1, sum(map(num_numbers, model.parameters())))


def num_numbers(parameter: nn.Parameter) -> int:
    """How many numbers a parameter stands for; 4-bit ones are packed."""
    if type(parameter).__name__ == "Params4bit":
        return int(parameter.quant_state.shape.numel())  # type: ignore[attr-defined]
    return parameter.numel()


def require_training(spec: Spec) -> None:
    """Refuse to train through a model that gives wrong gradients.

    Raises:
        ModelError: ``model.cannot_train``.
    """
    if spec.quantised is None or SCHEMES[spec.quantised].train:
        return
    others = ", ".join(name for name, scheme in SCHEMES.items() if scheme.train)
    raise ModelError(
        "model.cannot_train",
        f"{spec.name} is quantised as {spec.quantised}: {SCHEMES[spec.quantised].reason}, so it scores and cannot be "
        "trained through",
        cure=f"train with quantise: {others}, or without",
    )
