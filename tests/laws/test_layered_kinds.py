"""Laws 1 to 4 and 9 for slots that enter the layers of encoder-decoders, on either side, and of encoders.

As in :mod:`tests.laws.test_layered`: keys and values, and vectors of later layers, beside prompts of vectors among the
embeddings and rows without any. A decoder's side that begins with keys and values has them before its opening.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Batch, Node, Readout, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.backbones import encdec, entering, masked, observers, seq2seq
from softprompt.model.backbones.base import Backbone, Want
from softprompt.model.backbones.splicing import leading
from softprompt.testing import ENCODERS, SEQ2SEQ, tiny
from tests.laws import checks
from tests.laws.cloze_oracle import cloze_oracle
from tests.laws.examples import ask, text_of
from tests.laws.oracle import oracle
from tests.laws.roads import ROADS, assert_equal, travel
from tests.laws.strategies import LAYERED, prompts_for, rows_of, sketches
from tests.laws.test_layered import ROWS, spaced
from tests.laws.test_masked import BARE, MIXED, _spoken, for_family, model_of

batches = st.lists(sketches(LAYERED), min_size=1, max_size=2)

#: Roads that differ without tree masks.
CHAINS = [road for road in ROADS if not road.startswith("tree")]


def written(rows: list[Row]) -> list[Row]:
    """The rows with everything from the first soft slot on, and every other root, on the decoder's side."""
    return [_written(row) for row in rows]


def _written(row: Row) -> Row:
    nodes: list[Node] = []
    for number, node in enumerate(row.nodes):
        below = node.parent is not None and nodes[node.parent].side == "decoder"
        begins = isinstance(node.segment, Soft) or (node.parent is None and number % 2 == 1)
        main = isinstance(node.segment, Answer | Readout)
        nodes.append(replace(node, side="main" if main else "decoder" if below or begins else "encoder"))
    return Row(tuple(nodes))


def layered_prompts(backbone: Backbone, *, decoder: bool = False) -> list[PromptTensors]:
    return prompts_for(backbone, kinds=LAYERED, decoder=decoder)


def dec(segment: Soft | Text, parent: int = 0) -> Node:
    return Node(segment, parent, "decoder")


TEXT = Node(Text(text_of(9), "text"))
#: Keys and values before the opening: alone, two slots, as long in all lines or not, with siblings, inside, at the end.
BEGINNINGS = [
    [ask(TEXT, dec(Soft("a", 3, 0))), ask(TEXT, dec(Soft("a", 3, 0)), dec(Text((7, 8)), 1))],
    [ask(TEXT, dec(Soft("b", 4, 1)), prompt=1)],
    [ask(TEXT, dec(Soft("a", 3, 0)), dec(Soft("b", 4, 1), 1), dec(Soft("b", 1, 0), 2))],
    [
        Row(
            (
                TEXT,
                dec(Soft("b", 1, 0)),
                dec(Soft("a", 3, 0)),
                dec(Soft("b", 4, 1), 2),
                Node(Answer((5, 257), 0, 1), 3),
                Node(Readout(1), 3),
                dec(Text((7,)), 2),
                dec(Soft("a", 2, 1)),
                dec(Text((5, 6))),
                dec(Soft("b", 1, 0)),
            )
        )
    ],
    [ask(TEXT, dec(Text((7,))), dec(Soft("a", 3, 0), 1), dec(Text((8,)), 2)), ask(TEXT)],
]


def check_oracle(backbone: Backbone, rows: list[Row], prompts: list[PromptTensors]) -> None:
    with torch.no_grad():
        truth = oracle(backbone, rows, prompts)
        for road in ("repeated rows", "repeated rows on states"):
            assert_equal(travel(backbone, rows, prompts, road), truth)


@pytest.mark.parametrize("decoder", [False, True], ids=["encoder", "decoder"])
@pytest.mark.parametrize("family", SEQ2SEQ)
@settings(max_examples=2)
@given(drawn=batches)
def test_every_road_equals_plain_transformers_on_both_sides(family, decoder, drawn):
    backbone = tiny(family)
    rows, prompts = rows_of(drawn), layered_prompts(backbone, decoder=decoder)
    rows = written(rows) if decoder else rows
    with torch.no_grad():
        truth = oracle(backbone, rows, prompts)
        for road in CHAINS:
            assert_equal(travel(backbone, rows, prompts, road), truth)


