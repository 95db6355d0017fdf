# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Minibatches change neither a value nor a gradient, and what they compute is not kept."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_policy.training import frame_minibatches
from motion_policy.training.frame_minibatches import over_frames, sum_over_frames

torch.set_num_threads(1)

FRAMES = 10


class Painter(nn.Module):
    """Draws an image from a vector and an image; two of its weights get the same gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(3, 4 * 5 * 6)
        self.blend = nn.Conv2d(4 + 2, 2, 3, padding=1)
        self.first, self.second = (nn.Parameter(torch.zeros(2, 1, 1)) for _ in range(2))
        self.unused = nn.Parameter(torch.ones(7))
        self.frozen = nn.Parameter(torch.full((), 0.3), requires_grad=False)

    def forward(self, hidden: Tensor, image: Tensor) -> Tensor:
        maps = torch.cat((self.lift(hidden).unflatten(1, (4, 5, 6)).tanh(), image), dim=1)
        drawn: Tensor = self.blend(maps) * self.frozen
        return drawn + (self.first + self.second)


def painting(dtype: torch.dtype = torch.float64) -> tuple[Painter, Tensor, Tensor, Tensor]:
    """Return a network, hidden (N, 3) that wants a gradient, images (N, 2, 5, 6), bytes alike."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Painter().to(dtype)
    hidden = torch.rand(FRAMES, 3, generator=generator, dtype=dtype).requires_grad_()
    images = torch.rand(FRAMES, 2, 5, 6, generator=generator, dtype=dtype)
    target = torch.randint(0, 256, images.shape, generator=generator, dtype=torch.uint8)
    return network, hidden, images, target


