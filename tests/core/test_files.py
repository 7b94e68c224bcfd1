"""Files that are whole or absent: a failed write leaves what was there, and a rename is made durable."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import ResourceError
from softprompt.core.files import beside, move, portable_name, remove, sync_folder, tidy, write_new, write_whole


def fail_with(number: int) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_what_is_written_is_there(tmp_path: Path):
    path = tmp_path / "new" / "file"
    for content in (b"first", b"second"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failed_write_leaves_what_was_there(number: int, tmp_path: Path, monkeypatch: Any):
    path = tmp_path / "file"
    write_whole(path, b"first")
    monkeypatch.setattr(os, "fsync", fail_with(number))
    code = "resource.write_failed" if number == errno.EIO else "resource.disk_full"
    with pytest.raises(ResourceError, match=code.replace(".", r"\.")):
        write_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_said(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"resource\.write_failed"):
        write_whole(tmp_path / "file" / "c", b"")


def test_the_folder_is_synced_after_the_rename(tmp_path: Path, monkeypatch: Any):
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), fsync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (calls.append("rename"), replace(self, to))[1])
    write_whole(tmp_path / "file", b"content")
    assert calls == ["sync", "rename", "sync"]


@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_system_that_cannot_flush_a_folder_is_no_error_and_a_broken_disk_is(
    call: str, tmp_path: Path, monkeypatch: Any
):
    monkeypatch.setattr(os, call, fail_with(errno.EINVAL))
    sync_folder(tmp_path)
    monkeypatch.setattr(os, call, fail_with(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync_folder(tmp_path)


def test_a_new_file_replaces_none(tmp_path: Path):
    write_new(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"


def test_what_a_killed_process_left_is_removed_and_overwritten(tmp_path: Path):
    path = tmp_path / "file"
    other, mine = tmp_path / ".file.1.tmp", tmp_path / f".file.{os.getpid()}.tmp"
    mine.write_bytes(b"half")
    write_whole(path, b"whole")
    other.write_bytes(b"half")
    tidy(path)
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------- what Windows does, simulated


def held(number: int) -> PermissionError:
    """What Windows raises for a file that a process has open or mapped."""
    error = PermissionError(errno.EACCES, "the process cannot access the file")
    error.winerror = number  # type: ignore[attr-defined] # there on Windows only
    return error


@pytest.fixture
def waits(monkeypatch: Any) -> list[float]:
    """Seconds that were waited, in no time."""
    found: list[float] = []
    monkeypatch.setattr("softprompt.core.files.time.sleep", found.append)
    return found


def test_a_file_that_is_held_for_a_moment_is_replaced_when_it_is_free(tmp_path: Path, monkeypatch: Any, waits: Any):
    write_whole(tmp_path / "file", b"first")
    refusals, replace = [held(5), held(32)], Path.replace

    def busy(self: Path, target: Path) -> Path:
        if refusals:
            raise refusals.pop()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", busy)
    write_whole(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"second"
    assert len(waits) == 2


def test_a_file_that_stays_open_stays_as_it_was_and_is_said(tmp_path: Path, monkeypatch: Any, waits: Any):
    write_whole(tmp_path / "file", b"first")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(held(32)))
    with pytest.raises(ResourceError, match=r"cannot access the file.*resource\.write_failed"):
        write_whole(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    assert 0 < sum(waits) < 2


def test_nobody_waits_for_a_folder_that_is_not_ours(tmp_path: Path, monkeypatch: Any, waits: Any):
    monkeypatch.setattr(Path, "replace", fail_with(errno.EACCES))
    with pytest.raises(PermissionError):
        move(tmp_path / "a", tmp_path / "b")
    assert not waits


@pytest.mark.parametrize("number", [5, 32, 1224])
def test_a_mapped_file_is_not_removed_and_that_is_no_error(number: int, tmp_path: Path, monkeypatch: Any):
    (tmp_path / "file").touch()
    with monkeypatch.context() as windows:
        windows.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(held(number)))
        assert not remove(tmp_path / "file")
    assert (tmp_path / "file").exists()
    monkeypatch.setattr(Path, "unlink", fail_with(errno.EPERM))
    with pytest.raises(PermissionError):
        remove(tmp_path / "file")


def test_removing_what_is_there_and_what_is_not(tmp_path: Path):
    (tmp_path / "file").touch()
    assert remove(tmp_path / "file")
    assert remove(tmp_path / "file")


def test_a_path_too_long_for_windows_is_counted(tmp_path: Path, monkeypatch: Any):
    def fail(*_: object, **__: object) -> None:
        error = FileNotFoundError(errno.ENOENT, "the system cannot find the path")
        error.winerror = 3  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(ResourceError, match=r"characters, Windows takes 259.*switch long paths on"):
        write_whole(tmp_path / ("d" * 200) / ("f" * 100), b"")
    with pytest.raises(ResourceError, match="cannot find the path"):
        write_whole(Path("short"), b"")


def test_a_name_as_long_as_the_system_takes_can_be_written(tmp_path: Path):
    path = tmp_path / ("n" * 251 + ".txt")
    write_whole(path, b"content")
    assert path.read_bytes() == b"content"
    assert len(beside(path, "1" * 10).name) < 100


def test_what_is_left_beside_a_name_with_brackets_is_removed(tmp_path: Path):
    left, other = tmp_path / ".a[1].17.tmp", tmp_path / ".a1.17.tmp"
    left.touch()
    other.touch()
    tidy(tmp_path / "a[1]")
    assert list(tmp_path.iterdir()) == [other]


@given(name=st.text(max_size=300))
def test_every_name_becomes_one_that_every_system_takes(name: str):
    found = portable_name(name)
    assert 0 < len(found.encode("utf-8")) <= 255
    assert not set(found) & set('<>:"/\\|?*\0\n')
    assert not found.endswith((".", " "))
    assert found.split(".")[0].casefold() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert portable_name(found) == found


@pytest.mark.parametrize("name", ["run", "topic-2", "über uns", "v1.2"])
def test_a_name_that_every_system_takes_stays(name: str):
    assert portable_name(name) == name
