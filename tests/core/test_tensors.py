"""States and prompt tensors: pure book-keeping, against slow pictures of it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.tensors import Head, PromptTensors, SlotTensors, State

lengths = st.lists(st.integers(0, 4), min_size=1, max_size=4)


def state_of(rows, *, padding=0):
    """One layer of one head whose keys are the given numbers; values are their negatives."""
    width = max(map(len, rows)) + padding
    keys = torch.zeros(len(rows), 1, width, 1)
    for i, row in enumerate(rows):
        keys[i, 0, width - len(row) :, 0] = torch.tensor(row)
    return State((keys,), (-keys,), tuple(map(len, rows)))


def rows_of(state):
    """The numbers back; padding has to be zero, and values the negatives."""
    assert torch.equal(state.keys[0], -state.values[0])
    found = []
    for keys, length in zip(state.keys[0][:, 0, :, 0].tolist(), state.lengths, strict=True):
        assert not any(keys[: len(keys) - length])
        found.append(keys[len(keys) - length :])
    return found


def numbers(lengths):
    return [[10.0 * row + n + 1 for n in range(length)] for row, length in enumerate(lengths)]


@given(lengths=lengths, padding=st.integers(0, 2), data=st.data())
def test_rows_are_taken_in_any_order_and_number(lengths, padding, data):
    rows = numbers(lengths)
    order = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=5))
    assert rows_of(state_of(rows, padding=padding).take(order)) == [rows[i] for i in order]


@given(lengths=lengths, length=st.integers(0, 5))
def test_rows_are_cropped_to_their_first_tokens(lengths, length):
    rows = numbers(lengths)
    assert rows_of(state_of(rows).crop(length)) == [row[:length] for row in rows]


@given(parts=st.lists(lengths, min_size=1, max_size=3), padding=st.integers(0, 2))
def test_states_of_different_lengths_are_stacked(parts, padding):
    rows = [numbers(part) for part in parts]
    stacked = State.stack([state_of(part, padding=padding) for part in rows])
    assert rows_of(stacked) == [row for part in rows for row in part]


@given(lengths=lengths, index=st.integers(0, 3), length=st.none() | st.integers(0, 5))
def test_one_row_has_no_padding(lengths, index, length):
    rows = numbers(lengths)
    index %= len(rows)
    row = state_of(rows, padding=1).row(index, length)
    assert rows_of(row) == [rows[index][:length]]
    assert row.width == len(rows[index][:length])


def test_bytes_count_keys_and_values_with_their_padding():
    assert state_of([[1.0, 2.0], [3.0]]).num_bytes == 2 * 2 * 2 * 4


def prompt():
    deep = SlotTensors(
        hidden={2: torch.ones(3, 4)}, kv={1: (torch.ones(2, 3, 5), torch.zeros(2, 3, 6)), 0: (torch.ones(1, 3, 5),) * 2}
    )
    return PromptTensors({"a": SlotTensors(embed=torch.ones(2, 4)), "b": deep}, Head(torch.ones(3, 4), torch.zeros(3)))


def test_a_prompt_is_its_named_tensors():
    tensors = dict(prompt().tensors())
    assert list(tensors) == [
        "slots.a.embed",
        "slots.b.hidden.2",
        "slots.b.keys.0",
        "slots.b.values.0",
        "slots.b.keys.1",
        "slots.b.values.1",
        "head.weight",
        "head.bias",
    ]
    again = dict(PromptTensors.from_tensors(tensors).tensors())
    assert all(again[name] is tensor for name, tensor in tensors.items())
    assert prompt().num_parameters == sum(tensor.numel() for tensor in tensors.values())


@pytest.mark.parametrize("name", ["embed", "slots.a.vectors", "slots.a.keys", "head.scale"])
def test_unknown_names_are_refused(name):
    with pytest.raises(KeyError, match=name):
        PromptTensors.from_tensors({name: torch.ones(1)})


def test_a_slot_is_as_long_as_what_stands_in_it():
    slots = prompt().slots
    assert (slots["a"].length, slots["b"].length, SlotTensors().length) == (2, 3, 0)
    assert SlotTensors(kv={0: (torch.ones(2, 3, 5), torch.zeros(2, 3, 6))}).length == 3


def test_moved_and_detached_prompts_are_copies():
    leaf = torch.ones(2, 4, requires_grad=True)
    original = PromptTensors({"a": SlotTensors(embed=leaf)})
    assert original.to(torch.bfloat16).slots["a"].embed.dtype == torch.bfloat16
    copy = original.detach().slots["a"].embed
    assert not copy.requires_grad
    assert copy.data_ptr() != leaf.data_ptr()


@given(parts=st.lists(lengths, min_size=1, max_size=3), data=st.data())
def test_a_memory_goes_wherever_its_rows_go(parts, data):
    """A memory is a state of its own, with other lengths: twice the numbers and one more here."""
    states = []
    for part in parts:
        rows = numbers(part)
        states.append(replace(state_of(rows), memory=state_of([[*row, *row, 1.0] for row in rows])))
    stacked = State.stack(states)
    order = data.draw(st.lists(st.integers(0, len(stacked) - 1), min_size=1, max_size=5))
    taken = stacked.take(order).crop(2)
    expected = [rows_of(stacked)[i] for i in order]
    assert rows_of(taken) == [row[:2] for row in expected]
    assert rows_of(taken.memory) == [[*row, *row, 1.0] for row in expected]
    assert taken.num_bytes == sum(t.numel() * 4 for t in (*taken.keys, *taken.values, *taken.memory.tensors()))


def test_rows_with_and_without_a_memory_are_not_mixed():
    plain = state_of([[1.0]])
    with pytest.raises(AssertionError, match="either all rows"):
        State.stack([plain, replace(plain, memory=plain)])


@given(data=st.data())
def test_tokens_keep_the_layer_in_which_they_begin_wherever_they_go(data):
    """The numbers of the tokens name it, so where a token goes its layer has to be found."""
    rows = numbers(data.draw(lengths))
    state = state_of(rows)
    late = replace(state, since=state.keys[0][:, 0, :, 0].long() % 3)

    def right(found):
        assert torch.equal(found.since, found.keys[0][:, 0, :, 0].long() % 3)

    right(late.take(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=4))))
    right(late.crop(data.draw(st.integers(0, 3))))
    right(late.row(0))
    other = state_of(numbers([5]))
    mixed = State.stack([late, other])
    right(replace(mixed.take(range(len(rows)))))
    assert not mixed.since[-1].any(), "what has no layers begins at the first"
