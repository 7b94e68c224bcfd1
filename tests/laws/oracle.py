"""What transformers itself says of one row: plain forwards of one path at a time.

Shares nothing with the code under test but the rows: no lowering, no padding, no mask, no positions, no cache, no hook.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from softprompt.core.records import Answer, Readout, Row, Soft
from softprompt.core.tensors import PromptTensors
from softprompt.model.backbones.base import Backbone
from tests.laws.roads import Seen

__all__ = ["greedy", "oracle"]


def oracle(backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors]) -> Seen:
    """Everything that can be read of the rows, one path after the other."""
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
    out = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=num_tokens,
        min_new_tokens=num_tokens,
        do_sample=False,
        pad_token_id=0,
    )
    return out[0, len(ids) :].tolist()


def _embeds(backbone: Backbone, row: Row, index: int, prompts: Sequence[PromptTensors]) -> tuple[int, Tensor]:
    table = backbone.model.get_input_embeddings()  # type: ignore[attr-defined]
    parts = []
    for at in row.path(index):
        segment = row.nodes[at].segment
        if isinstance(segment, Soft):
            vectors = prompts[segment.prompt_index].slots[segment.slot].embed
            parts.append(vectors.to(table.weight.dtype))
        elif not isinstance(segment, Readout):
            ids = segment.ids[:-1] if isinstance(segment, Answer) else segment.ids
            parts.append(table(torch.tensor(ids, dtype=torch.long)))
    embeds = torch.cat(parts)[None]
    last = row.nodes[index].segment
    return embeds.shape[1] - (len(last) - 1 if isinstance(last, Answer) else 0), embeds


def _forward(backbone: Backbone, row: Row, index: int, prompts: Sequence[PromptTensors]) -> tuple[int, Tensor]:
    before, embeds = _embeds(backbone, row, index, prompts)
    logits = backbone.model(inputs_embeds=embeds, use_cache=False).logits[0]  # type: ignore[attr-defined]
    return before, logits


def _states(backbone: Backbone, row: Row, index: int, prompts: Sequence[PromptTensors]) -> Tensor:
    _, embeds = _embeds(backbone, row, index, prompts)
    return backbone.model.base_model(inputs_embeds=embeds, use_cache=False).last_hidden_state[0]  # type: ignore[attr-defined]
