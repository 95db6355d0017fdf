# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The MTRNN over a sequence is its plain cell in numbers and gradients, at two kernels a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from motion_policy.policies.recurrent.mtrnn import MTRNN, State

torch.set_num_threads(1)

DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]


def layer(**changes: Any) -> MTRNN:
    """Return a small layer with weights from a seed."""
    torch.manual_seed(0)
    return MTRNN(**{'in_dim': 4, 'fast_dim': 7, 'slow_dim': 3, **changes})


def random_state(network: MTRNN, batch: int) -> State:
    """Return a state that is not zero."""
    return tuple(torch.randn_like(part) for part in network.initial_state(batch))


def plain_loop(network: MTRNN, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    """Run the cell step by step."""
    hidden = []
    for step in x.unbind(1):
        state = network.cell(step, state)
        hidden.append(torch.cat(state[:2], dim=-1))
    assert state is not None
    return torch.stack(hidden, dim=1), state


def test_with_its_output_layer_it_has_as_many_parameters_as_the_original() -> None:
    network = nn.ModuleList((MTRNN(18, 60, 5, 2, 12), nn.Linear(60, 18)))
    assert sum(parameter.numel() for parameter in network.parameters()) == 6_403
    weights = dict(network[0].named_parameters())
    assert list(weights) == [f'{name}.weight' for name in ('i2f', 'f2f', 'f2s', 's2s', 's2f')]


def test_the_cell_follows_the_published_equations() -> None:
    network = layer(fast_tau=2.0, slow_tau=10.0)
    weight = {name: part.detach().numpy() for name, part in network.named_parameters()}
    x, state = torch.randn(2, 4), random_state(network, 2)
    h_f, h_s, u_f, u_s = (part.numpy() for part in state)
    drive = x.numpy() @ weight['i2f.weight'].T
    fast = 0.5 * u_f + 0.5 * (drive + h_f @ weight['f2f.weight'].T + h_s @ weight['s2f.weight'].T)
    slow = 0.9 * u_s + 0.1 * (h_f @ weight['f2s.weight'].T + h_s @ weight['s2s.weight'].T)
    for given, expected in zip(
        network.cell(x, state), (np.tanh(fast), np.tanh(slow), fast, slow), strict=True
    ):
        assert np.allclose(given.detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize('activation', ['tanh', 'relu'])
@pytest.mark.parametrize('steps', [1, 2, 23])
@pytest.mark.parametrize('device', DEVICES)
def test_a_sequence_is_the_cell_step_by_step(activation: str, steps: int, device: str) -> None:
    network = layer(activation=activation).to(device)
    x = torch.randn(3, steps, 4, device=device)
    for begin in (None, random_state(network, 3)):
        hidden, state = network(x, begin)
        expected, last = plain_loop(network, x, begin)
        assert hidden.shape == (3, steps, 10)
        assert torch.allclose(hidden, expected, atol=1e-6)
        for mine, plain in zip(state, last, strict=True):
            assert torch.allclose(mine, plain, atol=1e-6)


def test_no_state_means_zeros() -> None:
    network, x = layer(), torch.randn(2, 5, 4)
    assert [part.shape for part in network.initial_state(2)] == [(2, 7), (2, 3)] * 2
    assert torch.equal(network(x)[0], network(x, network.initial_state(2))[0])


@pytest.mark.parametrize('activation', ['tanh', 'relu'])
@pytest.mark.parametrize('steps', [1, 4])
def test_gradients_are_exact_for_input_state_and_every_weight(activation: str, steps: int) -> None:
    network = layer(in_dim=2, fast_dim=4, slow_dim=2, activation=activation).double()
    names = [name for name, _ in network.named_parameters()]
    begin = random_state(network, 3)

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        weights = dict(zip(names, rest[4:], strict=True))
        hidden, state = torch.func.functional_call(network, weights, (x, rest[:4]))
        return hidden, *state

    inputs = (torch.randn(3, steps, 2).double(), *begin, *network.state_dict().values())
    assert torch.autograd.gradcheck(run, [part.clone().requires_grad_() for part in inputs])


@pytest.mark.parametrize('device', DEVICES)
def test_gradients_are_those_of_the_plain_loop_over_a_long_sequence(device: str) -> None:
    network = layer(fast_dim=60, slow_dim=5).to(device)
    gradients = []
    for run in (network, lambda x: plain_loop(network, x)):
        torch.manual_seed(1)
        x = torch.randn(5, 120, 4).to(device).requires_grad_()
        hidden, state = run(x)
        loss = (hidden * torch.randn(5, 120, 65).to(device)).sum() + sum(map(torch.sum, state))
        gradients.append(torch.autograd.grad(loss, (x, *network.parameters())))
    for mine, plain in zip(*gradients, strict=True):
        assert (mine - plain).abs().max() <= 1e-5 * plain.abs().max()


def test_it_takes_inputs_in_any_memory_order() -> None:
    network = layer()
    straight = torch.randn(2, 6, 4)
    for strided in (
        straight.transpose(0, 1).contiguous().transpose(0, 1),
        straight.flip(1).flip(1).permute(2, 1, 0).contiguous().permute(2, 1, 0),
        torch.stack((straight, straight), dim=-1)[..., 0],
    ):
        assert torch.equal(network(strided)[0], network(straight)[0])
    still = torch.randn(2, 1, 4).requires_grad_()
    hidden, _ = network(still.expand(2, 6, 4))
    hidden.sum().backward()  # whose gradient is one number, expanded
    expected = torch.autograd.grad(plain_loop(network, still.expand(2, 6, 4))[0].sum(), still)
    assert torch.allclose(still.grad, expected[0], atol=1e-6)


def test_what_is_not_used_of_the_result_needs_no_gradient() -> None:
    network, x = layer(), torch.randn(2, 6, 4)
    for pick in range(5):
        given = torch.autograd.grad(
            _flat(network(x))[pick].sum(), network.parameters(), allow_unused=True
        )
        expected = torch.autograd.grad(
            _flat(plain_loop(network, x))[pick].sum(), network.parameters(), allow_unused=True
        )
        for mine, plain in zip(given, expected, strict=True):
            assert torch.allclose(mine, torch.zeros_like(mine) if plain is None else plain,
                                  atol=1e-6)  # fmt: skip


def test_a_sequence_in_parts_is_the_whole_sequence() -> None:
    network, x = layer(), torch.randn(2, 9, 4)
    whole, last = network(x)
    parts, state = [], None
    for part in x.split(4, dim=1):
        hidden, state = network(part, state)
        parts.append(hidden)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-6)
    assert torch.allclose(state[3], last[3], atol=1e-6)


def test_double_precision_stays_double() -> None:
    network = layer().double()
    hidden, state = network(torch.randn(2, 5, 4).double())
    assert {hidden.dtype, *(part.dtype for part in state)} == {torch.float64}


@pytest.mark.parametrize('device', DEVICES)
def test_under_autocast_the_recurrence_keeps_full_precision(device: str) -> None:
    network = layer().to(device)
    x = torch.randn(2, 30, 4, device=device)
    exact, _ = network(x)
    expected = torch.autograd.grad(exact.square().sum(), network.parameters())
    with torch.autocast(device, torch.bfloat16):
        hidden, state = network(x)
        loss = hidden.square().sum()
        inside = torch.autograd.grad(loss, network.parameters(), retain_graph=True)
    assert {hidden.dtype, *(part.dtype for part in state)} == {torch.float32}
    assert torch.allclose(hidden, exact, atol=1e-2)
    outside = torch.autograd.grad(loss, network.parameters())
    for mine, plain, full in zip(inside, outside, expected, strict=True):
        assert (mine - full).abs().max() <= 2e-2 * full.abs().max()
        assert torch.allclose(mine, plain, rtol=1e-5)


class Calls(TorchDispatchMode):
    """Counts what torch is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_a_step_takes_two_kernels_and_two_more_for_its_gradient() -> None:
    network = layer()
    counts = []
    for steps in (10, 20):
        with Calls() as forward:
            hidden, _ = network(torch.randn(2, steps, 4))
        with Calls() as backward:
            torch.autograd.grad(hidden.sum(), network.parameters())
        counts.append((forward.count, backward.count))
    assert counts[1][0] - counts[0][0] == 10 * 2
    assert counts[1][1] - counts[0][1] == 10 * 2


def test_a_unit_cannot_be_faster_than_one_step() -> None:
    with pytest.raises(ValueError, match=r'time constants 0\.5, 12'):
        MTRNN(4, fast_tau=0.5)


def _flat(result: tuple[Tensor, State]) -> tuple[Tensor, ...]:
    return result[0], *result[1]
