"""Rows: segments as tokens, answers, targets, cutting, and every way in which a row can go wrong."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.core.errors import DataError, TemplateError
from softprompt.core.records import Answer, Example, Readout, Row, Soft, Text, content_hash, merge
from softprompt.core.tasks import Task
from softprompt.core.tokens import Tokenizer
from softprompt.model.templates import RowBuilder, Template
from tests.model.templates.tokenizers import Toy

TASK = Task.classify({"B": "billing", "D": "delivery", "L": "del"})
AFTER = "{bos}{text}<soft 4> It was {answer}"
TEXTS = st.text(max_size=60) | st.text(st.sampled_from("ab \n日é😀<|endoftext|>"), max_size=60)


def build(text: str = AFTER, task: Task = TASK, tokenizer: Tokenizer | None = None, **settings: object) -> RowBuilder:
    template = {key: settings.pop(key) for key in ("truncate", "keep", "strip") if key in settings}
    settings.setdefault("max_tokens", 100)
    return RowBuilder(Template.parse(text, **template), task, tokenizer or Toy(), **settings)


def prompt_ids(row: Row) -> list[int]:
    """Ids of all text before the answers."""
    return [i for node in row.nodes if isinstance(node.segment, Text) for i in node.segment.ids]


def answers(row: Row) -> list[tuple[int, ...]]:
    return [node.segment.ids for node in row.nodes if isinstance(node.segment, Answer)]


# ---------------------------------------------------------------- shape


def test_a_row_is_a_chain_with_answers_as_siblings(tokenizer: Tokenizer) -> None:
    builder = build(tokenizer=tokenizer)
    row = builder.row(Example({"text": "Where is it?"}, target="D", weight=2.0, group="ann"), prompt_index=3)
    kinds = [type(node.segment) for node in row.nodes]
    assert kinds == [Text, Text, Soft, Text, Answer, Answer, Answer]
    assert [node.parent for node in row.nodes] == [None, 0, 1, 2, 3, 3, 3]
    assert [node.segment.field for node in row.nodes if isinstance(node.segment, Text)] == [None, "text", None]
    assert row.nodes[2].segment == Soft("soft", 4, 3)
    assert row.nodes[3].segment == Text(tokenizer.encode(" It was"))
    for index, say in enumerate(TASK.says):
        assert row.nodes[4 + index].segment == Answer((*tokenizer.encode(" " + say), tokenizer.eos_id), index, 3)
    assert (dict(row.target), row.weight, row.group) == ({3: 1}, 2.0, "ann")
    assert row.id == content_hash((tokenizer.bos_id, *tokenizer.encode("Where is it?")))


def test_rows_of_one_text_merge_into_one_reading() -> None:
    topic, tone = build(), build("{bos}{text}<soft 2> The tone: {answer}", Task.classify(["good", "bad"]))
    example = Example({"text": "Where is it?"}, target="D")
    rows = [topic.row(example), tone.row(Example(example.fields, target="bad"), prompt_index=1)]
    assert rows[0].id == rows[1].id
    both = merge(rows)
    assert sum(isinstance(node.segment, Text) and node.segment.field == "text" for node in both.nodes) == 1
    assert dict(both.target) == {0: 1, 1: 1}


def test_before_shares_nothing_but_the_beginning() -> None:
    builder = build("{bos}<soft 4>{text} It was {answer}")
    row = builder.row(Example({"text": "hi"}))
    assert row.trunk(0) == (0,)
    assert row.id == content_hash([Toy().bos_id])


def test_a_model_without_beginning_of_sequence_gets_none() -> None:
    with_bos = build().row(Example({"text": "hi"}))
    without = build(tokenizer=Toy(bos=False)).row(Example({"text": "hi"}))
    assert prompt_ids(without) == prompt_ids(with_bos)[1:]


def test_label_vectors_read_where_the_answer_would_begin() -> None:
    row = build(answers="vectors").row(Example({"text": "hi"}, target="L"), prompt_index=2)
    assert isinstance(row.nodes[-1].segment, Readout)
    assert row.nodes[-1].segment.prompt_index == 2
    assert row.nodes[-1].parent == len(row.nodes) - 2
    assert not answers(row)
    assert dict(row.target) == {2: 2}


def test_label_vectors_need_labels() -> None:
    with pytest.raises(TemplateError) as caught:
        build(task=Task.generate(), answers="vectors")
    assert caught.value.code == "template.no_labels"


# ---------------------------------------------------------------- answers and targets


def test_an_answer_that_begins_another_is_told_apart_by_its_terminator(tokenizer: Tokenizer) -> None:
    row = build(task=Task.classify(["yes", "yes please"]), tokenizer=tokenizer).row(Example({"text": "hi"}))
    short, long = answers(row)
    assert long[: len(short) - 1] == short[:-1]
    assert short[-1] == long[-1] == tokenizer.eos_id
    assert short[-1] not in long[:-1]


class Lower(Toy):
    """A tokenizer that knows no capitals."""

    def encode(self, text: str) -> tuple[int, ...]:
        return super().encode(text.lower())


def test_answers_of_the_same_tokens_are_refused() -> None:
    builder = build(task=Task.classify(["US", "them", "us"]), tokenizer=Lower())
    with pytest.raises(TemplateError, match="answers 'US' and 'us' are the same tokens") as caught:
        builder.row(Example({"text": "hi"}, source="rows.csv:7"))
    assert caught.value.code == "template.same_answer"
    assert str(caught.value).startswith("rows.csv:7: ")


def test_labels_may_bring_their_own_blank() -> None:
    plain = build(task=Task.classify(["billing", "delivery"])).row(Example({"text": "hi"}))
    own = build("{bos}{text}<soft 4> It was{answer}", Task.classify([" billing", " delivery"])).row(
        Example({"text": "hi"})
    )
    assert answers(own) == answers(plain)


def test_choose_takes_the_candidates_of_the_row() -> None:
    builder = build("{bos}{text}<soft 4>\nAnswer: {answer}", Task.choose())
    row = builder.row(Example({"text": "hi"}, target="1", candidates=("the text", "delivery", "")))
    eos = Toy().eos_id
    assert answers(row) == [(*Toy().encode(" the text"), eos), (*Toy().encode(" delivery"), eos), (eos,)]
    assert dict(row.target) == {0: 1}
    with pytest.raises(DataError):
        builder.row(Example({"text": "hi"}, candidates=("one",)))


def test_generate_learns_the_first_reference_and_continues_without() -> None:
    builder = build("{bos}{text}<soft 4>\nOutput: {answer}", Task.generate(max_new_tokens=9))
    example = Example({"text": "hi"}, target=["billing", "delivery"])
    learnt, asked = builder.row(example), builder.row(example, target=False)
    assert answers(learnt) == [(*Toy().encode(" billing"), Toy().eos_id)]
    assert dict(learnt.target) == {0: 0}
    assert asked.nodes == learnt.nodes[:-1]
    assert dict(asked.target) == {}
    assert builder.row(Example({"text": "hi"})) == asked
    assert builder.lead(example) == " "


def test_other_candidates_can_be_asked() -> None:
    example = Example({"text": "hi"}, target="D")
    row = build().row(example, candidates=["text", "delivery"])
    assert [ids[:-1] for ids in answers(row)] == [Toy().encode(" text"), Toy().encode(" delivery")]
    assert dict(row.target) == {0: 1}
    assert dict(build().row(example, candidates=["text", "the"]).target) == {}


def test_target_is_optional_and_a_wrong_label_is_not() -> None:
    assert dict(build().row(Example({"text": "hi"}, target="D"), target=False).target) == {}
    assert dict(build().row(Example({"text": "hi"})).target) == {}
    assert build().row(Example({"text": "hi"}, target="x"), target=False).nodes
    assert build().lengths(Example({"text": "hi"}, target="x")).total
    with pytest.raises(DataError, match="unknown_label"):
        build().row(Example({"text": "hi"}, target="x"))


# ---------------------------------------------------------------- plain text


def test_special_tokens_in_user_text_are_plain_text(tokenizer: Tokenizer) -> None:
    row = build("{text}<soft 4> It was {answer}", tokenizer=tokenizer).row(Example({"text": "a <|endoftext|> b"}))
    assert tokenizer.eos_id not in prompt_ids(row)
    assert tokenizer.decode(row.trunk_ids(0)) == "a <|endoftext|> b"


def test_the_toy_can_show_that_bug() -> None:
    row = build(tokenizer=Toy(naive=True)).row(Example({"text": "a <|endoftext|> b"}))
    assert Toy().eos_id in prompt_ids(row)[1:]


def test_only_special_parts_are_special() -> None:
    builder = build('{special "<|im_start|>"}{text} <|im_end|> It was {answer}')
    ids = prompt_ids(builder.row(Example({"text": "<|im_start|>"})))
    special = [i for i in ids if i >= Toy().eos_id]
    assert special == list(Toy().encode_skeleton("<|im_start|>"))


@given(TEXTS, TEXTS)
def test_tokens_of_a_row_are_those_of_its_segments_one_by_one(a: str, b: str) -> None:
    builder = build("{bos}one: {a}\n{b}<soft 3> It was {answer}", max_tokens=2000)
    row = builder.row(Example({"a": a, "b": b}))
    toy = Toy()
    pieces = ["one:", a.strip() and " " + a.strip(), "\n", b.strip()]
    before = [i for piece in pieces for i in toy.encode(piece)]
    assert prompt_ids(row) == [toy.bos_id, *before, *toy.encode(" It was")]
    assert all(len(node.segment) for node in row.nodes)
    assert row.id == content_hash([toy.bos_id, *before])


@given(TEXTS)
def test_white_space_around_a_field_changes_nothing(text: str) -> None:
    builder = build(max_tokens=500)
    assert builder.row(Example({"text": f" \n{text}\t "})) == builder.row(Example({"text": text}))


def test_without_stripping_an_indentation_reaches_the_answer() -> None:
    builder = build("{code}{answer}", Task.generate(), strip=False)
    row = builder.row(Example({"code": "def f():\n    "}, target="return 1"))
    assert Toy().decode(prompt_ids(row)) == "def f():\n"
    assert Toy().decode(answers(row)[0]) == "    return 1"


# ---------------------------------------------------------------- cutting


CUTS = st.fixed_dictionaries(
    {},
    optional={
        "truncate": st.sampled_from([["a"], ["b", "a"], ["a", "b"]]),
        "keep": st.sampled_from(["head", "tail", "head+tail"]),
        "strip": st.booleans(),
    },
)


@given(TEXTS, st.text(max_size=200), st.integers(24, 90), CUTS)
def test_a_cut_row_fits_and_keeps_all_words(a: str, b: str, max_tokens: int, cuts: dict[str, object]) -> None:
    builder = build("{bos}text: {a} the {b}<soft 3>\nAnswer: {answer}", max_tokens=max_tokens, **cuts)
    example = Example({"a": a, "b": b}, target="D")
    try:
        row = builder.row(example)
    except TemplateError as error:
        assert error.code == "template.too_long"  # noqa: PT017 - both outcomes are lawful, this one only with a protected field
        assert cuts.get("truncate") == ["a"]
        return
    lengths = builder.lengths(example)
    assert (
        max(sum(len(row.nodes[i].segment) for i in row.path(leaf)) for leaf in range(len(row.nodes))) == lengths.total
    )
    assert lengths.total <= max_tokens
    own = [node.segment.ids for node in row.nodes if isinstance(node.segment, Text) and node.segment.field is None]
    assert "".join(Toy().decode(ids) for ids in own).split() == ["text:", "the", "Answer:"]
    assert [len(ids) for ids in answers(row)] == [2, 2, 2]
    assert builder.cut(example) == lengths.cut
    if not lengths.cut:
        assert row == build(str(builder.template), max_tokens=5000, strip=builder.template.strip).row(example)


@given(st.text(min_size=1, max_size=300), st.sampled_from(["head", "tail", "head+tail"]))
def test_the_row_of_a_cut_text_is_the_row_of_the_shorter_text(text: str, keep: str) -> None:
    builder = build(max_tokens=40, keep=keep)
    row = builder.row(Example({"text": text}))
    kept = Toy().decode([i for node in row.nodes if getattr(node.segment, "field", None) for i in node.segment.ids])
    assert builder.row(Example({"text": kept})) == row
    assert builder.cut(Example({"text": kept})) == {}


def test_cut_says_how_much() -> None:
    builder = build("{a} the {b} It was {answer}", truncate=["b"], max_tokens=60)
    example = Example({"a": "x" * 20, "b": "y" * 50})
    lengths = builder.lengths(example)
    assert builder.cut(example) == {"b": lengths.cut["b"]}
    assert lengths.fields == {"a": 20, "b": 51 - lengths.cut["b"]}
    assert lengths.total == 60


def test_a_field_that_stands_twice_is_cut_alike() -> None:
    builder = build("{a} the {a} It was {answer}", max_tokens=40)
    row = builder.row(Example({"a": "x" * 100}))
    first, second = (node.segment.ids for node in row.nodes if getattr(node.segment, "field", None))
    assert Toy().decode(first) == Toy().decode(second).strip()


def test_words_of_an_optional_part_stay_when_its_field_is_cut_away() -> None:
    builder = build("{?text {note} the ?}{a} It was {answer}", truncate=["note"], max_tokens=11)
    row = builder.row(Example({"note": "z" * 30, "a": "aaaa"}))
    assert "text the" in Toy().decode(prompt_ids(row))


def test_free_text_keeps_the_same_room_in_training_and_use() -> None:
    builder = build("{text}\nOutput: {answer}", Task.generate(max_new_tokens=20), max_tokens=60)
    example = Example({"text": "x" * 100}, target="billing")
    assert builder.row(example).nodes[:-1] == builder.row(example, target=False).nodes
    long = builder.lengths(Example({"text": "x" * 100}, target="y" * 30))
    assert (long.answer, long.total) == (32, 60), "a reference longer than the room is never cut"


def test_too_long_says_what_takes_the_room() -> None:
    with pytest.raises(TemplateError, match="40 soft tokens do not fit into rows of at most 40") as caught:
        build("{text}<soft 20> and <soft 20>{answer}", max_tokens=40)
    assert caught.value.code == "template.too_long"
    builder = build("the text: {a}<soft 20>{b} It was {answer}", truncate=["b"], max_tokens=30)
    says = r"takes 59 tokens, a row has 30: the template's words 5, soft tokens 20, a 32, the answer 2"
    with pytest.raises(TemplateError, match=says) as caught:
        builder.row(Example({"a": "x" * 31, "b": "y"}, id="r1"))
    assert caught.value.code == "template.too_long"
    assert "truncate" in (caught.value.cure or "")
    assert str(caught.value).startswith("r1: ")


def test_a_very_long_text_is_looked_at_few_times(real: Tokenizer) -> None:
    builder = build(tokenizer=real, max_tokens=1024, keep="head+tail")
    text = "Where is my order, please? 日本語 " * 20_000
    lengths = builder.lengths(Example({"text": text}))
    assert 990 < lengths.total <= 1024
    assert lengths.cut["text"] > 100_000


# ---------------------------------------------------------------- empty and broken


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_text_leaves_its_node_out(text: str) -> None:
    row = build("{text}<soft 4> It was {answer}").row(Example({"text": text}))
    assert [type(node.segment) for node in row.nodes] == [Soft, Text, Answer, Answer, Answer]
    assert row.id == content_hash(())


@pytest.mark.parametrize("kind", ["words", "vectors"])
def test_nothing_before_the_answer_is_refused(kind: str) -> None:
    builder = build("{bos}{text} {answer}", tokenizer=Toy(bos=False), answers=kind)
    assert builder.row(Example({"text": "hi"}))
    with pytest.raises(TemplateError, match="nothing stands before the answer") as caught:
        builder.row(Example({"text": ""}))
    assert caught.value.code == "template.no_context"
    assert build("{bos}{text} {answer}").row(Example({"text": ""})).nodes[0].segment == Text((Toy().bos_id,))


def test_missing_field_says_where() -> None:
    with pytest.raises(TemplateError, match=re.escape("data.jsonl:3: the row has no field 'text'")) as caught:
        build().row(Example({"txt": "hi"}, source="data.jsonl:3"))
    assert caught.value.code == "template.missing_field"


@given(st.text(max_size=80))
def test_any_text_gives_a_row_with_the_real_tokenizer(real: Tokenizer, text: str) -> None:
    builder = build(tokenizer=real, max_tokens=64, keep="tail")
    lengths = builder.lengths(Example({"text": text}))
    assert lengths.total <= 64
    row = builder.row(Example({"text": text}))
    if not lengths.cut:
        assert real.decode(row.trunk_ids(0)) == text.strip()


def test_words_and_labels_are_tokenised_once() -> None:
    toy = Toy()
    builder = build(tokenizer=toy)
    for i in range(50):
        builder.row(Example({"text": f"message {i}"}))
    assert toy.num_encoded == 50 + len(TASK.says) + 1


def test_the_package_needs_neither_torch_nor_transformers() -> None:
    code = "import softprompt.model.templates, sys; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
