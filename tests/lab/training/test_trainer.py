"""The loop over K prompts: learning, early stopping, interruption, time, memory and disk that run out."""

import errno
import math
import os
from typing import Any

import pytest
import torch

from softprompt.core.errors import DataError, ResourceError, TrainingError
from softprompt.core.records import Row
from softprompt.lab.training import checkpoint
from softprompt.lab.training import settings as training_settings
from softprompt.lab.training.outcome import Event
from softprompt.lab.training.problem import Problem
from tests.lab.training.small import SETTINGS, Interrupt, bits, filled, problem, same, trainer

KEPT = ("best", "last")


def with_(**changes: Any) -> Any:
    return SETTINGS.model_copy(update=changes)


def test_it_learns():
    (outcome,) = trainer(settings=with_(steps=40, evaluations=4)).run()
    losses = [loss for _, loss in outcome.losses]
    assert losses[-1] < losses[0] / 2
    assert outcome.value > outcome.evaluations[0][1]
    assert outcome.stop == "finished"
    assert [step for step, _, _ in outcome.evaluations] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("answers", ["vectors", "words"])
@pytest.mark.parametrize("name", ["plain", "residual"])
def test_the_same_seed_gives_the_same_bits(name: str, answers: str):
    settings = with_(noise=0.1)
    first = trainer((0, 1), settings=settings, name=name, answers=answers).run()
    again = trainer((0, 1), settings=settings, name=name, answers=answers).run()
    other = trainer((0, 2), settings=settings, name=name, answers=answers).run()
    assert same(first, again)
    assert not same(first, other)


def test_the_order_has_a_seed_of_its_own():
    assert not same(trainer().run(), trainer(settings=with_(order_seed=1)).run())


def test_events_carry_what_a_display_needs():
    events: list[Event] = []
    trainer((0, 1), on_event=events.append).run()
    steps = [event for event in events if event.kind == "step"]
    looks = [event for event in events if event.kind == "evaluate"]
    assert [event.step for event in steps] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in looks] == [0, 2, 4, 6]
    assert all(event.live_tokens and event.tokens_per_second > 0 and event.memory_bytes > 1e7 for event in steps)
    assert all(set(event.losses) == {0, 1} for event in (*steps, *looks))
    assert all(set(event.values) == {0, 1} for event in looks)
    assert steps[0].seconds_left > 0
    assert looks[0].seconds_left is None


def test_patience_stops_one_prompt_and_not_the_other():
    rates = [1e-12, 0.05]  # the first never gets better
    outcomes = trainer((0, 1), settings=with_(steps=40, evaluations=20, patience=3), rates=rates).run()
    assert outcomes[0].stop == "patience"
    assert outcomes[0].evaluations[-1][0] < outcomes[1].evaluations[-1][0]


def test_micro_batches_change_nothing_but_rounding():
    whole = trainer(settings=with_(steps=3)).run()[0]
    for answers_store in (None, filled(problem())):
        pieces = trainer(settings=with_(steps=3, micro_tokens=12), store=answers_store).run()[0]
        assert pieces.losses[0][1] == pytest.approx(whole.losses[0][1], rel=1e-5)


def test_live_tokens_are_those_that_are_not_cached():
    task = problem()
    alone, cached = trainer(task=task), trainer(task=task, store=filled(task))
    counts = [one.gradients.asked(task.train[0][0]).live for one in (alone, cached)]
    assert counts[1] == 5  # four soft tokens and the cue
    assert counts[0] == task.lengths[0]


# --- rows that cannot be learnt


def changed(task: Problem, **fields: Any) -> Problem:
    return Problem(**{**{name: getattr(task, name) for name in task.__dataclass_fields__}, **fields})


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"train": [[None] * 12]}, "training.no_rows"),
        ({"train": [[Row(problem().train[0][0].nodes)]]}, "data.no_target"),
        ({"train": [[Row(problem().train[0][0].nodes, target={0: -1})]]}, "data.no_target"),
        ({"validation": [[Row(problem(answers="words").train[0][0].nodes, target={0: 3})]]}, "data.unknown_label"),
    ],
)
def test_rows_without_a_use_are_refused(fields: dict[str, Any], code: str):
    with pytest.raises((TrainingError, DataError), match=code.replace(".", r"\.")):
        changed(problem(), **fields)


# --- looks that choose nothing


