"""What transformers itself says of one reading of an encoder: one sequence, one explicit mask, one plain forward.

Text and observers go through the model together, under a mask of its size in which the text does not see what follows;
nothing is read before, padded, cached or shared, and every prediction of every answer is a forward of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from softprompt.core.records import Answer, Readout, Row, Soft, Text
from softprompt.core.tensors import PromptTensors
from softprompt.model.backbones.base import Backbone
from tests.laws.both_ways import Placed, read_both_ways
from tests.laws.roads import Seen

__all__ = ["cloze_oracle"]


def cloze_oracle(backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors]) -> Seen:
    """Everything that can be read of the rows, one prediction after the other."""
    seen: Seen = {}
    mask = backbone.marks.mask  # type: ignore[attr-defined]
    for number, row in enumerate(rows):
        segments = [node.segment for node in row.nodes]
        inner = {node.parent for node in row.nodes}
        texts = [index for index, segment in enumerate(segments) if isinstance(segment, Text)]
        chain = all(isinstance(segment, Text | Readout) for segment in segments) and all(
            row.path(index) == tuple(texts[: n + 1]) for n, index in enumerate(texts)
        )
        ends = 0
        for index, segment in enumerate(segments):
            path = row.path(index)[: None if isinstance(segment, Text | Soft) else -1]
            if isinstance(segment, Answer):
                ids = segment.ids[:-1]
                parts = []
                for n, token in enumerate(ids):
                    known = [*ids[:n], *[mask] * (len(ids) - n)]
                    at, _, logits = _forward(backbone, row, path, prompts, known)
                    parts.append(logits[at + n].log_softmax(-1)[token])
                seen["answer", number, segment.prompt_index, segment.candidate] = sum(parts)
            elif isinstance(segment, Readout):
                at, states, _ = _forward(backbone, row, texts if chain else path, prompts, [mask] if mask else [])
                at -= 0 if mask else 1
                if chain and path != tuple(texts):
                    at = sum(len(segments[i]) for i in path) - 1
                seen["readout", number, segment.prompt_index, 0] = states[at]
            elif index not in inner and mask:
                at, _, logits = _forward(backbone, row, path, prompts, [mask])
                seen["last", number, -1, ends] = logits[at]
                ends += 1
    return seen


def _forward(
    backbone: Backbone, row: Row, path: Sequence[int], prompts: Sequence[PromptTensors], behind: Sequence[int]
) -> tuple[int, Tensor, Tensor]:
    """Where the tokens behind the path begin, what the output layer gets, and the logits."""
    model = backbone.model  # type: ignore[attr-defined]
    table = model.get_input_embeddings()
    close = [backbone.tokenizer.eos_id]
    segments = [row.nodes[index].segment for index in path]
    soft = [n for n, segment in enumerate(segments) if isinstance(segment, Soft)]
    before = segments[: soft[0]] if soft else []
    frozen = sum(map(len, before)) if any(segment.field is not None for segment in before) else 0
    parts = [table.weight.new_zeros(0, table.weight.shape[1])]
    placed: list[Placed] = []
    for n, segment in enumerate(segments):
        if frozen and n == soft[0]:
            parts.append(table(torch.tensor(close)))
        if isinstance(segment, Soft):
            slot = prompts[segment.prompt_index].slots[segment.slot]
            if slot.embed is None:
                placed.append((sum(map(len, parts)), slot))
            blank = table.weight.new_zeros(slot.length, table.weight.shape[1])
            parts.append(blank if slot.embed is None else slot.embed.to(table.weight.dtype))
        elif segment.ids:
            parts.append(table(torch.tensor(segment.ids)))
    at = sum(len(part) for part in parts)
    embeds = torch.cat([*parts, table(torch.tensor([*behind, *close]))])[None]
    seen = torch.ones(embeds.shape[1], embeds.shape[1], dtype=torch.bool)
    if frozen:
        seen[: frozen + 1, frozen + 1 :] = False
    caught: list[Tensor] = []
    head = model.get_output_embeddings() if type(model).__name__.endswith("ForMaskedLM") else None
    handle = None if head is None else head.register_forward_pre_hook(lambda _, args: caught.append(args[0][0]))

    def run(absent: Tensor) -> Tensor:
        caught.clear()
        return _call(model, embeds, seen & ~absent)

    try:
        out = read_both_ways(model.base_model, run, placed, len(seen))
    finally:
        if handle is not None:
            handle.remove()
    return (at, out, out) if head is None else (at, caught[0], out)


def _call(model: torch.nn.Module, embeds: Tensor, seen: Tensor) -> Tensor:
    """Logits or, of a bare encoder, last states; each family takes such a mask in its own form."""
    kind = model.config.model_type
    if kind == "deberta-v2":  # its own entrance takes masks of padding only
        states = model.deberta.encoder(model.deberta.embeddings(inputs_embeds=embeds), seen[None])[0]
        return model.cls(states)[0]
    mask = seen[None, None]
    if kind == "mpnet":  # eager attention adds its mask
        mask = torch.zeros_like(mask, dtype=embeds.dtype).masked_fill(~mask, torch.finfo(embeds.dtype).min)
    out = model(inputs_embeds=embeds, attention_mask=mask)
    return (out.logits if hasattr(out, "logits") else out.last_hidden_state)[0]
