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
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

from softprompt.core.errors import ResourceError
from softprompt.core.records import Batch, Node, Row, Soft, Text
from softprompt.core.tensors import State
from softprompt.model.backbones.base import Backbone

__all__ = ["Budget", "StateStore", "StoreReport", "Tier", "default_folder"]

Tier = Literal["device", "memory", "file", "recompute"]

#: One text to read: length and ids.
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
        shapes = [shape for g, dk, dv in backbone.spec.kv_shapes for shape in ((g, dk), (g, dv))]
        # Runs of tensors of one shape are stored and copied together: one copy a row for most models.
        self._groups = [(len(list(run)), *shape) for shape, run in groupby(shapes)]
        self._numel = sum(n * g * d for n, g, d in self._groups)
        self._places: dict[Key, tuple[Tensor, int]] = {}
        self._known: set[Key] = set()
        self._files: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the states and remove files that are not to be kept."""
        self._places.clear()
        self._known.clear()
        if not self.budget.keep:
            for path in self._files:
                path.unlink(missing_ok=True)
        self._files.clear()

    def keys(self, rows: Iterable[Row]) -> list[Key]:
        """The distinct frozen beginnings of rows in canonical order: by length, then by content."""
        found = {_key(trunk.key) for row in rows for trunk in self.backbone.trunks(Batch((row,)))}
        return sorted(found, key=lambda ids: (len(ids), _hash(ids)))

    def fill(self, rows: Iterable[Row], *, on_progress: Callable[[int, int], None] | None = None) -> StoreReport:
        """Read every distinct text once and keep what the budget allows.

        Args:
            rows: All rows that will be asked for (training and validation).
            on_progress: Called with (tokens read, tokens in all).
        """
        keys = [key for key in self.keys(rows) if key not in self._known]
        self._known.update(keys)
        tiers, notes = self._assign(keys)
        buffers, reused, path = self._open(keys, tiers, notes)
        total = sum(map(len, keys))
        start = time.perf_counter()
        done = 0
        if not reused:
            for chunk in self._chunks(keys):
                kept = [key for key in chunk if tiers[key] != "recompute"]
                if kept:
                    state = self._read(chunk)
                    for index, key in enumerate(chunk):
                        if key in self._places:
                            self._write(key, state, index)
                done += sum(map(len, chunk))
                if on_progress:
                    on_progress(done, total)
        seconds = time.perf_counter() - start
        if path is not None and self.budget.keep and not reused:
            _write_private(path.with_suffix(".json"), json.dumps({"texts": len(keys), "bytes": path.stat().st_size}))
        del buffers
        texts: dict[Tier, int] = {}
        sizes: dict[Tier, int] = {}
        for key in keys:
            texts[tiers[key]] = texts.get(tiers[key], 0) + 1
            if tiers[key] != "recompute":
                sizes[tiers[key]] = sizes.get(tiers[key], 0) + self._bytes(key)
        return StoreReport(texts, sizes, total, seconds, reused, tuple(notes))

    def get(self, batch: Batch) -> State | None:
        """States of the batch's trunks in the order of ``backbone.trunks``; None if it has none."""
        keys = [_key(trunk.key) for trunk in self.backbone.trunks(batch)]
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
                    out[:, row, :, pad:].copy_(self._block(key, group), non_blocking=True)
                else:
                    assert fresh is not None
                    out[:, row, :, pad:] = self._of_state(fresh, missing.index(key), group)
            parts.extend(out.unbind(0))
        return State(tuple(parts[0::2]), tuple(parts[1::2]), tuple(map(len, keys)))

    # --- where a text lies

    def _bytes(self, key: Key) -> int:
        return len(key) * self._numel * self.backbone.spec.dtype.itemsize

    def _assign(self, keys: Sequence[Key]) -> tuple[dict[Key, Tier], list[str]]:
        """A tier for each text, longest first."""
        budget = self.budget
        room: dict[Tier, int] = {
            "device": budget.device if self.backbone.spec.device.type != "cpu" else 0,
            "memory": 0 if budget.keep else budget.memory,
            "file": budget.file,
        }
        tiers: dict[Key, Tier] = {}
        for key in reversed(keys):
            need = self._bytes(key)
            tier: Tier = next((tier for tier, left in room.items() if left >= need), "recompute")
            tiers[key] = tier
            if tier != "recompute":
                room[tier] -= need
        return tiers, []

    def _open(
        self, keys: Sequence[Key], tiers: dict[Key, Tier], notes: list[str]
    ) -> tuple[list[Tensor], bool, Path | None]:
        """One flat buffer a tier; texts get their places. A disk without room turns the file tier into recomputing."""
        dtype = self.backbone.spec.dtype
        buffers, reused, path = [], False, None
        for tier in ("device", "memory", "file"):
            mine = [key for key in keys if tiers[key] == tier]
            if not mine:
                continue
            numel = sum(map(len, mine)) * self._numel
            if tier == "file":
                path = self._path(mine)
                reused = self.budget.keep and path.with_suffix(".json").is_file() and len(mine) == len(keys)
                try:
                    buffer = _map(path, numel, dtype, fresh=not reused)
                except OSError as error:
                    notes.append(
                        f"no room for {numel * dtype.itemsize / 1e9:.1f} GB of states in {path.parent} ({error})"
                    )
                    for key in mine:
                        tiers[key] = "recompute"
                    path = None
                    continue
                self._files.append(path)
            else:
                place = self.backbone.spec.device if tier == "device" else torch.device("cpu")
                pinned = tier == "memory" and self.backbone.spec.device.type == "cuda"
                buffer = torch.empty(numel, dtype=dtype, device=place, pin_memory=pinned)
            at = 0
            for key in mine:
                self._places[key] = (buffer, at)
                at += len(key) * self._numel
            buffers.append(buffer)
        return buffers, reused, path

    def _path(self, keys: Sequence[Key]) -> Path:
        """File of these texts under this model: named by everything its bits depend on."""
        spec = self.backbone.spec
        folder = self.budget.folder or default_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ResourceError("resource.cache_folder", f"{folder} cannot be made: {error}") from None
        name = _hash((spec.fingerprint, str(spec.dtype), self.chunk_tokens, *map(_hash, keys)))
        return folder / (f"{name}.states" if self.budget.keep else f"{name}-{os.getpid()}.states")

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
        rows = tuple(Row((Node(Text(key)), Node(Soft("end", 1), 0))) for key in keys)
        return self.backbone.read(Batch(rows))

    # --- how a text lies: per group of equal tensors [n, G, T, D], one after the other

    def _block(self, key: Key, group: int) -> Tensor:
        buffer, at = self._places[key]
        for n, g, d in self._groups[:group]:
            at += n * g * d * len(key)
        n, g, d = self._groups[group]
        return buffer[at : at + n * g * len(key) * d].view(n, g, len(key), d)

    def _write(self, key: Key, state: State, row: int) -> None:
        for group in range(len(self._groups)):
            self._block(key, group).copy_(self._of_state(state, row, group))

    def _of_state(self, state: State, row: int, group: int) -> Tensor:
        first = sum(n for n, _, _ in self._groups[:group])
        tensors = list(state.tensors())[first : first + self._groups[group][0]]
        start = state.width - state.lengths[row]
        return torch.stack([tensor[row, :, start:] for tensor in tensors])


def _key(key: tuple[object, ...]) -> Key:
    """Ids of a trunk from its key: the length, then the segments' ids."""
    assert isinstance(key[0], int)
    ids = [token for segment in key[1:] if isinstance(segment, tuple) for token in segment]
    return tuple(ids[: key[0]])


def _hash(parts: Iterable[object]) -> str:
    return hashlib.sha256(",".join(map(str, parts)).encode()).hexdigest()[:32]


def _map(path: Path, numel: int, dtype: torch.dtype, *, fresh: bool) -> Tensor:
    """A tensor over a file that only its owner can read; room is reserved, so a full disk is an error here, not later.

    Raises:
        OSError: No room, or the file cannot be made.
    """
    size = numel * dtype.itemsize
    if fresh:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle, 0, size)
            else:
                os.ftruncate(handle, size)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
    return torch.from_file(str(path), shared=True, size=numel, dtype=dtype)


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
