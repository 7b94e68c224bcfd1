"""A wave of trials on a Ray cluster: dealt to workers, each with a model and a store of its own. The only door to ray.

The study stays with who asked: workers are told trials and answer with scores, so they share no database and no disk.
Workers keep what they have read from wave to wave. One that dies is started again, twice at most, and trains its trials
again, which come to the same. With successive halving a rung sees the trials beside it on the same worker, and all of
earlier waves.

Knows how to reach a cluster and how to deal; nothing of what is trained.
"""

import logging
import math
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from softprompt.core.errors import ConfigError, ExtraError, ResourceError, SoftpromptError
from softprompt.core.machine import num_cores
from softprompt.lab.sweep.passes import Ended, Looks, Train, Trained
from softprompt.lab.sweep.space import parsed_address
from softprompt.lab.sweep.study import Trial

__all__ = ["Cluster", "dealt"]

#: Seconds until a cluster answers, and until it has started all workers.
ANSWERS, STARTS = 5.0, 300.0

#: What runs here is nobody else's business; and what is wrong is said by us, in one line.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}

#: Times that a worker that died is started again.
RESTARTS = 2


def dealt(trials: Sequence[Trial], workers: int, kin: Callable[[Trial], str]) -> list[list[Trial]]:
    """The trials in at most so many parts of about the same size, kin together as far as that goes.

    >>> trials = [Trial(n, {"method": "ab"[n % 2]}, "running") for n in range(4)]
    >>> [[one.number for one in part] for part in dealt(trials, 2, lambda trial: trial.values["method"])]
    [[0, 2], [1, 3]]
    """
    ordered = sorted(trials, key=lambda trial: (kin(trial), trial.number))
    size, more = divmod(len(ordered), workers)
    cuts = [part * size + min(part, more) for part in range(workers + 1)]
    return [ordered[cuts[part] : cuts[part + 1]] for part in range(workers) if cuts[part] < cuts[part + 1]]


class Cluster:
    """Workers on a Ray cluster; trains trials as :class:`softprompt.lab.sweep.passes.Passes` does.

    Args:
        address: ``local`` starts a cluster on this machine, ``auto`` is the one that this machine belongs to, else
            ``HOST:PORT`` or ``ray://HOST:PORT``.
        station: Called once a worker, there: reads the rows, loads the model, and gives what trains.
        workers: How many; one an accelerator of the cluster if None, where it has none one a machine.
        kin: Trials of one kin are trained in one pass, if they are on one worker.

    Raises:
        ExtraError: ``extra.missing`` without ray.
        ResourceError: ``resource.cluster``: it cannot be reached, or has no place for the workers.
    """

    def __init__(
        self, address: str, station: Callable[[], Train], *, workers: int | None, kin: Callable[[Trial], str]
    ) -> None:
        if not find_spec("ray"):
            raise ExtraError.needs("ray", extra="ray", purpose="a sweep on a cluster")
        self.kin = kin
        self._ours = _connect(address, workers)
        try:
            self._workers = _started(workers, where=address)
            self._station = _ray().put(station)
        except BaseException:
            self._leave()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            _ray().kill(worker)
        self._leave()

    def _leave(self) -> None:
        """Disconnect, if nobody was connected before."""
        if self._ours:
            _ray().shutdown()

    @property
    def num_workers(self) -> int:
        """How many there are."""
        return len(self._workers)

    def __call__(self, trials: Sequence[Trial], earlier: Sequence[Looks], decided: Mapping[str, int]) -> Trained:
        """Have the trials trained, each worker its part.

        Raises:
            SoftpromptError: What a worker raised.
            ResourceError: ``resource.cluster``: a worker died for good.
        """
        ray = _ray()
        parts = dealt(trials, len(self._workers), self.kin)
        asked = [
            worker.train.remote(self._station, part, tuple(earlier), dict(decided))
            for worker, part in zip(self._workers, parts, strict=False)
        ]
        try:
            answers: list[Trained] = ray.get(asked)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SoftpromptError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as error:
            message = f"a worker of the cluster is lost: {_line(error)}"
            raise ResourceError("resource.cluster", message, cure="the same command goes on where it was") from None
        ended: dict[int, Ended] = {}
        known = dict(decided)
        for answer in answers:
            ended |= answer.ended
            known = {**answer.decided, **known}
        return Trained(ended, known)


class _Worker:
    """What runs on a machine of the cluster. A worker that was started again is made by its first call."""

    def __init__(self) -> None:
        self._train: Train | None = None

    def here(self) -> bool:
        """That it was started."""
        return True

    def train(
        self, station: Callable[[], Train], trials: Sequence[Trial], earlier: Sequence[Looks], decided: dict[str, int]
    ) -> Trained:
        """As :class:`Cluster`."""
        self._train = self._train or station()
        return self._train(trials, earlier, decided)


def _ray() -> Any:
    import ray

    return ray


def _connect(address: str, workers: int | None) -> bool:
    """Connect, unless this process is connected; returns whether it was done here."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    ray = _ray()
    if ray.is_initialized():
        return False
    try:
        place = parsed_address(address)
    except ValueError as error:
        raise ConfigError("config.invalid", str(error), cure="name another under sweep.ray") from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    if address == "local":
        quiet |= {"num_cpus": max(num_cores(), workers or 1), "include_dashboard": False}
    try:
        if place is not None:  # ray itself waits for minutes, and then ends the process
            socket.create_connection(place, timeout=ANSWERS).close()
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError, ImportError, SystemExit, ray.exceptions.RayError) as error:
        cure = "start one with 'ray start --head' (with its token: RAY_AUTH_MODE=token), or let sweep.ray be local"
        message = f"the Ray cluster {address} cannot be reached: {_line(error)}"
        raise ResourceError("resource.cluster", message, cure=cure) from None
    return True


def _started(workers: int | None, *, where: str) -> list[Any]:
    """Workers that run, spread over the machines, each with its share of the processors of one."""
    ray = _ray()
    machines = [one["Resources"] for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU", 0) >= 1]
    accelerators = int(sum(one.get("GPU", 0) for one in machines))
    count = workers or accelerators or len(machines)
    each = math.ceil(count / max(1, len(machines)))
    cores = max(1, int(min((one["CPU"] for one in machines), default=1) // each))
    kind = ray.remote(_Worker).options(
        num_cpus=cores,
        num_gpus=min(1.0, accelerators / count) if accelerators else 0,
        scheduling_strategy="SPREAD",
        max_restarts=RESTARTS,
        max_task_retries=RESTARTS,
    )
    made = [kind.remote() for _ in range(count)]
    ready, _ = ray.wait([one.here.remote() for one in made], num_returns=count, timeout=STARTS)
    if len(ready) < count:
        for one in made:
            ray.kill(one)
        message = (
            f"the Ray cluster {where} started {len(ready)} of {count} workers, of {cores} processors each, "
            f"in {STARTS:.0f} seconds"
        )
        raise ResourceError("resource.cluster", message, cure="ask for fewer with sweep.jobs, or wait for a free one")
    return made


def _line(error: BaseException) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
