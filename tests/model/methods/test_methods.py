"""Laws of every method: the start is the start, prompts do not know each other, what is kept is what was trained."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from softprompt.core.errors import ConfigError
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.model.methods.base import Method, MethodSettings
from softprompt.model.methods.plain import PlainSettings
from softprompt.model.methods.residual import Residual, ResidualSettings
from softprompt.model.methods.starts import Layers, Start
from softprompt.model.methods.table import METHODS, parse_method, start_method
from tests.model.methods.begun import LAYERS, STARTS, WIDTH, words_at

#: Every method of the table as it comes, and what else changes its code's way.
CONFIGS = [
    *(parse_method(name) for name in METHODS),
    *(
        parse_method(data)
        for data in (
            {"name": "residual", "bottleneck": 3, "layer_norm": False},
            {"name": "superposition", "words": 4},
            {"name": "p_tuning", "encoder": "lstm", "hidden": 3},
            {"name": "context", "epsilon": None},
            {"name": "deep", "bottleneck": 3},
        )
    ),
]
every_method = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: str(config))

#: Methods whose tokens are no vectors among the embeddings, and what they are at the start.
ENTERING: dict[str, Callable[[Tensor], SlotTensors]] = {
    "deep": lambda vectors: LAYERS.prefill(vectors, None),
    "late": lambda vectors: LAYERS.prefill(vectors, 2),
}


def assert_equal(left: PromptTensors, right: PromptTensors, **tolerance: float) -> None:
    one, two = dict(left.tensors()), dict(right.tensors())
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], **tolerance)


def loss_of(prompt: PromptTensors) -> Tensor:
    """Anything that depends on all numbers of one prompt and on no other's."""
    return sum(((tensor - 0.1) ** 4 + (tensor - 0.3) ** 2).sum() for _, tensor in prompt.tensors())  # type: ignore[return-value]


def train(method: Method, *, steps: int) -> tuple[PromptTensors, ...]:
    optimisers = [torch.optim.AdamW(list(method.parameters_of(k)), lr=0.05) for k in range(method.num_prompts)]
    for _ in range(steps):
        method.zero_grad()
        torch.stack([loss_of(prompt) for prompt in method()]).sum().backward()
        for optimiser in optimisers:
            optimiser.step()
        method.after_step()
    return method.materialise()


@every_method
def test_step_zero_is_the_start(config: MethodSettings):
    for prompt, begun in zip(start_method(config, STARTS).materialise(), STARTS, strict=True):
        made = ENTERING.get(config.name, lambda vectors: SlotTensors(embed=vectors))
        assert_equal(prompt, PromptTensors({k: made(v) for k, v in begun.slots.items()}, begun.head))


@every_method
def test_prompts_together_equal_prompts_alone(config: MethodSettings):
    together = train(start_method(config, STARTS), steps=5)
    for k, begun in enumerate(STARTS):
        (alone,) = train(start_method(config, [begun]), steps=5)
        assert_equal(together[k], alone, atol=0, rtol=0)


@every_method
def test_training_moves_every_parameter_and_lowers_every_loss(config: MethodSettings):
    method = start_method(config, STARTS)
    before = {name: parameter.detach().clone() for name, parameter in method.named_parameters()}
    losses = [loss_of(prompt) for prompt in method.materialise()]
    after = [loss_of(prompt) for prompt in train(method, steps=30)]
    assert all(new < old for new, old in zip(after, losses, strict=True))
    assert all(not torch.equal(parameter, before[name]) for name, parameter in method.named_parameters())


@every_method
def test_parameters_of_all_prompts_are_disjoint_and_complete(config: MethodSettings):
    method = start_method(config, STARTS)
    by_prompt = [list(method.parameters_of(k)) for k in range(method.num_prompts)]
    ids = [id(parameter) for parameters in by_prompt for parameter in parameters]
    assert len(ids) == len(set(ids)) == len(list(method.parameters()))
    names = [name for name, _ in method.named_parameters_of(0)]
    assert {name.split(".")[0] for name in names} >= {"slots", "head"}
    assert all(parameter.dtype == torch.float32 for parameter in method.parameters())


