"""One record a request: when, where, how it went, how long it took. Never a text, and no part of one.

Knows no file: what is done with a record is its caller's.
"""

import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

from softprompt.app.http.limits import App, Message, Receive, Send

__all__ = ["RequestLog"]


class RequestLog:
    """ASGI around ASGI that tells ``log`` of every request once it is answered.

    A record holds ``time``, ``method``, ``path`` (the path's pattern, empty for an unknown one: it may be anything),
    ``status``, ``milliseconds``, and where a prompt was asked ``prompts`` and ``texts``, their number.

    Args:
        app: What is behind it.
        log: Told the record.
    """

    def __init__(self, app: App, *, log: Callable[[dict[str, Any]], None]) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0
        state = scope.setdefault("state", {})

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            record = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "method": scope["method"],
                "path": getattr(scope.get("route"), "path", ""),
                "status": status,
                "milliseconds": round(1000 * (time.perf_counter() - begun), 3),
            }
            self.log({**record, **state.get("asked", {})})
