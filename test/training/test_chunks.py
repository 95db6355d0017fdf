# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows with the actions that followed: which are drawn, what they hold, and what they cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from motion_policy.training.act_loss import chunk_error, kl_divergence
from motion_policy.training.action_chunk_augmentation import (
    ActionChunkAugmentation,
    turned_about_grey,
)
from motion_policy.training.action_chunk_dataset import (
    ActionChunkDataset,
    ActionChunkSampler,
    evenly_spread,
)
from motion_policy.training.config_sections import ChunkAugmentationConfig
from motion_policy.training.demonstrations import Demonstration

torch.set_num_threads(1)


def episode(length: int, start: float, **columns: Any) -> Demonstration:
    """Row t has action (start + t, -start - t), qpos half a step before, and a grey image t."""
    time = start + torch.arange(length, dtype=torch.float32)
    action = torch.stack((time, -time), dim=1)
    grey = torch.arange(length, dtype=torch.uint8)[:, None, None, None].expand(length, 2, 4, 3)
    return Demonstration(Path('a'), {'top': grey}, qpos=action - 0.5, action=action, **columns)


def drawn(order: ActionChunkSampler, rounds: range) -> list[int]:
    rows = []
    for number in rounds:
        order.set_epoch(number)
        rows += [row for step in order for row in step]
    return rows


def test_every_row_is_drawn_once_before_any_is_drawn_again() -> None:
    rows = drawn(ActionChunkSampler(23, 4, 5, seed=3), range(7))
    passes = [rows[start : start + 23] for start in range(0, 138, 23)]
    assert all(sorted(run) == list(range(23)) for run in passes)
    assert len({tuple(run) for run in passes}) == 6
    assert rows == drawn(ActionChunkSampler(23, 4, 7, seed=3), range(5))
    assert rows != drawn(ActionChunkSampler(23, 4, 5, seed=4), range(7))


def test_what_a_step_shows_depends_on_its_number_only() -> None:
    whole = drawn(ActionChunkSampler(23, 4, 5, seed=3), range(7))
    assert drawn(ActionChunkSampler(23, 4, 5, seed=3), range(5, 7)) == whole[100:]


def test_processes_share_every_step() -> None:
    shares = [list(ActionChunkSampler(23, 3, 4, 0, rank=rank, processes=2)) for rank in range(2)]
    together = [left + right for left, right in zip(*shares, strict=True)]
    assert together == list(ActionChunkSampler(23, 6, 4, 0))


def test_a_row_holds_what_followed_and_where_the_episode_ended() -> None:
    rows = ActionChunkDataset([episode(5, 10), episode(1, 50), episode(3, 70)], chunk=4)
    assert len(rows) == 9
    batch = rows[[0, 3, 5, 7]]
    assert batch.size == 4
    assert batch.targets[0, :, 0].tolist() == [10, 11, 12, 13]
    assert batch.targets[1, :2].tolist() == [[13, -13], [14, -14]]
    assert batch.targets[2, 0].tolist() == [50, -50]
    assert batch.valid.tolist() == [
        [True] * 4,
        [True, True, False, False],
        [True, False, False, False],
        [True, True, False, False],
    ]
    assert batch.qpos[:, 0].tolist() == [9.5, 12.5, 49.5, 70.5]
    assert batch.images['top'][:, 0, 0, 0].tolist() == [0, 3, 0, 1]
    assert batch.effort is None


def test_targets_are_a_period_apart_and_those_of_the_follower_a_period_late() -> None:
    slow = ActionChunkDataset([episode(7, 0), episode(4, 50)], chunk=3, stride=2)[[1, 9]]
    assert slow.targets[0, :, 0].tolist() == [1, 3, 5]
    assert slow.targets[1, :1, 0].tolist() == [52]
    assert slow.valid.tolist() == [[True, True, True], [True, False, False]]
    follower = ActionChunkDataset([episode(7, 0)], chunk=2, stride=2, target='qpos')[[1, 4, 6]]
    assert follower.targets[:2, :, 0].tolist()[0] == [2.5, 4.5]
    assert follower.valid.tolist() == [[True, True], [True, False], [False, False]]


def test_efforts_are_there_when_they_are_seen() -> None:
    rows = ActionChunkDataset([episode(3, 0, effort=torch.full((3, 2), 7.0))], chunk=2)
    assert rows[[0, 2]].effort.tolist() == [[7.0, 7.0], [7.0, 7.0]]


def test_validation_is_spread_over_all_rows() -> None:
    assert evenly_spread(101, 6, 4) == [[0, 20, 40, 60], [80, 100]]
    assert evenly_spread(3, 6, 2) == [[0, 1], [2]]


