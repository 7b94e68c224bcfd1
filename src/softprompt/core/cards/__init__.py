"""Cards: what a task, a data page, a saved prompt, an evaluation and a run say of themselves, as facts and tables.

A view makes a card of plain data, as ``--json`` shows it; a notebook draws the card as HTML, the command line prints
the same tables. Knows no model, no floor above and no notebook.
"""

from softprompt.core.cards.card import Card, Column, Notice, Table
from softprompt.core.cards.html import draw, page

__all__ = ["Card", "Column", "Notice", "Table", "draw", "page"]
