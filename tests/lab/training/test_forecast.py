"""Room for frozen states: what is said, else a third of what is free."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from softprompt.core.errors import ConfigError
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
    budget = budget_for(tiny(), TrainingSettings(cache_memory=7, cache_file=0))
    assert (budget.memory, budget.file, budget.keep) == (7, 0, False)
    assert budget_for(tiny(), TrainingSettings(cache_file=9, keep_cache=True)).keep


def test_states_cannot_be_kept_where_no_file_is_allowed():
    with pytest.raises(ConfigError, match=r"keep_cache: it leaves a file, and cache_file: 0 allows none; leave one"):
        TrainingSettings.parse({"keep_cache": True, "cache_file": 0})
