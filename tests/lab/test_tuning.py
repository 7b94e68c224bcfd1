"""From lessons to prompts: the probe, the seeds, several lessons, memory, windows."""

import math
from typing import Any

import pytest
import torch

from softprompt.core.errors import ConfigError, DataError, TrainingError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.lab import lessons, tuning
from softprompt.lab.lessons import Learner, vocabulary_of
from softprompt.lab.training import forecast
from softprompt.lab.training.outcome import Event
from softprompt.lab.training.settings import EFFORTS, TrainingSettings
from softprompt.lab.tuning import Lesson, tune
from softprompt.model.methods.plain import PlainSettings
from softprompt.model.methods.starts import StartSettings
from softprompt.model.prompted import Scores
from softprompt.model.states import StateStore
from softprompt.model.templates import RowBuilder, Template
from tests.lab.lessons import WORDS, Killed, every_bit, examples, lesson, run, with_
from tests.lab.training.small import llama


def test_a_probe_chooses_the_rate_and_fresh_seeds_are_reported():
    stages: list[tuple[str, Event]] = []
    found = run(on_event=lambda stage, event: stages.append((stage, event)))
    (learnt,) = found.learnt
    assert set(learnt.probe) == {0.01, 0.05}
    assert learnt.rate in learnt.probe
    assert learnt.seeds == (0, 1)
    assert [outcome.stop for outcome in learnt.outcomes] == ["finished", "finished"]
    assert learnt.outcomes[learnt.chosen].value == max(outcome.value for outcome in learnt.outcomes)
    assert learnt.prompt is learnt.outcomes[learnt.chosen].tensors
    assert learnt.spread[0] == pytest.approx(sum(outcome.value for outcome in learnt.outcomes) / 2)
    assert not found.interrupted
    assert found.notes == ()
    assert set(found.seconds) == {"read", "probe", "train"}
    assert list(dict.fromkeys(stage for stage, _ in stages)) == ["probe", "train"]
    assert found.states is not None
    assert found.states.texts == {"memory": 8}  # four of the validation texts are training texts


def test_the_probe_has_a_seed_that_no_report_has(monkeypatch: Any):
    seeds: list[list[int]] = []
    stage = tuning._Work._stage

    def spied(self: Any, name: str, places: Any, settings: Any) -> Any:
        seeds.append([seed for _, _, seed in places])
        return stage(self, name, places, settings)

    monkeypatch.setattr(tuning._Work, "_stage", spied)
    run(settings=with_(seeds=[-1, 3]))
    assert seeds == [[-2, -2], [-1, 3]]


@pytest.mark.parametrize(("rows", "judged"), [(None, 8), (3, 3)])
def test_the_doubt_of_a_probe_counts_the_rows_that_it_looked_at(monkeypatch: Any, rows: int | None, judged: int):
    counted = []

    def noting(one: float, other: float, *, bounds: tuple[float, float], rows: int) -> float:
        counted.append(rows)
        return 0.0

    def chosen(tried: dict[float, Any], error: Any) -> float:
        return max(tried, key=lambda rate: (error(0.5, 0.4), rate))

    monkeypatch.setattr(lessons, "difference_error", noting)
    monkeypatch.setattr(tuning, "chosen_rate", chosen)
    run([lesson(validation=examples(8))], settings=with_(validation_rows=rows))
    assert set(counted) == {judged}


def test_steps_follow_the_rows_that_are_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(EFFORTS, "quick", EFFORTS["quick"].model_copy(update={"steps": 2, "most": 9}))
    settings = TrainingSettings(effort="quick", batch_size=4, rate=0.05)
    found = {count: run([lesson(train=examples(count))], settings=settings) for count in (1, 4, 8)}
    assert {count: one.settings.steps for count, one in found.items()} == {1: 2, 4: 5, 8: 9}
    left_out = [example if i < 4 else None for i, example in enumerate(examples(8))]
    assert run([lesson(train=left_out)], settings=settings).settings.steps == 5


def test_one_rate_needs_no_probe():
    for settings in (with_(rate=0.02), with_(rates=[0.02])):
        found = run(settings=settings)
        assert (found.learnt[0].rate, found.learnt[0].probe) == (0.02, {})


def test_lessons_together_are_lessons_alone():
    other = lesson("other", "{text}<soft 2>, so {answer}", answers="words")
    settings = with_(rate=0.02)
    together = run([lesson(), other], settings=settings)
    for one, own in zip(together.learnt, ([lesson()], [other]), strict=True):
        alone = run(own, settings=settings).learnt[0]
        assert one.name == alone.name
        for (_, a), (_, b) in zip(one.prompt.tensors(), alone.prompt.tensors(), strict=True):
            assert float((a - b).abs().max()) < 1e-4


def test_free_text_is_learnt_and_judged_by_its_loss():
    rows = [Example({"text": f"say {word}"}, word) for word in ("one", "two", "three", "four")]
    one = lesson(
        template="{text}<soft 3>: {answer}",
        answers="words",
        task=Task.generate(max_new_tokens=8),
        train=rows,
        validation=rows,
    )
    (learnt,) = run([one], settings=with_(steps=6, rates=[0.1], smoothing=0.1)).learnt
    outcome = learnt.outcomes[0]
    assert outcome.value == pytest.approx(-outcome.loss, rel=1e-5)
    assert outcome.evaluations[-1][1] > outcome.evaluations[0][1]


