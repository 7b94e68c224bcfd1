"""prompt.safetensors as bytes: a bounded check of everything the header says before a tensor is made.

Checked in this order: header size, dtypes, shapes and byte ranges, agreement with the manifest, names and how they fit
together, finite values. The format itself: https://github.com/huggingface/safetensors#format.
"""

import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from softprompt.core.errors import PromptError
from softprompt.core.tensors import PromptTensors

__all__ = ["MAX_TENSORS", "Members", "check_tensors", "decode_tensors", "describe_tensors", "encode_tensors"]

MAX_TENSORS = 4096

#: Tensors of an ensemble's prompts, in their order.
Members = Sequence[PromptTensors]

_MAX_HEADER_BYTES = 2**20
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LAYER = r"(?:0|[1-9][0-9]{0,3})"
_NAME = re.compile(rf"slots\.([A-Za-z0-9_-]+)\.(embed|hidden\.{_LAYER}|keys\.{_LAYER}|values\.{_LAYER})")
_MEMBER = re.compile(r"members\.(0|[1-9][0-9]{0,3})\.(.+)")
_NUM_DIMENSIONS = {"embed": 2, "hidden": 2, "keys": 3, "values": 3, "head.weight": 2, "head.bias": 1}


def describe_tensors(tensors: PromptTensors, members: Members = ()) -> dict[str, str]:
    """Name -> dtype and shape, as the manifest tells them.

    >>> from softprompt.core.tensors import SlotTensors
    >>> one = PromptTensors({"soft": SlotTensors(embed=torch.zeros(20, 256))})
    >>> describe_tensors(one), list(describe_tensors(PromptTensors(), [one]))
    ({'slots.soft.embed': 'F32 [20, 256]'}, ['members.0.slots.soft.embed'])
    """
    named = _named(tensors, members)
    return {name: _describe(_NAMES[tensor.dtype], tuple(tensor.shape)) for name, tensor in sorted(named)}


def encode_tensors(tensors: PromptTensors, members: Members = ()) -> bytes:
    """Bytes of the file, the same for equal tensors."""
    return safetensors.torch.save({n: t.detach().cpu().contiguous().clone() for n, t in _named(tensors, members)})


def decode_tensors(data: bytes, described: Mapping[str, Any]) -> tuple[PromptTensors, tuple[PromptTensors, ...]]:
    """Tensors of the file, and those of an ensemble's members, on the CPU, in the dtype they were saved in.

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
        by_member = _by_member(safetensors.torch.load(data))
        own = PromptTensors.from_tensors(by_member.pop(-1, {}))
        members = tuple(PromptTensors.from_tensors(by_member[n]) for n in range(len(by_member)))
    except (SafetensorError, ValueError) as error:
        raise PromptError("prompt.bad_tensors", f"the tensor file cannot be read: {error}") from None
    for prompt in (own, *members):
        _check_finite(prompt)
    return own, members


def check_tensors(tensors: PromptTensors, members: Members = ()) -> None:
    """Refuse tensors that could not be loaded again.

    Raises:
        PromptError: ``prompt.bad_tensors``, ``prompt.bad_dtype``, ``prompt.not_finite``.
    """
    named = dict(_named(tensors, members))
    for name, tensor in named.items():
        if tensor.dtype not in _NAMES:
            raise _bad_dtype(name, str(tensor.dtype))
    _check_names({name: tuple(tensor.shape) for name, tensor in named.items()})
    for prompt in (tensors, *members):
        _check_finite(prompt)


def _named(tensors: PromptTensors, members: Members) -> Iterator[tuple[str, torch.Tensor]]:
    yield from tensors.tensors()
    for n, member in enumerate(members):
        for name, tensor in member.tensors():
            yield f"members.{n}.{name}", tensor


def _by_member(named: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """What is named, by the member that it belongs to and under its name there; -1 for none."""
    found: dict[int, dict[str, Any]] = {}
    for name, value in named.items():
        match = _MEMBER.fullmatch(name)
        found.setdefault(int(match[1]) if match else -1, {})[match[2] if match else name] = value
    return found


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
    """As :func:`_check_prompt` for each prompt; an ensemble has its members' tensors, every one's, and no others."""
    by_member = _by_member(shapes)
    if any(n >= 0 for n in by_member) and sorted(by_member) != list(range(len(by_member))):
        listed = ", ".join("of no member" if n < 0 else str(n) for n in sorted(by_member))
        raise _bad(f"an ensemble has the tensors of its members from 0 on and no others, not {reprlib.repr(listed)}")
    for mine in by_member.values():
        _check_prompt(mine)


def _check_prompt(shapes: Mapping[str, tuple[int, ...]]) -> None:
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
