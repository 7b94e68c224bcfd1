"""What may be varied, and how it is said."""

import pytest

from softprompt.core.errors import ConfigError
from softprompt.lab.sweep.space import Range, SweepSettings, default_space


def test_names_stand_for_keys_and_others_are_refused() -> None:
    assert SweepSettings.parse({"space": {"length": [1], "training.warmup": [0.1, 0.2]}}).space
    with pytest.raises(ConfigError, match="cannot vary 'lenght'; did you mean 'length'"):
        SweepSettings.parse({"space": {"lenght": [1]}})
    with pytest.raises(ConfigError, match=r"cannot vary 'data\.train'"):
        SweepSettings.parse({"space": {"data.train": ["a", "b"]}})


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({}, "the space is empty"),
        ({"rate": [1.0], "training.rate": [2.0]}, "two names of the space are the same key"),
        ({"rate": {"low": 1, "high": 0.5}}, "does not rise"),
        ({"rate": {"low": 0, "high": 0.5, "log": True}}, "begins above 0"),
        ({"rate": []}, "space.rate"),
        ({"rate": 0.5}, "rate: 0.5 varies nothing; give choices"),
        ({"lenght": 3}, "did you mean 'length'"),
        ({"rate": {"low": 0, "hihg": 0.5}}, "did you mean 'high'"),
    ],
)
def test_spaces_that_cannot_be_searched_are_refused(space: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SweepSettings.parse({"space": space})


def test_the_default_starts_from_labels_where_there_are_some() -> None:
    assert "labels" in default_space()["start"]
    assert "labels" not in default_space(labels=False)["start"]
    assert Range(low=1, high=5).whole
    assert not Range(low=1, high=5.5).whole


@pytest.mark.parametrize(
    ("varied", "told"),
    [
        ({"low": 5}, "space.rate.range.high: field required"),
        ({"low": 5, "high": 1}, "space.rate.range: the range from 5 to 1 does not rise"),
        ([], "space.rate.choices: 1 item or more wanted, got []"),
    ],
)
def test_a_fault_is_told_of_the_form_that_was_meant(varied: object, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SweepSettings.parse({"space": {"rate": varied}})
    assert caught.value.message == told
