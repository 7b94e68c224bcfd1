"""Conversations: the turns in a row of a chat export, and the one text that they are read as.

A conversation is read as lines ``Name: text``, one turn after the other, with the names in :data:`SPEAKERS`. A line of
a message that begins like a turn gets a blank before it, so nobody's text can pretend to be another's turn, and the
text can be taken apart again. Sources: OpenAI's fine-tuning format (``role``, ``content``); the format of the ShareGPT
collections (``from``, ``value``).

Knows nothing of files, templates and tokens.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.core.errors import DataError

__all__ = [
    "KEYS",
    "SPEAKERS",
    "TOOLS",
    "Turn",
    "as_text",
    "content_of",
    "listed_turns",
    "name_of",
    "split_turns",
    "turns_in",
]

KEYS = ("messages", "conversations", "conversation")  #: columns in which a conversation may stand
TOOLS = ("tools", "functions", "parallel_tool_calls")  #: columns of calls that a text model cannot make

#: Names of turns in texts -> role of a chat format.
SPEAKERS: Mapping[str, str] = {"System": "system", "User": "user", "Assistant": "assistant", "Tool": "tool"}

#: What speakers are called in exports -> their name.
_NAMES = {
    "user": "User",
    "human": "User",
    "assistant": "Assistant",
    "gpt": "Assistant",
    "chatgpt": "Assistant",
    "bing": "Assistant",
    "bard": "Assistant",
    "model": "Assistant",
    "system": "System",
    "developer": "System",
    "tool": "Tool",
    "function": "Tool",
}

Turn = tuple[str, str]

_BEGINS = re.compile(rf"^({'|'.join(SPEAKERS)}): ?", re.M)
_PRETENDS = re.compile(rf"^(?= *(?:{'|'.join(SPEAKERS)}):)", re.M)


def as_text(turns: Sequence[Turn]) -> str:
    """The text of a conversation.

    >>> as_text([("User", "Hi"), ("Assistant", "Hello."), ("User", "I quote\\nUser: hi")])
    'User: Hi\\nAssistant: Hello.\\nUser: I quote\\n User: hi'
    """
    return "\n".join((f"{name}: " if name else "") + _guarded(text) for name, text in turns)


def _guarded(text: str) -> str:
    first, mark, rest = text.partition("\n")
    return first + mark + _PRETENDS.sub(" ", rest)


def split_turns(text: str) -> list[Turn]:
    """The turns of a text; what stands before the first name is a turn without one.

    >>> split_turns("User: Hi\\nAssistant: Hello.\\nUser: I quote\\n User: hi")
    [('User', 'Hi'), ('Assistant', 'Hello.'), ('User', 'I quote\\nUser: hi')]
    >>> split_turns("no turn")
    [('', 'no turn')]
    """
    marks = list(_BEGINS.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    found = [
        (m[1], _free(text[m.end() : end].removesuffix("\n") if end < len(text) else text[m.end() :]))
        for m, end in zip(marks, ends, strict=False)
    ]
    before = text[: marks[0].start()] if marks else text
    return [("", before.removesuffix("\n")), *found] if before else found


def _free(text: str) -> str:
    first, mark, rest = text.partition("\n")
    return first + mark + re.sub(rf"^ (?= *(?:{'|'.join(SPEAKERS)}):)", "", rest, flags=re.M)


def turns_in(values: Mapping[str, Any]) -> list[Turn] | None:
    """The turns of a row with a conversation; None for a row without one.

    Raises:
        DataError: ``data.bad_export``: a turn that cannot be read, or a speaker that is none of those known.

    >>> turns_in({"conversations": [{"from": "human", "value": "2 + 2"}, {"from": "gpt", "value": "4"}]})
    [('User', '2 + 2'), ('Assistant', '4')]
    """
    key = next((key for key in KEYS if isinstance(values.get(key), list | tuple) and values[key]), None)
    if key is None:
        return None
    first = values[key][0]
    speaker, words = ("from", "value") if isinstance(first, Mapping) and "from" in first else ("role", "content")
    turns = [(name_of(turn, speaker), content_of(turn.get(words))) for turn in listed_turns(values, speaker)]
    for name, _ in turns:
        if name not in SPEAKERS:
            known = ", ".join(SPEAKERS.values())
            raise DataError("data.bad_export", f"a turn of {name.lower()!r}: speakers are {known}")
    if isinstance(system := values.get("system"), str) and system.strip():
        turns.insert(0, ("System", system))
    return turns


def listed_turns(values: Mapping[str, Any], speaker: str) -> list[Mapping[str, Any]]:
    """The turns of a row as they stand.

    Args:
        values: The row.
        speaker: Key of the speaker.

    Raises:
        DataError: ``data.bad_export``.
    """
    for key in KEYS:
        turns = values.get(key)
        if isinstance(turns, Sequence) and not isinstance(turns, str) and turns:
            if all(isinstance(turn, Mapping) and speaker in turn for turn in turns):
                return list(turns)
            raise DataError("data.bad_export", f"a turn of {key!r} is no object with {speaker!r}")
    raise DataError("data.bad_export", f"the row has no conversation in {' or '.join(map(repr, KEYS))}")


def name_of(turn: Mapping[str, Any], speaker: str) -> str:
    """Name of the speaker of a turn.

    >>> name_of({"from": "gpt"}, "from"), name_of({"role": "critic"}, "role")
    ('Assistant', 'Critic')
    """
    role = str(turn[speaker])
    return _NAMES.get(role.lower(), role.capitalize())


def content_of(content: Any) -> str:
    """The text of a message, its parts joined; parts that are no text are refused, a call without words is empty.

    Raises:
        DataError: ``data.bad_export``.
    """
    if content is None:
        return ""
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            kind = part.get("type", "something else") if isinstance(part, Mapping) else type(part).__name__
            raise DataError("data.bad_export", f"a message holds {kind}, only text is read")
        texts.append(text)
    return "\n".join(texts)
