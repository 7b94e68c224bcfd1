"""``softprompt cache``: files of cached text states."""

from datetime import datetime
from typing import Annotated, Any

import typer

from softprompt.app.cli import options
from softprompt.app.cli.face import Face, Screen
from softprompt.app.cli.failures import usage_error
from softprompt.app.cli.tables import grid
from softprompt.core.words import age, counted, size


def ls(as_json: options.Json = False) -> None:
    """List the files of cached text states: they are customer text, readable by you only."""
    with Face(as_json=as_json) as face:
        from softprompt.app.recipes.cache import cache_list

        found = [file.to_dict() for file in cache_list()]
        face.show(found, lambda out: render(out, found))


def clear(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: options.Json = False,
) -> None:
    """Remove the files of cached text states; those of a run that is under way stay."""
    with Face(as_json=as_json) as face:
        from softprompt.app.recipes.cache import cache_clear, cache_list

        free = [file for file in cache_list() if not file.in_use]
        if free and not yes:
            if as_json or not face.err.is_terminal:
                raise usage_error("nobody is there to be asked", cure="softprompt cache clear --yes")
            typer.confirm(f"remove {described(free)}?", abort=True, err=True)
        removed = [file.to_dict() for file in cache_clear()]
        gone = {file["path"] for file in removed}
        if held := [file for file in free if str(file.path) not in gone]:
            face.note(f"not removed, because a running process has it open: {described(held)}")
        text = f"removed {described(removed)}" if removed else "nothing to remove"
        face.show(removed, lambda out: out.say(text))


def described(files: list[Any]) -> str:
    """How many files, how large."""
    sizes = [file["num_bytes"] if isinstance(file, dict) else file.num_bytes for file in files]
    return f"{counted(len(sizes), 'file')}, {size(sum(sizes))}"


def render(out: Screen, found: list[dict[str, Any]]) -> None:
    """A line a file."""
    if not found:
        out.say("no cached states")
        return
    table = grid("file", "size", "written", "", numbers=(1,))
    for file in found:
        what = "in use" if file["in_use"] else "kept" if file["kept"] else "left by a run that was killed"
        table.add_row(file["path"], size(file["num_bytes"]), age(datetime.fromisoformat(file["changed"])), what)
    out.print(table)
    out.say()
    out.say(f"{described(found)}; softprompt cache clear removes what is not in use")
