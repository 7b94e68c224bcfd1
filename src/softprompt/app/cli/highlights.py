"""An explained answer for people: the text with the words that decided, then these with their weights.

Colours tell on a terminal; the list of words says the same without them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from softprompt.core.words import percent

if TYPE_CHECKING:
    from softprompt.lab.explanation import Explanation, Word

__all__ = ["explained", "highlighted"]

SHOWN = 5  #: words that are listed for an answer, and against it
FAINT = 0.15  #: of the strongest weight: words below are not marked
STRONG = 0.5  #: of the strongest weight: words above are bold


def explained(
    name: str, explanation: "Explanation", fields: Mapping[str, str], *, withheld: bool = False
) -> list[Text]:
    """The lines for one answer to one row.

    Args:
        name: Of the prompt; empty for the only one.
        explanation: Which words decided.
        fields: The texts as they came.
        withheld: Whether the answer is too unsure to be given.
    """
    head = Text(f"{name}: " if name else "").append(explanation.answer, style="bold")
    head.append(f" {percent(explanation.probability)}" + (", withheld" if withheld else ""))
    texts = [highlighted(text, [w for w in explanation.words if w.field == field]) for field, text in fields.items()]
    for_it = [f"{word.text} {word.weight:+.2f}" for word in explanation.decisive(SHOWN)]
    weakest = sorted((word for word in explanation.words if word.weight < 0), key=lambda word: word.weight)[:SHOWN]
    against = [f"{word.text} {word.weight:+.2f}" for word in weakest]
    sides = (("for    ", for_it), ("against", against))
    listed = [Text(f"  {side} {', '.join(words)}") for side, words in sides if words]
    return [head, *(Text("  ").append_text(text) for text in texts), *listed]


def highlighted(text: str, words: "Sequence[Word]") -> Text:
    """A text with its words marked: green for the answer, red against it, bold where they decided most."""
    marked = Text(text)
    strongest = max((abs(word.weight) for word in words), default=0.0)
    for word in words:
        part = abs(word.weight) / strongest if strongest else 0.0
        if part >= FAINT:
            colour = "green" if word.weight > 0 else "red"
            style = f"bold {colour} reverse" if part >= STRONG else colour
            marked.stylize(style, word.start, word.start + len(word.text))
    return marked
