"""The queue before the model: requests come from any thread, one thread works on them, those that wait go together.

    with Engine(backbone, prompts) as engine:
        future = engine.judge(engine.examples(["Where is my parcel?"]))
        print(future.result().rows)

One thread owns the model, so nothing in it has to be safe for several. It takes the first request that waits and, as
far as ``max_batch`` texts allow, all behind it; those that ask the same go through the model as one batch. Knows no
HTTP.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Any, Self

from softprompt.core.errors import ServingError
from softprompt.core.records import Example
from softprompt.model.backbones.base import Backbone, Spec
from softprompt.model.decoding import Decoding
from softprompt.ops.serving.inputs import examples_of
from softprompt.ops.serving.records import Answers, Completions, Judge, Limits, Served, Times, Write
from softprompt.ops.serving.working import Desk

__all__ = ["Engine"]


@dataclass(frozen=True, eq=False)
class _Job:
    """A request that waits, and since when."""

    request: Judge | Write
    future: Future[Any]
    since: float


class Engine:
    """Several prompts over one model, for requests from any thread.

    Args:
        backbone: The frozen model.
        prompts: Each name once.
        limits: How much is taken.
        clock: Seconds; for tests.

    Raises:
        ServingError: ``serving.same_name``.

    >>> from softprompt.core.tasks import Task
    >>> from softprompt.model.prediction import Ask
    >>> from softprompt.model.templates import RowBuilder, Template
    >>> from softprompt.testing import tiny
    >>> backbone = tiny()
    >>> builder = RowBuilder(Template.parse("{text}: {answer}"), Task.classify(["a", "b"]), backbone.tokenizer,
    ...                      max_tokens=64)
    >>> with Engine(backbone, [Served("one", Ask(builder))]) as engine:
    ...     (row,) = engine.judge("Hello").result().rows
    >>> row["one"].text in ("a", "b")
    True
    """

    def __init__(
        self,
        backbone: Backbone,
        prompts: Sequence[Served],
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.limits = limits or Limits()
        self._desk = Desk(backbone, prompts, max_batch=self.limits.max_batch)
        self._clock = clock
        self._waiting: Queue[_Job | None] = Queue(self.limits.max_waiting)
        self._thread: threading.Thread | None = None
        self._door = threading.Lock()
        self._closed = False

    # --- what it is

    @property
    def spec(self) -> Spec:
        """The model."""
        return self._desk.backbone.spec

    @property
    def prompts(self) -> tuple[Served, ...]:
        """What it serves, in order."""
        return tuple(self._desk.prompts.values())

    @property
    def ready(self) -> bool:
        """Whether requests are worked on."""
        return self._thread is not None and self._thread.is_alive() and not self._closed

    @property
    def num_waiting(self) -> int:
        """Requests that wait, about."""
        return self._waiting.qsize()

    def find(self, name: str) -> Served:
        """The prompt of a name.

        Raises:
            ServingError: ``serving.unknown_prompt``.
        """
        return self._desk.find(name)

    def decoding(self, name: str) -> Decoding:
        """How a prompt writes where a request says nothing.

        Raises:
            ServingError: ``serving.unknown_prompt``.
        """
        return self._desk.decoding(name)

    # --- what it is asked

    def judge(
        self,
        value: Any,
        prompts: Sequence[str] | None = None,
        *,
        min_confidence: float | None = None,
        count: bool = False,
    ) -> Future[Answers]:
        """Ask prompts about texts, all over one reading of each.

        Args:
            value: As :func:`softprompt.ops.serving.inputs.examples_of`.
            prompts: Names; None: all that do not write freely.
            min_confidence: Instead of what the prompts keep.
            count: Count the tokens that stand before the answers.

        Raises:
            ServingError: What is wrong with the request, or ``serving.busy``, ``serving.stopping``. What the model or
                a template refuses comes with the future.
        """
        served = [self.find(name) for name in prompts] if prompts else [one for one in self.prompts if not one.writes]
        if wrong := next((one for one in served if one.writes), None):
            message = f"{wrong.name!r} writes text, it has no labels to choose from"
            raise ServingError("serving.wrong_task", message, cure="ask it for completions")
        if not served:
            raise ServingError("serving.wrong_task", "every prompt here writes text", cure="ask for completions")
        names = tuple(dict.fromkeys(one.name for one in served))
        return self._put(Judge(self._examples(value, served), names, min_confidence, count))

    def write(self, value: Any, prompt: str, **settings: Any) -> Future[Completions]:
        """Let a prompt write.

        Args:
            value: As :func:`softprompt.ops.serving.inputs.examples_of`.
            prompt: Name.
            settings: ``decoding``, ``choices`` and ``on_text`` of :class:`Write`.

        Raises:
            ServingError: As :meth:`judge`; ``serving.unsupported``.
        """
        served = self.find(prompt)
        if not served.writes:
            message = f"{prompt!r} answers a {served.kind} task, it writes no text of its own"
            raise ServingError("serving.wrong_task", message, cure="ask it to classify")
        return self._put(Write(self._examples(value, [served]), prompt, **settings))

    def _examples(self, value: Any, served: Sequence[Served]) -> tuple[Example, ...]:
        return examples_of(value, served, limits=self.limits)

    def _put(self, request: Judge | Write) -> Future[Any]:
        job = _Job(request, Future(), self._clock())
        with self._door:  # nothing may come behind the mark at which the thread ends
            if not self.ready:
                raise ServingError("serving.stopping", "the server is stopping", cure="ask again once it is back")
            try:
                self._waiting.put_nowait(job)
            except Full:
                message = f"{self.limits.max_waiting:,} requests wait already"
                raise ServingError("serving.busy", message, cure="ask again in a moment") from None
        return job.future

    # --- its thread

    def start(self) -> None:
        """Begin to work."""
        assert self._thread is None, "an engine starts once"
        self._thread = threading.Thread(target=self._run, name="softprompt-engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish what waits, take nothing more, and end the thread."""
        if self._thread is None or self._closed:
            return
        with self._door:
            self._closed = True
        self._waiting.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None:
            jobs, more = self._with_those_behind(job)
            groups: dict[object, list[_Job]] = {}
            for each in jobs:
                if each.future.set_running_or_notify_cancel():
                    groups.setdefault(self._desk.together(each.request), []).append(each)
            for group in groups.values():
                self._work(group)
            if not more:
                return

    def _with_those_behind(self, job: _Job) -> tuple[list[_Job], bool]:
        """The jobs to work on next, and whether the thread goes on afterwards."""
        jobs, size = [job], job.request.size
        while size < self.limits.max_batch:
            try:
                behind = self._waiting.get_nowait()
            except Empty:
                break
            if behind is None:
                return jobs, False
            jobs.append(behind)
            size += behind.request.size
        return jobs, True

    def _work(self, jobs: Sequence[_Job]) -> None:
        """Answer jobs that go together; where they cannot, each alone, so that one fault is one job's."""
        begun = self._clock()
        try:
            results = self._desk.work([job.request for job in jobs])
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the answer
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            for job in jobs:
                self._work([job])
            return
        computed = 1000 * (self._clock() - begun)
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(replace(result, times=Times(1000 * (begun - job.since), computed)))
