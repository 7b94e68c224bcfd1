"""softprompt.json: what an export keeps beside the numbers, so that it comes back as the prompt that it was.

Other programs need not read it. It holds the prompt's manifest, the names and shapes of its tensors, where in the
exported numbers its slots stand, and check sums: numbers that were changed since are imported as what they are, without
the scores of those before. Bounded and strict as a manifest.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softprompt.core.errors import PromptError
from softprompt.model.prompts.document import MAX_MANIFEST_BYTES, decode_document, encode_document
from softprompt.model.prompts.manifest import Manifest
from softprompt.model.prompts.storage import read_file

__all__ = ["SIDECAR", "Sidecar", "digest", "format_at", "read_part"]

SIDECAR = "softprompt.json"
_VERSION = 1

#: What the numbers of an export may be called: in the folder itself, and nowhere else.
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True)
class Sidecar:
    """The content of softprompt.json.

    Attributes:
        format: Name of the format.
        manifest: Of the exported prompt.
        files: Check sum (SHA-256) by file of numbers.
        tensors: What each tensor is called, by file: ``{"file", "dtype", "shape"}`` by name.
        opening: Which of the numbers are words and which slots, in order.
    """

    format: str
    manifest: Manifest
    files: Mapping[str, str]
    tensors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    opening: Sequence[Mapping[str, Any]] = ()

    def encode(self) -> bytes:
        """Bytes of the file."""
        document = {
            "softprompt_export": _VERSION,
            "format": self.format,
            "byte_order": "little",
            "files": dict(self.files),
            "tensors": {name: dict(one) for name, one in self.tensors.items()},
            "opening": [dict(one) for one in self.opening],
            "manifest": self.manifest.to_dict(),
        }
        return encode_document({key: value for key, value in document.items() if value != {} and value != []})

    @classmethod
    def load(cls, folder: Path) -> "Sidecar | None":
        """What stands in a folder; None where softprompt did not write it.

        Raises:
            PromptError: ``prompt.bad_manifest``, ``prompt.unknown_schema``, ``prompt.unknown_requirement``.
        """
        if not (folder / SIDECAR).exists():
            return None
        document = decode_document(read_file(folder / SIDECAR, max_bytes=MAX_MANIFEST_BYTES), name=SIDECAR)
        if document.get("softprompt_export") != _VERSION:
            message = f"{SIDECAR} is of version {document.get('softprompt_export')!r}, this release reads {_VERSION}"
            raise PromptError("prompt.unknown_schema", message, cure="upgrade softprompt")
        match document:
            case {"format": str(format), "manifest": dict(manifest)}:
                files, tensors = document.get("files", {}), document.get("tensors", {})
                opening = document.get("opening", [])
                if _are_files(files) and _are_tensors(tensors) and _is_opening(opening):
                    return cls(format, Manifest.from_dict(manifest), files, tensors, opening)
        raise PromptError("prompt.bad_manifest", f"{SIDECAR} does not describe an export", cure="export again")

    def changed(self, contents: Mapping[str, bytes]) -> bool:
        """Whether files are no longer those that were written."""
        return any(self.files.get(name) != digest(data) for name, data in contents.items())


def digest(data: bytes) -> str:
    """Check sum of a file.

    >>> digest(b"")[:12]
    'e3b0c44298fc'
    """
    return hashlib.sha256(data).hexdigest()


def format_at(folder: Path) -> str | None:
    """The format that a folder's softprompt.json names; None where there is none.

    Raises:
        PromptError: ``prompt.bad_manifest``: it is no JSON.
    """
    if not (folder / SIDECAR).is_file():
        return None
    return str(decode_document(read_file(folder / SIDECAR, max_bytes=MAX_MANIFEST_BYTES)).get("format"))


def read_part(folder: Path, name: str, *, max_bytes: int) -> bytes:
    """A file that has to be there for the folder to be whole.

    Raises:
        PromptError: ``prompt.incomplete``, and what :func:`read_file` raises.
    """
    if not (folder / name).exists():
        held = ", ".join(sorted(one.name for one in folder.iterdir())[:6]) or "nothing"
        message = f"{folder} is not whole: it lacks {name}; it holds {held}"
        raise PromptError("prompt.incomplete", message, cure="copy or write the folder again")
    return read_file(folder / name, max_bytes=max_bytes)


def _are_files(files: Any) -> bool:
    return isinstance(files, dict) and all(_FILE.fullmatch(k) and isinstance(v, str) for k, v in files.items())


def _are_tensors(tensors: Any) -> bool:
    def is_one(entry: Any) -> bool:
        match entry:
            case {"file": str(file), "dtype": str(), "shape": [*shape]}:
                return bool(_FILE.fullmatch(file)) and all(type(size) is int and size > 0 for size in shape)
        return False

    return isinstance(tensors, dict) and all(is_one(entry) for entry in tensors.values())


def _is_opening(opening: Any) -> bool:
    def is_one(entry: Any) -> bool:
        match entry:
            case {"slot": str(), "length": int(length)} | {"words": int(length)}:
                return length > 0
        return False

    return isinstance(opening, list) and all(is_one(entry) for entry in opening)
