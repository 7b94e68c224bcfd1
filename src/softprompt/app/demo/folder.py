"""The folder that a demonstration leaves: prompts, the page, the numbers, and a list of what is there.

A folder of something else is never written into.
"""

import json
from pathlib import Path

from softprompt.app.demo.result import DemoResult
from softprompt.app.page import render
from softprompt.core.errors import ConfigError, ResourceError
from softprompt.core.files import portable_name

__all__ = ["NUMBERS", "PAGE", "check_folder", "folder_name", "write"]

PAGE, NUMBERS, LISTING = "result.html", "result.json", "README.md"


def check_folder(folder: Path) -> None:
    """Refuse a place that holds something else, before any work is done.

    Raises:
        ConfigError: ``config.invalid``.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError("config.invalid", f"output: {folder} is a file", cure="name another folder: --output")
    if folder.is_dir() and not (folder / NUMBERS).is_file() and not all(map(_is_prompt, folder.iterdir())):
        message = f"output: {folder} holds something that is no demonstration"
        raise ConfigError("config.invalid", message, cure="name another folder: --output")


def _is_prompt(path: Path) -> bool:
    """Whether this is a saved prompt: what a demonstration that was cut short leaves."""
    return (path / "manifest.json").is_file()


def folder_name(target: str, taken: set[str]) -> str:
    """A name for the folder of a question's prompt, unlike those taken.

    >>> folder_name("topic", set()), folder_name("Is it urgent?", set()), folder_name("a/b", {"a-b"})
    ('topic', 'Is-it-urgent', 'a-b-2')
    """
    words = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in target).split()
    name = portable_name("-".join(words)[:60] or "prompt")
    found, number = name, 1
    while found.casefold() in {one.casefold() for one in (*taken, PAGE, NUMBERS, LISTING)}:
        number += 1
        found = f"{name}-{number}"
    return found


def write(result: DemoResult) -> None:
    """The page, the numbers and the listing; the prompts stand there already.

    Raises:
        ResourceError: ``resource.write_failed``.
    """
    document = result.to_dict()
    texts = {
        PAGE: render(document),
        NUMBERS: json.dumps(document, indent=1, ensure_ascii=False) + "\n",
        LISTING: _listing(result),
    }
    for name, text in texts.items():
        path = result.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            message = f"{path} cannot be written: {error.strerror or error}"
            raise ResourceError("resource.write_failed", message, cure="name another folder: --output") from None


def _listing(result: DemoResult) -> str:
    """What lies in the folder, and what to do with it."""
    lines = [
        "# softprompt demo",
        "",
        f"Prompts learnt from {result.source} with the frozen model `{result.model['name']}`.",
        "",
        f"- `{PAGE}`: the result as a page",
        f"- `{NUMBERS}`: the same as numbers",
    ]
    for one in result.questions:
        lines.append(f"- `{one.prompt.name}/`: the prompt for {one.target} ({', '.join(one.labels[:6])})")
    lines += ["", "A prompt is two files, a manifest to read and a few kilobytes of numbers. Next:", ""]
    for command in result.commands:
        lines += [f"    # {command.purpose}", f"    {command.line}", ""]
    return "\n".join(lines)
