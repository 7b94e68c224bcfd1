"""Threads wait asleep unless the user said otherwise; told before torch is imported, or not at all."""

import os
import subprocess
import sys

import pytest

from softprompt.core.threads import SPINS, wait_asleep


@pytest.mark.parametrize(
    ("given", "torch", "expected"),
    [
        ({}, False, str(SPINS)),
        ({"GOMP_SPINCOUNT": "7"}, False, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, False, None),
        ({}, True, None),
    ],
)
def test_only_what_nobody_decided_is_set(
    given: dict[str, str], torch: bool, expected: str | None, monkeypatch: pytest.MonkeyPatch
):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "modules", {"torch": sys} if torch else {})
    wait_asleep()
    assert os.environ.get("GOMP_SPINCOUNT") == expected
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)


@pytest.mark.parametrize("program", ["sp.Task", "sp.load_model"])
def test_the_first_name_of_the_package_comes_after_it(program: str):
    """In a process of its own: this one has torch already."""
    code = f"import os, softprompt as sp; {program}; print(os.environ['GOMP_SPINCOUNT'])"
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(SPINS)
