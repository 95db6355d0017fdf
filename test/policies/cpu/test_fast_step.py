# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What is made for speed on a CPU gives the numbers and gradients of PyTorch's plain layers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from policy_examples import FAMILIES, family, random_observation
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from motion_policy.policies import Policy
from motion_policy.policies.cpu import layers as cpu_layers
from motion_policy.policies.cpu import onednn
from motion_policy.policies.cpu.layers import Convolutions, MapNorm, Tanh, UpConvolution

torch.set_num_threads(1)

MEMORY_FORMATS = (torch.contiguous_format, torch.channels_last)


@pytest.fixture(autouse=True)
def small_is_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small test data take the ways that are meant for large maps."""
    monkeypatch.setattr(cpu_layers, 'MANY', 64)


class Calls(TorchDispatchMode):
    """The names of all operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return normally distributed numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype)


def stack(activation: nn.Module) -> Convolutions:
    """Return layers of all that an encoder may hold, with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Convolutions(
            nn.Conv2d(3, 8, 3),
            activation,
            nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2, bias=False),
            activation,
            nn.Conv2d(8, 4, 5, dilation=2),
            nn.Conv2d(4, 4, 3, padding='same'),
            activation,
            nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect'),
            activation,
            nn.LayerNorm(9),
            nn.Flatten(),
            nn.Linear(4 * 7 * 9, 5),
            activation,
            nn.Linear(5, 6),
            nn.Sigmoid(),
            nn.Linear(6, 3, bias=False),
        )


def plainly(layers: Convolutions, images: Tensor) -> Tensor:
    """Return what the layers give one by one."""
    values = images
    for layer in layers:
        values = layer(values)
    return values


@pytest.mark.parametrize('memory_format', MEMORY_FORMATS)
@pytest.mark.parametrize('batch', [1, 3])
@pytest.mark.parametrize(
    'activation', [nn.ReLU(), nn.LeakyReLU(0.3), nn.LeakyReLU(0.01), nn.Tanh(), Tanh()]
)
def test_fused_activations_change_no_number(
    activation: nn.Module, batch: int, memory_format: torch.memory_format
) -> None:
    layers = stack(activation).to(memory_format=memory_format)
    images = normal(batch, 3, 32, 36).to(memory_format=memory_format)
    with torch.inference_mode():
        expected = plainly(layers, images.clone())
        layers(images)  # the first call of all finds out what there is
        with Calls() as calls:
            found = layers(images)
    assert sum('_convolution_pointwise' in name for name in calls.names) == 2
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_all_but_inference_takes_the_plain_layers() -> None:
    layers = stack(nn.ReLU())
    images = normal(1, 3, 32, 36)
    with Calls() as calls:
        layers(images).sum().backward()
        with torch.no_grad():
            layers(images)
        with torch.inference_mode():
            layers.double()(images.double())
    with torch.inference_mode():
        born = stack(nn.ReLU())  # its weights tell nobody when they change
        with calls:
            born(images)
    assert not any('pointwise' in name for name in calls.names)


def test_changed_weights_count_at_once() -> None:
    layers, images = stack(nn.ReLU()), normal(1, 3, 32, 36)
    optimiser = torch.optim.SGD(layers.parameters(), lr=0.1)
    weight = layers[0].weight

    def learn() -> None:
        layers(images).sum().backward()
        optimiser.step()

    changes = (
        learn,
        lambda: layers.load_state_dict(stack(nn.ReLU()).state_dict()),
        lambda: layers.load_state_dict(
            {name: value * 2 for name, value in layers.state_dict().items()}, assign=True
        ),
        lambda: setattr(layers[0], 'weight', nn.Parameter(weight.detach() * 3)),
        lambda: setattr(layers[0].weight, 'data', weight.detach() * 4),
        lambda: torch._foreach_mul_([x.detach() for x in layers.parameters()], 0.5),
        lambda: layers.to(memory_format=torch.channels_last),
    )
    with torch.inference_mode():
        before = layers(images)
    for change in changes:
        change()
        with torch.inference_mode():
            found = layers(images)
            torch.testing.assert_close(found, plainly(layers, images), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found, before, atol=1e-3)


def test_where_the_operator_is_missing_or_wrong_the_plain_layers_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers, images = stack(nn.ReLU()), normal(1, 3, 32, 36)

    def broken(*arguments: Any) -> Tensor:
        raise TypeError('takes other arguments in this version')

    def wrong(images: Tensor, *rest: Any) -> Tensor:
        return torch.zeros(1, 8, 5, 4)

    with torch.inference_mode():
        expected = plainly(layers, images)
        for operators in (
            type('Empty', (), {})(),
            type('Broken', (), {'_convolution_pointwise': staticmethod(broken)})(),
            type('Wrong', (), {'_convolution_pointwise': staticmethod(wrong)})(),
        ):
            onednn.works.cache_clear()
            with monkeypatch.context() as patch:
                patch.setattr(torch.ops, 'mkldnn', operators)
                assert torch.equal(layers(images), expected)
    onednn.works.cache_clear()


def test_layers_may_be_exchanged_and_copied() -> None:
    layers, images = stack(nn.ReLU()), normal(1, 3, 32, 36)
    with torch.inference_mode():
        layers(images)
    layers[0], layers[1] = nn.Conv2d(3, 8, 3), nn.LeakyReLU(0.5)
    with torch.inference_mode():
        before = layers(images)
        assert torch.allclose(before, plainly(layers, images), atol=1e-6)
    copied = copy.deepcopy(layers)
    for weight in copied.parameters():
        nn.init.constant_(weight, 0.1)
    with torch.inference_mode():
        assert torch.equal(layers(images), before)
        assert torch.allclose(copied(images), plainly(copied, images), atol=1e-6)


def test_few_values_take_the_shortest_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_layers, 'MANY', 10_000)
    values = normal(1, 3, 32, 36)
    with torch.inference_mode(), Calls() as calls:
        bent = Tanh()(values.clone())
    assert torch.equal(bent, values.tanh())
    assert not any('sigmoid_' in name for name in calls.names)


def test_finding_out_takes_no_random_numbers() -> None:
    onednn.works.cache_clear()
    before = torch.get_rng_state()
    with torch.inference_mode():
        stack(nn.ReLU())(normal(1, 3, 32, 36))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize('kind', sorted(FAMILIES))
def test_a_policy_acts_as_its_network_steps(kind: str) -> None:
    policy = family(kind)
    network = policy.network
    state = policy.initial_state(2)
    plain_state = state
    for seed in range(5):
        observation = random_observation(seed=seed)
        chunk, state = policy.act(observation, state)
        plain, plain_state = plain_step(policy, observation, plain_state)
        torch.testing.assert_close(chunk, plain, rtol=0, atol=1e-5)
        for ours, expected in zip(state, plain_state, strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    assert not network.training


def plain_step(policy: Policy, observation: Any, state: Any) -> tuple[Tensor, Any]:
    """Return chunk and state by the network as it runs in training, with gradients."""
    vector = policy.normalise_qpos(observation['qpos'])
    image = policy._image(observation, 'top')
    _, predicted, state = policy.network([image], vector, state)
    chunk = policy.normalise_target.inverse(predicted.detach())[:, None]
    return chunk, tuple(part.detach() for part in state)


def test_tanh_is_tanh_with_its_gradient() -> None:
    values = torch.cat((normal(1000), torch.linspace(-30, 30, 301), torch.tensor([0.0, 1e-4])))
    given = values.clone().requires_grad_()
    bent = Tanh()(given * 1)  # in place: not on a leaf
    bent.square().sum().backward()
    exact = values.double().requires_grad_()
    exact.tanh().square().sum().backward()
    torch.testing.assert_close(bent.double(), exact.tanh(), rtol=0, atol=5e-7)
    torch.testing.assert_close(given.grad.double(), exact.grad, rtol=0, atol=2e-6)
    with torch.no_grad():
        torch.testing.assert_close(Tanh()(values.clone()), bent)


def test_tanh_leaves_other_types_to_pytorch() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        values = normal(100).to(dtype)
        assert torch.equal(Tanh()(values.clone()), values.tanh())
    layer = nn.Sequential(nn.Linear(3, 4), Tanh()).double()
    values = normal(2, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(layer, (values,))


@pytest.mark.parametrize('memory_format', MEMORY_FORMATS)
@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_an_up_convolution_is_a_transposed_convolution(
    dtype: torch.dtype, bias: bool, memory_format: torch.memory_format
) -> None:
    options: dict[str, Any] = {'stride': 2, 'padding': 1, 'output_padding': 1, 'bias': bias}
    ours = UpConvolution(6, 4, 3, **options).to(dtype).to(memory_format=memory_format)
    plain = nn.ConvTranspose2d(6, 4, 3, **options).to(dtype)
    plain.load_state_dict(ours.state_dict())
    maps = normal(3, 6, 5, 7, dtype=dtype).to(memory_format=memory_format)
    found = []
    for layer in (ours, plain):
        given = maps.clone().requires_grad_()
        drawn = layer(given)
        drawn.square().sum().backward()
        found.append([drawn, given.grad, *(weight.grad for weight in layer.parameters())])
    for value, expected in zip(*found, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
    sizes = [5 * 2, 7 * 2]
    assert torch.allclose(ours(maps, sizes), plain(maps, sizes), atol=1e-5)


def test_up_convolution_and_tanh_run_under_autocast() -> None:
    layers = nn.Sequential(UpConvolution(6, 4, 3), Tanh())
    maps = normal(3, 6, 5, 7).requires_grad_()
    plain = layers(maps)
    with torch.autocast('cpu', torch.bfloat16):
        drawn = layers(maps)
        assert drawn.dtype == torch.bfloat16
        drawn.float().sum().backward()
    torch.testing.assert_close(drawn.float(), plain, rtol=0.02, atol=0.02)
    assert maps.grad is not None and layers[0].bias.grad.dtype == torch.float32


@pytest.mark.parametrize('memory_format', MEMORY_FORMATS)
@pytest.mark.parametrize('learned', [True, False])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_a_map_norm_is_layer_normalisation(
    dtype: torch.dtype, learned: bool, memory_format: torch.memory_format
) -> None:
    ours, plain = MapNorm(6, 5, 7).to(dtype), nn.LayerNorm([6, 5, 7]).to(dtype)
    plain.load_state_dict(
        {
            name: normal(6, 5, 7, seed=seed, dtype=dtype)
            for seed, name in enumerate(('weight', 'bias'), start=1)
        }
    )
    ours.load_state_dict(plain.state_dict())
    assert ours.weight.permute(1, 2, 0).is_contiguous()
    maps = normal(3, 6, 5, 7, dtype=dtype).to(memory_format=memory_format)
    found = []
    for layer in (ours.requires_grad_(learned), plain.requires_grad_(learned)):
        given = maps.clone().requires_grad_()
        normed = nn.ReLU(inplace=True)(layer(given))
        normed.square().sum().backward()
        gradients = (weight.grad for weight in layer.parameters() if learned)
        found.append([normed, given.grad, *gradients])
        with torch.no_grad():
            found[-1].append(layer(maps))
    for value, expected in zip(*found, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=2e-5)
    assert ours(maps[:0]).shape == (0, 6, 5, 7)


def test_a_map_norm_copies_nothing_and_changes_no_memory_order() -> None:
    layers = nn.Sequential(MapNorm(6, 5, 7), nn.ReLU(inplace=True))
    maps = normal(3, 6, 5, 7).to(memory_format=torch.channels_last).requires_grad_()
    incoming = normal(3, 6, 5, 7, seed=1).to(memory_format=torch.channels_last)
    with Calls() as calls:
        normed = layers(maps)
        normed.backward(incoming)
    assert normed.is_contiguous(memory_format=torch.channels_last)
    assert maps.grad is not None and maps.grad.stride() == maps.stride()
    assert layers[0].weight.grad.stride() == layers[0].weight.stride()
    assert not any('copy' in name or 'clone' in name for name in calls.names)


def test_a_map_norm_runs_under_autocast() -> None:
    layer = MapNorm(6, 5, 7)
    maps = normal(3, 6, 5, 7).to(memory_format=torch.channels_last)
    given = maps.bfloat16().requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        layer(given).relu_().sum().backward()
    exact = maps.clone().requires_grad_()
    layer(exact).relu_().sum().backward()
    torch.testing.assert_close(given.grad.float(), exact.grad, rtol=0.05, atol=0.05)
