"""Columns that only a contender's own template names: read for it alone, refused where there are none."""

import pytest

from softprompt.app.config import RunConfig
from softprompt.app.recipes.columns import named_by
from softprompt.app.recipes.compare import CompareReport, compare
from softprompt.app.recipes.curve import CurveReport, curve
from softprompt.core.errors import ConfigError, DataError, SoftpromptError, TemplateError
from softprompt.core.records import Example
from softprompt.data.sources import load
from softprompt.lab.comparison.prompting.text_prompts import ZeroShot
from softprompt.lab.comparison.settings import SoftSettings, TextSettings
from softprompt.lab.learning_curve import CurveSettings
from softprompt.testing import tiny

BACKBONE = tiny()
OURS = "{title}: {text} is {answer}"

pytestmark = pytest.mark.usefixtures("few_resamples")


def rows(count: int, start: int = 0) -> list[dict[str, object]]:
    words = {"no": "alpha", "yes": "beta"}
    names = [list(words)[n % 2] for n in range(start, start + count)]
    return [
        {"text": f"{words[name]} {n}", "title": f"heading {n}", "label": name} for n, name in enumerate(names, start)
    ]


def run(folder, *contenders, train=None, data=None, **more) -> CompareReport:
    config = RunConfig.parse(
        {
            "output": folder,
            "data": {"train": "given", **(data or {"columns": {"text": "text"}})},
            "training": {"steps": 2, "probe_steps": 1, "rates": [0.1], "batch_size": 4, "seeds": [0]},
            "max_tokens": 64,
            "compare": {"contenders": list(contenders)},
            **more,
        }
    )
    return compare(config, sources={"train": train or rows(16), "test": rows(8, 50)}, backbone=BACKBONE)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Example]:
    """Rows that text prompts were fitted with."""
    found: list[Example] = []
    fit = ZeroShot.fit

    def noting(self, train, validation, task, *, seed=0):
        found.extend(train)
        return fit(self, train, validation, task, seed=seed)

    monkeypatch.setattr(ZeroShot, "fit", noting)
    return found


def test_a_column_that_one_contender_names_is_read_for_it_alone(tmp_path, asked) -> None:
    first = run(tmp_path / "a", "majority", "zero-shot")
    assert {tuple(row.fields) for row in asked} == {("text",)}
    asked.clear()
    both = run(tmp_path / "a", "majority", "zero-shot", OURS)
    assert both.fresh == (f"text prompt: {OURS}",)  # the others' rows are what they were
    assert {row.fields["title"].split()[0] for row in asked if "title" in row.fields} == {"heading"}
    assert [line.key for line in both.table.contenders[:2]] == [line.key for line in first.table.contenders]
    ids = [[item.id for item in line.runs[0].evaluation.items] for line in both.table.contenders]
    assert ids[0] == ids[2]  # so that pairs can be compared


def measure(folder, *contenders, train=None, **more) -> CurveReport:
    training = {"steps": 1, "rate": 0.1}
    config = RunConfig.parse(
        {"output": folder, "data": {"train": "given"}, "training": training, "max_tokens": 64, **more}
    )
    settings = CurveSettings(first=8, draws=1)
    sources = {"train": train or rows(16), "test": rows(8, 50)}
    return curve(config, settings=settings, contenders=contenders, sources=sources, backbone=BACKBONE)


def test_a_curve_reads_a_column_for_the_contender_that_names_it(tmp_path, asked) -> None:
    assert measure(tmp_path / "a", "majority", "zero-shot").fresh == 4
    assert {tuple(row.fields) for row in asked} == {("text",)}
    asked.clear()
    more = measure(tmp_path / "a", "majority", "zero-shot", OURS)
    assert more.fresh == 2, "the others' points are what they were"
    assert {row.fields["title"].split()[0] for row in asked if "title" in row.fields} == {"heading"}
    (found,) = [one for one in more.curve.curves if one.name.startswith("text prompt")]
    assert [point.rows for point in found.points] == [8, 16]
    assert all(point.score is not None for point in found.points), "the rows that judge have the column, too"
    changed = [{**row, "title": "the same"} for row in rows(16)]
    assert measure(tmp_path / "a", "majority", "zero-shot", OURS, train=changed).fresh == 2
    with pytest.raises(DataError, match="did you mean 'title'"):
        measure(tmp_path / "b", "majority", "{titel} {text} is {answer}")
    assert not (tmp_path / "b").exists()


