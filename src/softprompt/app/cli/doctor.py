"""``softprompt doctor``: whether this machine and installation can do the work."""

from typing import Any

import typer
from rich.text import Text

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.failures import BUG
from softprompt.core.words import counted

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(as_json: options.Json = False) -> None:
    """Check Python, packages, processor, memory, disk and the embedded model; each line with its cure.

    The exit status is 1 when a check fails.
    """
    with Face(as_json=as_json) as face:
        from softprompt.app.recipes.doctor import doctor as look

        found = [check.to_dict() for check in look(face.watcher)]
        face.show(found, lambda out: render(out, found))
        if any(check["status"] == "fail" for check in found):
            raise typer.Exit(BUG)


def render(out: Screen, found: list[dict[str, Any]]) -> None:
    """A line a check, its cure below."""
    width = max(len(check["name"]) for check in found)
    for check in found:
        line = Text(f"{check['status']:<4}", style=STYLES[check["status"]])
        line.append(f"  {check['name']:<{width}}  {check['found']}", style="default not bold")
        out.say(line)
        if check["cure"]:
            out.say(f"{'':<{width + 8}}{check['cure']}", style="cyan")
    counts = {status: sum(check["status"] == status for check in found) for status in STYLES}
    out.say()
    if counts["fail"]:
        out.say(f"{counted(counts['fail'], 'check')} failed: runs may not work", style="bold red")
    else:
        warned = f", {counted(counts['warn'], 'warning')}" if counts["warn"] else ""
        out.say(f"all is well{warned}", style="green")
