"""How answers are written: the settings of decoding, all faults reported at once.

Knows no model: what the settings do is the business of the searches.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from softprompt.core.config import Settings

__all__ = ["Decoding"]

#: Settings that only one method reads.
_OWNERS = {
    "temperature": "sample",
    "top_k": "sample",
    "top_p": "sample",
    "seed": "sample",
    "num_beams": "beam",
    "length_penalty": "beam",
}


class Decoding(Settings):
    """How answers are written.

    Attributes:
        method: ``greedy`` takes the likeliest token, ``sample`` draws one, ``beam`` keeps several answers in hand.
        max_new_tokens: An answer is cut here, terminator included; the end of the model's context cuts it earlier.
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

    >>> Decoding.parse({"method": "beam", "top_p": 0.9})
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: settings: top_p has no effect with method 'beam', only with 'sample'
    [config.invalid]
    """

    method: Literal["greedy", "sample", "beam"] = "greedy"
    max_new_tokens: int = Field(default=64, ge=1)
    min_new_tokens: int = Field(default=0, ge=0)
    stop: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = ()
    terminators: tuple[Annotated[int, Field(ge=0)], ...] = ()
    temperature: float = Field(default=1.0, gt=0)
    top_k: int | None = Field(default=None, ge=1)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    num_beams: int = Field(default=4, ge=2)
    length_penalty: float = 1.0

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """A setting that would silently do nothing is a fault."""
        faults = []
        if self.min_new_tokens > self.max_new_tokens:
            faults.append(f"min_new_tokens {self.min_new_tokens} is more than max_new_tokens {self.max_new_tokens}")
        for name, owner in _OWNERS.items():
            # By value, not by presence: a resolved config names every setting and must be read back.
            if owner != self.method and getattr(self, name) != type(self).model_fields[name].default:
                faults.append(f"{name} has no effect with method {self.method!r}, only with {owner!r}")
        if faults:
            raise ValueError("; ".join(faults))
        return self
