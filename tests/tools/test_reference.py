from typing import Annotated, Literal

import pytest
import typer
from pydantic import BaseModel, Field

from tools.docs import reference


class Broken(Exception):
    """Everything that breaks."""


class CupError(Broken):
    """A cup is broken."""

    prefix = "cup"
    exit_status = 3


class Milk(BaseModel):
    """What goes into the tea."""

    fat: float = Field(1.5, description="percent | by weight")


class Tea(BaseModel):
    """A cup of tea."""

    kind: Literal["green", "black"] = "black"
    milk: Milk = Milk()
    sugar: Annotated[int, Field(ge=0)] | None = None
    guests: tuple[str, ...] = ()
    by_day: dict[str, Milk] = Field(default_factory=dict, alias="by-day")
    water: str = Field(description="where it comes from")
    hot: bool = True


app = typer.Typer(help="Make tea.")
caches = typer.Typer(help="What is kept warm.")
app.add_typer(caches, name="cache")


@app.command()
def brew(
    leaf: Annotated[str, typer.Argument(help="The leaf.")],
    minutes: Annotated[int, typer.Option(help="How long.", min=1)] = 3,
) -> None:
    """Brew a cup.

    Longer is not better.
    """


@caches.command("ls")
def list_caches() -> None:
    """List them."""


@app.command(hidden=True)
def secret() -> None:
    """Not for the page."""


def test_errors_page_lists_class_status_and_codes() -> None:
    page = reference.errors_page(Broken, {"cup.cracked": "There is a crack.", "plate.gone": "Elsewhere."})
    assert "## CupError: exit status 3\n\nA cup is broken." in page
    assert "| `cup.cracked` | There is a crack. |" in page
    assert "plate.gone" not in page


def test_cli_page_has_every_visible_command_with_its_options() -> None:
    page = reference.cli_page(app, "tea")
    sections = [line for line in page.splitlines() if line.startswith("## ")]
    assert sections == ["## `tea`", "## `tea brew`", "## `tea cache`", "## `tea cache ls`"]
    assert "Brew a cup.\n\nLonger is not better." in page
    assert "The leaf." in page
    assert "--minutes" in page
    assert "[default: 3" in page.replace("\\", "")


def test_config_page_follows_nested_settings_and_says_defaults() -> None:
    page = reference.config_page(Tea)
    assert [line for line in page.splitlines() if line.startswith("### ")] == ["### Tea", "### Milk"]
    assert "| `kind` | `green` or `black` | `black` |  |" in page
    assert "| `milk` | [Milk](#milk) | its defaults |  |" in page
    assert "| `sugar` | whole number or nothing |  |  |" in page
    assert "| `guests` | list of text |  |  |" in page
    assert "| `by-day` | mapping of [Milk](#milk) |  |  |" in page
    assert "| `water` | text | **required** | where it comes from |" in page
    assert "| `hot` | true or false | `true` |  |" in page
    assert "| `fat` | number | `1.5` | percent \\| by weight |" in page


def test_check_fails_until_the_pages_are_written(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["reference.py", "--check"])
    assert reference.main(tmp_path) == 1
    assert "errors.md" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["reference.py"])
    assert reference.main(tmp_path) == 0
    monkeypatch.setattr("sys.argv", ["reference.py", "--check"])
    assert reference.main(tmp_path) == 0
    (tmp_path / "reference" / "errors.md").write_text("old", encoding="utf-8")
    assert reference.main(tmp_path) == 1


@pytest.mark.parametrize("name", reference.PAGES)
def test_page_in_docs_is_up_to_date(name: str) -> None:
    assert (reference.FOLDER / name).read_text(encoding="utf-8") == reference.PAGES[name](), "run `make docs`"
