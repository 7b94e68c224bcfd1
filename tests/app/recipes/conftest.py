"""The model that whole runs are tested with."""

from collections.abc import Iterator
from functools import partial

import pytest

import softprompt as sp
from softprompt.core.metrics import scoring
from softprompt.testing import tiny


@pytest.fixture(scope="session")
def model() -> sp.Backbone:
    """Tiny and real, with random weights."""
    return tiny("llama")


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """Rough intervals and p-values: with shapes executed, the resamples of a run take longer than its training.

    For tests of what becomes of scores; how good intervals are is tested beside them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "bootstrap", partial(scoring.bootstrap, resamples=50))
        patch.setattr(scoring, "paired_bootstrap", partial(scoring.paired_bootstrap, resamples=50))
        patch.setattr(scoring, "paired_permutation", partial(scoring.paired_permutation, resamples=50))
        yield
