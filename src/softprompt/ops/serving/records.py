"""What is asked of the engine and what it answers, as plain records.

Knows no queue, no model's inside and no HTTP.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from softprompt.core.errors import ServingError
from softprompt.core.records import Example
from softprompt.model.decoding import Decoding, Finish
from softprompt.model.prediction import Ask, Prediction

__all__ = ["Answers", "Completion", "Completions", "Judge", "Limits", "Served", "Times", "Write"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one engine takes.

    Attributes:
        max_batch: Texts that go through the model together.
        max_waiting: Requests that may wait; one more is refused.
        max_texts: Texts of one request.
        max_characters: Characters of one text; the template cuts what does not fit into a row long before.
    """

    max_batch: int = 32
    max_waiting: int = 256
    max_texts: int = 256
    max_characters: int = 100_000


@dataclass(frozen=True, slots=True)
class Served:
    """A prompt under the name by which requests call it.

    Attributes:
        name: Of the prompt; one engine has each name once.
        ask: Template, task, tensors and the form of answers.
        min_confidence: Answers below it are withheld; None withholds none.
        created: When the prompt was made, ISO 8601; empty when unknown.
    """

    name: str
    ask: Ask
    min_confidence: float | None = None
    created: str = ""

    @property
    def kind(self) -> str:
        """Kind of the task."""
        return str(getattr(self.ask.task, "kind", ""))

    @property
    def writes(self) -> bool:
        """Whether answers are written token by token; all others are chosen from candidates."""
        return self.ask.task.objective == "likelihood"

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the template."""
        return self.ask.builder.template.fields

    @property
    def candidate_fields(self) -> tuple[str, ...]:
        """Where the candidates of a choice stand; empty for all other tasks."""
        found = getattr(self.ask.task, "candidates_from", ())
        return (found,) if isinstance(found, str) else tuple(found)

    @property
    def says_one_label(self) -> bool:
        """Whether the answer is exactly one of the candidates, and no set of them, number or text."""
        return self.ask.task.one_right and not self.writes

    @property
    def reads_turns(self) -> bool:
        """Whether a list of chat messages is read as it is."""
        return "messages" in self.ask.task.named


@dataclass(frozen=True, slots=True)
class Judge:
    """Ask prompts about texts; all prompts share one reading of each text.

    Attributes:
        examples: The texts.
        prompts: Names, in the order of the answers.
        min_confidence: Instead of what the prompts keep.
        count: Whether the tokens that stand before the answers are counted.
    """

    examples: tuple[Example, ...]
    prompts: tuple[str, ...]
    min_confidence: float | None = None
    count: bool = False

    @property
    def size(self) -> int:
        """Texts that go through the model."""
        return len(self.examples)


@dataclass(frozen=True, slots=True)
class Write:
    """Let one prompt write answers.

    Attributes:
        examples: The texts.
        prompt: Name.
        decoding: How; None: as the prompt is judged and predicted with.
        choices: Answers to each text; several are drawn with seeds one after another, so they need sampling.
        on_text: Told the text of the only answer piece by piece, in the worker's thread; what it raises ends the
            answer.

    Raises:
        ServingError: ``serving.unsupported``.
    """

    examples: tuple[Example, ...]
    prompt: str
    decoding: Decoding | None = None
    choices: int = 1
    on_text: Callable[[str], None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        sampled = self.decoding is not None and self.decoding.method == "sample"
        if self.choices > 1 and not sampled:
            message = f"{self.choices} answers to one text would all be the same without sampling"
            raise ServingError("serving.unsupported", message, cure="give a temperature above 0, or n=1")
        if self.on_text is not None and (len(self.examples) != 1 or self.choices != 1):
            message = f"a stream carries one answer, not {len(self.examples) * self.choices}"
            raise ServingError("serving.unsupported", message, cure="send one text with n=1, or stream=false")

    @property
    def size(self) -> int:
        """Texts that go through the model."""
        return len(self.examples) * self.choices


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds that a request waited for the model, and that the model worked on it and those batched with it."""

    waited: float = 0.0
    computed: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """Plain data for JSON.

        >>> Times(0.12345, 8.0).to_dict()
        {'waited': 0.123, 'computed': 8.0}
        """
        return {"waited": round(self.waited, 3), "computed": round(self.computed, 3)}


@dataclass(frozen=True, slots=True)
class Answers:
    """What prompts say, by text and then by name of the prompt.

    Attributes:
        rows: The answers.
        prompt_tokens: Tokens before the answers, soft ones included, for each text and prompt; 0 where nobody asked.
        times: How long it took.
    """

    rows: tuple[Mapping[str, Prediction], ...]
    prompt_tokens: int = 0
    times: Times = Times()


@dataclass(frozen=True, slots=True)
class Completion:
    """One written answer.

    Attributes:
        text: Without terminator, stop text and the template's blank before it.
        tokens: Of the answer, terminator included.
        finished: Why it ended.
    """

    text: str
    tokens: int
    finished: Finish


@dataclass(frozen=True, slots=True)
class Completions:
    """The answers to the texts of a request: all choices of the first text, then those of the next.

    Attributes:
        rows: The answers.
        prompt_tokens: Tokens before the answers, soft ones included, each text counted once.
        times: How long it took.
    """

    rows: tuple[Completion, ...]
    prompt_tokens: int
    times: Times = Times()
