"""What each token of a text adds to the answer's log-odds, by integrated gradients.

The tokens' embeddings are handed to the model as soft tokens, so that they can be differentiated by: no part of the
model has to know. The gradient is averaged over the way from zero vectors to the text's own, and multiplied with these.

Source: Sundararajan, Taly, Yan, ICML 2017, 3319-3328.

Knows predictors and rows; no words (see :mod:`softprompt.lab.explanation`).
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.core.records import Batch, Example, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.prediction import Ask, Prediction, Predictor
from softprompt.model.prompted import PromptedModel

__all__ = ["STEPS", "integrated_gradients", "opened_row", "token_ends"]

#: Points on the way from no text to the text at which a gradient is taken.
STEPS = 8


def integrated_gradients(predictor: Predictor, asked: Ask, row: Row, said: Prediction) -> list[Float[Tensor, " T"]]:
    """Of each node of field text, what its tokens add to the answer's log-odds, in nats.

    Args:
        predictor: Asks the model.
        asked: The prompt that is asked.
        row: Of the text, for prompt 0.
        said: What it answers to it.
    """
    opened, inputs = opened_row(predictor, row)
    model = PromptedModel(predictor.backbone)
    by_token = asked.answers.normalise == "length"

    def logs(one: Row, prompt: PromptTensors) -> Float[Tensor, " C"]:
        scores = model.scores(Batch((one,)), prompts=[prompt])[0]
        return (scores.normalised() if by_token else scores).values[0].double()

    with torch.no_grad():  # corrections of scores add constants to their logarithms: what was said shows which
        told = torch.tensor([math.log(max(p, 1e-300)) for p in (said.probabilities or {}).values()])
        uncorrected = logs(row, asked.tensors)
        added = told.to(uncorrected) - uncorrected
    right = list(said.probabilities or {}).index(said.text)
    sums = [torch.zeros_like(vectors, dtype=torch.float32) for vectors in inputs.values()]
    for step in range(STEPS):
        part = (step + 0.5) / STEPS
        leaves = {name: (part * vectors).requires_grad_() for name, vectors in inputs.items()}
        slots = {**asked.tensors.slots, **{name: SlotTensors(embed=leaf) for name, leaf in leaves.items()}}
        found = logs(opened, PromptTensors(slots, asked.tensors.head)) + added
        log_odds = found[right] - torch.logsumexp(torch.cat([found[:right], found[right + 1 :]]), 0)
        gradients = torch.autograd.grad(log_odds, list(leaves.values()))
        sums = [total + gradient.float() / STEPS for total, gradient in zip(sums, gradients, strict=True)]
    return [(vectors.float() * total).sum(-1) for vectors, total in zip(inputs.values(), sums, strict=True)]


def opened_row(predictor: Predictor, row: Row) -> tuple[Row, dict[str, Float[Tensor, "T E"]]]:
    """The row with its fields' tokens as soft ones, and the vectors that they stand for, by slot."""
    nodes: list[Node] = []
    inputs: dict[str, Tensor] = {}
    for node in row.nodes:
        segment = node.segment
        if isinstance(segment, Text) and segment.field is not None and len(segment):
            name = f"tokens {len(inputs)}"  # no slot's name has a blank
            inputs[name] = predictor.backbone.embed(torch.tensor(segment.ids)).detach()
            node = replace(node, segment=Soft(name, len(segment)))
        nodes.append(node)
    return replace(row, nodes=tuple(nodes)), inputs


def token_ends(asked: Ask, row: Row, example: Example) -> list[tuple[str, list[int]]] | None:
    """Field and the end of each token in its text, by node; None where decoding does not give the text again."""
    tokenizer = asked.builder.tokenizer
    found = []
    for node in row.nodes:
        segment = node.segment
        if not isinstance(segment, Text) or segment.field is None or not len(segment):
            continue
        text = example.fields[segment.field]
        whole = tokenizer.decode(segment.ids)
        lead = len(whole) - len(whole.lstrip()) - (len(text) - len(text.lstrip()))
        if whole.strip() != text.strip():
            return None
        ends = [len(tokenizer.decode(segment.ids[:n]).rstrip("\ufffd")) - lead for n in range(1, len(segment) + 1)]
        found.append((segment.field, ends))
    return found
