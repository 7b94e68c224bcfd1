"""Is a model good? Bits per byte on held-out texts, what can be read from its frozen states, and how fast it reads.

    python -m tools.embedded_model.judge MODEL [--heldout DATA/heldout] [--rows 300 1000] [--tune] [--encoder FOLDER]

Several models stand side by side on the same rows. Scores are means over `--seeds` draws of the training rows; the
interval is Wilson's for the test rows at that mean, and the draws vary on top of it. A new way of using the model is
one more entry of the table that `methods` returns.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer

import softprompt as sp
from softprompt.core.stats import wilson

from .bits import held_out_bits
from .model import load_encoder, load_model
from .probe import encoder_states, fit_states, fit_words, text_states
from .suite import HERE, Sample, SuiteTask, read_suite

FEWEST_ROWS, SPEED_TEXTS = 50, 100
Method = Callable[[Sample], Sequence[str]]  # rows -> a label for each test row


def methods(
    models: Sequence[Path], *, effort: str | None = None, encoders: Sequence[Path] = ()
) -> Iterator[tuple[str, Method]]:
    """Every way of answering that is compared, by its name in the tables; tuned prompts where an effort is given."""
    yield "majority", majority
    yield "TF-IDF + logistic regression", words
    for name, read in readers(models, encoders):
        yield f"linear probe, {name}", probe_of(read)
    for folder in models if effort is not None else ():
        yield f"soft prompt, {folder.name}", tuned_on(folder, effort)


def majority(sample: Sample) -> list[str]:
    """The commonest training label, for every row."""
    [(label, _)] = Counter(sample.train_labels).most_common(1)
    return [label] * len(sample.test_texts)


def words(sample: Sample) -> list[str]:
    """What the words alone tell, without a language model."""
    return list(fit_words(sample.train_texts, sample.train_labels).predict(sample.test_texts))


def probe_of(states: Callable[[Sequence[str]], np.ndarray]) -> Method:
    """What a linear probe of a model's states tells; the states of a text are computed once for all draws."""
    known: dict[str, np.ndarray] = {}

    def answer(sample: Sample) -> list[str]:
        new = sorted({*sample.train_texts, *sample.test_texts} - known.keys())
        if new:
            known.update(zip(new, states(new), strict=True))
        probe = fit_states(np.stack([known[text] for text in sample.train_texts]), sample.train_labels)
        return list(probe.predict(np.stack([known[text] for text in sample.test_texts])))

    return answer


def tuned_on(folder: Path, effort: str) -> Method:
    """What a soft prompt reaches with this model, at the defaults of softprompt for labels."""
    backbone = sp.load_model(folder)

    def answer(sample: Sample) -> list[str]:
        rows = [
            {"text": text, "label": label} for text, label in zip(sample.train_texts, sample.train_labels, strict=True)
        ]
        task = sp.Task.classify(sorted(set(sample.train_labels)))
        with TemporaryDirectory() as runs:
            report = sp.tune(
                task,
                train=rows,
                model=backbone,
                training={"effort": effort},
                baselines=False,
                output=Path(runs) / "run",
            )
        answers = sp.predict(report.prompt, sample.test_texts, model=backbone)
        return [next(iter(answered.answers.values())).text for answered in answers]

    return answer


def score(task: SuiteTask, method: Method, *, num_rows: int, seeds: int, most_test_rows: int | None) -> dict[str, Any]:
    """Accuracy for each draw, its mean, Wilson's interval at the mean, and seconds; empty if there are too few rows."""
    accuracies: list[float] = []
    num_test, start = 0, time.perf_counter()
    for seed in range(seeds):
        sample = task.sample(num_rows=num_rows, seed=seed, most_test_rows=most_test_rows)
        if sample is None:
            return {}
        num_test = len(sample.test_labels)
        right = sum(a == b for a, b in zip(method(sample), sample.test_labels, strict=True))
        accuracies.append(right / num_test)
    mean = fmean(accuracies)
    interval = wilson(round(mean * num_test), num_test)
    return {
        "accuracy": mean,
        "low": interval.low,
        "high": interval.high,
        "draws": accuracies,
        "num_test": num_test,
        "seconds": time.perf_counter() - start,
    }


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])


