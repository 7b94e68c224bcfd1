"""Templates of chat models: the model's own chat format, rendered once and then part of the template (splice rule 12).

The tokenizer's chat template is asked a single time, with place marks for the texts of the roles. What it writes around
them is the skeleton. It becomes ``{special "..."}`` parts, so that a saved prompt never depends on a later version of
the chat template, nor on the date that some of them write.

Knows chat templates only through :meth:`softprompt.core.tokens.Tokenizer.chat`; executes none itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from softprompt.core.config import Settings
from softprompt.core.errors import TemplateError
from softprompt.core.tokens import Tokenizer
from softprompt.model.templates.grammar import parse
from softprompt.model.templates.parts import Part, Special, unparse
from softprompt.model.templates.template import Keep, Template
from softprompt.model.templates.windows import WindowSettings

__all__ = ["Chat", "freeze_chat"]

_MARK = "SOFTPROMPT{}PLACE"  # letters and digits: survives trimming and is no special token of any model


class Chat(Settings):
    """What stands in each turn, in the template grammar without ``{bos}``."""

    system: str | None = Field(None, description="the system's words; leave it out where a model has no such role")
    user: str = Field(min_length=1, description="the user's turn: fields, words, soft slots")
    assistant: str = Field("{answer}", description="the assistant's turn: it ends in {answer}")

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that the turns read.

        >>> Chat(system="Answer in one word.", user="{title}: {body}").fields
        ('title', 'body')
        """
        turns = {"system": self.system, "user": self.user, "assistant": self.assistant}
        return Template.parse(
            unparse([part for role, text in turns.items() if text for part in _parse(role, text)])
        ).fields


def freeze_chat(
    chat: Chat | Mapping[str, Any],
    tokenizer: Tokenizer,
    *,
    truncate: Sequence[str] | None = None,
    keep: Keep | Mapping[str, Keep] | None = None,
    strip: bool = True,
    windows: WindowSettings | None = None,
) -> Template:
    """The template that a chat becomes with this model.

    Args:
        chat: The turns.
        tokenizer: Of the model, whose chat template is rendered once.
        truncate: As in :class:`Template`.
        keep: As in :class:`Template`.
        strip: As in :class:`Template`.
        windows: As in :class:`Template`.

    Raises:
        TemplateError: the faults of the turns by role; ``template.chat`` when the chat template drops, repeats or
            reorders them.
        ModelError: ``model.no_chat_template``.
        ConfigError: an unknown role.
    """
    turns = Chat.parse(chat)
    prompt = {"system": turns.system, "user": turns.user}
    parts = {role: _parse(role, text) for role, text in prompt.items() if text is not None}
    ending = _parse("assistant", turns.assistant)
    marks = {role: _MARK.format(role.upper()) for role in parts}
    rendered = tokenizer.chat([{"role": role, "content": mark} for role, mark in marks.items()])
    whole: list[Part] = []
    for role, mark in marks.items():
        if rendered.count(mark) != 1:
            message = f"the model's chat template does not write the {role} part exactly once and in order"
            cure = "leave out the system part" if "system" in parts else "write the roles into a template of your own"
            raise TemplateError("template.chat", message, cure=cure)
        before, _, rendered = rendered.partition(mark)
        whole += [Special(before), *parts[role]]
    whole += [Special(rendered), *ending]
    text = unparse([part for part in whole if part != Special("")])
    return Template.parse(text, truncate=truncate, keep=keep, strip=strip, windows=windows)


def _parse(role: str, text: str) -> tuple[Part, ...]:
    try:
        return parse(text, bos=False, answer=role == "assistant")
    except TemplateError as error:
        raise error.at(f"chat.{role}") from None
