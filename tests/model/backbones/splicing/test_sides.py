"""Row trees in two parts, by hand: what the encoder reads, who shares it, and what the decoder gets."""

import pytest

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Node, Readout, Row, Soft, Text, merge
from softprompt.model.backbones.splicing.sides import Frame, split

FRAME = Frame(closing=(1,), opening=(0,))


def lines(sides):
    return [(reading.line.ids, reading.trunk is not None) for reading in sides.readings]


def test_segments_without_a_side_belong_to_the_encoder_up_to_the_answer():
    row = Row((Node(Text((5, 6), "text")), Node(Soft("a", 2), 0), Node(Text((7,)), 1), Node(Answer((9, 1)), 2)))
    sides = split([row], FRAME)
    assert lines(sides) == [([5, 6, 0, 0, 7, 1], False)]
    (line,) = sides.lower(tree=False).lines
    assert line.ids == [0, 9]


def test_prompts_on_the_decoders_side_share_one_reading():
    def ask(k):
        text, soft = Node(Text((5, 6), "text"), None, "encoder"), Node(Soft("a", 2, k), 0, "decoder")
        return Row((text, soft, Node(Readout(k), 1)))

    sides = split([merge([ask(0), ask(1)])], FRAME)
    assert lines(sides) == [([5, 6, 1], True)]
    lowered = sides.lower(tree=False)
    assert [line.ids for line in lowered.lines] == [[0, 0, 0], [0, 0, 0]]
    assert [place.row for place in lowered.readouts] == [0, 0]


def test_a_longer_text_is_another_reading_and_branches_keep_their_order():
    nodes = (
        Node(Text((5,), "text")),
        Node(Soft("a", 1), 0, "decoder"),
        Node(Text((6,)), 0, "encoder"),
        Node(Text((7,)), 0, "decoder"),
    )
    sides = split([Row(nodes)], FRAME)
    assert lines(sides) == [([5, 1], True), ([5, 6, 1], True)]
    assert sides.memories == [0, 1, 0]
    assert [line.ids for line in sides.lower(tree=False).lines] == [[0, 0], [0], [0, 7]]


def test_for_use_a_reading_is_frozen_if_it_holds_no_field():
    slot, words, field = Soft("a", 2), Text((5,)), Text((6,), "text")
    chain = [Row((Node(slot, None, "encoder"), Node(other, 0, "encoder"))) for other in (words, field)]
    assert [bool(split([row], FRAME, frozen="field").trunks) for row in chain] == [True, False]
    assert [bool(split([row], FRAME, frozen="soft").trunks) for row in chain] == [False, False]


def test_what_cannot_be_read_is_refused():
    below = Row((Node(Text((5,)), None, "decoder"), Node(Text((6,)), 0, "encoder")))
    with pytest.raises(ModelError, match="below one of the decoder") as caught:
        split([below], FRAME)
    assert caught.value.code == "model.unsupported_prompt"
    with pytest.raises(ModelError, match="encoder of a row gets no token") as caught:
        split(
            [
                Row(
                    (
                        Node(
                            Text(()),
                        ),
                        Node(Answer((9, 1)), 0),
                    )
                )
            ],
            Frame((), (0,)),
        )
    assert caught.value.code == "model.empty_row"
