"""A comparison held: who is not complete yet is fitted and judged, and the table is put together from all lines.

Needs the model, also where every line is complete: keys, warnings and the template depend on what it is. Whether that
can be spared, :mod:`softprompt.app.recipes.standing` says.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.columns import Beside, Further, read_further
from softprompt.app.recipes.dividing import Sources
from softprompt.app.recipes.folder import settings_text
from softprompt.app.recipes.heard import STAGES
from softprompt.app.recipes.ledger import enter
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.app.recipes.rows import read_rows
from softprompt.app.recipes.saved import make_prompt
from softprompt.app.recipes.sealed import looks_at, note_look, sealed_hash, warning
from softprompt.app.recipes.tabulating import make_table, said_of
from softprompt.app.watch import Point, Watcher
from softprompt.core.errors import ConfigError, DataError, PromptError, SoftpromptError, nearest
from softprompt.core.files import portable_name, write_whole
from softprompt.core.tensors import PromptTensors
from softprompt.core.words import duration
from softprompt.data.dataset import Dataset
from softprompt.data.duplicates import text_key
from softprompt.lab.comparison.contest import Kept, hold
from softprompt.lab.comparison.entrants import Entrant, default_entrants, entrant_of
from softprompt.lab.comparison.prompting.endpoint import Purse
from softprompt.lab.comparison.settings import EntrantSettings, SoftSettings
from softprompt.lab.comparison.stage import Stage
from softprompt.lab.comparison.table import ComparisonTable, Line
from softprompt.lab.training.outcome import Event
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.table import AnyMethodSettings
from softprompt.model.prompts.prompt import Prompt
from softprompt.model.templates import RowBuilder, Template

__all__ = ["Held", "divided", "hold_all", "template_of"]

#: Test rows that are named when they stand in train, too.
SHOWN = 3


@dataclass(frozen=True)
class Held:
    """A comparison, and what is to be remembered of it.

    Attributes:
        table: Its lines and verdicts.
        fresh: Names of the contenders that were run now.
        settled: Whether every line stands: none failed at its turn, so none would be tried again.
        content: Of the test rows, as looks are counted by.
        looks: How often they were looked at.
    """

    table: ComparisonTable
    fresh: tuple[str, ...]
    settled: bool
    content: str
    looks: int


def hold_all(
    config: RunConfig,
    folder: Path,
    watcher: Watcher,
    *,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
    fresh: bool = False,
) -> Held:
    """Fit and judge all contenders that are not complete yet, and decide.

    Args:
        config: The run; ``compare`` says who takes part.
        folder: Of the comparison.
        watcher: Told what happens.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.
        fresh: Forget what was run before; answers that were paid for stay.

    Raises:
        DataError: ``data.test_in_train``: test rows stand in train, too, and nobody forced it; ``data.unknown_field``:
            a contender's template names a column that the data does not have.
        ConfigError, TemplateError: A contender's settings are wrong.
        SoftpromptError: Whatever is wrong, with its code. What fits no contender stays in its line.
        KeyboardInterrupt: Complete lines and checkpoints are kept.
    """
    rows = read_rows(config, sources)
    run, warnings, further = divided(config, given="test" in rows, folder=folder), list[str](), list[Further]()

    def seen(found: Mapping[str, Dataset]) -> None:
        warnings.extend(_repeated(found, force=config.compare.force))
        further.append(read_further(run, rows, found["train"].fields(), config.compare.contenders or ()))

    ready = prepare(run, watcher, sources=rows, backbone=backbone, on_read=seen)
    for note in ready.notes:
        watcher.note(note)
    work = _Work(config, ready, folder, watcher, further=further[0].beside(ready.splits))
    if fresh:
        work.kept.clear()
    lines = work.run()
    work.begin()
    content = sealed_hash(ready.splits["test"], fields=ready.template.fields)
    looks = note_look(folder, content, by="compare") if work.fresh else len(looks_at(folder, content))
    warnings += [*said_of(ready, lines), *([warning(looks)] if looks > 1 else [])]
    table = make_table(config, ready, work.stage, lines, (*ready.notes, *ready.page.warnings, *warnings))
    return Held(table, tuple(work.fresh), not work.failed, content, looks)


class _Work:
    """One comparison under way."""

    def __init__(
        self, config: RunConfig, ready: Prepared, folder: Path, watcher: Watcher, *, further: Beside | None = None
    ) -> None:
        self.config, self.ready, self.folder, self.watcher = config, ready, folder, watcher
        self.kept, self.fresh, self.failed = Kept(folder), list[str](), False
        self.stage = Stage(
            backbone=ready.backbone,
            builder=ready.builder,
            answers=ready.answers,
            splits=ready.splits,
            weighted=ready.weighted("train"),
            further=further or {},
            training=config.training,
            method=config.method,
            correction=ready.correction,
            start=config.start,
            budget=config.compare.budget,
            template_of=self.template_of,
            purse=Purse(config.compare.max_usd),
            folder=folder,
            keep=self.keep,
            recall=self.recall,
            on_event=self.told,
        )
        self._under_way, self._told = "", ("", "")

    def run(self) -> tuple[Line, ...]:
        preset = self.config.template.text is None and self.config.template.chat is None
        given = self.config.compare.contenders
        settings: Sequence[EntrantSettings] = given or default_entrants(self.stage, places=preset)
        reference, names = self.config.compare.reference, [one.called for one in settings]
        if reference is not None and reference not in names:
            message = f"compare.reference: no contender is called {reference!r}; {nearest(reference, names)}"
            raise ConfigError("config.unknown_name", message)
        entrants = [self.entrant(one, settings) for one in settings]
        return hold(self.stage, entrants, kept=self.kept, on_start=self.starts, on_line=self.line)

    def entrant(self, one: EntrantSettings, others: Sequence[EntrantSettings]) -> Entrant:
        """One contender; what is wrong with it is said with its name."""
        try:
            return entrant_of(one, self.stage, others=others)
        except SoftpromptError as error:
            raise error.at(one.called) from None

    # --- soft prompts

    def template_of(self, settings: SoftSettings) -> Template:
        """The template of a soft prompt."""
        return template_of(self.config, self.ready, settings)

    def keep(
        self,
        settings: SoftSettings,
        seed: int,
        builder: RowBuilder,
        method: AnyMethodSettings,
        tensors: PromptTensors,
    ) -> None:
        """Save a trained prompt, for use and for ensembles."""
        name = f"{self.config.name}, {settings.called}, seed {seed}"
        config = self.config.model_copy(update={"method": method, "name": name[:200]})
        prompt = make_prompt(replace(self.ready, config=config, builder=builder), tensors, facts={"seed": seed})
        prompt.save(self._place(settings, seed), overwrite=True)

    def recall(self, settings: SoftSettings, seed: int) -> PromptTensors | None:
        """Tensors of a prompt that was saved."""
        try:
            return Prompt.load(self._place(settings, seed)).tensors.to(device=self.ready.backbone.spec.device)
        except PromptError:
            return None

    def _place(self, settings: SoftSettings, seed: int) -> Path:
        return self.folder / "prompts" / f"{portable_name(settings.called)}-seed{seed}"

    # --- telling

    def begin(self) -> None:
        """The folder with the settings; none where nobody can begin."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "config.yaml", settings_text(self.config).encode())

    def starts(self, name: str) -> None:
        self.begin()
        self._under_way, self._told = name, ("", "")
        self.watcher.stage(name)

    def line(self, line: Line, fresh: bool) -> None:
        """A line stands: into the log, the ledger and to whoever watches."""
        score = "" if line.score is None else f"{line.score}"
        if not fresh:
            self.failed |= bool(line.left_out) and line.kind == "api"  # its key may be there the next time
            if line.left_out:
                self.watcher.note(f"{line.name} takes no part: {line.left_out}")
            return
        self.fresh += [line.name] if line.runs else []
        self.failed |= not line.runs
        took = sum(run.cost.fit_seconds + run.cost.predict_seconds for run in line.runs)
        self.watcher.note(f"{line.name}: {line.left_out or f'{score}, after {duration(took)}'}")
        entry: dict[str, Any] = {"what": "compare", "contender": line.name, "kind": line.kind, "key": line.key}
        entry |= {"seeds": list(line.seeds), "left_out": line.left_out, "seconds": round(took, 3)}
        entry |= {"score": None if line.score is None else line.score.as_dict(), "rows": self.ready.splits["test"].hash}
        enter(self.folder, entry)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8", newline="\n") as log:
            log.write(json.dumps({"time": round(time.time(), 3), "event": "line", **entry}, ensure_ascii=False) + "\n")

    def told(self, stage: str, event: Event) -> None:
        """A step or a look of a training."""
        name = next(iter(event.names.values()), "") if len(event.names) == 1 else ""
        if (stage, name) != self._told:
            self._told = (stage, name)
            words = ", ".join(part for part in (self._under_way, STAGES.get(stage, stage), name) if part)
            self.watcher.stage(words, total=event.steps, unit="steps")
        if event.kind == "step":
            losses = {event.names.get(k, f"prompt {k}"): loss for k, loss in event.losses.items()}
            self.watcher.point(Point(stage, event.step, event.steps, losses=losses))
            self.watcher.advance(event.step, loss=sum(losses.values()) / max(1, len(losses)))


