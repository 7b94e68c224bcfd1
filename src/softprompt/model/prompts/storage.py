"""A saved prompt's two files in a folder, or in one zip file: bounded reading, writing that is whole or not at all.

Knows names and sizes, nothing of what the files mean. Reading opens two names and no others, follows no link, and never
takes a size from the file on trust. Writing goes to a new name beside the target, is flushed to the disk, and takes the
target's place by renaming; zip bytes depend on the content alone.
"""

import errno
import io
import os
import reprlib
import secrets
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from softprompt.core.errors import PromptError
from softprompt.core.files import beside, move, sync_folder, write_new
from softprompt.model.prompts.document import MAX_MANIFEST_BYTES

__all__ = [
    "MANIFEST",
    "MAX_BYTES",
    "TENSORS",
    "pack",
    "read",
    "read_file",
    "require_room",
    "unpack",
    "write_file",
    "write_folder",
]

MANIFEST = "manifest.json"
TENSORS = "prompt.safetensors"

#: Default bound of a saved prompt; keys and values for a hundred tokens of a 70B model are 65 MB in fp32.
MAX_BYTES = 512 * 2**20

_MAX_ENTRIES = 8
_SHOWN = 4  # saved prompts that are named where a folder holds several
_MAX_DIRECTORY_BYTES = 2**16
_OVERWRITE = "choose another path, or replace what is there: --overwrite, overwrite=True"
_END = struct.Struct("<4s4H2LH")  # the end-of-central-directory record of a zip file
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError, OverflowError)


# ---------------------------------------------------------------- reading


def read(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, bytes]:
    """The two files of a saved prompt, folder or zip.

    Raises:
        PromptError: ``prompt.not_found``, ``prompt.unreadable``, ``prompt.bad_entry``, ``prompt.too_large``,
            ``prompt.bad_archive``.
    """
    if path.is_dir():
        if not (path / MANIFEST).exists() and (inside := _prompts_in(path)):
            cure = f"name one of the {len(inside)} in it: {', '.join(inside[:_SHOWN])}"
            raise PromptError(
                "prompt.not_found",
                f"{path.name} is no saved prompt but holds some",
                cure=cure + ", ..." * (len(inside) > _SHOWN),
            )
        manifest = read_file(path / MANIFEST, max_bytes=min(MAX_MANIFEST_BYTES, max_bytes))
        return {MANIFEST: manifest, TENSORS: read_file(path / TENSORS, max_bytes=max_bytes - len(manifest))}
    if not os.path.lexists(path):
        cure = "check the path; softprompt runs lists the runs here"
        raise PromptError("prompt.not_found", "there is no such file or folder", cure=cure)
    return unpack(read_file(path, max_bytes=max_bytes, follow=True), max_bytes=max_bytes)


