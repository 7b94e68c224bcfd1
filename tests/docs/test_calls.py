"""Calls of our functions in documents: every argument that a page names is one that the function takes."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import softprompt as sp
from softprompt.app.config import RunConfig

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def calls(page: Path) -> list[tuple[str, list[str]]]:
    """Names of our functions that a page calls, with the keywords that it gives them."""
    found = []
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        try:
            tree = ast.parse(block)
        except SyntaxError:  # lines of a session, or with gaps
            continue
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="sp"), attr=name), keywords=keywords):
                    found.append((name, [one.arg for one in keywords if one.arg is not None]))
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if calls(page)], ids=lambda page: page.stem)
def test_every_argument_is_one_that_the_function_takes(page: Path) -> None:
    wrong = []
    for name, keywords in calls(page):
        parameters = inspect.signature(getattr(sp, name)).parameters
        known = set(parameters)
        if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            known |= set(RunConfig.model_fields)
        wrong += [f"sp.{name}({keyword}=...)" for keyword in keywords if keyword not in known]
    assert wrong == []


def test_pages_with_calls_are_found() -> None:
    assert ("curve", ["train", "test", "contenders", "measure"]) in calls(ROOT / "docs" / "learning-curve.md")