def squared_error(network: Painter) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the term of a minibatch."""

    def term(hidden: Tensor, images: Tensor, target: Tensor) -> Tensor:
        drawn = network(hidden, images).to(images)
        return F.mse_loss(drawn, target.to(drawn) / 255, reduction='sum')

    return term


def gradients(loss: Tensor, network: Painter, hidden: Tensor) -> dict[str, Tensor | None]:
    """Return what `loss` gives to the hidden state and to every weight."""
    network.zero_grad()
    hidden.grad = None
    loss.backward()
    return {'hidden': hidden.grad} | {name: x.grad for name, x in network.named_parameters()}


@pytest.mark.parametrize('size', [1, 3, 5, 64])
def test_value_and_gradients_are_those_of_all_frames_at_once(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_minibatches, 'CPU_FRAMES', size)
    network, hidden, images, target = painting()
    term = squared_error(network)
    total = sum_over_frames(term, hidden, images, target, weights=network.parameters())
    plain = term(hidden, images, target)
    torch.testing.assert_close(total, plain)
    # The loss weighs the term, and the hidden state gets a gradient from elsewhere too.
    found = gradients(0.3 * total + hidden.square().sum(), network, hidden)
    expected = gradients(0.3 * plain + hidden.square().sum(), network, hidden)
    assert [name for name, value in expected.items() if value is None] == ['unused', 'frozen']
    for name, value in expected.items():
        if value is None:
            assert found[name] is None
        else:
            torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)


def test_weights_alone_or_frames_alone_may_want_a_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame_minibatches, 'CPU_FRAMES', 4)
    network, hidden, images, target = painting()
    term = squared_error(network)
    for frozen in ('hidden', 'network'):
        hidden.requires_grad_(frozen != 'hidden')
        network.requires_grad_(frozen != 'network')
        total = sum_over_frames(term, hidden, images, target, weights=network.parameters())
        found = gradients(total, network, hidden)
        expected = gradients(term(hidden, images, target), network, hidden)
        assert found['hidden' if frozen == 'hidden' else 'lift.weight'] is None
        for name, value in expected.items():
            if value is not None:
                torch.testing.assert_close(found[name], value)


def test_nothing_of_a_minibatch_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_minibatches, 'CPU_FRAMES', 3)
    network, hidden, images, target = painting()
    inner = squared_error(network)
    drawn: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def watch(module: nn.Module, inputs: object, output: Tensor) -> None:
        drawn.append(weakref.ref(output))

    def term(*minibatch: Tensor) -> Tensor:
        alive.append(sum(reference() is not None for reference in drawn))
        return inner(*minibatch)

    network.blend.register_forward_hook(watch)
    total = sum_over_frames(term, hidden, images, target, weights=network.parameters())
    assert len(drawn) == 4
    assert alive == [0, 0, 0, 0] and not any(reference() is not None for reference in drawn)
    total.backward()


def test_without_gradients_only_the_value_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_minibatches, 'CPU_FRAMES', 3)
    network, hidden, images, target = painting()
    term = squared_error(network)
    with torch.no_grad():
        total = sum_over_frames(term, hidden, images, target, weights=network.parameters())
    assert not total.requires_grad
    torch.testing.assert_close(total, term(hidden, images, target).detach())


def test_what_no_weight_has_a_part_in_has_a_value_and_no_gradient() -> None:
    network, hidden, images, target = painting()

    def term(*minibatch: Tensor) -> Tensor:
        return minibatch[-1].double().square().sum()

    total = sum_over_frames(term, hidden, images, target, weights=network.parameters())
    torch.testing.assert_close(total, target.double().square().sum())
    total.backward()
    assert all(not weight.grad.any() for weight in network.parameters() if weight.grad is not None)


def test_gradients_in_bfloat16_come_as_close_as_those_of_all_frames_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame_minibatches, 'CPU_FRAMES', 3)
    network, hidden, images, target = painting(torch.float32)
    term = squared_error(network)
    exact = gradients(term(hidden, images, target), network, hidden)
    with torch.autocast('cpu', torch.bfloat16):
        total = sum_over_frames(term, hidden, images, target, weights=network.parameters())
    found = gradients(total, network, hidden)
    assert any(
        not torch.equal(found[name], value) for name, value in exact.items() if value is not None
    )
    for name, value in exact.items():
        if value is not None:
            assert found[name].dtype == torch.float32
            error = (found[name] - value).norm() / value.norm()
            assert error < 0.02, name


def test_a_loss_that_is_scaled_against_underflow_is_left_to_autograd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame_minibatches, 'CPU_FRAMES', 3)
    network, hidden, images, target = painting()
    term = squared_error(network)
    expected = gradients(term(hidden, images, target), network, hidden)
    monkeypatch.setattr(frame_minibatches, '_scaled_later', lambda: True)
    total = sum_over_frames(term, hidden, images, target, weights=network.parameters())
    scaled: list[float] = []
    hidden.register_hook(lambda gradient: scaled.append(float(gradient.norm())))
    found = gradients(2.0**16 * total, network, hidden)
    assert scaled == [pytest.approx(2.0**16 * float(expected['hidden'].norm()))]
    torch.testing.assert_close(found['lift.weight'], 2.0**16 * expected['lift.weight'])


def test_what_each_frame_becomes_keeps_its_order_and_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame_minibatches, 'CPU_FRAMES', 3)
    network, hidden, images, _ = painting()
    drawn = over_frames(network, hidden, images)
    plain = network(hidden, images)
    torch.testing.assert_close(drawn, plain)
    found = gradients(drawn.square().sum(), network, hidden)
    expected = gradients(plain.square().sum(), network, hidden)
    torch.testing.assert_close(found['blend.weight'], expected['blend.weight'])
    torch.testing.assert_close(found['hidden'], expected['hidden'])


def test_no_frames_at_all_are_no_error() -> None:
    network, hidden, images, target = painting()
    empty = [tensor[:0] for tensor in (hidden, images, target)]
    assert over_frames(network, *empty[:2]).shape == (0, 2, 5, 6)
    total = sum_over_frames(squared_error(network), *empty, weights=network.parameters())
    assert total.item() == 0
