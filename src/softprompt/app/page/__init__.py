"""A demonstration's result as one page of HTML: nothing to load, no script, light and dark, narrow and wide.

    render(result.to_dict())

Takes plain data, so a kept ``result.json`` can be drawn again. Knows no models and no recipes.
"""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from softprompt.app.page import charts, words
from softprompt.app.page.view import view

__all__ = ["render"]


def render(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: What :meth:`softprompt.app.demo.DemoResult.to_dict` gives.
    """
    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {name: getattr(words, name) for name in words.__all__}
    environment.globals |= {"axis": charts.axis, "bars": charts.bars, "interval_row": charts.interval_row}
    return environment.get_template("page.html.j2").render({**document, **view(document)})


def _part(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")
