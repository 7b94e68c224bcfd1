"""Conversations (OpenAI's ``messages``, ShareGPT's ``conversations``) to what was asked and what was answered.

One row a conversation: its last assistant message is the answer, the message before it the prompt, and what came before
that one text of lines ``User: ...`` and ``Assistant: ...``. A conversation that does not end with the assistant has no
answer. Sources: OpenAI's fine-tuning format; the format of the ShareGPT collections.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.core.errors import DataError
from softprompt.core.turns import KEYS, TOOLS, Turn, content_of, listed_turns, name_of
from softprompt.data.shapes.shape import Shape

__all__ = ["OPENAI", "SHAREGPT"]


def is_openai(values: Mapping[str, Any]) -> bool:
    """Whether a row holds messages with ``role`` and ``content``.

    >>> is_openai({"messages": [{"role": "user", "content": "hi"}]})
    True
    """
    return _has(values, "role", "content")


def is_sharegpt(values: Mapping[str, Any]) -> bool:
    """Whether a row holds turns with ``from`` and ``value``.

    >>> is_sharegpt({"conversations": [{"from": "human", "value": "hi"}]})
    True
    """
    return _has(values, "from", "value")


def openai(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields of an OpenAI conversation, beside the row's other columns.

    Raises:
        DataError: ``data.bad_export``.

    >>> ask, say = {"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "4"}
    >>> openai({"messages": [ask, say, {"role": "user", "content": "+ 1"}, {"role": "assistant", "content": "5"}]})
    [{'history': 'User: 2 + 2\\nAssistant: 4', 'prompt': '+ 1', 'answer': '5'}]
    """
    turns = [(name_of(turn, "role"), content_of(turn.get("content"))) for turn in listed_turns(values, "role")]
    return [_fields(values, turns)]


def sharegpt(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields of a ShareGPT conversation, beside the row's other columns.

    Raises:
        DataError: ``data.bad_export``.
    """
    turns = [(name_of(turn, "from"), content_of(turn.get("value"))) for turn in listed_turns(values, "from")]
    if isinstance(system := values.get("system"), str) and system.strip():
        turns.insert(0, ("System", system))
    return [_fields({key: value for key, value in values.items() if key != "system"}, turns)]


def _has(values: Mapping[str, Any], speaker: str, words: str) -> bool:
    for key in KEYS:
        turns = values.get(key)
        if isinstance(turns, Sequence) and not isinstance(turns, str) and turns:
            return all(isinstance(turn, Mapping) and speaker in turn and words in turn for turn in turns)
    return False


def _fields(values: Mapping[str, Any], turns: Sequence[Turn]) -> dict[str, Any]:
    system = "\n".join(text for name, text in turns if name == "System")
    body = [(name, text) for name, text in turns if name != "System"]
    answer = body.pop()[1] if body and body[-1][0] == "Assistant" else None
    if not body:
        raise DataError("data.bad_export", "the conversation has no message that could be answered")
    name, prompt = body.pop()
    made = {
        "system": system,
        "history": "\n".join(f"{who}: {text}" for who, text in body),
        "prompt": prompt if name == "User" else f"{name}: {prompt}",
        "answer": answer,
    }
    kept = {key: value for key, value in values.items() if key not in {*KEYS, *TOOLS}}
    return {**kept, **{key: value for key, value in made.items() if value}}


_SAYS = "the last assistant message is 'answer', the one before it 'prompt', earlier ones are 'history'"
_MAKES = ("system", "history", "prompt", "answer")

OPENAI = Shape("openai", "an OpenAI chat export", _SAYS, is_openai, openai, (*KEYS, *TOOLS), _MAKES)
SHAREGPT = Shape("sharegpt", "a ShareGPT export", _SAYS, is_sharegpt, sharegpt, (*KEYS, *TOOLS, "system"), _MAKES)