def test_only_valid_steps_count_and_all_alike() -> None:
    torch.manual_seed(0)
    predicted, targets = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    valid = torch.tensor([[True, True, True], [True, False, False]])
    errors = (predicted - targets).abs()
    expected = torch.cat((errors[0], errors[1, :1])).mean()
    assert torch.allclose(chunk_error(predicted, targets, valid), expected)
    diluted = chunk_error(predicted, targets, valid, legacy_padding_mean=True)
    assert torch.allclose(diluted, expected * 4 / 6)
    targets[1, 1:] = 1e6
    assert torch.allclose(chunk_error(predicted, targets, valid), expected)
    assert chunk_error(predicted, targets, torch.zeros(2, 3, dtype=torch.bool)) == 0


def test_the_style_costs_its_distance_from_the_standard_normal() -> None:
    torch.manual_seed(0)
    mean, log_variance = torch.randn(4, 6), torch.randn(4, 6)
    told = torch.distributions.Normal(mean, (log_variance / 2).exp())
    standard = torch.distributions.Normal(torch.zeros(4, 6), torch.ones(4, 6))
    expected = torch.distributions.kl_divergence(told, standard).sum(1).mean()
    assert torch.allclose(kl_divergence(mean, log_variance), expected, rtol=1e-5)


def varied(seed: int = 0, frames: torch.Tensor | None = None, **changes: float) -> torch.Tensor:
    config = ChunkAugmentationConfig(**{'image_noise': 0, 'joint_noise': 0, **changes})
    generator = torch.Generator().manual_seed(seed)
    return ActionChunkAugmentation(config).images(
        grey_images() if frames is None else frames, generator
    )


def grey_images() -> torch.Tensor:
    return torch.randint(
        60, 180, (6, 20, 30, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(9)
    )


def test_without_augmentation_images_are_as_the_policy_sees_them() -> None:
    images = grey_images()
    assert torch.equal(varied(), images.permute(0, 3, 1, 2).float() / 255)


@pytest.mark.parametrize(
    'change',
    ['translate', 'brightness', 'contrast', 'saturation', 'hue', 'erasing', 'image_noise'],
)
def test_each_variation_follows_from_the_generator_and_changes_the_frames(change: str) -> None:
    changes = {change: 1.0 if change == 'erasing' else 0.2}
    once = varied(1, **changes)
    assert once.shape == (6, 3, 20, 30)
    assert torch.equal(once, varied(1, **changes))
    assert not torch.equal(once, varied(2, **changes))
    assert (once - varied()).abs().amax((1, 2, 3)).max() > 0.01


def test_frames_move_whole_and_each_in_its_own_way() -> None:
    frames = torch.zeros(6, 20, 30, 3, dtype=torch.uint8)
    frames[:, 10, 15] = 255
    moved = varied(0, frames, translate=0.2)[:, 0].nonzero()
    assert moved[:, 0].tolist() == list(range(6))
    offsets = moved[:, 1:] - torch.tensor([10, 15])
    assert offsets.abs().amax(0).tolist() <= [4, 6]
    assert len({tuple(offset) for offset in offsets.tolist()}) > 3


def test_light_and_colour_are_what_torchvision_makes_of_them() -> None:
    functional = pytest.importorskip('torchvision.transforms.v2.functional')
    plain = varied()
    grey = plain.mean((2, 3)) @ torch.tensor([0.299, 0.587, 0.114])
    brighter = varied(3, brightness=0.2)
    factors = brighter.sum((1, 2, 3)) / plain.sum((1, 2, 3))
    assert factors.sub(1).abs().max() <= 0.2
    for frame, factor, seen in zip(plain, factors, brighter, strict=True):
        assert torch.allclose(functional.adjust_brightness(frame, float(factor)), seen, atol=1e-3)
    stretched = varied(3, contrast=0.2)
    for frame, middle, seen in zip(plain, grey, stretched, strict=True):
        factor = float((seen - middle).std() / (frame - middle).std())
        assert torch.allclose(functional.adjust_contrast(frame, factor), seen, atol=2e-2)
    pale = varied(3, saturation=0.2)
    luma = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    assert torch.allclose((pale * luma).sum(1), (plain * luma).sum(1), atol=1e-3)


def test_a_turn_of_the_hue_keeps_grey_and_a_third_of_it_swaps_the_colours() -> None:
    turned = turned_about_grey(torch.tensor([0.0, 1 / 3]))
    assert torch.allclose(turned[0], torch.eye(3), atol=1e-6)
    assert torch.allclose(
        turned[1] @ torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0]), atol=1e-6
    )
    assert torch.allclose(turned[1] @ torch.ones(3), torch.ones(3), atol=1e-6)
    assert math.isclose(float(turned[1].det()), 1, abs_tol=1e-6)
