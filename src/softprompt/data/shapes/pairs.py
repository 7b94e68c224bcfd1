"""Questions with answers (Alpaca, prompt/completion, SQuAD) to ``prompt``, or ``context`` and ``question``; ``answer``.

Sources: Taori et al. 2023 (Alpaca); OpenAI's completions format; Rajpurkar et al. 2016, 2018 (SQuAD), as its files nest
it and as the hub has it flat.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.core.errors import DataError
from softprompt.data.shapes.shape import Shape, Values, alone

__all__ = ["ALPACA", "COMPLETION", "SQUAD"]


def is_alpaca(values: Values) -> bool:
    """Whether a row has an instruction and an output, and perhaps an input."""
    texts = isinstance(values.get("instruction"), str) and isinstance(values.get("output"), str)
    return texts and isinstance(values.get("input", ""), str | None)


def alpaca(values: Values) -> list[dict[str, Any]]:
    """Instruction and input as one prompt, a blank line between them.

    Raises:
        DataError: ``data.bad_export``.

    >>> alpaca({"instruction": "Add", "input": "2 and 2", "output": "4"})
    [{'prompt': 'Add\\n\\n2 and 2', 'answer': '4'}]
    """
    parts = [values.get(key) or "" for key in ("instruction", "input")]
    if not all(isinstance(part, str) for part in parts) or not parts[0]:
        raise DataError("data.bad_export", "the row has no text 'instruction'")
    kept = {key: value for key, value in values.items() if key not in {"instruction", "input", "output"}}
    return [{**kept, "prompt": "\n\n".join(part for part in parts if part.strip()), "answer": values.get("output")}]


def is_completion(values: Values) -> bool:
    """Whether a row has a text prompt and a text completion."""
    return isinstance(values.get("prompt"), str) and isinstance(values.get("completion"), str)


def completion(values: Values) -> list[dict[str, Any]]:
    """The completion is the answer."""
    return [{"answer" if key == "completion" else key: value for key, value in values.items()}]


def is_squad(values: Values) -> bool:
    """Whether a row is an article with paragraphs, or a question with its context."""
    if isinstance(paragraphs := values.get("paragraphs"), list) and paragraphs:
        return all(isinstance(part, Mapping) and "context" in part and "qas" in part for part in paragraphs)
    answers = values.get("answers")
    texts = all(isinstance(values.get(key), str) for key in ("context", "question"))
    if isinstance(answers, Mapping):
        return texts and isinstance(answers.get("text"), Sequence)
    return texts and isinstance(answers, list) and isinstance(values.get("answer_start"), list)


def squad(values: Values) -> list[dict[str, Any]]:
    """A row for each question; different answers to it are references, none means that the text has no answer.

    Raises:
        DataError: ``data.bad_export``.

    >>> asked = {"id": "q1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}, {"text": "Ada"}]}
    >>> squad({"title": "T", "paragraphs": [{"context": "Ada wrote.", "qas": [asked]}]})
    [{'id': 'q1', 'title': 'T', 'context': 'Ada wrote.', 'question': 'Who?', 'answer': 'Ada'}]
    >>> squad({"context": "Ada wrote.", "question": "Who?", "answers": ["Ada", "Ada L."], "answer_start": [0, 0]})
    [{'context': 'Ada wrote.', 'question': 'Who?', 'answer': ['Ada', 'Ada L.']}]
    """
    if "paragraphs" not in values:
        flat = {key: value for key, value in values.items() if key not in {"answers", "answer_start"}}
        return [{**flat, "answer": _answer(values.get("answers"))}]
    rows = []
    for paragraph in values["paragraphs"]:
        if not isinstance(paragraph, Mapping) or not isinstance(paragraph.get("qas"), list):
            raise DataError("data.bad_export", "a paragraph has no list 'qas'")
        for asked in paragraph["qas"]:
            if not isinstance(asked, Mapping) or not isinstance(asked.get("question"), str):
                raise DataError("data.bad_export", "an element of 'qas' has no text 'question'")
            rows.append(
                {
                    "id": asked.get("id"),
                    "title": values.get("title"),
                    "context": paragraph.get("context"),
                    "question": asked["question"],
                    "answer": _answer(asked.get("answers")),
                }
            )
    return rows


def _answer(answers: Any) -> Any:
    """The different answer texts: one as a text, several as a list, none as a gap."""
    if isinstance(answers, Mapping):
        texts = list(answers.get("text") or [])
    else:
        texts = [answer.get("text") if isinstance(answer, Mapping) else answer for answer in answers or []]
    texts = list(dict.fromkeys(text for text in texts if isinstance(text, str) and text.strip()))
    return alone(texts)


ALPACA = Shape(
    "alpaca",
    "an Alpaca export",
    "'instruction' and 'input' are 'prompt', 'output' is 'answer'",
    is_alpaca,
    alpaca,
    takes=("instruction", "input", "output"),
    makes=("prompt", "answer"),
)
COMPLETION = Shape(
    "completion",
    "an export of prompts and completions",
    "'completion' is 'answer'",
    is_completion,
    completion,
    takes=("completion",),
    makes=("answer",),
)
SQUAD = Shape(
    "squad",
    "a SQuAD export",
    "a row for each question, with 'context', 'question', and its different answers as 'answer'",
    is_squad,
    squad,
    takes=("paragraphs", "answers", "answer_start", "context", "question", "title", "id"),
    makes=("title", "context", "question", "answer"),
)
