"""Look closer at saved prompts: what can be routed, where they are weak, whether they keep their limits."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.app.config import ModelSettings
from softprompt.app.recipes.evaluate import Judged, Labelled, judge, open_prompts
from softprompt.app.recipes.routes import bar_of
from softprompt.app.recipes.writing import Ways, way_of
from softprompt.app.tracking import open_trackers
from softprompt.app.watch import Watcher
from softprompt.core.decoding import Decoding
from softprompt.core.errors import ConfigError, ResourceError
from softprompt.core.files import write_private
from softprompt.core.frames import to_frame
from softprompt.data.sources import Source
from softprompt.lab.coverage import Coverage, choose_threshold, cover, outcomes
from softprompt.lab.evaluation import Evaluation, evaluate_asks, groups
from softprompt.lab.gates import Gate, Passage, check_names, pass_gates
from softprompt.lab.slices import Confusion, Mistake, Slices, confusions, cut_slices, mistakes, slice_rows
from softprompt.model.backbones.base import Backbone
from softprompt.model.prompts.manifest import Route
from softprompt.model.prompts.prompt import Prompt

if TYPE_CHECKING:
    import pandas

__all__ = ["Examination", "Questions", "examine", "write_mistakes"]


#: Columns of a table of mistakes before the texts, and after them.
OF_A_ROW, OF_AN_ANSWER = ("source", "id"), ("expected", "predicted", "probability", "margin", "cut")
OURS = frozenset(("prompt", *OF_A_ROW, *OF_AN_ANSWER))


@dataclass(frozen=True)
class Questions:
    """What is asked about a prompt besides its scores.

    Attributes:
        min_confidence: Below it an answer is withheld, and counts as wrong.
        min_precision: The same by the threshold that a prompt keeps for this precision.
        precision: Find the threshold that proves this precision.
        choose_on: Labelled rows to find it on; None: those that are judged.
        slices: Columns to look at the score by.
        gates: Limits to keep.
        bound: Whether the bound of an interval has to keep the limits, not only the score.
        decoding: What changes in how answers are written.
    """

    min_confidence: float | None = None
    min_precision: float | None = None
    precision: float | None = None
    choose_on: Source | None = None
    slices: Sequence[str] = ()
    gates: Sequence[Gate] = ()
    bound: bool = False
    decoding: Ways | None = None

    def check(self) -> None:
        """Refuse questions that contradict each other.

        Raises:
            ConfigError: ``config.invalid``.
        """
        names = ("min_confidence", "min_precision", "precision")
        named = [name for name in names if getattr(self, name) is not None]
        if len(named) > 1:
            message = f"{' and '.join(named)} cannot be asked together: each decides which answers are given"
            raise ConfigError("config.invalid", message, cure="give one of them")
        if self.choose_on is not None and self.precision is None:
            raise ConfigError("config.invalid", "rows to choose on are given, and no precision", cure="say which")


@dataclass(frozen=True)
class Examination:
    """A closer look at a prompt.

    Attributes:
        evaluation: Its scores.
        coverage: What can be answered at a precision, where that was asked.
        route: What a saved prompt can keep of it; None where no threshold is proved.
        slices: The score by column.
        cut: Cut against whole texts; None where there are not both.
        confusions: Labels that are taken for each other.
        mistakes: Rows that were not answered rightly, the surest first.
        passages: Whether the limits are kept.
        decoding: How its answers were written; None for a prompt that chooses.
    """

    evaluation: Evaluation
    coverage: Coverage | None
    route: Route | None
    slices: tuple[Slices, ...]
    cut: Slices | None
    confusions: tuple[Confusion, ...]
    mistakes: tuple[Mistake, ...]
    passages: tuple[Passage, ...]
    decoding: Decoding | None = None

    @property
    def passed(self) -> bool:
        """Whether every limit is kept."""
        return all(one.passed for one in self.passages)

    def errors(self) -> "pandas.DataFrame":
        """The mistakes as a data frame, the surest first: source, id, texts, what is right and what was said.

        Raises:
            ExtraError: ``extra.missing``.
        """
        return to_frame([_line(one) for one in self.mistakes])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; mistakes are in the items."""
        return {
            **self.evaluation.to_dict(),
            "routing": None if self.coverage is None else self.coverage.to_dict(),
            "slices": [one.to_dict() for one in self.slices],
            "cut_rows": None if self.cut is None else self.cut.to_dict(),
            "confusions": [{**asdict(one), "sentence": one.sentence} for one in self.confusions],
            "limits": [one.to_dict() for one in self.passages],
            **({} if self.decoding is None else {"decoding": self.decoding.model_dump(mode="json")}),
        }


