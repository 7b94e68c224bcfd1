"""The model that whole runs are tested with."""

import pytest

import softprompt as sp
from softprompt.testing import tiny


@pytest.fixture(scope="session")
def model() -> sp.Backbone:
    """Tiny and real, with random weights."""
    return tiny("llama")
