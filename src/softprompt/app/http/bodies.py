"""What requests hold, by path: settings like all others, so unknown keys are refused with the nearest known one.

The shapes of completions are OpenAI's (https://platform.openai.com/docs/api-reference), that of ``/classify`` is
vLLM's. A key that would change nothing here is not taken: who sends it expects it to work. The exception is ``user``,
which OpenAI itself only keeps for its records.
"""

import secrets
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from softprompt.core.config import Settings
from softprompt.core.decoding import Decoding
from softprompt.core.errors import ServingError

__all__ = ["BODIES", "ChatBody", "ClassifyBody", "CompletionBody", "Message", "VllmClassifyBody", "WriteBody"]

_TEXT = {"type": "string"}
_FIELDS = {"type": "object", "description": "text by field of the template"}
_INPUT = {"anyOf": [_TEXT, _FIELDS, {"type": "array", "items": {"anyOf": [_TEXT, _FIELDS]}}]}

#: Texts, or objects with the fields of the template; checked by the engine, whose messages are better than a union's.
Input = Annotated[Any, WithJsonSchema(_INPUT)]


class ClassifyBody(Settings):
    """``POST /v1/classify``: several prompts about each text."""

    input: Input = Field(description="a text, an object with the fields of the template, or a list of them")
    prompts: tuple[str, ...] | None = Field(None, min_length=1, description="names; without them all that have labels")
    min_confidence: float | None = Field(None, ge=0, le=1, description="withhold answers that are less probable")


class VllmClassifyBody(Settings):
    """``POST /classify``: one prompt, as vLLM's classification endpoint."""

    model: str | None = Field(None, description="name of the prompt; may be left out where there is one")
    input: str | tuple[str, ...] = Field(description="a text or a list of texts")
    user: str | None = Field(None, description="ignored")


class StreamOptions(Settings):
    """What a stream ends with."""

    include_usage: bool = False


class WriteBody(Settings):
    """What completions and chat completions have in common."""

    model: str | None = Field(None, description="name of the prompt; may be left out where there is one")
    max_tokens: int | None = Field(None, ge=1, le=100_000, description="without it as the prompt was trained")
    temperature: float | None = Field(
        None,
        ge=0,
        le=2,
        description="0: the likeliest token each time; left out: as the prompt writes",
    )
    top_p: float | None = Field(None, gt=0, le=1, description="draw from the likeliest tokens of this probability")
    top_k: int | None = Field(None, ge=1, description="draw from the k likeliest tokens")
    seed: int | None = Field(None, description="of the draws; the same seed gives the same answer")
    stop: str | tuple[str, ...] | None = Field(None, description="texts that end the answer, at most four")
    n: int = Field(1, ge=1, le=16, description="answers to each text")
    stream: bool = Field(False, description="send the answer while it is written")
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, description="ignored")

    @property
    def longest(self) -> int | None:
        """The longest answer asked for, in tokens."""
        return self.max_tokens

    def decoding(self, default: Decoding) -> Decoding:
        """How to write, where the request says nothing as the prompt does.

        Raises:
            ServingError: ``serving.unsupported``.

        >>> WriteBody(top_p=0.5, seed=3).decoding(Decoding()).method
        'sample'
        """
        stops = (self.stop,) if isinstance(self.stop, str) else self.stop or ()
        if len(stops) > 4 or not all(stops):
            message = f"stop holds {len(stops)} texts; one to four are taken, none of them empty"
            raise ServingError("serving.unsupported", message)
        said: dict[str, Any] = {"max_new_tokens": self.longest, "stop": stops or None}
        asked = (self.temperature or 0) > 0 or self.top_k is not None or (self.top_p or 1) < 1
        if self.temperature == 0:  # clients send it beside a top_p that then has nothing to do
            said |= {"method": "greedy"}
        elif asked or default.method == "sample":
            said |= {"method": "sample", "temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k}
            said |= {"seed": secrets.randbits(32) if asked and self.seed is None else self.seed}
        return default.changed({name: value for name, value in said.items() if value is not None})


class CompletionBody(WriteBody):
    """``POST /v1/completions``."""

    prompt: Input = Field(description="a text, an object with the fields of the template, or a list of them")


class Part(Settings):
    """A part of a message; only text is read."""

    type: Literal["text"]
    text: str


class Message(Settings):
    """One turn."""

    role: str
    content: str | tuple[Part, ...]
    name: str | None = Field(None, description="ignored")

    @property
    def text(self) -> str:
        """All of its text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatBody(WriteBody):
    """``POST /v1/chat/completions``: a conversation, or one message of the user for a prompt that reads a text."""

    messages: tuple[Message, ...] = Field(min_length=1, description="the turns so far")
    max_completion_tokens: int | None = Field(None, ge=1, le=100_000, description="the same as max_tokens")

    @property
    def longest(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def turns(self) -> list[dict[str, str]]:
        """The messages as data."""
        return [{"role": message.role, "content": message.text} for message in self.messages]

    @property
    def text(self) -> str:
        """The text of the only message.

        Raises:
            ServingError: ``serving.unsupported``.

        >>> ChatBody.parse({"messages": [{"role": "user", "content": "Hello"}]}).text
        'Hello'
        """
        roles = [message.role for message in self.messages]
        if roles != ["user"]:
            message = f"the messages are {', '.join(roles)}; this prompt reads one message of the user"
            cure = "send the text alone, the template says what stands around it; or ask a prompt of kind dialogue"
            raise ServingError("serving.unsupported", message, cure=cure)
        return self.messages[0].text


#: Path -> what is posted there.
BODIES: dict[str, type[Settings]] = {
    "/v1/classify": ClassifyBody,
    "/classify": VllmClassifyBody,
    "/v1/completions": CompletionBody,
    "/v1/chat/completions": ChatBody,
}
