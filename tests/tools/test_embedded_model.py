"""The toolchain of the embedded model, on a model of one layer and corpora of a few pages."""

import json
import math
import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from softprompt.core.stats import wilson
from softprompt.testing import tiny, tiny_tokenizer
from tools.embedded_model import corpus, export, grow, judge, prepare, shrink, train, vectors
from tools.embedded_model.bits import bits_per_byte, windows
from tools.embedded_model.checkpoint import FILE, STABLE_FILE, load_checkpoint
from tools.embedded_model.model import Shape, load_encoder, load_model, new_model
from tools.embedded_model.probe import encoder_states
from tools.embedded_model.schedule import Schedule
from tools.embedded_model.suite import Sample, SuiteTask
from tools.embedded_model.tokens import Blocks, token_files

WORDS = ["harbour", "kettle", "parcel", "lantern", "window", "river", "letter", "garden", "the", "a", "of", "was", "in"]


def write_corpus(path: Path, *, num_documents: int, seed: int) -> Path:
    rng = random.Random(seed)
    documents = [f"Title {i}\n" + " ".join(rng.choice(WORDS) for _ in range(120)) for i in range(num_documents)]
    corpus.write_documents(path, documents)
    return path


@pytest.fixture(scope="module", autouse=True)
def hold_out_more() -> Iterator[None]:
    """One piece in twenty, so that corpora of a few hundred pieces hold something out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "HELD_OUT_SHARE", 0.05)
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora, prepared: 400 and 100 documents."""
    folder = tmp_path_factory.mktemp("texts")
    first = write_corpus(folder / "letters.txt", num_documents=400, seed=1)
    second = write_corpus(folder / "notes.txt", num_documents=100, seed=2)
    prepare.main([str(first), str(second), "--out", str(folder / "data"), "--vocab-size", "300"])
    return folder / "data"


@pytest.fixture(autouse=True)
def keep_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def run_train(data: Path, out: Path, *extra: str) -> None:
    shape = ["--hidden", "64", "--layers", "1", "--intermediate", "64"]
    batch = ["--rows", "4", "--micro-rows", "2", "--lengths", "16", "32", "--warmup-steps", "2", "--threads", "1"]
    train.main([str(data), "--out", str(out), *shape, *batch, *extra])


