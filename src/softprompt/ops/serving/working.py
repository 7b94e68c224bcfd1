"""Asking the model: requests that ask the same go through it together, and each gets its own part of the answer.

Judged answers come from :class:`softprompt.model.prediction.Predictor`, as everywhere else, so an answer that is served
is the answer that was evaluated. Knows no queue and no threads.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from softprompt.core.errors import ServingError, nearest
from softprompt.core.records import Example
from softprompt.model.backbones.base import Backbone
from softprompt.model.compiled import CompiledModel
from softprompt.model.decoding import Decoding, Piece
from softprompt.model.prediction import Prediction, Predictor
from softprompt.model.prompted import num_tokens
from softprompt.ops.serving.records import Answers, Completion, Completions, Judge, Served, Write

__all__ = ["Desk"]

#: Sets of prompts whose common beginnings are kept, the latest ones.
KEPT = 16

#: Padded tokens a batch at most; the same as where prompts are evaluated.
BATCH_TOKENS = 4096


class Desk:
    """The model with its prompts, by name.

    Args:
        backbone: The frozen model.
        prompts: Each name once.
        max_batch: Texts that go through the model together.

    Raises:
        ServingError: ``serving.same_name``.
    """

    def __init__(self, backbone: Backbone, prompts: Sequence[Served], *, max_batch: int) -> None:
        self.backbone = backbone
        self.prompts: Mapping[str, Served] = {prompt.name: prompt for prompt in prompts}
        if len(self.prompts) < len(prompts):
            names = [prompt.name for prompt in prompts]
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            message = f"two prompts are called {twice!r}; requests call them by their names"
            raise ServingError("serving.same_name", message, cure="give one another name: NAME=PATH")
        self.max_batch = max_batch
        self._order = {name: n for n, name in enumerate(self.prompts)}
        self._predictor = lru_cache(maxsize=KEPT)(self._make_predictor)
        self._compiled = lru_cache(maxsize=KEPT)(self._make_compiled)

    def find(self, name: str) -> Served:
        """The prompt of a name.

        Raises:
            ServingError: ``serving.unknown_prompt``.
        """
        if name not in self.prompts:
            message = f"no prompt is called {name!r}; {nearest(name, self.prompts)}"
            raise ServingError("serving.unknown_prompt", message)
        return self.prompts[name]

    def together(self, request: Judge | Write) -> Hashable:
        """What requests must have in common to go through the model together; a stream goes alone."""
        if isinstance(request, Judge):
            return "judge", self._sorted(request.prompts)
        stream = id(request) if request.on_text else 0
        return "write", request.prompt, request.decoding, request.choices, stream

    def work(self, requests: Sequence[Judge | Write]) -> list[Answers | Completions]:
        """Answer requests that go together.

        Raises:
            TemplateError, DataError, ModelError: What is wrong with any of them.
        """
        judged = [request for request in requests if isinstance(request, Judge)]
        return [*self._judge(judged)] if judged else [*self._write([r for r in requests if isinstance(r, Write)])]

    def decoding(self, name: str) -> Decoding:
        """How a prompt writes where nobody says otherwise: as it is evaluated and predicted with."""
        return self.find(name).ask.way_of_writing

    # --- judged answers

    def _judge(self, requests: Sequence[Judge]) -> list[Answers]:
        names = self._sorted(requests[0].prompts)
        examples = [example for request in requests for example in request.examples]
        found = iter(self._predictor(names).predict(examples))
        result = []
        for request in requests:
            rows = [dict(zip(names, next(found), strict=True)) for _ in request.examples]
            bars = {name: self._bar(name, request) for name in request.prompts}
            said = [{name: _withheld(row[name], bar) for name, bar in bars.items()} for row in rows]
            result.append(Answers(tuple(said), self._tokens(request) if request.count else 0))
        return result

    def _tokens(self, request: Judge) -> int:
        builders = [self.prompts[name].ask.builder for name in request.prompts]
        return sum(builder.lengths(example).prompt for builder in builders for example in request.examples)

    def _bar(self, name: str, request: Judge) -> float | None:
        return self.prompts[name].min_confidence if request.min_confidence is None else request.min_confidence

    def _sorted(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names in one order, whatever the order in which they are asked for."""
        return tuple(sorted(set(names), key=self._order.__getitem__))

    def _make_predictor(self, names: tuple[str, ...]) -> Predictor:
        asks = [self.prompts[name].ask for name in names]
        return Predictor(self.backbone, asks, batch_tokens=BATCH_TOKENS, chunk_rows=self.max_batch)

    # --- written answers

    def _write(self, requests: Sequence[Write]) -> list[Completions]:
        first = requests[0]
        examples = [example for request in requests for example in request.examples]
        decoding = first.decoding or self.decoding(first.prompt)
        rounds = []
        for choice in range(first.choices):
            seeded = decoding.model_copy(update={"seed": decoding.seed + choice}) if choice else decoding
            rounds.append(self._written(first.prompt, examples, seeded, first.on_text))
        result, begin = [], 0
        for request in requests:
            part = range(begin, begin := begin + len(request.examples))
            answers = tuple(answers[i] for i in part for answers, _ in rounds)
            result.append(Completions(answers, sum(rounds[0][1][i] for i in part)))
        return result

    def _written(
        self, name: str, examples: Sequence[Example], decoding: Decoding, on_text: Callable[[str], None] | None
    ) -> tuple[list[Completion], list[int]]:
        """Answers, and the tokens before each."""
        ask = self.prompts[name].ask
        rows = [ask.builder.row(example, target=False) for example in examples]
        within = [ask.constraint(example) for example in examples]
        told = None if on_text is None else _Teller(ask.builder.lead(examples[0]), on_text)
        found: dict[int, Completion] = {}
        for i, one in self._compiled(name).write(
            rows, decoding, within=within, batch_tokens=BATCH_TOKENS, on_token=told
        ):
            found[i] = Completion(ask.answer(one.text, examples[i]), len(one.ids), one.finished)
        return [found[i] for i in range(len(rows))], [num_tokens(row) for row in rows]

    def _make_compiled(self, name: str) -> CompiledModel:
        return CompiledModel(self.backbone, [self.prompts[name].ask.tensors])


class _Teller:
    """Passes the pieces of one answer on, without the blank that is the template's."""

    def __init__(self, lead: str, on_text: Callable[[str], None]) -> None:
        self._lead = lead
        self._held = ""
        self._on_text = on_text

    def __call__(self, piece: Piece) -> None:
        text = piece.text
        if self._lead:
            self._held += text
            if self._lead.startswith(self._held) and self._held != self._lead:
                return
            text, self._lead = self._held.removeprefix(self._lead), ""
        if text:
            self._on_text(text)


def _withheld(prediction: Prediction, bar: float | None) -> Prediction:
    return prediction if bar is None else replace(prediction, abstained=prediction.confidence < bar)
