"""The second round's parts: who is sure enough, what shares are learnt, and what is said of the result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import ConfigError
from softprompt.core.records import Example
from softprompt.core.stats import Interval
from softprompt.core.tasks import Task
from softprompt.lab.coverage import choose_threshold
from softprompt.lab.evaluation import evaluate
from softprompt.lab.second import SecondRound, SecondSettings, TeacherSettings, averaged, gain, mixed, softened, surest
from softprompt.model.prediction import Prediction

TASK = Task.classify(["no", "yes"])


def said(text: str, p: float, id: str = "") -> Prediction:
    other = "no" if text == "yes" else "yes"
    by_name = {text: p, other: 1 - p}
    return Prediction(id, text, {name: by_name[name] for name in ("no", "yes")}, p)


@given(st.lists(st.tuples(st.sampled_from(["no", "yes"]), st.floats(0.5, 1)), max_size=60), st.integers(0, 40))
def test_no_label_takes_more_than_its_share_and_the_surest_come_first(
    answers: list[tuple[str, float]], most: int
) -> None:
    found = [said(text, p) for text, p in answers]
    taken = surest(found, threshold=0.7, most=most, shares={"no": 0.25, "yes": 0.75})
    assert taken == sorted(set(taken))
    assert all(found[i].confidence >= 0.7 for i in taken)
    total = min(sum(one.confidence >= 0.7 for one in found), most)
    assert len(taken) <= total
    for label, share in (("no", 0.25), ("yes", 0.75)):
        mine = [i for i in taken if found[i].text == label]
        left = [i for i, one in enumerate(found) if one.text == label and i not in taken]
        assert len(mine) < share * total + 1
        assert all(found[i].confidence >= found[k].confidence for i in mine for k in left if len(taken) < total)


def test_a_label_without_labelled_rows_takes_none() -> None:
    assert surest([said("no", 0.9), said("yes", 0.9)], threshold=0.5, most=9, shares={"yes": 1.0, "no": 0.0}) == [1]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5), st.floats(0.5, 20))
def test_softened_probabilities_keep_their_order_and_sum_to_one(values: list[float], temperature: float) -> None:
    total = sum(values) or 1.0
    p = [value / total for value in values]
    found = softened(p, temperature)
    assert sum(found) == pytest.approx(1)
    assert sorted(range(len(p)), key=lambda i: p[i]) == sorted(range(len(p)), key=lambda i: (found[i], p[i]))
    if sum(values):
        assert softened(p, 1.0) == pytest.approx(p, abs=1e-9)


def test_a_share_of_one_is_the_teacher_and_of_none_the_answer() -> None:
    assert mixed(1, (0.3, 0.7), 1.0) == (0.3, 0.7)
    assert mixed(1, (0.3, 0.7), 0.0) == (0.0, 1.0)
    assert sum(mixed(0, (0.3, 0.7), 0.4)) == pytest.approx(1)


def test_the_mean_of_prompts_is_theirs() -> None:
    found = averaged([said("yes", 0.9), said("no", 0.6)], Example({}), TASK)
    assert found.probabilities == {"no": pytest.approx(0.35), "yes": pytest.approx(0.65)}
    assert (found.text, found.confidence) == ("yes", pytest.approx(0.65))


def test_a_gain_is_paired_and_wider_with_folds() -> None:
    rows = [Example({"text": str(i)}, "yes" if i % 2 else "no", id=str(i)) for i in range(40)]
    right = [said(str(row.target), 0.9, row.id) for row in rows]
    wrong = [said("yes", 0.9, row.id) for row in rows]
    first, second = (evaluate(one, rows, TASK) for one in (wrong, right))
    metric, difference, better = gain(first, second)
    assert (metric, better) == ("macro_f1", True)
    assert difference.low > 0
    _, folded, _ = gain(first, second, num_folds=5)
    assert folded.low < difference.low
    assert not gain(second, first)[2]
    assert not gain(first, first)[2], "no difference keeps the first"


def round_(low: float, high: float, *, better: bool) -> SecondRound:
    choice = choose_threshold([0.99] * 60, [True] * 60, precision=0.8)
    difference = Interval((low + high) / 2, low, high, 0.95, "bootstrap")
    return SecondRound(
        source="pseudo-labels",
        unlabelled=200,
        repeated=3,
        taken=90,
        labels={"no": 40, "yes": 50},
        weight=0.5,
        choice=choice,
        split="out of fold",
        metric="macro_f1",
        difference=difference,
        better=better,
    )


@pytest.mark.parametrize(
    ("found", "ends"),
    [
        (round_(0.01, 0.05, better=True), "out of fold: the second is saved"),
        (round_(-0.01, 0.05, better=True), "the second is saved, though 0 lies in the interval"),
        (round_(-0.05, 0.01, better=False), "it is no better, the first is saved"),
        (round_(-0.05, -0.01, better=False), "it hurt, the first is saved"),
    ],
)
def test_what_came_of_it_is_said_also_where_it_hurts(found: SecondRound, ends: str) -> None:
    repeated, made_of, verdict = found.sentences
    assert repeated == "3 unlabelled rows repeat a labelled text and were left out"
    assert made_of.startswith("90 of 200 unlabelled rows taken at the first round's word (confidence 0.99 and more, ")
    assert made_of.endswith("no 40, yes 50; each weighs 0.5")
    assert verdict.endswith(ends)
    assert found.to_dict()["kept"] is found.kept is found.better


def test_without_a_proved_threshold_there_is_no_second_round() -> None:
    choice = choose_threshold([0.9] * 10, [True] * 10, precision=0.8)
    found = SecondRound("pseudo-labels", 200, 0, choice=choice)
    assert not found.kept
    assert found.sentences == (f"no second round: {choice.reason}",)


@pytest.mark.parametrize("settings", [{"precision": 1.0}, {"weight": 0}, {"most": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        SecondSettings.parse(settings)


def test_a_teacher_needs_a_name() -> None:
    with pytest.raises(ConfigError, match="name"):
        TeacherSettings.parse({"temperature": 2})
