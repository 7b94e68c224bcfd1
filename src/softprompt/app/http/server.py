"""The process around the application: a socket, a web server, and an end that finishes what has begun.

The socket is bound before the model is loaded, so that a port in use is said at once. Ctrl-C and SIGTERM stop taking
requests, wait for those that are under way, and return; a second Ctrl-C does not wait. Knows uvicorn; no paths.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from softprompt.core.errors import ServingError

__all__ = ["Server", "bind", "url_of"]

#: Seconds that requests under way get at the end.
GRACE = 30


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address, not yet listening; port 0 takes a free one.

    Raises:
        ServingError: ``serving.no_port``.

    >>> with bind("127.0.0.1", 0) as made:
    ...     made.getsockname()[1] > 0
    True
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        message = f"there is no host {host!r}: {getattr(error, 'strerror', None) or error}"
        raise ServingError("serving.no_port", message, cure="--host 127.0.0.1 is this machine alone") from None
    made = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere this option would let two servers share a port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except (OSError, OverflowError) as error:
        made.close()
        message = f"cannot listen at {host}:{port}: {getattr(error, 'strerror', None) or error}"
        raise ServingError("serving.no_port", message, cure="name another --port, or 0 for a free one") from None
    return made


def url_of(bound: socket.socket) -> str:
    """Where clients find a bound socket.

    >>> with bind("127.0.0.1", 0) as made:
    ...     url_of(made).startswith("http://127.0.0.1:")
    True
    """
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """A web server over one bound socket, in the thread that calls :meth:`serve_at`.

    Args:
        app: The application.
        on_ready: Called once requests are taken.
    """

    def __init__(self, app: Any, *, on_ready: Callable[[], None]) -> None:
        settings: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off"}
        super().__init__(uvicorn.Config(app, timeout_graceful_shutdown=GRACE, server_header=False, **settings))
        self._on_ready = on_ready

    def serve_at(self, bound: socket.socket) -> None:
        """Answer until a signal, or :meth:`stop`.

        Raises:
            ServingError: ``serving.no_port``: somebody else took the port meanwhile.
        """
        try:
            bound.listen(self.config.backlog)
        except OSError as error:
            message = f"cannot listen at {url_of(bound)}: {error.strerror}"
            raise ServingError("serving.no_port", message, cure="name another --port, or 0 for a free one") from None
        asyncio.run(self.serve([bound]))

    def stop(self) -> None:
        """Take no more requests, and finish."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, and then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, without raising the signals again afterwards: a server that was asked to end has not failed."""
        try:
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: who started it stops it
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A first signal ends gracefully, Ctrl-C after it at once."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
