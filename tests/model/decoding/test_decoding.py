"""Decoding against transformers' generate on single rows; batch mates, shared readings and compiling change nothing."""

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones.causal import CausalBackbone
from softprompt.model.decoding import Choices, Decoded, Decoding, Piece, decode, loop
from softprompt.testing import FAMILIES, tiny

EOS = 257
TEXTS = [(5, 6, 7, 8, 9, 10, 11, 12, 13, 14), (40,), (90, 91, 92, 93), (5, 6, 7), (200, 3, 200, 3, 200, 3, 200)]
every_family = pytest.mark.parametrize("family", FAMILIES)
some_families = pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "bloom"])
METHODS = [
    Decoding(max_new_tokens=8),
    Decoding(method="sample", max_new_tokens=8, top_p=0.95, temperature=0.8),
    Decoding(method="beam", max_new_tokens=8, num_beams=3, length_penalty=0.5),
]
CASES = [
    *((family, METHODS[0]) for family in ("llama", "gpt2", "opt", "mistral", "gemma3", "bloom")),
    *((family, METHODS[1]) for family in ("llama", "gpt2")),
    *((family, METHODS[2]) for family in ("mistral", "bloom")),
]
cases = pytest.mark.parametrize(("family", "settings"), CASES, ids=lambda case: getattr(case, "method", case))
every_method = pytest.mark.parametrize("settings", METHODS, ids=lambda settings: settings.method)


@cache
def backbone(family: str = "llama", dtype: torch.dtype = torch.float64) -> CausalBackbone:
    made = tiny(family, dtype=dtype)
    assert isinstance(made, CausalBackbone)
    return made


def prompt(model: CausalBackbone, seed: int, length: int = 3) -> PromptTensors:
    vectors = torch.randn(length, model.spec.embed_dim, generator=torch.Generator().manual_seed(seed))
    return PromptTensors({"soft": SlotTensors(embed=vectors * 0.5)})


def plain(ids: Sequence[int]) -> Row:
    return Row((Node(Text(tuple(ids), "text")),))


def after(ids: Sequence[int], k: int = 0) -> Row:
    """``{text}<soft 3>`` before two words."""
    return Row((Node(Text(tuple(ids), "text")), Node(Soft("soft", 3, k), 0), Node(Text((58, 32)), 1)))


def before(ids: Sequence[int], k: int = 0) -> Row:
    """``<soft 3>{text}`` behind a word."""
    return Row((Node(Text((61,))), Node(Soft("soft", 3, k), 0), Node(Text(tuple(ids), "text"), 1)))


def oracle(model: CausalBackbone, row: Row, prompts: Sequence[PromptTensors], **arguments: Any) -> Any:
    """What transformers generates for one row; sequences hold the new tokens only."""
    parts = []
    for node in row.nodes:
        if isinstance(node.segment, Soft):
            vectors = prompts[node.segment.prompt_index].slots["soft"].embed
            assert vectors is not None
            parts.append(vectors.to(model.spec.dtype))
        elif isinstance(node.segment, Text):
            parts.append(model.embed(torch.tensor(node.segment.ids)))
    embeds = torch.cat(parts)[None]
    return model.model.generate(
        inputs_embeds=embeds,
        attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long),
        pad_token_id=258,
        return_dict_in_generate=True,
        output_scores=True,
        **{"do_sample": False, "eos_token_id": EOS, **arguments},
    )


def ending(
    settings: Decoding, model: CausalBackbone, rows: Sequence[Row], prompts: Sequence[PromptTensors]
) -> Decoding:
    """The settings with terminators that these rows do write, at different steps; random models meet none by chance."""
    free = decode(model, rows, prompts, settings)
    found = {answer.ids[min(2 + 2 * n, len(answer.ids) - 1)] for n, answer in enumerate(free[:3])}
    return Decoding(**{**settings.model_dump(), "terminators": tuple(sorted(found))})


