"""Lines as tensors, against a slow and plain picture of what they should be."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones.splicing.lines import Line, SoftRun
from softprompt.model.backbones.splicing.lowering import lower
from softprompt.model.backbones.splicing.splice import by_line, insert, lay_out, roll, tree_mask
from tests.laws.strategies import rows_of, sketches

CPU = torch.device("cpu")


def line(ids, *, trunk=None, start=0):
    made = Line(0, trunk, start)
    made.extend(ids, -1)
    return made


def state_of(lengths):
    """Keys that name row and token: 10 * row + token, zero where padded; values are their negatives."""
    width = max(lengths)
    keys = torch.zeros(len(lengths), 1, width, 1)
    for row, length in enumerate(lengths):
        keys[row, 0, width - length :, 0] = torch.arange(1, length + 1) + 10.0 * row
    return State((keys,), (-keys,), tuple(lengths))


def test_states_are_padded_on_the_left_and_lines_on_the_right():
    inputs = lay_out([line([5, 6], trunk=0, start=1), line([7, 8, 9], trunk=1, start=3), line([4])], 3, CPU)
    assert inputs.ids.tolist() == [[5, 6, 0], [7, 8, 9], [4, 0, 0]]
    assert inputs.positions.tolist() == [[1, 2, 2], [3, 4, 5], [0, 0, 0]]
    assert inputs.mask.int().tolist() == [[0, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 0, 0]]
    assert (inputs.starts, inputs.counts, inputs.ends) == ((1, 3, 0), (2, 3, 1), None)


def test_a_trunk_without_its_state_is_a_mistake():
    with pytest.raises(AssertionError, match="need its state"):
        lay_out([line([5], trunk=0, start=1)], 0, CPU)


@given(drawn=st.lists(sketches(), min_size=1, max_size=2), window=st.sampled_from([None, 1, 3, 7]))
@settings(max_examples=25)
def test_a_tree_mask_shows_state_and_ancestors_within_the_window(drawn, window):
    lines = lower(rows_of(drawn), tree=True, frozen="soft").lines
    width = max(line.start for line in lines)
    inputs = lay_out(lines, width, CPU)
    if inputs.ends is None:
        return
    seen = tree_mask(inputs, window=window)[:, 0]
    assert bool(seen.any(-1).all()), "no row of a mask is empty"
    for number, each in enumerate(lines):
        for at, position in enumerate(each.positions):
            expected = [False] * seen.shape[2]
            for token in range(each.start):
                expected[width - each.start + token] = window is None or position - token < window
            ancestor = at
            while ancestor >= 0:
                expected[width + ancestor] = window is None or position - each.positions[ancestor] < window
                ancestor = each.parents[ancestor]
            assert seen[number, at].tolist() == expected


@given(data=st.data())
def test_rolling_leaves_real_tokens_in_order_and_padding_zero(data):
    starts = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    counts = data.draw(st.lists(st.integers(1, 4), min_size=len(starts), max_size=len(starts)))
    lengths = [start + count for start, count in zip(starts, counts, strict=True)]
    width, columns = max(starts), max(counts)
    lines = [line([1] * n, trunk=row, start=start) for row, (start, n) in enumerate(zip(starts, counts, strict=True))]
    inputs = lay_out(lines, width, CPU)
    keys = torch.full((len(starts), 1, width + columns, 1), 99.0)  # what padding computes is not zero
    for row, (start, count) in enumerate(zip(starts, counts, strict=True)):
        keys[row, 0, : width - start] = 0  # but padding of a state is
        keys[row, 0, width - start : width + count, 0] = torch.arange(1, start + count + 1) + 10.0 * row
    rolled = roll([keys], [-keys], inputs)
    assert rolled.lengths == tuple(lengths)
    assert torch.equal(rolled.keys[0], state_of(lengths).keys[0])
    assert torch.equal(rolled.values[0], state_of(lengths).values[0])


def test_lines_get_the_rows_of_their_trunks_and_nothing_where_there_is_none():
    state = state_of([2, 3])
    lines = [line([1], trunk=1, start=3), line([1]), line([1], trunk=0, start=2), line([1], trunk=1, start=3)]
    found = by_line(state, lines)
    assert found.lengths == (3, 0, 2, 3)
    assert found.keys[0][:, 0, :, 0].tolist() == [[11, 12, 13], [0, 0, 0], [0, 1, 2], [11, 12, 13]]
    assert by_line(state, lines[:1] + lines[2:3]).lengths == (3, 2)


def test_soft_tokens_stand_in_their_places_with_a_graph_to_their_vectors():
    first, second = (torch.arange(6.0).view(3, 2) + 10 * n for n in (1, 2))
    first.requires_grad_()
    prompts = [PromptTensors({"a": SlotTensors(embed=first)}), PromptTensors({"a": SlotTensors(embed=second[:2])})]
    lines = [line([0, 0, 0, 7]), line([7, 0, 0])]
    lines[0].soft = [SoftRun(0, 0, "a", 1, 2, 3)]
    lines[1].soft = [SoftRun(1, 1, "a", 0, 2, 2)]
    embeds = torch.zeros(2, 4, 2, dtype=torch.bfloat16)
    found = insert(embeds, lines, prompts)
    assert found.dtype == torch.bfloat16
    assert found[0].tolist() == [[12, 13], [14, 15], [0, 0], [0, 0]]
    assert found[1].tolist() == [[0, 0], [20, 21], [22, 23], [0, 0]]
    found.sum().backward()
    assert first.grad.tolist() == [[0, 0], [1, 1], [1, 1]]
    assert not embeds.any()


def test_without_soft_tokens_embeddings_are_left_alone():
    embeds = torch.zeros(1, 2, 3)
    assert insert(embeds, [line([1, 2])], []) is embeds
