"""What is asked of a file and what is read in it: decided with a reason each, asked about, or refused.

Whatever is found out is a :class:`Decision` with the flag that settles it otherwise. Knows columns and labels
(:mod:`softprompt.data.profile`), not files.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from softprompt.app.config import TaskSettings
from softprompt.app.recipes.scales import steps
from softprompt.core.errors import ConfigError, DataError
from softprompt.core.tasks import require_known
from softprompt.data.dialect import ReadSettings
from softprompt.data.entries import Record
from softprompt.data.inference import MAX_LABELS
from softprompt.data.profile.columns import Column, texts_of
from softprompt.data.profile.labels import Labels, look_at_labels
from softprompt.data.profile.objects import holds_tags, objects_in, schema_of
from softprompt.data.profile.parts import Choice, choose_candidates, choose_target, choose_texts, unfit_candidates

__all__ = ["Ask", "Deciding", "Decision", "Question", "Wishes", "fields_of"]

OFTEN = 5  #: rows a value from which sentences are labels
SEVERAL = 0.2  #: share of rows that name several labels at once


#: What a conversation of several turns becomes beside other columns.
TURNS = {"history", "prompt", "answer"}


@dataclass(frozen=True)
class Wishes:
    """What is known already; the rest is found out.

    Attributes:
        text_columns: What is read.
        target: What is asked.
        task: Kind of task.
        labels: Names, or name -> text of the answer.
        fold: Whether spellings that mean one label become one.
        read: How the file is written; ``header`` counts when it was set.
        model: Name, folder or hub id.
    """

    text_columns: tuple[str, ...] = ()
    target: str | None = None
    task: str | None = None
    labels: Sequence[str] | Mapping[str, str] | None = None
    fold: bool = True
    read: ReadSettings = field(default_factory=ReadSettings)
    model: str = "embedded"


@dataclass(frozen=True)
class Question:
    """What could not be told apart.

    Attributes:
        text: The question.
        options: Columns that come into question.
        flag: That answers it, too.
        many: Whether several may be chosen.
    """

    text: str
    options: tuple[str, ...]
    flag: str
    many: bool = False


Ask = Callable[[Question], tuple[str, ...]]


@dataclass(frozen=True)
class Decision:
    """One thing that was found out, with the reason and the flag that settles it otherwise."""

    about: str
    chosen: str
    why: str
    flag: str

    def to_dict(self) -> dict[str, str]:
        """Plain data for JSON."""
        return {"about": self.about, "chosen": self.chosen, "why": self.why, "flag": self.flag}


class Deciding:
    """Decides one thing after the other; each leaves its decision and the comment of its key behind.

    Args:
        wishes: What is known already.
        ask: Answers questions; None: what cannot be told apart is an error.

    Attributes:
        decisions: So far.
        reasons: Dotted key of the settings -> comment.
        chats: Whether the file is an export of conversations.
    """

    def __init__(self, wishes: Wishes, ask: Ask | None = None) -> None:
        self.wishes, self.ask = wishes, ask
        self.decisions: list[Decision] = []
        self.reasons: dict[str, str] = {}
        self.chats = False

    def decide(self, about: str, chosen: str, why: str, flag: str) -> None:
        """Leave a decision behind."""
        self.decisions.append(Decision(about, chosen, why, flag))

    def asked(self, columns: Sequence[Column], rows: Sequence[Record]) -> tuple[str, str, tuple[str, ...]]:
        """Kind of task, the column of the answer, and those of the candidates.

        Raises:
            DataError: ``data.no_answers``, ``data.unclear_column``, ``data.unsupported_task``, ``data.missing_column``.
            ConfigError: ``config.invalid``: a kind of task that there is not.
        """
        candidates = choose_candidates(columns) if self.wishes.task in {None, "choose"} else ()
        free = [column for column in columns if column.name not in candidates]
        if self.chats and self.wishes.task in {None, "dialogue"} and {column.name for column in columns} >= TURNS:
            self.decide("task", "dialogue", "conversations of several turns", "--task generate")
            self.reasons["task.kind"] = "conversations of several turns"
            return "dialogue", "answer", ()
        choice = choose_target(free, wanted=self.wishes.target)
        texts = tuple(column.name for column in free if column.kind == "text")
        if not choice.columns and not choice.options and len(texts) > 1:
            choice = Choice((), "no column is called like an answer, and all of these hold texts", texts)
        if not choice.columns and not choice.options:
            kinds = ", ".join(f"{column.name} ({column.kind})" for column in columns)
            cure = "say --target COLUMN; rows without answers are for softprompt predict"
            raise DataError("data.no_answers", f"{choice.why}; there are {kinds}", cure=cure)
        choice = self._settled(choice, "Which column is the answer?", "--target")
        target = choice.columns[0]
        also = f"; {', '.join(choice.others)} could be asked as well" if choice.others else ""
        self.decide("target", target, choice.why + also, "--target")
        self.reasons["task.target"] = f"{choice.why}; softprompt init --target names another"
        (column,) = (column for column in columns if column.name == target)
        if not candidates and self.wishes.task == "choose":
            cure = "call them choice1, choice2, ..., or put them into one column of lists called choices"
            raise DataError("data.no_answers", "no columns look like the candidates of a choice", cure=cure)
        unfit = unfit_candidates(rows, target, candidates) if candidates else ""
        if unfit and self.wishes.task == "choose":
            cure = "write the candidate's text, the name of its column, or its number from 0"
            raise DataError(
                "data.no_answers", f"the candidates stand in {', '.join(candidates)}, but {unfit}", cure=cure
            )
        candidates = () if unfit else candidates
        kind, why = self._kind(column, candidates, texts_of(rows, target), rows)
        self.decide("task", kind, why, "--task")
        self.reasons["task.kind"] = why
        return kind, target, candidates

    def _kind(
        self, column: Column, candidates: Sequence[str], answers: Sequence[str], rows: Sequence[Record]
    ) -> tuple[str, str]:
        """Kind of task, and the reason."""
        if self.wishes.task is not None:
            require_known(self.wishes.task)
            known = get_args(TaskSettings.model_fields["kind"].annotation)
            if self.wishes.task not in known:
                message = f"there is no kind of task called {self.wishes.task!r}; known: {', '.join(known)}"
                raise ConfigError("config.invalid", message, cure="see --task")
            return self.wishes.task, "you said so"
        name = f"the column {column.name!r}"
        if holds_tags(rows, column.name):
            cure = "make a column of what is looked for, as JSON, e.g. {persons: [Ada]}, and use a task of kind extract"
            message = f"{name} holds tags of words; softprompt answers about whole texts"
            raise DataError("data.unsupported_task", message, cure=cure)
        if objects_in(rows, column.name):
            return "extract", f"{name} holds objects"
        if candidates:
            return "choose", f"the candidates stand in {', '.join(candidates)}"
        if column.kind == "list" or look_at_labels(answers).num_several > SEVERAL * max(1, column.num_filled):
            return "multilabel", f"{name} names several labels in a row"
        if column.kind == "number":
            cure = "say --task score if they lie on a scale, or --task classify if these are labels"
            message = f"{name} holds numbers ({column.num_distinct} different ones)"
            raise DataError("data.unsupported_task", message, cure=cure)
        if column.kind == "text" and not _few(column):
            reason = f"{name} holds {column.num_distinct:,} different texts in {column.num_filled:,} rows"
            return "generate", reason
        why = f"{name} holds {column.num_distinct} different values in {column.num_filled:,} rows"
        if (ends := steps(look_at_labels(answers))) is not None:
            return self._numbered(ends, why)
        return "classify", why

    def _numbered(self, ends: tuple[int, int], why: str) -> tuple[str, str]:
        """Names or steps of a scale: whoever can be asked says which; else names, and that it may be otherwise."""
        which = f"Are the numbers {ends[0]} to {ends[1]} names of labels (classify) or steps of a scale (score)?"
        if self.ask is None:
            return "classify", f"{why}; if {ends[0]} to {ends[1]} are steps of a scale, say --task score"
        (kind,) = self.ask(Question(which, ("classify", "score"), "--task"))
        return kind, "you said so"

    def texts(self, columns: Sequence[Column], *, apart: Sequence[str]) -> tuple[str, ...]:
        """The columns that are read, beside those that have another part.

        Raises:
            DataError: ``data.no_answers``, ``data.unclear_column``, ``data.missing_column``, ``data.leaked_answer``.
        """
        choice = choose_texts(columns, apart=apart, wanted=self.wishes.text_columns)
        if not choice.columns and not choice.options:
            raise DataError("data.no_answers", f"{choice.why} beside the answer", cure="say --text-column COLUMN")
        choice = self._settled(choice, "Which column is read?", "--text-column", many=True)
        rest = f"; not read: {', '.join(choice.others)}" if choice.others else ""
        several, first = "--text-column, several times for several", shlex.quote(choice.columns[0])
        if choice.others:
            several = f"--text-column {first} --text-column {shlex.quote(choice.others[0])}"
            comment = f"{rest}; softprompt init {several} reads it, too"
        else:
            comment = f"; softprompt init --text-column {first} reads one alone" if len(choice.columns) > 1 else ""
        self.decide("text", ", ".join(choice.columns), choice.why + rest, several)
        self.reasons["data.columns"] = f"{choice.why}{comment}"
        return choice.columns

    def fields(self, objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The schema of objects.

        Raises:
            DataError: ``data.no_answers``: no field of them can be asked for.
        """
        found = schema_of(objects)
        if not found:
            cure = "flatten them: fields are texts, numbers, booleans and lists of texts"
            raise DataError("data.no_answers", "no field of the objects can be asked for", cure=cure)
        left = sorted({str(name) for one in objects for name in one} - set(found))
        why = f"types of the values in {len(objects):,} objects" + (
            f"; not asked for: {', '.join(left)}" if left else ""
        )
        self.decide("fields", ", ".join(found), why, "--schema of softprompt tune")
        self.reasons["task.schema"] = f"{why}; see docs/task-kinds.md"
        return found

    def _settled(self, choice: Choice, text: str, flag: str, *, many: bool = False) -> Choice:
        """The choice, or the answer of whoever can be asked."""
        if choice.columns:
            return choice
        names = " and ".join(
            [", ".join(choice.options[:-1]), choice.options[-1]] if choice.options[1:] else choice.options
        )
        if self.ask is not None and choice.options:
            chosen = self.ask(Question(f"{text} {choice.why}", choice.options, flag, many))
            return Choice(chosen, "you said so")
        both = f" (or both, with {flag} twice)" if many else ""
        message = f"{text[0].lower()}{text[1:]} {names} are equally likely: {choice.why}"
        raise DataError("data.unclear_column", message, cure=f"say {flag} {choice.options[0]!r}{both}")

    def labels(self, found: Labels, *, rows: int | None = None) -> Any:
        """Names side by side when they are clean, else what each says and is spelt like.

        Args:
            found: How they are written.
            rows: That have labels, where a row may have several; None: each has one.

        Raises:
            DataError: ``data.one_label``, ``data.too_many_labels``.
        """
        if self.wishes.labels is not None:
            self.decide("labels", f"{len(self.wishes.labels)}", "you said so", "--labels")
            return self.wishes.labels
        if len(found.counts) < 2:
            only = next(iter(found.counts), None)
            came = "no label" if only is None else f"only the label {only!r}"
            cure = "add rows of other labels, or name another column with --target"
            raise DataError("data.one_label", f"the column holds {came}, at least two are needed", cure=cure)
        if len(found.counts) > MAX_LABELS:
            reason = f"the column holds {len(found.counts)} different answers, labels are at most {MAX_LABELS}"
            raise DataError("data.too_many_labels", reason, cure="say --task generate, or name another --target")
        share = max(found.counts.values()) / (rows or sum(found.counts.values()))
        self.decide("labels", f"{len(found.counts)}", f"the commonest has {share:.0%} of the rows", "--labels")
        if found.spellings:
            folded = "; ".join(f"{', '.join(map(repr, other))} → {name!r}" for name, other in found.spellings.items())
            rows = sum(sum(other.values()) for other in found.spellings.values())
            self.decide(
                "spellings", folded, f"they differ in case, blanks or signs only ({rows} rows)", "--keep-labels"
            )
        if found.gaps:
            gaps = ", ".join(f"{text!r} ({count})" for text, count in found.gaps.items())
            self.decide("no label", gaps, "this is how missing values are written", "--labels names it as a label")
        if found.says:
            self.decide("answers", ", ".join(found.says.values()), "the words in the codes", "--labels CODE=word,...")
        return self._label_settings(found)

    def _label_settings(self, found: Labels) -> Any:
        names = list(found.counts)
        if found.whole_numbers:
            self.reasons["task.labels"] = f"numbers: say what they mean, e.g. {names[0]}: {{say: good}}"
        if not (found.spellings or found.says):
            return names
        settings: dict[str, Any] = {}
        for name in names:
            other = list(found.spellings.get(name, ()))
            say = found.says.get(name, name)
            settings[name] = ({"say": say} if say != name else {}) | {"from": other} if other else say
            rows = found.counts[name]
            self.reasons[f"task.labels.{name}"] = f"{rows:,} row{'' if rows == 1 else 's'}"
        self.reasons["task.labels"] = "from: other spellings in the data" if found.spellings else "label: what is said"
        return settings


def _few(column: Column) -> bool:
    """Whether long values come again and again, so that they are labels after all."""
    return column.num_distinct <= min(MAX_LABELS, column.num_filled // OFTEN)


def fields_of(texts: Sequence[str]) -> dict[str, str]:
    """Template field -> column: ``text`` for one, names that a template can have for several.

    >>> fields_of(["Ticket.Body"]), fields_of(["Subject", "Mail body"])
    ({'text': 'Ticket.Body'}, {'subject': 'Subject', 'mail_body': 'Mail body'})
    """
    if len(texts) == 1:
        return {"text": texts[0]}
    names = [re.sub(r"\W+", "_", name.lower()).strip("_") or "field" for name in texts]
    taken = {"answer", "bos", "eos"}
    fields: dict[str, str] = {}
    for name, column in zip(names, texts, strict=True):
        while name in taken or name in fields or name[0].isdigit():
            name = f"{name}_" if not name[0].isdigit() else f"field_{name}"
        fields[name] = column
    return fields
