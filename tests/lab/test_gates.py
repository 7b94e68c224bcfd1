"""Limits: which scores can be limited, what keeps a limit, and what cannot be understood."""

import pytest

from softprompt.core.errors import ConfigError
from softprompt.core.records import Example
from softprompt.core.stats import Interval
from softprompt.core.tasks import Task
from softprompt.lab.evaluation import evaluate
from softprompt.lab.gates import Gate, check_names, parse_gate, pass_gates
from softprompt.model.prediction import Prediction

TASK = Task.classify(["no", "yes"])
ROWS = [Example({}, target=target, id=str(n)) for n, target in enumerate(["yes", "yes", "no", "no"])]
SAID = [Prediction("", text, {"no": 0.2, "yes": 0.8}, 0.8) for text in ("yes", "no", "no", "no")]
FOUND = evaluate(SAID, ROWS, TASK)


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        ("accuracy=0.75", True),
        ("accuracy=0.76", False),
        ("recall.yes=0.5", True),
        ("recall.yes=0.51", False),
        ("precision.yes=1", True),
        ("f1.no=0.8", True),
        ("answered=0.7", True),
        ("log_loss=0.1", False),  # above: lower is better
        ("log_loss=9", True),
        ("coverage=0.6", True),
    ],
)
def test_a_score_keeps_its_limit_or_not(gate, passed):
    found = parse_gate(gate)
    check_names([found], TASK, coverage=True)
    (told,) = pass_gates([found], FOUND, coverage=Interval(0.61, 0.5, 0.7, 0.95, "dkw"))
    assert told.passed == passed
    assert ("keeps" in told.sentence) == passed


def test_the_bound_counts_where_it_is_asked_for():
    (told,) = pass_gates([Gate("accuracy", 0.5)], FOUND, bound=True)
    assert (told.passed, told.value) == (False, FOUND.metrics["accuracy"].low)
    assert told.sentence == "lower bound of accuracy 0.301 is under 0.5"
    (loss,) = pass_gates([Gate("brier", 0.0)], FOUND, bound=True)
    assert loss.sentence.startswith("upper bound of brier")
    (f1,) = pass_gates([Gate("f1.no", 0.1)], FOUND, bound=True)
    assert (f1.passed, f1.sentence) == (False, "lower bound of f1.no cannot be told")


def test_what_cannot_be_told_keeps_no_limit():
    withheld = evaluate([Prediction("", "yes", {"no": 0.2, "yes": 0.8}, 0.8, abstained=True)] * 4, ROWS, TASK)
    (told,) = pass_gates([Gate("answered", 0.0)], withheld)
    assert (told.passed, told.value) == (False, None)


@pytest.mark.parametrize("text", ["macro_f1", "macro_f1=", "=0.8", "macro_f1=high", "macro_f1=nan", "macro_f1=inf"])
def test_a_gate_that_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigError, match=r"is no metric with a limit .*write macro_f1=0.80"):
        parse_gate(text)


@pytest.mark.parametrize(
    ("name", "near"), [("acuracy", "accuracy"), ("recall.yess", "recall.yes"), ("coverag", "accuracy")]
)
def test_an_unknown_score_is_refused_with_the_nearest(name, near):
    with pytest.raises(ConfigError, match=f"no score '{name}'.*{near}"):
        check_names([Gate(name, 0.5)], TASK)
    with pytest.raises(ConfigError, match="no score"):
        pass_gates([Gate(name, 0.5)], FOUND)
