"""``show``, ``runs``, ``cache`` and ``doctor``."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from softprompt.app.recipes import doctor as checks
from softprompt.app.recipes.doctor import Check

# ---------------------------------------------------------------- show


def test_show_a_prompt(cli, prompts) -> None:
    done = cli("show", prompts["good"])
    assert (done.status, done.err) == (0, "")
    for words in ("classify label", "4 in 'soft', after the text", "embedded", "CC0-1.0", "0.750", "[0.600, 0.860]"):
        assert words in done.out


def test_show_a_zip_as_json(cli, prompts) -> None:
    done = cli("show", prompts["tone"], "--json")
    assert done.json["kind"] == "prompt"
    assert done.json["manifest"]["name"] == "tone"
    assert done.json["slots"] == {"soft": 4}


def test_show_fits_a_narrow_window(cli, prompts, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, cli("show", prompts["good"]).out.splitlines())) <= 60


def test_show_nothing(cli) -> None:
    done = cli("show", "nowhere")
    assert done.status == 6
    assert done.err == (
        "error: nowhere: there is no saved prompt and no run [prompt.not_found]; softprompt runs lists the runs\n"
    )


def break_numbers(folder: Path) -> None:
    data = bytearray((folder / "prompt.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "prompt.safetensors").write_bytes(bytes(data))


def break_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{", encoding="utf-8")


def make_newer(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))


def require_more(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "requires": ["telepathy"]}))


def lose_numbers(folder: Path) -> None:
    (folder / "prompt.safetensors").unlink()


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (break_numbers, "prompt.corrupted"),
        (break_manifest, "prompt.bad_manifest"),
        (make_newer, "prompt.unknown_schema"),
        (require_more, "prompt.unknown_requirement"),
        (lose_numbers, "prompt.not_found"),
    ],
)
def test_show_a_broken_prompt(cli, prompts, tmp_path: Path, harm, code: str) -> None:
    folder = Path(shutil.copytree(prompts["good"], tmp_path / "broken"))
    harm(folder)
    done = cli("show", folder)
    assert done.status == 6
    assert done.out == ""
    assert f"[{code}]" in done.err
    assert done.err.count("\n") == 1


# ---------------------------------------------------------------- runs


@pytest.fixture
def folder(tmp_path: Path, prompts) -> Path:
    """Four runs: finished with a prompt, unfinished with a checkpoint, stopped, damaged."""
    score = {"estimate": 0.875, "low": 0.81, "high": 0.92, "level": 0.95, "method": "wilson"}
    evaluation = {"name": "a", "metrics": {"accuracy": score}, "items": [{"id": "1"}], "classes": []}
    report = {"evaluation": evaluation, "split": "test", "seconds": {"total": 61.5}, "comparison": None, "notes": []}
    runs = tmp_path / "runs"
    for age, name in enumerate(("finished", "unfinished", "stopped", "damaged")):
        path = runs / name
        path.mkdir(parents=True)
        (path / "config.yaml").write_text("name: a\n")
        (path / "log.jsonl").write_text("")
        if name in ("finished", "stopped"):
            (path / "report.json").write_text(json.dumps({**report, "interrupted": name == "stopped"}))
        for file in path.iterdir():
            os.utime(file, (1_700_000_000 - age * 1000,) * 2)
    shutil.copytree(prompts["good"], runs / "finished" / "prompt")
    (runs / "unfinished" / "train.checkpoint").write_bytes(b"")
    (runs / "damaged" / "report.json").write_text("{")
    os.utime(runs / "damaged" / "report.json", (1_600_000_000,) * 2)
    (runs / "no run").mkdir()
    return runs


def test_runs_are_listed_latest_first(cli, folder: Path) -> None:
    done = cli("runs", "--json")
    found = {run["name"]: run["state"] for run in done.json}
    assert list(found.items()) == [(name, name) for name in ("finished", "unfinished", "stopped", "damaged")]
    assert done.json[0]["score"] == {"estimate": 0.875, "low": 0.81, "high": 0.92}
    assert done.json[1]["resumes"] is True
    table = cli("runs").out
    assert "runs/finished" in table
    assert "accuracy 0.875" in table
    assert "1 min 2 s" in table


def test_runs_of_nothing(cli, rows: Path) -> None:
    assert cli("runs").out == "no runs in runs; softprompt tune makes one\n"
    assert cli("runs", "--json").json == []
    done = cli("runs", rows)
    assert done.status == 3
    assert "[data.not_a_file]" in done.err


def test_show_a_run(cli, folder: Path) -> None:
    done = cli("show", folder / "finished")
    assert done.status == 0
    assert "run finished: finished after 1 min 2 s, accuracy 0.875 [0.810, 0.920] on test rows" in done.out
    assert "4 in 'soft'" in done.out
    shown = cli("show", folder / "finished", "--json").json
    assert shown["kind"] == "run"
    assert "items" not in shown["report"]["evaluation"]
    assert "goes on from its checkpoint" in cli("show", folder / "unfinished").out
    assert "damaged" in cli("show", folder / "damaged").out


# ---------------------------------------------------------------- cache


@pytest.fixture
def states(tmp_path: Path) -> Path:
    """Files of a kept cache, of a killed run, and of this very process."""
    states = tmp_path / "cache" / "states"
    states.mkdir(parents=True)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (states / ("a" * 32 + ".states")).write_bytes(b"0" * 3000)
    (states / ("a" * 32 + ".json")).write_text("{}")
    (states / ("." + "b" * 32 + f".{gone.pid}.part")).write_bytes(b"0" * 2000)
    (states / ("." + "c" * 32 + f".{os.getpid()}.part")).write_bytes(b"0" * 1000)
    (states / "notes.txt").write_text("mine")
    return states


def test_cache_ls(cli, states: Path) -> None:
    done = cli("cache", "ls", "--json")
    assert [(file["num_bytes"], file["kept"], file["in_use"]) for file in done.json] == [
        (3000, True, False),
        (2000, False, False),
        (1000, False, True),
    ]
    assert "3 files, 6.0 kB" in cli("cache", "ls").out


def test_cache_clear_leaves_what_is_in_use_and_what_is_not_ours(cli, states: Path) -> None:
    done = cli("cache", "clear", "--yes")
    assert (done.status, done.out) == (0, "removed 2 files, 5.0 kB\n")
    assert sorted(path.name.strip(".")[0] for path in states.iterdir()) == ["c", "n"]
    assert cli("cache", "clear").out == "nothing to remove\n"


def test_cache_clear_passes_over_a_file_that_windows_keeps_because_it_is_mapped(cli, states: Path, monkeypatch) -> None:
    unlink = Path.unlink

    def mapped(self: Path, missing_ok: bool = False) -> None:
        if self.suffix == ".states":
            error = PermissionError(13, "the process cannot access the file")
            error.winerror = 1224  # type: ignore[attr-defined]
            raise error
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", mapped)
    done = cli("cache", "clear", "--yes")
    assert (done.status, done.out) == (0, "removed 1 file, 2.0 kB\n")
    assert done.err == "not removed, because a running process has it open: 1 file, 3.0 kB\n"
    kept = next(states.glob("*.states"))
    assert kept.with_suffix(".json").exists()


def test_cache_clear_asks_nobody_without_a_terminal(cli, states: Path) -> None:
    for words in ([], ["--json"]):
        done = cli("cache", "clear", *words)
        assert done.status == 2
        assert "cache clear --yes" in done.err
    assert len(list(states.iterdir())) == 5


def test_cache_of_nothing(cli) -> None:
    assert cli("cache", "ls").out == "no cached states\n"
    assert cli("cache", "clear", "--yes", "--json").json == []


# ---------------------------------------------------------------- doctor


def test_doctor_finds_this_machine_usable(cli) -> None:
    done = cli("doctor", "--json")
    assert done.status == 0
    found = {check["name"]: check for check in done.json}
    assert {check["status"] for check in done.json} <= {"ok", "warn"}
    assert {"python", "torch", "threads", "device", "precision", "memory", "disk of runs", "network"} <= set(found)
    assert "19.7 M parameters" in found["self-test"]["found"]
    assert all(check["cure"] for check in done.json if check["status"] != "ok")


def test_doctor_says_what_fails_and_goes_on(cli, monkeypatch) -> None:
    def breaks():
        raise OSError("the disk is gone")

    def warns():
        yield Check("memory", "warn", "0.1 GB available", "close other programs")

    monkeypatch.setattr(checks, "CHECKS", {"disk": breaks, "memory": warns})
    done = cli("doctor")
    assert done.status == 1
    assert done.out.splitlines()[0] == "fail  disk    OSError: the disk is gone"
    assert "close other programs" in done.out
    assert "1 check failed" in done.out


@pytest.mark.parametrize(
    ("name", "floor", "status"), [("torch", (2, 0), "ok"), ("torch", (99, 0), "fail"), ("no-such", (1, 0), "fail")]
)
def test_doctor_compares_versions(monkeypatch, name: str, floor: tuple[int, int], status: str) -> None:
    monkeypatch.setattr(checks, "FLOORS", {name: floor})
    (check,) = checks._packages()
    assert check.status == status
    assert bool(check.cure) == (status == "fail")


def test_doctor_warns_of_missing_extras_and_too_many_threads(monkeypatch) -> None:
    monkeypatch.setattr(checks, "EXTRAS", {"compare": (("no_such_module",), "the baseline")})
    (extra,) = checks._extras()
    assert (extra.status, extra.cure) == ("warn", "pip install 'softprompt[compare]'")
    monkeypatch.setattr(checks.torch, "get_num_threads", lambda: 10_000)
    (threads,) = checks._processors()
    assert threads.status == "warn"


@pytest.mark.parametrize(("free", "status"), [(8e9, "ok"), (1e9, "warn"), (1e8, "fail")])
def test_doctor_judges_memory(monkeypatch, free: float, status: str) -> None:
    monkeypatch.setattr(checks, "available_bytes", lambda: int(free))
    (memory,) = checks._memory()
    assert memory.status == status


def test_floors_are_those_of_the_package(repository: Path) -> None:
    import tomllib

    wanted = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["dependencies"]
    for package, floor in checks.FLOORS.items():
        assert any(line.startswith(f"{package}>={'.'.join(map(str, floor))}") for line in wanted), package
