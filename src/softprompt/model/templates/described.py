"""What a manifest keeps under ``template``: the template, and beside it how long rows are and how texts are read.

Both are decided when a prompt is trained, and whoever asks it later has to do the same. The one place that knows the
keys; knows no files and no prompts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from softprompt.core.errors import TemplateError
from softprompt.model.templates.template import Template

__all__ = ["Described"]


@dataclass(frozen=True)
class Described:
    """A template with what belongs to it in use.

    Attributes:
        template: Fields, slots, answer.
        max_tokens: The longest row; None: as long as the model allows.
        strip_html: Whether HTML in texts became plain text before they were learnt from.

    >>> kept = Described(Template.parse("{question} about {text}: {answer}"), max_tokens=64).to_dict()
    >>> sorted(kept), Described.from_dict(kept).room(32)
    (['keep', 'max_tokens', 'strip', 'text', 'truncate'], 32)
    """

    template: Template
    max_tokens: int | None = None
    strip_html: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest; what says nothing is left out."""
        return {
            **self.template.to_dict(),
            **({} if self.max_tokens is None else {"max_tokens": self.max_tokens}),
            **({"strip_html": True} if self.strip_html else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`; unknown keys are of a later version and mean nothing here.

        Raises:
            TemplateError: ``template.invalid``, ``template.changed``.
        """
        longest, stripped = data.get("max_tokens"), data.get("strip_html", False)
        if longest is not None and (type(longest) is not int or longest < 1):
            message = f"'max_tokens' of a saved template cannot be {longest!r}; allowed: a whole number from 1"
            raise TemplateError("template.invalid", message)
        if not isinstance(stripped, bool):
            message = f"'strip_html' of a saved template cannot be {stripped!r}; allowed: true, false"
            raise TemplateError("template.invalid", message)
        return cls(Template.from_dict(data), longest, stripped)

    def room(self, most: int) -> int:
        """Tokens of a row in a model whose longest row is ``most``."""
        return most if self.max_tokens is None else min(self.max_tokens, most)