def _prompts_in(folder: Path) -> list[str]:
    """Saved prompts below a folder, as a run, a comparison or a sweep leaves them; a glance, not a search."""
    found = {path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{MANIFEST}")}
    return sorted(str(path) for path in found)


def unpack(data: bytes, *, max_bytes: int = MAX_BYTES) -> dict[str, bytes]:
    """The two files in the bytes of a zip file, stored or deflated.

    Raises:
        PromptError: ``prompt.bad_archive``, ``prompt.bad_entry``, ``prompt.too_large``.
    """
    _check_end(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, max_bytes=max_bytes)
            return {entry.filename: _read_entry(archive, entry) for entry in entries}
    except _ZIP_FAULTS as error:
        raise _bad_archive(str(error) or type(error).__name__) from None


def read_file(path: Path, *, max_bytes: int, follow: bool = False) -> bytes:
    """The bytes of a regular file, at most ``max_bytes``; a link only with ``follow``.

    Raises:
        PromptError: ``prompt.not_found``, ``prompt.bad_entry``, ``prompt.unreadable``, ``prompt.too_large``.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags | (0 if follow else getattr(os, "O_NOFOLLOW", 0))), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PromptError("prompt.bad_entry", f"{path.name} is not a regular file")
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise PromptError("prompt.not_found", f"there is no {path.name}", cure="check the path") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PromptError("prompt.bad_entry", f"{path.name} is a link", cure="copy the file itself") from None
        raise PromptError("prompt.unreadable", f"cannot read {path.name}: {error.strerror}") from None
    if len(data) > max_bytes:
        raise _too_large(path.name, max_bytes)
    return data


def _check_end(data: bytes) -> None:
    """Bound the zip's directory before anybody parses it; a comment or the 64-bit form is never needed here."""
    if not data.startswith(b"PK"):
        message = "this is no saved prompt, which is a folder, or a zip file of it"
        raise PromptError("prompt.bad_archive", message, cure="softprompt tune makes one; softprompt runs lists them")
    if len(data) < _END.size:
        raise _bad_archive("it is too short")
    signature, _, _, _, entries, directory_bytes, _, comment_bytes = _END.unpack(data[-_END.size :])
    if signature != b"PK\x05\x06" or comment_bytes:
        raise _bad_archive("its end record is missing")
    if data[-_END.size - 20 :].startswith(b"PK\x06\x07"):
        raise _bad_archive("it is in the 64-bit form")
    if entries > _MAX_ENTRIES or directory_bytes > _MAX_DIRECTORY_BYTES:
        raise PromptError("prompt.bad_entry", f"the archive has {entries:,} entries, a saved prompt has two")


def _check_entries(entries: list[zipfile.ZipInfo], *, max_bytes: int) -> None:
    names = [entry.filename for entry in entries]
    if sorted(names) != [MANIFEST, TENSORS]:
        held = ", ".join(map(reprlib.repr, names)) or "nothing"
        message = f"the archive holds {held}; a saved prompt holds {MANIFEST}, {TENSORS}"
        raise PromptError("prompt.bad_entry", message, cure="zip the two files themselves, not their folder")
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise PromptError("prompt.bad_entry", f"{entry.filename} is not a regular file")
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise PromptError("prompt.bad_entry", f"{entry.filename} is encrypted or packed in an unusual way")
        limit = min(MAX_MANIFEST_BYTES, max_bytes) if entry.filename == MANIFEST else max_bytes
        if entry.file_size > limit:
            raise _too_large(entry.filename, limit)
    if sum(entry.file_size for entry in entries) > max_bytes:
        raise _too_large("the content", max_bytes)


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """At most what the directory promised: a bomb is cut off, and the check sum is verified at the end."""
    with archive.open(entry) as file:
        data = file.read(entry.file_size + 1)
    if len(data) != entry.file_size:
        raise _bad_archive(f"{entry.filename} has another size than its directory says")
    return data


def _bad_archive(what: str) -> PromptError:
    return PromptError("prompt.bad_archive", f"not a saved prompt, or a damaged one: {what}")


def _too_large(name: str, max_bytes: int) -> PromptError:
    cure = "pass a larger max_bytes if you trust its origin"
    return PromptError("prompt.too_large", f"{name} has more than {max_bytes:,} bytes", cure=cure)


# ---------------------------------------------------------------- writing


def pack(files: Mapping[str, bytes]) -> bytes:
    """One zip file: stored, names in order, no time in it; equal content gives equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix on every system, or the bytes would differ
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def require_room(path: Path, *, overwrite: bool = False, folder: bool = True, cure: str = _OVERWRITE) -> None:
    """Refuse a place at which something stands that would be lost; asked before the work is done, not after it.

    Args:
        path: Where something is to be written.
        overwrite: Whether a saved prompt there may be replaced.
        folder: Whether a folder is to be written; an empty one may be there.
        cure: What to do.

    Raises:
        PromptError: ``prompt.exists``.
    """
    if not path.exists():
        return
    if not folder:
        if path.is_dir():
            raise _exists(path, " and is a folder")
        if not overwrite:
            raise _exists(path, cure=cure)
        return
    if not path.is_dir():
        raise _exists(path, " and is a file", cure="choose another path, or one that ends in .zip")
    if not _replaceable(path, overwrite=overwrite):
        raise _exists(path, cure=cure)


def write_file(path: Path, data: bytes, *, overwrite: bool) -> None:
    """A file that is whole or not there.

    Raises:
        PromptError: ``prompt.exists``, ``prompt.unwritable``; what stood at ``path`` is untouched.
    """
    with _beside(path) as fresh:
        require_room(path, overwrite=overwrite, folder=False)
        write_new(fresh, data)
        move(fresh, path)


def write_folder(path: Path, files: Mapping[str, bytes], *, overwrite: bool) -> None:
    """A folder that is whole or not there. Only a folder that holds nothing but a saved prompt is ever replaced.

    Raises:
        PromptError: ``prompt.exists``, ``prompt.unwritable``; what stood at ``path`` is untouched.
    """
    with _beside(path) as fresh:
        require_room(path, overwrite=overwrite)
        fresh.mkdir()
        for name, data in files.items():
            write_new(fresh / name, data)
        sync_folder(fresh)
        if not path.exists():
            move(fresh, path)
            return
        # A folder cannot be renamed over another, so the old one steps aside and returns if the new one cannot come.
        old = fresh.with_suffix(".old")
        move(path, old)
        try:
            move(fresh, path)
        except OSError:
            move(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A new name in the target's folder; gone at the end whatever happened, the folder's entries flushed."""
    fresh = beside(path, secrets.token_hex(4))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield fresh
        sync_folder(path.parent)
    except OSError as error:
        raise PromptError("prompt.unwritable", f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if fresh.is_dir():
            shutil.rmtree(fresh, ignore_errors=True)
        else:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)


def _replaceable(folder: Path, *, overwrite: bool) -> bool:
    names = {entry.name for entry in folder.iterdir()}
    if overwrite and (others := sorted(names - {MANIFEST, TENSORS})):
        raise _exists(folder, f" and holds {others[0]!r}, which is no part of a saved prompt")
    return overwrite or not names


def _exists(path: Path, why: str = "", *, cure: str = "choose another path") -> PromptError:
    return PromptError("prompt.exists", f"{path} exists{why}", cure=cure)
