"""How a command ends when it cannot go on: one line on stderr, and an exit status that says what kind of fault it was.

A fault of the user's has a code, a cause and a cure (:mod:`softprompt.core.errors`). Anything else is a fault of ours,
and says how to see the traceback.
"""

import os
from typing import TYPE_CHECKING, Any

from softprompt.core.errors import ConfigError, SoftpromptError

if TYPE_CHECKING:
    from rich.text import Text

__all__ = [
    "BROKEN_PIPE",
    "BUG",
    "INTERRUPTED",
    "LIMIT",
    "document",
    "failure_text",
    "status_of",
    "stopped",
    "usage_error",
    "wants_traceback",
]

INTERRUPTED = 130  #: Ctrl-C, as shells count it: 128 + SIGINT
LIMIT = 10  #: everything went well, and a score does not keep a limit of ``--fail-under``
BROKEN_PIPE = 141  #: the reader of a pipe is gone: 128 + SIGPIPE
BUG = 1

_REPORT = "this is a bug of softprompt; SOFTPROMPT_TRACEBACK=1 shows where, please report it"


def wants_traceback() -> bool:
    """Whether the user asked for tracebacks."""
    return os.environ.get("SOFTPROMPT_TRACEBACK", "") not in {"", "0"}


def status_of(error: BaseException) -> int:
    """The exit status of an error.

    >>> status_of(ConfigError("config.invalid", "steps: must be positive")), status_of(KeyError("x"))
    (2, 1)
    """
    return error.exit_status if isinstance(error, SoftpromptError) else BUG


def usage_error(message: str, *, cure: str | None = None) -> ConfigError:
    """A command line that cannot be understood.

    >>> print(usage_error("--set steps: a value is missing", cure="write --set training.steps=100"))
    --set steps: a value is missing [config.usage]; write --set training.steps=100
    """
    return ConfigError("config.usage", message, cure=cure)


def failure_text(error: BaseException) -> "Text":
    """The line for people: ``error: where: what [code]; cure``; further lines of a message stand below, indented."""
    from rich.text import Text

    text = Text("error: ", style="bold red")
    if not isinstance(error, SoftpromptError):
        reason = " ".join(str(error).split())
        return text.append(f"{type(error).__name__}{f': {reason}' if reason else ''} [bug]; {_REPORT}", style="default")
    where = "".join(f"{part}: " for part in error.context)
    first, *rest = error.message.rstrip().split("\n")
    text.append(f"{where}{first}", style="default not bold").append(f" [{error.code}]", style="cyan not bold")
    for line in rest:
        text.append(f"\n  {line.removeprefix('  ')}", style="default not bold")
    if error.cure:
        text.append("\n  " if rest else "; ", style="default not bold").append(error.cure, style="green not bold")
    return text


def document(error: BaseException) -> dict[str, Any]:
    """The same for programs.

    >>> document(ConfigError("config.invalid", "steps: must be positive").at("run.yaml"))["error"]["where"]
    ['run.yaml']
    """
    if isinstance(error, SoftpromptError):
        said = {"code": error.code, "message": error.message, "cure": error.cure, "where": list(error.context)}
    else:
        said = {"code": "bug", "message": f"{type(error).__name__}: {error}", "cure": _REPORT, "where": []}
    return {"error": {**said, "exit_status": status_of(error)}}


def stopped(kept: str, exit_status: int = INTERRUPTED) -> dict[str, Any]:
    """What Ctrl-C leaves for programs: the form of an error, with what is kept as its cure.

    >>> stopped("runs/a keeps 2 lines")["error"]["cure"]
    'runs/a keeps 2 lines'
    """
    said: dict[str, Any] = {"code": "stopped", "message": "stopped with Ctrl-C", "cure": kept or None, "where": []}
    return {"error": {**said, "exit_status": exit_status}}
