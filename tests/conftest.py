"""What holds for every test: executed shapes, no network, one thread a worker, shared data by environment variable."""

import os
from pathlib import Path

# Before torch and huggingface_hub are imported, because both read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import jaxtyping
import pytest

import tests.shapes

# Shape annotations such as Float[Tensor, "B T"] are executed here, and only here.
jaxtyping.install_import_hook("softprompt", f"{tests.shapes.__name__}.checked")

hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=50, print_blob=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what Windows cannot do."""
    if os.name == "nt" and item.get_closest_marker("posix"):
        pytest.skip("needs a POSIX system")


REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of larger data and models beside the repository; a test that needs it says so by asking for it."""
    folder = Path(os.environ.get("SOFTPROMPT_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: set SOFTPROMPT_SHARED to a folder with data/ and models/")
    return folder
