"""The table as plain data: there and back through JSON, nothing lost, another schema refused."""

import json
import math
from dataclasses import replace

import pytest

from softprompt.core.errors import DataError
from softprompt.core.records import Example
from softprompt.core.stats import wilson
from softprompt.core.tasks import Task
from softprompt.lab.comparison import Against, ComparisonTable, Cost, Line, RunRecord
from softprompt.lab.evaluation import evaluate
from softprompt.model.prediction import Prediction

TASK = Task.classify(["no", "yes"], metrics=("accuracy",))
ROWS = [Example({"text": str(n)}, target="yes" if n % 2 else "no", id=str(n)) for n in range(4)]
SAID = [Prediction(row.id, "yes", {"no": 0.25, "yes": 0.75}, 0.75) for row in ROWS]


def table():
    run = RunRecord(
        seed=0,
        evaluation=evaluate(SAID, ROWS, TASK, name="a", seconds=0.5),
        cost=Cost(fit_seconds=1.5, predict_seconds=0.5, num_trained=3),
        probe={"0.1": 0.5, "0.3": None},
        curve=((3, 0.25),),
        looks=((3, 0.5), (6, None)),
        started="2026-01-01T00:00:00+00:00",
    )
    against = Against(
        name="b",
        reference="a",
        verdict="cannot tell",
        difference=replace(wilson(1, 2), low=-math.inf),
        p_value=1.0,
        p_adjusted=1.0,
        test="exact McNemar",
        detectable=0.5,
        rows_to_decide=None,
        sentence="cannot tell b from a",
    )
    lines = (
        Line(name="a", kind="majority", config={"kind": "majority"}, key="k", runs=(run,), score=wilson(2, 4)),
        Line(name="b", kind="soft", config={}, key="l", left_out="it does not fit"),
    )
    return ComparisonTable(
        name="demo",
        task={"kind": "classify"},
        metric="accuracy",
        reference="a",
        rows={"test": {"count": 4, "hash": "h"}},
        budget={"steps": 3},
        seeds=(0, 1),
        contenders=lines,
        verdicts=(against,),
        verdict="cannot tell",
        warnings=("few rows",),
    )


def test_there_and_back_through_json():
    there = table()
    document = json.loads(json.dumps(there.to_dict(), allow_nan=False))
    assert ComparisonTable.from_dict(document) == there
    assert json.loads(json.dumps(ComparisonTable.from_dict(document).to_dict())) == document


def test_a_key_of_a_later_version_is_left():
    document = {**table().to_dict(), "weather": "rain"}
    document["contenders"][0]["runs"][0]["cost"]["grams_of_co2"] = 3.0
    assert ComparisonTable.from_dict(document) == table()


def test_another_schema_is_refused():
    with pytest.raises(DataError, match="schema 2") as error:
        ComparisonTable.from_dict({**table().to_dict(), "schema": 2})
    assert error.value.code == "data.unknown_schema"


def test_lines_by_name_and_those_with_numbers():
    there = table()
    assert there.line("b").left_out == "it does not fit"
    assert [line.name for line in there.judged] == ["a"]
    assert there.against("a") is None
    assert there.against("b").verdict == "cannot tell"