@pytest.mark.parametrize("rows", BEGINNINGS)
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_decoder_may_begin_with_keys_and_values(family, rows):
    backbone = tiny(family)
    check_oracle(backbone, rows, layered_prompts(backbone, decoder=True))


@pytest.mark.parametrize("decoder", [False, True], ids=["encoder", "decoder"])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_both_sides_have_the_gradient_of_plain_transformers(family, decoder):
    backbone = tiny(family)
    prompts = layered_prompts(backbone, decoder=decoder)
    checks.check_gradients(backbone, written(ROWS) + BEGINNINGS[0] if decoder else ROWS, prompts)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_forgetting_activations_changes_neither_loss_nor_gradient(family):
    backbone = tiny(family)
    checks.check_checkpoint(backbone, ROWS, layered_prompts(backbone))


@pytest.mark.parametrize("decoder", [False, True], ids=["encoder", "decoder"])
def test_company_changes_nothing_on_both_sides(decoder):
    backbone = tiny("t5")
    rows = ROWS[:4]
    checks.check_mates(backbone, written(rows) if decoder else rows, layered_prompts(backbone, decoder=decoder))


@pytest.mark.parametrize("decoder", [False, True], ids=["encoder", "decoder"])
def test_training_leaves_both_sides_bit_identical(decoder):
    backbone = tiny("bart")
    checks.check_frozen(backbone, written(ROWS) if decoder else ROWS, layered_prompts(backbone, decoder=decoder))


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_feeding_tokens_equals_reading_them(family):
    backbone = tiny(family)
    prompts = layered_prompts(backbone, decoder=True)
    rows = [
        Row((TEXT, dec(Soft("a", 3, 0)))),  # keys and values, then the opening
        Row((TEXT, dec(Soft("b", 1, 2)))),  # vectors of a later layer
        Row((TEXT, dec(Soft("b", 4, 1)), dec(Text((7,)), 1))),  # keys from a later layer on
        Row((TEXT, dec(Text((7,))), dec(Soft("a", 2, 1), 1))),
        Row((TEXT,)),
    ]
    more = torch.tensor([text_of(5, start=n) for n in range(len(rows))])
    longer = [
        Row((*row.nodes, dec(Text(tuple(ids)), len(row.nodes) - 1)))
        for row, ids in zip(rows, more.tolist(), strict=True)
    ]
    for some in ([0, 1, 2, 3, 4], [0]):
        short, long = (Batch(tuple(each[n] for n in some)) for each in (rows, longer))
        with torch.no_grad():
            truth = backbone.forward(long, prompts, want=Want(last=True)).last
            state = backbone.forward(short, prompts, want=Want(last=True, state=True)).state
            for at, count in ((0, 1), (1, 4)):
                logits, state = backbone.step(state, more[some, at : at + count])
        assert float((logits - truth).abs().max()) <= 1e-5 * max(1, float(truth.abs().max()))


def test_a_decoder_computes_no_column_for_keys_and_values_that_it_begins_with(monkeypatch):
    backbone = tiny("t5")
    prompts = layered_prompts(backbone, decoder=True)
    columns = []
    decode = seq2seq.decode
    monkeypatch.setattr(seq2seq, "decode", lambda m, e, *a, **k: columns.append(e.shape[1]) or decode(m, e, *a, **k))
    row = Row((TEXT, dec(Soft("a", 3, 0)), Node(Readout(0), 1)))
    backbone.forward(Batch((row,)), prompts)
    assert columns == [1]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft 0.21 asks for it
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_prefix_has_the_logits_of_peft(family):
    """PEFT repeats the layers once for each of two submodules, and gives a decoder every other pair."""
    peft = pytest.importorskip("peft")
    backbone = tiny(family)
    prompts = prompts_for(backbone, slots=[{"a": 3}], kinds=[{"a": ("kv", 0)}], decoder=True)
    row = Row((Node(Text(text_of(9), "text")), dec(Soft("a", 3))))
    with torch.no_grad():
        found = backbone.forward(Batch((row,)), prompts, want=Want(last=True)).last[0]
        shapes = backbone.slot_shapes(decoder=True)
        groups, width, _ = shapes[0]
        config = peft.PrefixTuningConfig(
            task_type="SEQ_2_SEQ_LM",
            num_virtual_tokens=3,
            num_layers=2 * len(shapes),
            num_attention_heads=groups,
            token_dim=groups * width,
            num_transformer_submodules=2,
        )
        model = peft.get_peft_model(tiny(family).model, config).eval()
        pairs = [pair for _, pair in sorted(prompts[0].slots["a"].kv.items())]
        blank = tuple(map(torch.zeros_like, pairs[0]))
        parts = [part.transpose(0, 1) for pair in pairs for each in (pair, blank) for part in each]
        model.prompt_encoder["default"].embedding.weight.copy_(torch.stack(parts, dim=1).flatten(1))
        frame = backbone.frame
        truth = model(
            torch.tensor([[*text_of(9), *frame.closing]]), decoder_input_ids=torch.tensor([frame.opening])
        ).logits[0, -1]
    assert float((found - truth).abs().max()) <= 1e-5 * max(1, float(truth.abs().max()))


