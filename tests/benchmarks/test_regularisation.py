"""The benchmark of regularisation: every setting is one of the package's, and a run that was cut goes on."""

from pathlib import Path

import pytest

from benchmarks.regularisation import SETTINGS, kept, page
from softprompt.lab.training.settings import TrainingSettings


def test_every_setting_is_one_of_the_training_and_changes_it():
    for name, changes in SETTINGS.items():
        settings = TrainingSettings.parse(changes)
        assert (settings == TrainingSettings()) == (name == "none")


def test_what_is_finished_is_not_measured_again(tmp_path: Path):
    path, asked = tmp_path / "runs" / "kept.json", []

    def measure(changes):
        asked.append(changes)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return [(0.5, 1.0), (0.6, 1.2)]

    with pytest.raises(KeyboardInterrupt):
        kept(path, 7, measure)
    found = kept(path, 7, measure)
    assert list(found) == list(SETTINGS)
    assert len(asked) == len(SETTINGS) + 1
    assert "| dropout 0.3 | 0.550 ± 0.071 | 1.100 ± 0.141 |" in page(found, steps=7, load=0.0)
    kept(path, 8, measure)
    assert len(asked) == 2 * len(SETTINGS) + 1


def test_a_run_without_time_names_what_is_left(tmp_path: Path):
    found = kept(tmp_path / "kept.json", 7, lambda changes: [(0.5, 1.0), (0.6, 1.2)], until=0.0)
    assert list(found) == ["none"]
    assert "Not measured yet: weight_decay 0.1, dropout 0.1," in page(found, steps=7, load=0.0)