def close(answers: Sequence[Decoded], others: Sequence[Decoded], tolerance: float = 1e-6) -> None:
    assert [(a.ids, a.text, a.finished) for a in answers] == [(b.ids, b.text, b.finished) for b in others]
    assert [a.logprob for a in answers] == pytest.approx([b.logprob for b in others], abs=tolerance)


# --- transformers as the judge


@every_family
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_greedy_is_what_transformers_generates(family: str, dtype: torch.dtype):
    model = backbone(family, dtype)
    prompts = [prompt(model, 0), prompt(model, 1)]
    rows = [plain(TEXTS[0]), after(TEXTS[1]), before(TEXTS[2], 1), after(TEXTS[4], 1)]
    settings = ending(Decoding(max_new_tokens=10), model, rows, prompts)
    answers = decode(model, rows, prompts, settings)
    for row, answer in zip(rows, answers, strict=True):
        expected = oracle(model, row, prompts, max_new_tokens=10, eos_token_id=[EOS, *settings.terminators])
        assert list(answer.ids) == expected.sequences[0].tolist()
        scores = torch.stack(expected.scores).squeeze(1).double().log_softmax(-1)
        total = scores.gather(1, torch.tensor(answer.ids)[:, None]).sum().item()
        assert answer.logprob == pytest.approx(total, abs=1e-4)
        assert answer.finished == ("terminator" if answer.ids[-1] in settings.terminators else "length")


@some_families
@pytest.mark.parametrize(("beams", "penalty"), [(4, 1.0), (2, 0.0), (3, 2.0)])
def test_beams_find_what_transformers_finds(family: str, beams: int, penalty: float):
    model = backbone(family)
    prompts = [prompt(model, 0)]
    rows = [plain(TEXTS[0]), after(TEXTS[2]), before(TEXTS[4])]
    settings = Decoding(method="beam", num_beams=beams, max_new_tokens=9, length_penalty=penalty, min_new_tokens=2)
    settings = ending(settings, model, rows, prompts)
    answers = decode(model, rows, prompts, settings)
    for row, answer in zip(rows, answers, strict=True):
        expected = oracle(
            model,
            row,
            prompts,
            num_beams=beams,
            max_new_tokens=9,
            min_new_tokens=2,
            length_penalty=penalty,
            eos_token_id=[EOS, *settings.terminators],
        )
        wanted = expected.sequences[0].tolist()
        assert list(answer.ids) == wanted[: len(answer.ids)]
        assert all(token == 258 for token in wanted[len(answer.ids) :]), "padding only"
        score = answer.logprob / len(answer.ids) ** penalty
        assert score == pytest.approx(expected.sequences_scores[0].item(), abs=1e-4)


def test_beams_meet_terminators_and_the_length():
    """What keeps the comparison with transformers honest: both ways to end occur, at different lengths."""
    model = backbone()
    rows = [plain(text) for text in TEXTS]
    answers = decode(model, rows, settings=ending(METHODS[2], model, rows, ()))
    assert {answer.finished for answer in answers} == {"terminator", "length"}
    assert len({len(answer.ids) for answer in answers}) > 2


@pytest.mark.parametrize("minimum", [0, 5])
def test_a_terminator_waits_for_the_minimum(minimum: int):
    model = backbone()
    first = decode(model, [plain(TEXTS[0])], settings=Decoding(max_new_tokens=1))[0].ids
    settings = Decoding(max_new_tokens=6, min_new_tokens=minimum, terminators=first)
    answer = decode(model, [plain(TEXTS[0])], settings=settings)[0]
    expected = oracle(model, plain(TEXTS[0]), (), max_new_tokens=6, min_new_tokens=minimum, eos_token_id=[EOS, *first])
    assert list(answer.ids) == expected.sequences[0].tolist()
    assert (len(answer.ids) == 1) == (minimum == 0)


# --- laws


