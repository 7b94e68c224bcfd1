"""A template: parts, how fields are cut when a row is too long, and what follows from where the soft slots stand.

Knows nothing of tokens and tasks; :mod:`softprompt.model.templates.rows` makes rows of it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self, get_args

from softprompt.core.errors import ConfigError, TemplateError, nearest
from softprompt.model.templates.grammar import parse
from softprompt.model.templates.parts import (
    AnswerPlace,
    Decoder,
    Field,
    OptionalPart,
    Part,
    Slot,
    Special,
    Words,
    unparse,
)
from softprompt.model.templates.presets import Place, preset_text
from softprompt.model.templates.segments import SlotSpec, assemble, name_slots, resolve
from softprompt.model.templates.turns import Turns
from softprompt.model.templates.windows import WindowSettings

__all__ = ["Keep", "Placement", "Template"]

Keep = Literal["head", "tail", "head+tail", "windows", "turns"]
Placement = Literal["none", "before", "between", "after"]


@dataclass(frozen=True)
class Template:
    """Text with fields, soft slots and an answer.

    Attributes:
        parts: What the text consists of, in order.
        truncate: The fields that may be cut when a row is too long, the first one first; None lets all be cut, the
            longest first.
        keep: Which end of a field survives a cut; ``head`` where none is named, ``windows`` for one field at most,
            ``turns`` for conversations.
        strip: Whether white space around a field's text is dropped.
        windows: How a field that is read in windows is divided; for such a template only.
        turns: What a chat format writes around the turns of the template's only field, a conversation.

    >>> template = Template.parse('{text}<soft 20 "the topic is"> It was {answer}', keep="tail")
    >>> template.fields, template.placement, template.slots["soft"].length
    (('text',), 'after', 20)
    >>> Template.from_dict(template.to_dict()) == template
    True
    """

    parts: tuple[Part, ...]
    truncate: tuple[str, ...] | None = None
    keep: Mapping[str, Keep] = field(default_factory=dict, hash=False)
    strip: bool = True
    windows: WindowSettings | None = None
    turns: Turns | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for setting, names in (("truncate", self.truncate or ()), ("keep", self.keep)):
            for name in names:
                if name not in self.fields:
                    message = (
                        f"{setting} names {name!r}, which is no field of the template; {nearest(name, self.fields)}"
                    )
                    raise TemplateError("template.unknown_field", message)
        if self.turns is not None and len(self.fields) != 1:
            message = f"the turns of a conversation are one field, the template has {len(self.fields)}"
            raise TemplateError("template.invalid", message)
        windowed = [name for name, kept in self.keep.items() if kept == "windows"]
        if len(windowed) > 1:
            message = f"only one field can be read in windows, keep asks it of {', '.join(windowed)}"
            raise TemplateError("template.windows", message, cure=f"write keep: {{{windowed[0]}: windows}}")
        if self.windows is not None and not windowed:
            message = "windows are described, and no field is read in them"
            raise TemplateError("template.windows", message, cure="add keep: windows, or leave windows out")
        if windowed and self.windows is None:
            object.__setattr__(self, "windows", WindowSettings())

    @cached_property
    def windowed(self) -> str | None:
        """The field that is read in windows where it is too long; None where there is none."""
        return next((name for name, kept in self.keep.items() if kept == "windows"), None)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        truncate: Sequence[str] | None = None,
        keep: Keep | Mapping[str, Keep] | None = None,
        strip: bool = True,
        windows: WindowSettings | None = None,
    ) -> Self:
        """A template from its text; ``keep`` as one word holds for all fields.

        Raises:
            TemplateError: whatever :func:`softprompt.model.templates.grammar.parse` finds; ``template.unknown_field``,
                ``template.invalid``, ``template.windows``.
        """
        template = cls(parse(text), strip=strip)
        by_field = dict.fromkeys(template.fields, keep) if isinstance(keep, str) else dict(keep or {})
        order = None if truncate is None else tuple(truncate)
        return replace(template, truncate=order, keep=by_field, windows=windows)

    @classmethod
    def preset(
        cls,
        kind: str,
        *,
        place: Place = "after",
        fields: Sequence[str] = ("text",),
        length: int = 20,
        start_text: str | None = None,
        model: str = "causal",
    ) -> Self:
        """The template that a task kind gets when nobody writes one; ``length=0`` is the text prompt without slots.

        Raises:
            ConfigError: ``config.unknown_name``.

        >>> str(Template.preset("generate", place="before"))
        '{bos}<soft 20>{text}\\nOutput: {answer}'
        """
        text = preset_text(kind, place=place, fields=fields, length=length, start_text=start_text, model=model)
        return cls.parse(text)

    def __str__(self) -> str:
        return unparse(self.parts)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, each once, in order."""
        return tuple(dict.fromkeys(name for name, _ in self._places()))

    @cached_property
    def required_fields(self) -> tuple[str, ...]:
        """Fields that stand outside optional parts: every row must have them, though they may be empty."""
        return tuple(dict.fromkeys(name for name, required in self._places() if required))

    def _places(self) -> list[tuple[str, bool]]:
        """The field of every place of a field, and whether it stands outside optional parts."""
        found: list[tuple[str, bool]] = []
        for part in self.parts:
            if isinstance(part, Field):
                found.append((part.name, True))
            elif isinstance(part, OptionalPart):
                found.extend((inner.name, False) for inner in part.parts if isinstance(inner, Field))
        return found

    @cached_property
    def slots_in_place(self) -> tuple[SlotSpec, ...]:
        """The slot at every place of one, in order."""
        return name_slots(self.parts)

    @cached_property
    def slots(self) -> dict[str, SlotSpec]:
        """Slots by name; those without a name are ``soft``, ``soft_2`` and so on, in order."""
        return {spec.name: spec for spec in self.slots_in_place}

    @cached_property
    def placement(self) -> Placement:
        """Where the first soft slot stands: before, between or after the fields; it decides what can be read once.

        An encoder reads its side as a whole, so a slot anywhere on it stands before; on the decoder's it stands after.
        """
        if self.sided:
            sides = [any(isinstance(part, Slot) for part in side) for side in self._sides()]
            return "before" if sides[0] else "after" if sides[1] else "none"
        order = [part for part in self.parts if isinstance(part, Slot | Field | OptionalPart)]
        first = next((i for i, part in enumerate(order) if isinstance(part, Slot)), None)
        if first is None:
            return "none"
        if first == 0:
            return "before"
        return "after" if all(isinstance(part, Slot) for part in order[first:]) else "between"

    @cached_property
    def sided(self) -> bool:
        """Whether the template says where the decoder begins."""
        return any(isinstance(part, Decoder) for part in self.parts)

    def _sides(self) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
        at = next(n for n, part in enumerate(self.parts) if isinstance(part, Decoder))
        return self.parts[:at], self.parts[at + 1 :]

    def for_kind(self, kind: str) -> Self:
        """The template for a kind of model.

        Without a mark an encoder-decoder reads all text up to the answer, and slots behind all fields stand on the
        decoder's side, so that they stand after the text there too.

        Args:
            kind: ``causal``, ``seq2seq`` or ``masked``.

        Raises:
            TemplateError: ``template.decoder`` where the model has no decoder of its own.

        >>> str(Template.parse("{text}<soft 20> It was {answer}").for_kind("seq2seq"))
        '{text} It was <decoder><soft 20>{answer}'
        >>> str(Template.parse("<soft 20>{text} It was {answer}").for_kind("seq2seq"))
        '<soft 20>{text} It was <decoder>{answer}'
        """
        if kind != "seq2seq":
            if self.sided:
                message = f"the template says where the decoder begins, and a {kind} model has no such side"
                raise TemplateError("template.decoder", message, cure="remove <decoder>, or choose an encoder-decoder")
            return self
        if self.sided:
            return self
        read = [part for part in self.parts if not isinstance(part, AnswerPlace)]
        asked = [part for part in read if isinstance(part, Slot)] if self.placement == "after" else []
        read = [part for part in read if part not in asked]
        return replace(self, parts=parse(unparse([*read, Decoder(), *asked, AnswerPlace()])))

    @cached_property
    def skeleton(self) -> str | None:
        """The frozen text of a chat template, None where there is none."""
        special = [part.text for part in self.parts if isinstance(part, Special)]
        special += [self.turns.skeleton] if self.turns is not None else []
        return "".join(special) if special else None

    @cached_property
    def digest(self) -> str:
        """Hash of all that the template decides (16 hex digits): a prompt belongs to the template it was trained in."""
        parts: list[Any] = [str(self), self.truncate, sorted(self.keep.items()), self.strip]
        parts += [] if self.windows is None else [self.windows.model_dump()]
        parts += [] if self.turns is None else [self.turns.to_dict()]
        return _hash(json.dumps(parts))

    def saying(self, words: Mapping[str, str]) -> Self:
        """The template with words of its own in place of some fields.

        >>> str(Template.parse("{task.labels}\\n{text} It was {answer}").saying({"task.labels": "- yes\\n- {no}"}))
        '- yes\\n- {{no}}\\n{text} It was {answer}'
        """
        if not set(words) & set(self.fields):
            return self
        parts = [Words(words[p.name]) if isinstance(p, Field) and p.name in words else p for p in self.parts]
        keep = {name: end for name, end in self.keep.items() if name not in words}
        return replace(self, parts=parse(unparse(parts)), keep=keep)

    def without_slots(self) -> Self:
        """The same template as a text prompt: what the model makes of the words alone.

        >>> str(Template.parse("{text}<soft 20> It was {answer}").without_slots())
        '{text} It was {answer}'
        """
        rest = [part for part in self.parts if not isinstance(part, Slot)]
        return replace(self, parts=parse(unparse(rest)))  # words on both sides of a slot become one

    def texts(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The text of each field of the template, stripped if it says so; optional fields may be absent.

        Raises:
            TemplateError: ``template.missing_field``.
        """
        for name in self.required_fields:
            if name not in fields:
                message = f"the row has no field {name!r}; {nearest(name, fields)}"
                cure = "map a column to it or put it into an optional part {? ?}"
                raise TemplateError("template.missing_field", message, cure=cure)
        found = {name: fields.get(name, "") for name in self.fields}
        return {name: text.strip() for name, text in found.items()} if self.strip else found

    def render(self, fields: Mapping[str, str], *, answer: str = "") -> str:
        """A row as text, soft slots and ``{bos}`` left out: to read it, and for demonstrations in a text prompt.

        >>> Template.parse("{bos}{text}<soft 20> It was {answer}").render({"text": "Where is it?"}, answer="delivery")
        'Where is it? It was delivery'
        """
        texts = self.texts(fields)
        pieces, lead = assemble(resolve(self.parts, texts), texts, turns=self.turns)
        said = (" " if isinstance(piece, Decoder) else getattr(piece, "text", "") for piece in pieces)
        return "".join(said) + lead + answer

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest; the skeleton of a chat stands in the text, and once more with its hash."""
        data: dict[str, Any] = {
            "text": str(self),
            "truncate": None if self.truncate is None else list(self.truncate),
            "keep": dict(self.keep),
            "strip": self.strip,
        }
        if self.windows is not None:
            data["windows"] = self.windows.model_dump()
        if self.turns is not None:
            data["turns"] = self.turns.to_dict()
        if self.skeleton is not None:
            data |= {"skeleton": self.skeleton, "skeleton_hash": _hash(self.skeleton)}
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The template of a manifest.

        Raises:
            TemplateError: ``template.invalid``, and ``template.changed`` when the skeleton is not the frozen one.
        """
        kinds = {"text": str, "truncate": list | None, "keep": dict, "strip": bool, "windows": dict | None}
        for key, kind in kinds.items():
            if not isinstance(data.get(key), kind):
                raise TemplateError("template.invalid", f"{key!r} of a saved template cannot be {data.get(key)!r}")
        for name, end in data["keep"].items():
            if end not in get_args(Keep):
                message = f"keep of {name!r} is {end!r}; allowed: {', '.join(get_args(Keep))}"
                raise TemplateError("template.invalid", message)
        windows = None
        if (described := data.get("windows")) is not None:
            try:
                windows = WindowSettings.parse(described)
            except ConfigError as error:
                raise TemplateError("template.invalid", f"windows of a saved template: {error.message}") from None
        template = cls.parse(
            data["text"], truncate=data["truncate"], keep=data["keep"], strip=data["strip"], windows=windows
        )
        if "turns" in data:
            template = replace(template, turns=Turns.from_dict(data["turns"]))
        frozen = data.get("skeleton_hash")
        if frozen != (None if template.skeleton is None else _hash(template.skeleton)):
            message = f"the chat skeleton of the saved template is not the one that was frozen ({frozen})"
            raise TemplateError("template.changed", message, cure="load an unchanged copy of the prompt")
        return template


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
