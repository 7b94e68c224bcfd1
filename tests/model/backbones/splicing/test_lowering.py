"""Row trees as lines: the same paths on every road, each shared beginning once, the trunk as long as it may be."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Node, Readout, Row, Soft, Text
from softprompt.model.backbones.splicing.lines import Line
from softprompt.model.backbones.splicing.lowering import chain, lower, trunks
from tests.laws.examples import MIXED
from tests.laws.strategies import rows_of, sketches

batches = st.lists(sketches(), min_size=1, max_size=3)


def path(lowered, rows, line, at):
    """What stands before and at a token: the trunk's tokens, then those of the line; soft tokens by name."""
    line = lowered.lines[line]
    trunk = [] if line.trunk is None else symbols(chain(rows[line.row], lowered.trunks[line.trunk]))
    own, found = symbols(line), []
    while at >= 0:
        found.append(own[at])
        at = line.parents[at]
    return (*trunk, *reversed(found))


def symbols(line):
    found = list(line.ids)
    for run in line.soft:
        found[run.at : run.at + run.num] = [(run.prompt, run.slot, run.offset + n) for n in range(run.num)]
    return found


def readings(lowered, rows):
    """Everything that is read, with all that stands before it."""
    answers = [
        (
            answer.prompt,
            answer.row,
            answer.candidate,
            tuple((path(lowered, rows, r.line, r.at), r.token) for r in answer.reads),
        )
        for answer in lowered.answers
    ]
    places = [(place.prompt, place.row, path(lowered, rows, place.line, place.at)) for place in lowered.readouts]
    return answers, places, [(end.row, path(lowered, rows, end.line, end.at)) for end in lowered.ends]


@given(drawn=batches)
def test_every_reader_sees_the_same_path_on_every_road(drawn):
    rows = rows_of(drawn)
    expected = readings(lower(rows, tree=False, frozen=None), rows)
    for tree in (False, True):
        for frozen in (None, "soft", "field"):
            assert readings(lower(rows, tree=tree, frozen=frozen), rows) == expected


@given(drawn=batches)
def test_positions_count_the_path(drawn):
    rows = rows_of(drawn)
    for tree in (False, True):
        lowered = lower(rows, tree=tree, frozen="soft")
        for number, line in enumerate(lowered.lines):
            lengths = [len(path(lowered, rows, number, at)) for at in range(len(line.ids))]
            assert line.positions == [length - 1 for length in lengths]
            assert line.length == max(lengths, default=line.start)


@given(drawn=batches)
def test_descendants_are_neighbours(drawn):
    """The rule behind the tree mask: i descends from j, or is j, exactly where j <= i < ends[j]."""
    for line in lower(rows_of(drawn), tree=True, frozen=None).lines:
        ends = line.ends()
        for i in range(len(line.ids)):
            ancestors, at = set(), i
            while at >= 0:
                ancestors.add(at)
                at = line.parents[at]
            assert ancestors == {j for j in range(len(line.ids)) if j <= i < ends[j]}


@given(drawn=batches)
def test_lines_branch_on_trees_only_and_trunks_match_their_lines(drawn):
    rows = rows_of(drawn)
    for frozen in ("soft", "field"):
        lowered = lower(rows, tree=False, frozen=frozen)
        assert not any(line.branches for line in lowered.lines)
        assert lowered.trunks == trunks(rows, frozen=frozen)
        for line in lowered.lines:
            assert line.start == (0 if line.trunk is None else lowered.trunks[line.trunk].length)
    for line in lower(rows, tree=True, frozen=None).lines:
        assert line.branches == any(after != before + 1 for before, after in pairwise([-2, *line.parents]))


@given(drawn=batches)
def test_a_tree_computes_every_token_once(drawn):
    rows = rows_of(drawn)
    lowered = lower(rows, tree=True, frozen=None)
    assert len(lowered.lines) == sum(len(row.roots()) for row in rows)
    expected = 0
    for row in rows:
        expected += sum(len(node.segment) for node in row.nodes if not isinstance(node.segment, Answer))
        answers = [(node.parent, node.segment.ids) for node in row.nodes if isinstance(node.segment, Answer)]
        expected += len({(parent, ids[:n]) for parent, ids in answers for n in range(1, len(ids))})
    assert lowered.num_live == expected


