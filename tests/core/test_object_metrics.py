"""Metrics of extracted objects against a count by hand, and against scikit-learn's micro averages."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from softprompt.core.metrics import make_metric, score
from softprompt.core.metrics.objects import field_report

VALUES = st.sampled_from([None, "a", "b"])
OBJECTS = st.fixed_dictionaries({"x": VALUES, "y": VALUES})
NAMES = ("field_f1", "field_precision", "field_recall")


@given(st.lists(st.tuples(OBJECTS, OBJECTS), min_size=1, max_size=8))
def test_fields_of_one_value_are_scored_as_micro_averages(pairs: list[tuple[dict[str, str], dict[str, str]]]) -> None:
    told = [[one[0][name] == value for name in "xy" for value in "ab"] for one in pairs]
    right = [[one[1][name] == value for name in "xy" for value in "ab"] for one in pairs]
    precision, recall, f1, _ = precision_recall_fscore_support(right, told, average="micro", zero_division=1)
    found = {name: score(make_metric(name), *zip(*pairs, strict=True)).interval.estimate for name in NAMES}
    assert found == pytest.approx({"field_f1": f1, "field_precision": precision, "field_recall": recall})


@given(OBJECTS, OBJECTS)
def test_texts_of_objects_are_scored_as_objects(told: dict[str, str], right: dict[str, str]) -> None:
    for name in (*NAMES, "whole_object"):
        metric = make_metric(name)
        assert np.array_equal(metric.item(told, right), metric.item(json.dumps(told), json.dumps(right)))


@pytest.mark.parametrize("nothing", [None, "no object", "[1]"])
def test_what_is_no_object_finds_nothing_and_is_wrong(nothing: str | None) -> None:
    assert make_metric("field_f1").item(nothing, {"x": "a", "y": ["b", "c"]}).tolist() == [0, 0, 3]
    assert make_metric("whole_object").item(nothing, {"x": None})[0] == 0


def test_a_field_that_was_made_up_costs_precision() -> None:
    (x, y) = field_report([{"x": "a", "y": "b"}], [{"x": "a", "y": None}], names=["x", "y"])
    assert (x.recall.estimate, x.precision.estimate, x.f1) == (1, 1, 1)
    assert (y.n, y.predicted, y.precision.estimate, y.f1) == (0, 1, 0, 0)


def test_fields_of_a_group_are_no_new_evidence():
    told, right = [{"n": n % 2} for n in range(12)], [{"n": 0} for n in range(12)]
    (alone,) = field_report(told, right, names=["n"])
    (pairs,) = field_report(told, right, names=["n"], groups=[n % 4 for n in range(12)])
    assert pairs.recall.estimate == alone.recall.estimate == 0.5
    assert pairs.recall.high - pairs.recall.low > alone.recall.high - alone.recall.low
