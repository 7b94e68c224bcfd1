"""Room for frozen states: what is said, else a third of what is free."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from softprompt.lab.training import forecast
from softprompt.lab.training.forecast import budget_for
from softprompt.lab.training.settings import TrainingSettings
from softprompt.testing import tiny


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOFTPROMPT_CACHE", str(tmp_path / "not" / "yet" / "there"))
    monkeypatch.setattr(forecast, "available_bytes", lambda device=None: 3000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=900 if folder == tmp_path else 0))


def test_where_nothing_is_said_a_third_of_memory_then_a_third_of_the_disk():
    budget = budget_for(tiny(), TrainingSettings())
    assert (budget.device, budget.memory, budget.file, budget.keep) == (0, 1000, 300, False)


def test_what_is_said_holds_and_zero_is_none():
    budget = budget_for(tiny(), TrainingSettings(cache_memory=7, cache_file=0, keep_cache=True))
    assert (budget.memory, budget.file, budget.keep) == (7, 0, True)
