"""A hub is asked once: no name is tried for half a minute when nobody answers."""

from pathlib import Path

import pytest
from huggingface_hub.errors import HfHubHTTPError

from softprompt.core.errors import ModelError
from softprompt.model.backbones.finding import hub
from softprompt.model.backbones.loading import load


class Answered(HfHubHTTPError):
    """The hub says no."""

    def __init__(self) -> None:
        Exception.__init__(self, "404")


class Hub:
    """Stands in for the network, and counts who asks."""

    def __init__(self, answer: Exception | None) -> None:
        self.answer, self.asked = answer, list[str]()

    def __call__(self, url: str, *, timeout: float) -> None:
        self.asked.append(url)
        if self.answer is not None:
            raise self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Put a hub in the network's place, with an empty cache."""

    def put(answer: Exception | None, *, cached: str | None = None) -> Hub:
        found = Hub(answer)
        monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *parts, **options: cached)
        monkeypatch.setattr(hub, "get_hf_file_metadata", found)
        return found

    return put


def test_a_hub_that_does_not_answer_is_asked_once(asked) -> None:
    found = asked(ConnectionError("Name or service not known"))
    with pytest.raises(ModelError, match=r"hub cannot be reached \(Name or service not known\)") as caught:
        load("nobody/nothing")
    assert caught.value.code == "model.not_found"
    assert len(found.asked) == 1


def test_a_cached_model_is_not_asked_for(asked) -> None:
    found = asked(ConnectionError("down"), cached="/cache/config.json")
    hub.require_reachable("somebody/something")
    assert found.asked == []


def test_what_the_hub_answers_is_told_where_models_are_loaded(asked) -> None:
    found = asked(Answered())
    hub.require_reachable("nobody/nothing", revision="v2")
    assert len(found.asked) == 1
    assert "v2" in found.asked[0]


def test_offline_asks_nobody(asked, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(None)
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    hub.require_reachable("somebody/something")
    assert found.asked == []
