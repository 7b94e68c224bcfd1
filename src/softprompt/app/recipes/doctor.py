"""Whether this machine and this installation can do the work: one check a line, each with its cure.

The last check uses the embedded model, so that a broken installation shows here and not in the middle of a run.
"""

import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch

from softprompt.app.watch import Watcher
from softprompt.core.errors import SoftpromptError
from softprompt.core.machine import num_cores
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab.training.memory import available_bytes
from softprompt.model.backbones import loading
from softprompt.model.backbones.weights.devices import fastest_dtype, pick_device
from softprompt.model.prediction import Ask, Predictor
from softprompt.model.states import default_folder
from softprompt.model.templates import RowBuilder, Template

__all__ = ["Check", "doctor"]

Status = Literal["ok", "warn", "fail"]

GB = 10**9

#: Lowest versions that are tested; the same as in pyproject.toml.
FLOORS = {"torch": (2, 6), "transformers": (5, 0), "safetensors": (0, 4), "tokenizers": (0, 21), "pydantic": (2, 10)}

#: Extra -> (modules it brings, what they are for).
EXTRAS = {
    "compare": (("sklearn",), "TF-IDF baseline, linear probe"),
    "metrics": (("sacrebleu", "rouge_score"), "BLEU, chrF and ROUGE"),
    "data": (("pandas", "openpyxl", "pyarrow", "datasets"), "data frames, xlsx, parquet, data sets of the hub"),
    "serve": (("fastapi", "uvicorn"), "softprompt serve"),
}


@dataclass(frozen=True)
class Check:
    """One line.

    Attributes:
        name: What was looked at.
        status: ``ok``; ``warn``: something will be slow or missing; ``fail``: runs will not work.
        found: What is there.
        cure: What to do about it; empty where nothing is.
    """

    name: str
    status: Status
    found: str
    cure: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def doctor(watcher: Watcher | None = None) -> list[Check]:
    """Look at everything; a check that breaks is a line that failed."""
    watcher = watcher or Watcher()
    found: list[Check] = []
    for name, check in CHECKS.items():
        watcher.stage(f"check {name}")
        try:
            found.extend(check())
        except (OSError, RuntimeError, ImportError, SoftpromptError) as error:
            cure = error.cure or "" if isinstance(error, SoftpromptError) else "see the message"
            found.append(Check(name, "fail", f"{type(error).__name__}: {' '.join(str(error).split())}", cure))
    watcher.done()
    return found


def _python() -> Iterator[Check]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    enough = sys.version_info >= (3, 11)
    yield Check("python", "ok" if enough else "fail", found, "" if enough else "install Python 3.11 or newer")


def _packages() -> Iterator[Check]:
    for package, floor in FLOORS.items():
        least = ".".join(map(str, floor))
        try:
            found = version(package)
        except PackageNotFoundError:
            yield Check(package, "fail", "not installed", "install softprompt again, with its dependencies")
            continue
        known = tuple(int(part) for part in found.split("+")[0].split(".")[:2] if part.isdigit())
        cure = "" if known >= floor else f"pip install '{package}>={least}'"
        yield Check(package, "fail" if cure else "ok", found if not cure else f"{found}, {least} is needed", cure)


def _processors() -> Iterator[Check]:
    cores = num_cores()
    threads = torch.get_num_threads()
    found = f"{threads} of {cores} cores used by torch"
    if threads > cores:
        cure = f"OMP_NUM_THREADS={cores}: more threads than cores slow each other down"
        yield Check("threads", "warn", found, cure)
    elif 2 * threads < cores and "OMP_NUM_THREADS" in os.environ:
        yield Check("threads", "warn", found, f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']} keeps cores idle")
    else:
        yield Check("threads", "ok", found)


def _accelerator() -> Iterator[Check]:
    device = pick_device("auto")
    if device.type != "cuda":
        yield Check("device", "ok", "cpu: no accelerator is visible to torch")
        return
    free = available_bytes(device)
    found = f"{torch.cuda.get_device_name(device)}, {free / GB:.1f} GB free"
    cure = "another process holds its memory" if free < GB else ""
    yield Check("device", "warn" if cure else "ok", found, cure)


def _precision() -> Iterator[Check]:
    device = pick_device("auto")
    chosen = str(fastest_dtype(device, 768)).removeprefix("torch.")
    yield Check("precision", "ok", f"{chosen} is the fastest here ({device.type}, products 768 wide)")


def _memory() -> Iterator[Check]:
    free = available_bytes()
    found, cure = f"{free / GB:.1f} GB available", "close other programs, or take a smaller model"
    status: Status = "ok" if free >= 2 * GB else "warn" if free >= GB / 2 else "fail"
    yield Check("memory", status, found, "" if status == "ok" else cure)


def _disk() -> Iterator[Check]:
    for name, folder in (("disk of runs", Path.cwd()), ("disk of cached states", default_folder())):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free
        found = f"{free / GB:.1f} GB free in {folder}"
        if not os.access(there, os.W_OK):
            cure = "work in another folder" if folder == there else "set SOFTPROMPT_CACHE to a folder of yours"
            yield Check(name, "fail" if name == "disk of runs" else "warn", f"{there} cannot be written", cure)
        else:
            yield Check(
                name, "warn" if free < GB else "ok", found, "make room: softprompt cache ls" if free < GB else ""
            )


def _network() -> Iterator[Check]:
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    said = [name for name in names if os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}]
    if said:
        yield Check("network", "ok", f"offline ({', '.join(said)}): models by hub name only where they are downloaded")
    else:
        yield Check("network", "ok", "used for models by hub name only; HF_HUB_OFFLINE=1 forbids it")


def _extras() -> Iterator[Check]:
    for extra, (modules, purpose) in EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            found = f"{', '.join(missing)} not installed: no {purpose}"
            yield Check(f"extra {extra}", "warn", found, f"pip install 'softprompt[{extra}]'")
        else:
            yield Check(f"extra {extra}", "ok", purpose)


def _self_test() -> Iterator[Check]:
    begun = time.perf_counter()
    backbone = loading.load("embedded")
    loaded = time.perf_counter()
    task = Task.classify(["delivery", "billing"])
    builder = RowBuilder(Template.preset("classify", length=0), task, backbone.tokenizer, max_tokens=64)
    (answer,) = next(Predictor(backbone, [Ask(builder)]).predict([Example({"text": "Where is my parcel?"}, id="1")]))
    total = sum((answer.probabilities or {}).values())
    if not math.isclose(total, 1.0, abs_tol=1e-4):
        cure = "try --dtype fp32; if that helps, torch's low-precision kernels are wrong on this machine"
        yield Check("self-test", "fail", f"the embedded model's probabilities add up to {total}", cure)
        return
    times = f"loaded in {loaded - begun:.1f} s, one message answered in {1000 * (time.perf_counter() - loaded):.0f} ms"
    yield Check("self-test", "ok", f"embedded model of {backbone.spec.num_parameters / 1e6:.1f} M parameters, {times}")


CHECKS: dict[str, Callable[[], Iterator[Check]]] = {
    "python": _python,
    "packages": _packages,
    "threads": _processors,
    "device": _accelerator,
    "precision": _precision,
    "memory": _memory,
    "disk": _disk,
    "network": _network,
    "extras": _extras,
    "self-test": _self_test,
}
