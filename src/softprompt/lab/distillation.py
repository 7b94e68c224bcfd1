"""How prompts of one task each teach a prompt of several tasks: the settings of :mod:`softprompt.lab.multitask`.

Knows no trainings, so that the settings of a run can be read without them.
"""

from pydantic import Field

from softprompt.core.config import Settings
from softprompt.model.methods.plain import PlainSettings
from softprompt.model.methods.table import AnyMethodSettings

__all__ = ["TEACHERS", "Distillation"]

#: Where the training of the teachers keeps what it can go on from, and what its stages are called.
TEACHERS = "teachers"


class Distillation(Settings):
    """A prompt for each task first, which then teaches the tasks together."""

    method: AnyMethodSettings = Field(PlainSettings(), description="of the prompts that teach")
    share: float = Field(0.5, ge=0, le=1, description="of a teacher in what a row asks; the rest is its answer")
    temperature: float = Field(2.0, gt=0, le=100, description="softens what the teachers say: p^(1/T), normalised")
