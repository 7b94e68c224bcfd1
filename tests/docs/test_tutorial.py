"""The tutorial, typed line by line, with fewer steps: every command and every block of it must work as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

#: Instead of what a reader waits for; nothing else of a line is changed.
SHORT = "--set training.steps=4 --set training.rate=0.1 --set training.evaluations=2"


def blocks(page: str) -> list[tuple[str, str]]:
    """Language line and content of each fenced block, in order."""
    return re.findall(r"^```(\w+[^\n]*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


def shortened(line: str) -> str:
    return f"{line} {SHORT}" if line.startswith("softprompt tune") else line


@pytest.mark.posix
def test_every_line_works(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "src").symlink_to(repository / "src")
    script = ["set -euo pipefail"]
    for kind, content in blocks((repository / "docs" / "tutorial.md").read_text("utf-8")):
        if kind == "console":
            lines = [line.removeprefix("$ ") for line in content.splitlines()]
            script += [shortened(line) for line in lines if not line.startswith("source ")]
        elif kind.startswith("yaml file="):
            script.append(f"cat > {kind.removeprefix('yaml file=')} <<'END'\n{content}END")
        elif kind == "python":
            code = content.replace('{"effort": "quick"}', '{"steps": 4, "rate": 0.1, "seeds": [0], "evaluations": 2}')
            assert code != content, "the example no longer says how long it trains"
            script.append(f"{sys.executable} - <<'END'\n{code}END")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for promise in ("every row can be used", "soft prompt is", "saved: runs/sentiment/prompt", "sentiment-before"):
        assert promise in done.stdout, promise
    assert (tmp_path / "answers.jsonl").read_text().count("\n") == 200


@pytest.mark.parametrize("line", ["softprompt tune x --effort quick", "ls runs"])
def test_only_training_is_shortened(line: str) -> None:
    assert (SHORT in shortened(line)) == line.startswith("softprompt tune")