def test_shared_beginnings_of_answers_are_one_branch_of_a_trie():
    answers = [(5, 6, 0), (5, 0), (5, 6, 7, 0), (9, 0), (0,)]
    row = Row((Node(Text((1, 2))), *(Node(Answer(ids, n), 0) for n, ids in enumerate(answers))))
    lowered = lower([row], tree=True, frozen=None)
    assert lowered.lines[0].ids == [1, 2, 5, 6, 7, 9]
    assert [answer.candidate for answer in lowered.answers] == [0, 1, 2, 3, 4]
    assert [read[1:] for read in lowered.answers[2].reads] == [(1, 5), (2, 6), (3, 7), (4, 0)]
    assert [read[1:] for read in lowered.answers[4].reads] == [(1, 0)]


TRUNKS = {
    "up to the soft slot": ((Text((1, 2)), Text((3,)), Soft("a", 2)), 3, 4),
    "less the token that is read": ((Text((1, 2)), Answer((0,))), 1, 1),
    "less the token that is read by a head": ((Text((1, 2)), Readout()), 1, 1),
    "less the last token of all": ((Text((1, 2)),), 1, 1),
    "less a token before empty text": ((Text((1, 2)), Text(()), Answer((0,))), 1, 1),
    "nothing before the first soft slot": ((Soft("a", 2), Text((1, 2), "text"), Answer((0,))), 0, 2),
    "up to the field": ((Text((1,)), Soft("a", 2), Text((1, 2), "text"), Answer((0,))), 1, 3),
    "nothing before the field": ((Text((1, 2), "text"), Soft("a", 2), Answer((0,))), 2, 0),
    "one token that is read": ((Text((1,)), Answer((0,))), 0, 0),
    "one token before a soft slot": ((Text((1,)), Soft("a", 2), Readout()), 1, 2),
}


@pytest.mark.parametrize(("segments", "soft", "field"), TRUNKS.values(), ids=TRUNKS.keys())
def test_the_trunk_goes(segments, soft, field):
    row = Row(tuple(Node(segment, n - 1 if n else None) for n, segment in enumerate(segments)))
    assert [sum(trunk.length for trunk in trunks([row], frozen=frozen)) for frozen in ("soft", "field")] == [
        soft,
        field,
    ]


def test_a_trunk_ends_where_the_tree_branches():
    text = Node(Text((1, 2, 3)))
    asked = Row((text, Node(Soft("a", 1, 0), 0), Node(Soft("a", 1, 1), 0)))
    also_read = Row((*asked.nodes, Node(Text(()), 0), Node(Readout(0), 3)))
    assert [trunk.length for trunk in trunks([asked, also_read])] == [3, 2]


def test_equal_trunks_have_equal_keys_and_others_do_not():
    def key(*segments):
        row = Row(tuple(Node(segment, n - 1 if n else None) for n, segment in enumerate(segments)))
        return trunks([row], frozen="field")[0].key

    assert key(Text((1, 2)), Readout(0)) == key(Text((1, 2)), Readout(1))
    keys = [
        key(Text((1, 2)), Readout(0)),
        key(Text((1, 2)), Text((3,), "text")),
        key(Text((1, 3)), Text((3,), "text")),
        key(Soft("a", 2), Text((3,), "text")),
        key(Soft("a", 2, 1), Text((3,), "text")),
        key(Soft("b", 2), Text((3,), "text")),
    ]
    assert len(set(keys)) == len(keys)


def test_a_reader_without_a_token_before_it_is_refused():
    with pytest.raises(ModelError, match="no token before"):
        lower([Row((Node(Text(())), Node(Readout(0), 0)))], tree=True)


def test_an_answer_holds_at_least_its_terminator():
    with pytest.raises(AssertionError, match="terminator"):
        lower([Row((Node(Text((1,))), Node(Answer(()), 0)))], tree=True)


def test_a_copied_line_shares_nothing():
    line = Line(0, None, 0)
    line.extend([1, 2, 3], -1)
    copy = line.fork(1)
    copy.extend([9], 1)
    assert (copy.ids, line.ids) == ([1, 2, 9], [1, 2, 3])


def test_the_fixed_batch_has_every_kind_of_row():
    """The examples of the laws would prove little if they lost a kind."""
    lowered = lower(MIXED, tree=True, frozen="soft")
    assert any(line.trunk is None for line in lowered.lines)
    assert len({line.start for line in lowered.lines}) > 3
    assert any(line.branches for line in lowered.lines)
    assert lowered.ends
    assert lowered.readouts
