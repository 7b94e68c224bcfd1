"""Text to row trees: the template grammar, soft slots, answers, truncation and chat skeletons.

Needs neither torch nor transformers; tokens come from any :class:`softprompt.core.tokens.Tokenizer`.
"""

from softprompt.model.templates.chat import Chat, freeze_chat
from softprompt.model.templates.described import Described
from softprompt.model.templates.parts import escape
from softprompt.model.templates.rows import Lengths, RowBuilder
from softprompt.model.templates.segments import SlotSpec
from softprompt.model.templates.settings import TemplateSettings
from softprompt.model.templates.show import TemplateView, show
from softprompt.model.templates.template import Template

__all__ = [
    "Chat",
    "Described",
    "Lengths",
    "RowBuilder",
    "SlotSpec",
    "Template",
    "TemplateSettings",
    "TemplateView",
    "escape",
    "freeze_chat",
    "show",
]