@cases
def test_batch_mates_change_nothing(family: str, settings: Decoding):
    model = backbone(family)
    prompts = [prompt(model, 0), prompt(model, 1, 3)]
    rows = [before(TEXTS[0], 1), plain(TEXTS[1]), after(TEXTS[2]), after(TEXTS[3], 1), plain(TEXTS[4])]
    settings = ending(settings, model, rows, prompts)
    together = decode(model, rows, prompts, settings)
    assert [answer.row for answer in together] == list(range(5))
    assert [answer.prompt for answer in together] == [1, 0, 0, 1, 0]
    close(together, [decode(model, [row], prompts, settings)[0] for row in rows])
    close(decode(model, rows[::-1], prompts, settings), together[::-1])
    assert len({len(answer.ids) for answer in together}) > 1, "rows leave the batch at different steps"


def test_a_shared_generator_would_be_noticed(monkeypatch: pytest.MonkeyPatch):
    """The planted bug of the law above: draws that depend on the batch."""
    shared = random.Random(0)
    monkeypatch.setattr(loop, "row_random", lambda path, seed: shared)
    with pytest.raises(AssertionError):
        test_batch_mates_change_nothing("llama", METHODS[1])


@cases
def test_a_compiled_prompt_writes_what_the_prompt_writes(family: str, settings: Decoding):
    model = backbone(family)
    prompts = [prompt(model, 0), prompt(model, 1)]
    rows = [before(text) for text in TEXTS[:3]]
    settings = ending(settings, model, rows, prompts)
    compiled = model.read(Batch((rows[0],)), prompts, frozen="field")
    assert compiled.lengths == (4,)
    close(decode(model, rows, prompts, settings, prefix=compiled), decode(model, rows, prompts, settings))
    mixed = [before(TEXTS[0]), before(TEXTS[1], 1)]
    both = State.stack([compiled, model.read(Batch((mixed[1],)), prompts, frozen="field")])
    close(decode(model, mixed, prompts, settings, prefix=both), decode(model, mixed, prompts, settings))


@every_method
def test_an_empty_field_after_a_compiled_prompt(settings: Decoding):
    model = backbone()
    prompts = [prompt(model, 0)]
    rows = [before(()), before(TEXTS[0])]
    compiled = model.read(Batch((rows[1],)), prompts, frozen="field")
    close(decode(model, rows, prompts, settings, prefix=compiled), decode(model, rows, prompts, settings))


@cases
def test_branches_answer_as_rows_of_their_own(family: str, settings: Decoding, monkeypatch: pytest.MonkeyPatch):
    model = backbone(family)
    prompts = [prompt(model, k) for k in range(3)]
    text = Node(Text(TEXTS[0], "text"))
    soft = [(Node(Soft("soft", 3, k), 0), Node(Text((58, 32)), 1 + 2 * k)) for k in range(3)]
    tree = Row((text, *(node for pair in soft for node in pair)))
    alone = decode(model, [after(TEXTS[0], k) for k in range(3)], prompts, settings)
    read: list[int] = []
    original = model.read

    def spy(batch: Batch, *args: Any, **kwargs: Any) -> State:
        state = original(batch, *args, **kwargs)
        read.extend(state.lengths)
        return state

    monkeypatch.setattr(model, "read", spy)
    branches = decode(model, [plain(TEXTS[1]), tree], prompts, settings)[1:]
    assert read.count(len(TEXTS[0])) == 1, "the text is read once"
    assert [(answer.row, answer.prompt) for answer in branches] == [(1, 0), (1, 1), (1, 2)]
    close(branches, alone)


def test_rows_with_equal_beginnings_are_read_once(monkeypatch: pytest.MonkeyPatch):
    model = backbone()
    prompts = [prompt(model, 0), prompt(model, 1)]
    rows = [after(TEXTS[0]), after(TEXTS[1]), after(TEXTS[0], 1)]
    alone = [decode(model, [row], prompts, METHODS[0])[0] for row in rows]
    read: list[tuple[int, ...]] = []
    original = model.read
    monkeypatch.setattr(
        model, "read", lambda *args, **kwargs: (state := original(*args, **kwargs), read.append(state.lengths))[0]
    )
    close(decode(model, rows, prompts, METHODS[0]), alone)
    assert read == [(len(TEXTS[0]), len(TEXTS[1]))]


