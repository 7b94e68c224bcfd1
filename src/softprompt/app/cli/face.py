"""What a command writes to: its result on stdout (a rendering, or one JSON document), everything else on stderr.

    with Face(as_json=as_json) as face:
        report = recipe(..., face.watcher)
        face.show(report.to_dict(), lambda out: render(out, report))

The ``with`` turns whatever goes wrong inside into one line on stderr and the exit status of the error. Knows no recipe.
"""

import errno
import json
import math
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from softprompt.app.cli.failures import (
    BROKEN_PIPE,
    BUG,
    INTERRUPTED,
    document,
    failure_text,
    status_of,
    stopped,
    usage_error,
    wants_traceback,
)
from softprompt.app.cli.progress import Bars, Lines
from softprompt.app.cli.streams import is_broken_pipe
from softprompt.app.cli.tables import PIPE_WIDTH
from softprompt.app.watch import Watcher
from softprompt.core.errors import ConfigError, ResourceError, SoftpromptError, TrainingError

__all__ = ["Face", "Screen", "to_json"]


#: A file where a folder is wanted, the other way round, or no right to write.
_NO_PLACE = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS)


class Screen(Console):
    """A rich console that takes text literally and leaves a broken pipe to its caller."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, highlight=False, emoji=False)
        if not self.is_terminal and "COLUMNS" not in self._environ:
            self.width = PIPE_WIDTH

    def on_broken_pipe(self) -> None:
        raise

    def say(self, text: str | Text = "", *, style: str | None = None) -> None:
        """One line that the terminal, not rich, wraps: paths and commands can be copied whole."""
        self.print(text, style=style, soft_wrap=True)

    def prose(self, text: str, *, style: str | None = None) -> None:
        """Sentences, folded between words on a terminal and left whole elsewhere."""
        self.print(text, style=style, soft_wrap=not self.is_terminal and "COLUMNS" not in self._environ)

    def say_all(self, *lines: str) -> None:
        """Several lines."""
        for line in lines:
            self.say(line)

    def heading(self, text: str) -> None:
        """A blank line and a heading, folded as prose is."""
        self.say()
        self.prose(text, style="bold")


class Face:
    """One command's mouth.

    Args:
        as_json: One JSON document on stdout instead of a rendering; an error is a document too.
        stream: stdout carries rows, not one document (``predict``).

    Attributes:
        out: stdout.
        err: stderr.
        kept: Asked when a command is cut short: what of its work is kept; empty for nothing.
        before: What was kept before the command did anything.
    """

    def __init__(self, *, as_json: bool = False, stream: bool = False) -> None:
        self.as_json = as_json
        self.stream = stream
        self.out = Screen()
        self.err = Screen(stderr=True)
        self.kept: Callable[[], str] = lambda: ""
        self.before = ""
        self._shown = False

    def keeps(self, kept: Callable[[], str]) -> None:
        """Tell what the run's folder keeps when the command is cut short; what lay there before explains no error."""
        self.kept, self.before = kept, kept()

    @cached_property
    def watcher(self) -> Watcher:
        """Bars on a terminal, lines elsewhere; none where rows already run down the same terminal."""
        if self.stream and self.out.is_terminal:
            return Lines(self.err, every=math.inf)
        return Bars(self.err) if self.err.is_terminal else Lines(self.err)

    def show(self, data: Any, render: Callable[[Screen], None]) -> None:
        """The result: for programs ``data``, for people what ``render`` prints."""
        self.settle()
        if self.as_json:
            self._document(data)
        else:
            render(self.out)

    def _document(self, data: Any) -> None:
        """The one document; what goes wrong after it stands on stderr alone."""
        if not self._shown and not self.stream:
            self._shown = True
            self.write(to_json(data, indent=2))

    def write(self, text: str) -> None:
        """A line on stdout as it stands."""
        self.out.file.write(text + "\n")

    def note(self, text: str) -> None:
        """A remark on stderr."""
        self.watcher.note(text)

    def print_error(self, renderable: RenderableType) -> None:
        """Something on stderr, with nothing moving below it."""
        self.settle()
        self.err.print(renderable, soft_wrap=True)

    def cut_short(self, text: str) -> int:
        """Say that Ctrl-C ended it and what is kept; returns the exit status."""
        self.print_error(Text(text, style="yellow"))
        return INTERRUPTED

    def settle(self) -> None:
        """Progress is over."""
        if "watcher" in self.__dict__:
            self.watcher.done()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.settle()
            error = _flush()
        match error:
            case None | typer.Exit() | typer.Abort():
                return
            case KeyboardInterrupt():
                self._stop(self.kept())
            case OSError() if is_broken_pipe(error):
                self.settle()
                raise typer.Exit(BROKEN_PIPE) from None
            case OSError(errno=errno.ENOSPC):
                message = f"no room is left for {error.filename or 'the output'}"
                self._fail(ResourceError("resource.disk_full", message, cure="make room, or write elsewhere"))
            case OSError() if error.filename and error.errno in _NO_PLACE:
                what = f"{error.filename} is no place to write to: {str(error.strerror).lower()}"
                self._fail(ResourceError("resource.write_failed", what, cure="choose another, or mend this one"))
            case OSError(errno=errno.ENAMETOOLONG):
                path = str(error.filename or "")
                message = f"{path[:40]!r}... is no path: it has {len(path):,} characters"
                self._fail(usage_error(message, cure="check the arguments; a text is given with --text"))
            case Exception():
                self._fail(error)

    def _stop(self, kept: str) -> NoReturn:
        status = self.cut_short("; ".join(filter(None, ("stopped", kept))))
        if self.as_json:
            self._document(stopped(kept, status))
        raise typer.Exit(status) from None

    def _fail(self, error: Exception) -> None:
        self.settle()
        if wants_traceback():
            self.err.file.write("".join(traceback.format_exception(error)))
        self.print_error(failure_text(error))
        useless = isinstance(error, ConfigError | TrainingError)  # nothing was done, or it would only happen again
        # on a full disk or machine the same command is the cure, also where this one came no further
        old = "" if isinstance(error, ResourceError) else self.before
        if (kept := self.kept()) != old and kept and not useless:
            self.print_error(Text(kept, style="yellow"))
        if self.as_json:
            self._document(document(error))
        raise typer.Exit(status_of(error) if isinstance(error, SoftpromptError) else BUG) from None


def _flush() -> OSError | None:
    """What goes wrong when the last of stdout is written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def to_json(data: Any, *, indent: int | None = None) -> str:
    """JSON that every reader takes: what is not finite is null, paths and sets are text and lists.

    >>> to_json({"low": float("nan"), "path": Path("a/b"), "n": (1, 2)})
    '{"low": null, "path": "a/b", "n": [1, 2]}'
    """
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    return json.dumps(_plain(data), indent=indent, ensure_ascii=encoding != "utf8", allow_nan=False)


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(inner) for inner in value]
        case Path():
            return str(value)
        case _ if hasattr(value, "tolist"):
            return _plain(value.tolist())
        case _:
            return str(value)
