"""A card as HTML: nothing to load, no script, light and dark, narrow and wide; every text is escaped.

    draw(card)    a fragment, for a notebook's output
    page(card)    the same as a page of its own

The sheet asks the notebook for its theme (JupyterLab, VS Code, Colab) and elsewhere follows the reader's system.
"""

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from softprompt.core.cards.card import Card

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["draw", "page"]


def draw(card: Card) -> str:
    """A card with its style sheet.

    >>> html = draw(Card("task", "classify <topic>", facts=(("labels", "billing, delivery"),)))
    >>> "classify &lt;topic&gt;" in html, "<script" in html
    (True, False)
    """
    return _environment().get_template("card.html.j2").render(card=card)


def page(card: Card) -> str:
    """A whole page with the card, whose policy forbids scripts and every request."""
    return _environment().get_template("page.html.j2").render(card=card)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # when a card is drawn, not when a task is made

    return Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _part(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")