@cases
def test_the_logprob_is_the_score_of_the_answer(family: str, settings: Decoding):
    """Law 9: written or scored, an answer has one log-probability, terminator included."""
    model = backbone(family)
    prompts = [prompt(model, 0)]
    rows = [after(text) for text in TEXTS]
    settings = ending(settings, model, rows, prompts)
    for answer, row in zip(decode(model, rows, prompts, settings), rows, strict=True):
        scored = model.forward(Batch((Row((*row.nodes, Node(Answer(answer.ids), 2))),)), prompts)
        assert scored.answers[0].scores.item() == pytest.approx(answer.logprob, abs=1e-4)


@every_method
def test_low_precision_runs(settings: Decoding):
    model = backbone("llama", torch.bfloat16)
    answers = decode(model, [after(text) for text in TEXTS], [prompt(model, 0)], settings)
    for answer in answers:
        assert 1 <= len(answer.ids) <= 8
        assert -100 < answer.logprob < 0


# --- ends


@pytest.mark.parametrize(("family", "settings"), list(zip(["llama", "gpt2", "opt"], METHODS, strict=True)))
def test_a_full_context_ends_an_answer(family: str, settings: Decoding):
    model = backbone(family)
    limit = model.spec.max_positions
    rows = [plain([7] * (limit - 2)), plain(TEXTS[0]), plain([9] * limit)]
    answers = decode(model, rows, settings=settings)
    assert [len(answer.ids) for answer in answers] == [3, 8, 1]
    assert {answer.finished for answer in answers} == {"length"}
    close(answers[1:2], decode(model, rows[1:2], settings=settings))


def test_a_row_longer_than_the_context_is_an_error():
    with pytest.raises(ModelError, match=r"model\.too_long"):
        decode(backbone("gpt2"), [plain([7] * 257)])


def test_a_row_without_a_token_is_an_error():
    with pytest.raises(ModelError, match=r"model\.empty_row"):
        decode(backbone(), [plain(TEXTS[0]), plain(())])


def test_no_rows_no_answers():
    assert decode(backbone(), []) == []


@pytest.mark.parametrize("method", ["greedy", "sample", "beam"])
def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(method: str):
    model = backbone()
    free = decode(model, [plain(TEXTS[0])], settings=Decoding.parse({"method": method, "max_new_tokens": 30}))[0]
    stop = free.text[2:4]
    settings = Decoding.parse({"method": method, "max_new_tokens": 30, "stop": [stop, "never"]})
    answer = decode(model, [plain(TEXTS[0])], settings=settings)[0]
    assert len(stop) == 2
    assert stop not in answer.text
    assert answer.finished == "stop"
    if method != "beam":  # a beam that ends early is another answer
        assert answer.text == free.text[: free.text.index(stop)]
        assert answer.ids == free.ids[: len(answer.ids)]


# --- streaming


@every_method
def test_tokens_are_told_in_order_and_their_text_adds_up(settings: Decoding):
    model = backbone()
    told: list[Piece] = []
    answers = decode(model, [plain(text) for text in TEXTS], settings=settings, on_token=told.append)
    for index, answer in enumerate(answers):
        mine = [piece for piece in told if piece.index == index]
        assert tuple(piece.token for piece in mine) == answer.ids
        assert "".join(piece.text for piece in mine) == answer.text
        assert {(piece.row, piece.prompt) for piece in mine} == {(answer.row, answer.prompt)}
    if settings.method != "beam":
        steps = [sum(piece.index == other.index for other in told[:n]) for n, piece in enumerate(told)]
        assert steps == sorted(steps), "all rows' first tokens, then their second ones"


