"""Settings of decoding: what makes no sense is said, all of it at once; what is resolved can be read back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.decoding import Decoding
from softprompt.core.errors import ConfigError

WAYS = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"num_beams": st.integers(2, 9)}, optional={"length_penalty": st.floats(0, 2)}),
    st.fixed_dictionaries(
        {"temperature": st.floats(0.1, 2)},
        optional={"top_p": st.floats(0.1, 1), "top_k": st.integers(1, 50), "seed": st.integers(0, 99)},
    ),
)


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        ({"max_new_tokens": 0, "top_p": 0, "temperature": -1}, ["max_new_tokens", "top_p", "temperature"]),
        ({"method": "beam", "num_beams": 1}, ["num_beams"]),
        ({"stop": [""], "terminators": [-1]}, ["stop.0", "terminators.0"]),
        ({"method": "greedy", "temperature": 0.5, "num_beams": 2}, ["temperature has no effect", "num_beams has no"]),
        ({"temperature": 0.5, "top_k": 3, "num_beams": 2}, ["num_beams 2 beside temperature, top_k; give one"]),
        ({"min_new_tokens": 65, "max_new_tokens": 64}, ["min_new_tokens 65 is more than max_new_tokens 64"]),
        ({"method": "greed"}, ["'greedy', 'sample' or 'beam'"]),
        ({"method": "sample", "temperature": 0}, ["temperature: has to be above 0 to draw"]),
        ({"seed": 3}, ["seed has no effect with method 'greedy'", "give a temperature too"]),
        ({"temperature": 0, "top_p": 0.5}, ["top_p has no effect with method 'greedy'"]),
    ],
)
def test_faults(data: dict[str, Any], faults: list[str]):
    with pytest.raises(ConfigError) as caught:
        Decoding.parse(data)
    assert caught.value.code == "config.invalid"
    for fault in faults:
        assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("data", "method"),
    [
        ({}, "greedy"),
        ({"temperature": 0}, "greedy"),
        ({"num_beams": 1}, "greedy"),
        ({"temperature": 1.0}, "sample"),
        ({"top_p": 1.0}, "sample"),
        ({"top_k": 5, "num_beams": 1}, "sample"),
        ({"num_beams": 2, "temperature": 0}, "beam"),
    ],
)
def test_the_method_follows_from_the_settings(data: dict[str, Any], method: str):
    assert Decoding.parse(data).method == method


@pytest.mark.parametrize("method", ["greedy", "sample", "beam"])
def test_resolved_settings_are_read_back(method: str):
    settings = Decoding.parse({"method": method})
    assert Decoding.parse(settings.model_dump(mode="json")) == settings


@given(WAYS, WAYS, st.sampled_from([{}, {"stop": ["\n"]}, {"max_new_tokens": 7}]))
def test_changed_twice_is_the_second_change_with_what_every_method_reads(first, second, every):
    found = Decoding.parse({**first, **every}).changed(second)
    assert (found.stop, found.max_new_tokens) == (tuple(every.get("stop", ())), every.get("max_new_tokens"))
    asked = Decoding.parse(second)
    if second:
        assert found.method == asked.method
        assert all(getattr(found, name) == getattr(asked, name) for name in second)
    assert Decoding.parse(found.model_dump(mode="json")) == found


def test_a_change_that_asks_for_two_methods_is_refused():
    with pytest.raises(ConfigError, match="beams do not draw"):
        Decoding().changed({"num_beams": 3, "top_p": 0.5})
