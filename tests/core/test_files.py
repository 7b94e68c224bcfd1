"""Files that are whole or absent: a failed write leaves what was there, and a rename is made durable."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from softprompt.core.errors import ResourceError
from softprompt.core.files import sync_folder, tidy, write_new, write_whole


def fail_with(number: int) -> Any:
    def fail(*_: object) -> None:
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