# --- encoders


def encoder_rows(family: str) -> list[Row]:
    """Rows with something readable behind every slot: bare encoders read the token before."""
    rows = for_family(family, MIXED)
    return [spaced(row) for row in rows] if family in BARE else rows


@pytest.mark.parametrize("family", ENCODERS)
@settings(max_examples=2)
@given(drawn=batches)
def test_every_road_of_encoders_equals_plain_transformers(family, drawn):
    rows = for_family(family, [_spoken(row) for row in rows_of(drawn)])
    rows = [spaced(row) for row in rows] if family in BARE else rows
    backbone = model_of(family)
    prompts = layered_prompts(backbone)
    with torch.no_grad():
        truth = cloze_oracle(backbone, rows, prompts)
        for road in ("repeated rows", "repeated rows on states"):
            assert_equal(travel(backbone, rows, prompts, road), truth)


@pytest.mark.parametrize("family", ENCODERS)
def test_scores_company_and_gradients_of_encoders(family):
    backbone, rows = model_of(family), encoder_rows(family)
    prompts = layered_prompts(backbone)
    checks.check_scores(backbone, rows, prompts)
    if family in ("albert", "mpnet", "deberta_v2"):
        checks.check_gradients(backbone, rows[:4], prompts)
    if family == "mpnet":
        checks.check_mates(backbone, rows[:4], prompts)
        checks.check_frozen(backbone, rows[:4], prompts)


@pytest.mark.parametrize("family", ["albert", "deberta_v2"])
def test_encoders_may_forget_activations(family):
    backbone = model_of(family)
    checks.check_checkpoint(backbone, MIXED[:4], layered_prompts(backbone))


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_keys_and_values_that_all_lines_begin_with_are_no_columns_of_an_encoder(family, monkeypatch):
    backbone = tiny(family)
    prompts = layered_prompts(backbone)
    soft, word = Soft("a", 3, 0), Text((5,))
    after = Row((TEXT, Node(soft, 0), Node(word, 1), Node(Answer((6, 257)), 2)))
    before = Row((Node(soft), Node(word, 0), Node(Answer((6, 257)), 1)))
    columns = []
    encode = masked.encode
    monkeypatch.setattr(masked, "encode", lambda m, e, *a, **k: columns.append(e.shape[1]) or encode(m, e, *a, **k))
    found = backbone.forward(Batch((after, before)), prompts, backbone.read(Batch((after,)))).answers[0].scores
    assert columns == [10, 3]  # the text and what closes it; a word, a mask and what closes the line
    monkeypatch.setattr(masked, "lead", lambda lowered, prompts, state, **_: (lowered, state))
    torch.testing.assert_close(backbone.forward(Batch((after, before)), prompts).answers[0].scores, found)
    assert columns[-1] == 6


def test_a_bare_encoder_reads_nothing_directly_behind_keys_and_values():
    backbone = tiny("minilm")
    row = Row((TEXT, Node(Soft("a", 3), 0), Node(Readout(0), 1)))
    with pytest.raises(ModelError, match="directly behind slot 'a' of prompt 0"):
        backbone.forward(Batch((row,)), layered_prompts(backbone))


