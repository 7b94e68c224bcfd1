"""The template reference holds what it says: its examples run, its tables and settings are true."""

import doctest
import re
from pathlib import Path

import pytest
import yaml

from softprompt.core import errors
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.core.tokens import Tokenizer
from softprompt.model.templates import RowBuilder, Template, TemplateSettings, show
from tests.model.templates.tokenizers import Toy


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs/templates.md").read_text(encoding="utf-8")


def test_examples_run(page: str) -> None:
    examples = doctest.DocTestParser().get_doctest(page, {}, "templates.md", "docs/templates.md", 0)
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    said: list[str] = []
    runner.run(examples, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
    assert len(examples.examples) > 10


def test_shown_tokens_are_those_of_the_embedded_model(page: str, real: Tokenizer) -> None:
    found = re.search(r"<!-- show: (.*) -->\n```text\n(.*?)```", page, re.DOTALL)
    assert found
    task = Task.classify(["billing", "delivery"])
    builder = RowBuilder(Template.parse(found[1]), task, real, max_tokens=1024)
    example = Example({"text": "The parcel came open and the bowl is in two pieces."})
    assert "\n".join(show(builder, example).lines()) + "\n" == found[2]


def test_presets_are_those_of_the_table(page: str) -> None:
    rows = re.findall(r"^\| (classify|choose|generate) \| `(.*?)` \| `(.*?)` \|$", page, re.MULTILINE)
    assert len(rows) == 3
    for kind, after, before in rows:
        assert str(Template.preset(kind)) == after.replace("⏎", "\n")
        assert str(Template.preset(kind, place="before")) == before.replace("⏎", "\n")


def test_settings_build(page: str) -> None:
    blocks = re.findall(r"<!-- settings -->\n```yaml\n(.*?)```", page, re.DOTALL)
    built = [
        TemplateSettings.parse(yaml.safe_load(block)["template"]).build("classify", tokenizer=Toy()) for block in blocks
    ]
    assert [template.placement for template in built] == ["after", "after", "before", "after", "after"]
    assert built[0].windowed == "text"
    assert built[3].truncate == ("context",)


def test_codes_on_the_page_exist(page: str) -> None:
    assert set(re.findall(r"template\.[a-z]+_[a-z_]+", page)) <= set(errors.CATALOGUE)


@pytest.mark.parametrize(
    ("text", "same"),
    [("{text} <soft 20> It was{answer}", "{text}<soft 20> It was{answer}")],
)
def test_blanks_move_as_the_page_says(page: str, text: str, same: str) -> None:
    assert text.removesuffix("{answer}") in page
    rows = [
        RowBuilder(Template.parse(each), Task.classify(["a", "b"]), Toy(), max_tokens=99).row(Example({"text": "hi"}))
        for each in (text, same)
    ]
    assert rows[0] == rows[1]
