"""A bound on what is read of a request, before anything is parsed: ASGI around ASGI.

Knows no application. A body is held until it is whole, so that one that says no length is bounded too.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["BodyLimit"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class BodyLimit:
    """Answers a request whose body is larger than ``max_bytes`` with ``refuse``, and passes on all others.

    Args:
        app: What is behind it.
        max_bytes: Of one body.
        refuse: The application that answers for a body that is too large.
    """

    def __init__(self, app: App, *, max_bytes: int, refuse: App) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.refuse = refuse

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        parts: list[bytes] = []
        size, more = self._announced(scope), True
        while more and size <= self.max_bytes:
            message = await receive()
            if message["type"] != "http.request":  # the client is gone
                return
            parts.append(message.get("body", b""))
            size = max(size, sum(map(len, parts)))
            more = message.get("more_body", False)
        if size > self.max_bytes:
            await self.refuse(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, replay, send)

    @staticmethod
    def _announced(scope: MutableMapping[str, Any]) -> int:
        """The size that the request gives itself; 0 where it gives none."""
        given = dict(scope["headers"]).get(b"content-length", b"0")
        return int(given) if given.isdigit() else 0
