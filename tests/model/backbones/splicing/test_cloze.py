"""Lines of masked models: which tokens they hold, what is frozen, what is read where."""

import pytest

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Node, Readout, Row, Soft, Text
from softprompt.model.backbones.splicing.cloze import Marks, cloze, cloze_trunks

MARKS = Marks(close=0, mask=1)
BARE = Marks(close=0, mask=None)


def chain(*segments):
    return Row(tuple(Node(segment, n - 1 if n else None) for n, segment in enumerate(segments)))


def asked(row, *answers):
    last = len(row.nodes) - 1
    return Row((*row.nodes, *(Node(Answer((*ids, 0), n), last) for n, ids in enumerate(answers))))


def test_after_a_field_the_text_is_closed_and_observers_go_on_where_it_ends():
    row = asked(chain(Text((7,)), Text((8, 9), "text"), Soft("a", 2), Text((6,))), (5,))
    found = cloze([row], MARKS)
    (line,), (trunk,) = found.lines, found.trunks
    assert trunk.ids == (7, 8, 9, 0)
    assert (line.ids, line.positions) == ([0, 0, 6, 1, 0], [4, 5, 6, 7, 8])
    assert found.answers[0].reads == ((0, 3, 5),)


@pytest.mark.parametrize(
    "segments",
    [(Soft("a", 2), Text((8, 9), "text")), (Text((8, 9)), Soft("a", 2), Text((7,), "text")), (Text((8, 9), "text"),)],
    ids=["before", "words before", "no slot"],
)
def test_otherwise_all_is_live(segments):
    found = cloze([asked(chain(*segments), (5,))], MARKS)
    assert found.trunks == []
    assert found.lines[0].positions == list(range(len(found.lines[0].ids)))


def test_tokens_of_an_answer_are_predicted_from_left_to_right_among_masks():
    found = cloze([asked(chain(Text((9,), "text")), (5, 6, 7))], MARKS)
    assert [line.ids for line in found.lines] == [[9, 1, 1, 1, 0], [9, 5, 1, 1, 0], [9, 5, 6, 1, 0]]
    assert found.answers[0].reads == ((0, 1, 5), (1, 2, 6), (2, 3, 7))


def test_answers_of_one_length_and_beginning_share_lines_with_each_other_and_with_the_head():
    row = asked(chain(Text((9,), "text")), (5,), (6,), (5, 6), (5, 7), (8, 6))
    row = Row((*row.nodes, Node(Readout(), 0)))
    found = cloze([row], MARKS)
    assert [line.ids[1:] for line in found.lines] == [[1, 0], [1, 1, 0], [5, 1, 0], [8, 1, 0]]
    assert [(place.line, place.at) for place in found.readouts] == [(0, 1)]


def test_branches_share_one_frozen_text_and_no_line():
    text = Node(Text((8, 9), "text"))
    nodes = (text, Node(Soft("a", 1, 0), 0), Node(Readout(0), 1), Node(Soft("a", 2, 1), 0), Node(Readout(1), 3))
    found = cloze([Row(nodes)], MARKS)
    assert [line.trunk for line in found.lines] == [0, 0]
    assert len(found.trunks) == 1


def test_texts_that_go_on_differently_are_frozen_each():
    nodes = (Node(Text((8,), "text")), Node(Text((7,)), 0), Node(Soft("a", 1), 1), Node(Soft("a", 1), 0))
    assert [trunk.ids for trunk in cloze_trunks([Row(nodes)], MARKS)] == [(8, 7, 0), (8, 0)]


def test_frozen_texts_are_numbered_alike_whatever_is_read():
    nodes = (Node(Text((8,), "text")), Node(Soft("b", 1), 0), Node(Text((7,), "text")), Node(Soft("a", 1), 2))
    row = Row((*nodes, Node(Readout(), 3)))
    for ends in (False, True):
        assert [trunk.ids for trunk in cloze([row], MARKS, ends=ends).trunks] == [(8, 0), (7, 0)]


def test_ends_are_read_only_where_they_are_wanted():
    row = chain(Text((8,), "text"), Soft("a", 1))
    assert cloze([row], MARKS).lines == []
    assert [line.ids for line in cloze([row], MARKS, ends=True).lines] == [[0, 1, 0]]


def test_without_a_mask_head_heads_read_the_token_before_and_words_are_refused():
    found = cloze([chain(Text((8,), "text"), Soft("a", 2), Text((6, 7)), Readout())], BARE)
    assert (found.lines[0].ids, found.readouts[0].at) == ([0, 0, 6, 7, 0], 3)
    with pytest.raises(ModelError, match=r"no trained head .* \[model.no_mask_head\]; choose 'answers: vectors'"):
        cloze([asked(chain(Text((9,), "text")), (5,))], BARE)


def test_a_chain_with_readouts_is_one_line_in_which_each_reads_its_token():
    nodes = (Node(Text((8, 9), "text")), Node(Readout(1), 0), Node(Text((7,)), 0), Node(Readout(0), 2))
    for marks, last in ((MARKS, 3), (BARE, 2)):
        found = cloze([Row(nodes)], marks)
        assert len(found.lines) == 1
        assert [(place.prompt, place.at) for place in found.readouts] == [(1, 1), (0, last)]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (chain(Text(()), Readout()), "model.empty_row"),
        (Row((Node(Text(())), Node(Readout(1), 0), Node(Text((5,)), 0), Node(Readout(), 2))), "model.empty_row"),
        (asked(chain(Text((9,), "text")), ()), "model.empty_answer"),
    ],
    ids=["nothing before a head", "nothing before a head inside", "an answer without tokens"],
)
def test_what_cannot_be_read_is_refused(row, code):
    with pytest.raises(ModelError) as caught:
        cloze([row], MARKS)
    assert caught.value.code == code
