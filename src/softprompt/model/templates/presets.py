"""Templates that nobody has to write: one for each kind of task and each placement.

Each kind has one short natural cue before its answer, which also serves the text prompts that soft prompts are compared
with; the only choice is where the learned vectors stand. The cues are a convention, not a measured optimum.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from softprompt.core.errors import ConfigError, TemplateError, nearest
from softprompt.model.templates.parts import Slot, Words, unparse

__all__ = ["CUES", "KEPT", "Place", "preset_text"]

Place = Literal["before", "after"]

#: What stands between the input and the answer, by kind of task.
CUES: Mapping[str, str] = MappingProxyType(
    {
        "classify": " It was ",
        "choose": "\nAnswer: ",
        "generate": "\nOutput: ",
        "extract": "\nJSON: ",
        "dialogue": "\nAssistant: ",
        "multilabel": " It was about ",
        "score": " It was ",
    },
)


#: What is kept of texts that are too long, by kind of task, where it is not the beginning.
KEPT: Mapping[str, Literal["turns"]] = MappingProxyType({"dialogue": "turns"})


def preset_text(
    kind: str,
    *,
    place: Place = "after",
    fields: Sequence[str] = ("text",),
    length: int = 20,
    start_text: str | None = None,
    model: str = "causal",
) -> str:
    r"""The text of the preset template of a task kind.

    Args:
        kind: ``classify``, ``choose`` or ``generate``.
        place: Whether the soft slot stands before or after the fields.
        fields: One field stands for itself; several are lines that begin with the field's name.
        length: Number of soft tokens; 0 gives a text prompt.
        start_text: Text that the start values may come from.
        model: Kind of the model; of an encoder-decoder (``seq2seq``) the encoder reads all text, and the slot stands on
            the encoder's side (before) or on the decoder's (after).

    Raises:
        ConfigError: ``config.unknown_name`` for another kind or placement.
        TemplateError: ``template.syntax`` for a field whose name means something else in templates.

    >>> preset_text("classify")
    '{bos}{text}<soft 20> It was {answer}'
    >>> print(preset_text("choose", place="before", fields=("premise", "question"), length=5))
    {bos}<soft 5>premise: {premise}
    question: {question}
    Answer: {answer}
    >>> preset_text("classify", model="seq2seq")
    '{bos}{text} It was<decoder><soft 20>{answer}'
    """
    if reserved := {"answer", "bos", "eos"} & set(fields):
        message = f"a field cannot be called {min(reserved)!r}"
        raise TemplateError("template.syntax", message, cure="map the column to another name")
    for name, known in ((kind, CUES), (place, ("before", "after"))):
        if name not in known:
            raise ConfigError("config.unknown_name", f"no template preset {name!r}; {nearest(name, known)}")
    body = f"{{{fields[0]}}}" if len(fields) == 1 else "\n".join(f"{name}: {{{name}}}" for name in fields)
    slot = unparse([Slot(length, None, start_text)]) if length else ""
    cue = unparse([Words(CUES[kind])])
    inner = f"{slot}{body}{cue}" if place == "before" else f"{body}{slot}{cue}"
    if model == "seq2seq":
        text = f"{body}{cue.rstrip()}"
        inner = f"{slot}{text}<decoder>" if place == "before" else f"{text}<decoder>{slot}"
    return f"{{bos}}{inner}{{answer}}"
