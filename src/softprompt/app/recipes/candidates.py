"""From the values of a trial to what it trains, and whether it can be: what every process of a sweep agrees on.

Knows prepared runs and spaces; no studies and no trainings.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.early import continued
from softprompt.app.recipes.prepare import Prepared
from softprompt.core.errors import SoftpromptError
from softprompt.lab.folds import lessons_of
from softprompt.lab.lessons import Lesson
from softprompt.lab.rates import usual_rate
from softprompt.lab.rehearsal import rehearse
from softprompt.lab.sweep.passes import Candidate
from softprompt.lab.sweep.space import Range, SweepSettings, default_space, key_of, told
from softprompt.model.templates import RowBuilder

__all__ = ["Candidates"]


class Candidates:
    """What the trials of a sweep train.

    Args:
        ready: The run whose settings are searched.
        folder: Of the sweep.
    """

    def __init__(self, ready: Prepared, folder: Path) -> None:
        self.ready, self.folder = ready, folder
        self.settings = ready.config.sweep or SweepSettings()
        written = ready.config.template.text is not None or ready.config.template.chat is not None
        space = default_space(labels=bool(ready.task.says))
        if self.settings.space is None and written:
            del space["length"]
        self.space = dict(self.settings.space or space)
        self._builder = lru_cache(maxsize=None)(self._build)
        self._saved = continued(ready)
        self._fit: dict[str, SoftpromptError | None] = {}

    def config_of(self, values: Mapping[str, Any], *, confirm: bool = False) -> RunConfig:
        """The settings of a trial; or of the run that confirms it, with fresh seeds."""
        config, settings = self.ready.config, self.settings
        changes: dict[str, Any] = {key_of(name): value for name, value in values.items()}
        if confirm:
            folder = self.folder.with_name(f"{self.folder.name}-winner")
            changes |= {"name": f"{config.name}-winner", "output": str(folder), "sweep": None}
            changes |= {"training.seeds": list(range(max(1, settings.confirm)))}
        else:
            changes |= {"training.steps": settings.steps} if settings.steps else {}
            changes |= {"training.evaluations": settings.looks} if settings.looks else {}
        return config.with_(changes)

    def __call__(self, values: Mapping[str, Any]) -> Candidate:
        """What a trial trains.

        Raises:
            SoftpromptError: Values that do not go together, or that the model cannot take.
        """
        ready, config = self.ready, self.config_of(values)
        resolved = config.training.resolved(len(ready.splits["train"]))
        rate = resolved.rate if resolved.rate is not None else usual_rate(resolved.rates or ())
        trained = resolved.model_copy(update={"rate": rate, **({"keep": "last"} if ready.crossed else {})})
        lesson = Lesson(
            config.name,
            self._builder(json.dumps(config.template.model_dump(mode="json", exclude_unset=True), sort_keys=True)),
            ready.weighted("train"),
            () if ready.crossed else ready.splits["validation"].rows,
            start=config.start,
            saved=None if self._saved is None else self._saved.tensors,
            offsets=ready.answers.offsets,
        )
        lessons: Sequence[Lesson] = lessons_of(lesson, ready.folds, seed=0)[:-1] if ready.crossed else [lesson]
        candidate = Candidate(lessons, config.method, trained)
        self._require(lesson, candidate)
        return candidate

    def require_space(self) -> None:
        """Refuse a choice, or an end of a range, that goes together with nothing else, before texts are read.

        Tried with the first choices of the other keys, and with every other choice of one of them.

        Raises:
            SoftpromptError: What is wrong with it, and where it stands.
        """
        for name, values in self._choices.items():
            for value in values:
                errors = []
                for others in self._around(name):
                    try:
                        self({**others, name: value})
                    except SoftpromptError as error:
                        errors.append(error)
                    else:
                        break
                else:
                    raise errors[0].at(f"sweep.space.{name}: {told(value)}")

    @cached_property
    def _choices(self) -> dict[str, tuple[Any, ...]]:
        """By key the choices, or the ends of the range."""
        return {
            name: (values.low, values.high) if isinstance(values, Range) else tuple(values)
            for name, values in self.space.items()
        }

    def _around(self, name: str) -> Iterator[dict[str, Any]]:
        """Values of all keys but one: the first choices, then those in which one key has another."""
        first = {key: values[0] for key, values in self._choices.items() if key != name}
        yield first
        for key in first:
            for value in self._choices[key][1:]:
                yield {**first, key: value}

    def _require(self, lesson: Lesson, candidate: Candidate) -> None:
        """Let one row of such a trial through the model, unless one of its kind went before."""
        kind = candidate.kin + lesson.start.model_dump_json()
        if kind not in self._fit:
            try:
                rehearse(self.ready.backbone, lesson, method=candidate.method, settings=candidate.settings)
            except SoftpromptError as error:
                self._fit[kind] = error
            else:
                self._fit[kind] = None
        if (refused := self._fit[kind]) is not None:
            raise refused

    def _build(self, described: str) -> RowBuilder:
        """Template and task of a trial; trials of one template share it."""
        ready, old = self.ready, self.ready.builder
        template = (
            type(ready.config.template)
            .parse(json.loads(described))
            .build(
                ready.config.task.kind,
                fields=ready.splits["train"].fields(),
                tokenizer=old.tokenizer,
                words=ready.task.words,
                model=ready.backbone.spec.kind,
            )
        )
        return old.of(template=template)

    @cached_property
    def digest(self) -> str:
        """Everything that a trial's score depends on."""
        ready = self.ready
        free = {"sweep", "output", "track", "name", "licence", "author", "notes", "baselines"}
        drawn = self.settings.model_dump(mode="json", include={"together", "sampler", "halving", "seed", "steps"})
        parts = [
            ready.config.model_dump(mode="json", exclude=free),
            drawn,
            {name: one if isinstance(one, tuple) else one.model_dump() for name, one in self.space.items()},
            ready.backbone.spec.fingerprint,
            {name: rows.hash for name, rows in ready.splits.items()},
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
