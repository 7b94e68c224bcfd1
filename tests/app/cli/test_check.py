"""``softprompt check``: one page before a run."""

from pathlib import Path

from tests.app.cli.conftest import write_rows

GERMAN = [
    {"text": f"{text} ({n})", "label": label}
    for n in range(10)
    for text, label in (
        ("Die Rechnung wurde doppelt abgebucht, bitte erstatten Sie mir den Betrag zurück.", "bad"),
        ("Vielen Dank für die schnelle Antwort, jetzt läuft alles wieder wie es soll.", "good"),
    )
]


def test_the_page(cli, rows: Path) -> None:
    cli("init", "rows.jsonl")
    done = cli("check", "rows.yaml", "--rows", "2")
    assert done.status == 0, done.err
    for said in (
        "bits per byte",
        "rows a label",
        "rows.jsonl:",
        "·It|·was",
        "frozen",
        "cost",
        "time",
        "memory",
        "disk",
    ):
        assert said in done.out, said
    assert done.out.count("placement: after") == 2


def test_a_language_that_the_model_does_not_know_is_named(cli, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", GERMAN)
    cli("init", "rows.jsonl")
    done = cli("check", "rows.yaml", "--json")
    assert done.status == 0, done.err
    language = done.json["language"]
    assert (language["code"], language["foreign"]) == ("de", True)
    assert "does not know this language" in language["sentence"]
    assert [row["source"].split(":")[0] for row in done.json["rows"]] == ["rows.jsonl"] * 3
    assert {"seconds", "disk_bytes", "frozen_tokens", "live_tokens", "settings"} <= done.json.keys()


def test_a_method_that_cannot_be_is_refused_here_too(cli, rows: Path) -> None:
    given = ["check", "--train", rows, "--text-column", "text", "--method", "deep", "--template"]
    done = cli(*given, "{text}<soft 2>{answer}")
    assert done.status == 5
    assert "[model.unsupported_prompt]" in done.err
    assert cli(*given, "{text}<soft 2> It was {answer}").status == 0


def test_more_rows_than_there_are_are_all(cli, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", GERMAN[:8])
    done = cli("check", "--train", "rows.jsonl", "--rows", "99", "--set", "data.folds=2", "--json")
    assert done.status == 0, done.err
    assert len(done.json["rows"]) == 8


def test_bad_settings_are_said(cli) -> None:
    done = cli("check", "nowhere.yaml")
    assert done.status == 2
    assert "[config.unreadable]" in done.err
