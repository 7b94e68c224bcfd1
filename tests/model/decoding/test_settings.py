"""Settings of decoding: what makes no sense is said, all of it at once; what is resolved can be read back."""

from typing import Any

import pytest

from softprompt.core.errors import ConfigError
from softprompt.model.decoding.settings import Decoding


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        ({"max_new_tokens": 0, "top_p": 0, "temperature": -1}, ["max_new_tokens", "top_p", "temperature"]),
        ({"method": "beam", "num_beams": 1}, ["num_beams"]),
        ({"stop": [""], "terminators": [-1]}, ["stop.0", "terminators.0"]),
        ({"temperature": 0.5, "num_beams": 2}, ["temperature has no effect", "num_beams has no effect"]),
        ({"min_new_tokens": 65}, ["min_new_tokens 65 is more than max_new_tokens 64"]),
        ({"method": "greed"}, ["'greedy', 'sample' or 'beam'"]),
    ],
)
def test_faults(data: dict[str, Any], faults: list[str]):
    with pytest.raises(ConfigError) as caught:
        Decoding.parse(data)
    assert caught.value.code == "config.invalid"
    for fault in faults:
        assert fault in str(caught.value)


@pytest.mark.parametrize("method", ["greedy", "sample", "beam"])
def test_resolved_settings_are_read_back(method: str):
    settings = Decoding.parse({"method": method})
    assert Decoding.parse(settings.model_dump(mode="json")) == settings
