"""PEFT as a peer on encoders and encoder-decoders: what it scores is what it learns, and a training is made once."""

from pathlib import Path

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration, BertConfig, BertForSequenceClassification

from benchmarks.contest.outcomes import Work
from benchmarks.contest.problems import Problem, problem_of
from benchmarks.survey.peft_peers import PEERS, PeftPeer, PeftWords
from softprompt.core.records import Example
from softprompt.core.tasks import Task
from softprompt.data.dataset import Dataset
from softprompt.testing import tiny_tokenizer

VOCABULARY, END = 400, 257

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks for it


@pytest.fixture
def problem() -> Problem:
    task = Task.classify(["good", "not so good"])
    rows = [Example({"text": f"thing {i}"}, task.names[i % 2], id=str(i)) for i in range(40)]
    pool, judged = (Dataset(tuple(part), classes=task.names) for part in (rows[:30], rows[30:]))
    return problem_of("moods", task, pool, judged, rows=20)


def peer(kind: str, problem: Problem, folder: Path) -> PeftPeer:
    torch.manual_seed(0)
    if kind == "masked":
        shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        bert = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=64, pad_token_id=0, **shape)
        BertForSequenceClassification(bert).save_pretrained(folder)
    else:
        sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 1), ("ffn_dim", 16))}
        heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
        marks = {"pad_token_id": 0, "bos_token_id": 256, "eos_token_id": END, "decoder_start_token_id": END}
        bart = BartConfig(vocab_size=VOCABULARY, d_model=16, max_position_embeddings=64, **sizes, **heads, **marks)
        BartForConditionalGeneration(bart).save_pretrained(folder)
    tokenizer = tiny_tokenizer("$A <eos>")
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    return PEERS[kind](folder, problem, steps=2, work=Work(folder / "work"), batch_size=4)


@pytest.mark.parametrize("kind", sorted(PEERS))
def test_a_training_judges_every_row_and_is_made_once(kind: str, problem: Problem, tmp_path: Path) -> None:
    one = peer(kind, problem, tmp_path)
    found = one.outcome((0, 1))
    assert found.table.shape == (2, len(problem.judged))
    assert set(found.details["grid"]) == {f"{rate:g}" for rate in one.rates}
    one.train = None  # type: ignore[method-assign, assignment]
    assert one.outcome((0, 1)) == found


def test_words_are_scored_by_their_whole_likelihood(problem: Problem, tmp_path: Path) -> None:
    one = peer("seq2seq", problem, tmp_path)
    assert isinstance(one, PeftWords)
    model = one.model().eval()
    rows = problem.train.rows[:3]
    with torch.no_grad():
        scores = one.scores(model, rows)
        for n, row in enumerate(rows):
            answer = one.tokenizer(str(row.target), add_special_tokens=False)["input_ids"]
            right = -float(one.loss(model, [row])) * (len(answer) + 1)
            assert float(scores[n, one.labels([row])]) == pytest.approx(right, rel=1e-4)
