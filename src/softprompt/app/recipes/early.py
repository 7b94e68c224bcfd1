"""What would stop a run once texts have been read and baselines stand, found out before: for a run and its forecast.

Knows prepared runs; writes nothing.
"""

from softprompt.app.recipes.prepare import Prepared
from softprompt.app.recipes.saved import identity
from softprompt.lab.lessons import Lesson
from softprompt.lab.rehearsal import rehearse
from softprompt.model.prompts.prompt import Prompt

__all__ = ["continued", "require_fit"]


def require_fit(ready: Prepared) -> Prompt | None:
    """Refuse a method that the model, the template or the settings cannot take; returns what the run goes on from.

    Raises:
        SoftpromptError: As :func:`softprompt.lab.rehearsal.rehearse`; whatever is wrong with the saved prompt.
    """
    saved, config = continued(ready), ready.config
    lesson = Lesson(
        config.name,
        ready.builder,
        ready.splits["train"].rows,
        (),
        start=config.start,
        saved=None if saved is None else saved.tensors,
    )
    rehearse(ready.backbone, lesson, method=config.method, settings=config.training)
    return saved


def continued(ready: Prepared) -> Prompt | None:
    """The saved prompt that the run goes on from, if any; it must belong to the same model.

    Raises:
        PromptError: Whatever is wrong with it.
    """
    if ready.config.start_from is None:
        return None
    saved = Prompt.load(ready.config.start_from)
    saved.check(identity(ready.backbone.spec))
    return saved
