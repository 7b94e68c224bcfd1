"""How a run's settings describe a template: as text, as a chat, or only by where the soft tokens stand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, model_validator

from softprompt.core.config import Settings
from softprompt.core.errors import ConfigError, ModelError, TemplateError
from softprompt.core.tokens import Tokenizer
from softprompt.model.templates.chat import Chat, freeze_chat
from softprompt.model.templates.parts import Slot, unparse
from softprompt.model.templates.presets import KEPT, Place
from softprompt.model.templates.template import Keep, Template
from softprompt.model.templates.turns import freeze_turns
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
    turns: Literal["auto", "chat", "lines"] = Field(
        "auto",
        description="preset of dialogue: in the model's chat format, or lines User: and Assistant:; "
        "auto takes the chat format where the model has one",
    )
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
        if self.turns != "auto" and (self.text is not None or self.chat is not None):
            raise ValueError("turns: only for a preset; a template of your own reads the conversation as lines")
        # the settings of a run are written whole and read again: what says nothing contradicts nothing
        fields = type(self).model_fields
        of_preset = [name for name in ("length", "place", "start_text") if getattr(self, name) != fields[name].default]
        if of_preset and (self.text is not None or self.chat is not None):
            raise ValueError(f"{', '.join(of_preset)}: only for a preset; write <soft 20> where it shall stand")
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
        model: str | None = None,
    ) -> Template:
        """The template of these settings.

        Args:
            kind: Of the task: ``classify``, ``choose`` or ``generate``; only the preset asks.
            fields: Of the data, for the preset.
            tokenizer: Of the model; a chat needs it.
            words: What the task says of itself, for places like ``{task.labels}``; they become the template's own.
            model: Kind of the model, which decides whether there are two sides; None: not known yet, all is taken.

        Raises:
            TemplateError: any fault of the text; ``template.chat`` for a chat without a tokenizer, or around a
                conversation that has turns already; ``template.decoder`` for a mark that the model has no use for.
            ModelError: ``model.no_chat_template``, ``model.chat_template``.
            ConfigError: ``config.invalid`` for turns where there is no conversation.
        """
        keep = self.keep if self.keep is not None else KEPT.get(kind)
        if self.chat is not None:
            if KEPT.get(kind) == "turns":
                message = "a chat of your own would put all turns of a conversation as lines into one turn of the user"
                cure = "leave template.chat out: the preset writes every turn as one, in the model's own chat format"
                raise TemplateError("template.chat", message, cure=f"{cure}; or write template.text for lines")
            if tokenizer is None:
                message = "the turns of a chat become a template only with a model's chat format"
                raise TemplateError("template.chat", message, cure="name the model")
            frozen = freeze_chat(
                self.chat, tokenizer, truncate=self.truncate, keep=keep, strip=self.strip, windows=self.windows
            )
            return _sided(frozen.saying(words or {}), model)
        text = self.text
        if text is None and (found := self._conversation(kind, fields, tokenizer, keep)) is not None:
            return _sided(found.saying(words or {}), model)
        if text is None:
            preset = Template.preset(
                kind,
                place=self.place,
                fields=fields,
                length=self.length,
                start_text=self.start_text,
                model=model or "causal",
            )
            text = str(preset)
        built = Template.parse(text, truncate=self.truncate, keep=keep, strip=self.strip, windows=self.windows)
        return _sided(built.saying(words or {}), model)

    def _conversation(
        self, kind: str, fields: Sequence[str], tokenizer: Tokenizer | None, keep: Keep | dict[str, Keep] | None
    ) -> Template | None:
        """The preset in the model's own chat format; None where turns are lines, or there are none."""
        if KEPT.get(kind) != "turns" or len(fields) != 1:
            if self.turns == "chat":
                message = "template.turns: chat is for conversations in one field"
                raise ConfigError("config.invalid", message, cure="leave it out, or choose kind: dialogue")
            return None
        if self.turns == "lines" or tokenizer is None:
            return None
        slot = Slot(self.length, None, self.start_text) if self.length else None
        try:
            parts, turns = freeze_turns(tokenizer, field=fields[0], slot=slot, before=self.place == "before")
        except ModelError as error:
            if error.code == "model.no_chat_template" and self.turns == "auto":
                return None
            raise ModelError(error.code, error.message, cure="write template.turns: lines") from None
        plain = Template.parse(unparse(parts), truncate=self.truncate, keep=keep, strip=self.strip)
        return replace(plain, turns=turns)


def _sided(template: Template, model: str | None) -> Template:
    return template if model is None else template.for_kind(model)
