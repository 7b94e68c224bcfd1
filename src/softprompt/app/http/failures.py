"""Errors as HTTP: a status, and OpenAI's error object with our codes.

    {"error": {"message": "no prompt is called 'topik'; ...", "type": "invalid_request_error", "param": null,
               "code": "serving.unknown_prompt"}}

Knows the tree of errors; no web framework.
"""

from typing import Any

from softprompt.core.errors import (
    ConfigError,
    DataError,
    ModelError,
    ServingError,
    SoftpromptError,
    TemplateError,
)

__all__ = ["error_document", "status_of"]

#: Characters of a message; what came is part of many, and may be long.
LONGEST = 1000

_STATUS = {
    "data.bad_json": 400,
    "serving.busy": 503,
    "serving.stopping": 503,
    "serving.too_large": 413,
    "serving.unknown_path": 404,
    "serving.unknown_prompt": 404,
}

#: What a request can bring about; everything else is a fault of the server's.
_OF_THE_REQUEST = (ConfigError, DataError, TemplateError, ModelError, ServingError)


def status_of(error: BaseException) -> int:
    """HTTP status of an error.

    >>> status_of(ServingError("serving.unknown_prompt", "no such prompt")), status_of(KeyError("x"))
    (404, 500)
    """
    if not isinstance(error, SoftpromptError):
        return 500
    return _STATUS.get(error.code, 400 if isinstance(error, _OF_THE_REQUEST) else 500)


def error_document(error: BaseException) -> dict[str, Any]:
    """OpenAI's error object; of a fault of ours it says the kind only, because its text may hold the user's.

    >>> error_document(ServingError("serving.busy", "256 requests wait already", cure="ask again"))["error"]["message"]
    '256 requests wait already; ask again'
    """
    if isinstance(error, SoftpromptError):
        where = "".join(f"{part}: " for part in error.context)
        cure = f"; {error.cure}" if error.cure else ""
        message, code = f"{where}{error.message}{cure}", error.code
    else:
        message, code = f"{type(error).__name__}: this is a bug of softprompt, please report it", "bug"
    message = message if len(message) <= LONGEST else message[: LONGEST - 1] + "…"
    kind = "invalid_request_error" if status_of(error) < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
