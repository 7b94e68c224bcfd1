"""The parts of a training: schedule, optimiser, checkpoint files, memory, looks at a part of the rows, settings."""

import contextlib
import math
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from softprompt.core.errors import ConfigError, TrainingError
from softprompt.lab.training import checkpoint, memory
from softprompt.lab.training.looks import part_of
from softprompt.lab.training.optimisers import PromptOptimiser, scheduled
from softprompt.lab.training.settings import EFFORTS, PASSES, TrainingSettings
from tests.lab.training.small import rows

# --- schedule


@given(st.integers(1, 500), st.floats(0, 0.9), st.sampled_from(["cosine", "linear", "constant"]))
def test_the_rate_rises_once_and_falls_once(steps: int, warmup: float, shape: Any):
    factors = [scheduled(step, steps, warmup=warmup, shape=shape) for step in range(steps)]
    peak = factors.index(max(factors))
    assert all(a < b for a, b in pairwise(factors[: peak + 1]))
    assert all(a >= b for a, b in pairwise(factors[peak:]))
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1.0


# --- optimiser


def parameter(value: float = 1.0, size: int = 4) -> nn.Parameter:
    return nn.Parameter(torch.full((2, size), value))


def test_a_gradient_is_clipped_to_its_norm():
    clipped, reference = parameter(), parameter()
    for one, clip in ((clipped, 0.5), (reference, None)):
        one.grad = torch.full((2, 4), 3.0)
        optimiser = PromptOptimiser([one], rate=0.1, kind="adafactor")
        norm = optimiser.step(factor=1.0, divide=2.0, clip=clip)
        assert norm == pytest.approx(1.5 * math.sqrt(8))
        assert one.grad is None
    assert not torch.equal(clipped, parameter())


