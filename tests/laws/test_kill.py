"""Law 5 with a process that is really killed: SIGKILL at random moments and while a checkpoint is written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.posix
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killer forks")
@pytest.mark.parametrize(("kind", "seed"), [("cache", 1), ("noise", 2)])
def test_law_5_killed_by_the_system(kind: str, seed: int, tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.laws.kill", str(tmp_path), kind, str(seed)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert any(told["alive"]), "nothing was killed"
    assert told["torn"] == told["whole"]
    assert told["tidy"], "a half-written checkpoint stays"
