"""Advice for the first hour: look at task, rows, model and machine, measure what takes seconds, say what to try."""

import random
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.comparing import divided
from softprompt.app.recipes.dividing import Sources
from softprompt.app.recipes.init import settings_name
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.app.recipes.rows import read_rows
from softprompt.app.watch import Watcher
from softprompt.core.errors import SoftpromptError
from softprompt.core.stats import Interval, paired_bootstrap, wilson
from softprompt.data.dataset import Dataset
from softprompt.lab.advice import Advice, Facts, advise
from softprompt.lab.comparison import Contender, LinearProbe, TfidfLogistic, ZeroShot
from softprompt.model.backbones.base import Backbone

__all__ = ["Advised", "advice"]

#: Rows that measurements are made on: seconds, and an interval of some ten points; and rows that are learnt from.
MEASURED, LEARNT = 100, 400


@dataclass(frozen=True)
class Advised:
    """Advice, and what it rests on.

    Attributes:
        facts: What was looked at and measured.
        advice: What to try first.
        commands: What to type.
        notes: What could not be measured.
    """

    facts: Facts
    advice: Advice
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        own = {"facts": asdict(self.facts), "commands": list(self.commands), "notes": list(self.notes)}
        return {**self.advice.to_dict(), **own}


def advice(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    named: str = "",
    measure: bool = True,
    sources: Sources | None = None,
    backbone: Backbone | None = None,
) -> Advised:
    """Look, measure, advise.

    Args:
        config: The run.
        watcher: Told what happens.
        named: How the user named the settings, for the commands.
        measure: Ask the untrained model, TF-IDF and a classifier of the model's states about some rows that are not
            the test rows.
        sources: Rows by split, instead of files.
        backbone: A model that is loaded already.

    Raises:
        SoftpromptError: Whatever is wrong with rows, settings or model.
    """
    watcher = watcher or Watcher()
    rows = read_rows(config, sources)
    parted = divided(config, given="test" in rows, folder=config.beside("compare"))
    ready = prepare(parted, watcher, sources=rows, backbone=backbone)
    notes: list[str] = []
    right = _measured(ready, watcher, notes) if measure and ready.task.fixed_candidates and ready.task.one_right else {}
    train = ready.splits["train"]
    counts = list(train.labels().values())
    spec = ready.backbone.spec
    lengths = [len(ready.backbone.tokenizer.encode(" ".join(row.fields.values()))) for row in train.rows[:MEASURED]]
    zero_shot, tfidf, embeddings = (_share(right.get(name)) for name in ("zero-shot", "tfidf", "embeddings"))
    lead = _lead(right)
    facts = Facts(
        kind=config.task.kind,
        rows=len(train) + len(ready.splits["validation"]),
        test_rows=len(ready.splits["test"]),
        labels=len(ready.task.names) if ready.task.fixed_candidates else 0,
        fewest=min(counts, default=0),
        tokens=sum(lengths) / max(1, len(lengths)),
        parameters=spec.num_parameters,
        embedded=config.model.name == "embedded",
        accelerator=spec.device.type != "cpu",
        majority=_majority(ready),
        zero_shot=None if zero_shot is None else zero_shot.low,
        zero_shot_high=None if zero_shot is None else zero_shot.high,
        tfidf=None if tfidf is None else tfidf.low,
        embeddings=None if embeddings is None else embeddings.low,
        lead_low=None if lead is None else lead.low,
        lead_high=None if lead is None else lead.high,
    )
    found = advise(facts)
    watcher.done()
    return Advised(facts, found, _commands(found, named, config), tuple(notes))


def _measured(ready: Prepared, watcher: Watcher, notes: list[str]) -> dict[str, list[bool]]:
    """Which rows were answered right, by contender, on rows that are not the test rows: those stay unseen."""
    watcher.stage("measure what takes seconds")
    learnt, held = _some(ready.splits["train"], LEARNT), _some(ready.splits["validation"])
    found = {}
    for name, one in _contenders(ready).items():
        try:
            said = one.fit(learnt, None, ready.task).predict(held)
        except SoftpromptError as error:
            notes.append(f"{name} could not be measured: {error}")
            continue
        found[name] = [
            ready.task.right(prediction.answer, ready.task.reference(row))
            for prediction, row in zip(said, held, strict=True)
        ]
        watcher.note(f"{name}: {_share(found[name])} right on {len(held)} rows")
    return found


def _contenders(ready: Prepared) -> dict[str, Contender]:
    """What takes seconds."""
    longest, found = ready.builder.max_tokens, dict[str, Contender]()
    if "words" in ready.task.forms:
        found["zero-shot"] = ZeroShot(ready.backbone, ready.template, max_tokens=longest)
    if find_spec("sklearn"):
        found["tfidf"] = TfidfLogistic(fields=ready.template.fields)
        found["embeddings"] = LinearProbe(ready.backbone, ready.template, max_tokens=longest)
    return found


def _share(right: Sequence[bool] | None) -> Interval | None:
    """Of right answers."""
    return None if right is None else wilson(sum(right), len(right))


def _lead(right: Mapping[str, Sequence[bool]]) -> Interval | None:
    """The share that TF-IDF has right less that of the model's states, on the same rows."""
    if not {"tfidf", "embeddings"} <= set(right):
        return None
    words, states = ([[float(one), 1.0] for one in right[name]] for name in ("tfidf", "embeddings"))
    return paired_bootstrap(words, states, lambda sums: float(sums[0] / sums[1]), bounds=(0.0, 1.0))


def _majority(ready: Prepared) -> float | None:
    """Share of the most frequent label in the rows that were measured on."""
    held = [str(row.target) for row in _some(ready.splits["validation"])]
    if not ready.task.fixed_candidates or not ready.task.one_right or not held:
        return None
    return Counter(held).most_common(1)[0][1] / len(held)


def _some(rows: Dataset, most: int = MEASURED) -> Dataset:
    """So many rows at most, the same ones every time."""
    places = random.Random(0).sample(range(len(rows)), min(most, len(rows)))
    return rows.select(sorted(places))


def _commands(found: Advice, named: str, config: RunConfig) -> tuple[str, ...]:
    """What to type: settings where there are only rows, the way itself, and what decides."""
    given = shlex.quote(named) if named else "CONFIG"
    settings = given
    first: list[str] = []
    if Path(named).suffix.lower() not in {".yaml", ".yml"} and named:
        chosen = "" if config.model.name == "embedded" else f" --model {shlex.quote(config.model.name)}"
        first = [f"softprompt init {given} --target {shlex.quote(config.task.target)}{chosen}"]
        settings = shlex.quote(settings_name(named))
    way = [f"softprompt tune {settings} --place {found.first}"] if found.first in {"after", "before"} else []
    compared = " ".join(f"-c {name}" for name in found.contenders)
    return (*first, *way, f"softprompt compare {settings} {compared}")