def examine(
    prompts: Sequence[str | Path | Prompt],
    labelled: Labelled,
    questions: Questions | None = None,
    *,
    model: ModelSettings | None = None,
    backbone: Backbone | None = None,
    track: Sequence[str] = (),
    watcher: Watcher | None = None,
) -> list[Examination]:
    """Judge prompts on labelled rows, and look closer.

    Args:
        prompts: Paths or prompts, of one model.
        labelled: The rows; columns to slice by are added.
        questions: What to look at.
        model, backbone, track, watcher: As :func:`softprompt.app.recipes.evaluate.evaluate`.

    Raises:
        PromptError, ModelError, DataError, ConfigError: each with its code.
    """
    watcher, questions = watcher or Watcher(), questions or Questions()
    questions.check()
    open_trackers(track)  # a missing one is said before anything is computed
    loaded = [one if isinstance(one, Prompt) else Prompt.load(one) for one in prompts]
    bars = [bar_of(prompt, questions.min_confidence, questions.min_precision) for prompt in loaded]
    backbone, asks = open_prompts(loaded, model=model, backbone=backbone, decoding=questions.decoding, watcher=watcher)
    for ask in asks:
        check_names(questions.gates, ask.task, coverage=questions.precision is not None)
    labelled = replace(labelled, besides=(*labelled.besides, *questions.slices))
    as_saved = not questions.decoding
    judged = judge(prompts, backbone, asks, labelled, bars=bars, as_saved=as_saved, track=track, watcher=watcher)
    found = [_examined(one, labelled, number, questions) for number, one in enumerate(judged)]
    watcher.done()
    return found


def write_mistakes(path: Path, found: Sequence[tuple[str, Mistake]]) -> None:
    """A table of mistakes as CSV, for the owner alone (0600): it is customer text.

    Args:
        path: The file; what stood there is replaced.
        found: Name of the prompt and mistake.

    Raises:
        ResourceError: ``resource.write_failed``.
    """
    lines = [{"prompt": name, **_line(one)} for name, one in found]
    texts = [name for name in dict.fromkeys(name for line in lines for name in line) if name not in OURS]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["prompt", *OF_A_ROW, *texts, *OF_AN_ANSWER], restval="", lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: f"{cell:.4f}" if isinstance(cell, float) else cell for name, cell in line.items()})
    try:
        write_private(path, text.getvalue())
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise ResourceError("resource.write_failed", message, cure="name another file for --errors") from None


def _line(one: Mistake) -> dict[str, Any]:
    """A mistake as the line of a table; a field that is called like a column of ours says that it is a text."""
    texts = {f"{name} (text)" if name in OURS else name: text for name, text in one.fields.items()}
    row, answer = ({name: getattr(one, name) for name in names} for names in (OF_A_ROW, OF_AN_ANSWER))
    return {**row, **texts, **answer}


def _examined(one: Judged, labelled: Labelled, number: int, questions: Questions) -> Examination:
    read = set(one.ask.builder.template.fields)
    rows = [replace(row, fields={name: text for name, text in row.fields.items() if name in read}) for row in one.rows]
    coverage, route = _covered(one, labelled, number, questions)
    return Examination(
        evaluation=one.evaluation,
        coverage=coverage,
        route=route,
        slices=slice_rows(one.evaluation, {column: _values(one, column) for column in questions.slices}),
        cut=cut_slices(one.evaluation),
        confusions=confusions(one.evaluation),
        mistakes=tuple(mistakes(one.evaluation, rows)),
        passages=pass_gates(
            questions.gates,
            one.evaluation,
            coverage=None if coverage is None else coverage.coverage,
            bound=questions.bound,
        ),
        decoding=way_of(one.ask),
    )


def _values(one: Judged, column: str) -> list[str]:
    """The values to slice by; the column of the answers is one, too."""
    return [str(row.fields[column]) if column in row.fields else str(row.target) for row in one.rows]


def _covered(
    one: Judged, labelled: Labelled, number: int, questions: Questions
) -> tuple[Coverage | None, Route | None]:
    """What can be answered at the precision that was asked for, and the threshold to keep."""
    if questions.precision is None:
        return None, None
    judged = outcomes(one.evaluation)
    chosen_by, rows, judged_by = judged, one.rows, one.evaluation
    if questions.choose_on is not None:
        ungrouped = labelled.group is None and groups(one.evaluation.items) is None
        others = replace(labelled, data=questions.choose_on, besides=(), group="" if ungrouped else labelled.group)
        task = others.tasks([one.ask] * (number + 1))[number] if labelled.targets else one.ask.task
        rows = others.rows(others.read([task], [one.ask]), task, one.ask)
        (judged_by,) = evaluate_asks(one.predictor, rows)
        chosen_by = outcomes(judged_by)
    choice = choose_threshold(*chosen_by, precision=questions.precision, groups=groups(judged_by.items))
    alone = questions.choose_on is None
    grouped = groups(one.evaluation.items) if choice.grouped else None
    coverage = cover(choice, *judged, same_rows=alone, groups=grouped)
    if choice.threshold is None:
        return coverage, None
    route = Route(
        precision=choice.precision,
        min_confidence=choice.threshold,
        level=choice.level,
        rows=choice.rows,
        answered=choice.answered,
        right=choice.right,
        data_hash=rows.hash,
    )
    return coverage, route