def test_a_soft_prompt_with_a_template_of_its_own_has_a_curve(tmp_path) -> None:
    soft = {"kind": "soft", "template": "{title}: {text}<soft 2> is {answer}"}
    (found,) = measure(tmp_path / "a", soft).curve.curves
    assert all(point.score is not None for point in found.points)


def test_the_rows_are_read_once_however_many_name_a_column(tmp_path, monkeypatch) -> None:
    read: list[object] = []

    def noting(source, *rest, **named):
        read.append(source)
        return load(source, *rest, **named)

    monkeypatch.setattr("softprompt.app.recipes.columns.load", noting)
    run(tmp_path / "a", OURS, "{title} {text} was {answer}", "{title} {text} means {answer}")
    assert len(read) == 2, "train and test"


def test_another_title_is_another_contender(tmp_path) -> None:
    first = run(tmp_path / "a", OURS).table.contenders[0]
    changed = [{**row, "title": "the same"} for row in rows(16)]
    (again,) = run(tmp_path / "a", OURS, train=changed).table.contenders
    assert again.key != first.key


def test_soft_prompts_and_mapped_columns(tmp_path) -> None:
    mapped = {"columns": {"text": "text", "heading": "title"}}
    written = {"template": "{text}<soft 2> was {answer}"}
    for name, columns in (("heading", mapped), ("title", {})):
        soft = {"kind": "soft", "template": f"{{{name}}}: {{text}}<soft 2> is {{answer}}"}
        report = run(tmp_path / name, soft, data=columns, **written)
        assert report.fresh == ("soft prompt own template",)


@pytest.mark.parametrize(
    ("template", "error", "code", "said"),
    [
        ("{titel} {text} is {answer}", DataError, "data.unknown_field", "did you mean 'title'"),
        ("{label} {text} is {answer}", DataError, "data.leaked_answer", "is the column of the answer"),
        ("{text is {answer}", TemplateError, "template.unclosed", "ours"),
    ],
)
def test_a_field_that_is_no_column_is_refused_before_anything_runs(tmp_path, template, error, code, said) -> None:
    with pytest.raises(error, match=said) as raised:
        run(tmp_path / "a", "majority", {"kind": "text", "template": template, "name": "ours"})
    assert raised.value.code == code
    assert str(raised.value).startswith("ours: ")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("call", [run, measure], ids=["compare", "curve"])
def test_a_field_that_is_no_column_is_told_before_a_model_is_loaded(tmp_path, call, monkeypatch) -> None:
    def loaded(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("softprompt.app.recipes.prepare.load_backbone", loaded)
    monkeypatch.setitem(globals(), "BACKBONE", None)
    wrong = {"kind": "text", "template": "{titel} {text} is {answer}", "name": "ours"}
    with pytest.raises(DataError, match="did you mean 'title'"):
        call(tmp_path / "a", "majority", wrong)


@pytest.mark.parametrize("call", [run, measure], ids=["compare", "curve"])
def test_a_place_for_a_template_that_is_written_out_is_refused_by_its_name(tmp_path, call) -> None:
    written = {"template": "{text}<soft 2> was {answer}"}
    with pytest.raises(ConfigError, match=r"^soft prompt after: place and length are for presets"):
        call(tmp_path / "a", "majority", "after", **written)
    assert not (tmp_path / "a").exists()


def test_a_row_without_text_there_is_named(tmp_path) -> None:
    broken = [*rows(15), {"text": "beta 99", "title": {"an": object()}, "label": "yes"}]
    written = {"template": "{text}<soft 2> was {answer}"}
    assert run(tmp_path / "a", "majority", train=broken, **written).fresh == ("majority",)
    for what in ("skip", "error"):
        with pytest.raises(SoftpromptError, match="title") as raised:
            run(tmp_path / "b", OURS, train=broken, data={"on_bad_row": what}, **written)
        assert "row 16" in str(raised.value)


def test_fields_that_a_contender_names() -> None:
    assert named_by(SoftSettings(place="after")) == ()
    assert named_by(TextSettings(template="{a} {b} {a} {answer}")) == ("a", "b")
