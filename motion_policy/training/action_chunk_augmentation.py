# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation of action-chunk batches on the device: colour, translation, noise.

Light and colour are one 3x3 matrix and one offset per image, so they cost one small product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from motion_policy.policies.normalisation import to_unit_images
from motion_policy.training.config_sections import ChunkAugmentationConfig

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class ActionChunkAugmentation:
    """All values come from the generator that is given, which is of the device of the data."""

    def __init__(self, config: ChunkAugmentationConfig) -> None:
        self.config = config
        self._colours = any((config.brightness, config.contrast, config.saturation, config.hue))

    def images(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """(B, h, w, 3) uint8 -> (B, 3, h, w) in [0, 1]: moved, in other light, a box erased.

        Depth, (B, h, w, 2), is in no light.

        Noise may leave [0, 1].
        """
        config = self.config
        if config.translate:
            frames = _moved(frames, config.translate, generator)
        images = to_unit_images(frames)
        if self._colours and frames.shape[-1] == 3:
            images = self._other_light(images, generator)
        if config.erasing:
            images = _erased(images, config.erasing, generator)
        if config.image_noise:
            noise = torch.empty_like(images, memory_format=torch.contiguous_format)
            images = images + noise.normal_(0, config.image_noise, generator=generator)
        return images

    def joints(self, joints: Tensor, generator: torch.Generator) -> Tensor:
        """(B, V) normalised -> the same with noise."""
        if not self.config.joint_noise:
            return joints
        noise = torch.empty_like(joints).normal_(0, self.config.joint_noise, generator=generator)
        return joints + noise

    def _other_light(self, images: Tensor, generator: torch.Generator) -> Tensor:
        config, batch = self.config, len(images)
        most = (config.brightness, config.contrast, config.saturation, config.hue)
        draws = _uniform(4, batch, generator) * torch.tensor(most, device=images.device)[:, None]
        brightness, contrast, saturation = 1 + draws[:3, :, None, None]
        luma = torch.tensor(LUMA, device=images.device)
        grey = luma.expand(3, 3)
        identity = torch.eye(3, device=images.device)
        colour = (grey + saturation * (identity - grey)) @ turned_about_grey(draws[3])
        pixels = images.permute(0, 2, 3, 1).flatten(1, 2)
        middle = brightness * (pixels.mean(1) @ luma)[:, None, None]
        matrix = colour * (brightness * contrast)
        pixels = torch.baddbmm((1 - contrast) * middle, pixels, matrix.transpose(1, 2))
        return pixels.clamp_(0, 1).unflatten(1, images.shape[2:]).permute(0, 3, 1, 2)


def _moved(frames: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each frame moved by up to a share of its size; its border is repeated."""
    batch, height, width = frames.shape[:3]
    offsets = _uniform(2, batch, generator) * share
    places = []
    for offset, size in zip(offsets, (height, width), strict=True):
        steps = (offset * size).round().long()
        place = torch.arange(size, device=frames.device) + steps[:, None]
        places.append(place.clamp(0, size - 1))
    which = torch.arange(batch, device=frames.device)[:, None, None]
    return frames[which, places[0][:, :, None], places[1][:, None, :]]


def turned_about_grey(turn: Tensor) -> Tensor:
    """Rotations (B, 3, 3) about the grey axis, by `turn` (B,) of a whole turn."""
    angle = (2 * math.pi * turn)[:, None, None]
    identity = torch.eye(3, device=turn.device)
    about = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=turn.device)
    return angle.cos() * identity + (1 - angle.cos()) / 3 + angle.sin() / math.sqrt(3) * about


def _erased(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A box of up to half the height and width is black in a share of the images."""
    batch, _, height, width = images.shape
    draws = (_uniform(5, batch, generator) + 1) / 2
    inside = torch.ones(batch, 1, 1, dtype=torch.bool, device=images.device)
    for size, middle, extent, shape in (
        (height, draws[0], draws[1], (-1, 1)),
        (width, draws[2], draws[3], (1, -1)),
    ):
        place = (torch.arange(size, device=images.device) + 0.5) / size
        near = (place - middle[:, None]).abs() < extent[:, None] / 4
        inside = inside & near.unflatten(1, shape)
    inside = inside & (draws[4] < share)[:, None, None]
    return images.masked_fill(inside[:, None], 0.0)


def _uniform(count: int, batch: int, generator: torch.Generator) -> Tensor:
    """(count, batch) in [-1, 1)."""
    draws = torch.rand(count, batch, generator=generator, device=generator.device)
    return 2 * draws - 1
