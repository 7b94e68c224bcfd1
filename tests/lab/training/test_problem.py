"""What rows ask of prompts: an answer or shares of the candidates, each prompt with its own weight."""

from dataclasses import replace

import pytest
import torch

from softprompt.core.records import Row, merge
from softprompt.lab.training.problem import Problem
from softprompt.model.prompted import Scores
from tests.lab.training.small import row

LOGS = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, -2.0, -4.0]])
SCORES = Scores(torch.tensor([0, 1]), LOGS, torch.ones(2, 3, dtype=torch.long))


def problem(*by_prompt: list[Row | None]) -> Problem:
    return Problem(by_prompt, [[]] * len(by_prompt), ["choice"] * len(by_prompt), lambda k, scores, indices: 0.0)


def shared(ids: list[int], shares: tuple[float, ...], **more: float) -> Row:
    return replace(row(ids, 0), target={0: shares}, **more)


def test_shares_and_answers_stand_in_one_batch() -> None:
    rows = [row([5, 6], 2), shared([7, 8], (0.5, 0.25, 0.25))]
    ((loss, weight),) = problem(list(rows)).losses({0: SCORES}, rows, smoothing=0.0).values()
    logs = LOGS.log_softmax(1)
    hard, soft = -logs[0, 2], -(torch.tensor([0.5, 0.25, 0.25]) * logs[1]).sum()
    assert float(loss) == pytest.approx(float(hard + soft), rel=1e-6)
    assert float(weight) == 2


def test_all_of_one_candidate_is_the_same_as_its_answer() -> None:
    hard, soft = [row([5], 1), row([6], 0)], [shared([5], (0.0, 1.0, 0.0)), shared([6], (1.0, 0.0, 0.0))]
    for smoothing in (0.0, 0.2):
        found = [problem(list(rows)).losses({0: SCORES}, rows, smoothing=smoothing)[0][0] for rows in (hard, soft)]
        assert float(found[0]) == pytest.approx(float(found[1]), rel=1e-6)


def test_a_prompt_weighs_a_row_by_itself() -> None:
    first, second = row([5, 6], 0, weight=1.0), replace(row([5, 6], 1, weight=0.25).for_prompt(1))
    both = merge([first, second])
    assert (both.weight_for(0), both.weight_for(1)) == (1.0, 0.25)
    one = Scores(torch.tensor([0]), LOGS[:1], torch.ones(1, 3, dtype=torch.long))
    found = problem([first], [second]).losses({0: one, 1: one}, [both], smoothing=0.0)
    assert [float(weight) for _, weight in found.values()] == [1.0, 0.25]
    assert float(found[1][0]) == pytest.approx(0.25 * float(-LOGS[0].log_softmax(0)[1]), rel=1e-6)


def test_a_candidate_that_is_not_there_asks_for_nothing() -> None:
    logs = torch.tensor([[-1.0, -2.0, -torch.inf]], requires_grad=True)
    scores = Scores(torch.tensor([0]), logs, torch.tensor([[1, 1, 0]]))
    rows = [shared([5], (0.6, 0.4))]
    (loss, _) = problem(list(rows)).losses({0: scores}, rows, smoothing=0.1)[0]
    loss.backward()
    assert torch.isfinite(loss)
    assert logs.grad is not None
    assert torch.isfinite(logs.grad).all()
