"""The lines of the tables: what else would have done, and what the trained prompts do, on the same test rows."""

from collections.abc import Sequence

from softprompt.app.demo.rows import FIELD
from softprompt.app.demo.training import Trained
from softprompt.app.recipes.prepare import Prepared
from softprompt.app.watch import Watcher
from softprompt.core.errors import ExtraError
from softprompt.lab.comparison import (
    Asked,
    Contender,
    FewShot,
    Majority,
    Standing,
    TfidfLogistic,
    ZeroShot,
    contend,
    judge,
)
from softprompt.lab.comparison.scikit_learn import sklearn
from softprompt.model.prediction import Ask

__all__ = ["asks_of", "baselines", "judged"]


def baselines(ready: Sequence[Prepared], watcher: Watcher, notes: list[str]) -> list[list[Standing]]:
    """The lines that need no training of a prompt, by question.

    Args:
        ready: The questions.
        watcher: Told every line as soon as it stands; the quickest come first.
        notes: Gets what a user should know.
    """
    backbone, template = ready[0].backbone, ready[0].template
    contenders: list[Contender] = [Majority()]
    try:
        sklearn("linear_model", purpose=TfidfLogistic.name)  # here, so that no line pays for the import
        contenders.append(TfidfLogistic(fields=(FIELD,)))
    except ExtraError as error:
        notes.append(str(error))
        watcher.note(notes[-1])
    # One draw of demonstrations: several cost a reading of all of them for every text.
    longest = ready[0].builder.max_tokens
    contenders += [ZeroShot(backbone, template, max_tokens=longest), FewShot(backbone, template, draws=1)]
    standings: list[list[Standing]] = [[] for _ in ready]
    for contender in contenders:
        watcher.stage(contender.name)
        for lines, one in zip(standings, ready, strict=True):
            parts = one.splits
            lines += contend(
                [contender], one.task, train=parts["train"], validation=parts["validation"], test=parts["test"]
            )
            watcher.note(_score_line(one, lines[-1]))
    return standings


def _score_line(ready: Prepared, standing: Standing) -> str:
    return f"{ready.config.name}: {standing.name} {standing.evaluation.headline}"


def asks_of(trained: Trained) -> tuple[Ask, ...]:
    """The trained prompts as they are asked, by question."""
    return tuple(
        Ask(one.builder, learnt.prompt, one.answers, name=one.config.name)
        for one, learnt in zip(trained.ready, trained.learnt, strict=True)
    )


def judged(name: str, trained: Trained, watcher: Watcher) -> list[Standing]:
    """The line of each question's prompt, every one with a reading of its own, like all other lines.

    Args:
        name: Of the placement in the tables.
        trained: The prompts.
        watcher: Told every line.
    """
    found = []
    steps = f"{trained.learning.steps} steps"
    together = f", {len(trained.ready)} prompts in one pass" if len(trained.ready) > 1 else ""
    for one, ask in zip(trained.ready, asks_of(trained), strict=True):
        asked = Asked(
            backbone=one.backbone,
            asks=(ask,),
            num_trained=ask.tensors.num_parameters,
            num_bytes=ask.tensors.num_bytes,
            note=f"{steps}{together}",
        )
        test = one.splits["test"]
        found.append(judge(name, asked, one.task, test=test, fit_seconds=trained.learning.seconds))
        watcher.note(_score_line(one, found[-1]))
    return found
