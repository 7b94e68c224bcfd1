"""Laws 1 to 4 and 9 for slots that enter the layers: keys and values, and vectors that enter at a later layer.

Rows with several roots, branches and answers; prompts of both kinds, of vectors among the embeddings, and without any
stand in one batch. Keys and values stand beside the lines where a tree mask is taken, and among them elsewhere.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.core.errors import ModelError
from softprompt.core.records import Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones import causal, entering
from softprompt.model.backbones.base import Want
from softprompt.model.backbones.splicing import asides, slots, splice
from softprompt.testing import FAMILIES, tiny
from tests.laws.checks import check_checkpoint, check_frozen, check_gradients, check_mates, check_roads
from tests.laws.examples import MIXED, ask, text_of
from tests.laws.oracle import oracle
from tests.laws.roads import ROADS, assert_equal, travel
from tests.laws.strategies import LAYERED, prompts_for, rows_of, sketches

batches = st.lists(sketches(LAYERED), min_size=1, max_size=2)

#: Families that differ in how this is computed: a tree mask with and without windows, none; ALiBi; E != H; one head.
FEW = ["llama", "mistral", "gemma3", "opt", "falcon", "falcon_alibi", "bloom"]


def spaced(row: Row) -> Row:
    """The row with a word behind every soft slot, so that something can be read there."""
    nodes: list[Node] = []
    where: list[int] = []
    for node in row.nodes:
        nodes.append(replace(node, parent=None if node.parent is None else where[node.parent]))
        if isinstance(node.segment, Soft):
            nodes.append(Node(Text((90,)), len(nodes) - 1))
        where.append(len(nodes) - 1)
    return replace(row, nodes=tuple(nodes))


ROWS = [spaced(row) for row in MIXED]


def layered_prompts(backbone):
    return prompts_for(backbone, kinds=LAYERED)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=4)
@given(drawn=batches)
def test_every_road_equals_plain_transformers(family, drawn):
    backbone = tiny(family)
    rows, prompts = rows_of(drawn), layered_prompts(backbone)
    with torch.no_grad():
        truth = oracle(backbone, rows, prompts)
        for road in ROADS:
            assert_equal(travel(backbone, rows, prompts, road), truth)


@pytest.mark.parametrize("family", FEW)
def test_every_road_has_the_gradient_of_plain_transformers(family):
    backbone = tiny(family)
    check_gradients(backbone, ROWS, layered_prompts(backbone))


@pytest.mark.parametrize("family", FEW)
def test_forgetting_activations_changes_neither_loss_nor_gradient(family):
    """PEFT refuses prefix tuning with gradient checkpointing."""
    backbone = tiny(family)
    check_checkpoint(backbone, ROWS, layered_prompts(backbone))


@pytest.mark.parametrize("family", ["mistral", "bloom"])
def test_company_changes_nothing(family):
    backbone = tiny(family)
    check_mates(backbone, ROWS, layered_prompts(backbone))


def test_training_leaves_every_tensor_of_the_model_bit_identical():
    backbone = tiny("llama")
    check_frozen(backbone, ROWS, layered_prompts(backbone))


def test_eager_attention_takes_the_same_masks():
    backbone = tiny("gemma2", attention="eager")
    check_roads(backbone, ROWS, layered_prompts(backbone))


@pytest.mark.parametrize("family", ["llama", "mistral", "falcon_alibi", "bloom"])
def test_feeding_tokens_equals_reading_them(family):
    """Before, between and after texts, into a compiled prompt, a read text, or neither."""
    backbone = tiny(family)
    prompts = layered_prompts(backbone)
    before, word = (Node(Text(text_of(n), "text"), 0) for n in (9, 1))
    rows = [
        Row((Node(Soft("a", 3, 0)), before)),  # keys and values, then a text
        Row((Node(Soft("b", 1, 2)), before)),  # vectors of a later layer
        Row((Node(Text(text_of(4), "text")), Node(Soft("a", 2, 1), 0))),  # they are the last that was read
        Row((Node(Text(text_of(4), "text")), Node(Soft("b", 4, 1), 0), replace(word, parent=1))),  # keys from layer 1
        Row((Node(Text(text_of(7), "text")),)),
    ]
    more = torch.tensor([text_of(5, start=n) for n in range(len(rows))])
    longer = [
        Row((*row.nodes, Node(Text(tuple(ids)), len(row.nodes) - 1)))
        for row, ids in zip(rows, more.tolist(), strict=True)
    ]
    with torch.no_grad():
        truth = backbone.forward(Batch(tuple(longer)), prompts, want=Want(last=True)).last
        for frozen in (None, "field", "soft"):
            batch = Batch(tuple(rows))
            state = backbone.read(batch, prompts, frozen=frozen) if frozen else None
            begun = backbone.forward(batch, prompts, state, want=Want(last=True, state=True), frozen=frozen or "soft")
            assert begun.state.lengths == (12, 10, 6, 9, 7)
            state = (
                State.stack([begun.state.row(i) for i in range(len(rows))]).take([4, 3, 2, 1, 0]).take([4, 3, 2, 1, 0])
            )
            for at, count in ((0, 1), (1, 4)):
                logits, state = backbone.step(state, more[:, at : at + count])
            assert float((logits - truth).abs().max()) <= 1e-5 * max(1, float(truth.abs().max()))


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft 0.21 asks for it
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "falcon"])
def test_a_prefix_has_the_logits_of_peft(family):
    peft = pytest.importorskip("peft")
    backbone = tiny(family)
    prompts = prompts_for(backbone, slots=[{"a": 3}], kinds=[{"a": ("kv", 0)}])
    ids = text_of(9)
    row = Row((Node(Soft("a", 3)), Node(Text(ids, "text"), 0)))
    with torch.no_grad():
        found = backbone.forward(Batch((row,)), prompts, want=Want(last=True)).last[0]
        groups, width, _ = backbone.spec.kv_shapes[0]
        config = peft.PrefixTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=3,
            num_layers=3,
            num_attention_heads=groups,
            token_dim=groups * width,
            num_transformer_submodules=1,
        )
        model = peft.get_peft_model(tiny(family).model, config).eval()
        pairs = [part.transpose(0, 1) for _, pair in sorted(prompts[0].slots["a"].kv.items()) for part in pair]
        model.prompt_encoder["default"].embedding.weight.copy_(torch.stack(pairs, dim=1).flatten(1))
        truth = model(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long)).logits[0, -1]
    assert float((found - truth).abs().max()) <= 1e-5 * max(1, float(truth.abs().max()))


@pytest.mark.parametrize("tree", [True, False])
def test_keys_and_values_are_no_live_tokens_where_a_tree_mask_is_taken(tree, monkeypatch):
    backbone = tiny("llama")
    backbone.spec = replace(backbone.spec, tree=tree)
    prompts = prompts_for(backbone, slots=[{"a": 3}], kinds=[{"a": ("kv", 0)}])
    row = ask(Node(Text(text_of(9), "text")), Node(Soft("a", 3), 0), Node(Text((5,)), 1), head=False)
    columns = []
    call = causal.call
    monkeypatch.setattr(
        causal, "call", lambda model, embeds, *a, **k: columns.append(embeds.shape[1]) or call(model, embeds, *a, **k)
    )
    backbone.forward(Batch((row,)), prompts, backbone.read(Batch((row,))))
    assert columns == [9, 4 if tree else 7]


# --- what does not fit


def kv(*layers, groups=2, length=3, width=8):
    return {layer: (torch.zeros(groups, length, width),) * 2 for layer in layers}


UNFIT = {
    "more layers": ({"kv": kv(0, 1, 2, 3)}, "holds tensors for layer 3, the model has 3 layers"),
    "other heads": ({"kv": kv(0, 1, 2, groups=4)}, "holds keys.0 of 4 x 3 x 8 numbers, .* need 2 x 3 x 8"),
    "another length": ({"kv": kv(0, 1, 2, length=2)}, "holds keys.0 of 2 x 2 x 8 numbers, .* need 2 x 3 x 8"),
    "a layer less": ({"kv": kv(0, 2)}, "has keys and values from layer 0 on, and none for layer 1"),
    "another width": ({"hidden": {1: torch.zeros(3, 31)}}, "holds hidden.1 of 3 x 31 numbers, .* need 3 x 32"),
    "a layer too late": ({"hidden": {3: torch.zeros(3, 32)}}, "holds tensors for layer 3, the model has 3 layers"),
    "both": ({"kv": kv(0, 1, 2), "embed": torch.zeros(3, 32)}, "holds embed, keys.0, .*: keys and values stand alone"),
}


@pytest.mark.parametrize(("tensors", "message"), UNFIT.values(), ids=UNFIT.keys())
def test_tensors_that_do_not_fit_the_model_are_refused(tensors, message):
    row = ask(Node(Text((5,))), Node(Soft("a", 3), 0), Node(Text((6,)), 1))
    with pytest.raises(ModelError, match=message) as caught:
        tiny("llama").forward(Batch((row,)), [PromptTensors({"a": SlotTensors(**tensors)})])
    assert caught.value.code == "model.unsupported_prompt"
    assert caught.value.cure


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_nothing_is_read_directly_behind_keys_and_values(family):
    backbone = tiny(family)
    prompts = layered_prompts(backbone)
    row = ask(Node(Text((5,))), Node(Soft("a", 3), 0))
    with pytest.raises(ModelError, match="directly behind slot 'a' of prompt 0") as caught:
        backbone.forward(Batch((row,)), prompts)
    assert "put a word between" in caught.value.cure


@pytest.mark.parametrize("family", FAMILIES)
def test_what_start_vectors_become_in_the_layers_is_a_text_prompt(family):
    """In its place, behind the beginning, words as keys and values score as they do as words."""
    backbone = tiny(family)
    ids, begins = text_of(4), Node(Text((256,)))
    rest = Node(Text(text_of(6, start=2), "text"), 1)
    read, soft = (Row((begins, Node(segment, 0), rest)) for segment in (Text(ids), Soft("a", 4)))
    prompt = PromptTensors({"a": backbone.prefill(backbone.embed(torch.tensor(ids)), before=(256,))})
    with torch.no_grad():
        truth = backbone.forward(Batch((read,)), want=Want(last=True)).last
        found = backbone.forward(Batch((soft,)), [prompt], want=Want(last=True)).last
    assert float((found - truth).abs().max()) <= 1e-5 * max(1, float(truth.abs().max()))


# --- planted bugs


def seen_below(patch):
    """Vectors that enter at a later layer are seen below it."""
    patch.setattr(entering._Hide, "_without", lambda self, mask, columns: mask)


def a_layer_late(patch):
    """They enter one layer too late."""
    inner = causal.layered

    def layered(*args, **kwargs):
        found = inner(*args, **kwargs)
        return found and replace(found, hidden={min(2, layer + 1): one for layer, one in found.hidden.items()})

    patch.setattr(causal, "layered", layered)


def seen_by_all(patch):
    """Keys and values beside a line are seen by all its branches."""
    inner = asides._set_aside

    def set_aside(line, prompts):
        made, index = inner(line, prompts)
        made.asides = [aside._replace(first=0, last=len(made.ids)) for aside in made.asides]
        return made, index

    patch.setattr(asides, "_set_aside", set_aside)


def no_positions(patch):
    """Keys and values take no positions."""
    patch.setattr(splice, "_logical", lambda inputs: splice.torch.arange(inputs.mask.shape[1]).expand_as(inputs.mask))


def grown_twice(patch):
    """The cache grows once more when activations are computed again."""

    def update(self, keys, values, *_, **__):
        self.before = [*self.before, (keys, values)]
        return tuple(torch.cat(parts, dim=2) for parts in zip(*self.before, strict=True))

    patch.setattr(entering._Layer, "update", update)


def wrong_prompt(patch):
    """All prompts get the keys and values of the first."""
    inner = slots._Pool.rows
    patch.setattr(slots._Pool, "rows", lambda self, run: (inner(self, run), range(1, 1 + run.num))[1])


def check_scores(backbone, rows, prompts):
    with torch.no_grad():
        truth = oracle(backbone, rows, prompts)
        for road in ("tree", "tree on states", "tree on a compiled prompt"):
            assert_equal(travel(backbone, rows, prompts, road), truth)


CASES = [
    (seen_below, "llama", check_scores),
    (seen_below, "bloom", check_scores),
    (a_layer_late, "gpt2", check_scores),
    (seen_by_all, "qwen2", check_scores),
    (no_positions, "mistral", check_scores),
    (wrong_prompt, "opt", check_scores),
    (grown_twice, "bloom", check_checkpoint),
]


@pytest.mark.parametrize(("plant", "family", "check"), CASES)
def test_a_planted_bug_breaks_a_law(plant, family, check, monkeypatch):
    backbone = tiny(family)
    prompts = layered_prompts(backbone)
    check(backbone, ROWS, prompts)
    plant(monkeypatch)
    with pytest.raises((AssertionError, RuntimeError)):
        check(backbone, ROWS, prompts)
