"""Every law can fail: a bug that somebody once wrote is planted, and the law's check has to find it.

Each plant takes pytest's monkeypatch and the backbone under test, and breaks one rule of the splice.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from transformers import DynamicCache

from softprompt.core.tensors import State
from softprompt.model.backbones import calls, causal
from softprompt.model.backbones.readers import Readers
from softprompt.model.backbones.splicing import lowering, splice
from softprompt.model.backbones.splicing.lines import Candidate
from softprompt.model.backbones.weights.fingerprint import fingerprint
from softprompt.testing import tiny
from tests.laws import checks
from tests.laws.examples import MIXED, TEXTS
from tests.laws.strategies import prompts_for

Plant = Callable[[pytest.MonkeyPatch, causal.CausalBackbone], None]


# --- masks and positions


def no_offset(patch, backbone):
    """Live tokens count from zero, whatever has been read."""

    def lay_out(*args):
        inputs = splice.lay_out(*args)
        return replace(inputs, positions=inputs.positions - torch.tensor(inputs.starts)[:, None])

    patch.setattr(causal, "lay_out", lay_out)


def no_positions(patch, backbone):
    """The model counts positions itself, padding included."""
    backbone.family = replace(backbone.family, takes_positions=False)


def no_mask(patch, backbone):
    """Padding is seen."""
    patch.setattr(causal, "mask_for", lambda inputs, *_: torch.ones_like(inputs.mask))


def causal_tree(patch, backbone):
    """Branches on one line see each other."""
    patch.setattr(causal, "mask_for", lambda inputs, *_: inputs.mask)


def no_window(patch, backbone):
    """The sliding window is forgotten where lines branch."""
    patch.setattr(calls, "tree_mask", lambda inputs, *, window: splice.tree_mask(inputs, window=None))


def window_off_by_one(patch, backbone):
    """A token sees one more than the window."""

    def tree_mask(inputs, *, window):
        return splice.tree_mask(inputs, window=window and window + 1)

    patch.setattr(calls, "tree_mask", tree_mask)


def physical_window(patch, backbone):
    """The window counts columns instead of logical positions."""

    def tree_mask(inputs, *, window):
        columns = torch.arange(inputs.ids.shape[1]) + inputs.state_width
        return splice.tree_mask(replace(inputs, positions=columns.expand_as(inputs.positions)), window=window)

    patch.setattr(calls, "tree_mask", tree_mask)


# --- states


def _padded_right(state):
    """The same rows with their padding behind."""

    def turn(tensor):
        shifts = [length - state.width for length in state.lengths]
        return torch.cat([tensor[i : i + 1].roll(shift, 2) for i, shift in enumerate(shifts)])

    return State(tuple(map(turn, state.keys)), tuple(map(turn, state.values)), state.lengths)


def swapped_padding(patch, backbone):
    """States are padded on the right, the mask says left."""
    patch.setattr(causal, "by_line", lambda state, lines: _padded_right(splice.by_line(state, lines)))


def gap(patch, backbone):
    """States are padded on the right and masked so: right for most models, and a gap inside a sliding window."""
    swapped_padding(patch, backbone)

    def lay_out(lines, width, device):
        inputs = splice.lay_out(lines, width, device)
        return replace(inputs, mask=torch.cat([inputs.mask[:, :width].flip(1), inputs.mask[:, width:]], dim=1))

    patch.setattr(causal, "lay_out", lay_out)


def config_cache(patch, backbone):
    """States go into a cache built with the model's config, which keeps only what its windows need now."""

    def cache_of(state=None):
        if state is None:
            return calls.cache_of()
        return DynamicCache(list(zip(state.keys, state.values, strict=True)), config=backbone.model.config)

    patch.setattr(causal, "cache_of", cache_of)


def wrong_row(patch, backbone):
    """Lines get the state of the next row."""
    patch.setattr(causal, "by_line", lambda state, lines: _shifted(splice.by_line(state, lines)))


def _shifted(state):
    return replace(state.take([*range(1, len(state)), 0]), lengths=state.lengths)


