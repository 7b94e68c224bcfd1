"""The sweep itself: draw a wave of trials, have them trained, tell the study; and go on from a kill.

A wave is told when all of it is over. So a process that goes on after a kill trains the whole unfinished wave again,
with the seeds of its numbers, and comes to the same bits. Who trains is somebody else's: this process
(:mod:`softprompt.lab.sweep.passes`) or a cluster (:mod:`softprompt.lab.sweep.cluster`).

Knows studies; no lessons, no settings of runs, no files.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from softprompt.lab.sweep.passes import Train
from softprompt.lab.sweep.space import SweepSettings
from softprompt.lab.sweep.study import Study, Trial

__all__ = ["search"]


def search(
    study: Study,
    train: Train,
    *,
    settings: SweepSettings,
    ended: Callable[[Trial], None] = lambda trial: None,
    adopt: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Work on a study until it has its trials, or no time is left for a wave.

    Args:
        study: Where trials are drawn from and told to.
        train: Trains the trials of a wave.
        settings: How many trials, how many together, how long.
        ended: Told a trial that is over.
        adopt: Whether waves that a killed process left are done first.
        clock: Seconds.

    Raises:
        KeyboardInterrupt: The wave under way is lost; the same sweep trains it again.
        SoftpromptError: What no trial could be made without.
    """
    work = _Work(study, train, settings, ended)
    begun, longest = clock(), 0.0
    for wave in work.orphaned() if adopt else ():
        work.train(work.filled([study.adopt(trial) if study.orphaned(trial) else trial for trial in wave]))
    while True:
        number = len(study.trials())
        size = min(settings.together, settings.trials - number)
        start = clock()
        late = settings.minutes is not None and number and start - begun + longest > 60 * settings.minutes
        if size <= 0 or late:
            return
        work.train(work.filled([study.draw(wave=None, size=size)]))
        longest = max(longest, clock() - start)


class _Work:
    """One process at work on a study."""

    def __init__(self, study: Study, train: Train, settings: SweepSettings, ended: Callable[[Trial], None]) -> None:
        self.study, self.trains, self.settings, self.ended = study, train, settings, ended

    def orphaned(self) -> list[list[Trial]]:
        """Waves that have a trial whose process is gone, each whole."""
        trials = self.study.trials()
        waves = sorted({trial.wave for trial in trials if self.study.orphaned(trial)})
        return [[trial for trial in trials if trial.wave == wave] for wave in waves]

    def filled(self, wave: list[Trial]) -> list[Trial]:
        """A wave with all the trials that it was to have, as far as other processes left room for them."""
        while len(wave) < wave[0].size and len(self.study.trials()) < self.settings.trials:
            wave = [*wave, self.study.draw(wave=wave[0].wave, size=wave[0].size)]
        return wave

    def train(self, wave: Sequence[Trial]) -> None:
        """Have a wave trained, and tell the study."""
        there = self.study.trials()
        earlier = [one.looks for one in there if one.number < wave[0].wave and one.state != "running"]
        found, decided = self.trains(wave, earlier, self.study.decided())
        causes = [one.cause for one in found.values() if one.cause is not None]
        if len(causes) == len(wave) and not any(one.state == "complete" for one in there):
            raise causes[-1]
        for name, value in decided.items():
            self.study.decide(name, value)
        for trial in wave:
            one = found[trial.number]
            self.study.tell(trial, one.state, looks=one.looks, score=one.score, error=one.error)
            self.ended(replace(trial, state=one.state, score=one.score, looks=tuple(one.looks)))
