"""From a demonstration's plain data to what the template writes: sentences, bars, lines of the tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.app.page.charts import Bar
from softprompt.app.page.words import THIN, duration, milliseconds, percent

__all__ = ["view"]

Document = Mapping[str, Any]

COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


def view(document: Document) -> dict[str, Any]:
    """Everything the template asks for, beside the document's own keys."""
    count = document["one_reading"]["num_prompts"]
    return {
        "headline": f"One reading, {_count(count, 'answer')}",
        "prompts_in_words": _count(count, "prompt"),
        "machine_in_words": _machine(document),
        "reading_bars": _reading_bars(document["one_reading"]),
        "same_in_words": _same(document["one_reading"]),
        "step_bars": _step_bars(document["learning"]),
        "stages_in_words": _stages(document),
        "questions": [_question(one, document["rows"]["test"]) for one in document["questions"]],
    }


def _count(number: int, noun: str) -> str:
    return f"{COUNTS.get(number, number)} {noun}{'' if number == 1 else 's'}"


def _machine(document: Document) -> str:
    device, machine = document["model"]["device"], document["machine"]
    return _count(min(machine["cores"], machine["threads"]), "processor core") if device == "cpu" else device


def _reading_bars(reading: Document) -> list[Bar]:
    count, shared, apart = reading["num_prompts"], reading["shared_ms"], reading["apart_ms"]
    one = Bar(f"one reading, {_count(count, 'answer')}", milliseconds(shared), shared)
    if count == 1:
        return [one]
    return [one, Bar(f"{_count(count, 'reading')}, an answer each", milliseconds(apart), apart, count, "other")]


def _same(reading: Document) -> str:
    if reading["num_prompts"] == 1:
        return ""
    same = (
        "All answers are"
        if reading["same_answers"] == 1
        else f"{percent(reading['same_answers'])}{THIN}% of the answers are"
    )
    apart = f"no probability differs by more than {percent(reading['max_difference'])} points"
    return f"{same} the same both ways, and {apart}."


def _step_bars(learning: Sequence[Document]) -> list[Bar]:
    return [
        Bar(
            f"{one['place']} the text",
            f"{_count(one['steps'], 'step')}, {milliseconds(1000 * one['step_seconds'])} each",
            one["steps"],
            kind="main" if one["place"] == "after" else "second",
        )
        for one in learning
    ]


def _stages(document: Document) -> str:
    seconds = document["seconds"]
    parts = [f"{name} {duration(value)}" for name, value in seconds.items() if name != "total"]
    processor = f"{duration(document['cpu_seconds'])} of processor time"
    return f"{duration(seconds['total'])} in all ({processor}): {', '.join(parts)}."


def _kind(number: int, comparison: Document) -> str:
    """Class of a line: the prompt that it is about, the other soft prompt, or nothing special."""
    standings = comparison["standings"]
    if standings[number]["name"] == comparison["reference"]:
        return "own"
    return "other" if number == len(standings) - 1 else ""


def _question(question: Document, num_test: int) -> dict[str, Any]:
    """A question with the lines of its table."""
    comparison = question["comparison"]
    metric = comparison["metric"]
    lines = []
    for number, one in enumerate(comparison["standings"]):
        score = one["evaluation"]["metrics"][metric]
        lines.append(
            {
                "name": one["name"],
                "kind": _kind(number, comparison),
                "score": score,
                "learning": duration(one["fit_seconds"]) if one["num_trained"] else "–",
                "a_text": milliseconds(1000 * one["predict_seconds"] / num_test),
                "num_bytes": one["num_bytes"],
                "note": one["note"],
            }
        )
    verdict = question["verdict"].removeprefix(f"{question['target']}: ")
    return {
        **question,
        "verdict_body": verdict[:1].upper() + verdict[1:],
        "lines": lines,
        "majority": lines[0]["score"]["estimate"],
    }
