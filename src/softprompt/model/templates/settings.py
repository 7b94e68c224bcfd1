"""How a run's settings describe a template: as text, as a chat, or only by where the soft tokens stand."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator

from softprompt.core.config import Settings
from softprompt.core.errors import TemplateError
from softprompt.core.tokens import Tokenizer
from softprompt.model.templates.chat import Chat, freeze_chat
from softprompt.model.templates.presets import KEPT, Place
from softprompt.model.templates.template import Keep, Template
from softprompt.model.templates.windows import WindowSettings

__all__ = ["TemplateSettings"]


#: How names begin that stand for words of the task, and not for fields of the data.
OF_TASK = "task."


class TemplateSettings(Settings):
    """The ``template:`` of a run; a plain text stands for ``{text: ...}``.

    >>> str(TemplateSettings.parse("{text}<soft 8> It was {answer}").build("classify"))
    '{text}<soft 8> It was {answer}'
    >>> str(TemplateSettings.parse({"place": "before"}).build("classify", fields=["body"]))
    '{bos}<soft 20>{body} It was {answer}'
    """

    text: str | None = Field(None, description="the template; without it and chat, the preset of the task kind")
    chat: Chat | None = Field(None, description="turns of a chat model, instead of text")
    place: Place = Field("after", description="preset: soft tokens before or after the text")
    length: int = Field(20, ge=0, description="preset: number of soft tokens")
    start_text: str | None = Field(None, description="preset: text that the soft tokens start from")
    truncate: tuple[str, ...] | None = Field(None, description="fields that may be cut, first one first; default: all")
    keep: Keep | dict[str, Keep] | None = Field(
        None, description="end that survives a cut, windows, or turns of a conversation; for all or by field"
    )
    windows: WindowSettings | None = Field(None, description="how keep: windows divides a text")
    strip: bool = Field(True, description="drop white space around the text of a field")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_kind(self) -> "TemplateSettings":
        if self.text is not None and self.chat is not None:
            raise ValueError("text and chat exclude each other")
        of_preset = {"place", "length", "start_text"} & self.model_fields_set
        if of_preset and (self.text is not None or self.chat is not None):
            raise ValueError(f"{', '.join(sorted(of_preset))}: only for a preset; write <soft 20> where it shall stand")
        return self

    @classmethod
    def parse(cls, data: "Mapping[str, Any] | TemplateSettings | str", *, where: str = "") -> "TemplateSettings":
        """As :meth:`Settings.parse`, also from the template's text alone."""
        return super().parse({"text": data} if isinstance(data, str) else data, where=where)

    def fields(self, kind: str) -> tuple[str, ...] | None:
        """What a written template reads; None for the preset, which reads what the data has.

        >>> TemplateSettings.parse("{title}: {body} It was {answer}").fields("classify")
        ('title', 'body')
        """
        if self.chat is None and self.text is None:
            return None
        found = self.build(kind).fields if self.chat is None else self.chat.fields
        return tuple(name for name in found if not name.startswith(OF_TASK))

    def build(
        self,
        kind: str,
        *,
        fields: Sequence[str] = ("text",),
        tokenizer: Tokenizer | None = None,
        words: Mapping[str, str] | None = None,
    ) -> Template:
        """The template of these settings.

        Args:
            kind: Of the task: ``classify``, ``choose`` or ``generate``; only the preset asks.
            fields: Of the data, for the preset.
            tokenizer: Of the model; a chat needs it.
            words: What the task says of itself, for places like ``{task.labels}``; they become the template's own.

        Raises:
            TemplateError: any fault of the text; ``template.chat`` for a chat without a tokenizer.
            ModelError: ``model.no_chat_template``.
        """
        keep = self.keep if self.keep is not None else KEPT.get(kind)
        if self.chat is not None:
            if tokenizer is None:
                message = "the turns of a chat become a template only with a model's chat format"
                raise TemplateError("template.chat", message, cure="name the model")
            frozen = freeze_chat(
                self.chat, tokenizer, truncate=self.truncate, keep=keep, strip=self.strip, windows=self.windows
            )
            return frozen.saying(words or {})
        text = self.text
        if text is None:
            preset = Template.preset(
                kind, place=self.place, fields=fields, length=self.length, start_text=self.start_text
            )
            text = str(preset)
        built = Template.parse(text, truncate=self.truncate, keep=keep, strip=self.strip, windows=self.windows)
        return built.saying(words or {})
