"""Conversations in a model's own chat format, however many turns they have (splice rule 12).

The tokenizer's chat template is asked a few times, with place marks for the messages. What it writes between two turns
may depend on their roles and on nothing else; so a small table of such texts, which is kept in the saved prompt, writes
every conversation as the chat template would, and a later version of it changes nothing. A chat template that is not
like this is refused, and roles that it refuses are no roles of the table.

Knows chat templates only through :meth:`softprompt.core.tokens.Tokenizer.chat`; knows no rows and no tasks.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from softprompt.core.errors import ModelError, TemplateError
from softprompt.core.tokens import Tokenizer
from softprompt.core.turns import SPEAKERS, split_turns
from softprompt.model.templates.parts import AnswerPlace, Bos, Field, Part, Slot, Special

__all__ = ["BEGIN", "Turns", "freeze_turns"]

BEGIN = ""  #: stands for a role before the first turn

_CURE = "write template.turns: lines, which needs no chat template"
_MARK = 'SOFTPROMPT{}"PLACE'  # the quote finds chat templates that write a message otherwise than as it is

#: Conversations that the chat template is asked for: the first must do, the others say which roles it has besides.
_ASKED = tuple(
    roles.split()
    for roles in (
        "user assistant user assistant user",
        "system user assistant user",
        "assistant user",
        "system assistant user",
        "user user",
        "user assistant assistant user",
        "user assistant",
        "user assistant tool",
        "user assistant tool assistant user",
        "user assistant tool tool assistant user",
        "user system user",
    )
)


@dataclass(frozen=True)
class Turns:
    """What stands around the messages of a conversation.

    Attributes:
        joints: Role -> role of the next turn -> text between the two; :data:`BEGIN` comes before the first.
        last: Roles that the assistant may answer.

    >>> turns = Turns({"": {"user": "<u>"}, "user": {"assistant": "<a>"}, "assistant": {"user": "</s><u>"}}, ("user",))
    >>> turns.write("User: Hi\\nAssistant: Hello.\\nUser: Bye")
    [('<u>', 'Hi'), ('<a>', 'Hello.'), ('</s><u>', 'Bye')]
    """

    joints: Mapping[str, Mapping[str, str]]
    last: tuple[str, ...]

    def write(self, text: str) -> list[tuple[str, str]]:
        """The turns of a conversation: for each what stands before its message, and the message without blanks around.

        Args:
            text: As :func:`softprompt.core.turns.as_text` writes it; words without a name are the user's.

        Raises:
            TemplateError: ``template.chat``: a turn that the chat template has no place for.
        """
        found: list[tuple[str, str]] = []
        before = BEGIN
        for name, said in split_turns(text):
            role = SPEAKERS.get(name, "user")
            if (joint := self.joints.get(before, {}).get(role)) is None:
                raise TemplateError("template.chat", self._refusal(role, before), cure=_CURE)
            found.append((joint, said.strip()))
            before = role
        if found and before not in self.last:
            message = f"the model's chat template has no answer to a turn of the {before}"
            raise TemplateError("template.chat", message, cure=_CURE)
        return found

    def _refusal(self, role: str, before: str) -> str:
        if not any(role in after for after in self.joints.values()):
            return f"the model's chat template takes no turn of the {role}, the conversation has one"
        where = f"after one of the {before}" if before else "at the beginning"
        return f"the model's chat template takes no turn of the {role} {where}"

    @property
    def skeleton(self) -> str:
        """All that is written, as one text that can be hashed."""
        return json.dumps(self.to_dict(), sort_keys=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return {"joints": {role: dict(after) for role, after in self.joints.items()}, "last": list(self.last)}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """The turns of a manifest.

        Raises:
            TemplateError: ``template.invalid``.
        """
        match data:
            case {"joints": dict(joints), "last": list(last)} if all(
                isinstance(after, dict) and all(isinstance(text, str) for text in after.values())
                for after in joints.values()
            ) and all(isinstance(role, str) for role in last):
                return cls(joints, tuple(last))
        raise TemplateError("template.invalid", "'turns' of a saved template is not what softprompt writes")


def freeze_turns(
    tokenizer: Tokenizer, *, field: str, slot: Slot | None, before: bool
) -> tuple[tuple[Part, ...], Turns]:
    """The parts of the template that a conversation becomes with this model, and what stands around its turns.

    Args:
        tokenizer: Of the model, whose chat template is rendered.
        field: Of the conversation.
        slot: The soft tokens; None for a text prompt.
        before: Whether they stand before the conversation; else behind its last message.

    Raises:
        TemplateError: ``template.chat``: what is written around a message depends on more than the roles.
        ModelError: ``model.no_chat_template``; ``model.chat_template`` for one that refuses any conversation.
    """
    joints: dict[str, dict[str, str]] = {}
    ends: dict[str, str] = {}
    for number, roles in enumerate(_ASKED):
        try:
            found = _rendered(tokenizer, roles)
        except ModelError as error:
            if number == 0 or error.code != "model.chat_template":
                raise
            continue
        if found is None or not _agree(found, roles, joints, ends):
            if number == 0:
                message = "what the model's chat template writes around a message depends on more than the roles"
                raise TemplateError("template.chat", message, cure=_CURE)
            continue
        *between, end = found
        for (one, other), text in zip(_pairs(roles), between, strict=True):
            joints.setdefault(one, {})[other] = text
        ends[roles[-1]] = end
    end = ends["user"]
    bos = "" if tokenizer.bos_id is None else tokenizer.piece(tokenizer.bos_id)
    begins = joints[BEGIN]
    whole = bool(bos) and all(text.startswith(bos) for text in begins.values())
    if whole:  # one beginning of sequence, also where soft tokens come next
        joints[BEGIN] = {role: text.removeprefix(bos) for role, text in begins.items()}
    place, slots = Field(field), [] if slot is None else [slot]
    inner: list[Part] = [*slots, place] if before else [place, *slots]
    parts = ([Bos()] if whole else []) + inner + ([Special(end)] if end else []) + [AnswerPlace()]
    return tuple(parts), Turns(joints, tuple(role for role, text in ends.items() if text == end))


def _pairs(roles: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip([BEGIN, *roles], roles, strict=False))


def _rendered(tokenizer: Tokenizer, roles: Sequence[str]) -> list[str] | None:
    """What stands before, between and behind the messages; None where one is lost, changed, repeated or moved."""
    marks = [_MARK.format(number) for number in range(len(roles))]
    rest = tokenizer.chat([{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)])
    found = []
    for mark in marks:
        if rest.count(mark) != 1:
            return None
        before, _, rest = rest.partition(mark)
        found.append(before)
    return [*found, rest]


def _agree(
    found: Sequence[str], roles: Sequence[str], joints: Mapping[str, Mapping[str, str]], ends: Mapping[str, str]
) -> bool:
    """Whether equal roles have equal texts between them, here and in what is known."""
    seen = {pair: joints.get(pair[0], {}).get(pair[1]) for pair in _pairs(roles)}
    for pair, text in zip(_pairs(roles), found, strict=False):
        if seen[pair] not in (None, text):
            return False
        seen[pair] = text
    return ends.get(roles[-1], found[-1]) == found[-1]
