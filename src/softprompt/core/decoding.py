"""How answers are written: the settings of decoding, all faults reported at once.

The names are those of transformers' ``GenerationConfig``, so that what is known there holds here. What chooses tokens
need not be named: a temperature draws, several beams search. Knows no model: what the settings do is the business of
the searches in model/decoding.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from softprompt.core.config import Settings
from softprompt.core.errors import ConfigError

__all__ = ["DEFAULT_LENGTH", "Decoding"]

#: Longest answer in tokens where nobody says otherwise.
DEFAULT_LENGTH = 64

#: Settings that only one method reads.
_OWNERS = {
    "temperature": "sample",
    "top_k": "sample",
    "top_p": "sample",
    "seed": "sample",
    "num_beams": "beam",
    "length_penalty": "beam",
}

#: Settings that say by themselves that tokens are drawn. A seed does not: it says which draws.
_DRAWS = ("temperature", "top_p", "top_k")


class Decoding(Settings):
    """How answers are written.

    Attributes:
        method: ``greedy`` takes the likeliest token, ``sample`` draws one, ``beam`` keeps several answers in hand. Left
            out, it is what the other settings ask for: a temperature, ``top_p`` or ``top_k`` draws, several beams
            search, and a temperature of 0 or one beam is greedy.
        max_new_tokens: An answer is cut here, terminator included; the end of the model's context cuts it earlier.
            None: as the task says, 64 without one.
        min_new_tokens: The terminator is not allowed before so many tokens.
        stop: Texts that end an answer; they are not part of its text.
        terminators: Token ids that end an answer beside the tokenizer's end of sequence (chat models often have one).
        temperature: Logits are divided by it before drawing (sample).
        top_k: Only the k likeliest tokens can be drawn, and what is as likely as the last of them (sample).
        top_p: Only the likeliest tokens that together reach this probability can be drawn, after ``top_k`` (sample).
        seed: Of the draws; the same row under the same seed gets the same answer in any batch (sample).
        num_beams: Answers kept in hand (beam).
        length_penalty: The score of an answer is its log-probability / length ** penalty; 0 compares log-probabilities,
            and the larger, the longer the answers (beam).

    >>> Decoding.parse({"temperature": 0.7}).method, Decoding.parse({"num_beams": 4}).method
    ('sample', 'beam')
    >>> Decoding.parse({"method": "beam", "top_p": 0.9})
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: settings: top_p has no effect with method 'beam', only with 'sample'
    [config.invalid]
    """

    method: Literal["greedy", "sample", "beam"] = Field(
        "greedy", description="sample draws, beam searches; left out, as the other settings ask for"
    )
    max_new_tokens: int | None = Field(None, ge=1, description="longest answer in tokens; None: as the task says")
    min_new_tokens: int = Field(0, ge=0, description="no end of the answer before so many tokens")
    stop: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = Field(
        (), description="texts that end an answer"
    )
    terminators: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="token ids that end an answer, beside the tokenizer's own"
    )
    temperature: float = Field(1.0, description="sample: below 1 safer, above 1 bolder")
    top_k: int | None = Field(None, ge=1, description="sample: only from the k likeliest tokens")
    top_p: float = Field(1.0, gt=0, le=1, description="sample: only from the likeliest that together reach this")
    seed: int = Field(0, description="sample: of the draws")
    num_beams: int = Field(4, ge=2, le=64, description="beam: answers in hand")
    length_penalty: float = Field(1.0, description="beam: the larger, the longer the answers")

    @model_validator(mode="before")
    @classmethod
    def _implied(cls, data: Any) -> Any:
        """The method that the other settings ask for, where none is named."""
        if not isinstance(data, Mapping):
            return data
        given = dict(data)
        if clash := _clash(given):
            raise ValueError(clash)
        implied, named = _method_of(given), given.get("method")
        if given.get("temperature") == 0 and named in (None, "greedy"):
            del given["temperature"]
        if given.get("num_beams") == 1 and named != "beam":
            del given["num_beams"]
        return given if named is not None or implied is None else {**given, "method": implied}

    @field_validator("temperature")
    @classmethod
    def _draws_at(cls, value: float) -> float:
        if value <= 0:
            raise ValueError("has to be above 0 to draw (0 without more takes the likeliest token each time)")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """A setting that would silently do nothing is a fault."""
        faults = []
        if self.max_new_tokens is not None and self.min_new_tokens > self.max_new_tokens:
            faults.append(f"min_new_tokens {self.min_new_tokens} is more than max_new_tokens {self.max_new_tokens}")
        for name, owner in _OWNERS.items():
            # By value, not by presence: a resolved config names every setting and must be read back.
            if owner != self.method and getattr(self, name) != type(self).model_fields[name].default:
                more = ": give a temperature too" if name == "seed" and self.method == "greedy" else ""
                faults.append(f"{name} has no effect with method {self.method!r}, only with {owner!r}{more}")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The same with some settings changed; what only the former method reads falls away with it.

        Args:
            changes: By name; without a method as in the settings themselves.

        Raises:
            ConfigError: ``config.invalid``, ``config.unknown_key``.

        >>> beams = Decoding(num_beams=8, stop=("\\n",))
        >>> drawn = beams.changed({"temperature": 0.7})
        >>> drawn.method, drawn.stop, drawn.changed({"seed": 3}).temperature
        ('sample', ('\\n',), 0.7)
        """
        if clash := _clash(changes):
            raise ConfigError("config.invalid", clash)
        method = changes.get("method") or _method_of(changes) or self.method
        ours = self.model_dump(exclude_defaults=True)
        kept = {name: value for name, value in ours.items() if _OWNERS.get(name, method) == method}
        return self.parse({**kept, **changes, "method": method})

    @property
    def words(self) -> str:
        """How tokens are chosen, for people.

        >>> Decoding().words, Decoding(num_beams=4).words, Decoding(temperature=0.7, top_k=9, seed=3).words
        ('greedily', 'with 4 beams', 'by draws (temperature 0.7, top_k 9, seed 3)')
        """
        if self.method == "beam":
            return f"with {self.num_beams} beams"
        if self.method == "greedy":
            return "greedily"
        limits = {"top_p": self.top_p if self.top_p < 1 else None, "top_k": self.top_k}
        said = [f"{name} {value:g}" for name, value in limits.items() if value is not None]
        return f"by draws ({', '.join([f'temperature {self.temperature:g}', *said, f'seed {self.seed}'])})"


def _draws(given: Mapping[str, Any]) -> list[str]:
    """The settings that say that tokens are drawn; none beside a temperature of 0, which says the opposite."""
    return [] if given.get("temperature") == 0 else [name for name in _DRAWS if given.get(name) is not None]


def _clash(given: Mapping[str, Any]) -> str:
    """What is wrong with settings that ask for beams and for draws, where no method is named; empty: they do not."""
    draws, beams = _draws(given), given.get("num_beams")
    if given.get("method") is not None or not draws or beams in (None, 1):
        return ""
    return f"beams do not draw: num_beams {beams} beside {', '.join(draws)}; give one or the other"


def _method_of(given: Mapping[str, Any]) -> str | None:
    """The method that settings ask for without naming it; None: they say nothing of it."""
    beams = given.get("num_beams")
    if _draws(given):
        return "sample"
    if beams not in (None, 1):
        return "beam"
    return "greedy" if beams == 1 or given.get("temperature") == 0 else None
