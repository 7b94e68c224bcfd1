"""``data check`` and ``data page``."""

from pathlib import Path

import pytest

from tests.app.cli.conftest import ROWS, write_rows


def test_check_of_good_rows(cli, rows: Path) -> None:
    done = cli("data", "check", "--train", rows)
    assert (done.status, done.err) == (0, "")
    assert "40 rows" in done.out
    assert "labels bad 20, good 20" in done.out
    assert done.out.endswith("every row can be used\n")


def test_check_lists_every_bad_row_of_every_file(cli, tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", [*ROWS, {"text": "x", "label": "goood"}, {"text": "y"}])
    with train.open("a") as file:
        file.write("{broken\n")
    test = write_rows(tmp_path / "test.jsonl", [{"text": "z", "label": "best"}, *ROWS[:2]])
    done = cli("data", "check", "--train", train, "--test", test, "--labels", "good,bad")
    assert done.status == 3
    for place, code in (("41", "unknown_label"), ("42", "no_target"), ("43", "bad_json")):
        assert any(f"train.jsonl:{place}: " in line and f"[data.{code}]" in line for line in done.out.splitlines())
    assert "test.jsonl:1: label 'best' is not in the task" in done.out


def test_check_as_json(cli, tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", [*ROWS, {"text": "x"}])
    done = cli("data", "check", "--train", train, "--json")
    assert (done.status, done.err) == (3, "")
    assert done.json["bad_rows"] == 1
    (bad,) = done.json["files"]["train"]["bad"]
    assert bad["code"] == "data.no_target"
    assert bad["source"].endswith("train.jsonl:41")


def test_many_bad_rows_are_counted(cli, tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", [*ROWS, *({"text": str(n)} for n in range(30))])
    done = cli("data", "check", "--train", train)
    assert done.out.count("[data.no_target]") == 20
    assert "... and 10 more; --json lists all" in done.out


def test_page_counts_tokens_of_the_model(cli, rows: Path) -> None:
    done = cli("data", "page", "--train", rows, "--template", "{text}<soft 4> It was {answer}")
    assert done.status == 0
    assert "tokens a row" in done.out
    assert "template '{text}<soft 4> It was {answer}', with room for" in done.out
    assert "19.7 M parameters" in done.err


def test_page_as_json(cli, rows: Path) -> None:
    done = cli("data", "page", "--train", rows, "--json")
    assert sum(split["rows"] for split in done.json["splits"].values()) == 40
    assert done.json["max_tokens"] > 900


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.csv", b"", "data.empty_file"),
        ("header.csv", b"text,label\n", "data.empty_file"),
        ("binary.csv", b"PK\x03\x04\0\0\0", "data.binary_file"),
        ("russian.csv", "text,label\nпривет,a\nb,b\n".encode("cp1251"), "data.bad_encoding"),
        ("quote.csv", b'text,label\n"open,a\nb,c\n', "data.bad_csv"),
        ("twice.csv", b"text,text,label\na,b,c\n", "data.bad_header"),
        ("rows.xls", b"PK", "data.unknown_format"),
        ("columns.csv", b"body,topic\na,b\n", "data.missing_column"),
        ("one.csv", b"text,label\na,x\nb,x\n", "data.one_label"),
        ("free.csv", b"text,label\n" + b"".join(b"t%d,l%d\n" % (n, n) for n in range(300)), "data.too_many_labels"),
        ("broken.json", b'[{"text": "a", "label": "b"}, {"text"]', "data.bad_json"),
    ],
)
def test_files_of_which_nothing_can_be_used(cli, tmp_path: Path, name: str, content: bytes, code: str) -> None:
    (tmp_path / name).write_bytes(content)
    done = cli("data", "check", "--train", name)
    assert done.status == 3
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert f"[{code}]" in done.err
    assert name in done.err


def test_missing_file_names_the_files_beside_it(cli, rows: Path) -> None:
    done = cli("data", "check", "--train", "row.jsonl", "--json")
    assert done.status == 3
    assert done.json["error"]["code"] == "data.missing_file"
    assert "rows.jsonl" in done.json["error"]["cure"]


def test_settings_file_with_yes_and_no(cli, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"text": f"t {n}", "urgent": "yes" if n % 2 else "no"} for n in range(20)])
    (tmp_path / "run.yaml").write_text("data: {train: rows.jsonl}\ntask: {target: urgent, labels: [yes, no]}\n")
    done = cli("data", "check", "run.yaml", "--json")
    assert done.status == 0
    assert done.json["files"]["train"]["labels"] == {"yes": 10, "no": 10}