def read_log(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


# ---------------------------------------------------------------- texts and tokens


@given(st.lists(st.text(alphabet="ab \n", min_size=0, max_size=400), max_size=5))
def test_cut_pieces_lose_nothing(paragraphs: list[str]) -> None:
    document = "\n\n".join(paragraph * 60 for paragraph in paragraphs)
    assert "\n\n".join(corpus.cut_pieces(document)) == document


def test_zst_reads_like_the_plain_file(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    plain = write_corpus(tmp_path / "letters.txt", num_documents=20, seed=3)
    packed = tmp_path / "letters.txt.zst"
    packed.write_bytes(zstandard.compress(plain.read_bytes()))
    assert list(corpus.draw_pieces(packed)) == list(corpus.draw_pieces(plain))


def test_held_out_texts_are_not_trained_on(prepared: Path) -> None:
    tokenizer = Tokenizer.from_file(str(prepared / "tokenizer.json"))
    ids = np.concatenate([np.fromfile(path, np.uint16) for path in token_files(prepared).values()])
    trained = tokenizer.decode(ids.tolist())
    held = [text for path in (prepared / "heldout").iterdir() for text in corpus.read_documents(path)]
    assert held
    assert not any(text.split("\n")[1] in trained for text in held)


def test_a_paragraph_of_the_held_out_part_is_dropped_elsewhere(tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "letters.txt", num_documents=400, seed=1)
    held = next(piece for is_held, piece in corpus.draw_pieces(path) if is_held)
    again = write_corpus(tmp_path / "copies.txt", num_documents=3, seed=4)
    with again.open("a", encoding="utf-8") as out:
        out.write("Copied\n" + held.split("\n")[1].upper() + "\n" + "fresh words of its own " * 20)
    prepare.main([str(path), str(again), "--out", str(tmp_path / "data"), "--vocab-size", "300"])
    tokenizer = Tokenizer.from_file(str(tmp_path / "data" / "tokenizer.json"))
    text = tokenizer.decode(np.fromfile(tmp_path / "data" / "train" / "copies.bin", np.uint16).tolist())
    assert "fresh words of its own" in text
    assert held.split("\n")[1].upper() not in text


def test_prepare_goes_on_where_it_stopped(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [str(prepared.parent / "letters.txt"), str(prepared.parent / "notes.txt")]
    arguments = [*texts, "--out", str(tmp_path), "--tokenizer", str(prepared / "tokenizer.json")]
    encode = prepare.encode_pieces
    calls = iter([encode])
    monkeypatch.setattr(prepare, "encode_pieces", lambda *args: next(calls)(*args))
    with pytest.raises(StopIteration):  # dies before the second corpus
        prepare.main(arguments)
    monkeypatch.setattr(prepare, "encode_pieces", encode)
    before = (tmp_path / "train" / "letters.bin").stat().st_mtime_ns
    prepare.main(arguments)
    assert (tmp_path / "train" / "letters.bin").stat().st_mtime_ns == before
    for name in ("letters", "notes"):
        assert (tmp_path / "train" / f"{name}.bin").read_bytes() == (prepared / "train" / f"{name}.bin").read_bytes()


def test_blocks_of_a_pass_are_each_read_once(prepared: Path) -> None:
    blocks = Blocks(token_files(prepared), length=32, seed=5)
    seen = {tuple(row) for row in blocks.batch(0, len(blocks)).tolist()}
    assert len(seen) == len(blocks)
    assert {tuple(row) for row in blocks.batch(len(blocks), len(blocks)).tolist()} == seen
    assert not torch.equal(blocks.batch(0, 8), blocks.batch(len(blocks), 8)), "another order in the second pass"


def test_a_share_of_half_reads_the_other_half_in_the_second_pass(prepared: Path) -> None:
    files = {"letters": token_files(prepared)["letters"]}
    half, whole = Blocks(files, length=32, shares={"letters": 0.5}), Blocks(files, length=32)
    first, second = ({tuple(r) for r in half.batch(start, len(half)).tolist()} for start in (0, len(half)))
    assert not first & second
    assert len(first | second) >= len(whole) - 1
    with pytest.raises(ValueError, match=r"no token file for \['poems'\]; there are \['letters'\]"):
        Blocks(files, length=32, shares={"poems": 1.0})


@given(st.integers(2, 60), st.integers(2, 20))
def test_windows_predict_every_token_but_the_first_once(num_tokens: int, length: int) -> None:
    predicted = [token for window in windows(np.arange(num_tokens), length) for token in window[1:]]
    assert predicted == list(range(1, num_tokens))


# ---------------------------------------------------------------- schedule


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 200))
def test_the_rate_rises_stays_and_falls(warmup: int, decay: int, decay_start: int) -> None:
    plan = Schedule(warmup_steps=warmup, decay_steps=decay)
    scales = [plan.scale(step, decay_start if step >= decay_start else None) for step in range(decay_start + decay)]
    top = max(scales)
    peak = scales.index(top)
    assert scales[: peak + 1] == sorted(scales[: peak + 1])
    assert scales[peak:] == sorted(scales[peak:], reverse=True)
    assert 0 < min(scales) <= top <= 1
    assert plan.is_over(decay_start + decay, decay_start)
    assert not plan.is_over(decay_start + decay - 1, decay_start)


def test_the_pace_of_the_first_steps_does_not_start_the_decay() -> None:
    plan = Schedule(warmup_steps=10, decay_steps=100, max_minutes=60)
    assert not plan.decay_is_due(1, minutes=1, minutes_per_step=1, asked=False)
    assert plan.decay_is_due(10, minutes=1, minutes_per_step=1, asked=False)


# ---------------------------------------------------------------- training


def test_training_learns_and_ships_a_loadable_model(prepared: Path, tmp_path: Path) -> None:
    run_train(prepared, tmp_path, "--steps", "60", "--decay-steps", "20")
    last = read_log(tmp_path)[-1]["held_out"]
    assert isinstance(last, dict)
    model, tokenizer = load_model(tmp_path / "model"), Tokenizer.from_file(str(prepared / "tokenizer.json"))
    texts = list(corpus.read_documents(prepared / "heldout" / "letters.txt"))
    shipped = bits_per_byte(model, tokenizer, texts, length=32)
    fresh = bits_per_byte(new_model(Shape(64, 1, 64, 300)), tokenizer, texts, length=32)
    assert shipped < 0.7 * fresh
    assert shipped == pytest.approx(last["letters"], rel=0.01), "what is shipped (bfloat16) is what was logged"


def test_killed_and_resumed_equals_uninterrupted(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--steps", "7", "--decay-steps", "3", "--save-minutes", "0"]
    run_train(prepared, tmp_path / "whole", *arguments)

    step = train.Run.step

    def dies_at_five(run: train.Run) -> float:
        if run.progress.step == 5:
            raise RuntimeError("killed")
        return step(run)

    monkeypatch.setattr(train.Run, "step", dies_at_five)
    with pytest.raises(RuntimeError, match="killed"):
        run_train(prepared, tmp_path / "killed", *arguments)
    monkeypatch.setattr(train.Run, "step", step)
    run_train(prepared, tmp_path / "killed", *arguments)

    assert [line["step"] for line in read_log(tmp_path / "killed") if "start" in line] == [0, 5]
    for name in (FILE, STABLE_FILE):
        whole, killed = load_checkpoint(tmp_path / "whole" / name), load_checkpoint(tmp_path / "killed" / name)
        assert all(torch.equal(whole.model[key], killed.model[key]) for key in whole.model)
        for mine, other in zip(whole.optimisers, killed.optimisers, strict=True):
            assert all(torch.equal(mine[i][key], other[i][key]) for i in mine for key in mine[i])


def test_other_settings_are_refused_on_resume(prepared: Path, tmp_path: Path) -> None:
    run_train(prepared, tmp_path, "--steps", "1", "--decay-steps", "1")
    with pytest.raises(ValueError, match=r"muon_lr: 0\.02, now 0\.5"):
        run_train(prepared, tmp_path, "--steps", "1", "--decay-steps", "1", "--muon-lr", "0.5")


def test_a_decay_file_ends_the_run(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "DECAY").touch()
    run_train(prepared, tmp_path, "--decay-steps", "4")  # neither steps nor minutes: it would go on for ever
    assert load_checkpoint(tmp_path / FILE).progress.step == 4


def test_a_signal_leaves_a_checkpoint_that_exports(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = train.Run.step

    def asks_to_stop(run: train.Run) -> float:
        run.stop_asked = run.progress.step == 1
        return step(run)

    monkeypatch.setattr(train.Run, "step", asks_to_stop)
    run_train(prepared, tmp_path)
    assert "stopped" in read_log(tmp_path)[-1]
    assert not (tmp_path / "model").exists()
    source, target = tmp_path / FILE, tmp_path / "exported"
    export.main([str(source), "--tokenizer", str(prepared / "tokenizer.json"), "--out", str(target)])
    weights, shipped = load_checkpoint(source).model, dict(load_model(target).named_parameters())
    assert all(torch.equal(shipped[name], weights[name].bfloat16().float()) for name in weights)


# ---------------------------------------------------------------- vectors of meaning, and growing


def test_words_of_one_topic_point_the_same_way() -> None:
    rng = np.random.default_rng(0)
    topics = rng.integers(0, 2, size=4000)
    stream = (topics[:, None] * 5 + rng.integers(0, 5, size=(4000, 8))).ravel()  # words 0-4 or 5-9, eight at a time
    found = vectors.directions(vectors.count_neighbours([stream], 10), 2)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(10), abs=1e-4)
    near = found @ found.T
    same = np.equal.outer(np.arange(10) // 5, np.arange(10) // 5)
    assert near[same].min() > near[~same].max() + 0.5


def test_neighbours_are_counted_on_both_sides_and_not_across_corpora() -> None:
    counts = vectors.count_neighbours([np.array([0, 1] * 4), np.array([2, 2, 2, 2])], 3, window=1).toarray()
    assert counts.tolist() == [[0, 7, 0], [7, 0, 0], [0, 0, 6]]


def test_rare_tokens_tell_more() -> None:
    found = vectors.weights(np.array([1000, 10, 10, 0]), np.array([0, 1, 1, 2]))
    assert found[0] < found[1] == found[2] < found[3] == 1


@pytest.fixture(scope="module")
def with_vectors(prepared: Path) -> Path:
    vectors.main([str(prepared), "--size", "128"])
    return prepared


def test_a_grown_model_says_what_it_said(with_vectors: Path, tmp_path: Path) -> None:
    run_train(with_vectors, tmp_path, "--steps", "60", "--decay-steps", "20", "--hidden", "128")
    torch.manual_seed(0)
    grow.main([str(tmp_path / "model"), str(with_vectors), "--out", str(tmp_path / "grown")])
    narrow, wide = load_model(tmp_path / "model"), load_model(tmp_path / "grown")
    assert wide.config.hidden_size == 256
    assert wide.config.num_attention_heads == 4
    tokenizer = Tokenizer.from_file(str(with_vectors / "tokenizer.json"))
    texts = list(corpus.read_documents(with_vectors / "heldout" / "letters.txt"))
    before, after = (bits_per_byte(model, tokenizer, texts, length=32) for model in (narrow, wide))
    assert after == pytest.approx(before, rel=0.05)


def test_the_other_objectives_are_learnt_and_resumed(with_vectors: Path, tmp_path: Path) -> None:
    run_train(with_vectors, tmp_path / "short", "--steps", "1", "--decay-steps", "1")
    grow.main(
        [str(tmp_path / "short/model"), str(with_vectors), "--out", str(tmp_path / "grown"), "--intermediate", "64"]
    )
    asked = ["--init", str(tmp_path / "grown"), "--gist", "0.5", "--neighbours", "0.2", "--ask-every", "2"]
    run_train(with_vectors, tmp_path / "run", *asked, "--lengths", "16", "32", "--steps", "40", "--decay-steps", "10")
    told = [line for line in read_log(tmp_path / "run") if "gist" in line]
    assert told[-1]["gist"] < 0.9 * told[0]["gist"]
    assert told[-1]["neighbours"] > 0


def test_a_smaller_vocabulary_still_writes_everything(with_vectors: Path, tmp_path: Path) -> None:
    run_train(with_vectors, tmp_path, "--steps", "1", "--decay-steps", "1")
    source, out = tmp_path / "model", tmp_path / "cut"
    shrink.main([str(source), "--vocab-size", "280", "--vectors", str(with_vectors / vectors.FILE), "--out", str(out)])
    model, tokenizer = load_model(out), Tokenizer.from_file(str(out / "tokenizer.json"))
    assert (model.config.vocab_size, tokenizer.get_vocab_size()) == (280, 280)
    whole = load_model(source)
    assert torch.equal(model.model.embed_tokens.weight, whole.model.embed_tokens.weight[:280])
    text = "The kettle by the window, \u00e9t\u00e9 12"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == text
    assert max(ids) < 280
    cut, before = (vectors.load_vectors(folder)[0] for folder in (out, with_vectors))
    assert np.array_equal(cut, before[:280])


def test_feed_forward_blocks_do_not_shrink(with_vectors: Path, tmp_path: Path) -> None:
    run_train(with_vectors, tmp_path, "--steps", "1", "--decay-steps", "1")
    with pytest.raises(ValueError, match="less than the old 64"):
        grow.main(
            [str(tmp_path / "model"), str(with_vectors), "--out", str(tmp_path / "grown"), "--intermediate", "32"]
        )


# ---------------------------------------------------------------- judging


def test_the_bits_of_a_uniform_model_are_known() -> None:
    tokenizer = Tokenizer.from_file("src/softprompt/assets/embedded/tokenizer.json")
    model = new_model(Shape(64, 1, 64, tokenizer.get_vocab_size()))
    with torch.no_grad():
        model.lm_head.weight.zero_()
    text = "A parcel stood in the window of the harbour office, and nobody had asked for it."
    num_tokens = len(tokenizer.encode(text, add_special_tokens=False).ids)
    expected = num_tokens * math.log2(tokenizer.get_vocab_size()) / len(text)
    assert bits_per_byte(model, tokenizer, [text], length=8) == pytest.approx(expected, rel=1e-3)


def test_padding_does_not_change_a_state(prepared: Path) -> None:
    from tools.embedded_model.probe import text_states

    torch.manual_seed(0)
    model, tokenizer = new_model(Shape(64, 1, 64, 300)), Tokenizer.from_file(str(prepared / "tokenizer.json"))
    texts = ["the kettle", "a letter of the river in the garden was a lantern", ""]
    alone = np.concatenate([text_states(model, tokenizer, [text]) for text in texts])
    np.testing.assert_allclose(text_states(model, tokenizer, texts), alone, atol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


def test_judge_writes_what_it_prints(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_train(prepared, tmp_path, "--steps", "2", "--decay-steps", "1")
    kinds = [("bad kettle", "down"), ("good river", "up")]
    rows = [{"text": f"{text} {i}", "tone": tone} for i in range(30) for text, tone in kinds]
    for part, chosen in (("train", rows[:40]), ("test", rows[40:])):
        (tmp_path / f"{part}.jsonl").write_text("\n".join(json.dumps(row) for row in chosen))
    suite = f'[[task]]\nname = "tone"\ntrain = "{tmp_path}/train.jsonl"\ntest = "{tmp_path}/test.jsonl"\n'
    (tmp_path / "suite.toml").write_text(suite + 'texts = ["text"]\nlabel = "tone"\n')
    arguments = ["--suite", str(tmp_path / "suite.toml"), "--rows", "40", "1000", "--seeds", "2", "--threads", "1"]
    arguments += ["--heldout", str(prepared / "heldout"), "--json", str(tmp_path / "report.json")]
    judge.main([str(tmp_path / "model"), *arguments])
    report, printed = json.loads((tmp_path / "report.json").read_text()), capsys.readouterr().out
    scores = {entry["method"]: entry for entry in report["accuracy"]}
    assert list(scores) == ["majority", "TF-IDF + logistic regression", "linear probe, model"]
    assert scores["majority"]["accuracy"] == 0.5
    assert scores["TF-IDF + logistic regression"]["accuracy"] == 1.0
    assert scores["majority"]["low"] == wilson(10, 20).low
    assert f"{report['bits_per_byte']['model']['letters']:.3f}" in printed
    assert "| tone | 20 | 50.0 [29.9, 70.1] | 100.0" in printed


def test_judge_tunes_prompts_on_request(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_train(prepared, tmp_path, "--steps", "2", "--decay-steps", "1")
    asked = {}

    def tune(task, **given):
        asked.update(given)
        return real(task, **{**given, "training": {**given["training"], "steps": 2, "rate": 0.1, "evaluations": 1}})

    real = judge.sp.tune
    monkeypatch.setattr(judge.sp, "tune", tune)
    texts = [f"{word} {i}" for word in ("bad kettle", "good river") for i in range(20)]
    labels = ["a"] * 20 + ["b"] * 20
    answer = dict(judge.methods([tmp_path / "model"], effort="quick"))["soft prompt, model"]
    said = answer(Sample(texts, labels, ["bad kettle", "good river"], ["a", "b"]))
    assert len(said) == 2
    assert set(said) <= {"a", "b"}
    assert asked["training"] == {"effort": "quick"}
    assert "soft prompt, model" not in dict(judge.methods([tmp_path / "model"]))


def test_a_sentence_encoder_is_probed_beside_the_model(tmp_path: Path) -> None:
    backbone = tiny("bert")
    backbone.model.save_pretrained(tmp_path / "minilm")
    tiny_tokenizer().save_pretrained(tmp_path / "minilm")
    encode = partial(encoder_states, *load_encoder(tmp_path / "minilm"))
    texts = ["short", "a text of some more words", "other"]
    together = encode(texts)
    np.testing.assert_allclose(together[[0]], encode(texts[:1]), atol=1e-5)  # padding changes nothing
    names = [name for name, _ in judge.methods([], encoders=[tmp_path / "minilm"])]
    assert names[-1] == "linear probe, minilm"


def test_a_draw_of_training_rows_is_seeded(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"a": str(i), "b": "x", "label": i % 3}) for i in range(30)))
    task = SuiteTask("t", path, path, ("a", "b"), "label")
    first, again, other = (task.sample(num_rows=10, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert first is not None
    assert first.test_texts[:2] == ["0 x", "1 x"]
    assert task.sample(num_rows=31, seed=0) is None
