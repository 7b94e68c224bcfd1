"""What transformers itself says of one row: plain forwards of one path at a time.

Shares nothing with the code under test but the rows: no lowering, no padding, no mask, no positions, no cache, no hook.
Where slots enter the layers it cannot be as plain: see :mod:`~tests.laws.staged`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from softprompt.core.records import Answer, Readout, Row, Soft
from softprompt.core.tensors import PromptTensors
from softprompt.model.backbones.base import Backbone
from tests.laws.cloze_oracle import cloze_oracle
from tests.laws.roads import Seen
from tests.laws.staged import staged, steps

__all__ = ["greedy", "oracle"]


def oracle(backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors]) -> Seen:
    """Everything that can be read of the rows, one path after the other."""
    if backbone.spec.kind == "masked":
        return cloze_oracle(backbone, rows, prompts)
    seen: Seen = {}
    for number, row in enumerate(rows):
        inner = {node.parent for node in row.nodes}
        ends = 0
        for index, node in enumerate(row.nodes):
            segment = node.segment
            if isinstance(segment, Answer):
                before, logits = _forward(backbone, row, index, prompts)
                logprobs = logits.log_softmax(-1)
                score = sum(logprobs[before - 1 + n, token] for n, token in enumerate(segment.ids))
                seen["answer", number, segment.prompt_index, segment.candidate] = score
            elif isinstance(segment, Readout):
                seen["readout", number, segment.prompt_index, 0] = _states(backbone, row, index, prompts)[-1]
            elif index not in inner:
                seen["last", number, -1, ends] = _forward(backbone, row, index, prompts)[1][-1]
                ends += 1
    return seen


@torch.no_grad()
def greedy(backbone: Backbone, ids: Sequence[int], *, num_tokens: int) -> list[int]:
    """The tokens that transformers' own loop takes, with its own caches."""
    model = backbone.model  # type: ignore[attr-defined]
    inputs = torch.tensor([list(ids)])
    begins: dict[str, Tensor] = {}
    if backbone.spec.kind == "seq2seq":
        frame = backbone.frame  # type: ignore[attr-defined]
        inputs = torch.tensor([[*ids, *frame.closing]])
        begins = {"decoder_input_ids": torch.tensor([frame.opening])}
    out = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        **begins,
        max_new_tokens=num_tokens,
        min_new_tokens=num_tokens,
        do_sample=False,
        pad_token_id=0,
    )
    return out[0, -num_tokens:].tolist()


def _embeds(
    backbone: Backbone, row: Row, index: int, prompts: Sequence[PromptTensors], nodes: Sequence[int] | None = None
) -> tuple[int, Tensor]:
    table = backbone.model.get_input_embeddings()  # type: ignore[attr-defined]
    parts = [torch.empty(0, table.weight.shape[1], dtype=table.weight.dtype)]
    for at in row.path(index) if nodes is None else nodes:
        segment = row.nodes[at].segment
        if isinstance(segment, Soft):
            vectors = prompts[segment.prompt_index].slots[segment.slot].embed
            parts.append(vectors.to(table.weight.dtype))
        elif not isinstance(segment, Readout):
            ids = segment.ids[:-1] if isinstance(segment, Answer) else segment.ids
            parts.append(table(torch.tensor(ids, dtype=torch.long)))
    embeds = torch.cat(parts)[None]
    last = row.nodes[index].segment if nodes is None or index in nodes else Readout(0)
    return embeds.shape[1] - (len(last) - 1 if isinstance(last, Answer) else 0), embeds


def _forward(backbone: Backbone, row: Row, index: int, prompts: Sequence[PromptTensors]) -> tuple[int, Tensor]:
    if backbone.spec.kind == "seq2seq":
        before, arguments = _two_sides(backbone, row, index, prompts)
        return before, backbone.model(**arguments).logits[0]  # type: ignore[attr-defined]
    if parts := steps(backbone, row, index, prompts):
        logits, last = staged(backbone.model, parts, states=False), row.nodes[index].segment  # type: ignore[attr-defined]
        return len(logits) - (len(last) - 1 if isinstance(last, Answer) else 0), logits
    before, embeds = _embeds(backbone, row, index, prompts)
    logits = backbone.model(inputs_embeds=embeds, use_cache=False).logits[0]  # type: ignore[attr-defined]
    return before, logits


def _states(backbone: Backbone, row: Row, index: int, prompts: Sequence[PromptTensors]) -> Tensor:
    if backbone.spec.kind == "seq2seq":
        _, arguments = _two_sides(backbone, row, index, prompts)
        model = backbone.model  # type: ignore[attr-defined]
        states = model(**arguments, output_hidden_states=True).decoder_hidden_states[-1][0]
        config = model.config
        scaled = getattr(config, "scale_decoder_outputs", config.model_type == "umt5" and config.tie_word_embeddings)
        return states * config.d_model**-0.5 if scaled else states
    if parts := steps(backbone, row, index, prompts):
        return staged(backbone.model, parts, states=True)  # type: ignore[attr-defined]
    _, embeds = _embeds(backbone, row, index, prompts)
    return backbone.model.base_model(inputs_embeds=embeds, use_cache=False).last_hidden_state[0]  # type: ignore[attr-defined]


def _two_sides(
    backbone: Backbone, row: Row, index: int, prompts: Sequence[PromptTensors]
) -> tuple[int, dict[str, Any]]:
    """Arguments of an encoder-decoder: the path up to its first decoder node, and the rest; each with its marks."""
    frame = backbone.frame  # type: ignore[attr-defined]
    path = row.path(index)
    decoder = [row.nodes[at].side == "decoder" or isinstance(row.nodes[at].segment, Answer | Readout) for at in path]
    cut = decoder.index(True) if True in decoder else len(path)
    _, encoder = _embeds(backbone, row, index, prompts, path[:cut])
    before, live = _embeds(backbone, row, index, prompts, path[cut:])
    table = backbone.model.get_input_embeddings()  # type: ignore[attr-defined]
    closing, opening = (table(torch.tensor([ids], dtype=torch.long)) for ids in (frame.closing, frame.opening))
    arguments = {
        "inputs_embeds": torch.cat([encoder, closing], dim=1),
        "decoder_inputs_embeds": torch.cat([opening, live], dim=1),
    }
    return before + len(frame.opening), arguments
