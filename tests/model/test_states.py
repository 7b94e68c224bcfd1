"""The store of frozen states: budgets, kept files and whom they trust, what is left on the disk."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from softprompt.core.errors import ResourceError
from softprompt.core.records import Batch
from softprompt.model import statefiles
from softprompt.model.states import Budget, StateStore, default_folder
from softprompt.testing import tiny
from tests.lab.training.small import rows
from tests.modes import for_owner_alone

ROWS = rows(9)
BATCH = Batch(tuple(ROWS))


def store(folder: Path, *, seed: int = 0, **budget: Any) -> StateStore:
    return StateStore(tiny(seed=seed), Budget(**{"memory": 0, "file": 1 << 20, "folder": folder, **budget}))


def states_of(one: StateStore) -> list[torch.Tensor]:
    found = one.get(BATCH)
    assert found is not None
    return [tensor.clone() for tensor in found.tensors()]


def equal(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_longest_texts_are_kept_first():
    longest = max(len(row.nodes[0].segment) for row in ROWS)
    backbone = tiny()
    with StateStore(backbone, Budget(memory=longest * backbone.spec.kv_bytes)) as one:
        report = one.fill(ROWS)
        assert report.texts == {"memory": 1, "recompute": 8}
        assert one.num_kept([row for row in ROWS if len(row.nodes[0].segment) == longest]) == 1
        assert report.bytes == {"memory": longest * backbone.spec.kv_bytes}


def test_equal_texts_are_read_once_and_a_second_fill_reads_what_is_new():
    with StateStore(tiny()) as one:
        assert one.fill([*ROWS[:4], *ROWS[:4]]).texts == {"memory": 4}
        assert one.fill(ROWS).texts == {"memory": 5}
        assert one.fill(ROWS).texts == {}


def test_two_fills_share_one_budget():
    backbone = tiny()
    with StateStore(backbone) as whole:
        need = sum(whole.fill(ROWS[:4]).bytes.values())
    with StateStore(backbone, Budget(memory=need)) as one:
        assert set(one.fill(ROWS[:4]).texts) == {"memory"}
        assert set(one.fill(ROWS[4:]).texts) == {"recompute"}


def test_progress_counts_tokens_to_the_end():
    told: list[tuple[int, int]] = []
    with StateStore(tiny(), chunk_tokens=24) as one:
        report = one.fill(ROWS, on_progress=lambda done, total: told.append((done, total)))
    assert len(told) > 1
    assert told[-1] == (report.tokens, report.tokens)


def test_ctrl_c_while_reading_leaves_no_half_read_text(tmp_path: Path, monkeypatch: Any):
    with StateStore(tiny(), chunk_tokens=24) as one:
        expected = states_of(one)
        read, left = one._read, [2]

        def dying(keys: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            return read(keys)

        monkeypatch.setattr(one, "_read", dying)
        with pytest.raises(KeyboardInterrupt):
            one.fill(ROWS)
        monkeypatch.setattr(one, "_read", read)
        for a, b in zip(states_of(one), expected, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


# --- files


def test_a_file_of_one_run_has_no_name(tmp_path: Path):
    with store(tmp_path) as one:
        assert one.fill(ROWS).texts == {"file": 9}
        assert list(tmp_path.iterdir()) == [], "even kill -9 leaves nothing"
        assert all(tensor.isfinite().all() for tensor in states_of(one))


def test_a_file_that_cannot_lose_its_name_goes_at_the_end(tmp_path: Path, monkeypatch: Any):
    """Some systems hold on to the name of a mapped file."""
    unlink = Path.unlink

    def busy(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "in use")

    one = store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", busy)
        one.fill(ROWS)
    assert unlink is Path.unlink
    (path,) = tmp_path.iterdir()
    assert for_owner_alone(path)
    one.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_windows_keeps_because_it_is_mapped_ends_no_run(tmp_path: Path, monkeypatch: Any):
    def mapped(self: Path, missing_ok: bool = False) -> None:
        error = PermissionError(errno.EACCES, "a user-mapped section is open")
        error.winerror = 1224  # type: ignore[attr-defined] # there on Windows only
        raise error

    one = store(tmp_path)
    with monkeypatch.context() as windows:
        windows.setattr(Path, "unlink", mapped)
        one.fill(ROWS)
        one.close()
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".scratch", "a name that `softprompt cache clear` knows"


def test_a_kept_file_serves_the_next_run(tmp_path: Path):
    with store(tmp_path, keep=True) as first:
        report = first.fill(ROWS)
        assert not report.reused
        expected = states_of(first)
    names = sorted(path.suffix for path in tmp_path.iterdir())
    assert names == [".json", ".states"]
    assert all(for_owner_alone(path) for path in tmp_path.iterdir())
    with store(tmp_path, keep=True) as second:
        second._read = None  # type: ignore[assignment, method-assign]
        assert second.fill(ROWS).reused
        assert equal(states_of(second), expected)


def spoil_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


#: What can be wrong with a kept file.
SPOILT: dict[str, Any] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 4),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 4),
    "another byte": spoil_byte,
    "without its note": lambda path: path.with_suffix(".json").unlink(),
    "a note that is none": lambda path: path.with_suffix(".json").write_text("[]"),
    "open to others": lambda path: path.chmod(0o644 if os.name != "nt" else pytest.skip("files have no modes")),
    "a link": lambda path: (path.rename(path.with_name("elsewhere")), path.symlink_to(path.with_name("elsewhere"))),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_kept_file_that_is_not_whole_is_not_trusted(spoil: Any, tmp_path: Path):
    with store(tmp_path, keep=True) as first:
        first.fill(ROWS)
        expected = states_of(first)
    spoil(next(tmp_path.glob("*.states")))
    with store(tmp_path, keep=True) as second:
        assert not second.fill(ROWS).reused
        assert equal(states_of(second), expected)
    with store(tmp_path, keep=True) as third:
        assert third.fill(ROWS).reused, "read anew, it is whole again"


@pytest.mark.parametrize("change", ["rows", "model", "threads", "chunks"])
def test_a_kept_file_is_only_for_the_same_bits(change: str, tmp_path: Path):
    with store(tmp_path, keep=True) as first:
        first.fill(ROWS)
    second = store(tmp_path, keep=True, seed=int(change == "model"))
    threads = torch.get_num_threads()
    if change == "chunks":
        second.chunk_tokens = 24
    try:
        if change == "threads":
            torch.set_num_threads(threads + 1)
        assert not second.fill(ROWS[1:] if change == "rows" else ROWS).reused
    finally:
        torch.set_num_threads(threads)
        second.close()


def test_a_kept_file_under_way_is_removed_when_its_run_fails(tmp_path: Path, monkeypatch: Any):
    def dying(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StateStore, "_write", dying)
    with store(tmp_path, keep=True) as one, pytest.raises(KeyboardInterrupt):
        one.fill(ROWS)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_that_keep_one_file_at_once(tmp_path: Path):
    """Each fills a file of its own; the last name wins, and both hold the same bits."""
    with store(tmp_path, keep=True) as first, store(tmp_path, keep=True) as second:
        between = first._finish
        first._finish = lambda notes: (second.fill(ROWS), between(notes))[1]  # type: ignore[method-assign]
        first.fill(ROWS)
        assert equal(states_of(first), states_of(second))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".states"]
    with store(tmp_path, keep=True) as third:
        assert third.fill(ROWS).reused


def test_a_file_of_another_process_is_trusted(tmp_path: Path):
    code = (
        "import sys, torch; torch.set_num_threads(int(sys.argv[2]))\n"
        "from pathlib import Path\nfrom tests.model.test_states import ROWS, store\n"
        "with store(Path(sys.argv[1]), keep=True) as one: print(one.fill(ROWS).reused)"
    )
    root = Path(__file__).parent.parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    arguments = [sys.executable, "-c", code, str(tmp_path), str(torch.get_num_threads())]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "False\n", done.stderr
    with store(tmp_path, keep=True) as one:
        assert one.fill(ROWS).reused


def test_a_full_disk_is_noted_and_texts_are_read_again(tmp_path: Path, monkeypatch: Any):
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with store(tmp_path) as one:
        report = one.fill(ROWS)
        assert report.texts == {"recompute": 9}
        assert "No space left" in report.notes[0]
        assert all(tensor.isfinite().all() for tensor in states_of(one))
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_cannot_be_given_is_noted(tmp_path: Path, monkeypatch: Any):
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(statefiles, "keep", full)
    with store(tmp_path, keep=True) as one:
        assert "could not be kept" in one.fill(ROWS).notes[0]
        assert all(tensor.isfinite().all() for tensor in states_of(one))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_with_a_cure(tmp_path: Path):
    (tmp_path / "file").touch()
    with store(tmp_path / "file" / "states") as one, pytest.raises(ResourceError, match="SOFTPROMPT_CACHE"):
        one.fill(ROWS)


def test_the_folder_is_the_users_choice(monkeypatch: Any, tmp_path: Path):
    monkeypatch.setenv("SOFTPROMPT_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "states"
    monkeypatch.delenv("SOFTPROMPT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_folder() == tmp_path / "x" / "softprompt" / "states"


def test_the_note_says_size_and_checksum(tmp_path: Path):
    with store(tmp_path, keep=True) as one:
        report = one.fill(ROWS)
    note = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert note["bytes"] == report.bytes["file"]
    assert len(note["checksum"]) == 32
