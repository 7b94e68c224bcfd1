"""The result as a page: what was compared, the ratios against their targets, and where the time goes."""

from collections.abc import Mapping, Sequence
from typing import Any

from .contenders import CONTENDERS

__all__ = ["page", "verdicts"]

#: At 256 tokens: contender -> (times faster than PEFT, share of PEFT's peak memory).
TARGETS = {"before": (2.0, 0.6), "after": (12.0, 0.3)}

_READING = """\
## How to read this

* **A step** is forward, backward and optimiser on one batch. Both sides predict the same two tokens a row (a label
  and its terminator) over the whole vocabulary. Ours runs through `Trainer`, `PromptedModel.scores`, the likelihood
  objective, `StateStore` and `PromptOptimiser`, so loading cached states is part of its step; the one-off reading is
  not, and stands in "Wall time to N epochs".
* **before** computes the same function as PEFT: vectors, then text (loss and gradient are compared above; each side's
  gradient is itself several per cent off float32 in bf16). It saves the output layer: PEFT multiplies every token by
  the whole vocabulary and keeps the logits in fp32 for the loss, ours only the two places that are read. And in bf16
  on a CPU its attention is made of batched products instead of torch's fused kernel.
* **PEFT at its best** should save the output layer too, but transformers' `logits_to_keep` slices the states, and
  torch's product of a sliced batch with the vocabulary matrix copies that matrix once a row on a CPU (16 rows: 1.2
  GB, 2.8 CPU seconds against 0.02 for the same states made contiguous). That is why it gains so little, and loses on
  short texts.
* **after** is another placement, hence another function: the vectors read the finished text. Its text states never
  change, so only the vectors, the template's words and the answer are computed. That is where the large ratio comes
  from. Whether a task is learnt as well this way is a question of quality, not of speed: see the quality benchmark.
* **Memory** is the resident set's high-water mark of a process of its own, counted from after the model was loaded;
  the batch's cached states and the reading of them are included. *Above baseline* leaves out interpreter, libraries
  and weights.
"""

_DISTURBED = (
    "The machine was busy with other work during this run: the wall times are too long and too wide. "
    "Judge by the CPU seconds."
)


def verdicts(result: Mapping[str, Any]) -> list[str]:
    """Targets at 256 tokens, met or missed, in words; none where 256 tokens were not measured at the full shape."""
    found = result["by_tokens"].get("256")
    if found is None or result["setting"]["shape"] != "small":
        return []
    lines = []
    for name, (faster, share) in TARGETS.items():
        came = found["steps"][name]["times_faster"]
        lines.append(f"{name}: {came:.1f} times faster than PEFT, target {faster:g}: {_met(came >= faster)}")
        if memory := found.get("memory"):
            part = memory[name]["peak"] / memory["peft"]["peak"]
            lines.append(f"{name}: {part:.2f} of PEFT's memory, target {share:g}: {_met(part <= share)}")
    return lines


def _met(good: bool) -> str:
    return "met" if good else "MISSED"


def page(result: Mapping[str, Any]) -> str:
    """Markdown of a whole result."""
    parts = ["# Step time, memory and wall time against PEFT prompt tuning", _head(result)]
    if found := verdicts(result):
        parts.append("## Targets\n\n" + "\n".join(f"* {line}" for line in found))
    parts.append("![Step times](step_time.svg)")
    for tokens, one in result["by_tokens"].items():
        parts.append(f"## Texts of {tokens} tokens\n\n{_steps(one)}\n\n{_agreement(one)}")
    for tokens, one in result["by_tokens"].items():
        if "epochs" in one:
            parts.append(f"## Wall time to N epochs, {tokens} tokens\n\n{_epochs(one['epochs'], result)}")
    parts.append(_READING)
    return "\n\n".join(parts)


def _head(result: Mapping[str, Any]) -> str:
    machine, setting = result["machine"], result["setting"]
    model = setting["model"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    calm = f"\n\n**{_DISTURBED}**" if result["disturbed"] else ""
    return (
        f"Model: {model['layers']} layers, {model['hidden']} hidden, {model['heads']} heads, vocabulary "
        f"{model['vocabulary']:,}, random weights, {setting['dtype']}; batch {setting['batch']}, "
        f"{setting['vectors']} vectors.\n"
        f"Machine: {machine['cpu']} ({', '.join(machine['features'])}), {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, device {machine['device']}, {setting['threads']} threads. "
        f"Python {machine['python']}, {versions}.\n"
        f"Medians of {result['repeats']} interleaved repeats, in one process. {result['when']}.{calm}"
    )


def _steps(one: Mapping[str, Any]) -> str:
    memory = one.get("memory")
    head = ["contender", "step, median (s)", "range (s)", "CPU (s)", "times faster"]
    if memory:
        head += ["peak memory (GB)", "above baseline (GB)", "share of PEFT's peak"]
    rows = []
    for name, found in one["steps"].items():
        row = [
            CONTENDERS[name],
            f"{found['median']:.3f}",
            f"{found['low']:.3f} - {found['high']:.3f}",
            f"{found['cpu_median']:.2f}",
            f"{found['times_faster']:.2f}",
        ]
        if memory:
            own = memory[name]
            row += [f"{own['peak']:.2f}", f"{own['above']:.2f}", f"{own['peak'] / memory['peft']['peak']:.2f}"]
        rows.append(row)
    return _table(head, rows)


def _agreement(one: Mapping[str, Any]) -> str:
    lines = [
        f"* {pair}: loss {found['loss']:.4f} and {found['expected']:.4f}; "
        f"gradients differ by {100 * found['gradient']:.1f} %"
        for pair, found in one["agreement"].items()
    ]
    return "Same function from the same vectors (first step):\n\n" + "\n".join(lines)


def _epochs(one: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    measured, check = one["measured"], one["check"]
    epochs = [str(n) for n in result["epochs"]]
    rows = [
        [
            f"{line['rows']:,}",
            CONTENDERS.get(line["policy"], line["policy"]),
            f"{line['states_gb']:g}" if line["policy"].startswith("after") else "",
            f"{100 * line['share_in_ram']:.0f} %" if line["policy"].startswith("after") else "",
            f"{line['reading_s']:.0f}",
            f"{line['step_s']:.2f}",
            *(_duration(line["seconds"][n]) for n in epochs),
        ]
        for line in one["table"]
    ]
    head = ["rows", "contender", "states (GB)", "in RAM", "reading (s)", "step (s)", *(f"{n} epochs" for n in epochs)]
    read = measured["read_seconds_a_text"]
    step = {name: found["median"] for name, found in measured["steps"].items()}
    return (
        f"Put together from measured parts (states in RAM: {result['budget_gb']:g} GB at most):\n\n"
        f"* reading: {read['memory']:.3f} s a text into RAM, {read['file']:.3f} s into a file and out to the disk "
        f"(sample of {measured['sample_texts']} texts, extrapolated linearly)\n"
        f"* a step: {step['after']:.2f} s from RAM, {step['after_file_warm']:.2f} s from a file whose pages are in "
        f"memory, {step['after_file_cold']:.2f} s from the disk, {step['after_no_cache']:.2f} s reading all texts "
        f"again, {step['after_half']:.2f} s reading half of them again\n"
        f"* check: a real run of {check['rows']} rows and {check['epochs']} epochs took {check['seconds']:.1f} s, "
        f"its parts predict {check['predicted']:.1f} s\n\n" + _table(head, rows)
    )


def _duration(seconds: float) -> str:
    """A time as people say it.

    >>> _duration(59), _duration(600), _duration(9000)
    ('59 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
