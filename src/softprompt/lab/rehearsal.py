"""A rehearsal: one row through the model with a prompt at its start, so that what cannot be is refused within a second.

Which methods a model takes is said by the model and the method themselves, where they meet; asking them early is surer
than a second list of what goes together. Nothing is trained, kept or drawn from anybody's generator.

Knows lessons, methods and models; no runs and no files.
"""

from dataclasses import replace

import torch

from softprompt.core.records import Batch, Example
from softprompt.lab.demonstrations import said_of
from softprompt.lab.lessons import Learner, Lesson, vocabulary_of
from softprompt.lab.training.perturbations import require_vectors
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.weights.quantised import require_training
from softprompt.model.methods.base import MethodSettings
from softprompt.model.methods.table import start_method
from softprompt.model.prompted import PromptedModel, num_tokens

__all__ = ["rehearse"]

#: Rows from which a start may be made; the shortest of them is read.
ROWS = 8


@torch.no_grad()
def rehearse(backbone: Backbone, lesson: Lesson, *, method: MethodSettings, settings: TrainingSettings) -> None:
    """Start one prompt of a lesson and score one row with it.

    Args:
        backbone: The frozen model.
        lesson: What is to be learnt; of its rows the first few are used.
        method: Of the prompt.
        settings: Of the training; what acts on vectors needs vectors.

    Raises:
        ModelError: ``model.unsupported_prompt``: the model cannot take what the method puts into it, or there;
            ``model.cannot_train``: it gives no right gradient.
        ConfigError: ``config.invalid``: a layer that the model lacks, noise without vectors.
        PromptError: ``prompt.other_slots``: the prompt to continue has others.
        TrainingError: ``training.nothing_to_learn``.

    >>> from softprompt.core.tasks import Task
    >>> from softprompt.model.methods.table import parse_method
    >>> from softprompt.model.templates import RowBuilder, Template
    >>> from softprompt.testing import tiny
    >>> model, template = tiny(), Template.parse("{text}<soft 4>{answer}")
    >>> builder = RowBuilder(template, Task.classify(["no", "yes"]), model.tokenizer, max_tokens=99)
    >>> lesson = Lesson("tone", builder, [Example({"text": "Good"}, "yes")], ())
    >>> rehearse(model, lesson, method=parse_method("plain"), settings=TrainingSettings())
    >>> rehearse(model, lesson, method=parse_method("deep"), settings=TrainingSettings())
    Traceback (most recent call last):
    softprompt.core.errors.ModelError: an answer is read directly behind slot 'soft' ... put a word between ...
    """
    require_training(backbone.spec)
    rows, start = _few(lesson), lesson.start.or_else(method.start_kind)
    few = replace(lesson, train=rows, validation=(), shares=(), start=start)
    learner = Learner(few, backbone, vocabulary_of(backbone))
    begun = start_method(method, [learner.start(0)], max_rms=settings.max_rms).to(backbone.spec.device)
    require_vectors(settings, prompts := begun.materialise(), method=method.name)
    row = min((row for row in learner.train if row is not None), key=num_tokens)
    PromptedModel(backbone).scores(Batch((row,)), prompts=prompts)


def _few(lesson: Lesson) -> list[Example]:
    """Some rows, those first that have an answer in words: a start may be made of such."""
    rows = [row for row in lesson.train if row is not None]
    task = lesson.builder.task
    return sorted(rows, key=lambda row: row.target is None or not said_of(task, row))[:ROWS]
