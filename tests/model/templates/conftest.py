"""The tokenizers of these tests."""

from pathlib import Path

import pytest

from softprompt.core.tokens import Tokenizer
from tests.model.templates.tokenizers import Real, Toy


@pytest.fixture(scope="session")
def real(repository: Path) -> Tokenizer:
    """The tokenizer of the embedded model."""
    path = repository / "src/softprompt/assets/embedded/tokenizer.json"
    if not path.exists():
        pytest.skip("the embedded model is not in this checkout")
    return Real(path)


@pytest.fixture(params=["toy", "real"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Each of both."""
    return Toy() if request.param == "toy" else request.getfixturevalue("real")