@every_method
def test_a_gradient_stays_with_its_prompt(config: MethodSettings):
    method = start_method(config, STARTS)
    loss_of(method()[1]).backward()
    for k in (0, 2, 3):
        assert all(parameter.grad is None for parameter in method.parameters_of(k))
    assert any(parameter.grad is not None for parameter in method.parameters_of(1))


@every_method
def test_what_is_materialised_is_what_was_trained_and_does_not_move_with_it(config: MethodSettings):
    method = start_method(config, STARTS)
    kept = train(method, steps=2)
    for prompt, live in zip(kept, method(), strict=True):
        assert_equal(prompt, live.detach(), atol=0, rtol=0)
        assert all(not tensor.requires_grad and tensor.dtype == torch.float32 for _, tensor in prompt.tensors())
    copies = [prompt.detach() for prompt in kept]
    train(method, steps=1)
    for prompt, copy in zip(kept, copies, strict=True):
        assert_equal(prompt, copy, atol=0, rtol=0)


@every_method
def test_a_state_dict_resumes_exactly(config: MethodSettings):
    trained = start_method(config, STARTS)
    train(trained, steps=3)
    others = [replace(begun, scale=1.0, seed=begun.seed + 9, head_scale=1.0) for begun in STARTS]
    fresh = start_method(config, others)
    fresh.load_state_dict(trained.state_dict())
    for one, two in zip(trained.materialise(), fresh.materialise(), strict=True):
        assert_equal(one, two, atol=0, rtol=0)


@every_method
def test_low_precision_starts_are_trained_in_fp32(config: MethodSettings):
    vectors = torch.full((2, WIDTH), 0.5, dtype=torch.bfloat16)
    begun = Start({"soft": vectors}, 0.5, words=words_at(0.5), kept={"soft": 1}, layers={"soft": LAYERS})
    (prompt,) = train(start_method(config, [begun]), steps=1)
    assert {tensor.dtype for _, tensor in prompt.slots["soft"].tensors()} == {torch.float32}


@pytest.mark.parametrize("name", METHODS)
def test_a_rate_means_the_same_at_every_scale(name: str):
    """A model whose tables are 64 times larger takes the same path, 64 times larger (2^6: the numbers stay exact)."""
    factor = 64.0
    small = STARTS[0]
    assert small.head is not None
    large = replace(
        small,
        slots={k: v * factor for k, v in small.slots.items()},
        scale=small.scale * factor,
        head=Head(small.head.weight * factor, small.head.bias),
        head_scale=small.head_scale * factor,
        words=words_at(small.scale * factor),
    )

    def path(begun: Start, unit: float) -> PromptTensors:
        method = start_method(parse_method(name), [begun])
        optimiser = torch.optim.AdamW(method.parameters(), lr=0.02)
        for _ in range(4):
            method.zero_grad()
            prompt = method()[0]
            assert prompt.head is not None
            vectors = torch.cat([tensor.flatten() for _, tensor in prompt.slots["soft"].tensors()])
            ((vectors / unit - 0.01).square().sum() + (prompt.head.weight / unit).square().sum()).backward()
            optimiser.step()
        return method.materialise()[0]

    one, two = path(small, 1.0), path(large, factor)
    for (title, tensor), (_, other) in zip(one.tensors(), two.tensors(), strict=True):
        torch.testing.assert_close(tensor * (1.0 if title == "head.bias" else factor), other)


def test_noise_comes_from_the_caller_in_units_of_the_scale():
    method = start_method(PlainSettings(), STARTS)
    asked = []

    def ones(prompt: int, slot: str, vectors: Tensor) -> Tensor:
        asked.append((prompt, slot, tuple(vectors.shape)))
        return torch.ones_like(vectors)

    noisy, quiet = method(perturb=ones), method()
    assert asked == [(0, "soft", (3, 6)), (1, "tone", (2, 6)), (1, "topic", (5, 6)), (2, "soft", (2, 6))]
    for k, scale in [(0, 0.02), (1, 0.02), (2, 4.0)]:
        for slot, content in noisy[k].slots.items():
            torch.testing.assert_close(content.embed, quiet[k].slots[slot].embed + scale)
    assert_equal(noisy[3], quiet[3])


