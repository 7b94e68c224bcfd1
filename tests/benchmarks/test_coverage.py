"""The simulation of coverage: what it sums is right, and the script writes what it shows."""

import importlib.util
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from softprompt.core.stats import Interval, mcnemar_exact, wilson


@pytest.fixture(scope="module")
def script(repository: Path) -> ModuleType:
    folder = repository / "benchmarks"
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("coverage_script", folder / "coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def test_an_interval_that_holds_everything_covers_always(script: ModuleType) -> None:
    assert script.proportion_coverage(lambda k, n: Interval(0.5, 0.0, 1.0, 0.95, "all"), 20) == pytest.approx(1)
    assert script.proportion_coverage(lambda k, n: Interval(k / n, k / n, k / n, 0.95, "none"), 20).max() < 0.5
    assert abs(script.proportion_coverage(wilson, 50).mean() - 0.95) < 0.02


def test_a_test_that_always_claims_claims_always(script: ModuleType) -> None:
    assert script.mcnemar_claims(lambda b, c: 0.0, 20, 0.05) == pytest.approx(1, abs=1e-9)
    assert script.mcnemar_claims(mcnemar_exact, 20, 0.05) <= 0.05


def test_seeds_without_luck_are_covered_and_the_picture_is_whole(script: ModuleType) -> None:
    held = script.seed_coverage(3, 0.0, 30, 10)
    assert set(held) == set(script.SEED_METHODS)
    assert all(0 <= share <= 1 for share in held.values())
    drawn = ElementTree.fromstring(script.picture({3: held}))
    assert len(drawn.findall(".//{*}polyline")) == 2 * len(script.SIZES)
    assert np.isfinite(script.bootstrap_coverage(20, 3))