def test_a_prompt_that_nothing_judges_is_refused_where_looks_choose():
    with pytest.raises(TrainingError, match=r"prompt 0 has no row to be judged by \[training\.no_rows\]"):
        trainer(task=changed(problem(), validation=[[None, None]]))


def test_keep_last_keeps_the_last_step_and_never_stops():
    settings = with_(steps=8, evaluations=8, patience=1)
    best, last = (trainer(rates=[1e-12], settings=settings.model_copy(update={"keep": k})).run()[0] for k in KEPT)
    assert (best.stop, len(best.evaluations)) == ("patience", 2)
    assert (last.stop, last.step, len(last.evaluations)) == ("finished", 8, 9)


def test_where_few_rows_judge_the_last_step_is_kept_unless_something_else_is_said(monkeypatch: pytest.MonkeyPatch):
    settings = with_(steps=8, evaluations=8, patience=1, keep="auto")
    assert trainer(rates=[1e-12], settings=settings).run()[0].step == 8
    monkeypatch.setattr(training_settings, "FEW_ROWS", 1)
    assert trainer(rates=[1e-12], settings=settings).run()[0].stop == "patience"


def test_a_prompt_without_validation_rows_is_trained_to_the_end_beside_others():
    both = problem((0, 1))
    task = changed(both, validation=[[None] * 6, both.validation[1]])
    settings = with_(keep="last")
    unjudged, judged = trainer((0, 1), task=task, settings=settings).run()
    one, other = trainer((0, 1), task=both, settings=settings).run()
    assert math.isnan(unjudged.value)
    assert (unjudged.step, unjudged.evaluations, unjudged.losses) == (6, (), one.losses)
    assert [bits(unjudged)[0], bits(judged)[0]] == [bits(one)[0], bits(other)[0]]


# --- numbers that are none


def test_a_prompt_that_diverges_keeps_its_best():
    outcomes = trainer((0, 1), rates=[1e30, 0.05], settings=with_(steps=12)).run()
    assert outcomes[0].stop == "diverged"
    assert math.isfinite(outcomes[0].value)
    assert all(tensor.isfinite().all() for _, tensor in outcomes[0].tensors.tensors())
    assert outcomes[1].stop == "finished"


def test_a_start_that_is_not_finite_ends_at_the_first_look():
    def plant(method: Any) -> None:
        next(method.parameters_of(0))[1, 2] = math.nan

    outcomes = trainer((0, 1), change=plant).run()
    assert (outcomes[0].stop, outcomes[0].value, outcomes[0].evaluations) == ("diverged", -math.inf, ())
    assert outcomes[1].stop == "finished"


# --- Ctrl-C and the clock


def test_ctrl_c_keeps_the_best_so_far():
    (outcome,) = trainer(settings=with_(steps=40, evaluations=40), on_event=Interrupt(20, KeyboardInterrupt)).run()
    assert outcome.stop == "interrupted"
    assert outcome.value == max(value for _, value, _ in outcome.evaluations)


def test_ctrl_c_between_two_prompts_is_not_written_down(tmp_path, monkeypatch):
    """Half a step in a checkpoint would be a state that no uninterrupted run ever has."""
    path = tmp_path / "train.checkpoint"
    one = trainer((0, 1), path=path, settings=with_(checkpoint_every=1e-9))
    step = one.optimisers[1].step

    def interrupted(**arguments: Any) -> float:
        if one.step == 3:
            raise KeyboardInterrupt
        return step(**arguments)

    monkeypatch.setattr(one.optimisers[1], "step", interrupted)
    assert one.run()[0].stop == "interrupted"
    assert checkpoint.read(path)[1]["step"] == 3
    assert same(trainer((0, 1), path=path, settings=with_(checkpoint_every=1e-9)).run(), trainer((0, 1)).run())


def test_the_time_limit_ends_with_a_last_look():
    now = [0.0]

    def tick(event: Event) -> None:
        now[0] += 1.0 if event.kind == "step" else 0.0

    settings = with_(steps=100, evaluations=2, max_time=7.0)
    (outcome,) = trainer(settings=settings, clock=lambda: now[0], on_event=tick).run()
    assert outcome.stop == "time"
    assert [step for step, _, _ in outcome.evaluations] == [0, 7]