@pytest.mark.parametrize("config", [config for config in CONFIGS if config.name not in ENTERING], ids=str)
def test_vectors_are_held_below_the_bound_and_stay_where_they_are_below_it(config: MethodSettings):
    """In training, in what is kept, and with a gradient for what lies beyond."""
    free, bound = start_method(config, STARTS), start_method(config, STARTS, max_rms=0.9)
    train(bound, steps=4)
    free.load_state_dict(bound.state_dict())
    held = 0
    for begun, one, other in zip(STARTS, free.materialise(), bound.materialise(), strict=True):
        for slot in begun.slots:
            vectors, below = one.slots[slot].embed, other.slots[slot].embed
            assert vectors is not None
            assert below is not None
            rms = vectors.square().mean(1).sqrt() / begun.scale
            expected = vectors * (0.9 / rms).clamp(max=1)[:, None]
            torch.testing.assert_close(below, expected)
            held += int((rms > 0.9).sum())
    assert held > 0


def test_a_vector_of_zeros_has_a_gradient_under_a_bound():
    method = start_method(PlainSettings(), [Start({"soft": torch.zeros(1, 2)}, 1.0)], max_rms=1.0)
    vectors = method()[0].slots["soft"].embed
    assert vectors is not None
    vectors.sum().backward()
    (parameter,) = method.parameters()
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [[1.0, 1.0]]


def test_the_residual_network_is_shared_by_the_slots_and_its_seed_decides_it():
    def networks(*seeds: int) -> Iterator[Tensor]:
        starts = [Start(STARTS[1].slots, 0.02, seed) for seed in seeds]
        for part in Residual.start(ResidualSettings(), starts).prompts:
            assert isinstance(part.network, nn.Module)
            yield part.network.get_parameter("down")

    one, two, again = networks(5, 6, 5)
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    assert one.shape == (128, WIDTH)


def test_settings_come_from_a_name_or_a_mapping():
    assert parse_method("residual") == ResidualSettings()
    assert parse_method({"name": "residual", "bottleneck": 7}) == ResidualSettings(bottleneck=7)
    with pytest.raises(ConfigError, match="did you mean 'bottleneck'"):
        parse_method({"name": "residual", "botleneck": 7})
    with pytest.raises(ConfigError, match=r"unknown method 'plane'; did you mean 'plain'.*config.unknown_name"):
        parse_method("plane")
    with pytest.raises(ConfigError, match=r"the method has no name; known: .*; write it beside its settings"):
        parse_method({"rank": 4})


def test_dept_is_refused_with_its_reason():
    with pytest.raises(ConfigError, match=r"embeddings of the text.*config.unsupported_method.*use low_rank"):
        parse_method("DePT")


def test_the_documented_sizes_are_true(repository: Path):
    """The table of docs/methods.md, for 20 tokens of width 256, 20 earlier ones and 12 layers."""
    page = (repository / "docs/methods.md").read_text("utf-8")
    rows = re.findall(r"^\| \[`(\w+)`\]\S+ \| ([\d,]+)", page, re.M)
    sizes = {}
    for name in METHODS:
        earlier = 20 if name == "progressive" else 0
        vectors = torch.randn(20 + earlier, 256)
        pairs = dict.fromkeys(range(12), (vectors[None], vectors[None]))
        layers = Layers(
            12, lambda v, m, pairs=pairs: SlotTensors(kv=pairs) if m is None else SlotTensors(hidden={m: v})
        )
        begun = Start({"soft": vectors}, 1.0, words=words_at(1.0, 256), kept={"soft": earlier}, layers={"soft": layers})
        sizes[name] = sum(parameter.numel() for parameter in start_method(parse_method(name), [begun]).parameters())
    assert {name: int(size.replace(",", "")) for name, size in rows} == sizes


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_page_with_a_command(name: str, repository: Path):
    page = (repository / f"docs/methods/{name}.md").read_text("utf-8")
    assert f"--method {name}" in page
    assert "https://" in page
    for field in METHODS[name].settings.model_fields:
        assert f"`{field}`" in page or field == "name"


def test_the_table_names_each_settings_class_by_its_own_name():
    for name, entry in METHODS.items():
        assert entry.settings.model_fields["name"].default == name
