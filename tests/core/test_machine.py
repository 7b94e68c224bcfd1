"""Processors and processes, on systems that tell less than Linux does."""

import os
import subprocess
import sys
from typing import Any

from softprompt.core.machine import is_running, num_cores


def test_without_a_list_of_processors_all_count(monkeypatch: Any):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert num_cores() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert num_cores() == 1


def test_a_process_runs_until_it_ends_and_being_asked_after_does_not_end_it():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert is_running(child.pid)
        assert is_running(child.pid)
        child.communicate(b"\n")
    assert child.returncode == 0
    assert not is_running(child.pid)
    assert not is_running(2**31)