def test_a_run_that_time_ended_goes_on_as_if_it_had_not(tmp_path):
    now = [0.0]

    def tick(event: Event) -> None:
        now[0] += event.kind == "step"

    settings, path = with_(steps=9, evaluations=3), tmp_path / "train.checkpoint"
    cut = settings.model_copy(update={"max_time": 4.0})
    assert trainer(settings=cut, path=path, clock=lambda: now[0], on_event=tick).run()[0].stop == "time"
    assert same(trainer(settings=settings, path=path).run(), trainer(settings=settings).run())


# --- many validation rows


def test_looks_read_a_part_and_the_best_is_judged_on_all():
    task = problem(num_validation=30)
    part = trainer(task=task, settings=with_(validation_rows=5)).run()[0]
    whole = trainer(task=task, settings=with_(validation_rows=30)).run()[0]
    judged_on = {round(value * 5) / 5 - value for _, value, _ in part.evaluations}
    assert judged_on == {0.0}
    assert part.value in {value for _, value, _ in whole.evaluations}


# --- memory that runs out


@pytest.fixture
def small_memory(monkeypatch):
    """A device that holds so many live tokens at a time."""
    from softprompt.model.prompted import PromptedModel

    def limit(tokens: int) -> list[int]:
        seen: list[int] = []
        scores = PromptedModel.scores

        def limited(self: Any, batch: Any, *arguments: Any, **named: Any) -> Any:
            size = len(batch) * max(sum(len(node.segment) for node in row.nodes) for row in batch)
            seen.append(size)
            if size > tokens:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return scores(self, batch, *arguments, **named)

        monkeypatch.setattr(PromptedModel, "scores", limited)
        return seen

    return limit


def test_a_step_that_does_not_fit_is_repeated_in_pieces(small_memory):
    usual = trainer(settings=with_(steps=3)).run()[0]
    small_memory(40)
    one = trainer(settings=with_(steps=3))
    (outcome,) = one.run()
    assert one.gradients.micro_tokens <= 40
    assert outcome.losses[0][1] == pytest.approx(usual.losses[0][1], rel=1e-5)


def test_prompts_that_do_not_fit_together_are_trained_apart(small_memory):
    usual = trainer((0, 1), settings=with_(steps=3)).run()
    small_memory(22)
    outcomes = trainer((0, 1), settings=with_(steps=3, batch_size=1)).run()
    assert [one.stop for one in outcomes] == ["finished", "finished"]
    assert usual[0].stop == "finished"


def test_one_row_that_does_not_fit_is_an_error_with_a_cure(small_memory):
    seen = small_memory(10)
    one = trainer(settings=with_(steps=3))
    one._evaluated = 0  # the first look would fail in its own way
    with pytest.raises(ResourceError, match=r"resource\.out_of_memory.*recompute"):
        one.run()
    assert min(seen) > 10


# --- disk that runs out


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["fsync", "replace", "open"])
def test_a_full_disk_leaves_the_checkpoint_before_and_ends_nothing(where: str, tmp_path, monkeypatch):
    events: list[Event] = []
    path = tmp_path / "train.checkpoint"
    settings = with_(checkpoint_every=1e-9)
    one = trainer(settings=settings, path=path, on_event=events.append)
    full = [False]

    def fill(event: Event) -> None:
        events.append(event)
        full[0] = event.step >= 3

    one.on_event = fill

    def failing(real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if full[0] and (where != "open" or "tmp" in str(arguments[0])):
                raise FULL
            return real(*arguments, **named)

        return call

    target = {"fsync": (os, "fsync"), "replace": (type(path), "replace"), "open": (type(path), "open")}[where]
    monkeypatch.setattr(*target, failing(getattr(*target)))
    outcomes = one.run()
    monkeypatch.undo()
    assert same(outcomes, trainer(settings=settings).run())
    notes = [event.text for event in events if event.kind == "note"]
    assert len(notes) == 1
    assert "resource.disk_full" in notes[0]
    assert one.notes == notes
    assert checkpoint.read(path)[1]["step"] == 2
    assert list(tmp_path.iterdir()) == [path], "nothing half-written stays"
    assert same(trainer(settings=settings, path=path).run(), outcomes)


@pytest.mark.posix
def test_a_file_that_may_not_grow_is_noted_too(tmp_path):
    """A real limit of the system, not one of ours."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    one = trainer(settings=with_(checkpoint_every=1e-9), path=tmp_path / "train.checkpoint")
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        outcomes = one.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert outcomes[0].stop == "finished"
    assert "resource.write_failed" in one.notes[0]
    assert list(tmp_path.iterdir()) == []
