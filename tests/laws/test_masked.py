"""The laws on encoders: rows read both ways, masks as answers, texts that observers see and that never see them.

Truth is :mod:`tests.laws.cloze_oracle`. Every check is the one that causal models pass.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.core.records import Answer, Node, Readout, Row, Soft, Text, merge
from softprompt.model.backbones.base import Backbone
from softprompt.testing import ENCODERS, tiny
from tests.laws import checks
from tests.laws.cloze_oracle import cloze_oracle
from tests.laws.examples import text_of
from tests.laws.roads import ROADS, assert_equal, travel
from tests.laws.strategies import EOS, prompts_for, rows_of, sketches

#: Families without a mask head: rows without answers in words.
BARE = {"minilm", "electra_discriminator"}


def ask(*before: Node, prompt: int = 0) -> Row:
    """The chain ``before`` with candidates of one, two and three tokens below, two of which begin alike, and a head."""
    last = len(before) - 1
    answers = [(5, 6, 7, EOS), (5, 6, EOS), (8, 6, EOS), (9, EOS)]
    below = [Node(Answer(ids, number, prompt), last) for number, ids in enumerate(answers)]
    return Row((*before, *below, Node(Readout(prompt), last)))


#: After a long text; before one; between; words alone before; no slot; two roots; branches; as a probe reads.
MIXED = [
    ask(Node(Text((256,))), Node(Text(text_of(15), "text"), 0), Node(Soft("a", 3, 0), 1), Node(Text((40, 41)), 2)),
    ask(Node(Soft("a", 2, 1)), Node(Text(text_of(9, start=3), "text"), 0), Node(Text((42,)), 1), prompt=1),
    ask(Node(Text((60, 61), "a")), Node(Soft("b", 1, 2), 0), Node(Text(text_of(11, start=5), "b"), 1), prompt=2),
    ask(Node(Text((62, 63))), Node(Soft("b", 1, 2), 0), Node(Text(text_of(5, start=5), "text"), 1), prompt=2),
    ask(Node(Text(text_of(4, start=9), "text"))),
    Row((*ask(Node(Text((70, 71, 72)))).nodes, Node(Soft("b", 4, 1)), Node(Answer((9, EOS), 4, 1), 6))),
    Row(
        (
            Node(Text(text_of(12, start=11), "text")),
            Node(Soft("a", 3, 0), 0),
            Node(Answer((5, 6, EOS), 0, 0), 1),
            Node(Text((80, 81)), 1),
            Node(Answer((5, 6, EOS), 1, 0), 3),
            Node(Soft("a", 2, 1), 0),
            Node(Text(()), 5),
            Node(Readout(1), 6),
            Node(Text((82, 83, 84), "text"), 0),
            Node(Soft("b", 1, 2), 8),
        )
    ),
    Row((Node(Text((9, 8), "text")), Node(Readout(1), 0), Node(Text((7,)), 0), Node(Readout(0), 2))),
]


def for_family(family: str, rows: list[Row]) -> list[Row]:
    """The rows as the family can be asked: a bare encoder gets no answers in words."""
    return [_without_answers(row) for row in rows] if family in BARE else rows


def model_of(family: str, **options: Any) -> Backbone:
    """A tiny encoder; a bare one with an uneven last norm, whose states would else add up to the same."""
    backbone = tiny(family, **options)
    if family in BARE:
        norms = [tensor for name, tensor in backbone.model.named_parameters() if name.endswith("LayerNorm.weight")]
        norms[-1].data.copy_(torch.linspace(0.5, 1.5, len(norms[-1])))
    return backbone


def _without_answers(row: Row) -> Row:
    kept = [index for index, node in enumerate(row.nodes) if not isinstance(node.segment, Answer)]
    where = {index: n for n, index in enumerate(kept)}
    nodes = [row.nodes[index] for index in kept]
    return Row(tuple(replace(node, parent=None if node.parent is None else where[node.parent]) for node in nodes))


def _spoken(row: Row) -> Row:
    """Answers without a token get one."""
    said = [n.segment for n in row.nodes]
    empty = [isinstance(segment, Answer) and len(segment.ids) == 1 for segment in said]
    pairs = zip(row.nodes, empty, strict=True)
    return Row(tuple(replace(n, segment=replace(n.segment, ids=(6, EOS))) if bad else n for n, bad in pairs))


@pytest.mark.parametrize("family", ENCODERS)
@settings(max_examples=4)
@given(drawn=st.lists(sketches(), min_size=1, max_size=3))
def test_every_road_equals_plain_transformers(family, drawn):
    rows = for_family(family, [_spoken(row) for row in rows_of(drawn)])
    backbone = model_of(family)
    prompts = prompts_for(backbone)
    with torch.no_grad():
        truth = cloze_oracle(backbone, rows, prompts)
        for road in ROADS:
            assert_equal(travel(backbone, rows, prompts, road), truth)


@pytest.mark.parametrize("family", ENCODERS)
def test_scores_company_roads_and_gradients(family):
    backbone, rows = model_of(family), for_family(family, MIXED)
    prompts = prompts_for(backbone)
    checks.check_scores(backbone, rows, prompts)
    checks.check_mates(backbone, rows, prompts)
    checks.check_roads(backbone, rows, prompts)
    checks.check_gradients(backbone, rows, prompts)


@pytest.mark.parametrize("family", ["bert", "albert", "deberta_v2", "minilm"])
def test_forgetting_activations_changes_neither_loss_nor_gradient(family):
    backbone = model_of(family)
    checks.check_checkpoint(backbone, for_family(family, MIXED), prompts_for(backbone))


@pytest.mark.parametrize("family", ENCODERS)
def test_training_leaves_every_tensor_of_the_model_bit_identical(family):
    backbone = model_of(family)
    checks.check_frozen(backbone, for_family(family, MIXED), prompts_for(backbone))


@pytest.mark.parametrize("family", ENCODERS)
def test_merged_rows_score_as_they_do_apart(family):
    backbone = model_of(family)
    prompts = prompts_for(backbone)
    text = Node(Text(text_of(13), "text"))
    asked = [ask(text, Node(Soft("a", length, k), 0), prompt=k) for k, length in ((0, 3), (1, 2), (2, 3))]
    rows = for_family(family, asked)
    for road in ("repeated rows", "repeated rows on states"):
        with torch.no_grad():
            apart = [travel(backbone, [row], prompts, road) for row in rows]
            together = travel(backbone, [merge(rows)], prompts, road)
        assert_equal(together, {key: value for seen in apart for key, value in seen.items()})


@pytest.mark.parametrize("family", ["bert", "albert", "mpnet"])  # DeBERTa's own scale has single precision
def test_in_double_precision_gradients_agree_to_nine_digits(family):
    backbone = model_of(family, dtype=torch.float64)
    checks.check_gradients(backbone, MIXED, prompts_for(backbone), tolerance=1e-9)


@pytest.mark.parametrize("family", ["bert", "albert", "mpnet", "deberta_v2"])
def test_in_bfloat16_states_cost_no_accuracy(family):
    low, exact = model_of(family, dtype=torch.bfloat16), model_of(family)
    checks.check_low_precision(low, exact, MIXED * 3, prompts_for(exact))
