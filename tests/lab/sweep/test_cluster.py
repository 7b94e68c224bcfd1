"""Trials are dealt to workers whole, evenly, and by kin."""

from hypothesis import given
from hypothesis import strategies as st

from softprompt.lab.sweep.cluster import dealt
from softprompt.lab.sweep.study import Trial


@given(kinds=st.lists(st.sampled_from("abc"), min_size=1, max_size=20), workers=st.integers(1, 8))
def test_every_trial_is_dealt_once_and_evenly(kinds: list[str], workers: int) -> None:
    trials = [Trial(n, {"method": kind}, "running") for n, kind in enumerate(kinds)]
    parts = dealt(trials, workers, lambda trial: str(trial.values["method"]))
    assert sorted(one.number for part in parts for one in part) == list(range(len(trials)))
    assert len(parts) == min(workers, len(trials))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert sum(len({one.values["method"] for one in part}) for part in parts) <= len(parts) + len(set(kinds)) - 1
