"""Trains in processes of its own and kills them with SIGKILL: at random moments, and while a checkpoint is written.

Run as ``python -m tests.laws.kill FOLDER KIND SEED``; writes what happened as JSON. One interpreter imports everything
and forks the processes that are killed, before torch has done anything.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.training.small import bits
from tests.laws.test_training import KINDS, make


def train(folder: Path, kind: str) -> None:
    """One training to its end, a checkpoint after every step; its bits go into ``result``."""
    outcomes = make({"steps": 30, "checkpoint_every": 1e-9, **KINDS[kind]}, path=folder / "train.checkpoint").run()
    digest = hashlib.sha256(repr([bits(one) for one in outcomes]).encode()).hexdigest()
    (folder / "result").write_text(digest)


def die_while_writing(folder: Path, kind: str) -> None:
    """Half of a checkpoint is on the disk when the signal comes."""
    count = [0]

    def stall(handle: int) -> None:
        count[0] += 1
        if count[0] == 9:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            (folder / "writing").touch()
            time.sleep(60)

    os.fsync = stall
    train(folder, kind)


def child(work: Callable[[Path, str], None], folder: Path, kind: str) -> int:
    folder.mkdir(exist_ok=True)
    pid = os.fork()
    if pid == 0:
        work(folder, kind)
        os._exit(0)
    return pid


def killed(pid: int) -> bool:
    """Whether there was still something to kill."""
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def main(folder: Path, kind: str, seed: int) -> dict[str, object]:
    rng = random.Random(seed)
    start = time.monotonic()
    os.waitpid(child(train, folder / "whole", kind), 0)
    duration = time.monotonic() - start
    torn = folder / "torn"
    alive = []
    for _ in range(3):
        pid = child(train, torn, kind)
        time.sleep(duration * rng.uniform(0.1, 0.6))
        alive.append(killed(pid))
    if not (torn / "result").exists():
        pid = child(die_while_writing, torn, kind)
        while not (torn / "writing").exists() and not (torn / "result").exists():
            time.sleep(0.01)
        alive.append(killed(pid))
    left = sorted(path.name for path in torn.glob(".*"))
    os.waitpid(child(train, torn, kind), 0)
    return {
        "alive": alive,
        "half-written": left,
        "whole": (folder / "whole" / "result").read_text(),
        "torn": (torn / "result").read_text(),
        "tidy": not list(torn.glob(".*")),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