def test_whoever_listens_can_end_the_decoding():
    class EnoughError(Exception):
        pass

    def listen(piece: Piece) -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        decode(backbone(), [plain(TEXTS[0])], on_token=listen)


# --- constraints

ANSWERS = [(80, 81, EOS), (80, 81, 82, EOS), (90, EOS), (33, 34, 35, 36, EOS)]


@cases
def test_constrained_answers_are_valid(family: str, settings: Decoding):
    model = backbone(family)
    for answer in decode(model, [plain(text) for text in TEXTS], settings=settings, constraint=Choices(ANSWERS)):
        assert answer.ids in ANSWERS
        assert answer.finished == "terminator"


@some_families
@pytest.mark.parametrize("beams", [1, 3])
def test_constraints_choose_as_in_transformers(family: str, beams: int):
    model = backbone(family)
    choices = Choices(ANSWERS)
    settings = Decoding(method="beam", num_beams=beams) if beams > 1 else Decoding()
    for text in TEXTS[:3]:
        row = plain(text)
        expected = oracle(
            model,
            row,
            (),
            max_new_tokens=64,
            num_beams=beams,
            prefix_allowed_tokens_fn=lambda _, ids: choices.allowed(tuple(ids.tolist()), room=64) or [EOS],
        )
        answer = decode(model, [row], settings=settings, constraint=choices)[0]
        assert list(answer.ids) == expected.sequences[0].tolist()[: len(answer.ids)]


def test_beams_over_choices_find_the_best_choice():
    """As many beams as answers: the search is exact, and the log-probability is the model's own."""
    model = backbone()
    settings = Decoding(method="beam", num_beams=4, length_penalty=0.0)
    for text in TEXTS:
        nodes = (Node(Text(text, "text")), *(Node(Answer(ids, c), 0) for c, ids in enumerate(ANSWERS)))
        scores = model.forward(Batch((Row(nodes),))).answers[0].scores
        answer = decode(model, [plain(text)], settings=settings, constraint=Choices(ANSWERS))[0]
        assert answer.ids == ANSWERS[int(scores.argmax())]
        assert answer.logprob == pytest.approx(scores.max().item(), abs=1e-4)


@pytest.mark.parametrize(("limit", "valid"), [(2, {(90, EOS)}), (3, {(90, EOS), (80, 81, EOS)})])
@pytest.mark.parametrize("method", ["greedy", "sample", "beam"])
def test_a_constrained_answer_is_never_cut(limit: int, valid: set[tuple[int, ...]], method: str):
    settings = Decoding.parse({"method": method, "max_new_tokens": limit})
    rows = [plain(text) for text in TEXTS]
    assert {a.ids for a in decode(backbone(), rows, settings=settings, constraint=Choices(ANSWERS))} <= valid


@pytest.mark.parametrize("method", ["greedy", "sample", "beam"])
def test_where_no_allowed_answer_fits_nothing_is_written(method: str):
    settings = Decoding.parse({"method": method, "max_new_tokens": 1})
    rows = [plain(TEXTS[0]), plain(TEXTS[1])]
    answers = decode(backbone(), rows, settings=settings, constraint=[Choices(ANSWERS), None])
    assert (answers[0].ids, answers[0].text, answers[0].finished) == ((), "", "length")
    close(answers[1:], decode(backbone(), rows[1:], settings=settings))
    assert len(answers[1].ids) == 1


def test_constraints_by_row():
    constraints = [Choices([(80, EOS)]), Choices([(81, 82, EOS), (81, 83, EOS)]), Choices([(84,)])]
    answers = decode(backbone(), [plain(text) for text in TEXTS[:3]], constraint=constraints)
    assert answers[0].ids == (80, EOS)
    assert answers[1].ids in constraints[1].answers
    assert (answers[2].ids, answers[2].finished) == ((84,), "stop"), "complete without a terminator"
