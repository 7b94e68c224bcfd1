"""How progress looks: bars on a terminal, now and then a line elsewhere, nothing for what takes less than two seconds.

Both are watchers of the recipes (:class:`softprompt.app.watch.Watcher`) and write to stderr: stdout stays clean.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from softprompt.app.watch import Watcher
from softprompt.core.words import amount, duration, fact

if TYPE_CHECKING:
    from softprompt.app.cli.face import Screen

__all__ = ["Bars", "Lines"]

#: Seconds that a stage may take unseen.
PATIENCE = 2.0


class Lines(Watcher):
    """Plain lines for logs and pipes.

    Args:
        console: Where they go.
        every: Seconds between two lines of one stage at least; ``inf`` leaves notes only.
        clock: Seconds.
    """

    def __init__(
        self, console: "Screen", *, every: int | float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._every, self._clock = console, every, clock
        self._name, self._unit = "", ""
        self._total: int | None = None
        self._begun = self._said = clock()
        self._facts: Mapping[str, object] = {}
        self._done: int | None = None
        self._shown = True

    def stage(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self.done()
        self._name, self._total, self._unit = name, total, unit
        self._begun = self._said = self._clock()
        self._facts, self._done, self._shown = {}, 0, False

    def advance(self, done: int, **facts: object) -> None:
        self._done = done
        self._facts = {**self._facts, **facts}
        if self._total is not None and done >= self._total:
            return  # the end of the stage says it
        now = self._clock()
        if now - self._said >= (self._every if self._shown else min(self._every, PATIENCE)):
            self._said, self._shown = now, True
            left = _left(done, self._total, now - self._begun)
            self._say(*_facts(self._facts), *([f"{duration(left)} left"] if left else []))

    def note(self, text: str) -> None:
        self._console.say(text)

    def done(self) -> None:
        spent = self._clock() - self._begun
        if self._name and spent >= PATIENCE and self._every < float("inf"):
            self._say(*_facts(self._facts), f"{duration(spent)}")
        self._name, self._done = "", None

    def _say(self, *parts: str) -> None:
        counted = [amount(self._done, self._total, self._unit)] if self._done else []
        self._console.say(f"{self._name}: {', '.join([*counted, *parts])}")


class Bars(Watcher):
    """A bar a stage; those that were over at once leave no trace."""

    def __init__(self, console: "Screen") -> None:
        self._console = console
        self._progress: _LateProgress | None = None
        self._task: TaskID | None = None

    def stage(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self._finish()
        if self._progress is None:
            self._progress = _LateProgress(self._console)
            self._progress.start()
        self._task = self._progress.add_task(name, total=total, unit=unit, facts="")

    def advance(self, done: int, **facts: object) -> None:
        if self._progress is not None and self._task is not None:
            fields: dict[str, Any] = {"facts": ", ".join(_facts(facts))} if facts else {}
            self._progress.update(self._task, completed=done, **fields)

    def note(self, text: str) -> None:
        self._console.say(text)  # rich moves a running bar below it

    def done(self) -> None:
        self._finish()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _finish(self) -> None:
        """The current stage is over: it keeps its line if it took long enough to be seen."""
        if self._progress is not None and self._task is not None:
            task = self._progress.task(self._task)
            if task.total is None:  # a stage that could not know: it is done now
                done = task.completed or 1
                self._progress.update(self._task, total=done, completed=done)
            self._progress.stop_task(self._task)
            if (task.elapsed or 0.0) < PATIENCE:
                self._progress.remove_task(self._task)
        self._task = None


class _LateProgress(Progress):
    """Bars that appear when a stage has lasted a second; where the window is narrow, their facts stand below."""

    WIDE = 110  #: columns from which the facts stand beside the bar

    def __init__(self, console: Console) -> None:
        wide = console.width >= self.WIDE
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}"),
            BarColumn(bar_width=24 if wide else 12),
            _Counted(table_column=Column(no_wrap=True)),
            _Times(table_column=Column(no_wrap=True)),
        ]
        if wide:
            facts = Column(no_wrap=True, overflow="ellipsis")
            columns.append(TextColumn("{task.fields[facts]}", style="dim", table_column=facts))
        self._wide = wide  # before the parent's: it renders at once
        super().__init__(*columns, console=console, refresh_per_second=5)

    def task(self, task_id: TaskID) -> Task:
        """The task of an id."""
        with self._lock:
            return self._tasks[task_id]

    def get_renderables(self) -> Iterable[RenderableType]:
        """Tasks worth a line."""
        tasks = [task for task in self.tasks if (task.elapsed or 0.0) >= PATIENCE / 2]
        parts: list[RenderableType] = [self.make_tasks_table(tasks)] if tasks else []
        if not self._wide and tasks and not _over(tasks[-1]) and (facts := tasks[-1].fields["facts"]):
            parts.append(Text(f"  {facts}", style="dim", no_wrap=True, overflow="ellipsis"))
        yield Group(*parts)


class _Counted(ProgressColumn):
    """``120/400 steps``."""

    def render(self, task: Task) -> Text:
        if not task.completed or (_over(task) and not task.fields["unit"]):
            return Text("")
        return Text(amount(int(task.completed), None if task.total is None else int(task.total), task.fields["unit"]))


class _Times(ProgressColumn):
    """Time left, and at the end the time it took."""

    def render(self, task: Task) -> Text:
        spent = task.elapsed or 0.0
        left = None if _over(task) else _left(task.completed, task.total, spent)
        return Text(f"{duration(left)} left" if left else duration(spent), style="cyan")


def _over(task: Task) -> bool:
    """Whether a stage is over; one that stopped early keeps its count."""
    return task.finished or task.stop_time is not None


def _left(done: int | float, total: int | float | None, spent: float) -> float | None:
    """Seconds left at the pace so far; None while it cannot be said."""
    return spent * (total - done) / done if total and done and done < total else None


def _facts(facts: Mapping[str, object]) -> list[str]:
    return [fact(name, value) for name, value in facts.items() if value is not None]
