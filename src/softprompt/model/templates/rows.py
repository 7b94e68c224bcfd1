"""Rows from examples: a template's segments as a chain of nodes, its answers as siblings under the last one.

Each answer is tokenised with the blank that stands before ``{answer}`` and ends in the model's terminator, which
tells an answer from a longer one that begins alike (law 9).

Knows neither models nor tensors.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from softprompt.core.cuts import LOST_END, Fit
from softprompt.core.errors import TemplateError
from softprompt.core.records import Answer, Example, Node, Readout, Row, Segment, Soft, Text, content_hash
from softprompt.core.tasks import Task
from softprompt.core.tokens import Tokenizer
from softprompt.model.templates.parts import Decoder
from softprompt.model.templates.reading import Reader, Reading
from softprompt.model.templates.segments import Piece, SlotSpec, TextPiece, join
from softprompt.model.templates.template import Template

__all__ = ["Answers", "Lengths", "RowBuilder", "Split", "frozen_pieces"]

#: Kinds of tasks whose answers have one score each, which windows can be pooled by.
POOLED = ("classify", "choose", "multilabel", "score")

Answers = Literal["words", "vectors"]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of one row, after cutting.

    Attributes:
        words: The template's own words, beginning of sequence and chat skeleton.
        slots: Soft tokens.
        fields: Tokens that stand in the row, by field.
        cut: Tokens that were cut, by field; only fields that lost some.
        answer: The longest answer with its terminator, or the room kept for free text; 0 for label vectors.
        frozen: Tokens that are read once: before the first soft slot, or of an encoder without one.
    """

    words: int
    slots: int
    fields: Mapping[str, int]
    cut: Mapping[str, int]
    answer: int
    frozen: int

    @property
    def prompt(self) -> int:
        """Everything before the answer."""
        return self.words + self.slots + sum(self.fields.values())

    @property
    def total(self) -> int:
        """The longest path through the row: never above ``max_tokens``."""
        return self.prompt + self.answer


@dataclass(frozen=True, slots=True)
class Split:
    """An example as it is read: in one row or, for a template with windows, in several.

    Attributes:
        parts: The example once a row; the fields of a window hold what stands in its row.
        cut: Tokens that stand in none of the rows, by field; only fields that lost some.
        ends: Of the fields, where these stood.
    """

    parts: tuple[Example, ...]
    cut: Mapping[str, int]
    ends: tuple[str, ...] = ()

    @property
    def fit(self) -> Fit:
        """The same in numbers alone."""
        return Fit(sum(self.cut.values()), self.ends, len(self.parts))