# --- where they start


@pytest.mark.parametrize("family", ["t5", "umt5", "bart"])
@pytest.mark.parametrize("before", [(), (7, 8)])
def test_what_start_vectors_become_in_a_decoder_is_what_it_writes_itself(family, before):
    """Behind an encoder that has read the same, words as keys and values score as they do as words."""
    backbone = tiny(family)
    ids = text_of(4)
    tensors = backbone.prefill(backbone.embed(torch.tensor(ids)), before=before, decoder=True)
    text, words = Node(Text(ids, "text")), [Text(before)] if before else []
    rest = Text(text_of(6, start=2))
    as_keys, as_words = [
        Row((text, *(dec(one, n) for n, one in enumerate((*words, segment, rest)))))
        for segment in (Soft("a", 4), Text(ids))
    ]
    with torch.no_grad():
        found = backbone.forward(Batch((as_keys,)), [PromptTensors({"a": tensors})], want=Want(last=True)).last
        if not before:  # the words stand before the opening, which is written out behind them
            as_words = Row((text, dec(Text((*ids[1:], *backbone.frame.opening))), dec(rest, 1)))
            backbone.frame = replace(backbone.frame, opening=ids[:1])
        truth = backbone.forward(Batch((as_words,)), want=Want(last=True)).last
    assert float((found - truth).abs().max()) <= 1e-5 * max(1, float(truth.abs().max()))


@pytest.mark.parametrize("family", ["t5", "bart", *ENCODERS])
def test_what_start_vectors_become_in_an_encoder_is_what_it_reads(family):
    """Its own keys and values in the places of their tokens change nothing, and so do its own states at a layer."""
    backbone = model_of(family)
    before, ids = (9, 8), text_of(4)
    vectors = backbone.embed(torch.tensor(ids))
    layer = len(backbone.slot_shapes()) - 1
    keys = backbone.prefill(vectors, before=before)
    late = backbone.prefill(vectors, before=before, layer=layer)
    if backbone.spec.kind == "seq2seq":
        model = backbone.model.get_encoder()
        read = model(torch.tensor([[*before, *ids, *backbone.frame.closing]]), output_hidden_states=True)
    else:
        model = backbone.model.base_model
        line = torch.tensor([[*before, *ids, backbone.marks.close]])
        offset = masked.encoder_of(backbone.model.config).offset(backbone.model.config)
        read = model(line, output_hidden_states=True, position_ids=torch.arange(line.shape[1])[None] + offset)
    own = read.hidden_states[layer][0, 2:6]
    torch.testing.assert_close(late.hidden[layer], own, atol=1e-5, rtol=1e-4)
    assert [tuple(one.shape) for one in keys.kv[layer]] == [(4, 4, 8)] * 2
    assert len(keys.kv) == layer + 1


# --- planted bugs


def opening_first(patch):
    """The decoder's opening stands before keys and values."""
    patch.setattr(seq2seq, "_are_keys", lambda prompts, soft: False)


def counted_from_zero(patch):
    """What stands behind keys and values that a line begins with has its positions without them."""
    inner = leading._without

    def without(lowered, count):
        found = inner(lowered, count)
        for line in found.lines:
            line.positions = [position - count for position in line.positions]
        return found

    patch.setattr(leading, "_without", without)


def garbage_in_the_memory(patch):
    """The decoder reads what the encoder makes of the places of keys and values."""
    inner = encdec._gathered
    patch.setattr(encdec, "_gathered", lambda hidden, kept: inner(hidden, kept.flip(1).cummax(1).values.flip(1)))


def only_the_triangle(patch):
    """Where a layer of an encoder is given no mask, it sees what comes before alone."""
    inner = entering.entering
    patch.setattr(encdec, "entering", lambda layers, layered, causal: inner(layers, layered, causal=True))


def seen_below(patch):
    """Vectors that enter an encoder at a later layer are seen below it."""
    patch.setattr(observers.View, "mask_at", lambda view, layer: view.mask)


def not_written(patch):
    """Keys are put over those of an encoder's tokens, and values are forgotten."""
    inner = observers.write
    patch.setattr(observers, "write", lambda own, places, given: inner(own, places, 0 * given))