def show_cell(result: dict[str, Any]) -> str:
    """A score in percent with its interval.

    >>> show_cell({"accuracy": 0.5, "low": 0.4321, "high": 0.5679})
    '50.0 [43.2, 56.8]'
    """
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * result[key] for key in ("accuracy", "low", "high")))


def judge_bits(models: Sequence[Path], heldout: Path, most_bytes: int | None) -> dict[str, dict[str, float]]:
    """Bits per byte by model and corpus."""
    bits = {}
    for folder in models:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        bits[folder.name] = held_out_bits(load_model(folder), tokenizer, heldout, most_bytes=most_bytes)
    corpora = list(next(iter(bits.values())))
    rows = [[name, *(f"{values[corpus]:.3f}" for corpus in corpora)] for name, values in bits.items()]
    print(table(["bits per byte", *corpora], rows), end="\n\n", flush=True)
    return bits


def readers(models: Sequence[Path], encoders: Sequence[Path]) -> Iterator[tuple[str, Callable[[Sequence[str]], Any]]]:
    """What reads texts, by name."""
    for folder in encoders:
        yield folder.name, partial(encoder_states, *load_encoder(folder))
    for folder in models:
        model, tokenizer = load_model(folder).eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))
        yield folder.name, partial(text_states, model, tokenizer)


def judge_speed(models: Sequence[Path], texts: Sequence[str], *, encoders: Sequence[Path] = ()) -> dict[str, float]:
    """Milliseconds of the processor for reading a text, one by one, by model: the median."""
    speed = {}
    for name, read in readers(models, encoders):
        taken = []
        for text in texts:
            start = time.process_time()
            read([text])
            taken.append(1000 * (time.process_time() - start))
        speed[name] = median(taken)
    rows = [[name, f"{value:.1f}"] for name, value in speed.items()]
    print(table([f"{len(texts)} texts of the first task", "processor ms a text"], rows), end="\n\n", flush=True)
    return speed


def judge_tasks(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Scores of every method on every task and number of training rows; prints a table for each number."""
    contestants = dict(methods(options.models, effort=options.tune, encoders=options.encoder))
    results: list[dict[str, Any]] = []
    for num_rows in options.rows:
        lines = []
        for task in read_suite(options.suite):
            scores = {
                name: score(task, method, num_rows=num_rows, seeds=options.seeds, most_test_rows=options.test_rows)
                for name, method in contestants.items()
            }
            if not all(scores.values()):
                continue
            results += [{"task": task.name, "rows": num_rows, "method": name, **scores[name]} for name in scores]
            num_test = str(scores["majority"]["num_test"])
            lines.append([task.name, num_test, *(show_cell(result) for result in scores.values())])
        print(table([f"accuracy, {num_rows} rows", "test rows", *contestants], lines), end="\n\n", flush=True)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="model folders, compared by folder name")
    parser.add_argument("--encoder", nargs="*", type=Path, default=[], help="folders of sentence encoders (MiniLM)")
    parser.add_argument("--heldout", type=Path, help="the folder of held-out texts that prepare.py wrote")
    parser.add_argument("--heldout-bytes", type=int, help="read at most about so much of each (default: all)")
    parser.add_argument("--suite", type=Path, default=HERE / "suite.toml", help="the tasks")
    parser.add_argument("--rows", type=int, nargs="*", default=[300, 1000], help="training rows; none: no tasks")
    parser.add_argument("--test-rows", type=int, help="ask about at most the first so many test rows (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="draws of training rows")
    parser.add_argument(
        "--tune", nargs="?", const="normal", choices=["quick", "normal", "thorough"], help="also tune soft prompts"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="keep every number in this file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    report: dict[str, Any] = {}
    with threadpool_limits(options.threads):
        if options.heldout:
            report["bits_per_byte"] = judge_bits(options.models, options.heldout, options.heldout_bytes)
        report["accuracy"] = judge_tasks(options)
        sample = read_suite(options.suite)[0].sample(num_rows=FEWEST_ROWS, seed=0, most_test_rows=SPEED_TEXTS)
        if sample is not None:
            report["milliseconds"] = judge_speed(options.models, sample.test_texts, encoders=options.encoder)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
