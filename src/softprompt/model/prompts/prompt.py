"""A soft prompt as a user keeps it: plain tensors and a manifest; no code, nothing that is executed on loading.

    my_prompt/manifest.json           what it is for, and how well it does it
    my_prompt/prompt.safetensors      the numbers

or both in one ``.zip``. Knows no model, no template and no method: any of them may be gone, and the prompt can still be
read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from softprompt.core.cards import draw
from softprompt.core.cards.views import prompt_card
from softprompt.core.errors import PromptError
from softprompt.core.tensors import PromptTensors
from softprompt.model.prompts.document import check_seal, decode_document, encode_document, migrate, seal
from softprompt.model.prompts.manifest import Manifest, ModelIdentity
from softprompt.model.prompts.storage import (
    MANIFEST,
    MAX_BYTES,
    TENSORS,
    pack,
    read,
    require_room,
    unpack,
    write_file,
    write_folder,
)
from softprompt.model.prompts.tensorfile import check_tensors, decode_tensors, describe_tensors, encode_tensors

__all__ = ["Prompt"]

_IDENTITY = {
    "kind": ("prompt.other_model", "kind of model"),
    "quantised": ("prompt.other_model", "precision of the weights"),
    "fingerprint": ("prompt.other_model", "model"),
    "tokenizer": ("prompt.other_tokenizer", "tokenizer"),
}


@dataclass(frozen=True, eq=False, repr=False)
class Prompt:
    """A trained soft prompt.

    Attributes:
        tensors: What meets the model; empty for an ensemble.
        manifest: What it is; ``requires`` is completed by what tensors and template need.
        members: Of an ensemble, the tensors of its prompts, in the order of the manifest.

    Raises:
        PromptError: ``prompt.bad_tensors``, ``prompt.bad_dtype``, ``prompt.not_finite``,
            ``prompt.unknown_requirement``: what could not be loaded again cannot be made either.
    """

    tensors: PromptTensors
    manifest: Manifest
    members: tuple[PromptTensors, ...] = ()

    def __post_init__(self) -> None:
        check_tensors(self.tensors, self.members)
        ensemble = self.manifest.ensemble
        told = 0 if ensemble is None else len(ensemble.members)
        if told != len(self.members) or (ensemble and len(ensemble.weights) != told):
            weights = 0 if ensemble is None else len(ensemble.weights)
            message = f"the manifest tells of {told} members with {weights} weights, there are {len(self.members)}"
            raise PromptError("prompt.bad_tensors", message, cure="restore both files from a copy")
        templates = [self.manifest.template, *(() if ensemble is None else (one.template for one in ensemble.members))]
        needs = set().union(*map(_needs, (self.tensors, *self.members)))
        needs |= {"turns"} if any("turns" in template for template in templates) else set()
        needs |= {"ensemble"} if self.members else set()
        requires = tuple(sorted({*self.manifest.requires, *needs}))
        object.__setattr__(self, "manifest", self.manifest.model_copy(update={"requires": requires}))
        self.manifest.check_requirements()

    # ------------------------------------------------------------ files

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a folder, or one file when ``path`` ends in ``.zip``; whole or not at all.

        Raises:
            PromptError: ``prompt.exists`` (nothing is replaced unless ``overwrite``, and then only a saved prompt),
                ``prompt.unwritable``, ``prompt.bad_manifest``.
        """
        path = Path(path)
        if _is_zip(path):
            write_file(path, self.to_bytes(), overwrite=overwrite)
        else:
            write_folder(path, self._files(), overwrite=overwrite)
        return path

    @staticmethod
    def require_room(path: str | Path, *, overwrite: bool = False) -> None:
        """Refuse a path that :meth:`save` would refuse for what stands there, before the work is done.

        Raises:
            PromptError: ``prompt.exists``.
        """
        require_room(Path(path), overwrite=overwrite, folder=not _is_zip(Path(path)))

    @classmethod
    def load(cls, path: str | Path, *, max_bytes: int = MAX_BYTES) -> Self:
        """Read a folder or a zip file; executes nothing and reads at most ``max_bytes``.

        Raises:
            PromptError: Any ``prompt.*``, with the path.
        """
        try:
            return cls._from_files(read(Path(path), max_bytes=max_bytes))
        except PromptError as error:
            raise error.at(str(path)) from None

    def to_bytes(self) -> bytes:
        """The zip file's bytes: equal prompts give equal bytes."""
        return pack(self._files())

    @classmethod
    def from_bytes(cls, data: bytes, *, max_bytes: int = MAX_BYTES) -> Self:
        """Inverse of :meth:`to_bytes`, with the checks of :meth:`load`."""
        return cls._from_files(unpack(data, max_bytes=max_bytes))

    def _files(self) -> dict[str, bytes]:
        tensors = encode_tensors(self.tensors, self.members)
        shapes = describe_tensors(self.tensors, self.members)
        described = {"sha256": hashlib.sha256(tensors).hexdigest(), "tensors": shapes}
        document = self.manifest.to_dict()
        document["files"] = {MANIFEST: seal(document), TENSORS: described}
        return {MANIFEST: encode_document(document), TENSORS: tensors}

    @classmethod
    def _from_files(cls, files: Mapping[str, bytes]) -> Self:
        written = decode_document(files[MANIFEST])
        document = migrate(written)
        described = document.pop("files", None)
        manifest = Manifest.from_dict(document)  # before the tensors: an unknown requirement may explain them
        sha256, shapes = _described(described)
        if hashlib.sha256(files[TENSORS]).hexdigest() != sha256:
            raise PromptError(
                "prompt.corrupted",
                f"{TENSORS} is not the file that the manifest describes: its check sum differs",
                cure="restore both files from a copy",
            )
        tensors, members = decode_tensors(files[TENSORS], shapes)
        check_seal(written, described.get(MANIFEST))
        return cls(tensors, manifest, members)

    # ------------------------------------------------------------ use

    def check(self, model: ModelIdentity) -> tuple[str, ...]:
        """Whether the prompt belongs to this model.

        Returns:
            Notes to show and record: another precision changes scores a little, and is no reason to refuse.

        Raises:
            PromptError: ``prompt.other_model``, ``prompt.other_tokenizer``, with every difference as old -> new.
        """
        differences = list(self.manifest.model.differences(model))
        names = [name for name, _, _ in differences]
        for name, (code, what) in _IDENTITY.items():
            if name in names:
                listed = ", ".join(f"{field} {_short(old)} -> {_short(new)}" for field, old, new in differences)
                cure = f"load {self.manifest.model.id!r}, or train the prompt again for this model"
                if name == "quantised":
                    held = self.manifest.model.quantised
                    cure = f"load it {f'with quantise: {held}' if held else 'without quantise'}, or train again"
                raise PromptError(code, f"the prompt was trained with another {what}: {listed}", cure=cure)
        return tuple(
            f"trained in {old}, used in {new}: scores can differ slightly, so evaluate again before relying on them"
            for field, old, new in differences
            if field == "dtype"
        )

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self.manifest.name

    @property
    def num_bytes(self) -> int:
        """Size of its numbers in bytes."""
        return sum(one.num_bytes for one in (self.tensors, *self.members))

    @property
    def content_hash(self) -> str:
        """Hash over everything that is saved (64 hex digits): how lineage names a prompt."""
        return hashlib.sha256(self._files()[MANIFEST]).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: everything but the numbers."""
        head = self.tensors.head
        return {
            "num_bytes": self.num_bytes,
            "content_hash": self.content_hash,
            "slots": {name: slot.length for name, slot in self.tensors.slots.items()},
            "label_vectors": 0 if head is None else len(head.bias),
            "manifest": self.manifest.to_dict(),
        }

    def _repr_html_(self) -> str:
        """The card that a notebook shows."""
        return draw(prompt_card(self.to_dict()))

    def __repr__(self) -> str:
        parts = [f"an ensemble of {len(self.members)} prompts"] if self.members else []
        parts += [f"{slot.length} soft tokens in {name!r}" for name, slot in self.tensors.slots.items()]
        if self.tensors.head is not None:
            parts.append(f"{len(self.tensors.head.bias)} label vectors")
        place = [f"{self.manifest.placement} the text"] if self.manifest.placement else []
        listed = ", ".join([*parts, *place, f"{self.num_bytes:,} bytes", f"for {self.manifest.model.id}"])
        return f"<Prompt {self.name!r}: {listed}>"


def _needs(tensors: PromptTensors) -> set[str]:
    """The requirements that these tensors bring."""
    slots = tensors.slots.values()
    needs = {"embed": any(slot.embed is not None for slot in slots), "head": tensors.head is not None}
    needs |= {"hidden": any(slot.hidden for slot in slots), "kv": any(slot.kv for slot in slots)}
    return {name for name, needed in needs.items() if needed}


def _described(files: Any) -> tuple[str, dict[str, Any]]:
    """Check sum and tensors as the manifest describes them."""
    match files:
        case {"prompt.safetensors": {"sha256": str(sha256), "tensors": dict(shapes)}}:
            return sha256, shapes
    raise PromptError("prompt.bad_manifest", f"the manifest does not describe {TENSORS} under 'files'")


def _short(value: str) -> str:
    """A hash as people compare it; names stay whole."""
    is_hash = len(value) > 20 and set(value) <= set("0123456789abcdef")
    return f"{value[:12]}…" if is_hash else value


def _is_zip(path: Path) -> bool:
    """Whether a prompt of this name is one file."""
    return path.suffix.lower() == ".zip"
