"""Whether the words that ``predict --explain`` names decide: the deletion test, on messages that the prompt never saw.

    head -200 messages.train.jsonl > train.jsonl && tail -60 messages.train.jsonl > validation.jsonl
    softprompt tune --train train.jsonl --validation validation.jsonl --target topic --name topic \\
        --set training.steps=60 --set training.rate=0.3 --set training.seeds=[0]
    python benchmarks/deletion.py runs/topic/prompt                    minutes on one core
    python benchmarks/deletion.py runs/topic/prompt --rows 4 --print   to see that it works; nothing is written

From each message the 1, 2, 3, 5 and 8 most decisive words are deleted, by occlusion and by gradients, and five times as
many random ones. What counts is the fall of the answer's probability.

Knows saved prompts and explanations.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.rig.machine import load_average, sentence
from benchmarks.rig.results import parser_of, publish
from benchmarks.rig.rows import example_file, rows_in
from softprompt.app.recipes.evaluate import open_prompts
from softprompt.core.records import Example
from softprompt.lab.explanation import DeletionTest, Method, deletion_test
from softprompt.model.prediction import Predictor

__all__ = ["main", "measured", "page", "picture"]

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "img" / "deletion.svg"
COUNTS = (1, 2, 3, 5, 8)
METHODS: tuple[Method, ...] = ("occlusion", "gradient")


def measured(prompt: Path, *, rows: int) -> dict[str, list[DeletionTest]]:
    """The test by method, a number of words each."""
    backbone, asks = open_prompts([prompt])
    predictor = Predictor(backbone, asks)
    examples = [Example({"text": row["text"]}) for row in rows_in(example_file("test"))[:rows]]
    return {
        method: [deletion_test(predictor, examples, deleted=count, method=method) for count in COUNTS]
        for method in METHODS
    }


def page(found: Mapping[str, Sequence[DeletionTest]], prompt: Path, *, load: float) -> str:
    """The table."""
    any_words = [sum(tests[i].random for tests in found.values()) / len(found) for i in range(len(COUNTS))]
    lines = ["| words deleted | rows | occlusion | gradients | any words |", "| ---: | ---: | ---: | ---: | ---: |"]
    for i, count in enumerate(COUNTS):
        falls = " | ".join(f"{found[method][i].decisive:.3f}" for method in METHODS)
        lines.append(f"| {count} | {found['occlusion'][i].rows} | {falls} | {any_words[i]:.3f} |")
    intro = f"Mean fall of the answer's probability, topics of example messages, prompt `{prompt.parent.name}`."
    return "\n".join([intro, "", *lines, "", sentence(load), ""])


def picture(found: Mapping[str, Sequence[DeletionTest]]) -> str:
    """The result as SVG."""
    top = max(0.1, *(one.decisive for tests in found.values() for one in tests))
    lines = {method: [one.decisive for one in tests] for method, tests in found.items()}
    lines["any words"] = [sum(tests[i].random for tests in found.values()) / len(found) for i in range(len(COUNTS))]

    def at(count: int, fall: float) -> tuple[float, float]:
        return 60 + 400 * count / COUNTS[-1], 190 - 160 * max(0.0, fall) / top

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="240" font-family="sans-serif" font-size="13">',
        "<title>Fall of the answer's probability by number of deleted words</title>",
        '<rect width="600" height="240" fill="white"/><path d="M60 20V190H470" fill="none" stroke="#888"/>',
        '<text x="265" y="230" text-anchor="middle">words deleted</text>',
        f'<text x="54" y="34" text-anchor="end">{top:.2f}</text><text x="54" y="194" text-anchor="end">0</text>',
        *(f'<text x="{at(count, 0)[0]:.0f}" y="208" text-anchor="middle">{count}</text>' for count in COUNTS),
    ]
    for (name, falls), colour in zip(lines.items(), ("#1a7f37", "#0969da", "#888"), strict=True):
        points = [at(0, 0), *(at(count, fall) for count, fall in zip(COUNTS, falls, strict=True))]
        path = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="468" y="{points[-1][1] + 4:.0f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = parser_of(__doc__)
    parser.add_argument("prompt", type=Path)
    parser.add_argument("--rows", type=int, default=60)
    chosen = parser.parse_args(arguments)
    found = measured(chosen.prompt, rows=chosen.rows)
    text = page(found, chosen.prompt, load=load_average())
    publish("deletion", "The deletion test", text, only_print=chosen.print)
    if not chosen.print:
        PICTURE.write_text(picture(found), encoding="utf-8")


if __name__ == "__main__":
    main()
