"""Models whose layers lie on several devices, in RAM or on a disk: where they are, and reading what is not in memory.

accelerate puts hooks around the layers that bring weights and inputs together during a forward. What is left to do is
what forwards do not: tensors of ours that meet a layer go to where it computes, and numbers that are asked for outside
of a forward (the fingerprint, rows of the output layer) are fetched.

Knows accelerate's hooks; no prompts.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.core.errors import ExtraError, ModelError, nearest
from softprompt.model.backbones.weights.devices import pick_device

__all__ = [
    "DeviceMap",
    "at_hand",
    "checked_map",
    "inputs_device",
    "is_spread",
    "present",
    "require_one_device",
    "require_parts",
    "require_whole",
]

#: Part of a model by name -> device, number of an accelerator, ``cpu`` or ``disk``; or how accelerate is to choose.
DeviceMap = str | Mapping[str, str | int]

#: Maps that accelerate makes from what the devices hold.
CHOICES = ("auto", "balanced", "balanced_low_0", "sequential")


def checked_map(device_map: DeviceMap) -> DeviceMap | dict[str, Any]:
    """A map as accelerate takes it.

    Raises:
        ModelError: ``model.bad_device_map``.
        ExtraError: ``extra.missing`` without accelerate.

    >>> checked_map({"model.embed_tokens": "cpu"})
    {'model.embed_tokens': 'cpu'}
    >>> checked_map("everywhere")
    Traceback (most recent call last):
    softprompt.core.errors.ModelError: device_map is 'everywhere' [model.bad_device_map]; write auto, balanced, ...
    """
    if importlib.util.find_spec("accelerate") is None:
        raise ExtraError.needs("accelerate", extra="quantised", purpose="a model on several devices")
    if isinstance(device_map, str):
        if device_map not in CHOICES:
            cure = f"write {', '.join(CHOICES)}, or parts of the model with their devices"
            raise ModelError("model.bad_device_map", f"device_map is {device_map!r}", cure=cure)
        return device_map
    for part, place in device_map.items():
        if place != "disk":
            pick_device(f"cuda:{place}" if isinstance(place, int) else str(place))
        elif part == "":
            raise ModelError("model.bad_device_map", "device_map puts the whole model on the disk", cure="write auto")
    return dict(device_map)


def require_parts(model: nn.Module, device_map: DeviceMap) -> None:
    """Refuse a map that names what the model does not have: accelerate passes over it.

    Raises:
        ModelError: ``model.bad_device_map``.

    >>> require_parts(nn.Sequential(nn.Linear(2, 2)), {"0": "cpu", "1": "cpu"})
    Traceback (most recent call last):
    softprompt.core.errors.ModelError: device_map names '1', which is no part of Sequential; known: 0 ...
    """
    if isinstance(device_map, str):
        return
    known = {name for name, _ in (*model.named_modules(), *model.named_parameters(), *model.named_buffers())}
    if strange := next((part for part in device_map if part not in known), None):
        large = [name for name, _ in model.named_modules() if name and name.count(".") < 2]
        message = f"device_map names {strange!r}, which is no part of {type(model).__name__}; {nearest(strange, large)}"
        raise ModelError("model.bad_device_map", message, cure="name its parts, or write auto")


def is_spread(model: nn.Module) -> bool:
    """Whether its parts lie in more than one place."""
    return len(set(_places(model).values())) > 1


def _places(model: nn.Module) -> Mapping[str, Any]:
    return getattr(model, "hf_device_map", None) or {}


def inputs_device(model: nn.Module) -> torch.device:
    """Where a model takes its inputs: where its first part computes, which is not where it lies when it is offloaded.

    >>> inputs_device(nn.Linear(2, 2))
    device(type='cpu')
    """
    for module in model.modules():
        found = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if found is not None and any(True for _ in module.parameters(recurse=False)):
            return torch.device(found)
    return next(parameter.device for parameter in model.parameters() if not parameter.is_meta)


def present(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and values of all parameters, sorted; tied ones once; what lies elsewhere is fetched one by one."""
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    for name, parameter in sorted(model.named_parameters(), key=lambda pair: pair[0]):
        if not parameter.is_meta:
            yield name, parameter
        elif name not in tied:  # hooks give every tied name a placeholder of its own
            owner, _, leaf = name.rpartition(".")
            with at_hand(model.get_submodule(owner)) as module:
                yield name, getattr(module, leaf)


@contextmanager
def at_hand(module: nn.Module) -> Iterator[Any]:
    """The module, with its own weights in memory while in here."""
    if not any(parameter.is_meta for parameter in module.parameters(recurse=False)):
        yield module
        return
    from accelerate.utils import align_module_device  # optional

    with align_module_device(module):
        yield module


def require_one_device(model: nn.Module, family: str) -> None:
    """Refuse kinds of models whose states are not brought to other devices; parts in RAM or on a disk are no matter.

    Raises:
        ModelError: ``model.spread``.
    """
    places = sorted({str(place) for place in _places(model).values()} - {"cpu", "disk"})
    if len(places) > 1:
        message = f"{family} would compute on several devices ({', '.join(places)}); only causal models do"
        raise ModelError("model.spread", message, cure="use one device, with cpu or disk for what it cannot hold")


def require_whole(model: nn.Module, *, purpose: str) -> None:
    """Refuse what needs all weights in one place.

    Raises:
        ModelError: ``model.spread``.
    """
    if is_spread(model):
        places = ", ".join(sorted({str(place) for place in _places(model).values()}))
        message = f"the model lies in several places ({places}), and {purpose} needs it in one"
        raise ModelError("model.spread", message, cure="leave device_map away")
