"""The ``compare:`` of a run: who takes part, what everybody may spend, and what all are compared with.

A contender is a mapping with its ``kind``, or a word that :mod:`~softprompt.lab.comparison.parsing` knows. Knows no
models: what the settings mean, :mod:`~softprompt.lab.comparison.entrants` says.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from softprompt.core.config import Settings
from softprompt.core.errors import nearest
from softprompt.lab.comparison.parsing import parse_entrant
from softprompt.model.methods.table import AnyMethodSettings

__all__ = [
    "AnyEntrantSettings",
    "ApiSettings",
    "BudgetSettings",
    "CompareSettings",
    "EnsembleSettings",
    "EntrantSettings",
    "FewShotSettings",
    "FullSettings",
    "LoraSettings",
    "PlainEntrantSettings",
    "SoftSettings",
    "TextSettings",
]

Place = Literal["before", "after"]


class EntrantSettings(Settings):
    """What every contender may be told."""

    name: str | None = Field(None, min_length=1, max_length=60, description="in the table; None: from what it is")

    @property
    def called(self) -> str:
        """Its name in the table."""
        return self.name or self.usual_name

    @property
    def usual_name(self) -> str:
        """The name where none is given."""
        raise NotImplementedError


class PlainEntrantSettings(EntrantSettings):
    """Contenders with nothing to set."""

    kind: Literal["majority", "tfidf", "embeddings", "zero-shot"]

    @property
    def usual_name(self) -> str:
        return {
            "majority": "majority",
            "tfidf": "TF-IDF + logistic regression",
            "embeddings": "embeddings + logistic regression",
            "zero-shot": "zero-shot text prompt",
        }[self.kind]


class FewShotSettings(EntrantSettings):
    """Answered training rows before the question."""

    kind: Literal["few-shot"] = "few-shot"
    shots: int = Field(4, ge=1, description="demonstrations a label; without fixed labels in all")
    choose: Literal["random", "similar"] = Field(
        "random", description="similar: the training rows nearest to each request, by TF-IDF"
    )
    orders: int | None = Field(
        None,
        ge=1,
        le=20,
        description="draws and orders whose probabilities are averaged; None: 3 at random, and 1 by similarity, where "
        "every order is read for every request",
    )

    @property
    def num_orders(self) -> int:
        """Draws and orders."""
        return self.orders or (1 if self.choose == "similar" else 3)

    @property
    def usual_name(self) -> str:
        return f"few-shot text prompt, {self.choose}"


class TextSettings(EntrantSettings):
    """A text prompt of the user's own."""

    kind: Literal["text"] = "text"
    template: str = Field(description="with the fields of the data and {answer}, without soft slots")
    calibrate: bool = Field(True, description="divide out what the model would answer anyway")

    @property
    def usual_name(self) -> str:
        words = " ".join(self.template.split())
        return f"text prompt: {words if len(words) <= 40 else words[:39] + '…'}"


