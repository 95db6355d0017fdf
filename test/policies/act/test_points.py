# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ACT's point backbone finds a small object from few images.

It tells where to a fraction of a pixel, whatever the batch and the precision.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from motion_policy.policies.act.backbone import POINTS, PointBackbone, RunningMeanStd

torch.set_num_threads(1)


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Grey images (N, 3, 48, 64) with a bar and a red square of 4 pixels; where that is."""
    random = torch.Generator().manual_seed(seed)
    places = torch.stack(
        (
            torch.randint(4, 56, (count,), generator=random),
            torch.randint(4, 40, (count,), generator=random),
        ),
        dim=1,
    )
    images = torch.full((count, 3, 48, 64), 0.3)
    images[:, :, 20:28, :6] = 0.9
    for image, (x, y) in zip(images, places.tolist(), strict=True):
        image[0, y : y + 4, x : x + 4] = 0.9
        image[1:, y : y + 4, x : x + 4] = 0.1
    return (images - 0.45) / 0.22, (places - places.float().mean(0)) / 16


@pytest.mark.slow
def test_a_small_object_is_found_within_hundreds_of_steps() -> None:
    torch.manual_seed(0)
    backbone, head = PointBackbone(), nn.Linear(2 * POINTS, 2)
    images, places = scenes(64, seed=0)
    optimiser = torch.optim.AdamW([*backbone.parameters(), *head.parameters()], lr=3e-3)
    for step in range(150):
        chosen = torch.arange(8 * step, 8 * step + 8) % 64
        error = (head(backbone(images[chosen]).flatten(1)) - places[chosen]).abs().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    unseen, truth = scenes(40, seed=1)
    backbone.eval()
    with torch.no_grad():
        missed = 16 * (head(backbone(unseen).flatten(1)) - truth).abs().mean()
    assert missed < 4, 'pixels; without looking it would be 11'


def test_points_are_told_in_the_image_they_were_found_in() -> None:
    backbone = PointBackbone().eval()
    with torch.no_grad():
        for parameter in backbone.convolutions.parameters():
            parameter.zero_()
        for layer in (
            backbone.convolutions[0],
            backbone.convolutions[2],
            backbone.convolutions[4],
        ):
            layer.weight[:, 0, 1, 1] = 1.0  # what is red goes through, at its place
        backbone.log_temperature.fill_(-4.0)
        image = torch.zeros(1, 3, 48, 64)
        image[0, 0, 10, 30] = 1.0
        points = backbone.points_in_image(image)[0]
    assert points.shape == (POINTS, 2)
    expected = torch.tensor([30 / 63, 10 / 47]).expand(POINTS, 2)
    torch.testing.assert_close(points, expected, rtol=0, atol=1e-4)


def test_one_image_is_seen_alike_alone_and_among_others() -> None:
    torch.manual_seed(1)
    backbone = PointBackbone()
    images, _ = scenes(6, seed=2)
    backbone(images)
    backbone.eval()
    with torch.no_grad():
        together = backbone(images)
        alone = torch.cat([backbone(image[None]) for image in images])
    assert together.shape == (6, 2 * POINTS, 1, 1)
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-3)


def test_half_precision_does_not_round_positions() -> None:
    torch.manual_seed(2)
    backbone = PointBackbone().eval()
    images, _ = scenes(4, seed=3)
    with torch.no_grad():
        exact = backbone(images)
        with torch.autocast('cpu', torch.bfloat16):
            coarse = backbone(images)
    assert coarse.dtype == torch.float32
    assert (coarse - exact).abs().max() < 1 / 64, 'a quarter of a place of the map'


def test_a_blank_image_has_its_points_in_the_middle() -> None:
    backbone = PointBackbone().eval()
    with torch.no_grad():
        points = backbone(torch.zeros(1, 3, 32, 48)).flatten()
    # The border of the image is not zero: it is padded.
    assert torch.isfinite(points).all() and points.abs().max() < 1


def test_the_spread_is_that_of_what_was_seen() -> None:
    values = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    values = values * torch.tensor([1.0, 0.01, 5.0]) + torch.tensor([0.0, 0.3, -2.0])
    spread = RunningMeanStd(3)
    for part in values.split(20):
        spread(part)
    spread.eval()
    scaled = spread(values)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(3), rtol=0, atol=0.15)
    torch.testing.assert_close(scaled.std(0), torch.ones(3), rtol=0.15, atol=0)
    kept = spread.mean.clone()
    spread(values[:1])
    assert torch.equal(spread.mean, kept), 'it follows in training only'


def test_a_single_row_can_be_learnt_from() -> None:
    spread = RunningMeanStd(2)
    assert torch.isfinite(spread(torch.tensor([[3.0, 4.0]]))).all()
