"""What a format of others is to softprompt: files of a saved prompt, and what files hold as a prompt.

Knows no format; :mod:`softprompt.ops.formats.table` knows them all.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from pydantic import JsonValue

from softprompt.core.errors import PromptError
from softprompt.core.tensors import PromptTensors
from softprompt.model.backbones.base import Backbone, Kind
from softprompt.model.prompts.manifest import Manifest
from softprompt.model.prompts.prompt import Prompt

__all__ = ["CAUSAL", "Foreign", "Format", "GetBackbone", "Written", "require_alone", "require_kind"]

#: What most formats are written for.
CAUSAL: tuple[Kind, ...] = ("causal",)

#: Loads the model of the prompt; asked only where its embeddings or states are needed.
GetBackbone = Callable[[], Backbone]


@dataclass(frozen=True)
class Written:
    """What an export consists of.

    Attributes:
        files: By name, all of one folder.
        notes: What a user should know.
    """

    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Foreign:
    """What a folder or file of another format holds.

    Attributes:
        format: Its name in the table of formats.
        tensors: The numbers; their one slot is ``soft`` where nobody named it.
        manifest: Of the prompt, where softprompt wrote it.
        changed: Whether the numbers are no longer those that softprompt wrote.
        first: Whether the vectors stand before everything else, as the format uses them.
        model: What it says of its model; empty where it says nothing.
        revision: Of that model.
        facts: What else is known, kept in the saved prompt.
        kind: Of the models that it is for, where the format says so; None: of any.
    """

    format: str
    tensors: PromptTensors
    manifest: Manifest | None = None
    changed: bool = False
    first: bool = False
    model: str = ""
    revision: str | None = None
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    kind: Kind | None = None

    def named(self, slot: str) -> Self:
        """The same with another name of its only slot.

        >>> from softprompt.core.tensors import SlotTensors
        >>> Foreign("npy", PromptTensors({"soft": SlotTensors()})).named("tone").tensors.slots.keys()
        dict_keys(['tone'])
        """
        (content,) = self.tensors.slots.values()
        return replace(self, tensors=PromptTensors({slot: content}, self.tensors.head))

    @property
    def opens_decoder(self) -> bool:
        """Whether it stands before everything on a decoder's side: keys and values of an encoder-decoder."""
        return self.first and self.kind == "seq2seq" and any(slot.kv for slot in self.tensors.slots.values())

    @property
    def lengths(self) -> dict[str, int]:
        """Soft tokens by slot."""
        return {name: slot.length for name, slot in self.tensors.slots.items()}


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        says: What it is, for people.
        export: The files of a prompt.
        recognises: Whether something at a path is of this format, as far as names tell.
        read: What stands at such a path, reading at most so many bytes; None: it is for writing only.
        kinds: Names of what it can be written as; empty where there is one way.
    """

    says: str
    export: Callable[[Prompt, GetBackbone, str | None], Written]
    recognises: Callable[[Path], bool]
    read: Callable[[Path, int], Foreign] | None = None
    kinds: tuple[str, ...] = ()


def require_alone(prompt: Prompt, format: str) -> None:
    """Refuse an ensemble, which other formats have no place for.

    Raises:
        PromptError: ``prompt.unsupported_export``.
    """
    if prompt.members:
        raise PromptError(
            "prompt.unsupported_export",
            f"{prompt.name!r} is an ensemble of {len(prompt.members)} prompts, {format} holds one",
            cure="export one of the prompts that it was made of",
        )


def require_kind(prompt: Prompt, format: str, kinds: Collection[Kind] = CAUSAL) -> None:
    """Refuse prompts of kinds of models that a format is not written for.

    Raises:
        PromptError: ``prompt.unsupported_export``.
    """
    if (kind := prompt.manifest.model.kind) not in kinds:
        known = " and ".join(kinds)
        message = f"{prompt.name!r} is for a {kind} model; for {format} prompts of {known} models are written"
        raise PromptError("prompt.unsupported_export", message, cure="export to npy or raw, or use softprompt serve")