class SoftSettings(EntrantSettings):
    """A soft prompt."""

    kind: Literal["soft"] = "soft"
    place: Place | None = Field(None, description="of the soft tokens; None: as the run's template has it")
    length: int | None = Field(None, ge=1, description="soft tokens; None: as the run's template has it")
    template: str | None = Field(None, description="instead of place and length")
    method: AnyMethodSettings | None = Field(None, description="name or settings; None: the run's")

    @field_validator("method", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.template is not None and (self.place is not None or self.length is not None):
            raise ValueError("template says where the soft tokens stand and how many: leave place and length out")
        return self

    @property
    def usual_name(self) -> str:
        method = () if self.method is None else (self.method.name,)
        parts = [*method, *([self.place] if self.place else []), *([f"{self.length} tokens"] if self.length else [])]
        return " ".join(["soft prompt", *parts, *(["own template"] if self.template else [])])


class EnsembleSettings(EntrantSettings):
    """The seeds of a soft prompt as one: the mean of their probabilities."""

    kind: Literal["ensemble"] = "ensemble"
    of: str | None = Field(None, description="name of a soft prompt of the table; None: the first")

    @property
    def usual_name(self) -> str:
        return f"ensemble of {self.of}" if self.of else "ensemble of seeds"


class LoraSettings(EntrantSettings):
    """Low-rank updates of the linear layers (Hu et al. 2021, https://arxiv.org/abs/2106.09685), by peft."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(8, ge=1, description="of the updates")
    alpha: float | None = Field(None, gt=0, description="their scale is alpha / rank; None: twice the rank")
    targets: str | tuple[str, ...] = Field("all-linear", description="names of modules; all-linear: all but the output")
    rates: tuple[float, ...] = Field((3e-4, 1e-3, 3e-3), min_length=1, description="learning rates of the probe")

    @field_validator("targets", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Names with commas between them are names; what is neither these nor all-linear is a pattern."""
        if not isinstance(value, str) or value == "all-linear":
            return value
        names = [name.strip() for name in value.split(",")]
        return names if all(re.fullmatch(r"[\w.]*\w", name) for name in names) else value

    @property
    def usual_name(self) -> str:
        return f"LoRA, rank {self.rank}"


class FullSettings(EntrantSettings):
    """All weights of a copy of the model."""

    kind: Literal["full"] = "full"
    rates: tuple[float, ...] = Field((3e-5, 1e-4, 3e-4), min_length=1, description="learning rates of the probe")

    @property
    def usual_name(self) -> str:
        return "full fine-tuning"


class ApiSettings(EntrantSettings):
    """A model behind an OpenAI-compatible endpoint. Every test row is sent there, with shots some training rows too."""

    kind: Literal["api"] = "api"
    url: str = Field(pattern=r"^https?://", description="up to and with /v1")
    model: str = Field(min_length=1, description="as the endpoint calls it")
    endpoint: Literal["chat", "completions"] = Field("chat", description="what is posted to")
    key_env: str | None = Field(
        None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="environment variable with the key; it is never written"
    )
    instruction: str | None = Field(None, description="what is asked; None: from the task's labels")
    shots: int = Field(0, ge=0, description="demonstrations a label (without fixed labels in all)")
    choose: Literal["random", "similar"] = Field("random", description="how demonstrations are chosen")
    price_in: float | None = Field(None, ge=0, description="US dollars a million tokens read")
    price_out: float | None = Field(None, ge=0, description="US dollars a million tokens written")
    max_tokens: int | None = Field(None, ge=1, description="longest answer; None: by the task")
    parallel: int = Field(4, ge=1, le=64, description="requests at a time")
    timeout: float = Field(60.0, gt=0, description="seconds for one answer")
    retries: int = Field(4, ge=0, le=20, description="after a busy or broken endpoint")

    @model_validator(mode="after")
    def _both_prices(self) -> Self:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out: give both or none")
        return self

    @property
    def priced(self) -> bool:
        """Whether its cost can be told."""
        return self.price_in is not None

    @property
    def usual_name(self) -> str:
        return f"API {self.model}, {'few-shot' if self.shots else 'zero-shot'}"


AnyEntrantSettings = Annotated[
    PlainEntrantSettings
    | FewShotSettings
    | TextSettings
    | SoftSettings
    | EnsembleSettings
    | LoraSettings
    | FullSettings
    | ApiSettings,
    Field(discriminator="kind"),
]


class BudgetSettings(Settings):
    """What every trained contender may spend after its probe; one of the three, or none for the run's own steps."""

    steps: int | None = Field(None, ge=1, description="optimiser steps, the same batches for all")
    tokens: int | None = Field(None, ge=1, description="tokens that a prompt's training sends through the model")
    minutes: float | None = Field(None, gt=0, description="wall time of a contender, its probe and all seeds together")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.steps, self.tokens, self.minutes)) > 1:
            raise ValueError("steps, tokens and minutes exclude each other")
        return self

    @property
    def given(self) -> dict[str, int | float]:
        """The one that was given."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class CompareSettings(Settings):
    """How a comparison is held."""

    contenders: tuple[AnyEntrantSettings, ...] | None = Field(
        None, min_length=1, description="who takes part; None: what fits the task and this machine"
    )
    reference: str | None = Field(
        None, description="name of the line that all stand beside; None: the first soft prompt, else the first line"
    )
    budget: BudgetSettings = BudgetSettings()
    test: float = Field(0.3, gt=0, lt=1, description="share of train that judges, where no test file is given")
    max_usd: float | None = Field(None, ge=0, description="spend no more than this on API models, all together")
    force: bool = Field(False, description="go on although test rows stand in train; these training rows are left out")

    @field_validator("contenders", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [one.strip() for one in value.split(",") if one.strip()]
        return [parse_entrant(one) for one in value] if isinstance(value, Sequence) else value

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [one.called for one in self.contenders or ()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two contenders are called {twice[0]!r}: give one of them a name of its own")
        if self.reference is not None and names and self.reference not in names:
            raise ValueError(f"reference: no contender is called {self.reference!r}; {nearest(self.reference, names)}")
        soft = [one.called for one in self.contenders or () if isinstance(one, SoftSettings)]
        lost = [one.of for one in self.contenders or () if isinstance(one, EnsembleSettings) and one.of]
        if unknown := [name for name in lost if name not in soft]:
            raise ValueError(f"an ensemble: no soft prompt is called {unknown[0]!r}; {nearest(unknown[0], soft)}")
        unpriced = [one.called for one in self.contenders or () if isinstance(one, ApiSettings) and not one.priced]
        if self.max_usd is not None and unpriced:
            raise ValueError(f"max_usd needs the prices of {unpriced[0]!r}: give price_in and price_out")
        return self
