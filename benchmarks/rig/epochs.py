"""Wall time to N epochs, reading and cache traffic included, when the states may or may not fit the memory budget.

A run over 5,000 rows of PEFT would take hours, so times to N epochs are put together from what is measured in this
process: the reading of a sample of canonical chunks (linear in the texts) and the median step with states from RAM,
from a mapped file (with and without its pages in memory) and read again. Two checks keep this honest: a step whose
batch is half cached must lie between the two, and one real run from the first text to the last step is compared with
its prediction.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.lab.training.trainer import Trainer
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.plain import Plain, PlainSettings
from softprompt.model.prompted import PromptedModel
from softprompt.model.states import Budget, StateStore

from .contenders import ANSWERS, Ours, contender
from .setting import Setting, row_of, start_of, texts_of
from .timing import interleaved, summary

__all__ = ["measure", "real_run", "table"]

#: Where the states of a training row lie -> the median step it costs when all rows of the batch lie there.
SOURCES = ("after", "after_file_warm", "after_file_cold", "after_half", "after_no_cache")


def measure(setting: Setting, backbone: Backbone, *, repeats: int, sample_texts: int, folder: Path) -> dict[str, Any]:
    """Reading of a sample in seconds a text (into RAM; into a file, written out), and the step from each source.

    Args:
        setting: Tokens, batch and model.
        backbone: Of the setting.
        repeats: Interleaved repeats of the steps.
        sample_texts: Texts that are read.
        folder: For the state files; emptied by the caller.
    """
    half = Budget(memory=setting.batch * setting.tokens * backbone.spec.kv_bytes // 2)
    steps = [contender(name, setting, backbone, folder=folder / name) for name in SOURCES if name != "after_half"]
    steps.insert(3, Ours(setting, backbone, name="after_half", after=True, budget=half))
    found = summary(interleaved(steps, repeats=repeats), reference="after")
    for one in steps:
        one.close()
    rows = [row_of(setting, text, 0, after=True) for text in texts_of(setting.to(seed=setting.seed + 7), sample_texts)]
    seconds = {}
    for tier, budget in (("memory", Budget(memory=1 << 40)), ("file", Budget(0, 0, 1 << 40, True, folder / "read"))):
        with StateStore(backbone, budget) as store:
            start = time.perf_counter()
            store.fill(rows)
            if tier == "file":
                _write_out(folder / "read")
            seconds[tier] = (time.perf_counter() - start) / len(rows)
    return {"sample_texts": sample_texts, "read_seconds_a_text": seconds, "steps": found}


def _write_out(folder: Path) -> None:
    for path in folder.glob("*.states"):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def table(
    setting: Setting,
    measured: Mapping[str, Any],
    step_medians: Mapping[str, float],
    *,
    rows: Sequence[int],
    epochs: Sequence[int],
    budget_bytes: float,
    state_bytes: int,
) -> list[dict[str, Any]]:
    """Seconds to N epochs by number of rows and policy.

    Args:
        setting: Batch and tokens.
        measured: From :func:`measure`.
        step_medians: Of ``peft``, ``peft_best`` and ``before``.
        rows: Numbers of training rows.
        epochs: Numbers of epochs.
        budget_bytes: RAM that states may take.
        state_bytes: Bytes of state a token.
    """
    step = {name: found["median"] for name, found in measured["steps"].items()}
    read = measured["read_seconds_a_text"]
    lines = []
    for count in rows:
        size = setting.tokens * state_bytes
        share = min(1.0, math.floor(budget_bytes / size) / count)
        num_steps = math.ceil(count / setting.batch)

        def mixed(rest: str, share: float = share) -> float:
            return share * step["after"] + (1 - share) * step[rest]

        policies = {name: (0.0, median) for name, median in step_medians.items()}
        if share == 1.0:
            policies["after: all in RAM"] = (count * read["memory"], step["after"])
        else:
            kept = share * count
            in_files = kept * read["memory"] + (count - kept) * read["file"]
            policies |= {
                "after: rest read again": (kept * read["memory"], mixed("after_no_cache")),
                "after: rest in a file, pages in memory": (in_files, mixed("after_file_warm")),
                "after: rest in a file, pages dropped": (in_files, mixed("after_file_cold")),
            }
        for name, (reading, seconds) in policies.items():
            lines.append(
                {
                    "rows": count,
                    "states_gb": round(count * size / 1e9, 1),
                    "share_in_ram": round(share, 3),
                    "policy": name,
                    "reading_s": round(reading, 1),
                    "step_s": round(seconds, 3),
                    "seconds": {str(n): round(reading + n * num_steps * seconds, 1) for n in epochs},
                }
            )
    return lines


def real_run(
    setting: Setting, backbone: Backbone, measured: Mapping[str, Any], *, rows: int, epochs: int
) -> dict[str, Any]:
    """One training from the first text to the last step, against what its parts predict."""
    texts = texts_of(setting.to(seed=setting.seed + 9), rows)
    training = [row_of(setting, text, i % len(ANSWERS), after=True) for i, text in enumerate(texts)]
    steps = epochs * math.ceil(rows / setting.batch)
    settings = TrainingSettings(steps=steps, evaluations=1, batch_size=setting.batch, recompute="never").resolved()
    problem = Problem([training], [training[:1]], ["likelihood"], lambda prompt, scores, indices: 0.0)
    method = Plain.start(PlainSettings(), [start_of(setting, backbone)])
    start = time.perf_counter()
    with StateStore(backbone, Budget(device=1 << 40, memory=1 << 40)) as store:
        store.fill(training)
        Trainer(PromptedModel(backbone), method, problem, settings=settings, rates=[0.01], store=store).run()
    seconds = time.perf_counter() - start
    predicted = rows * measured["read_seconds_a_text"]["memory"] + steps * measured["steps"]["after"]["median"]
    return {"rows": rows, "epochs": epochs, "seconds": round(seconds, 2), "predicted": round(predicted, 2)}