def of_the_next_layer(patch):
    """Vectors enter an encoder one layer too late."""
    inner = observers.View.enter
    patch.setattr(observers.View, "enter", lambda view, layer, hidden: inner(view, max(0, layer - 1), hidden))


def of_the_first_prompt(patch):
    """All lines begin with the keys and values of the first."""
    inner = leading._columns
    patch.setattr(leading, "_columns", lambda slots, *rest: inner([slots[0]] * len(slots), *rest))


ALIKE = [
    Row((TEXT, Node(Soft("a", 3, 0), 0), Node(Text((5,)), 1), Node(Readout(0), 2))),
    Row((Node(Text((7, 8), "text")), Node(Soft("a", 3, 3), 0), Node(Text((5,)), 1), Node(Readout(3), 2))),
]


def four_prompts(backbone: Backbone, *, decoder: bool = False) -> list[PromptTensors]:
    """A fourth one like the first."""
    kinds, slots = [*LAYERED, LAYERED[0]], [{"a": 3, "b": 1}, {"a": 2, "b": 4}, {"a": 3, "b": 1}, {"a": 3, "b": 1}]
    return prompts_for(backbone, kinds=kinds, slots=slots, decoder=decoder)


CASES = [
    (opening_first, "bart", True, BEGINNINGS[0][1:]),
    (counted_from_zero, "bart", True, BEGINNINGS[0]),
    (counted_from_zero, "distilbert", False, ALIKE),
    (of_the_first_prompt, "t5", True, written(ALIKE)),
    (of_the_first_prompt, "bert", False, ALIKE),
    (garbage_in_the_memory, "t5", False, ROWS),
    (only_the_triangle, "bart", False, ROWS[2:3]),
    (seen_below, "bert", False, MIXED),
    (not_written, "albert", False, MIXED),
    (of_the_next_layer, "albert", False, MIXED),
]


@pytest.mark.parametrize(("plant", "family", "decoder", "rows"), CASES)
def test_a_planted_bug_breaks_a_law(plant, family, decoder, rows, monkeypatch):
    backbone = tiny(family)
    prompts = four_prompts(backbone, decoder=decoder)
    check_oracle(backbone, rows, prompts)
    plant(monkeypatch)
    with pytest.raises((AssertionError, RuntimeError)):
        check_oracle(backbone, rows, prompts)


# --- what does not fit


def test_a_position_bias_with_a_mask_in_it_is_refused(monkeypatch):
    """As older transformers make it: every layer would hide what the first one does."""
    backbone = tiny("t5")
    block = backbone.model.decoder.block[0]
    inner = block.forward

    def forward(*args, **kwargs):
        hidden, bias, cross = inner(*args, **kwargs)
        return hidden, bias + torch.finfo(bias.dtype).min, cross

    monkeypatch.setattr(block, "forward", forward)
    with pytest.raises(ModelError, match="T5Block of this transformers gives all layers the mask of the first"):
        backbone.forward(Batch((ask(TEXT, dec(Soft("b", 1, 2)), prompt=2),)), layered_prompts(backbone, decoder=True))


@pytest.mark.parametrize(
    ("family", "tensors", "message"),
    [
        ("t5", {"kv": {0: (torch.zeros(4, 3, 8),) * 2}}, "from layer 0 on, and none for layer 1"),
        ("t5", {"hidden": {2: torch.zeros(3, 32)}}, "holds tensors for layer 2, the model has 2 layers"),
        ("bert", {"kv": {n: (torch.zeros(2, 3, 8),) * 2 for n in range(3)}}, "holds keys.0 of 2 x 3 x 8 numbers"),
        ("bert", {"hidden": {1: torch.zeros(3, 31)}}, "holds hidden.1 of 3 x 31 numbers"),
    ],
)
def test_tensors_that_do_not_fit_the_model_are_refused(family, tensors, message):
    row = Row((TEXT, dec(Soft("a", 3)) if family == "t5" else Node(Soft("a", 3), 0), Node(Answer((5, 257)), 1)))
    with pytest.raises(ModelError, match=message) as caught:
        tiny(family).forward(Batch((row,)), [PromptTensors({"a": SlotTensors(**tensors)})])
    assert caught.value.code == "model.unsupported_prompt"
