"""The part of a saved prompt that people read: what it was trained for, on what, how well, by whom.

Unknown keys are kept and written back, so that an older version passes a newer manifest on undamaged; what a reader
MUST understand stands under ``requires``, and an unknown requirement is refused. The task, the template, the answers
and the settings are plain data here: the parts of the program that wrote them read them.
"""

import reprlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from softprompt.core.errors import PromptError

__all__ = [
    "REQUIREMENTS",
    "SCHEMA",
    "EnsembleRecord",
    "Manifest",
    "MemberRecord",
    "MethodRecord",
    "ModelIdentity",
    "Route",
    "Score",
]

#: Version of the layout that this release writes.
SCHEMA = 1

#: What this release understands: tensors that enter with the embeddings, at a layer, as keys and values; label vectors;
#: turns of conversations in a chat format; several prompts that answer as one.
REQUIREMENTS = frozenset({"embed", "hidden", "kv", "head", "turns", "ensemble"})


class _Record(BaseModel):
    """Immutable; unknown keys are kept; numbers are finite."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)


class ModelIdentity(_Record):
    """Which frozen model, exactly.

    Attributes:
        id: Name or folder, for people.
        revision: Resolved revision, where it came from a hub.
        architecture: Class name in the model's own configuration.
        fingerprint: Hash over every tensor; the same in every dtype the model is loaded in.
        tokenizer: Hash of the tokenizer.
        dtype: Dtype it was trained with.
        kind: ``causal``, ``seq2seq`` or ``masked``.
        quantised: Scheme of its weights; None for a plain model.
    """

    id: str
    revision: str | None = None
    architecture: str = ""
    fingerprint: str = Field(min_length=1)
    tokenizer: str = Field(min_length=1)
    dtype: str = ""
    kind: str = "causal"
    quantised: str | None = None

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A plain model is written as it was before there were others."""
        said: dict[str, Any] = handler(self)
        if self.quantised is None:
            said.pop("quantised", None)
        return said

    def differences(self, other: "ModelIdentity") -> Iterator[tuple[str, str, str]]:
        """Field, own value and the other's value, where they differ.

        >>> one = ModelIdentity(id="a", fingerprint="f1", tokenizer="t")
        >>> list(one.differences(ModelIdentity(id="a", fingerprint="f2", tokenizer="t")))
        [('fingerprint', 'f1', 'f2')]
        """
        for name in ("id", "kind", "quantised", "revision", "architecture", "fingerprint", "tokenizer", "dtype"):
            own, others = getattr(self, name), getattr(other, name)
            if own != others:
                yield name, str(own or "none"), str(others or "none")


class Score(_Record):
    """A score with its interval: ``low`` to ``high`` holds the true value with probability ``level``."""

    metric: str
    split: str
    value: float
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    num_items: int | None = None


class Route(_Record):
    """From which confidence on answers reach a precision, so that they can be routed without a human.

    Attributes:
        precision: Share right that is reached, with probability ``level``.
        min_confidence: Answers below it are withheld.
        level: How sure the guarantee is.
        rows, answered, right: The rows that chose it, how many of them are answered, and how many of these are right.
        data_hash: Hash of these rows.
    """

    precision: float = Field(gt=0, lt=1)
    min_confidence: float = Field(ge=0, le=1)
    level: float = Field(0.95, gt=0, lt=1)
    rows: int | None = None
    answered: int | None = None
    right: int | None = None
    data_hash: str = ""


class MethodRecord(_Record):
    """How it was trained; nothing that uses the prompt needs to know."""

    name: str
    config: dict[str, JsonValue] = {}


class MemberRecord(_Record):
    """One prompt of an ensemble: what its own manifest said, as far as asking it needs."""

    name: str = Field("", max_length=200)
    task: dict[str, JsonValue]
    template: dict[str, JsonValue]
    answers: dict[str, JsonValue] = {}
    method: MethodRecord
    placement: str = ""


class EnsembleRecord(_Record):
    """Several prompts that answer as one.

    Attributes:
        by: How their answers become one.
        weights: Of the members.
        temperature: Of the pooled probabilities.
        members: In the order of their tensors.
    """

    by: str
    weights: tuple[float, ...]
    temperature: float = 1.0
    members: tuple[MemberRecord, ...] = Field(min_length=1)


