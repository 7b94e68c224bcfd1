"""Rows at the edges: one, empty, as long as the context, longer, without prompts, and prompts that do not fit."""

import pytest
import torch

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Batch, Node, Readout, Row, Soft, Text, merge
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.backbones.base import Want
from softprompt.testing import tiny
from tests.laws.checks import check_roads, check_scores
from tests.laws.examples import EMPTY_TEXT, MIXED, ask, text_of
from tests.laws.roads import assert_equal, travel
from tests.laws.strategies import EOS, EVERY, prompts_for, sided

EDGES = {
    "one row": [MIXED[0]],
    "an empty text": [EMPTY_TEXT],
    "an empty text beside others": [EMPTY_TEXT, *MIXED],
    "one token and no prompt": [ask(Node(Text((9,), "text")))],
    "one token before soft tokens": [ask(Node(Text((9,), "text")), Node(Soft("a", 3), 0))],
    "empty nodes between the text and its readers": [
        Row((Node(Text((8, 9), "text")), Node(Text(()), 0), Node(Answer((5, EOS)), 1), Node(Soft("b", 1), 0)))
    ],
}


@pytest.mark.parametrize("rows", EDGES.values(), ids=EDGES.keys())
@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "bloom", "t5", "bart"])
def test_edges_obey_the_laws(family, rows):
    backbone = tiny(family)
    prompts = prompts_for(backbone)
    rows = sided(backbone, rows)
    check_scores(backbone, rows, prompts)
    check_roads(backbone, rows, prompts)


@pytest.mark.parametrize("family", EVERY)
def test_without_any_prompt_the_model_is_asked_as_it_is(family):
    backbone = tiny(family)
    rows = [ask(Node(Text(text_of(n), "text"))) for n in (10, 1, 5)]
    check_scores(backbone, rows, [])
    check_roads(backbone, rows, [])


@pytest.mark.parametrize("family", ["llama", "gemma3", "falcon_alibi", "t5", "bart"])
def test_merged_rows_score_as_they_do_apart(family):
    backbone = tiny(family)
    prompts = prompts_for(backbone)
    text = Node(Text(text_of(13), "text"))
    rows = [ask(text, Node(Soft("a", length, k), 0), prompt=k) for k, length in ((0, 3), (1, 2), (2, 3))]
    for road in ("repeated rows", "tree", "tree on states", "repeated rows on states"):
        with torch.no_grad():
            apart = [travel(backbone, [row], prompts, road) for row in rows]
            together = travel(backbone, [merge(rows)], prompts, road)
        assert_equal(together, {key: value for seen in apart for key, value in seen.items()})


def test_a_terminator_alone_is_an_answer_and_lengths_count_it():
    backbone = tiny("llama")
    found = backbone.forward(Batch((ask(Node(Text((5, 6)))),))).answers[0]
    assert dict(zip(found.candidates.tolist(), found.lengths.tolist(), strict=True)) == {0: 4, 1: 3, 2: 1}
    assert bool((found.scores < 0).all())


def test_a_row_may_fill_the_context_and_no_more():
    backbone = tiny("gpt2")
    full = backbone.spec.max_positions
    fits, long = (ask(Node(Text(text_of(n), "text")), head=False) for n in (full - 3, full - 2))
    check_scores(backbone, [fits], [])
    for rows in ([long], [fits, long]):
        with pytest.raises(ModelError, match=f"needs {full + 1} tokens, tiny-gpt2 takes {full}") as caught:
            backbone.forward(Batch(tuple(rows)))
        assert caught.value.code == "model.too_long"
    state = backbone.read(Batch((long,)))
    assert state.lengths == (full - 3,)
    with pytest.raises(ModelError, match="shorten the text"):
        backbone.forward(Batch((long,)), (), state)
    with pytest.raises(ModelError, match="shorten the text"):
        backbone.step(state, torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(ModelError, match="shorten the text"):
        backbone.read(Batch((Row((Node(Text((1,) * (full + 1))), Node(Soft("a", 1), 0))),)))


@pytest.mark.parametrize("reader", [Answer((5, EOS)), Readout(0)], ids=["answer", "head"])
def test_something_has_to_stand_before_an_answer(reader):
    row = Row((Node(Text((), "text")), Node(reader, 0)))
    with pytest.raises(ModelError, match="no token before the place") as caught:
        tiny("llama").forward(Batch((row,)), want=Want())
    assert caught.value.code == "model.empty_row"
    assert "{bos}" in caught.value.cure


def slot(**tensors):
    return [PromptTensors({"a": SlotTensors(**tensors)})]


UNFIT = {
    "another length": (slot(embed=torch.zeros(2, 32)), "holds 2 x 32 numbers .* need 3 x 32"),
    "a longer one": (slot(embed=torch.zeros(4, 32)), "holds 4 x 32 numbers .* need 3 x 32"),
    "another width": (slot(embed=torch.zeros(3, 31)), "holds 3 x 31 numbers .* need 3 x 32"),
    "nothing": ([PromptTensors()], "slot 'a' of prompt 0 holds nothing"),
    "no prompt at all": ([], "slot 'a' of prompt 0 is asked for, and there are 0 prompts"),
}


@pytest.mark.parametrize(("prompts", "message"), UNFIT.values(), ids=UNFIT.keys())
def test_prompts_that_do_not_fit_are_refused(prompts, message):
    row = ask(Node(Text((5,))), Node(Soft("a", 3), 0))
    with pytest.raises(ModelError, match=message) as caught:
        tiny("llama").forward(Batch((row,)), prompts)
    assert caught.value.code == "model.unsupported_prompt"


def test_a_plan_counts_what_is_frozen_and_reads_each_place_once():
    backbone = tiny("llama")
    row = ask(Node(Text(text_of(20), "text")), Node(Soft("a", 3), 0))
    plan = backbone.plan(Batch((row, row)))
    # Live: 3 soft tokens, then the trie 5 - 6 - 7; read: the end of the soft tokens (head and answers), 5, 6, 7.
    assert (plan.lines, plan.frozen_tokens, plan.live_tokens, plan.readers) == (2, 40, 12, 8)
    assert plan.state_bytes == backbone.read(Batch((row, row))).num_bytes
    assert plan.frozen_share == 40 / 52
    everything = backbone.plan(Batch((row, row)), frozen=None)
    assert (everything.frozen_tokens, everything.live_tokens) == (0, 52)
    assert everything.live_flops == plan.live_flops + plan.frozen_flops
