"""One page before a run: the rows, what the template makes of some of them, what it costs, and whether the model knows
the language."""

from dataclasses import dataclass
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.app.recipes.plan import RunPlan, plan_of
from softprompt.app.recipes.prepare import Prepared, prepare
from softprompt.app.watch import Watcher
from softprompt.core.records import Example
from softprompt.data.markup import to_plain
from softprompt.data.profile.language import Language, detect_language
from softprompt.lab.evaluation import as_text
from softprompt.lab.fluency import Fluency, read_reference, reading_cost
from softprompt.model.backbones.base import Backbone, Kind
from softprompt.model.backbones.finding.places import model_folder
from softprompt.model.templates import TemplateView
from softprompt.model.templates import show as show_template

__all__ = ["CheckPage", "RowView", "check"]


@dataclass(frozen=True)
class RowView:
    """A row at work in the template.

    Attributes:
        source: Where it stands.
        answer: What is right.
        view: Its parts in tokens.
    """

    source: str
    answer: str
    view: TemplateView

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"source": self.source, "answer": self.answer, **self.view.to_dict()}


@dataclass(frozen=True)
class CheckPage:
    """What stands on the page.

    Attributes:
        plan: The rows in numbers, and the forecast.
        rows: From the shortest text to the longest.
        language: Of the texts, by their words.
        fluency: Of the model on them.
        model: Its name.
        notes: What a user should know about the rows.
        kind: Of the model.
    """

    plan: RunPlan
    rows: tuple[RowView, ...]
    language: Language
    fluency: Fluency
    model: str
    notes: tuple[str, ...]
    kind: Kind = "causal"

    @property
    def match(self) -> str:
        """Whether the model knows the language, in a sentence."""
        found, name = self.fluency, self.language.name if self.language.code else "of a language that is not named"
        if self.kind == "masked":
            return f"Texts: {name}. Bits per byte are measured from left to right, and this model fills in masks."
        if not found.num_bytes:
            return "There is no text to measure."
        came = f"{found.bits_per_byte:.2f} bits per byte on {found.num_texts} of your texts ({name})"
        if found.reference is None:
            return f"{came}; no reference: compare models by this number, the lower the better."
        known = found.reference
        own = f"{min(known.bits_per_byte.values()):.2f} to {max(known.bits_per_byte.values()):.2f}"
        against = f"{came}, against {own} on held-out {known.language} of its own training: {found.times:.1f} times"
        if found.foreign is None:
            return f"{against}. That is too little text to judge by."
        if found.foreign:
            return (
                f"{against}. The model {self.model!r} does not know this language or kind of text ({known.language} is "
                "what it was trained on): expect little, and choose a model that knows it."
            )
        return f"{against}. The model knows this kind of text."

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **self.plan.to_dict(),
            "rows": [row.to_dict() for row in self.rows],
            "language": {
                "code": self.language.code,
                "name": self.language.name,
                "why": self.language.why,
                **self.fluency.to_dict(),
                "sentence": self.match,
            },
            "notes": list(self.notes),
        }


def check(
    config: RunConfig, watcher: Watcher | None = None, *, num_rows: int = 3, backbone: Backbone | None = None
) -> CheckPage:
    """Look at a run before it is started; trains nothing.

    Args:
        config: The run.
        watcher: Told what happens.
        num_rows: To show in full.
        backbone: A model that is loaded already.

    Raises:
        SoftpromptError: Whatever would stop the run before its first step.
    """
    watcher = watcher or Watcher()
    ready = prepare(config, watcher, backbone=backbone)
    watcher.stage("forecast the run")
    forecast = plan_of(ready)
    watcher.stage("read a sample of the texts")
    texts = [_text(row, ready) for row in ready.splits["train"]]
    read = texts if ready.backbone.spec.kind != "masked" else []
    page = CheckPage(
        plan=forecast,
        rows=tuple(_view(row, ready) for row in _spread(ready, num_rows)),
        language=detect_language([to_plain(text) for text in texts]),
        fluency=reading_cost(ready.backbone, read, reference=read_reference(model_folder(config.model.name))),
        model=config.model.name,
        notes=ready.notes,
        kind=ready.backbone.spec.kind,
    )
    watcher.done()
    return page


def _text(row: Example, ready: Prepared) -> str:
    return "\n".join(row.fields.get(name, "") for name in ready.template.fields)


def _spread(ready: Prepared, count: int) -> list[Example]:
    """So many training rows, from the shortest text to the longest."""
    rows = sorted(ready.splits["train"], key=lambda row: len(_text(row, ready)))
    count = min(count, len(rows))
    places = {round(place * (len(rows) - 1) / max(1, count - 1)) for place in range(count)}
    return [rows[place] for place in sorted(places)]


def _view(row: Example, ready: Prepared) -> RowView:
    reference = ready.task.reference(row)
    answer = as_text(tuple(reference) if isinstance(reference, list) else reference)
    return RowView(row.source or row.id, answer, show_template(ready.builder, row))