@pytest.mark.parametrize("kind", ["adamw", "adafactor"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(kind: str, bad: float):
    one = parameter()
    one.grad = torch.full((2, 4), bad)
    norm = PromptOptimiser([one], rate=0.1, kind=kind).step(factor=1.0, divide=1.0, clip=1.0)
    assert not math.isfinite(norm)
    assert torch.equal(one, parameter())


def test_no_gradient_is_no_step():
    one = parameter()
    assert PromptOptimiser([one], rate=0.1, weight_decay=0.5).step(factor=1.0, divide=1.0, clip=1.0) == 0.0
    assert torch.equal(one, parameter())


@pytest.mark.parametrize("kind", ["adamw", "adafactor"])
def test_a_restored_optimiser_goes_on_bit_for_bit(kind: str):
    def steps(optimiser: PromptOptimiser, one: nn.Parameter, numbers: range) -> None:
        for n in numbers:
            one.grad = torch.sin(torch.arange(8.0).reshape(2, 4) + n)
            optimiser.step(factor=1.0, divide=1.0, clip=None)

    whole = parameter()
    steps(PromptOptimiser([whole], rate=0.1, kind=kind), whole, range(6))
    first = parameter()
    optimiser = PromptOptimiser([first], rate=0.1, kind=kind)
    steps(optimiser, first, range(3))
    second = nn.Parameter(first.detach().clone())
    again = PromptOptimiser([second], rate=0.1, kind=kind)
    again.restore(optimiser.tensors())
    steps(again, second, range(3, 6))
    assert torch.equal(second, whole)


# --- checkpoint files


CONTENT = {"a": torch.arange(6.0).reshape(2, 3), "b.c": torch.tensor(3), "d": torch.ones(2, dtype=torch.bfloat16)}


def test_what_is_written_is_read(tmp_path: Path):
    path = tmp_path / "new" / "train.checkpoint"
    checkpoint.write(path, CONTENT, {"step": 3, "value": -math.inf, "name": "ü"})
    tensors, meta = checkpoint.read(path)
    assert meta == {"step": 3, "value": -math.inf, "name": "ü"}
    assert {name: (t.dtype, t.tolist()) for name, t in tensors.items()} == {
        name: (t.dtype, t.tolist()) for name, t in CONTENT.items()
    }


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_byte_that_changed_is_noticed(place: int, by: int):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c"
        checkpoint.write(path, CONTENT, {"step": 3})
        content = bytearray(path.read_bytes())
        content[place % len(content)] ^= by
        path.write_bytes(content)
        # what is not noticed are bytes that mean nothing, such as the padding of the header
        with contextlib.suppress(TrainingError):
            tensors, meta = checkpoint.read(path)
            assert meta == {"step": 3}
            assert all(torch.equal(tensors[name], CONTENT[name]) for name in CONTENT)


@pytest.mark.parametrize("keep", [0, 1, 8, 60, -1])
def test_a_cut_file_is_noticed(keep: int, tmp_path: Path):
    path = tmp_path / "c"
    checkpoint.write(path, CONTENT, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TrainingError, match=r"training\.bad_checkpoint"):
        checkpoint.read(path)


def test_all_differences_are_named_at_once():
    with pytest.raises(TrainingError, match=r"a was 1, is 2; b was 'x', is None"):
        checkpoint.check_pins({"a": 2}, {"a": 1, "b": "x"})


def test_parts_of_a_digest_have_borders():
    assert checkpoint.digest(["ab", "c"]) != checkpoint.digest(["a", "bc"])


# --- memory


def meminfo(root: Path, available: str, limit: str | None = None, used: str = "0") -> Path:
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:  {available} kB\n")
    if limit is not None:
        (root / "sys/fs/cgroup").mkdir(parents=True)
        (root / "sys/fs/cgroup/memory.max").write_text(limit)
        (root / "sys/fs/cgroup/memory.current").write_text(used)
    return root


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [(None, "0", 1 << 20), ("max", "5", 1 << 20), ("600000", "500000", 100_000), ("5", "9", 0), ("x", "9", 1 << 20)],
)
def test_available_memory_is_what_the_group_leaves(limit: str | None, used: str, expected: int, tmp_path: Path):
    assert memory.available_bytes(root=meminfo(tmp_path, "1024", limit, used)) == expected


def test_a_system_without_proc_is_asked_otherwise(tmp_path: Path, monkeypatch: Any):
    class Virtual:
        available = 123

    monkeypatch.setattr(psutil, "virtual_memory", Virtual)
    assert memory.available_bytes(root=tmp_path) == 123


def test_kept_bytes_count_storages_once_and_parameters_not_at_all():
    weight = nn.Parameter(torch.ones(100, 10))
    x = torch.ones(5, 100)
    frozen = {weight.untyped_storage().data_ptr(), x.untyped_storage().data_ptr()}
    assert memory.kept_bytes(lambda: (x @ weight).square().sum(), frozen=frozen) == 5 * 10 * 4


# --- looks


def test_a_part_is_fixed_and_keeps_places():
    made = rows(30)
    part = part_of(made, 7)
    assert sum(row is not None for row in part) == 7
    assert all(row is None or row is made[i] for i, row in enumerate(part))
    assert part == part_of(made, 7)
    assert part_of(made, 30) == made
    masked = [row if i % 2 else None for i, row in enumerate(made)]
    assert all(row is None or i % 2 for i, row in enumerate(part_of(masked, 7)))


# --- settings


@pytest.mark.parametrize("words", [{"rate": 1e38}, {"rates": (0.1, 1e38)}, {"rates": (0.1, -0.1)}, {"rates": (0.0,)}])
def test_rates_that_no_optimiser_can_step_by_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="rate"):
        TrainingSettings(**words)


@pytest.mark.parametrize("effort", EFFORTS)
def test_an_effort_decides_all_that_is_open_and_nothing_else(effort: Any):
    found = TrainingSettings(effort=effort, steps=7).resolved()
    assert found.steps == 7
    assert found.seeds == tuple(range(EFFORTS[effort].seeds))
    assert None not in (found.probe_steps, found.rates, found.evaluations, found.patience)
    assert found.resolved() == found


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("size", [1, 16, 100])
@pytest.mark.parametrize("rows", [1, 100, 1000, 10_000, 1_000_000])
def test_many_rows_get_more_steps_within_the_bounds_of_the_effort(effort: Any, size: int, rows: int):
    base = EFFORTS[effort]
    steps = TrainingSettings(effort=effort, batch_size=size).resolved(rows).steps
    assert steps is not None
    assert base.steps <= steps <= base.most
    assert steps == base.most or steps * size >= PASSES * rows
    assert steps == base.steps or (steps - 1) * size < PASSES * rows


def test_more_effort_is_more_of_everything():
    for name in ("steps", "most", "seeds", "probe_steps", "evaluations"):
        values = [getattr(EFFORTS[effort], name) for effort in ("quick", "normal", "thorough")]
        assert values == sorted(values)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"rate": -1.0}, {"seeds": []}, {"rates": []}, {"stepz": 3}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ConfigError):
        TrainingSettings.parse(wrong)
