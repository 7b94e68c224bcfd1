import datetime
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.data.values import Unreadable, is_missing, to_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as  it stands\n", "as  it stands\n"),
        (7, "7"),
        (7.0, "7"),
        (-0.5, "-0.5"),
        (1e300, "1e+300"),
        (True, "true"),
        (np.int64(3), "3"),
        (np.float32(0.5), "0.5"),
        (np.bool_(False), "false"),
        (np.array(["a", "b"]), '["a", "b"]'),
        (datetime.date(2026, 1, 31), "2026-01-31"),
        (datetime.datetime(2026, 1, 31, 12, 5), "2026-01-31T12:05:00"),
        ({"ä": [1, None]}, '{"ä": [1, null]}'),
        (None, ""),
        (float("nan"), ""),
    ],
)
def test_the_stated_rule(value: object, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize("value", [b"bytes", object(), "half \ud83d", ["\ud83d"], {"a": object()}])
def test_what_has_no_text_form_is_refused(value: object) -> None:
    with pytest.raises(Unreadable, match=r"type|surrogate"):
        to_text(value)


def test_a_list_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(Unreadable, match="JSON cannot write"):
        to_text(loop)


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_whole_floats_read_like_integers(number: int) -> None:
    assert to_text(float(number)) == to_text(number) == str(number)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x), max_leaves=8))
def test_text_can_always_be_encoded_and_lists_read_back(value: object) -> None:
    text = to_text(value)
    assert text.encode("utf-8").decode("utf-8") == text
    if isinstance(value, list):
        assert json.loads(text) == value


def test_pandas_gaps_are_missing() -> None:
    pandas = pytest.importorskip("pandas")
    assert is_missing(pandas.NA)
    assert is_missing(pandas.NaT)
    assert to_text(pandas.Timestamp("2026-01-31")) == "2026-01-31T00:00:00"
