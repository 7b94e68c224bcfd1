"""The part of a saved prompt that people read: what it was trained for, on what, how well, by whom.

Unknown keys are kept and written back, so that an older version passes a newer manifest on undamaged; what a reader
MUST understand stands under ``requires``, and an unknown requirement is refused. The task, the template, the answers
and the settings are plain data here: the parts of the program that wrote them read them.
"""

import reprlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from softprompt.core.errors import PromptError

__all__ = ["REQUIREMENTS", "SCHEMA", "Manifest", "MethodRecord", "ModelIdentity", "Score"]

#: Version of the layout that this release writes.
SCHEMA = 1

#: What this release understands: tensors that enter with the embeddings, at a layer, as keys and values; label vectors.
REQUIREMENTS = frozenset({"embed", "hidden", "kv", "head"})


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
    """

    id: str
    revision: str | None = None
    architecture: str = ""
    fingerprint: str = Field(min_length=1)
    tokenizer: str = Field(min_length=1)
    dtype: str = ""

    def differences(self, other: "ModelIdentity") -> Iterator[tuple[str, str, str]]:
        """Field, own value and the other's value, where they differ.

        >>> one = ModelIdentity(id="a", fingerprint="f1", tokenizer="t")
        >>> list(one.differences(ModelIdentity(id="a", fingerprint="f2", tokenizer="t")))
        [('fingerprint', 'f1', 'f2')]
        """
        for name in ("id", "revision", "architecture", "fingerprint", "tokenizer", "dtype"):
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


class MethodRecord(_Record):
    """How it was trained; nothing that uses the prompt needs to know."""

    name: str
    config: dict[str, JsonValue] = {}


class Manifest(_Record):
    """Everything about a saved prompt but its tensors.

    Attributes:
        schema_version: Layout version, ``schema`` in the file.
        requires: What a reader must understand (:data:`REQUIREMENTS`); the prompt adds what its tensors need.
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
        return self.model_dump(mode="json", by_alias=True)

    def check_requirements(self) -> None:
        """Refuse what this release does not understand.

        Raises:
            PromptError: ``prompt.unknown_requirement``.
        """
        if unknown := sorted(set(self.requires) - REQUIREMENTS):
            listed, known = ", ".join(map(reprlib.repr, unknown[:5])), ", ".join(sorted(REQUIREMENTS))
            message = f"this prompt requires {listed}; known: {known}"
            raise PromptError("prompt.unknown_requirement", message, cure="upgrade softprompt")