class RowBuilder:
    """Makes the row of an example.

    Args:
        template: What stands where.
        task: Which answers there are.
        tokenizer: The model's.
        max_tokens: The longest row, soft tokens and answer included: at most the model's context.
        answers: ``words`` scores the answers' tokens, ``vectors`` reads label vectors where the answer would begin.

    Raises:
        TemplateError: ``template.too_long`` when the soft slots alone fill a row; ``template.no_labels`` for vectors
            without fixed labels; ``template.windows`` for a kind of task whose scores cannot be pooled.

    >>> class Letters:  # the smallest tokenizer: a letter is a token
    ...     bos_id, eos_id, vocab_size = None, 0, 256
    ...     encode = encode_skeleton = lambda self, text: tuple(text.encode())
    ...     decode = lambda self, ids: bytes(ids).decode()
    ...     piece = lambda self, token: chr(token)
    ...     as_bytes = lambda self, token: bytes([token])
    ...     chat = lambda self, messages: ""
    >>> template = Template.parse("{text}<soft 3>: {answer}")
    >>> builder = RowBuilder(template, Task.classify(["no", "yes"]), Letters(), max_tokens=64)
    >>> row = builder.row(Example({"text": "hi"}, target="yes"))
    >>> [node.segment for node in row.nodes[:3]]
    [Text(ids=(104, 105), field='text'), Soft(slot='soft', length=3, prompt_index=0), Text(ids=(58,), field=None)]
    >>> [(node.parent, bytes(node.segment.ids)) for node in row.nodes[3:]], dict(row.target)
    ([(2, b' no\\x00'), (2, b' yes\\x00')], {0: 1})
    """

    def __init__(
        self,
        template: Template,
        task: Task,
        tokenizer: Tokenizer,
        *,
        max_tokens: int,
        answers: Answers = "words",
    ) -> None:
        if answers not in task.forms:
            message = f"a task of this kind cannot be answered by {answers}: label vectors need fixed labels"
            raise TemplateError("template.no_labels", message, cure=f"choose 'answers: {task.forms[0]}'")
        kind = str(getattr(task, "kind", type(task).__name__))
        if template.windowed is not None and kind not in POOLED:
            message = f"windows are for {', '.join(POOLED)}, whose answers have a score to pool; this task is {kind}"
            raise TemplateError("template.windows", message, cure="choose keep: head, tail or head+tail")
        self.template = template
        self.task = task
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.answers = answers
        self._reader = Reader(template, tokenizer, max_tokens=max_tokens)
        # fixed labels come back in every row
        self._encode_answer = lru_cache(maxsize=4096)(tokenizer.encode) if task.fixed_candidates else tokenizer.encode

    def of(self, *, template: Template | None = None, task: Task | None = None) -> "RowBuilder":
        """Rows of another template or task, the same otherwise; None keeps one.

        Raises:
            TemplateError: As when one is made.
        """
        return RowBuilder(
            self.template if template is None else template,
            self.task if task is None else task,
            self.tokenizer,
            max_tokens=self.max_tokens,
            answers=self.answers,
        )

    def row(
        self,
        example: Example,
        *,
        prompt_index: int = 0,
        target: bool = True,
        candidates: Sequence[str] | None = None,
    ) -> Row:
        """The row of an example for one prompt; of a text that is read in windows its beginning, see :meth:`split`.

        Args:
            example: Its fields; an unlabelled one gives a row without target.
            prompt_index: Whose soft tokens, answers and target these are.
            target: Whether the right answer is written into the row. Free text without it is a row without answer
                nodes, ready to be continued.
            candidates: Other answers than the task's.

        Raises:
            TemplateError: ``template.missing_field``, ``template.too_long``, ``template.same_answer``,
                ``template.no_context``.
            DataError: ``data.unknown_label``, ``data.no_candidates``.
        """
        says, right = self._answers(example, target=target, candidates=candidates)
        reading = self._read(example, says)
        nodes = [
            Node(_segment(piece, ids, prompt_index), n - 1 if n else None, side)
            for n, (piece, ids, side) in enumerate(_sided(reading.pieces))
        ]
        if not nodes:
            message = "nothing stands before the answer of this row"
            cure = "begin the template with {bos} or with words of its own"
            raise _at(TemplateError("template.no_context", message, cure=cure), example)
        last = len(nodes) - 1
        if self.answers == "vectors":
            nodes.append(Node(Readout(prompt_index), last))
        else:
            answers = self._tokens(says, reading.lead, example)
            sides = 2 if self.task.independent else 1
            nodes.extend(
                Node(Answer(ids, n // sides, prompt_index, against=n % sides > 0), last)
                for n, ids in enumerate(answers)
            )
        wanted: dict[int, int | tuple[float, ...]] = {} if right is None else {prompt_index: right}
        row = Row(tuple(nodes), "", example.weight, example.group, wanted)
        return replace(row, id=content_hash(row.trunk_ids(0)))

    def split(self, example: Example) -> Split:
        """The examples whose rows are read for this one, and what none of them holds.

        Raises:
            TemplateError: as :meth:`row`.
        """
        cut, windowed = self.lengths(example).cut, self.template.windowed
        if windowed is None or windowed not in cut:
            return Split((example,), cut, self._ends(cut))
        says, _ = self._answers(example, target=not self.task.fixed_candidates, candidates=None)
        try:
            texts, lost = self._reader.windows(example.fields, reserve=lambda lead: self._reserve(says, lead))
        except TemplateError as error:
            raise _at(error, example) from None
        parts = tuple(replace(example, fields={**example.fields, **one}) for one in texts)
        cut = {name: count for name, count in {**cut, windowed: lost}.items() if count}
        return Split(parts, cut, self._ends(cut))

    def windows(self, example: Example) -> tuple[Example, ...]:
        """The parts of :meth:`split`; without measuring where the template reads none in windows.

        Raises:
            TemplateError: as :meth:`row`.
        """
        return (example,) if self.template.windowed is None else self.split(example).parts

    def cut(self, example: Example) -> dict[str, int]:
        """Tokens of the example that stand in none of its rows, by field; empty when all of it is read.

        Raises:
            TemplateError: as :meth:`row`.
        """
        return dict(self.split(example).cut)

    def _ends(self, fields: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({LOST_END[self.template.keep.get(name, "head")] for name in fields}))

    def lengths(self, example: Example) -> Lengths:
        """How many tokens the row has, and of what; any label of the example is left alone.

        Raises:
            TemplateError: as :meth:`row`.
        """
        says, _ = self._answers(example, target=not self.task.fixed_candidates, candidates=None)
        reading = self._read(example, says)
        fields = reading.fields
        first = frozen_pieces([piece for piece, _ in reading.pieces])
        return Lengths(
            words=reading.words,
            slots=reading.slots,
            fields={name: fields.get(name, 0) for name in self.template.fields},
            cut={name: lost for name, count in reading.uncut.items() if (lost := count - fields.get(name, 0)) > 0},
            answer=self._reserve(says, reading.lead),
            frozen=sum(len(ids) for _, ids in reading.pieces[:first]),
        )

    def reading(self, example: Example) -> Reading:
        """The segments before the answer, for displays.

        Raises:
            TemplateError: as :meth:`row`.
        """
        return self._read(example, self._answers(example, target=False, candidates=None)[0])

    def lead(self, example: Example) -> str:
        """The blank that a generated answer begins with, which is the template's and not the answer's."""
        return self.reading(example).lead

    def _read(self, example: Example, says: tuple[str, ...]) -> Reading:
        try:
            return self._reader.read(example.fields, reserve=lambda lead: self._reserve(says, lead))
        except TemplateError as error:
            raise _at(error, example) from None

    def _answers(
        self, example: Example, *, target: bool, candidates: Sequence[str] | None
    ) -> tuple[tuple[str, ...], int | tuple[float, ...] | None]:
        """Texts of the answers that stand in the row, and what is right (None: unknown, or not asked)."""
        own = self.task.candidates(example)
        labelled = target and example.target is not None and example.target != []
        answer = self.task.answer(example) if labelled else None
        right = own[answer] if own is not None and isinstance(answer, int) else answer
        if candidates is not None:
            says = tuple(candidates)
            return says, says.index(str(right)) if right in says else None
        if own is not None:
            says = self.task.yes_and_no if self.task.independent and self.answers == "words" else own
            return says, None if isinstance(answer, str) else answer
        return ((str(right),), 0) if labelled else ((), None)

    def _tokens(self, says: Sequence[str], lead: str, example: Example) -> list[tuple[int, ...]]:
        """Ids of the answers, all different."""
        answers = [(*self._encode_answer(join(lead, say)), self.tokenizer.eos_id) for say in says]
        if len(set(answers)) < len(answers):
            twin = next(i for i, ids in enumerate(answers) if ids in answers[:i])
            first = says[answers.index(answers[twin])]
            message = f"answers {first!r} and {says[twin]!r} are the same tokens to this model"
            raise _at(TemplateError("template.same_answer", message, cure="give one of them another text"), example)
        return answers

    def _reserve(self, says: Sequence[str], lead: str) -> int:
        """Tokens to keep free for the answer.

        Free text gets the room that it has in use also while it is learnt, so that both read the same text.
        """
        if self.answers == "vectors":
            return 0
        longest = max((len(self._encode_answer(join(lead, say))) + 1 for say in says), default=0)
        return max(longest, int(getattr(self.task, "max_new_tokens", 0)))


def frozen_pieces(pieces: Sequence[Piece]) -> int:
    """How many pieces at the beginning are read once: up to the first slot, or of an encoder all or nothing.

    >>> slot = SlotSpec("soft", 2)
    >>> text = TextPiece("text")
    >>> [frozen_pieces(one) for one in ([text, slot, text], [text, Decoder(), text, slot], [text, slot, Decoder()])]
    [1, 1, 0]
    """
    first = next((i for i, piece in enumerate(pieces) if isinstance(piece, SlotSpec)), len(pieces))
    mark = next((i for i, piece in enumerate(pieces) if isinstance(piece, Decoder)), None)
    if mark is None or first == len(pieces):
        return first
    return mark if first > mark else 0


def _sided(
    pieces: Iterable[tuple[Piece, tuple[int, ...]]],
) -> Iterator[tuple[Piece, tuple[int, ...], Literal["main", "encoder", "decoder"]]]:
    """The pieces with their side, without the mark between the sides."""
    pieces = tuple(pieces)
    side: Literal["main", "encoder", "decoder"] = "main"
    if any(isinstance(piece, Decoder) for piece, _ in pieces):
        side = "encoder"
    for piece, ids in pieces:
        if isinstance(piece, Decoder):
            side = "decoder"
        else:
            yield piece, ids, side


def _segment(piece: Piece, ids: tuple[int, ...], prompt_index: int) -> Segment:
    if isinstance(piece, SlotSpec):
        return Soft(piece.name, piece.length, prompt_index)
    return Text(ids, piece.field if isinstance(piece, TextPiece) else None)


def _at(error: TemplateError, example: Example) -> TemplateError:
    """The error with the place of the row, where the row has one."""
    where = example.source or example.id
    return error.at(where) if where else error
