"""What stands before the first field of a template: the same for every row, so formats can hold it as plain vectors.

A library that puts soft tokens in front of the whole text has no place for words before them, or for two slots. But
words are vectors too: ``{bos}<soft 20>{text}`` is 21 vectors before the text. What stands behind the last slot stays
text, which whoever uses the export has to give.

Knows templates and the embeddings of a model, no format.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.core.errors import PromptError
from softprompt.core.records import Batch, Node, Row, Segment, Soft, Text
from softprompt.core.tensors import PromptTensors, State
from softprompt.core.tokens import Tokenizer
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import Described, Template
from softprompt.model.templates.parts import Bos, Decoder, Field, OptionalPart, Slot
from softprompt.model.templates.segments import Piece, SlotSpec, TextPiece, assemble, resolve

__all__ = ["Opening", "template_of", "token_ids"]


@dataclass(frozen=True)
class Opening:
    """A template cut behind its last slot.

    Attributes:
        before: Words and slots up to the last slot.
        after: What stands behind it, fields as ``{name}``.
        lead: The blank that an answer begins with.
    """

    before: tuple[Piece, ...]
    after: tuple[Piece, ...]
    lead: str

    @classmethod
    def of(cls, prompt: Prompt, *, format: str) -> Self:
        """The opening of a prompt's template.

        Raises:
            PromptError: ``prompt.unsupported_export``: a field stands before a slot, or no slot at all.
        """
        template = template_of(prompt)
        if not template.slots:
            message = f"{prompt.name!r} has no soft tokens: there is nothing that {format} could hold"
            raise PromptError("prompt.unsupported_export", message, cure="use the text of its template as it is")
        if template.turns is not None:
            message = f"{prompt.name!r} writes the turns of conversations in a chat format, which {format} cannot"
            raise PromptError("prompt.unsupported_export", message, cure="serve it: softprompt serve")
        slots = [n for n, part in enumerate(template.parts) if isinstance(part, Slot)]
        if any(isinstance(part, Decoder) for part in template.parts[: slots[-1]]):
            message = (
                f"{prompt.name!r} has soft tokens on the decoder's side, {format} puts them in front of the encoder's"
            )
            cure = "tune one with soft tokens on the encoder's side (--place before), or export to npy or raw"
            raise PromptError("prompt.unsupported_export", message, cure=cure)
        if any(isinstance(part, Field | OptionalPart) for part in template.parts[: slots[-1]]):
            place = "between two texts" if template.placement == "before" else f"{template.placement} the text"
            message = f"{prompt.name!r} has soft tokens {place}, {format} puts them in front of it"
            cure = "tune one with soft tokens before the text (--place before), or export to npy, raw or vllm"
            raise PromptError("prompt.unsupported_export", message, cure=cure)
        marked = {name: f"{{{name}}}" for name in template.fields}
        pieces, lead = assemble(resolve(template.parts, marked), marked, template.slots_in_place)
        last = max(n for n, piece in enumerate(pieces) if isinstance(piece, SlotSpec))
        return cls(tuple(pieces[: last + 1]), tuple(pieces[last + 1 :]), lead)

    @classmethod
    def of_decoder(cls, prompt: Prompt, *, format: str) -> Self:
        """A slot that a decoder's side begins with; behind it the encoder's text and what the answer begins behind.

        Raises:
            PromptError: ``prompt.unsupported_export``: soft tokens stand elsewhere.
        """
        template = template_of(prompt).for_kind("seq2seq")
        marked = {name: f"{{{name}}}" for name in template.fields}
        pieces, lead = assemble(resolve(template.parts, marked), marked, template.slots_in_place)
        mark = next(n for n, piece in enumerate(pieces) if isinstance(piece, Decoder))
        slots = [n for n, piece in enumerate(pieces) if isinstance(piece, SlotSpec)]
        if slots != [mark + 1]:
            place = "elsewhere than at the decoder's beginning"
            message = f"{prompt.name!r} has keys and values {place}, where {format} puts them"
            cure = "tune one with a single slot right behind <decoder> (--place after), or export to npy or raw"
            raise PromptError("prompt.unsupported_export", message, cure=cure)
        return cls((pieces[mark + 1],), (*pieces[: mark + 1], *pieces[mark + 2 :]), lead)

    @property
    def bare(self) -> bool:
        """Whether it consists of slots alone, so that no model is needed."""
        return all(isinstance(piece, SlotSpec) for piece in self.before)

    @property
    def rest(self) -> str:
        """The text that follows, fields as ``{name}``; of an encoder-decoder what the encoder reads."""
        return "".join(piece.text for piece in self.after[: self._mark] if isinstance(piece, TextPiece))

    @property
    def written(self) -> str:
        """What an encoder-decoder's answer begins behind; empty for other models."""
        return "".join(piece.text for piece in self.after[self._mark :] if isinstance(piece, TextPiece))

    @property
    def _mark(self) -> int:
        marks = [n for n, piece in enumerate(self.after) if isinstance(piece, Decoder)]
        return marks[0] if marks else len(self.after)

    def segments(self, tokenizer: Tokenizer | None) -> list[Segment]:
        """Words as ids and slots, in order; words without a token are left out."""
        found: list[Segment] = []
        for piece in self.before:
            if isinstance(piece, SlotSpec):
                found.append(Soft(piece.name, piece.length))
            elif tokenizer is not None and (ids := token_ids(piece, tokenizer)):
                found.append(Text(ids))
        return found

    def layout(self, tokenizer: Tokenizer | None) -> list[dict[str, Any]]:
        """The same as plain data: what an import cuts apart again."""
        return [
            {"slot": one.slot, "length": one.length} if isinstance(one, Soft) else {"words": len(one)}
            for one in self.segments(tokenizer)
        ]

    def vectors(self, tensors: PromptTensors, backbone: Backbone | None) -> Float[Tensor, "T E"]:
        """The whole opening as vectors that enter where the embedding module's output enters."""
        parts = []
        for one in self.segments(None if backbone is None else backbone.tokenizer):
            if isinstance(one, Soft):
                slot = tensors.slots[one.slot].embed
                assert slot is not None, "slots of keys and values are compiled"
                parts.append(slot.detach().cpu())
            elif backbone is not None and isinstance(one, Text):
                parts.append(backbone.embed(torch.tensor(one.ids)).detach().float().cpu())
        same = self.bare and len({part.dtype for part in parts}) == 1
        return torch.cat(parts if same else [part.float() for part in parts])

    def state(self, tensors: PromptTensors, backbone: Backbone) -> State:
        """The whole opening as keys and values of every layer: what the model has computed when it stands there."""
        segments = self.segments(backbone.tokenizer)
        nodes = [Node(one, n - 1 if n else None) for n, one in enumerate(segments)]
        # a field behind it, so that none of it is kept back for a reader
        nodes.append(Node(Text((backbone.tokenizer.eos_id,), "text"), len(nodes) - 1))
        return backbone.read(Batch((Row(tuple(nodes)),)), [tensors.to(backbone.spec.device)], frozen="field").row(0)


def template_of(prompt: Prompt) -> Template:
    """The template of a saved prompt.

    Raises:
        TemplateError: ``template.invalid``, ``template.changed``.
    """
    return Described.from_dict(prompt.manifest.template).template


def token_ids(piece: Piece, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of a piece of text, alone, as rows hold it; none for slots.

    >>> from softprompt.testing import tiny
    >>> token_ids(TextPiece(" It"), tiny().tokenizer)
    (220, 40, 83)
    """
    match piece:
        case TextPiece(text, special=True):
            return tokenizer.encode_skeleton(text)
        case TextPiece(text):
            return tokenizer.encode(text)
        case Bos() if tokenizer.bos_id is not None:
            return (tokenizer.bos_id,)
    return ()
