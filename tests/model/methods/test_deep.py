"""Keys and values with and without a network, and what is done to tensors of the layers while they are learnt."""

import pytest
import torch
from torch import Tensor

from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.methods.base import Method
from softprompt.model.methods.deep import unit_of
from softprompt.model.methods.starts import Layers
from softprompt.model.methods.table import parse_method, start_method
from tests.model.methods.begun import LAYERS, STARTS, WIDTH, start

LENGTH = 4
BEGUN = start(7, lengths={"soft": LENGTH})


def made(max_rms: float | None = None, *, name: str = "deep", **settings: object) -> Method:
    return start_method(parse_method({"name": name, **settings}), [BEGUN], max_rms=max_rms)


def tensors(prompt: PromptTensors) -> dict[str, Tensor]:
    return {name.removeprefix("slots.soft."): tensor for name, tensor in prompt.tensors()}


def units(name: str) -> dict[str, Tensor]:
    """What is typical of each tensor at the start."""
    begun = LAYERS.prefill(BEGUN.slots["soft"], None if name == "deep" else 2)
    return {title: unit_of(tensor) for title, tensor in begun.tensors()}


@pytest.mark.parametrize("init", ["prefill", "zero", "random"])
def test_a_network_starts_where_its_numbers_would(init: str):
    plain, network = (tensors(made(init=init, **more).materialise()[0]) for more in ({}, {"bottleneck": 5}))
    assert plain.keys() == network.keys()
    assert all(plain[name].equal(network[name]) for name in plain)


def test_a_network_is_trained_instead_of_the_numbers_and_thrown_away():
    method = made(bottleneck=5, sink=False)
    numbers = 2 * 3 * WIDTH  # keys and values of three layers
    sizes = {name: tuple(one.shape) for name, one in method.named_parameters_of(0)}
    part = "slots.parts.0.network"
    assert sizes == {
        f"{part}.inputs": (LENGTH, WIDTH),
        f"{part}.down.weight": (5, WIDTH),
        f"{part}.down.bias": (5,),
        f"{part}.up.weight": (numbers, 5),
        f"{part}.up.bias": (numbers,),
    }
    assert set(tensors(method.materialise()[0])) == {f"{what}.{n}" for what in ("keys", "values") for n in range(3)}


def test_a_token_of_a_network_moves_in_all_layers_by_its_own_input():
    """Its output is laid out by layer, head and token as the numbers are."""
    method = made(bottleneck=5, sink=False)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    before = tensors(method.materialise()[0])
    inputs = next(one for name, one in method.named_parameters_of(0) if name.endswith("inputs"))
    with torch.no_grad():
        inputs[2] += 1.0
    for name, tensor in tensors(method.materialise()[0]).items():
        moved = (tensor - before[name]).abs().sum(dim=(0, 2)) > 0
        assert moved.tolist() == [False, False, True, False], name


def test_the_kept_first_token_is_nobodys_with_a_network_either():
    method, begun = made(bottleneck=5), LAYERS.prefill(BEGUN.slots["soft"], None)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(1.0)
    for name, tensor in tensors(method.materialise()[0]).items():
        own = dict(begun.tensors())[name]
        assert tensor[:, 0].equal(own[:, 0])
        assert not tensor[:, 1:].allclose(own[:, 1:])


def test_the_seed_decides_the_network():
    def drawn(seed: int) -> Tensor:
        begun = start(seed, lengths={"soft": LENGTH})
        method = start_method(parse_method({"name": "deep", "bottleneck": 5}), [begun])
        return next(one for name, one in method.named_parameters_of(0) if name.endswith("down.weight"))

    assert drawn(1).equal(drawn(1))
    assert not drawn(1).equal(drawn(2))


@pytest.mark.parametrize("name", ["deep", "late"])
def test_noise_is_in_units_of_each_layer_and_spares_the_kept_token(name: str):
    method, asked = made(name=name), []

    def ones(prompt: int, slot: str, vectors: Tensor) -> Tensor:
        asked.append(slot)
        return torch.ones_like(vectors)

    quiet, noisy = (tensors(one) for one in (*method(), *method(perturb=ones)))
    assert asked == [f"soft.{title}" for title in quiet]
    for title, unit in units(name).items():
        change = noisy[title] - quiet[title]
        kept = int(name == "deep")
        assert change[..., :kept, :].abs().sum() == 0
        torch.testing.assert_close(change[..., kept:, :], torch.full_like(change[..., kept:, :], float(unit)))


@pytest.mark.parametrize("name", ["deep", "late"])
def test_a_bound_holds_every_vector_and_leaves_the_kept_token(name: str):
    free, bound = (tensors(made(most, name=name).materialise()[0]) for most in (None, 0.4))
    for title, unit in units(name).items():
        kept = int(name == "deep")
        rms = (free[title] / unit).square().mean(-1).sqrt()
        expected = free[title] * (0.4 / rms).clamp(max=1)[..., None]
        torch.testing.assert_close(bound[title][..., kept:, :], expected[..., kept:, :])
        assert bound[title][..., :kept, :].equal(free[title][..., :kept, :])
        assert (rms[..., kept:] > 0.4).any()


def test_a_start_of_one_token_keeps_none():
    layers = {"soft": Layers(1, lambda vectors, layer: SlotTensors(kv={0: (vectors[None], vectors[None])}))}
    begun = STARTS[0].__class__({"soft": torch.ones(1, 2)}, 1.0, layers=layers)
    (prompt,) = start_method(parse_method({"name": "deep", "bottleneck": 2}), [begun], max_rms=0.5).materialise()
    assert prompt.slots["soft"].kv[0][0].tolist() == [[[0.5, 0.5]]]
