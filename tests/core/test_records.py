"""Row trees: paths, trunks and merging."""

import pytest

from softprompt.core.records import Answer, Example, Node, Readout, Row, Soft, Text, content_hash, merge


def ask(prompt, *, text=(5, 6), target=0):
    nodes = (Node(Text(text, "text")), Node(Soft("soft", 2, prompt), 0), Node(Answer((9, 0), 0, prompt), 1))
    return Row(nodes, id="x", weight=2.0, target={prompt: target})


def test_equal_beginnings_are_read_once_and_targets_are_united():
    both = merge([ask(0), ask(1, target=3)])
    assert [node.parent for node in both.nodes] == [None, 0, 1, 0, 3]
    assert both.target == {0: 0, 1: 3}
    assert (both.id, both.weight) == ("x", 2.0)


def test_other_texts_stay_apart():
    assert merge([ask(0), ask(1, text=(5, 7))]).roots() == (0, 3)


def test_a_row_merged_with_itself_is_itself():
    assert merge([ask(0), ask(0)]) == ask(0)


def test_two_targets_for_one_prompt_are_a_mistake():
    with pytest.raises(AssertionError, match="different targets for prompt 0"):
        merge([ask(0), ask(0, target=1)])


def test_the_trunk_stops_at_soft_slots_answers_heads_and_branches():
    text = [Node(Text((1,))), Node(Text((2, 3), "text"), 0)]
    for stop in (Soft("a", 1), Answer((0,)), Readout()):
        row = Row((*text, Node(stop, 1)))
        assert row.trunk(0) == (0, 1)
        assert row.trunk_ids(0) == (1, 2, 3)
    assert Row((*text, Node(Text((4,)), 0))).trunk(0) == (0,)
    assert Row((Node(Soft("a", 1)), Node(Text((4,)), 0))).trunk(0) == ()


def test_hashes_do_not_confuse_neighbours():
    assert content_hash([1, 23]) != content_hash([12, 3])
    assert Example({"a": "b"}).content != Example({"b": "a"}).content
    assert Example({"a": "x", "b": "y"}).content == Example({"b": "y", "a": "x"}).content
    assert Example({"a": "\ud800"}).content