def test_a_metric_of_which_less_is_better_counts_the_other_way():
    one = lesson(metric="accuracy")
    rows = run([one], settings=with_(rate=0.02)).learnt[0]
    assert 0 <= rows.outcomes[0].value <= 1


def test_a_saved_prompt_is_continued_head_and_all():
    first = run(settings=with_(rate=0.05)).learnt[0].prompt
    again = lesson(start=StartSettings(kind="prompt"), saved=first)
    (outcome, _) = run([again], settings=with_(rate=1e-12, steps=1)).learnt[0].outcomes
    for (_, a), (_, b) in zip(outcome.tensors.tensors(), first.tensors(), strict=True):
        assert float((a - b).abs().max()) < 1e-6


def held_out(seed: int, **start: Any) -> tuple[set[int], set[int]]:
    """Places that the prompt of a seed learns from, and those of which it shows something."""
    one = lesson(train=examples(12), start=StartSettings(kind="demonstrations", **start), template=SHOWN)
    learner = Learner(one, llama(), vocabulary_of(llama()))
    vectors = learner.start(seed).slots["soft"]
    learnt = {i for i, row in enumerate(learner.train_of(seed)) if row is not None}
    letters = [
        llama().embed(torch.tensor(llama().tokenizer.encode(f"{example.fields['text']} is"))) for example in one.train
    ]
    there = {
        i for i, text in enumerate(letters) if any(text.equal(part) for part in vectors.unfold(0, len(text), 1).mT)
    }
    return learnt, there


SHOWN = "<soft 40>{text} is {answer}"


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_that_are_shown_are_held_out_where_that_is_asked(seed: int):
    learnt, shown = held_out(seed, hold_out=True)
    assert shown
    assert not learnt & shown
    assert 12 - len(learnt) <= len(shown) + 1, "one more may stand in part"
    assert held_out(seed)[0] == set(range(12))


def test_prompts_of_several_seeds_hold_out_their_own_rows(monkeypatch: Any):
    asked: list[Any] = []

    def caught(*given: Any, **_: Any) -> Any:
        asked.append(given[2])
        raise Killed

    monkeypatch.setattr(tuning, "Trainer", caught)
    start = StartSettings(kind="demonstrations", hold_out=True)
    with pytest.raises(Killed):
        run([lesson(train=examples(12), template=SHOWN, start=start)], settings=with_(rate=0.05))
    learnt = [{i for i, row in enumerate(rows) if row is not None} for rows in asked[0].train]
    assert learnt == [held_out(seed, hold_out=True)[0] for seed in (0, 1)]
    assert learnt[0] != learnt[1]


def test_holding_out_needs_rows_that_are_shown_and_rows_that_are_not():
    with pytest.raises(ConfigError, match=r"start\.hold_out is for start\.kind: demonstrations.*it is vocabulary"):
        run([lesson(start=StartSettings(hold_out=True))])
    start = StartSettings(kind="demonstrations", hold_out=True)
    with pytest.raises(TrainingError, match="no row to learn from besides those that are shown"):
        run([lesson(train=examples(2), start=start, template="<soft 60>{text} is {answer}")])


def test_a_soft_slot_before_the_text_needs_no_states():
    found = run([lesson(template="<soft 3>{text} is {answer}")], settings=with_(rate=0.02))
    assert found.states is None


def test_only_texts_that_are_reached_are_read():
    found = run([lesson(train=examples(100))], settings=with_(rate=0.02, steps=2, probe_steps=1))
    assert found.states is not None
    assert found.states.texts["memory"] <= 2 * 4 + 4


