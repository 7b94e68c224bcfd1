"""Plain tensors: one file a tensor, as NumPy's .npy or as bare float32, little-endian and row by row, and a JSON page.

    soft/slots.soft.embed.npy     what numpy.load reads
    soft/slots.soft.embed.f32     what llama.cpp takes as ``llama_batch.embd``: n_tokens x n_embd floats
    soft/softprompt.json          names, dtypes, shapes, byte order, the prompt's manifest

Both hold everything that a prompt can be, label vectors included. float16 stays float16 in .npy; bfloat16, which NumPy
does not have, becomes float32, of which it is the upper half, and comes back exactly.
"""

import io
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softprompt.core.errors import PromptError
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.prompts.prompt import Prompt
from softprompt.ops.formats.format import Foreign, Format, GetBackbone, Written, require_alone
from softprompt.ops.formats.sidecar import SIDECAR, Sidecar, digest, format_at, read_part

__all__ = ["NPY", "RAW"]

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MAX_NPY_HEADER = 4096
_AGAIN = "copy the file again, or save it again: np.save(path, vectors)"

_Encode = Callable[[Tensor], bytes]
_Decode = Callable[[bytes, list[int]], np.ndarray]


def to_npy(tensor: Tensor) -> bytes:
    """A tensor as the bytes of a .npy file, version 1.0, little-endian.

    >>> from_npy(to_npy(torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16)), [1, 2]).dtype
    dtype('float32')
    """
    plain = tensor.detach().cpu()
    array = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    buffer = io.BytesIO()
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    np.lib.format.write_array(buffer, little, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def from_npy(data: bytes, shape: list[int] | None = None) -> np.ndarray:
    """An array from a .npy file, of either byte order, checked before any of it is made.

    Raises:
        PromptError: ``prompt.bad_tensors``, ``prompt.bad_dtype``, ``prompt.pickled``.
    """
    buffer = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(buffer)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        found, by_column, dtype = read(buffer, max_header_size=_MAX_NPY_HEADER)
    except (ValueError, KeyError, EOFError) as error:
        raise PromptError("prompt.bad_tensors", f"not a .npy file of version 1 or 2: {error}", cure=_AGAIN) from None
    if dtype.hasobject:
        message = "the .npy file holds Python objects, which are pickled and can run code"
        raise PromptError("prompt.pickled", message, cure="save numbers: np.save(path, vectors.astype('float32'))")
    if dtype.kind != "f" or dtype.itemsize not in (2, 4, 8):
        message = f"the .npy file holds {dtype}; float16, float32 and float64 are read"
        raise PromptError("prompt.bad_dtype", message, cure="save it with .astype('float32')")
    if len(data) - buffer.tell() != math.prod(found) * dtype.itemsize:
        message = f"the .npy file promises {list(found)} and has another size"
        raise PromptError("prompt.bad_tensors", message, cure=_AGAIN)
    if shape is not None and list(found) != shape:
        raise _other_shape(shape, list(found))
    array = np.frombuffer(data, dtype=dtype, offset=buffer.tell()).reshape(found, order="F" if by_column else "C")
    native = np.float32 if dtype.itemsize == 8 else dtype.newbyteorder("=")
    return np.array(array, dtype=native, order="C")


def to_raw(tensor: Tensor) -> bytes:
    """A tensor as float32, little-endian, row by row, nothing else.

    >>> to_raw(torch.tensor([1.0])).hex()
    '0000803f'
    """
    return tensor.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes()


def from_raw(data: bytes, shape: list[int]) -> np.ndarray:
    """An array from float32, little-endian.

    Raises:
        PromptError: ``prompt.shape_mismatch``.
    """
    if len(data) != 4 * math.prod(shape):
        message = f"{len(data):,} bytes are no {' x '.join(map(str, shape))} numbers of float32"
        raise PromptError("prompt.shape_mismatch", message, cure=f"write the shape into {SIDECAR} as it is")
    return np.frombuffer(data, dtype="<f4").reshape(shape).astype(np.float32)


def _export(prompt: Prompt, backbone: GetBackbone, kind: str | None, *, name: str, encode: _Encode) -> Written:
    require_alone(prompt, name)
    suffix = "npy" if name == "npy" else "f32"
    files = {f"{one}.{suffix}": encode(tensor) for one, tensor in prompt.tensors.tensors()}
    tensors = {
        one: {"file": f"{one}.{suffix}", "dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape)}
        for one, tensor in prompt.tensors.tensors()
    }
    page = Sidecar(name, prompt.manifest, {file: digest(data) for file, data in files.items()}, tensors)
    return Written({**files, SIDECAR: page.encode()})


def _read(path: Path, max_bytes: int, *, name: str, decode: _Decode) -> Foreign:
    if path.is_file():
        return _lone(path, max_bytes)
    page = Sidecar.load(path)
    if page is None:
        return _lone(next(iter(path.glob("*.npy"))), max_bytes)
    contents: dict[str, bytes] = {}
    tensors: dict[str, Tensor] = {}
    for tensor, entry in page.tensors.items():
        data = read_part(path, entry["file"], max_bytes=max_bytes - sum(map(len, contents.values())))
        contents[entry["file"]] = data
        if entry["dtype"] not in _DTYPES:
            message = f"{tensor} is {entry['dtype']!r} in {SIDECAR}; allowed: {', '.join(_DTYPES)}"
            raise PromptError("prompt.bad_dtype", message)
        try:
            numbers = decode(data, entry["shape"])
        except PromptError as error:
            raise error.at(entry["file"]) from None
        tensors[tensor] = torch.from_numpy(numbers).to(_DTYPES[entry["dtype"]])
    return Foreign(
        name,
        _prompt_tensors(tensors),
        page.manifest,
        changed=page.changed(contents),
        model=page.manifest.model.id,
        revision=page.manifest.model.revision,
    )


def _lone(path: Path, max_bytes: int) -> Foreign:
    """One .npy file of vectors that nothing stands beside."""
    vectors = from_npy(read_part(path.parent, path.name, max_bytes=max_bytes))
    if vectors.ndim != 2:
        shape = " x ".join(map(str, vectors.shape)) or "nothing"
        message = f"{path.name} has the shape {shape}; soft tokens are vectors x width"
        cure = "save a matrix with one row a soft token"
        raise PromptError("prompt.shape_mismatch", message, cure=cure)
    return Foreign("npy", PromptTensors({"soft": SlotTensors(embed=torch.from_numpy(vectors))}))


def _prompt_tensors(tensors: dict[str, Tensor]) -> PromptTensors:
    try:
        return PromptTensors.from_tensors(tensors)
    except (KeyError, ValueError) as error:
        raise PromptError("prompt.bad_tensors", f"{SIDECAR} names tensors that no prompt has: {error}") from None


def _is_npy(path: Path) -> bool:
    if path.is_file():
        return path.suffix == ".npy"
    return format_at(path) == "npy" or (not (path / SIDECAR).exists() and len(list(path.glob("*.npy"))) == 1)


def _other_shape(told: list[int], found: list[int]) -> PromptError:
    message = f"{SIDECAR} says {told}, the file holds {found}"
    return PromptError("prompt.shape_mismatch", message, cure="export again, or mend the shape")


def _of(name: str, says: str, recognises: Callable[[Path], bool], encode: _Encode, decode: Any) -> Format:
    reading = partial(_read, name=name, decode=decode)
    return Format(says, partial(_export, name=name, encode=encode), recognises, reading)


NPY = _of("npy", "one NumPy file a tensor", _is_npy, to_npy, from_npy)
RAW = _of(
    "raw",
    "one file of little-endian float32 a tensor (llama.cpp)",
    lambda path: path.is_dir() and format_at(path) == "raw",
    to_raw,
    from_raw,
)
