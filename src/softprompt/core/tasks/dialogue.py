"""The next turn of a conversation (*dialogue*).

The conversation so far is the text that is read, its turns as :mod:`softprompt.core.turns` writes them, and the answer
is what the assistant says next. Learnt and judged as free text.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from softprompt.core.errors import DataError
from softprompt.core.tasks.texts import Written
from softprompt.core.turns import KEYS, SPEAKERS, TOOLS, Turn, as_text, split_turns, turns_in

__all__ = ["Dialogue"]

_GROUP = "conversation_id"


class Dialogue(Written):
    """The assistant's next turn.

    Attributes:
        learn: From the last turn of the assistant, or from every turn of it, each a row of its own; rows of one
            conversation never stand on two sides of a split.
    """

    named: ClassVar[tuple[str, ...]] = KEYS

    kind: Literal["dialogue"] = "dialogue"
    target: str = Field("answer", description="column of the assistant's next turn")
    learn: Literal["last", "every"] = Field("last", description="from the assistant's last turn, or from every one")

    @property
    def roles(self) -> Mapping[str, str]:
        """Turns of one conversation are a group."""
        return {"group": _GROUP}

    def unfold(self, values: Mapping[str, Any], *, answers: bool) -> Sequence[Mapping[str, Any]]:
        """A row for the assistant's last turn, or for each of its turns; rows without a conversation as they are.

        Args:
            values: A row of the data.
            answers: Without them it is one row; a conversation that ends with the assistant is asked for that turn.

        Raises:
            DataError: ``data.bad_export``.

        >>> ask, say = {"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "4"}
        >>> (row,) = Dialogue().unfold({"messages": [ask, say]}, answers=True)
        >>> row["text"], row["answer"]
        ('User: 2 + 2', '4')
        """
        turns = turns_in(values)
        if turns is None:
            return [values]
        rest = {key: value for key, value in values.items() if key not in {*KEYS, *TOOLS, "system"}}
        rest[_GROUP] = hashlib.sha256(as_text(turns).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        if not answers:
            asked = turns[:-1] if turns[-1][0] == "Assistant" else turns
            return [{**rest, "text": _begun(asked)}]
        places = [n for n, (name, said) in enumerate(turns) if n and name == "Assistant" and said.strip()]
        if not places:
            raise DataError("data.bad_export", "the conversation has no turn of the assistant to learn from")
        places = places if self.learn == "every" else places[-1:]
        return [{**rest, "text": _begun(turns[:n]), self.target: turns[n][1]} for n in places]

    def asked(self, text: str) -> str:
        """A plain text is a conversation, or the first turn of one.

        >>> Dialogue().asked("Where is my parcel?")
        'User: Where is my parcel?'
        """
        return text if split_turns(text)[0][0] in SPEAKERS else as_text([("User", text)])


def _begun(turns: Sequence[Turn]) -> str:
    if not any(text.strip() for name, text in turns if name != "System"):
        raise DataError("data.bad_export", "the conversation has no message that could be answered")
    return as_text(turns)