# --- what cannot be learnt


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"train": [None] * 3}, TrainingError, r"training\.no_rows"),
        ({"validation": [None] * 3}, TrainingError, r"training\.no_rows"),
        ({"train": examples(3, labelled=False)}, DataError, r"rows:0: .*data\.no_target"),
        ({"validation": examples(3, labelled=False)}, DataError, r"data\.no_target"),
        ({"template": "{text} is {answer}", "answers": "words"}, TrainingError, r"nothing_to_learn.*<soft 20>"),
    ],
)
def test_what_cannot_be_learnt_is_said(change: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        run([lesson(**change)])


def test_label_vectors_alone_are_something_to_learn():
    assert run([lesson(template="{text} is {answer}")], settings=with_(rate=0.05)).learnt[0].prompt.head is not None


def test_lessons_of_different_sizes_are_refused():
    with pytest.raises(ConfigError, match="one: 8 and 4; other: 3 and 4"):
        run([lesson(), lesson("other", train=examples(3))])
    with pytest.raises(ConfigError, match="came: none"):
        tune(llama(), [], method=PlainSettings())


def test_all_diverged_is_an_error_that_names_the_rate():
    with pytest.raises(TrainingError, match=r"training\.diverged.*lower training\.rate"):
        run(settings=with_(rate=1e30))


def test_one_lesson_that_diverges_loses_nothing_of_the_other(monkeypatch: Any):
    monkeypatch.setattr(tuning, "_rate", lambda places, outcomes, n, error: (0.05, 1e30)[n])
    found = run([lesson(), lesson("other")])
    assert [outcome.stop for outcome in found.learnt[0].outcomes] == ["finished"] * 2
    assert [outcome.stop for outcome in found.learnt[1].outcomes] == ["diverged"] * 2
    assert "other: not finite at rate 1e+30" in found.notes[0]


def test_states_of_somebody_else_are_used_and_left_open():
    with StateStore(llama()) as store:
        first = run(store=store)
        assert store.num_kept(lesson_rows()) == 8
        assert run(store=store).states.texts == {}  # type: ignore[union-attr]
        assert every_bit(run(store=store)) == every_bit(first)


def lesson_rows() -> list[Any]:
    one = lesson()
    return [one.builder.row(example) for example in one.train if example is not None]


# --- memory


def test_kept_bytes_are_a_matter_of_live_tokens():
    """With cached states the text is not live: more rows fit into one pass."""
    after = run(settings=with_(rate=0.05)).settings.micro_tokens
    before = run([lesson(template="<soft 3>{text} is {answer}")], settings=with_(rate=0.05)).settings.micro_tokens
    assert after is not None
    assert before is not None
    assert after > 0
    assert before > 0


def test_layers_are_recomputed_where_one_row_does_not_fit(monkeypatch: Any):
    monkeypatch.setattr(forecast, "available_bytes", lambda device=None: 1 << 14)
    one = lesson(template="<soft 3>{text} is {answer}")
    assert run([one], settings=with_(rate=0.05)).settings.recompute == "always"
    monkeypatch.setattr(forecast, "available_bytes", lambda device=None: 1 << 30)
    assert run([one], settings=with_(rate=0.05)).settings.recompute == "never"


def windowed(name: str = "one", *, max_tokens: int = 40, **rest: Any) -> Lesson:
    """A lesson whose longer texts are read in windows."""
    builder = RowBuilder(
        Template.parse("{text}<soft 3> is {answer}", keep="windows"),
        Task.classify(list(WORDS)),
        llama().tokenizer,
        max_tokens=max_tokens,
        answers="vectors",
    )
    rows = [
        Example({"text": " ".join([WORDS[label]] * (1 + 4 * (n % 3)))}, label, weight=2.0)
        for n, label in enumerate(["no", "yes"] * 4)
    ]
    return Lesson(name, builder, **{"train": rows, "validation": rows, **rest})


def test_windows_of_a_row_share_its_answer_and_its_weight() -> None:
    one = windowed()
    learner = Learner(one, llama(), vocabulary_of(llama()))
    widths = learner.widths("train")
    assert max(widths) > 1
    assert len(learner.train) == sum(widths)
    place = 0
    for example, width in zip(one.train, widths, strict=True):
        rows = [row for row in learner.train[place : place + width] if row is not None]
        place += width
        assert [row.weight for row in rows] == [pytest.approx(2.0 / width)] * width
        assert {tuple(row.target.values()) for row in rows} == {(list(WORDS).index(str(example and example.target)),)}


def test_a_row_is_judged_by_its_pooled_windows() -> None:
    learner = Learner(windowed(metric="accuracy"), llama(), vocabulary_of(llama()))
    widths = learner.widths("validation")
    values = []
    for n, width in enumerate(widths):  # one window errs, the others are surer of what is right
        right, wrong = ([4.0, 0.0], [0.0, 1.0]) if n % 2 == 0 else ([0.0, 4.0], [1.0, 0.0])
        values += [right] * (width - 1) + [wrong if width > 1 else right]
    scores = Scores(torch.arange(len(values)), torch.tensor(values), torch.ones(len(values), 2, dtype=torch.long))
    assert learner.judge(scores, range(len(values))) == 1.0


def test_windows_of_one_example_are_one_look() -> None:
    learner = Learner(windowed(), llama(), vocabulary_of(llama()))
    widths = learner.widths("validation")
    begins = {sum(widths[:n]) for n in range(len(widths))}
    firsts = [row if place in begins else None for place, row in enumerate(learner.validation)]
    assert len(learner.validation) > len(widths) == 8
    found = [learner.doubt(0.5, 0.5, judged=rows) for rows in (learner.validation, firsts)]
    assert found == [pytest.approx((2 * 0.25 / 8) ** 0.5)] * 2


def test_lessons_with_other_windows_are_trained_together_as_alone() -> None:
    lessons = [
        windowed("wide"),
        windowed("narrow", max_tokens=34),
        lesson("plain", train=windowed().train, validation=windowed().validation),
    ]
    together = run(lessons, settings=with_(rate=0.05))
    assert [one.name for one in together.learnt] == ["wide", "narrow", "plain"]
    assert all(math.isfinite(outcome.loss) for one in together.learnt for outcome in one.outcomes)
