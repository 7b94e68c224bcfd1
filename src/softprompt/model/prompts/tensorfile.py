"""prompt.safetensors as bytes: a bounded check of everything the header says before a tensor is made.

Checked in this order: header size, dtypes, shapes and byte ranges, agreement with the manifest, names and how they fit
together, finite values. The format itself: https://github.com/huggingface/safetensors#format.
"""

import json
import math
import re
import reprlib
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from softprompt.core.errors import PromptError
from softprompt.core.tensors import PromptTensors

__all__ = ["MAX_TENSORS", "check_tensors", "decode_tensors", "describe_tensors", "encode_tensors"]

MAX_TENSORS = 4096
_MAX_HEADER_BYTES = 2**20
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LAYER = r"(?:0|[1-9][0-9]{0,3})"
_NAME = re.compile(rf"slots\.([A-Za-z0-9_-]+)\.(embed|hidden\.{_LAYER}|keys\.{_LAYER}|values\.{_LAYER})")
_NUM_DIMENSIONS = {"embed": 2, "hidden": 2, "keys": 3, "values": 3, "head.weight": 2, "head.bias": 1}


def describe_tensors(tensors: PromptTensors) -> dict[str, str]:
    """Name -> dtype and shape, as the manifest tells them.

    >>> from softprompt.core.tensors import SlotTensors
    >>> describe_tensors(PromptTensors({"soft": SlotTensors(embed=torch.zeros(20, 256))}))
    {'slots.soft.embed': 'F32 [20, 256]'}
    """
    return {name: _describe(_NAMES[tensor.dtype], tuple(tensor.shape)) for name, tensor in sorted(tensors.tensors())}


def encode_tensors(tensors: PromptTensors) -> bytes:
    """Bytes of the file, the same for equal tensors."""
    return safetensors.torch.save({n: t.detach().cpu().contiguous().clone() for n, t in tensors.tensors()})


def decode_tensors(data: bytes, described: Mapping[str, Any]) -> PromptTensors:
    """Tensors of the file, on the CPU, in the dtype they were saved in.

    Args:
        data: The file, its size already bounded by the caller.
        described: What the manifest says, see :func:`describe_tensors`.

    Raises:
        PromptError: ``prompt.bad_tensors``, ``prompt.bad_dtype``, ``prompt.shape_mismatch``, ``prompt.not_finite``.
    """
    header = _read_header(data)
    found = {name: _describe(dtype, shape) for name, (dtype, shape) in header.items()}
    for name in sorted({*found, *described}):
        if found.get(name) != described.get(name):
            promised, held = (reprlib.repr(source.get(name, "nothing")) for source in (described, found))
            raise PromptError(
                "prompt.shape_mismatch",
                f"tensor {reprlib.repr(name)}: the manifest says {promised}, the file holds {held}",
                cure="manifest.json and prompt.safetensors must come from the same prompt",
            )
    _check_names({name: shape for name, (_, shape) in header.items()})
    try:
        prompt = PromptTensors.from_tensors(safetensors.torch.load(data))
    except (SafetensorError, ValueError) as error:
        raise PromptError("prompt.bad_tensors", f"the tensor file cannot be read: {error}") from None
    _check_finite(prompt)
    return prompt


def check_tensors(tensors: PromptTensors) -> None:
    """Refuse tensors that could not be loaded again.

    Raises:
        PromptError: ``prompt.bad_tensors``, ``prompt.bad_dtype``, ``prompt.not_finite``.
    """
    for name, tensor in tensors.tensors():
        if tensor.dtype not in _NAMES:
            raise _bad_dtype(name, str(tensor.dtype))
    _check_names({name: tuple(tensor.shape) for name, tensor in tensors.tensors()})
    _check_finite(tensors)


def _describe(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} {list(shape)}"


def _read_header(data: bytes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name -> dtype and shape; every number in it is checked against the length of the file."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(len(data) - 8, _MAX_HEADER_BYTES):
        raise _bad(f"a header of {size:,} bytes in a file of {len(data):,}; at most {_MAX_HEADER_BYTES:,} are read")
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"))
    except (ValueError, RecursionError):
        raise _bad("its header is not JSON") from None
    if not isinstance(header, dict):
        raise _bad("its header is not an object")
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise _bad(f"it has {len(header):,} tensors, at most {MAX_TENSORS:,}")
    return {name: _check_entry(name, entry, len(data) - 8 - size) for name, entry in header.items()}


def _check_entry(name: str, entry: Any, room: int) -> tuple[str, tuple[int, ...]]:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            if dtype not in _DTYPES:
                raise _bad_dtype(name, dtype)
            sizes_are_valid = all(type(size) is int and 0 < size <= room for size in shape) and len(shape) <= 3
            num_bytes = math.prod(shape) * _DTYPES[dtype].itemsize if sizes_are_valid else -1
            if 0 <= begin <= end <= room and end - begin == num_bytes:
                return dtype, tuple(shape)
    raise _bad(f"the header's entry {reprlib.repr(name)} does not fit the file")


def _check_names(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Names are known, dimensions are right, and the tensors of a slot, a pair or a head belong together."""
    lengths: dict[str, int] = {}
    for name, shape in shapes.items():
        match = _NAME.fullmatch(name)
        part = match[2].split(".")[0] if match else name
        if part not in _NUM_DIMENSIONS:
            raise _bad(f"unknown tensor name {reprlib.repr(name)}")
        if len(shape) != _NUM_DIMENSIONS[part] or 0 in shape:
            raise _bad(f"tensor {name!r} has shape {list(shape)}, {_NUM_DIMENSIONS[part]} positive sizes are needed")
        if match is None:
            continue
        length = shape[1] if part in ("keys", "values") else shape[0]
        if lengths.setdefault(match[1], length) != length:
            raise _bad(f"slot {match[1]!r} has tensors for {lengths[match[1]]} and for {length} soft tokens")
        twin = {"keys": "values", "values": "keys"}.get(part)
        if twin and f"slots.{match[1]}.{twin}.{match[2].split('.')[1]}" not in shapes:
            raise _bad(f"tensor {name!r} stands without its {twin}")
    weight, bias = shapes.get("head.weight"), shapes.get("head.bias")
    if (weight or (0,))[0] != (bias or (0,))[0]:
        raise _bad(f"the head's weight has shape {weight}, its bias {bias}")


def _check_finite(tensors: PromptTensors) -> None:
    for name, tensor in tensors.tensors():
        if not bool(torch.isfinite(tensor).all()):
            message = f"tensor {name!r} holds NaN or infinity"
            raise PromptError("prompt.not_finite", message, cure="train again with a smaller rate")


def _bad(what: str) -> PromptError:
    return PromptError("prompt.bad_tensors", f"the tensors are damaged or not a prompt's: {what}")


def _bad_dtype(name: str, dtype: str) -> PromptError:
    return PromptError(
        "prompt.bad_dtype", f"tensor {reprlib.repr(name)} is {reprlib.repr(dtype)}; allowed: {', '.join(_DTYPES)}"
    )
