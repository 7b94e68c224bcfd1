"""What rows are like before a model has seen them: language, lengths in words, balance, copies, personal data, HTML.

Numbers first, then sentences about what should be looked at. Personal data is counted, never shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.app.config import RunConfig
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.data.markup import to_plain
from softprompt.data.page import DataPage, Lengths
from softprompt.data.profile.columns import Column
from softprompt.data.profile.labels import Labels
from softprompt.data.profile.language import Language, detect_language

__all__ = ["Findings", "look_at_rows"]

SOME_HTML = 0.1  #: share of rows with HTML that is worth a sentence
SHOWN = 5


@dataclass(frozen=True)
class Findings:
    """What was found.

    Attributes:
        num_rows: That can be used.
        num_bad: That cannot.
        words: Words a text.
        labels: Rows a label; empty where answers are no labels.
        language: Of the texts.
        model: What is named in the settings.
        num_copies: Rows that repeat an earlier text.
        num_conflicting: Texts with different answers.
        num_html: Rows with HTML.
        personal: Column -> form of personal data -> rows.
        warnings: What should be looked at, in sentences.
    """

    num_rows: int
    num_bad: int
    words: Lengths
    labels: Mapping[str, int]
    language: Language
    model: str
    num_copies: int
    num_conflicting: int
    num_html: int
    personal: Mapping[str, Mapping[str, int]]
    warnings: tuple[str, ...]

    @property
    def model_hint(self) -> str:
        """What the settings say beside the model."""
        code, name = self.language.code, self.language.name
        if self.model != "embedded":
            return f"the texts: {name}"
        if code in {"en", ""}:
            return "a small English teaching model; a folder or a hub id names another"
        return f"English only, and these texts are {name}: name a model that knows it"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "rows": self.num_rows,
            "bad_rows": self.num_bad,
            "words": {name: getattr(self.words, name) for name in ("shortest", "median", "p95", "longest")},
            "labels": dict(self.labels),
            "language": {"code": self.language.code, "name": self.language.name, "why": self.language.why},
            "copies": self.num_copies,
            "conflicting": self.num_conflicting,
            "html": self.num_html,
            "personal": {column: dict(found) for column, found in self.personal.items()},
            "warnings": list(self.warnings),
        }


def look_at_rows(
    rows: Dataset, task: Task, columns: Sequence[Column], labels: Labels | None, *, config: RunConfig
) -> Findings:
    """Look at the rows of a run.

    Args:
        rows: As a run loads them.
        task: Of the run.
        columns: Of the file.
        labels: How they are written, where answers are labels.
        config: The run.
    """
    read = config.data.columns or dict.fromkeys(rows.fields(), "")
    texts = ["\n".join(row.fields.get(name, "") for name in read) for row in rows]
    plain = [to_plain(text) for text in texts]
    page = DataPage.of({"train": rows}, task, count_tokens=lambda text: len(text.split()))
    train = page.splits["train"]
    num_html = sum(text != clean for text, clean in zip(texts, plain, strict=True))
    language = detect_language(plain)
    personal = {column.name: column.personal for column in columns if column.personal}
    warnings = (
        *_language_warnings(language, config.model.name),
        *_personal_warnings(personal),
        *([_html(num_html)] if num_html > SOME_HTML * len(rows) and not config.data.read.strip_html else []),
        *(_label_warnings(labels) if labels else ()),
        *(warning for warning in page.warnings if "could not be used" not in warning),
    )
    return Findings(
        num_rows=len(rows),
        num_bad=len(rows.skipped),
        words=Lengths.of([len(text.split()) for text in plain]),
        labels=train.labels,
        language=language,
        model=config.model.name,
        num_copies=train.num_twins,
        num_conflicting=page.num_conflicting,
        num_html=num_html,
        personal=personal,
        warnings=warnings,
    )


def _language_warnings(language: Language, model: str) -> list[str]:
    if model != "embedded" or language.code in {"en", ""}:
        return []
    return [
        f"the texts are {language.name} ({language.why}) and the embedded model reads English only: "
        "expect little, and name a model that knows it with --model"
    ]


def _personal_warnings(personal: Mapping[str, Mapping[str, int]]) -> list[str]:
    found = [
        f"{column} ({', '.join(f'{form} in {count:,}' for form, count in forms.items())})"
        for column, forms in personal.items()
    ]
    more = f" and {len(found) - SHOWN} more columns" if len(found) > SHOWN else ""
    if not found:
        return []
    rows = f"rows that look like personal data: {', '.join(found[:SHOWN])}{more}"
    return [f"{rows}; texts stay on this machine, cached states are your texts in another form"]


def _html(count: int) -> str:
    return f"{count:,} texts hold HTML: --read strip_html=true turns it into plain text"


def _label_warnings(labels: Labels) -> list[str]:
    lines = []
    if labels.slips:
        pairs = ", ".join(f"{rare!r} may be {frequent!r}" for rare, frequent in labels.slips[:SHOWN])
        lines.append(f"labels that may be slips: {pairs}; if so, write them behind from: in the settings")
    if labels.whole_numbers:
        lines.append("the labels are numbers: a model learns more from words; give them with --labels 0=bad,1=good")
    return lines
