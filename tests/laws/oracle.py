"""What transformers itself says of one row: plain forwards of one path at a time.

Shares nothing with the code under test but the rows: no lowering, no padding, no mask, no positions, no cache, no hook.
Where slots enter the layers it cannot be as plain: see :mod:`~tests.laws.staged`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from softprompt.core.records import Answer, Readout, Row, Soft
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.backbones.base import Backbone
from tests.laws.both_ways import read_both_ways
from tests.laws.cloze_oracle import cloze_oracle
from tests.laws.roads import Seen
from tests.laws.staged import Decoder, staged, steps

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
        return _two_sides(backbone, row, index, prompts, states=False)
    if parts := steps(backbone, row, index, prompts):
        logits, last = staged(backbone.model, parts, states=False), row.nodes[index].segment  # type: ignore[attr-defined]
        return len(logits) - (len(last) - 1 if isinstance(last, Answer) else 0), logits
    before, embeds = _embeds(backbone, row, index, prompts)
    logits = backbone.model(inputs_embeds=embeds, use_cache=False).logits[0]  # type: ignore[attr-defined]
    return before, logits


def _states(backbone: Backbone, row: Row, index: int, prompts: Sequence[PromptTensors]) -> Tensor:
    if backbone.spec.kind == "seq2seq":
        return _two_sides(backbone, row, index, prompts, states=True)[1]
    if parts := steps(backbone, row, index, prompts):
        return staged(backbone.model, parts, states=True)  # type: ignore[attr-defined]
    _, embeds = _embeds(backbone, row, index, prompts)
    return backbone.model.base_model(inputs_embeds=embeds, use_cache=False).last_hidden_state[0]  # type: ignore[attr-defined]


def _two_sides(
    backbone: Backbone, row: Row, index: int, prompts: Sequence[PromptTensors], *, states: bool
) -> tuple[int, Tensor]:
    """The path up to its first decoder node, and the rest; each with its marks.

    Keys and values that the decoder's side begins with stand before its opening.
    """
    model, frame = backbone.model, backbone.frame  # type: ignore[attr-defined]
    path = row.path(index)
    decoder = [row.nodes[at].side == "decoder" or isinstance(row.nodes[at].segment, Answer | Readout) for at in path]
    cut = decoder.index(True) if True in decoder else len(path)
    closing, opening = (
        model.get_input_embeddings()(torch.tensor(ids, dtype=torch.long)) for ids in (frame.closing, frame.opening)
    )
    scaled = getattr(
        model.config, "scale_decoder_outputs", model.config.model_type == "umt5" and model.config.tie_word_embeddings
    )
    scale = model.config.d_model**-0.5 if scaled else 1.0
    last = row.nodes[index].segment if index in path[cut:] else Readout(0)
    answer = len(last) - 1 if isinstance(last, Answer) else 0
    memory = _memory(backbone, row, index, prompts, path[:cut], closing)
    parts = steps(backbone, row, index, prompts, nodes=path[cut:])
    if parts:
        first = next((n for n, part in enumerate(parts) if isinstance(part, Tensor) or not part.kv), len(parts))
        found = staged(Decoder(model, memory, scale), [*parts[:first], opening, *parts[first:]], states=states)
        return len(found) - answer, found
    _, live = _embeds(backbone, row, index, prompts, path[cut:])
    embeds = torch.cat([opening[None], live], dim=1)
    out = model(encoder_outputs=(memory,), decoder_inputs_embeds=embeds, output_hidden_states=states)
    found = out.decoder_hidden_states[-1][0] * scale if states else out.logits[0]
    return len(found) - answer, found


def _memory(
    backbone: Backbone, row: Row, index: int, prompts: Sequence[PromptTensors], nodes: Sequence[int], closing: Tensor
) -> Tensor:
    """The encoder's output [1, T, H], less what is keys and values."""
    encoder = backbone.model.get_encoder()  # type: ignore[attr-defined]
    parts = steps(backbone, row, index, prompts, nodes=nodes)
    if not parts:
        _, embeds = _embeds(backbone, row, index, prompts, nodes)
        return encoder(inputs_embeds=torch.cat([embeds, closing[None]], dim=1)).last_hidden_state
    slots, vectors, kept = [], [], []
    for part in [*parts, closing]:
        slot = part if isinstance(part, SlotTensors) else SlotTensors(embed=part)
        if slot is part:
            slots.append((sum(map(len, vectors)), slot))
        vectors.append(closing.new_zeros(slot.length, closing.shape[1]) if slot.embed is None else slot.embed)
        kept.append(torch.full((slot.length,), not slot.kv))
    embeds = torch.cat(vectors)[None]

    def run(absent: Tensor) -> Tensor:
        return encoder(inputs_embeds=embeds, attention_mask=(~absent)[None].long()).last_hidden_state

    return read_both_ways(encoder, run, slots, embeds.shape[1])[:, torch.cat(kept)]
