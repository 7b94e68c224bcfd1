"""Windows cover a text, fit, overlap as they say, and become rows that are not cut."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.core.errors import TemplateError
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.model.templates import RowBuilder, Template
from softprompt.model.templates.settings import TemplateSettings
from softprompt.model.templates.windows import WindowSettings, cut_windows
from softprompt.testing import tiny

TOKENIZER = tiny().tokenizer
TASK = Task.classify(["no", "yes"])


def words(text: str) -> int:
    return len(text.split())


def build(text: str = "{text}<soft 3> It was {answer}", *, max_tokens: int = 60, **more: object) -> RowBuilder:
    return RowBuilder(Template.parse(text, **more), TASK, TOKENIZER, max_tokens=max_tokens)  # type: ignore[arg-type]


@given(st.integers(5, 200), st.integers(2, 20), st.sampled_from([0.0, 0.25, 0.5]))
def test_windows_cover_the_text_and_fit(length: int, budget: int, overlap: float) -> None:
    text = " ".join(f"w{i}" for i in range(length))
    if words(text) <= budget:
        return
    found, lost = cut_windows(text, budget=budget, settings=WindowSettings(most=256, overlap=overlap), count=words)
    assert lost == 0
    assert {word for window in found for word in window.split()} == set(text.split())
    assert all(words(window) <= budget and window in text for window in found)
    starts = [text.index(window) for window in found]
    assert starts == sorted(set(starts)), "every window begins behind the one before"
    assert words(found[-1]) == budget, "the last is as long as the others"


def test_neighbours_share_what_the_overlap_says() -> None:
    text = " ".join(f"w{i}" for i in range(40))
    found, _ = cut_windows(text, budget=8, settings=WindowSettings(overlap=0.25), count=words)
    shared = [len(set(one.split()) & set(other.split())) for one, other in pairwise(found)]
    assert shared[:-1] == [2] * (len(found) - 2)


def test_what_stands_behind_the_last_window_is_counted() -> None:
    text = " ".join(f"w{i}" for i in range(40))
    found, lost = cut_windows(text, budget=8, settings=WindowSettings(most=3, overlap=0), count=words)
    assert len(found) == 3
    assert lost == 40 - 24


@settings(max_examples=30)
@given(st.text(min_size=0, max_size=300), st.integers(40, 80), st.booleans())
def test_rows_of_windows_are_never_cut(text: str, max_tokens: int, twice: bool) -> None:
    template = "{text} or {text}<soft 3> It was {answer}" if twice else "{text}<soft 3> It was {answer}"
    builder = build(template, max_tokens=max_tokens, keep="windows", windows=WindowSettings(most=64))
    split = builder.split(Example({"text": text}))
    for part in split.parts:
        assert builder.lengths(part).cut == {}
        assert builder.lengths(part).total <= max_tokens
    assert all(part.fields["text"] in text for part in split.parts)
    if len(split.parts) < 64:
        assert not split.cut
    assert (len(split.parts) > 1) == bool(builder.lengths(Example({"text": text})).cut)


def test_a_short_text_is_one_row_and_the_same_as_without_windows() -> None:
    example = Example({"text": "Fine."}, "yes")
    assert build(keep="windows").split(example).parts == (example,)
    assert build(keep="windows").row(example) == build().row(example)


def test_other_fields_are_cut_in_every_window_and_counted() -> None:
    builder = build(
        "{title}: {text} It was {answer}", keep={"text": "windows"}, max_tokens=80, windows=WindowSettings(most=64)
    )
    split = builder.split(Example({"title": "t" * 90, "text": " ".join("abcdefgh" * 4) * 4}))
    assert len(split.parts) > 1
    assert set(split.cut) == {"title"}
    assert split.ends == ("end",)
    assert len({part.fields["title"] for part in split.parts}) == 1


def test_a_field_that_must_not_be_cut_is_an_error_as_without_windows() -> None:
    builder = build("{title}: {text} It was {answer}", keep={"text": "windows"}, truncate=["title"], max_tokens=60)
    with pytest.raises(TemplateError, match=r"template\.too_long"):
        builder.split(Example({"title": "t", "text": "x" * 200}))


def test_two_fields_cannot_be_windowed() -> None:
    with pytest.raises(TemplateError, match=r"only one field .* title, text .*keep: \{title: windows\}"):
        Template.parse("{title}: {text} It was {answer}", keep="windows")


def test_windows_without_a_field_are_refused() -> None:
    with pytest.raises(TemplateError, match="no field is read in them"):
        Template.parse("{text} It was {answer}", keep="tail", windows=WindowSettings())


def test_a_kind_without_scores_to_pool_is_refused() -> None:
    template = Template.parse("{text} Output: {answer}", keep="windows")
    with pytest.raises(TemplateError, match=r"classify, choose, multilabel, score.*this task is generate.*keep: head"):
        RowBuilder(template, Task.generate(), TOKENIZER, max_tokens=200)


def test_the_template_keeps_its_windows() -> None:
    template = Template.parse("{text} It was {answer}", keep="windows", windows=WindowSettings(most=3, pool="max"))
    again = Template.from_dict(template.to_dict())
    assert again == template
    assert again.windows == WindowSettings(most=3, pool="max")
    other = Template.parse("{text} It was {answer}", keep="windows")
    assert other.digest != template.digest
    assert template.without_slots().windows == template.windows


def test_a_template_without_windows_is_written_as_before() -> None:
    assert "windows" not in Template.parse("{text} It was {answer}", keep="tail").to_dict()


@pytest.mark.parametrize("windows", [{"most": 1}, {"pool": "sum"}, {"strde": 3}])
def test_a_saved_template_with_other_windows_is_refused(windows: dict[str, object]) -> None:
    data = Template.parse("{text} It was {answer}", keep="windows").to_dict()
    with pytest.raises(TemplateError, match=r"windows of a saved template.*template\.invalid"):
        Template.from_dict({**data, "windows": windows})


def test_settings_write_windows_for_the_preset() -> None:
    written = TemplateSettings.parse({"keep": "windows", "windows": {"overlap": 0.5}})
    assert written.build("classify").windows == WindowSettings(overlap=0.5)
