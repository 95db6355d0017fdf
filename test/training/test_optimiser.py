# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training moves weights as PyTorch's plain Adam does, in whatever memory order they lie."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from motion_policy.policies.cpu.layers import MapNorm
from motion_policy.training.optimiser import ADAM_EPS, adam

torch.set_num_threads(1)


def layers() -> nn.Sequential:
    """Weights in memory orders of all kinds."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), MapNorm(4, 5, 6), nn.Conv2d(4, 2, 1))
    return made.to(memory_format=torch.channels_last)


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    images = torch.linspace(-1, 1, 2 * 3 * 5 * 6).view(2, 3, 5, 6)
    for _ in range(steps):
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()


def weights(model: nn.Module) -> list[Tensor]:
    return [weight.detach() for weight in model.parameters()]


@pytest.mark.parametrize('scaled', [False, True])
def test_the_weights_go_where_plain_adam_takes_them(scaled: bool) -> None:
    ours, plain = layers(), layers()
    learn(ours, adam(ours.parameters(), 0.01, scaled=scaled), 5)
    learn(plain, torch.optim.Adam(plain.parameters(), lr=0.01, eps=ADAM_EPS), 5)
    assert not torch.equal(weights(ours)[0], weights(layers())[0])
    for mine, expected in zip(weights(ours), weights(plain), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-6)


def test_moments_that_were_saved_in_another_memory_order_count_the_same() -> None:
    model = layers()
    optimizer = adam(model.parameters(), 0.01)
    learn(model, optimizer, 3)
    resumed = copy.deepcopy(model)
    saved: dict[str, Any] = copy.deepcopy(optimizer.state_dict())
    for state in saved['state'].values():
        state.update({name: value.contiguous() for name, value in state.items()})
    follower = adam(resumed.parameters(), 0.01)
    follower.load_state_dict(saved)
    learn(model, optimizer, 2)
    learn(resumed, follower, 2)
    for mine, expected in zip(weights(resumed), weights(model), strict=True):
        assert torch.equal(mine, expected)


def test_a_weight_that_learns_later_than_the_others_goes_where_plain_adam_takes_it() -> None:
    def late(make: Callable[[nn.Module], torch.optim.Optimizer]) -> list[Tensor]:
        model = layers()
        optimizer = make(model)
        for learning in (False, True, False):
            model[1].requires_grad_(learning)
            learn(model, optimizer, 2)
        return weights(model)

    ours = late(lambda model: adam(model.parameters(), 0.01))
    plain = late(lambda model: torch.optim.Adam(model.parameters(), lr=0.01, eps=ADAM_EPS))
    for mine, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-6)


def test_a_step_calls_its_closure_once_and_returns_what_that_returns() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = adam([weight], 0.1)
    calls: list[float] = []

    def closure() -> float:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        calls.append(loss.item())
        return calls[-1]

    returned = [optimizer.step(closure) for _ in range(3)]
    assert returned == calls and calls[0] == 3 and calls[2] < calls[1] < 3
