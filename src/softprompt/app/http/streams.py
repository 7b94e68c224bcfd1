"""An answer as server-sent events, while it is written.

    data: {"id": ..., "choices": [{"index": 0, "text": "Your parcel", ...}]}
    data: [DONE]

The first event is waited for before anything is sent, so that a request that cannot be answered still gets its status.
A client that goes away ends the writing. Source: https://platform.openai.com/docs/api-reference/streaming
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from fastapi.responses import StreamingResponse

from softprompt.app.http.documents import Stream
from softprompt.app.http.failures import error_document
from softprompt.ops.serving import Completions

__all__ = ["event_stream"]

DONE = "data: [DONE]\n\n"


class _ClientGoneError(Exception):
    """Nobody reads the answer any more."""


async def event_stream(
    write: Callable[[Callable[[str], None]], Future[Completions]], stream: Stream, *, with_usage: bool
) -> StreamingResponse:
    """The response to a request for a stream.

    Args:
        write: Begins to write, telling each piece of text to its argument, from another thread.
        stream: Makes the events.
        with_usage: Whether the last event tells the tokens.

    Raises:
        SoftpromptError: What is wrong before the first piece.
    """
    loop, gone = asyncio.get_running_loop(), threading.Event()
    pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def tell(piece: str | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process ends
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

    def on_text(text: str) -> None:
        if gone.is_set():
            raise _ClientGoneError
        tell(text)

    future = write(on_text)
    future.add_done_callback(lambda _: tell(None))
    first = await pieces.get()
    if first is None and (error := future.exception()) is not None:
        raise error

    async def events() -> AsyncIterator[str]:
        try:
            piece = first
            while piece is not None:
                yield _event(stream.piece(piece))
                piece = await pieces.get()
            if (error := future.exception()) is not None:
                yield _event(error_document(error))
                return
            found = future.result()
            yield _event(stream.end(found.rows[0].finished))
            if with_usage:
                yield _event(stream.usage(found))
            yield DONE
        finally:
            gone.set()

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"
