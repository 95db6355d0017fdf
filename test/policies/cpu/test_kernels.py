# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A frame predictor's convolutions give the plain ones' numbers and gradients, in every form."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from frame_predictors import small_predictor
from torch import Tensor, nn

from motion_policy.policies.cpu.convolutions import (
    convolved,
    convolved_by,
    doubled_by,
    made,
    made_once,
    turned,
)
from motion_policy.policies.cpu.layers import Convolutions
from motion_policy.policies.video import coder as video_coder
from motion_policy.policies.video.coder import Coder
from motion_policy.policies.video.predictor import FrameNetwork
from motion_policy.policies.video.unrolling import on_its_own, teacher_forced_clip

torch.set_num_threads(1)
CLOSE = 1e-5  # of the largest value


def drawn(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if len(shape) == 4:
        values = values.contiguous(memory_format=torch.channels_last)
    return values.requires_grad_()


def check(found: Tensor, expected: Tensor, inputs: tuple[Tensor, ...]) -> None:
    """Compare values and the gradients of all inputs; the expected ones may be in float64."""
    shades = torch.randn(found.shape, generator=torch.Generator().manual_seed(9))
    ours = torch.autograd.grad((found * shades).sum(), inputs)
    plain = torch.autograd.grad((expected * shades).sum(), inputs)
    for one, other in zip((found, *ours), (expected, *plain), strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() <= CLOSE * other.abs().max()


@pytest.mark.parametrize(
    ('count', 'ins', 'outs', 'height', 'width'),
    [(12, 128, 160, 4, 4), (3, 7, 5, 3, 5), (1, 3, 4, 1, 1), (5, 6, 8, 16, 2)],
)
def test_fewer_products_give_a_convolution_of_a_doubled_map(
    count: int, ins: int, outs: int, height: int, width: int
) -> None:
    maps, weight = drawn(count, ins, height, width), drawn(outs, 2 * ins, 3, 3)
    found = doubled_by(weight, maps, slice(ins))
    doubled = F.interpolate(maps.double(), scale_factor=2.0)
    plain = F.conv2d(doubled, weight.double()[:, :ins], padding=1)
    check(found, plain, (maps, weight))


@pytest.mark.parametrize(
    ('layer', 'side'),
    [
        (nn.Conv2d(5, 6, 4), 4),
        (nn.Conv2d(5, 6, 4), 7),
        (nn.ConvTranspose2d(5, 6, 4), 1),
        (nn.ConvTranspose2d(5, 6, 4), 3),
        (nn.ConvTranspose2d(5, 3, 3, padding=1), 6),
        (nn.Conv2d(5, 6, 3, padding=1), 6),
        (nn.Conv2d(5, 6, 3, padding=1, stride=2), 6),
        (nn.Conv2d(5, 6, 4, padding=1, stride=2, bias=False), 6),
        (nn.Conv2d(5, 6, 4, bias=False), 4),
        (nn.ConvTranspose2d(5, 6, 4, bias=False), 1),
    ],
)
def test_every_layer_of_a_coder_gives_its_own_numbers(layer: Any, side: int) -> None:
    maps = drawn(2, 5, side, side)
    for given in (maps, maps.detach().contiguous().requires_grad_()):
        check(convolved(layer, given), layer(given), (given, *layer.parameters()))


def test_some_channels_of_a_weight_are_convolved_by_themselves() -> None:
    maps, weight, bias = drawn(2, 3, 6, 6), drawn(4, 5, 3, 3), drawn(4)
    found = convolved_by(weight, maps, slice(2, None), bias)
    check(found, F.conv2d(maps, weight[:, 2:], bias, padding=1), (maps, weight, bias))


def test_a_form_is_made_once_for_a_batch_and_anew_for_the_next() -> None:
    weight = nn.Parameter(torch.ones(2, 4, 3, 3))
    with made_once():
        first = made(weight, turned)
        assert made(weight, turned) is first
        assert made(weight, turned, slice(2)).shape == (2, 2, 3, 3)
        with torch.no_grad():
            assert not made(weight, turned).requires_grad
        with torch.autocast('cpu', dtype=torch.bfloat16):
            assert made(weight, turned).dtype == torch.bfloat16
        assert made(weight, turned) is first
    with torch.no_grad():
        weight.mul_(2)
    with made_once():
        assert torch.equal(made(weight, turned), 2 * first)
    assert made(weight, turned) is not made(weight, turned)


def plain(network: FrameNetwork) -> FrameNetwork:
    """Return a copy whose layers are PyTorch's and whose decoder doubles and concatenates."""
    ordinary = copy.deepcopy(network)
    for layer in ordinary.modules():
        if isinstance(layer, Convolutions):
            layer.__class__ = nn.Sequential
    return ordinary


def unrolled(network: FrameNetwork, forced: bool, at_once: bool) -> list[Tensor]:
    """Return the images of a step of training and the gradient of every weight."""
    draw = torch.Generator().manual_seed(3)
    side = 128 if len(network.encoder.levels) == 5 else 64
    dtype = next(network.parameters()).dtype
    frames = torch.rand(4, 2, 3, side, side, generator=draw).to(dtype)
    told = torch.randn(3, 2, 10, generator=draw).to(dtype)
    noise = torch.randn(3, 2, 4, generator=draw).to(dtype)
    run = teacher_forced_clip if forced else on_its_own
    found = run(network, frames, told, noise, at_once=at_once)
    images = torch.stack(found.frames)
    loss = (images - frames[1:]).square().mean() + 1e-2 * found.kl().mean()
    weights = tuple(network.parameters())
    return [images.detach(), *torch.autograd.grad(loss, weights, materialize_grads=True)]


@pytest.mark.parametrize(
    ('coder', 'side', 'hyper', 'forced', 'at_once'),
    [
        ('vgg', 64, {}, True, False),
        ('vgg', 64, {'prior': 'learned'}, False, False),
        ('vgg', 128, {'prior': 'learned'}, True, True),
        ('dcgan', 64, {}, False, True),
        ('dcgan', 128, {}, True, True),
    ],
)
def test_a_step_of_training_has_the_gradients_of_plain_layers(
    monkeypatch: pytest.MonkeyPatch,
    coder: Coder,
    side: int,
    hyper: dict[str, Any],
    forced: bool,
    at_once: bool,
) -> None:
    model = small_predictor(hyper={**hyper, 'coder': coder}, image_size=(side, side))
    network = model.network.train().double()
    ours = unrolled(copy.deepcopy(network), forced, at_once)
    monkeypatch.setattr(video_coder, 'doubled_by', _doubled_plainly)
    assert difference(ours, unrolled(plain(network), forced, at_once)) < 1e-10


def test_in_float32_a_step_rounds_as_that_of_plain_layers_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = small_predictor(hyper={'coder': 'vgg'}).network.train()
    ours = unrolled(network, True, False)
    monkeypatch.setattr(video_coder, 'doubled_by', _doubled_plainly)
    theirs = unrolled(plain(network), True, False)
    true = unrolled(plain(network).double(), True, False)
    assert 0 < difference(ours, true) < 3 * difference(theirs, true)


def test_bf16_stays_within_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_predictor(hyper={'coder': 'vgg'}).network.eval()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        ours = unrolled(copy.deepcopy(network), True, False)
    monkeypatch.setattr(video_coder, 'doubled_by', _doubled_plainly)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        theirs = unrolled(plain(network), True, False)
    true = unrolled(plain(network).double(), True, False)
    assert 0 < difference(ours[:1], true[:1]) < 2 * difference(theirs[:1], true[:1])


def difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Root of the squared differences of all values, in parts of all of theirs."""
    apart = sum(float((a - b).double().square().sum()) for a, b in zip(ours, theirs, strict=True))
    return float((apart / sum(float(b.double().square().sum()) for b in theirs)) ** 0.5)


def _doubled_plainly(weight: Tensor, maps: Tensor, channels: slice) -> Tensor:
    doubled = F.interpolate(maps, scale_factor=2.0)
    return F.conv2d(doubled, weight[:, channels], padding=1)
