"""The study of a sweep: which trials were drawn, by whom, and what became of them. The only door to optuna.

Several processes share a study by its database. What is drawn depends on the study alone: a sampler is made anew for
every trial, seeded by the sweep's seed and the number of trials before it, so a process that goes on after a kill draws
what the killed one would have drawn.

Knows numbers and names; nothing of what is trained.
"""

import hashlib
import itertools
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from softprompt.core.errors import ConfigError, ExtraError
from softprompt.core.machine import is_running
from softprompt.lab.sweep.space import Range

if TYPE_CHECKING:
    import optuna

__all__ = ["State", "Study", "Trial", "num_ended", "url_of"]

State = Literal["running", "complete", "pruned", "failed"]

_COUNT = itertools.count()

#: Before the names of what was decided, among what the database keeps of a study.
_DECIDED = "decided "


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: From 0 on.
        values: By name of the space.
        state: What became of it.
        score: The last one, higher is better; None where there is none.
        looks: Step and score, in order.
        wave: Number of the first trial that was drawn with it.
        size: How many were, or were to be.
        worker: Which process drew it, or took it over.
        error: Why it failed.
    """

    number: int
    values: Mapping[str, Any]
    state: State
    score: float | None = None
    looks: tuple[tuple[int, float], ...] = ()
    wave: int = 0
    size: int = 1
    worker: str = ""
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "values": dict(self.values)}


def url_of(storage: str) -> str:
    """A database URL; a path stands for a SQLite file.

    >>> url_of("runs/a/study.db"), url_of("postgresql://host/db")
    ('sqlite:///runs/a/study.db', 'postgresql://host/db')
    """
    return storage if "://" in storage else f"sqlite:///{storage}"


def num_ended(storage: str, *, name: str) -> int:
    """Trials that came to an end in the studies of a name, or of a name and a hash behind it; 0 where none can be read.

    Args:
        storage: As for :class:`Study`; no file is made.
        name: Of the study.
    """
    if not find_spec("optuna") or ("://" not in storage and not Path(storage).is_file()):
        return 0
    import optuna

    try:
        database = optuna.storages.RDBStorage(url_of(storage))
        names = [one for one in optuna.study.get_all_study_names(database) if name in (one, one.rpartition(" ")[0])]
        found = (optuna.load_study(study_name=one, storage=database).get_trials(deepcopy=False) for one in names)
        return sum(trial.state.is_finished() for trials in found for trial in trials)
    except (OSError, ValueError, ImportError, _database_error()):
        return 0


class Study:
    """A study in a database.

    Args:
        storage: URL, or path of a SQLite file; made when it is not there.
        name: Of the study in it.
        space: What is varied.
        sampler: ``tpe`` or ``random``.
        seed: Of the draws.
        digest: Of everything else that scores depend on; a study of something else is refused.
        fresh: Throw away a study of this name.

    Raises:
        ExtraError: ``extra.missing`` without optuna.
        ConfigError: ``config.run_exists`` for another sweep's study; ``config.invalid`` for a database that cannot be
            reached.
    """

    def __init__(
        self,
        storage: str,
        *,
        name: str,
        space: Mapping[str, Sequence[Any] | Range],
        sampler: Literal["tpe", "random"] = "tpe",
        seed: int = 0,
        digest: str = "",
        fresh: bool = False,
    ) -> None:
        if not find_spec("optuna"):
            raise ExtraError.needs("optuna", extra="sweep", purpose="a sweep")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.sampler, self.seed = dict(space), sampler, seed
        self.worker = f"{platform.node()}:{os.getpid()}:{next(_COUNT)}"
        self._distributions = {key: _distribution(values) for key, values in self.space.items()}
        try:
            database = optuna.storages.RDBStorage(url_of(storage))
            if fresh and name in optuna.study.get_all_study_names(database):
                optuna.delete_study(study_name=name, storage=database)
            self._study = optuna.create_study(
                storage=database,
                study_name=name,
                direction="maximize",
                load_if_exists=True,
            )
        except (OSError, ValueError, ImportError, _database_error()) as error:
            reason = str(error).splitlines()[0]
            message = f"the study's database {url_of(storage)} cannot be opened: {reason}"
            raise ConfigError(
                "config.invalid", message, cure="check sweep.storage, and that its driver is installed"
            ) from None
        there = self._study.user_attrs.get("digest")
        if there is None:
            self._study.set_user_attr("digest", digest)
        elif there != digest:
            message = f"the study {name!r} in {url_of(storage)} is of other settings, rows or another model"
            raise ConfigError("config.run_exists", message, cure="name another output, or begin anew with --fresh")

    # --- trials

    def trials(self) -> list[Trial]:
        """All of them, by number."""
        return [_trial(one, self._values(one)) for one in self._study.get_trials(deepcopy=False)]

    def draw(self, *, wave: int | None, size: int) -> Trial:
        """A new trial, the first of a wave where ``wave`` is None."""
        import optuna

        number = len(self._study.get_trials(deepcopy=False))
        seed = int.from_bytes(hashlib.sha256(f"{self.seed}/{number}".encode()).digest()[:4], "little")
        samplers = optuna.samplers
        self._study.sampler = samplers.TPESampler(seed=seed) if self.sampler == "tpe" else samplers.RandomSampler(seed)
        asked = self._study.ask(self._distributions)
        asked.set_user_attr("wave", asked.number if wave is None else wave)
        asked.set_user_attr("size", size)
        asked.set_user_attr("worker", self.worker)
        return self._read(asked.number)

    def orphaned(self, trial: Trial) -> bool:
        """Whether a trial runs in a process of this machine that is gone, or ran in an earlier sweep of this one."""
        host, process, _ = trial.worker.rsplit(":", 2)
        if trial.state != "running" or host != platform.node() or trial.worker == self.worker:
            return False
        return int(process) == os.getpid() or not is_running(int(process))

    def elsewhere(self) -> list[Trial]:
        """Trials that run in other processes of this machine which are alive."""
        return [one for one in self.trials() if one.state == "running" and _lives(one.worker)]

    def closed_elsewhere(self) -> bool:
        """Whether another process of this machine ended the last trial, and is alive to do what follows."""
        ended = [one for one in self._study.get_trials(deepcopy=False) if one.datetime_complete is not None]
        last = max(ended, key=lambda one: (one.datetime_complete, one.number), default=None)
        return last is not None and _lives(_trial(last, {}).worker)

    def adopt(self, trial: Trial) -> Trial:
        """Take over a trial whose process is gone."""
        self._handle(trial.number).set_user_attr("worker", self.worker)
        return self._read(trial.number)

    def tell(
        self,
        trial: Trial,
        state: State,
        *,
        looks: Sequence[tuple[int, float]] = (),
        score: float | None = None,
        error: str = "",
    ) -> None:
        """What became of a trial; one that was told already stays as it is."""
        import optuna

        if self._read(trial.number).state != "running":
            return
        handle = self._handle(trial.number)
        for step, value in looks:
            handle.report(value, step)
        if error:
            handle.set_user_attr("error", error)
        states = optuna.trial.TrialState
        ended = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[state]
        self._study.tell(handle, score if state == "complete" else None, state=ended)

    def decide(self, name: str, value: int) -> None:
        """Settle something for all later trials; what was decided stays."""
        if name not in self.decided():
            self._study.set_user_attr(f"{_DECIDED}{name}", value)

    def decided(self) -> dict[str, int]:
        """What was decided, by name."""
        there = self._study.user_attrs.items()
        return {name.removeprefix(_DECIDED): value for name, value in there if name.startswith(_DECIDED)}

    def importance(self) -> dict[str, float]:
        """How much each name decides the score, summing to 1; empty where too few trials tell.

        By the last score of every trial, also of those that were given up (Watanabe, Bansal, Hutter, PED-ANOVA:
        efficiently quantifying hyperparameter importance in arbitrary subspaces, IJCAI 2023).
        """
        import optuna

        judged = [one for one in self._study.get_trials(deepcopy=False) if _score(one) is not None]
        varied = {name for name in self.space if len({str(one.params.get(name)) for one in judged}) > 1}
        if len(judged) < 8 or not varied:
            return {}
        copy = optuna.create_study(direction="maximize")
        for one in judged:
            made = optuna.trial.create_trial(params=one.params, distributions=one.distributions, value=_score(one))
            copy.add_trial(made)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(copy, evaluator=evaluator, params=sorted(varied))
        return {name: float(share) for name, share in sorted(found.items(), key=lambda pair: -pair[1])}

    def _handle(self, number: int) -> "optuna.trial.Trial":
        import optuna

        there = self._study.get_trials(deepcopy=False)[number]
        return optuna.trial.Trial(self._study, there._trial_id)  # the only way to a trial of another process

    def _read(self, number: int) -> Trial:
        one = self._study.get_trials(deepcopy=False)[number]
        return _trial(one, self._values(one))

    def _values(self, one: Any) -> dict[str, Any]:
        """Drawn values; choices were drawn by their JSON."""
        return {
            name: value if isinstance(self.space.get(name), Range) else json.loads(value)
            for name, value in one.params.items()
        }


def _distribution(values: Sequence[Any] | Range) -> "optuna.distributions.BaseDistribution":
    import optuna

    if not isinstance(values, Range):
        return optuna.distributions.CategoricalDistribution([json.dumps(value, sort_keys=True) for value in values])
    if values.whole:
        return optuna.distributions.IntDistribution(int(values.low), int(values.high), log=values.log)
    return optuna.distributions.FloatDistribution(float(values.low), float(values.high), log=values.log)


def _trial(one: Any, values: Mapping[str, Any]) -> Trial:
    state: State = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(one.state.name, "running")  # type: ignore[assignment]
    attrs = one.user_attrs
    looks = tuple(sorted(one.intermediate_values.items()))
    wave, size = attrs.get("wave", one.number), attrs.get("size", 1)
    worker = attrs.get("worker", "?:0:0")
    return Trial(one.number, values, state, _score(one), looks, wave, size, worker, attrs.get("error", ""))


def _lives(worker: str) -> bool:
    """Whether a worker is another process of this machine that runs; of other machines nothing can be told."""
    host, process, _ = worker.rsplit(":", 2)
    return host == platform.node() and int(process) != os.getpid() and is_running(int(process))


def _score(one: Any) -> float | None:
    if one.state.name == "COMPLETE":
        return float(one.value)
    looks: dict[int, float] = one.intermediate_values
    return looks[max(looks)] if one.state.name == "PRUNED" and looks else None


def _database_error() -> type[Exception]:
    """What SQLAlchemy raises."""
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError
