"""A demonstration's result as one page of HTML: nothing to load, no script, light and dark, narrow and wide.

    render(result.to_dict())

The sheet, the pictures and the words are those of every page of the package (``templates``).

Takes plain data, so a kept ``result.json`` can be drawn again. Knows no models and no recipes.
"""

from collections.abc import Mapping
from typing import Any

from softprompt.app.page.templates import environment
from softprompt.app.page.view import view

__all__ = ["render"]


def render(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: What :meth:`softprompt.app.demo.DemoResult.to_dict` gives.
    """
    return environment().get_template("page.html.j2").render({**document, **view(document)})
