"""Exports of annotation tools (Label Studio, doccano, Prodigy) to their texts and labels.

One label of a row is a text, several are a list. Spans are refused row by row: softprompt learns answers to whole
texts, not tags. Sources: the export formats as the tools document them (Label Studio JSON, doccano JSONL, Prodigy's
db-out).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.core.errors import DataError
from softprompt.data.shapes.shape import Shape, Values, alone

__all__ = ["DOCCANO", "LABEL_STUDIO", "PRODIGY"]

#: Keys of a Label Studio result's value that answer for the whole text.
_ANSWERS = ("choices", "taxonomy", "rating", "number", "text", "datetime")
#: Other columns that doccano writes.
_DOCCANO = {
    "id",
    "meta",
    "Comments",
    "comments",
    "annotation_approver",
    "created_at",
    "updated_at",
    "example_id",
    "user",
}


def is_label_studio(values: Values) -> bool:
    """Whether a row is a task with its data and its annotations."""
    annotations = values.get("annotations", values.get("completions"))
    return isinstance(values.get("data"), Mapping) and isinstance(annotations, list)


def label_studio(values: Values) -> list[dict[str, Any]]:
    """The task's data, and the answers of its first annotation that was not cancelled, by name of the control.

    Raises:
        DataError: ``data.bad_export``: spans, or an answer with the name of a column.

    >>> chosen = {"from_name": "topic", "type": "choices", "value": {"choices": ["billing"]}}
    >>> label_studio({"id": 7, "data": {"text": "hi"}, "annotations": [{"result": [chosen]}]})
    [{'id': 7, 'text': 'hi', 'topic': 'billing'}]
    """
    data = values.get("data")
    annotations = values.get("annotations", values.get("completions")) or []
    if not isinstance(data, Mapping) or not isinstance(annotations, list):
        raise DataError("data.bad_export", "the row has no 'data' and 'annotations'")
    kept = [one for one in annotations if isinstance(one, Mapping) and not one.get("was_cancelled")]
    answers: dict[str, Any] = {}
    for result in (kept[0].get("result") or []) if kept else []:
        value = result.get("value") if isinstance(result, Mapping) else None
        value = value if isinstance(value, Mapping) else {}
        key = next((key for key in _ANSWERS if key in value), None)
        if key is None or "start" in value:
            kind = result.get("type", "something") if isinstance(result, Mapping) else "something"
            raise _spans(f"{kind} of a part of the text")
        control = str(result.get("from_name", "label"))
        if control in data:
            raise DataError("data.bad_export", f"the control {control!r} has the name of a column of the data")
        answers[control] = _one(value[key])
    return [{**({"id": values["id"]} if "id" in values else {}), **data, **answers}]


def is_doccano(values: Values) -> bool:
    """Whether a row is a text with a list of labels, and nothing that doccano does not write."""
    words, labels = _first(values, "text", "data"), _first(values, "label", "labels")
    known = values.keys() <= _DOCCANO | {"text", "data", "label", "labels"}
    return known and isinstance(words, str) and isinstance(labels, list)


def doccano(values: Values) -> list[dict[str, Any]]:
    """The text and its label.

    Raises:
        DataError: ``data.bad_export``: spans.

    >>> doccano({"id": 1, "text": "hi", "label": ["greeting"], "Comments": []})
    [{'id': 1, 'text': 'hi', 'label': 'greeting'}]
    """
    labels = _first(values, "label", "labels")
    if isinstance(labels, list) and any(not isinstance(label, str | int) for label in labels):
        raise _spans("labels of parts of the text")
    made = {"text": _first(values, "text", "data"), "label": _one(labels)}
    return [{**({"id": values["id"]} if "id" in values else {}), **made}]


def is_prodigy(values: Values) -> bool:
    """Whether a row is an example with Prodigy's hashes and the annotator's answer."""
    return {"_input_hash", "_task_hash"} <= values.keys() and values.get("answer") in {"accept", "reject", "ignore"}


def prodigy(values: Values) -> list[dict[str, Any]]:
    """The text and what was accepted; nothing for a row that the annotator ignored.

    Raises:
        DataError: ``data.bad_export``: spans, or no text.

    >>> hashes = {"_input_hash": 1, "_task_hash": 2}
    >>> prodigy({"text": "hi", "label": "RUDE", "answer": "reject", **hashes})
    [{'text': 'hi', 'label': 'not RUDE'}]
    >>> prodigy({"text": "hi", "options": [{"id": "A"}], "accept": ["A"], "answer": "accept", **hashes})
    [{'text': 'hi', 'label': 'A'}]
    """
    if not isinstance(values.get("text"), str):
        raise DataError("data.bad_export", "the row has no 'text'")
    if values.get("spans") and "accept" not in values and "label" not in values:
        raise _spans("labels of parts of the text")
    verdict = values.get("answer")
    if verdict == "ignore" or (verdict == "reject" and "accept" in values):
        return []
    if "accept" in values:
        label = _one(values["accept"])
    else:
        label = f"not {values['label']}" if verdict == "reject" and "label" in values else values.get("label")
    made = {"text": values["text"], "label": label}
    return [made | ({"meta": values["meta"]} if "meta" in values else {})]


def _spans(what: str) -> DataError:
    return DataError("data.bad_export", f"the row holds {what}: softprompt learns answers to whole texts, no tags")


def _first(values: Values, *keys: str) -> Any:
    return next((values[key] for key in keys if key in values), None)


def _one(value: Any) -> Any:
    """A list of one as its element, an empty one as a gap; nested lists (a taxonomy) as texts with slashes."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    texts = ["/".join(map(str, part)) if isinstance(part, list) else part for part in value]
    return alone(texts)


LABEL_STUDIO = Shape(
    "labelstudio",
    "a Label Studio export",
    "the columns are those of 'data'; the answers of the first annotation stand under the names of their controls",
    is_label_studio,
    label_studio,
    takes=("data", "annotations", "completions"),
    makes=(),
)
PRODIGY = Shape(
    "prodigy",
    "a Prodigy export",
    "'label' is what was accepted ('not X' where the label X was rejected); ignored rows are left out",
    is_prodigy,
    prodigy,
    takes=("text", "label", "answer", "accept", "options"),
    makes=("text", "label"),
)
DOCCANO = Shape(
    "doccano",
    "a doccano export",
    "'text', and its labels as 'label'",
    is_doccano,
    doccano,
    takes=("text", "data", "label", "labels"),
    makes=("text", "label"),
)