class Origin(_Record):
    """Where a prompt comes from that was not trained here, for this model.

    Attributes:
        kind: ``imported`` from another format, or ``converted`` from another model.
        format: Of what was imported.
        source: Name of the folder or file, or of the prompt.
        model: What the source says of its model; empty where it says nothing.
        facts: Whatever else is known of the way, by name.
    """

    kind: Literal["imported", "converted"]
    format: str = ""
    source: str = ""
    model: str = ""
    facts: dict[str, JsonValue] = {}


class Manifest(_Record):
    """Everything about a saved prompt but its tensors.

    Attributes:
        schema_version: Layout version, ``schema`` in the file.
        requires: What a reader must understand (:data:`REQUIREMENTS`); the prompt adds what tensors and template need.
        name: For people.
        created: UTC, ISO 8601.
        softprompt: Version that trained it.
        task, template, answers: As plain data, see their own pages.
        placement: Where the first soft slot stands: before, after or between.
        model: The model it belongs to.
        data_hash: Hash of the training rows.
        config: The resolved settings of the run.
        scores: What it reached, with intervals.
        parents: Hashes of the prompts it came from.
        routes: Confidences from which on a precision is reached; left out of the file while there are none.
        ensemble: Where it is several prompts; left out of the file where it is one.
        origin: Where it comes from, where it was not trained here for this model; left out of the file for the others.
        unevaluated: Whether nobody has judged it with this model yet; left out of the file where it has been.
    """

    schema_version: int = Field(SCHEMA, alias="schema")
    requires: tuple[str, ...] = ()
    name: str = Field("", max_length=200)
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    softprompt: str = Field(default_factory=lambda: version("softprompt"))
    task: dict[str, JsonValue]
    template: dict[str, JsonValue]
    answers: dict[str, JsonValue] = {}
    method: MethodRecord
    placement: str = ""
    model: ModelIdentity
    data_hash: str = ""
    config: dict[str, JsonValue] = {}
    scores: tuple[Score, ...] = ()
    licence: str = ""
    author: str = ""
    parents: tuple[str, ...] = ()
    notes: str = ""
    routes: tuple[Route, ...] = ()
    ensemble: EnsembleRecord | None = None
    origin: Origin | None = None
    unevaluated: bool = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """From the content of manifest.json.

        Raises:
            PromptError: ``prompt.unknown_requirement``, ``prompt.bad_manifest``.
        """
        try:
            manifest = cls.model_validate(data)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise PromptError("prompt.bad_manifest", f"the manifest is not valid: {faults[0]}{more}") from None
        manifest.check_requirements()
        return manifest

    def to_dict(self) -> dict[str, Any]:
        """The content of manifest.json, unknown keys included."""
        empty = {name for name in ("routes", "ensemble", "origin", "unevaluated") if not getattr(self, name)}
        return self.model_dump(mode="json", by_alias=True, exclude=empty)

    def route(self, precision: float) -> Route | None:
        """The most lenient route that reaches a precision; None where there is none.

        >>> model = ModelIdentity(id="a", fingerprint="f", tokenizer="t")
        >>> routes = Route(precision=0.9, min_confidence=0.6), Route(precision=0.95, min_confidence=0.8)
        >>> made = Manifest(task={}, template={}, method=MethodRecord(name="plain"), model=model, routes=routes)
        >>> made.route(0.93).min_confidence, made.route(0.99) is None
        (0.8, True)
        """
        enough = [route for route in self.routes if route.precision >= precision]
        return min(enough, key=lambda route: route.min_confidence, default=None)

    def with_route(self, route: Route) -> Self:
        """The same with a route more, in place of an older one of its precision."""
        others = [one for one in self.routes if one.precision != route.precision]
        return self.model_copy(update={"routes": tuple(sorted([*others, route], key=lambda one: one.precision))})

    def check_requirements(self) -> None:
        """Refuse what this release does not understand.

        Raises:
            PromptError: ``prompt.unknown_requirement``.
        """
        if unknown := sorted(set(self.requires) - REQUIREMENTS):
            listed, known = ", ".join(map(reprlib.repr, unknown[:5])), ", ".join(sorted(REQUIREMENTS))
            message = f"this prompt requires {listed}; known: {known}"
            raise PromptError("prompt.unknown_requirement", message, cure="upgrade softprompt")
