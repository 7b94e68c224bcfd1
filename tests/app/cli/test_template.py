"""``template check`` and ``template presets``."""

from pathlib import Path

import pytest

from softprompt.core.tasks import KINDS


def test_presets(cli) -> None:
    done = cli("template", "presets")
    assert (done.status, done.err) == (0, "")
    assert "{bos}{text}<soft 20> It was {answer}" in done.out
    assert len(cli("template", "presets", "--json").json) == 2 * len(KINDS)


def test_check_without_data_draws_blanks_and_the_frozen_part(cli) -> None:
    done = cli("template", "check", "{text}<soft 8> It was {answer}", "--labels", "good,bad")
    assert done.status == 0
    assert "·It|·was" in done.out
    assert "8  live    soft soft" in done.out
    assert "placement: after" in done.out
    assert "stand-in" in done.out
    assert "·good" in done.out


def test_check_of_a_preset_as_json(cli) -> None:
    done = cli("template", "check", "--task", "generate", "--place", "before", "--json")
    assert done.json["placement"] == "before"
    assert done.json["template"] == "{bos}<soft 20>{text}\nOutput: {answer}"


def test_check_shows_a_row_of_the_data(cli, rows: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        'data: {train: rows.jsonl}\ntemplate: "{text}<soft 4 \\"the tone\\"> It was {answer}"\n'
    )
    done = cli("template", "check", "run.yaml", "--row", "2")
    assert done.status == 0
    assert "stand-in" not in done.out
    assert 'starting from "the tone"' in done.out
    assert cli("template", "check", "--train", rows, "--row", "999").status == 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{text}<soft 20>", "template.no_answer"),
        ("{text}<soft 20 It was {answer}", "template.unclosed"),
        ("{answer}{text}", "template.answer_not_last"),
        ("{text} {} {answer}", "template.syntax"),
        ("{text}<soft many> {answer}", "template.slot"),
        ("{text}{bos} It was {answer}", "template.bos_not_first"),
    ],
)
def test_faults_point_with_a_caret_before_a_model_is_loaded(cli, text: str, code: str) -> None:
    done = cli("template", "check", text)
    assert done.status == 4
    first, *rest = done.err.splitlines()
    assert first.startswith("error: ")
    assert first.endswith(f"[{code}]")
    assert any(line.strip() == "^" for line in rest)
    assert "parameters" not in done.err


def test_slots_longer_than_the_context(cli) -> None:
    done = cli("template", "check", "{text}<soft 5000> It was {answer}")
    assert done.status == 4
    assert "[template.too_long]" in done.err


def test_unknown_preset_key(cli) -> None:
    done = cli("template", "check", "--set", "template.plce=before")
    assert done.status == 2
    assert "did you mean 'place'" in done.err
