"""Frozen states of many rows, read once and kept where the budget allows.

What stands before the first trainable vector never changes during a training, so its keys and values are computed
once, in canonical chunks: distinct texts sorted by (length, content), cut by a token budget. The chunks depend on the
data alone, never on the training batch, so a resumed run meets the same bits (law 5).

Tiers, best first: device memory, RAM, a mapped file, recomputing without gradient. A fixed subset is kept (the longest
texts first: they cost the most to read again); a cache that evicts would thrash, because every epoch touches every
row once. Cached states are customer text: files are readable by their owner only and removed at the end unless they
are to be kept.

Knows backbones and rows; no methods, no tasks.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

from softprompt.core.errors import ResourceError
from softprompt.core.files import remove
from softprompt.core.records import Batch, Row
from softprompt.core.tensors import State
from softprompt.model import statefiles
from softprompt.model.backbones.base import Backbone

__all__ = ["Budget", "StateStore", "StoreReport", "Tier", "default_folder"]

Tier = Literal["device", "memory", "file", "recompute"]

_TIERS: tuple[Tier, ...] = ("device", "memory", "file")

#: One text to read: its ids.
Key = tuple[int, ...]


def default_folder() -> Path:
    """Where state files go: ``$SOFTPROMPT_CACHE``, else the user's cache folder."""
    root = os.environ.get("SOFTPROMPT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "softprompt"
    return Path(root).expanduser() / "states"


@dataclass(frozen=True)
class Budget:
    """Bytes each tier may take; ``keep`` leaves a state file for the next run over the same texts."""

    device: int = 0
    memory: int = 4 << 30
    file: int = 0
    keep: bool = False
    folder: Path | None = None


@dataclass(frozen=True)
class StoreReport:
    """What was read and where it lies.

    Attributes:
        texts: Distinct texts by tier.
        bytes: Bytes by tier.
        tokens: Tokens read.
        seconds: Time of reading.
        reused: Whether a kept file served instead of reading.
        notes: What a user should know, e.g. that the disk was too full.
    """

    texts: dict[Tier, int] = field(default_factory=dict)
    bytes: dict[Tier, int] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0
    reused: bool = False
    notes: tuple[str, ...] = ()


class StateStore:
    """States of the frozen beginnings of rows.

    Args:
        backbone: The frozen model.
        budget: Bytes by tier.
        chunk_tokens: Tokens read in one forward.

    >>> from softprompt.core.records import Node, Soft, Text
    >>> from softprompt.testing import tiny
    >>> row = Row((Node(Text((5, 6, 7), "text")), Node(Soft("soft", 2), 0)))
    >>> with StateStore(tiny()) as store:
    ...     report = store.fill([row])
    ...     store.get(Batch((row,))).lengths, report.texts
    ((3,), {'memory': 1})
    """

    def __init__(self, backbone: Backbone, budget: Budget | None = None, *, chunk_tokens: int = 4096) -> None:
        self.backbone = backbone
        self.budget = budget or Budget()
        self.chunk_tokens = chunk_tokens
        self._wide = False
        self._groups = _groups(backbone.spec.kv_shapes)
        self._numel = _numel(self._groups)
        self._places: dict[Key, tuple[Tensor, int]] = {}
        self._known: set[Key] = set()
        self._left: dict[Tier, int] = {
            "device": self.budget.device,
            "memory": self.budget.memory,
            "file": self.budget.file,
        }
        if backbone.spec.device.type == "cpu":
            self._left["device"] = 0
        if self.budget.keep:
            self._left["memory"] = 0  # what is to be kept has to lie in the file
        self._unnamed: list[Path] = []
        self._keeping: tuple[Path, Path, Tensor] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the states; nothing stays on the disk but files that are to be kept and are whole."""
        self._places.clear()
        self._known.clear()
        for path in self._unnamed:
            remove(path)  # what Windows keeps, because a tensor is still held, `softprompt cache clear` removes later
        self._unnamed.clear()

    def keys(self, rows: Iterable[Row]) -> list[Key]:
        """The distinct frozen beginnings of rows in canonical order: by length, then by content."""
        found = {trunk.ids for row in rows for trunk in self.backbone.trunks(Batch((row,)))}
        return sorted(found, key=lambda ids: (len(ids), _hash(ids)))

    def fill(self, rows: Iterable[Row], *, on_progress: Callable[[int, int], None] | None = None) -> StoreReport:
        """Read every distinct text once and keep what the budget allows.

        Args:
            rows: All rows that will be asked for (training and validation).
            on_progress: Called with (tokens read, tokens in all).
        """
        keys = [key for key in self.keys(rows) if key not in self._known]
        start = time.perf_counter()
        notes: list[str] = []
        self._widen(keys)
        tiers = self._assign(keys)
        places, kept = self._open(keys, tiers, notes)
        self._places |= {key: places[key] for key in kept}
        total, done = sum(map(len, keys)), sum(map(len, kept))
        for chunk in self._chunks(keys):
            fresh = [key for key in chunk if key in places and key not in kept]
            if fresh:
                state = self._read(chunk)
                for key in fresh:
                    self._write(places[key], key, state, chunk.index(key))
                    self._places[key] = places[key]
            done += sum(len(key) for key in chunk if key not in kept)
            if on_progress:
                on_progress(done, total)
        self._finish(notes)
        self._known.update(keys)
        texts: dict[Tier, int] = {}
        sizes: dict[Tier, int] = {}
        for key in keys:
            texts[tiers[key]] = texts.get(tiers[key], 0) + 1
            if tiers[key] != "recompute":
                sizes[tiers[key]] = sizes.get(tiers[key], 0) + self._bytes(key)
        return StoreReport(texts, sizes, total, time.perf_counter() - start, bool(kept), tuple(notes))

    def get(self, batch: Batch) -> State | None:
        """States of the batch's trunks in the order of ``backbone.trunks``; None if it has none."""
        keys = [trunk.ids for trunk in self.backbone.trunks(batch)]
        if not keys:
            return None
        missing = list(dict.fromkeys(key for key in keys if key not in self._places))
        fresh = self._read(missing) if missing else None
        width = max(map(len, keys))
        device = self.backbone.spec.device
        dtype = self.backbone.spec.dtype
        parts: list[Tensor] = []
        for group, (n, g, d) in enumerate(self._groups):
            out = torch.empty(n, len(keys), g, width, d, dtype=dtype, device=device)
            for row, key in enumerate(keys):
                pad = width - len(key)
                out[:, row, :, :pad] = 0
                if key in self._places:
                    out[:, row, :, pad:].copy_(self._block(self._places[key], key, group), non_blocking=True)
                else:
                    assert fresh is not None
                    out[:, row, :, pad:] = self._of_state(fresh, missing.index(key), group)
            parts.extend(out.unbind(0))
        return State(tuple(parts[0::2]), tuple(parts[1::2]), tuple(map(len, keys)))

    def num_kept(self, rows: Iterable[Row]) -> int:
        """How many of the rows' distinct texts are kept; the others are read again whenever they are asked for."""
        return sum(key in self._places for key in self.keys(rows))

    # --- where a text lies

    def _widen(self, keys: Sequence[Key]) -> None:
        """Take the model's larger form of states if all texts fit into half of what there is; before the first text."""
        groups = _groups(self.backbone.spec.wide_shapes)
        need = sum(map(len, keys)) * _numel(groups) * self.backbone.spec.dtype.itemsize
        if groups and not self._known and 2 * need <= max(self._left["device"], self._left["memory"]):
            self._wide, self._groups, self._numel = True, groups, _numel(groups)

    def _bytes(self, key: Key) -> int:
        return len(key) * self._numel * self.backbone.spec.dtype.itemsize

    def _assign(self, keys: Sequence[Key]) -> dict[Key, Tier]:
        """A tier for each text, longest first."""
        tiers: dict[Key, Tier] = {}
        for key in reversed(keys):
            need = self._bytes(key)
            tiers[key] = next((tier for tier in _TIERS if self._left[tier] >= need), "recompute")
            if tiers[key] != "recompute":
                self._left[tiers[key]] -= need
        return tiers

    def _open(
        self, keys: Sequence[Key], tiers: dict[Key, Tier], notes: list[str]
    ) -> tuple[dict[Key, tuple[Tensor, int]], set[Key]]:
        """One flat buffer a tier: places by text, and the texts that a kept file already holds.

        Where there is no room after all, the tier's texts are recomputed.
        """
        places: dict[Key, tuple[Tensor, int]] = {}
        kept: set[Key] = set()
        for tier in _TIERS:
            mine = [key for key in keys if tiers[key] == tier]
            if not mine:
                continue
            numel = sum(map(len, mine)) * self._numel
            try:
                buffer, whole = self._buffer(tier, numel, keys, mine)
            except (OSError, torch.OutOfMemoryError) as error:
                size = numel * self.backbone.spec.dtype.itemsize / 1e9
                notes.append(
                    f"no room for {size:.1f} GB of states ({tier}: {error}); they are read again in every step"
                )
                tiers.update(dict.fromkeys(mine, "recompute"))
                continue
            at = 0
            for key in mine:
                places[key] = (buffer, at)
                at += len(key) * self._numel
            if whole:
                kept.update(mine)
        return places, kept

    def _buffer(self, tier: Tier, numel: int, keys: Sequence[Key], mine: Sequence[Key]) -> tuple[Tensor, bool]:
        """Room for so many numbers, and whether they are there already."""
        spec = self.backbone.spec
        if tier != "file":
            device = spec.device if tier == "device" else torch.device("cpu")
            pinned = tier == "memory" and spec.device.type == "cuda"
            return torch.empty(numel, dtype=spec.dtype, device=device, pin_memory=pinned), False
        folder = self._folder()
        if not self.budget.keep:
            buffer, path = statefiles.scratch(folder, numel, spec.dtype)
            self._unnamed += [path] if path else []
            return buffer, False
        path = folder / f"{self._name(keys, mine)}.states"
        if (found := statefiles.trusted(path, numel, spec.dtype)) is not None:
            return found, True
        temporary = folder / f".{path.stem}-{os.urandom(4).hex()}.{os.getpid()}.part"
        self._unnamed.append(temporary)
        buffer = statefiles.reserve(temporary, numel, spec.dtype)
        self._keeping = (temporary, path, buffer)
        return buffer, False

    def _finish(self, notes: list[str]) -> None:
        """Name the file that is to be kept, now that it is filled."""
        if self._keeping is None:
            return
        temporary, path, buffer = self._keeping
        self._keeping = None
        try:
            statefiles.keep(temporary, path, buffer)
        except OSError as error:
            notes.append(f"the states could not be kept: {error}")

    def _folder(self) -> Path:
        folder = self.budget.folder or default_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ResourceError(
                "resource.cache_folder", f"{folder} cannot be made: {error}", cure="set SOFTPROMPT_CACHE to another"
            ) from None
        return folder

    def _name(self, keys: Sequence[Key], mine: Sequence[Key]) -> str:
        """Hash of everything that the bits of these texts' states depend on: the model, how it computes, all chunks."""
        spec = self.backbone.spec
        made_by = (version("softprompt"), torch.__version__)
        runs = (spec.fingerprint, spec.dtype, spec.device.type, *made_by, torch.get_num_threads())
        attention = getattr(getattr(getattr(self.backbone, "model", None), "config", None), "_attn_implementation", "")
        form = ("wide",) if self._wide else ()
        return _hash((*runs, *form, attention, self.chunk_tokens, len(mine), *map(_hash, keys)))

    def _chunks(self, keys: Sequence[Key]) -> Iterator[list[Key]]:
        chunk: list[Key] = []
        for key in keys:
            if chunk and (len(chunk) + 1) * len(key) > self.chunk_tokens:
                yield chunk
                chunk = []
            chunk.append(key)
        if chunk:
            yield chunk

    def _read(self, keys: Sequence[Key]) -> State:
        """States of texts, straight from the model."""
        return self.backbone.reread(keys, wide=self._wide)

    # --- how a text lies: per group of equal tensors [n, G, T, D], one after the other

    def _block(self, place: tuple[Tensor, int], key: Key, group: int) -> Tensor:
        buffer, at = place
        for n, g, d in self._groups[:group]:
            at += n * g * d * len(key)
        n, g, d = self._groups[group]
        return buffer[at : at + n * g * len(key) * d].view(n, g, len(key), d)

    def _write(self, place: tuple[Tensor, int], key: Key, state: State, row: int) -> None:
        for group in range(len(self._groups)):
            self._block(place, key, group).copy_(self._of_state(state, row, group))

    def _of_state(self, state: State, row: int, group: int) -> Tensor:
        first = sum(n for n, _, _ in self._groups[:group])
        tensors = list(state.tensors())[first : first + self._groups[group][0]]
        start = state.width - state.lengths[row]
        return torch.stack([tensor[row, :, start:] for tensor in tensors])


def _groups(shapes: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Runs of tensors of one shape, which are stored and copied together: one copy a row for most models."""
    flat = [shape for g, dk, dv in shapes for shape in ((g, dk), (g, dv))]
    return [(len(list(run)), *shape) for shape, run in groupby(flat)]


def _numel(groups: Iterable[tuple[int, int, int]]) -> int:
    return sum(n * g * d for n, g, d in groups)


def _hash(parts: Iterable[object]) -> str:
    return hashlib.sha256(",".join(map(str, parts)).encode()).hexdigest()[:32]
