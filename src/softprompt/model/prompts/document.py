"""manifest.json as bytes: strict, bounded JSON, a seal, and migrations from older layouts.

Stricter than JSON where readers disagree: no key twice, no NaN or infinity, nothing that is not Unicode. What decides
an answer is under seal, so that a damaged label or template is noticed as damaged tensors are; what people may write
by hand (name, author, licence, notes) and keys of other versions are not. Migrations are pure functions from layout n
to n + 1 in one table; the chain runs on reading, and only the newest layout is written.
"""

import hashlib
import json
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from softprompt.core.errors import PromptError
from softprompt.model.prompts.manifest import SCHEMA

__all__ = [
    "MAX_MANIFEST_BYTES",
    "MIGRATIONS",
    "Migration",
    "check_seal",
    "decode_document",
    "encode_document",
    "migrate",
    "seal",
]

MAX_MANIFEST_BYTES = 4 * 2**20

#: What decides an answer, beside the tensors.
_SEALED = ("requires", "task", "template", "answers", "placement", "routes", "ensemble")

#: The whole content of manifest.json in layout n -> in layout n + 1.
Migration = Callable[[dict[str, Any]], dict[str, Any]]

#: By the layout they start from. Empty until there is a second layout.
MIGRATIONS: Mapping[int, Migration] = {}


def encode_document(document: Mapping[str, Any]) -> bytes:
    """Bytes of manifest.json, the same for equal content.

    Raises:
        PromptError: ``prompt.bad_manifest`` for what JSON or Unicode cannot hold.
    """
    try:
        return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise PromptError("prompt.bad_manifest", f"the manifest cannot be written as JSON: {error}") from None


def decode_document(data: bytes, *, name: str = "the manifest") -> dict[str, Any]:
    """Content of manifest.json, or of another file that holds one object.

    Args:
        data: Of the file.
        name: What it is called in messages.

    Raises:
        PromptError: ``prompt.too_large``, ``prompt.bad_manifest``.

    >>> decode_document(b'{"schema": 1, "schema": 2}')
    Traceback (most recent call last):
    softprompt.core.errors.PromptError: the manifest is not valid JSON: key 'schema' stands twice ...
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise PromptError("prompt.too_large", f"{name} has {len(data):,} bytes, at most {MAX_MANIFEST_BYTES:,}")
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
        )
        json.dumps(document, ensure_ascii=False).encode()  # a lone surrogate could be read, but never written again
    except RecursionError:
        raise PromptError("prompt.bad_manifest", f"{name} is nested too deeply") from None
    except ValueError as error:  # UnicodeError and JSONDecodeError are ValueErrors
        raise PromptError(
            "prompt.bad_manifest", f"{name} is not valid JSON: {error}", cure="restore the file from a copy"
        ) from None
    if not isinstance(document, dict):
        raise PromptError("prompt.bad_manifest", f"{name} is a {type(document).__name__}, an object is needed")
    return document


def migrate(
    document: dict[str, Any], *, migrations: Mapping[int, Migration] = MIGRATIONS, newest: int = SCHEMA
) -> dict[str, Any]:
    """The document in the newest layout.

    Raises:
        PromptError: ``prompt.unknown_schema`` for a layout from the future, or one nobody can migrate.

    >>> migrate({"schema": 1, "title": "a"}, newest=2, migrations={1: lambda old: {"name": old["title"]}})
    {'name': 'a', 'schema': 2}
    """
    schema = document.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise PromptError(
            "prompt.unknown_schema", f"the manifest's schema is {reprlib.repr(schema)}, a number is needed"
        )
    if schema > newest:
        message = f"the prompt has schema {schema}, this version reads up to {newest}"
        raise PromptError("prompt.unknown_schema", message, cure="upgrade softprompt")
    for step in range(schema, newest):
        if step not in migrations:
            raise PromptError("prompt.unknown_schema", f"no migration from schema {step}; this version writes {newest}")
        document = {**migrations[step](document), "schema": step + 1}
    return document


def seal(document: Mapping[str, Any], keys: Iterable[str] = _SEALED) -> dict[str, Any]:
    """The check sum of these keys, with the names of those that are there.

    >>> seal({"task": {}, "name": "tone"})["keys"]
    ['task']
    """
    sealed = {key: document[key] for key in keys if key in document}
    text = json.dumps(sealed, sort_keys=True, separators=(",", ":"))
    return {"keys": list(sealed), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def check_seal(document: Mapping[str, Any], sealed: Any) -> None:
    """Compare a document with the seal that it was saved with; one without (None) passes.

    Raises:
        PromptError: ``prompt.corrupted``.
    """
    match sealed:
        case None:
            return
        case {"keys": [*keys], "sha256": str()} if all(isinstance(key, str) for key in keys):
            if seal(document, keys) == sealed:
                return
    raise PromptError(
        "prompt.corrupted",
        "the task, the template or the answers in manifest.json are not those that were saved: their check sum differs",
        cure="restore both files from a copy, or remove manifest.json under 'files' if you changed them yourself",
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {reprlib.repr(key)} stands twice")
        result[key] = value
    return result


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value
