"""One forward for training, evaluation and use: scores of one and of many rows, in any order and any batch."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.records import Answer, Batch, Node, Row, Text
from softprompt.model.prompted import PromptedModel, Scores, token_batches
from softprompt.model.states import StateStore
from softprompt.testing import tiny
from tests.lab.training.small import LABELS, llama, method, rows

FAMILIES = ("llama", "bloom")  # with and without trees


def model(family: str = "llama", *, head: bool = True) -> PromptedModel:
    backbone = llama() if family == "llama" else tiny(family)
    return PromptedModel(backbone, method((0, 1), backbone=backbone, head=head).materialise())


def equal(left: Scores, right: Scores, tolerance: float = 1e-5) -> None:
    assert left.rows.tolist() == right.rows.tolist()
    assert torch.equal(left.lengths, right.lengths)
    torch.testing.assert_close(left.values, right.values, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("answers", ["vectors", "words"])
def test_many_rows_are_scored_as_each_alone(family: str, answers: str):
    one, made = model(family, head=answers == "vectors"), rows(7, answers=answers)
    found = one.score_all(made, batch_tokens=60)[0]
    assert found.rows.tolist() == list(range(7))
    for i, row in enumerate(made):
        alone = one.scores(Batch((row,)))[0]
        torch.testing.assert_close(found.values[i], alone.values[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("answers", ["vectors", "words"])
def test_states_change_nothing(answers: str):
    one, made = model(head=answers == "vectors"), rows(7, answers=answers)
    with StateStore(one.backbone) as store:
        store.fill(made[:5])  # two are read when they are asked for
        equal(one.score_all(made, store=store)[0], one.score_all(made)[0])


def test_rows_with_fewer_candidates_are_filled_up():
    full = rows(3, answers="words")
    fewer = [Row(row.nodes[:-1], target=row.target) if i == 1 else row for i, row in enumerate(full)]
    found = model(head=False).score_all(fewer, batch_tokens=30)[0]
    assert found.values.shape == (3, 3)
    assert found.values[1, 2] == -torch.inf
    assert found.lengths.tolist() == [[2, 3, 3], [2, 3, 0], [2, 3, 3]]
    assert [len(label) for label in LABELS] == found.lengths[0].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_no_stands_against_its_yes(family: str):
    """Log-odds of each label: what its yes gets less what its no gets, whatever the label's own text gets."""
    answers = [(5, 6, 9, 257), (5, 6, 8, 257), (7, 9, 257), (7, 8, 257)]
    odds = Row(_asked([Answer(ids, n // 2, against=n % 2 > 0) for n, ids in enumerate(answers)]))
    each = Row(_asked([Answer(ids, n) for n, ids in enumerate(answers)]))
    one = PromptedModel(tiny(family))
    found, logs = one.scores(Batch((odds,)))[0].values[0], one.scores(Batch((each,)))[0].values[0]
    torch.testing.assert_close(found, logs[::2] - logs[1::2], atol=1e-5, rtol=1e-5)


def _asked(answers: Sequence[Answer]) -> tuple[Node, ...]:
    return (Node(Text((11, 12, 13), "text")), *(Node(answer, 0) for answer in answers))


def test_the_mean_a_token():
    scores = Scores(torch.tensor([0]), torch.tensor([[-6.0, -torch.inf]]), torch.tensor([[3, 0]]))
    assert scores.normalised().values.tolist() == [[-2.0, -torch.inf]]


def test_scores_have_a_graph_to_fresh_tensors_and_none_to_the_model():
    one, trained = model(), method((0,))
    scores = one.scores(Batch(tuple(rows(2))), prompts=trained())[0]
    scores.values.sum().backward()
    assert all(parameter.grad is not None for parameter in trained.parameters())
    assert not one.scores(Batch(tuple(rows(2))))[0].values.requires_grad


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_is_read_once_for_all_who_ask(family: str, monkeypatch: Any):
    from softprompt.core.records import merge

    one = model(family)
    asked = [merge([row.for_prompt(0), row.for_prompt(1)]) for row in rows(4)]
    reads: list[int] = []
    read = type(one.backbone).read
    monkeypatch.setattr(type(one.backbone), "read", lambda self, *a, **k: (reads.append(1), read(self, *a, **k))[1])
    both = one.score_all(asked)
    assert len(reads) == (family == "bloom")  # a tree shares its line and needs no reading beforehand
    for k in (0, 1):
        equal(both[k], one.score_all([row.for_prompt(k) for row in rows(4)])[k], 1e-4)


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(1, 80))
def test_batches_hold_every_row_once_and_their_size(lengths: Sequence[int], limit: int):
    made = [Row((Node(Text((0,) * n)),)) for n in lengths]
    batches = list(token_batches(made, limit))
    assert sorted(i for batch in batches for i in batch) == list(range(len(made)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= limit
