"""The example notebook, executed cell by cell in a kernel of its own: no error, and a card where one is promised."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

nbformat: Any = pytest.importorskip("nbformat")
nbclient: Any = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

#: Instead of what a reader waits for.
SHORT = ('"steps": 50', '"steps": 6, "evaluations": 2')


@pytest.fixture(scope="module")
def notebook(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Executed, with fewer steps."""
    made = nbformat.read(repository / "docs" / "examples" / "first-notebook.ipynb", as_version=4)
    (tuning,) = [cell for cell in made.cells if SHORT[0] in cell.source]
    tuning.source = tuning.source.replace(*SHORT)
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(repository / "src"), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PYTHONWARNINGS", "ignore:IProgress not found")  # tqdm's, where there is no ipywidgets
        client = nbclient.NotebookClient(made, timeout=300, resources={"metadata": {"path": str(folder)}})
        return client.execute()


def html_of(notebook: Any, words: str) -> str:
    """What the cell with these words shows."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and words in cell.source]
    return "\n".join(
        str(output["data"].get("text/html", ""))
        for output in cell.outputs
        if output["output_type"] in ("execute_result", "display_data")
    )


CARDS = {
    "sp.Task.classify": "task",
    "sp.data_page": "data",
    "sp.tune": "run",
    "sp.evaluate": "evaluation",
}


@pytest.mark.parametrize("words", CARDS)
def test_a_card_is_there(notebook: Any, words: str) -> None:
    assert f'<p class="spk-kind">{CARDS[words]}</p>' in html_of(notebook, words)


def test_every_cell_ran_and_said_nothing_else(notebook: Any) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output["output_type"] for cell in code for output in cell.outputs}
    assert kinds <= {"execute_result", "display_data"}, "text on stdout or stderr, or an error"


def test_progress_was_shown_and_ended(notebook: Any) -> None:
    html = html_of(notebook, "sp.tune")
    assert '<p class="spk-kind">progress</p>' in html
    assert re.search(r"<h3>done after [\d.]+ (s|min)", html)


def test_answers_have_the_index_of_the_frame(notebook: Any) -> None:
    html = html_of(notebook, "answers = ")
    assert re.findall(r"<th>(\d+)</th>", html) == list("01234")
    assert "confidence" in html


def test_it_is_kept_without_outputs(repository: Path) -> None:
    kept = nbformat.read(repository / "docs" / "examples" / "first-notebook.ipynb", as_version=4)
    assert not [cell for cell in kept.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