def template_of(config: RunConfig, ready: Prepared, settings: SoftSettings) -> Template:
    """The template of a soft prompt: the run's, or the same with other soft tokens.

    Raises:
        ConfigError: ``config.invalid``: place or length for a template that is written out.
        TemplateError: A template that cannot be parsed.
    """
    own = config.template
    if settings.template is not None:
        written = Template.parse(settings.template, keep=ready.template.keep).saying(ready.task.words)
        return written.for_kind(ready.backbone.spec.kind)
    changes = {name: one for name in ("place", "length") if (one := getattr(settings, name)) is not None}
    if not changes:
        return ready.template
    if own.text is not None or own.chat is not None:
        message = "place and length are for presets, and this run's template is written out"
        raise ConfigError("config.invalid", message, cure="write the contender's template: with <soft 20> in it")
    fields = ready.splits["train"].fields()
    return own.model_copy(update=changes).build(
        config.task.kind,
        fields=fields,
        tokenizer=ready.backbone.tokenizer,
        words=ready.task.words,
        model=ready.backbone.spec.kind,
    )


def divided(config: RunConfig, *, given: bool, folder: Path) -> RunConfig:
    """The run as a comparison divides its rows: train, validation and test, the same for everybody; no folds."""
    changes: dict[str, Any] = {"data.folds": "none", "output": folder}
    if not given and not config.data.split.test:
        changes["data.split.test"] = config.compare.test
    return config.with_(changes)


def _repeated(found: Mapping[str, Dataset], *, force: bool) -> list[str]:
    """What is to be said of test rows that also stand in train: their training rows are left out later.

    Raises:
        DataError: ``data.test_in_train``.
    """
    test, taken = found.get("test", ()), {text_key(row) for row in found["train"]}
    places = [n for n, row in enumerate(test) if text_key(row) in taken]
    if not places:
        return []
    shown = ", ".join(test[n].source or test[n].id for n in places[:SHOWN])
    count = f"{len(places)} of {len(test)} test rows also stand in train ({shown}"
    count += ", ...)" if len(places) > SHOWN else ")"
    if not force:
        cure = "take them out of one of the files; or --force: train goes without them, and the table says so"
        raise DataError("data.test_in_train", count, cure=cure)
    return [f"{count}: forced; the training side was learnt from without them"]