def roll_off_by_one(patch, backbone):
    """States are moved one column too far."""

    def roll(keys, values, inputs, *_):
        state = splice.roll(keys, values, inputs)
        return replace(state, keys=tuple(key.roll(1, 2) for key in state.keys))

    patch.setattr(causal, "roll", roll)


def not_rolled(patch, backbone):
    """The padding behind the live part stays where it is."""

    def roll(keys, values, inputs, *_):
        width = splice.roll(keys, values, inputs).width
        return State(tuple(k[:, :, -width:] for k in keys), tuple(v[:, :, -width:] for v in values), inputs.counts)

    patch.setattr(causal, "roll", roll)


def rounded_states(patch, backbone):
    """States are kept with fewer bits than the model computes with."""

    def cache_of(state=None):
        if state is None:
            return calls.cache_of()
        low = tuple(key.to(torch.float8_e4m3fn).to(key.dtype) for key in state.keys)
        return calls.cache_of(replace(state, keys=low))

    patch.setattr(causal, "cache_of", cache_of)


# --- what goes in


def unscaled_embeddings(patch, backbone):
    """Rows of the table instead of the output of the embedding module."""
    patch.setattr(backbone, "embed", lambda ids: backbone.model.get_input_embeddings().weight[ids])


def one_prompt_for_all(patch, backbone):
    """A prompt gets the vectors of another that looks alike."""

    def insert(embeds, lines, prompts):
        return splice.insert(embeds, lines, [*prompts[:2], prompts[0]])

    patch.setattr(causal, "insert", insert)


def written_into_the_table(patch, backbone):
    """Soft vectors are put into the embedding table, at the ids that stand for them."""

    def insert(embeds, lines, prompts):
        with torch.no_grad():
            backbone.model.get_input_embeddings().weight[0] = next(iter(prompts[0].slots.values())).embed[0]
        return splice.insert(embeds, lines, prompts)

    patch.setattr(causal, "insert", insert)


def not_frozen(patch, backbone):
    """The model's own parameters take part in the training."""
    backbone.model.requires_grad_(True)


def first_prompt_learns(patch, backbone):
    """Only the first prompt's vectors keep their graph."""

    def insert(embeds, lines, prompts):
        return splice.insert(embeds, lines, [prompts[0], *(prompt.detach() for prompt in prompts[1:])])

    patch.setattr(causal, "insert", insert)


def recomputed_without_graph(patch, backbone):
    """What a checkpointed layer adds has no graph."""

    def recompute(layer, hidden, *args, use_reentrant, preserve_rng_state, **kwargs):
        return hidden + (layer(hidden, *args, **kwargs) - hidden).detach()

    patch.setattr(calls, "recompute", recompute)


# --- what comes out


def no_terminator(patch, backbone):
    """An answer's score leaves out its last token."""
    patch.setattr(lowering, "Candidate", lambda p, r, c, reads, against: Candidate(p, r, c, reads[:-1], against))


def mean_score(patch, backbone):
    """An answer's score is a mean over its tokens."""
    inner = Readers.answers

    def answers(self, logits):
        found = inner(self, logits)
        return {k: replace(one, scores=one.scores / one.lengths) for k, one in found.items()}

    patch.setattr(Readers, "answers", answers)


def last_column(patch, backbone):
    """The last column is read instead of the last real token."""
    patch.setattr(
        Readers, "flat", lambda self, columns: torch.tensor([line * columns + columns - 1 for line, _ in self.index])
    )


def one_too_late(patch, backbone):
    """A token is read where it stands, not where it is predicted."""
    inner = lowering.Read
    patch.setattr(lowering, "Read", lambda line, at, token: inner(line, max(0, at - 1), token))


def raw_output_layer(patch, backbone):
    """States times the output layer's weight: soft caps are lost."""

    def call(model, *args, **kwargs):
        hidden, logits = calls.call(model, *args, **kwargs)
        return hidden, None if logits is None else hidden @ model.get_output_embeddings().weight.T

    patch.setattr(causal, "call", call)


# --- which model is this?


def first_tensor_only(patch, backbone):
    """The fingerprint looks at the embedding table alone."""
    patch.setattr(checks, "fingerprint", lambda model: fingerprint(model.get_input_embeddings()))


