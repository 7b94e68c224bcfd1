"""A small client of vLLM's HTTP API for saved prompts: rows as embeddings, answers and their log-probabilities.

Rows are built as everywhere in softprompt, each part tokenised by itself, and become one matrix: the model's own
vectors for the words, the trained ones for the soft tokens. The server needs ``--enable-prompt-embeds``.

Needs nothing but the standard library to ask, and the model's embeddings to build rows.
"""

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.core.decoding import DEFAULT_LENGTH, Decoding
from softprompt.core.errors import PromptError, ServingError
from softprompt.core.records import Answer, Example
from softprompt.core.tasks import parse_task
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import Described, RowBuilder
from softprompt.model.templates.parts import Special
from softprompt.model.templates.reading import Reading
from softprompt.model.templates.segments import Piece, SlotSpec, TextPiece
from softprompt.ops.formats.vllm import require_vectors

__all__ = ["Completed", "VllmClient", "encode_embeds"]


@dataclass(frozen=True)
class Completed:
    """What the server wrote.

    Attributes:
        text: Without the blank that belongs to the template.
        tokens: Ids of its tokens.
        log_probs: Log-probability by token.
    """

    text: str
    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]


class VllmClient:
    """A prompt and a server of its model.

    Args:
        prompt: Its slots hold vectors, its answers are words.
        backbone: The prompt's model, for its embeddings and its tokenizer.
        url: Of the server, e.g. ``http://127.0.0.1:8000``.
        model: The model's name there; None: as the prompt calls it.
        key: Sent as a bearer token, where the server asks for one.
        timeout_s: Seconds to wait for an answer.

    Raises:
        PromptError: ``prompt.unsupported_export`` for what vLLM cannot take, ``prompt.other_model`` for another width.
    """

    def __init__(
        self,
        prompt: Prompt,
        backbone: Backbone,
        *,
        url: str,
        model: str | None = None,
        key: str | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        require_vectors(prompt)
        if prompt.manifest.model.fingerprint != backbone.spec.fingerprint:
            named = prompt.manifest.model.id
            message = f"the prompt belongs to {named}, the embeddings are those of {backbone.spec.name}"
            raise PromptError("prompt.other_model", message, cure=f"load {named!r}")
        self.prompt = prompt
        self.backbone = backbone
        self.url = url.rstrip("/")
        self.model = model or prompt.manifest.model.id
        self.timeout_s = timeout_s
        self._key = key
        described, task = Described.from_dict(prompt.manifest.template), parse_task(prompt.manifest.task)
        limit = described.room(backbone.spec.max_positions)
        self.builder = RowBuilder(described.template, task, backbone.tokenizer, max_tokens=limit)

    def embeds(self, fields: Mapping[str, str]) -> Float[Tensor, "T E"]:
        """The whole row before its answer as vectors, in the model's dtype.

        Raises:
            TemplateError: What is wrong with the row.
        """
        return self._vectors(self.builder.reading(Example(fields)).pieces)

    def complete(self, fields: Mapping[str, str], *, decoding: Mapping[str, Any] | None = None) -> Completed:
        """The answer in words, by /v1/completions, written as the prompt's task says.

        Args:
            fields: Text by field of the template.
            decoding: Settings of :class:`~softprompt.core.decoding.Decoding` that are others for this answer.

        Raises:
            PromptError: ``prompt.unsupported_export``: vLLM cannot write like this.
            ConfigError: ``config.invalid``, ``config.unknown_key``.
            ServingError: ``serving.unreachable``.
        """
        body = {**self._sampling(decoding), "logprobs": 0, "return_tokens_as_token_ids": True}
        (choice,) = self._completions([self.embeds(fields)], body)
        tokens = tuple(int(token.removeprefix("token_id:")) for token in choice["logprobs"]["tokens"])
        lead = self.builder.lead(Example(fields))
        return Completed(choice["text"].removeprefix(lead), tokens, tuple(choice["logprobs"]["token_logprobs"]))

    def scores(self, fields: Mapping[str, str]) -> dict[str, float]:
        """Log-probability of every candidate answer with its terminator, as softprompt scores them (law 9).

        Every token of an answer is asked for behind those before it, all in one request; a task of free text has none.

        Raises:
            ServingError: ``serving.unreachable``.
        """
        example = Example(fields)
        says = self.builder.task.candidates(example) or ()
        segments = [node.segment for node in self.builder.row(example, target=False).nodes]
        answers = [one.ids for one in segments if isinstance(one, Answer)]
        beginnings = sorted({ids[:n] for ids in answers for n in range(len(ids))})
        every = sorted({token for ids in answers for token in ids})
        before = self.embeds(fields)
        rows = [torch.cat([before, self._embed(start)]) for start in beginnings]
        body = {"max_tokens": 1, "temperature": 0.0, "logprobs": 1, "logprob_token_ids": every}
        choices = self._completions(rows, {**body, "return_tokens_as_token_ids": True})
        found = {
            start: choice["logprobs"]["top_logprobs"][0] for start, choice in zip(beginnings, choices, strict=True)
        }
        return {
            say: sum(float(found[ids[:n]][f"token_id:{ids[n]}"]) for n in range(len(ids)))
            for say, ids in zip(says, answers, strict=True)
        }

    def message(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """The user's message for /v1/chat/completions: the user's turn of a chat template as one part of embeddings.

        The server writes its chat format around it, which has to be the one that is frozen in the prompt.

        Raises:
            PromptError: ``prompt.unsupported_export``: the template has no chat format, or other turns than one of the
                user: use :meth:`complete`, which sends the whole row.
        """
        pieces = self._users_turn(self.builder.reading(Example(fields)))
        return {"role": "user", "content": [{"type": "prompt_embeds", "data": encode_embeds(self._vectors(pieces))}]}

    def chat(self, fields: Mapping[str, str], *, decoding: Mapping[str, Any] | None = None) -> Completed:
        """The answer in words, by /v1/chat/completions, see :meth:`message` and :meth:`complete`.

        Raises:
            PromptError: ``prompt.unsupported_export``.
            ConfigError: ``config.invalid``, ``config.unknown_key``.
            ServingError: ``serving.unreachable``.
        """
        body = {"messages": [self.message(fields)], **self._sampling(decoding)}
        body |= {"logprobs": True, "return_tokens_as_token_ids": True}
        (choice,) = self._post("/v1/chat/completions", body)["choices"]
        said = choice["logprobs"]["content"]
        tokens = tuple(int(one["token"].removeprefix("token_id:")) for one in said)
        return Completed(choice["message"]["content"] or "", tokens, tuple(float(one["logprob"]) for one in said))

    # ------------------------------------------------------------ rows

    def _users_turn(self, reading: Reading) -> Sequence[tuple[Piece, tuple[int, ...]]]:
        skeleton = [isinstance(piece, TextPiece) and piece.special for piece, _ in reading.pieces]
        inside = len(skeleton) > 2 and skeleton[0] and skeleton[-1] and not any(skeleton[1:-1])
        # a blank at the seam belongs to the next piece in our rows, and to the piece before in the server's
        there = [piece.text for piece, _ in reading.pieces if isinstance(piece, TextPiece) and piece.special]
        if not inside or there != [part.text for part in self.builder.template.parts if isinstance(part, Special)]:
            message = f"{self.prompt.name!r} is not one turn of a user in a chat format, without blanks at its seams"
            raise PromptError("prompt.unsupported_export", message, cure="use complete, which sends the whole row")
        return reading.pieces[1:-1]

    def _vectors(self, pieces: Sequence[tuple[Piece, tuple[int, ...]]]) -> Float[Tensor, "T E"]:
        parts = []
        for piece, ids in pieces:
            slot = self.prompt.tensors.slots[piece.name].embed if isinstance(piece, SlotSpec) else None
            parts.append(self._embed(ids) if slot is None else slot.detach().cpu().to(self.backbone.spec.dtype))
        return torch.cat(parts)

    def _embed(self, ids: Sequence[int]) -> Float[Tensor, "T E"]:
        return self.backbone.embed(torch.tensor(list(ids), dtype=torch.long)).detach().cpu()

    # ------------------------------------------------------------ requests

    def _sampling(self, changes: Mapping[str, Any] | None) -> dict[str, Any]:
        """How the answer is written, in vLLM's words; everything is said, or the model's own file would fill it in."""
        task = self.builder.task
        if task.answer_schema is not None:
            message = f"{self.prompt.name!r} writes objects within the fields of its task, and vLLM would write freely"
            raise PromptError("prompt.unsupported_export", message, cure="use softprompt predict or serve")
        way: Decoding = getattr(task, "way_of_writing", Decoding()).changed(changes or {})
        if way.method == "beam":
            message = f"{self.prompt.name!r} writes {way.words}, and vLLM searches by beams from token ids alone"
            cure = 'use softprompt predict or serve, or ask for one beam: decoding={"num_beams": 1}'
            raise PromptError("prompt.unsupported_export", message, cure=cure)
        drawn = way.method == "sample"
        return {
            "max_tokens": way.max_new_tokens or DEFAULT_LENGTH,
            "min_tokens": way.min_new_tokens,
            "stop": list(way.stop),
            "stop_token_ids": list(way.terminators),
            "temperature": way.temperature if drawn else 0.0,
            "top_p": way.top_p,
            "top_k": way.top_k or 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            **({"seed": way.seed} if drawn else {}),
        }

    def _completions(self, rows: Sequence[Tensor], body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The choices of one request, in the order of the rows."""
        embeds = [encode_embeds(row) for row in rows]
        answer = self._post("/v1/completions", {**body, "prompt_embeds": embeds})
        return sorted(answer["choices"], key=lambda choice: int(choice["index"]))

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        data = json.dumps({"model": self.model, **body}).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = " ".join(error.read(2000).decode("utf-8", "replace").split())
            what, cure = f"{self.url} refuses: {error.code} {said[:300]}", "start vLLM with --enable-prompt-embeds"
        except (OSError, ValueError) as error:
            what, cure = f"{self.url} does not answer: {error}", "start it, or check the address"
        raise ServingError("serving.unreachable", what, cure=cure)


def encode_embeds(vectors: Float[Tensor, "T E"]) -> str:
    """Vectors as vLLM reads them: torch's own file of one tensor, in base 64; the server reads weights only.

    >>> import io
    >>> file = io.BytesIO(base64.b64decode(encode_embeds(torch.zeros(2, 3))))
    >>> file.read(2)
    b'PK'
    """
    buffer = io.BytesIO()
    torch.save(vectors.contiguous().clone(), buffer)  # noqa: TID251 - the one form that vLLM takes; nothing here reads it
    return base64.b64encode(buffer.getvalue()).decode("ascii")
