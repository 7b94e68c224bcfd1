"""Where a model runs and in which precision: chosen by a short measurement, changed in place."""

import time

import torch
from torch import nn

from softprompt.core.errors import ModelError

__all__ = ["DTYPES", "cast", "dtype_of", "fastest_dtype", "pick_device"]

DTYPES: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


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
    there = {
        "cpu": True,
        "cuda": (place.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(place.type, False):
        raise ModelError("model.no_device", f"there is no {device!r} on this machine", cure="use device: auto")
    return place


def dtype_of(name: str) -> torch.dtype:
    """The dtype of that name.

    Raises:
        ModelError: ``model.unknown_dtype``.
    """
    if name not in DTYPES:
        raise ModelError("model.unknown_dtype", f"there is no dtype {name!r}; known: auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def cast(model: nn.Module, dtype: torch.dtype) -> None:
    """Change the precision of the parameters, one by one in place.

    Buffers stay: ``Module.to`` would round the rotary frequencies, which transformers keeps in float32 whatever the
    dtype of the weights. So do quantised weights, which take inputs of any dtype.
    """
    for parameter in model.parameters():
        if parameter.is_floating_point() and not hasattr(parameter, "__tensor_flatten__"):
            parameter.data = parameter.data.to(dtype)


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
            samples = [_seconds(a, b) for _ in range(rounds + 1)][1:]
        except RuntimeError:  # a dtype without kernels here
            continue
        times[dtype] = sorted(samples)[len(samples) // 2]
    best = min(times, key=lambda dtype: times[dtype])
    return best if times[best] < 0.8 * times[torch.float32] else torch.float32


def _seconds(a: torch.Tensor, b: torch.Tensor) -> float:
    start = time.perf_counter()
    product = a @ b
    float(product[0, 0])  # waits for the device
    return time.perf_counter() - start
