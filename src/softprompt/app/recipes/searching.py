"""Who works on a sweep's study: this process, more of this machine beside it, or the workers of a Ray cluster.

Knows candidates, studies and where trials are trained; what is reported stands in :mod:`softprompt.app.recipes.sweep`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

from softprompt.app.config import RunConfig
from softprompt.app.recipes.candidates import Candidates
from softprompt.app.recipes.dividing import Sources
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.app.recipes.rows import read_rows
from softprompt.app.watch import Watcher
from softprompt.app.yaml import read_yaml
from softprompt.core.errors import ResourceError, SoftpromptError
from softprompt.lab.sweep.cluster import Cluster
from softprompt.lab.sweep.passes import Passes, Train
from softprompt.lab.sweep.search import search
from softprompt.lab.sweep.space import SweepSettings
from softprompt.lab.sweep.study import Study, Trial, num_ended
from softprompt.lab.training.forecast import budget_for
from softprompt.model.states import StateStore

__all__ = ["STUDY", "Searching", "join", "num_kept", "station"]

STUDY = "study.db"

#: Seconds between two looks at what other processes have under way.
_PAUSE = 1.0


class Searching:
    """One process at work on a sweep.

    Args:
        ready: The run whose settings are searched.
        folder: Of the sweep.
        watcher: Told what happens.
        sources: Rows by split, where they are not in files.
        fresh: Throw away the study that is there.

    Raises:
        SoftpromptError: A space that cannot be, and what :class:`softprompt.lab.sweep.study.Study` raises.
    """

    def __init__(
        self,
        ready: Prepared,
        folder: Path,
        watcher: Watcher,
        *,
        sources: Sources | None = None,
        fresh: bool = False,
    ) -> None:
        self.ready, self.folder, self.watcher, self.sources = ready, folder, watcher, sources
        self.candidates = Candidates(ready, folder)
        self.candidates.require_space()  # before there is a study that a mended space would not fit
        self.settings = self.candidates.settings
        folder.mkdir(parents=True, exist_ok=True)
        storage, digest = self.settings.storage or str(folder / STUDY), self.candidates.digest
        self.study = Study(
            storage,
            name=f"{folder.name} {digest[:12]}" if self.settings.storage else folder.name,
            space=self.candidates.space,
            sampler=self.settings.sampler,
            seed=self.settings.seed,
            digest=digest,
            fresh=fresh,
        )

    def search(self, *, adopt: bool) -> list[str]:
        """Draw and train until the study has its trials; returns what to note."""
        alone = self.settings.ray is None and adopt
        others = [self._start(n) for n in range(1, self.settings.jobs or 1)] if alone else []
        try:
            with self._trainer() as train:
                self.watcher.stage("search", total=self.settings.trials, unit="trials")
                search(self.study, train, settings=self.settings, ended=self._told, adopt=adopt)
                while adopt and self._waited():
                    search(self.study, train, settings=self.settings, ended=self._told)
            failed = [log for process, log in others if process.wait()]
        finally:
            for process, _ in others:
                if process.poll() is None:
                    process.terminate()
        return [f"a process of the sweep ended with an error, see {log}" for log in failed]

    def _waited(self) -> bool:
        """Wait for the trials that other processes of this machine have under way; whether they left any undone."""
        there = self.study.elsewhere()
        if there:
            self.watcher.stage("wait for the trials of other processes", unit="trials")
        while there:
            time.sleep(_PAUSE)
            there = self.study.elsewhere()
        return any(self.study.orphaned(one) for one in self.study.trials())

    @contextmanager
    def _trainer(self) -> Iterator[Train]:
        """What trains the trials: this process, or a cluster."""
        if self.settings.ray is None:
            with StateStore(self.ready.backbone, budget_for(self.ready.backbone, self.ready.config.training)) as store:
                yield self._passes(store)
            return
        self.watcher.stage(f"reach the Ray cluster {self.settings.ray}")
        rows = read_rows(self.ready.config, self.sources)
        there = partial(station, self.ready.config, rows, self.ready.backbone.spec.fingerprint, version("softprompt"))
        with Cluster(self.settings.ray, there, workers=self.settings.jobs, kin=self._kin) as cluster:
            self.watcher.note(f"{cluster.num_workers} workers of the Ray cluster {self.settings.ray}")
            yield cluster

    def _passes(self, store: StateStore) -> Passes:
        return Passes(self.candidates, backbone=self.ready.backbone, store=store, halving=self.settings.halving)

    def _kin(self, trial: Trial) -> str:
        """What trials that are trained in one pass have in common; values that do not go together have nothing."""
        try:
            return self.candidates(trial.values).kin
        except SoftpromptError:
            return ""

    def _told(self, trial: Trial) -> None:
        trials = self.study.trials()
        scores = [one.score for one in trials if one.state == "complete" and one.score is not None]
        done = sum(one.state != "running" for one in trials)
        self.watcher.advance(min(done, self.settings.trials), score=max(scores, default=None))

    def _start(self, number: int) -> tuple["subprocess.Popen[bytes]", Path]:
        """Another process on the same study, with a log of its own."""
        log = self.folder / f"worker-{number}.log"
        code = "import sys; from softprompt.app.recipes.searching import join; join(sys.argv[1])"
        words = [sys.executable, "-c", code, str(self.folder)]
        with log.open("wb") as out:
            return subprocess.Popen(words, stdout=out, stderr=out, env=dict(os.environ)), log


def num_kept(config: RunConfig) -> int:
    """Trials of a sweep's study that came to an end, so that nobody trains them again."""
    folder = config.beside("sweep")
    return num_ended((config.sweep or SweepSettings()).storage or str(folder / STUDY), name=folder.name)


def join(folder: str | Path) -> None:
    """Work on the study of a sweep that another process began, by the settings in its folder.

    Raises:
        SoftpromptError: Whatever is wrong, with its code.
    """
    folder = Path(folder)
    config = RunConfig.parse({**read_yaml(folder / "config.yaml"), "output": str(folder)})
    Searching(prepare(config), folder, Watcher()).search(adopt=False)


def station(config: RunConfig, rows: Sources, fingerprint: str, same: str) -> Train:
    """What trains trials on another machine: the rows as they were sent, the model as it is found there.

    Args:
        config: The run whose settings are searched.
        rows: By split.
        fingerprint: Of the model of whoever asks.
        same: Version of softprompt of whoever asks.

    Raises:
        ResourceError: ``resource.cluster``: another version, or another model by the same name.
        SoftpromptError: Whatever is wrong, with its code.
    """
    if (found := version("softprompt")) != same:
        message = f"the cluster has softprompt {found}, this machine {same}"
        raise ResourceError("resource.cluster", message, cure="install the same on all machines")
    ready = prepare(config, sources=rows)
    if ready.backbone.spec.fingerprint != fingerprint:
        message = f"the model {config.model.name} is another one on the cluster than on this machine"
        raise ResourceError("resource.cluster", message, cure="give all machines the same files, or name a revision")
    store = StateStore(ready.backbone, budget_for(ready.backbone, config.training))
    halving = config.sweep is None or config.sweep.halving
    return Passes(Candidates(ready, config.folder), backbone=ready.backbone, store=store, halving=halving)
