"""softprompt: specialise a frozen language model with a few kilobytes of learned prompt.

    import softprompt as sp

    model = sp.load_model("embedded")
    task = sp.Task.classify(["delivery", "product", "billing", "returns", "account"], target="topic")
    report = sp.tune(task, train="messages.train.jsonl", test="messages.test.jsonl", model=model)
    print(report.headline)
    for answered in sp.predict(report.prompt, ["Where is my parcel?"], model=model):
        print(answered.to_dict())

Importing this module imports neither torch nor transformers; each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softprompt.app.api import (
        compare,
        curve,
        data_page,
        ensemble,
        evaluate,
        examine,
        load,
        load_model,
        plan,
        predict,
        report,
        sweep,
        tune,
        tune_together,
        wrap,
    )
    from softprompt.app.config import RunConfig
    from softprompt.app.recipes.convert import convert_prompt
    from softprompt.app.recipes.formats import export_prompt, import_prompt
    from softprompt.app.recipes.tune import TuneReport
    from softprompt.app.watch import Watcher
    from softprompt.core.errors import SoftpromptError
    from softprompt.core.records import Example
    from softprompt.core.stats import Interval
    from softprompt.core.tasks import Task
    from softprompt.data.dataset import Dataset
    from softprompt.lab.evaluation import Evaluation
    from softprompt.model.backbones.base import Backbone
    from softprompt.model.methods.table import register_method
    from softprompt.model.prediction import Prediction
    from softprompt.model.prompts.prompt import Prompt
    from softprompt.model.templates import Template

_PLACES = {
    "Backbone": "softprompt.model.backbones.base",
    "Dataset": "softprompt.data.dataset",
    "Evaluation": "softprompt.lab.evaluation",
    "Example": "softprompt.core.records",
    "Interval": "softprompt.core.stats",
    "Prediction": "softprompt.model.prediction",
    "Prompt": "softprompt.model.prompts.prompt",
    "RunConfig": "softprompt.app.config",
    "SoftpromptError": "softprompt.core.errors",
    "Task": "softprompt.core.tasks",
    "Template": "softprompt.model.templates",
    "TuneReport": "softprompt.app.recipes.tune",
    "Watcher": "softprompt.app.watch",
    "convert_prompt": "softprompt.app.recipes.convert",
    "compare": "softprompt.app.api",
    "curve": "softprompt.app.api",
    "data_page": "softprompt.app.api",
    "ensemble": "softprompt.app.api",
    "evaluate": "softprompt.app.api",
    "examine": "softprompt.app.api",
    "export_prompt": "softprompt.app.recipes.formats",
    "import_prompt": "softprompt.app.recipes.formats",
    "load": "softprompt.app.api",
    "load_model": "softprompt.app.api",
    "plan": "softprompt.app.api",
    "predict": "softprompt.app.api",
    "register_method": "softprompt.model.methods.table",
    "report": "softprompt.app.api",
    "sweep": "softprompt.app.api",
    "tune": "softprompt.app.api",
    "tune_together": "softprompt.app.api",
    "wrap": "softprompt.app.api",
}

__all__ = [
    "Backbone",
    "Dataset",
    "Evaluation",
    "Example",
    "Interval",
    "Prediction",
    "Prompt",
    "RunConfig",
    "SoftpromptError",
    "Task",
    "Template",
    "TuneReport",
    "Watcher",
    "compare",
    "convert_prompt",
    "curve",
    "data_page",
    "ensemble",
    "evaluate",
    "examine",
    "export_prompt",
    "import_prompt",
    "load",
    "load_model",
    "plan",
    "predict",
    "register_method",
    "report",
    "sweep",
    "tune",
    "tune_together",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'softprompt' has no attribute {name!r}")
    import_module("softprompt.core.threads").wait_asleep()  # the next import may be torch's
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
