"""What a table decides: against differences worked out by hand, over seeds, with no more claimed than is shown."""

from dataclasses import replace

import pytest

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.stats import mcnemar_exact
from softprompt.core.tasks import Task
from softprompt.lab.comparison.deciding import decide, metric_of, score_of, spread_of, verdict_of
from softprompt.lab.comparison.table import Cost, Line, RunRecord
from softprompt.lab.evaluation import evaluate
from softprompt.model.prediction import Prediction

TASK = Task.classify(["no", "yes"], metrics=("accuracy", "macro_f1"))
ROWS = [Example({"text": str(n)}, target="yes" if n % 2 else "no", id=str(n)) for n in range(100)]
OTHER = {"no": "yes", "yes": "no"}


def run(wrong, *, seed=0, rows=ROWS, name="x"):
    answers = [OTHER[row.target] if n in wrong else row.target for n, row in enumerate(rows)]
    said = [Prediction(row.id, text, None, 1.0) for row, text in zip(rows, answers, strict=True)]
    evaluation = evaluate(said, rows, TASK, name=name, seconds=0.1)
    return RunRecord(seed=seed, evaluation=evaluation, cost=Cost(fit_seconds=1.0, predict_seconds=0.1))


def line(name, *wrong, rows=ROWS):
    runs = tuple(run(one, seed=seed, rows=rows, name=name) for seed, one in enumerate(wrong))
    return Line(name=name, kind="soft", config={}, key=name, runs=runs)


def test_the_contender_less_the_reference_by_the_exact_test():
    lines = [line("ours", range(10)), line("majority", range(0, 100, 2)), line("almost", range(2, 13))]
    worse, close = decide(lines, reference="ours", metric="accuracy")
    assert (worse.verdict, worse.rows_to_decide, worse.test) == ("worse", None, "exact McNemar")
    assert worse.difference.estimate == pytest.approx(-0.4)
    # 45 even rows from 10 on are only its errors, 5 odd rows below 10 only ours; Holm: the smaller of two twice
    assert worse.p_value == pytest.approx(mcnemar_exact(5, 45))
    assert worse.p_adjusted == pytest.approx(2 * worse.p_value)
    assert close.verdict == "cannot tell"
    assert close.rows_to_decide > 100
    assert close.detectable > 0.01
    assert worse.sentence.startswith("majority is worse than ours by 40 points [")
    assert close.sentence.startswith("cannot tell almost from ours: -1 points [")
    assert "rows would show it" in close.sentence


def test_holm_over_the_table_takes_back_what_one_comparison_alone_would_claim():
    ours = line("ours", range(20))
    (alone,) = decide([ours, line("other", range(10, 20))], reference="ours", metric="accuracy")
    assert (alone.verdict, alone.p_value) == ("better", mcnemar_exact(10, 0))
    barely = line("other", range(8, 20))
    many = [ours, barely, *(line(f"same {n}", range(20)) for n in range(8))]
    found = decide(many, reference="ours", metric="accuracy")[0]
    assert found.difference.low > 0
    assert found.p_adjusted > 0.05
    assert found.verdict == "cannot tell"
    assert found.rows_to_decide > 100


def test_seeds_that_differ_make_a_difference_less_sure():
    steady = [line("ours", range(20)), line("other", range(8), range(8), range(8))]
    shaky = [line("ours", range(20)), line("other", (), range(24), ())]
    (sure,), (unsure,) = (decide(one, reference="ours", metric="accuracy") for one in (steady, shaky))
    assert sure.difference.estimate == pytest.approx(unsure.difference.estimate) == pytest.approx(0.12)
    assert (sure.verdict, unsure.verdict) == ("better", "cannot tell")
    assert sure.test == "t over seeds and rows"


def test_more_rows_are_no_cure_for_seeds_that_differ():
    shaky = [line("ours", range(20)), line("other", (), range(24), ())]
    (unsure,) = decide(shaky, reference="ours", metric="accuracy")
    assert unsure.rows_to_decide is None
    assert unsure.sentence.endswith("the seeds differ too much for more rows alone to show it: more seeds would")
    steadier = [line("ours", range(40, 60)), line("other", range(15), range(1, 16), range(2, 17))]
    (close,) = decide(steadier, reference="ours", metric="accuracy")
    assert close.rows_to_decide > 100
    assert "rows would show it" in close.sentence


def test_rows_to_decide_are_never_too_few_for_any_verdict():
    two = ROWS[:2]
    lines = [line("ours", range(2), rows=two), *(line(f"right {n}", (), rows=two) for n in range(3))]
    assert {
        one.rows_to_decide is None or one.rows_to_decide >= 7
        for one in decide(lines, reference="ours", metric="macro_f1")
    } == {True}
    one_group = [replace(row, group="only") for row in ROWS[:20]]
    lines = [line("ours", range(12), rows=one_group), line("right", (), rows=one_group)]
    (alone,) = decide(lines, reference="ours", metric="accuracy")
    assert (alone.verdict, alone.rows_to_decide) == ("cannot tell", None)


def test_scores_of_several_seeds():
    one = line("ours", range(20), range(10), range(30))
    score = score_of(one.runs, "accuracy")
    assert score.estimate == pytest.approx(0.8)
    assert score.low < 0.7 < 0.9 < score.high
    assert spread_of(one.runs, "accuracy") == pytest.approx(0.1)
    assert spread_of(one.runs[:1], "accuracy") is None
    assert score_of(one.runs[:1], "accuracy") == one.runs[0].evaluation.metrics["accuracy"]
    assert metric_of(one) == "accuracy"


def test_a_metric_that_is_no_share_has_all_of_it_too():
    lines = [line("ours", range(10)), line("almost", range(2, 13))]
    (found,) = decide(lines, reference="ours", metric="macro_f1")
    assert found.test == "paired permutation"
    assert found.detectable > 0
    assert found.rows_to_decide > 100


def test_equal_lines_can_never_be_told_apart():
    (found,) = decide([line("ours", range(9)), line("twin", range(9))], reference="ours", metric="accuracy")
    assert (found.verdict, found.rows_to_decide, found.p_value) == ("cannot tell", None, 1.0)


def test_other_rows_are_refused():
    with pytest.raises(DataError) as error:
        decide([line("a", ()), line("b", (), rows=ROWS[:-1])], reference="a", metric="accuracy")
    assert error.value.code == "data.lengths_differ"


def test_one_sentence_for_all():
    lines = [line("ours", range(10)), line("bad", range(0, 100, 2)), line("twin", range(10)), line("best", ())]
    said = verdict_of("ours", decide(lines, reference="ours", metric="accuracy"))
    assert said == "best is better than ours; bad is worse; twin cannot be told from it on these rows"
    none = verdict_of("ours", decide(lines[:3], reference="ours", metric="accuracy"))
    assert none.startswith("nothing is shown to be better than ours")