def as_loaded(patch, backbone):
    """The fingerprint hashes the bytes as they lie in memory."""

    def raw(model):
        parts = [bytes(parameter.detach().view(torch.uint8).numpy()) for parameter in model.parameters()]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    patch.setattr(checks, "fingerprint", raw)


def _on_mixed(check):
    return lambda backbone: check(backbone, MIXED, prompts_for(backbone))


LAWS: dict[str, Callable[[causal.CausalBackbone], None]] = {
    "1 frozen": _on_mixed(checks.check_frozen),
    "2 and 3 company": _on_mixed(checks.check_mates),
    "4 roads": _on_mixed(checks.check_roads),
    "4 gradients": _on_mixed(checks.check_gradients),
    "4 checkpoints": _on_mixed(checks.check_checkpoint),
    "4 bfloat16": lambda low: checks.check_low_precision(
        low, exact := tiny(low.spec.name.removeprefix("tiny-")), MIXED * 3, prompts_for(exact)
    ),
    "4 decoding": lambda backbone: checks.check_decoding(backbone, TEXTS),
    "8 fingerprint": lambda backbone: checks.check_fingerprint(backbone.model),
    "9 scores": _on_mixed(checks.check_scores),
}

#: Bugs that do not get as far as wrong numbers: tensors do not fit together any more.
LOUD = {config_cache}

#: (bug, family in which it shows, law that has to find it)
CASES: list[tuple[Plant, str, str]] = [
    (written_into_the_table, "llama", "1 frozen"),
    (not_frozen, "qwen2", "1 frozen"),
    (no_mask, "bloom", "2 and 3 company"),
    (swapped_padding, "llama", "2 and 3 company"),
    (gap, "mistral", "2 and 3 company"),
    (wrong_row, "opt", "2 and 3 company"),
    (last_column, "llama", "2 and 3 company"),
    (no_offset, "llama", "4 roads"),
    (no_offset, "gpt2", "4 roads"),
    (no_positions, "gpt2", "4 roads"),
    (no_mask, "llama", "4 roads"),
    (causal_tree, "qwen2", "4 roads"),
    (no_window, "mistral", "4 roads"),
    (no_window, "gemma3", "4 roads"),
    (window_off_by_one, "gemma2", "4 roads"),
    (physical_window, "mistral", "4 roads"),
    (gap, "gemma2", "4 roads"),
    (config_cache, "mistral", "4 roads"),
    (first_prompt_learns, "gpt_neox", "4 gradients"),
    (recomputed_without_graph, "llama", "4 checkpoints"),
    (rounded_states, "falcon", "4 bfloat16"),
    (no_positions, "gpt2", "4 decoding"),
    (roll_off_by_one, "llama", "4 decoding"),
    (not_rolled, "falcon_alibi", "4 decoding"),
    (first_tensor_only, "opt", "8 fingerprint"),
    (as_loaded, "opt", "8 fingerprint"),
    (unscaled_embeddings, "gemma2", "9 scores"),
    (unscaled_embeddings, "gemma3", "9 scores"),
    (one_prompt_for_all, "llama", "9 scores"),
    (no_terminator, "gpt_neox", "9 scores"),
    (mean_score, "falcon", "9 scores"),
    (one_too_late, "llama", "9 scores"),
    (raw_output_layer, "gemma2", "9 scores"),
]


@pytest.mark.parametrize(
    ("plant", "family", "law"), [pytest.param(*case, id=f"{case[0].__name__}-{case[1]}-{case[2]}") for case in CASES]
)
def test_a_planted_bug_breaks_its_law(plant, family, law, monkeypatch):
    backbone = tiny(family, dtype=torch.bfloat16 if "bfloat16" in law else torch.float32)
    LAWS[law](backbone)
    plant(monkeypatch, backbone)
    with pytest.raises(RuntimeError if plant in LOUD else AssertionError):
        LAWS[law](backbone)


def test_every_law_has_a_bug_that_breaks_it():
    assert {law for _, _, law in CASES} == LAWS.keys()
