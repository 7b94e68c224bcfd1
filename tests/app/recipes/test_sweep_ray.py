"""A sweep on a Ray cluster of two workers comes to what one process comes to, and says in one line what is wrong.

Needs ray, which no other test does: ``make test-ray``.
"""

import socket
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from softprompt.app.config import RunConfig
from softprompt.app.recipes.rows import read_rows
from softprompt.app.recipes.searching import station
from softprompt.app.recipes.sweep import SweepReport, sweep
from softprompt.core.errors import ConfigError, ExtraError, ResourceError
from softprompt.lab.sweep import cluster
from softprompt.testing import tiny

#: Labels that are right two times in three, so that trials differ.
ROWS = [{"text": f"{'good' if n % 2 else 'bad'} {n}", "label": "good" if n * n % 3 else "bad"} for n in range(24)]


def swept(folder: Path, **changes: Any) -> SweepReport:
    space = {"length": [1, 3], "rate": {"low": 0.01, "high": 1.0, "log": True}, "method": ["plain", "residual"]}
    drawn = {"sampler": "random", "halving": False, "seed": 3, "trials": 6, "together": 4, "confirm": 0}
    config = {
        "name": "tone",
        "output": str(folder),
        "data": {"train": "rows", "validation": "rows"},
        "training": {"steps": 3, "batch_size": 4},
        "baselines": False,
        "sweep": {"space": space, **drawn, **changes},
    }
    return sweep(RunConfig.parse(config), sources={"train": ROWS[:14], "validation": ROWS[14:]})


def test_two_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs ray: pip install 'softprompt[ray]'")
    here, there = swept(tmp_path / "here"), swept(tmp_path / "there", ray="local", jobs=2)
    assert [one.values for one in there.trials] == [one.values for one in here.trials]
    assert [one.score for one in there.trials] == pytest.approx([one.score for one in here.trials])
    assert len({one.score for one in here.trials}) > 1, "trials that are all alike would show nothing"
    assert there.best.number == here.best.number


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs ray: pip install 'softprompt[ray]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ResourceError) as caught:
            swept(tmp_path / "a", ray=address)
    assert caught.value.code == "resource.cluster"
    assert f"{address} cannot be reached" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_cluster_cannot_be_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("head", "head:0", "ray://head"):
        with pytest.raises(ConfigError, match="no address of a Ray cluster"):
            swept(tmp_path / "a", ray=address)
    config = RunConfig.parse({"data": {"train": "rows", "validation": "rows"}, "sweep": {"ray": "local"}})
    with pytest.raises(ConfigError, match="a cluster loads its own models"):
        sweep(config, sources={"train": ROWS, "validation": ROWS}, backbone=tiny())
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(ExtraError, match=r"pip install 'softprompt\[ray\]'"):
        swept(tmp_path / "a", ray="local")


def test_a_worker_with_another_softprompt_or_model_is_refused() -> None:
    config = RunConfig.parse({"data": {"train": "rows", "validation": "rows"}})
    rows = read_rows(config, {"train": ROWS[:14], "validation": ROWS[14:]})
    with pytest.raises(ResourceError, match="this machine 0"):
        station(config, rows, "f", "0.0.1")
    with pytest.raises(ResourceError, match="the model embedded is another one"):
        station(config, rows, "f", version("softprompt"))
