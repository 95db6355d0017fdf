# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation of episodes and frames: colour per episode, noise per step.

All values come from the generator that is given, so an epoch can be repeated exactly.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from motion_policy.training.config import ConfigError
from motion_policy.training.config_sections import (
    EpisodeNoise,
    FeatureAugmentationConfig,
    FrameAugmentationConfig,
    ImageVariation,
    SequenceAugmentationConfig,
)

ERASED_SHARE = (0.02, 0.33)  # of the image's area
ERASED_ASPECT = (0.3, 3.3)


class EpisodeAugmentation:
    """Of joints; images and features stay. Each method keeps the shape of what it is given, and
    leaves that unchanged.
    """

    def __init__(self, noise: EpisodeNoise) -> None:
        self.noise = noise

    def joints(self, joints: Tensor, generator: torch.Generator) -> Tensor:
        """(B, T, J) normalised -> the same with noise per step and an offset per episode."""
        given = self.noise
        if given.joint_noise:
            noise = torch.empty_like(joints).normal_(0, given.joint_noise, generator=generator)
            joints = joints + noise
        if given.joint_offset:
            offset = torch.empty_like(joints[:, :1])
            joints = joints + offset.normal_(0, given.joint_offset, generator=generator)
        return joints

    def images(self, images: Tensor, generator: torch.Generator, light: bool = True) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> the same. Without `light` brightness and colours stay."""
        return images

    def features(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """(B, T, F) in [0, 1] -> the same."""
        return features


class SequenceAugmentation(EpisodeAugmentation):
    """Of joints and images."""

    def __init__(self, config: SequenceAugmentationConfig) -> None:
        super().__init__(config)
        self._light = ImageAugmentation(config)

    def images(self, images: Tensor, generator: torch.Generator, light: bool = True) -> Tensor:
        return self._light.images(images, generator, light)


class FeatureAugmentation(EpisodeAugmentation):
    """Of joints and features."""

    def __init__(self, config: FeatureAugmentationConfig) -> None:
        super().__init__(config)
        self.config = config

    def features(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """(B, T, F) in [0, 1] -> the same with noise per step."""
        if not self.config.feature_noise:
            return features
        noise = torch.empty_like(features)
        return features + noise.normal_(0, self.config.feature_noise, generator=generator)


class ImageAugmentation:
    """Of images of several frames each."""

    def __init__(self, config: ImageVariation) -> None:
        self.config = config
        self._colours = any((config.brightness, config.contrast, config.saturation, config.hue))
        self._functional = _torchvision() if self._colours else None

    def images(self, images: Tensor, generator: torch.Generator, light: bool = True) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> in other light, and with noise that may leave [0, 1].

        Without `light`, as of depth, brightness and colours stay.
        """
        config = self.config
        if self._colours and light:
            images = torch.stack([self._other_light(episode, generator) for episode in images])
        if config.erasing:
            images = torch.stack([self._erase(episode, generator) for episode in images])
        if config.image_noise:
            noise = torch.empty_like(images).normal_(0, config.image_noise, generator=generator)
            images = images + noise
        return images

    def _other_light(self, images: Tensor, generator: torch.Generator) -> Tensor:
        config, functional = self.config, self._functional
        assert functional is not None
        draws = [2 * draw - 1 for draw in _uniform(4, generator)]
        if config.brightness:
            images = functional.adjust_brightness(images, 1 + config.brightness * draws[0])
        if config.contrast:
            images = functional.adjust_contrast(images, 1 + config.contrast * draws[1])
        if config.saturation:
            images = functional.adjust_saturation(images, 1 + config.saturation * draws[2])
        if config.hue:
            images = functional.adjust_hue(images, config.hue * draws[3])
        return images

    def _erase(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Blackens the same box in every frame of some episodes."""
        draws = _uniform(5, generator)
        if draws[0] >= self.config.erasing:
            return images
        height, width = images.shape[-2:]
        least, most = ERASED_SHARE
        area = (least + (most - least) * draws[1]) * height * width
        flat, tall = ERASED_ASPECT
        aspect = flat * (tall / flat) ** draws[2]
        rows = min(height, max(1, round((area * aspect) ** 0.5)))
        columns = min(width, max(1, round((area / aspect) ** 0.5)))
        top, left = int(draws[3] * (height - rows + 1)), int(draws[4] * (width - columns + 1))
        erased = images.clone()
        erased[..., top : top + rows, left : left + columns] = 0
        return erased


class FrameAugmentation:
    """Of single frames."""

    def __init__(self, config: FrameAugmentationConfig) -> None:
        self.config = config
        self._light = ImageAugmentation(config)
        moved = (config.translate, config.horizontal_flip, config.vertical_flip)
        self._moves = any((*moved, config.autocontrast))
        self._functional = _torchvision() if self._moves else None

    def frames(
        self, frames: Tensor, generator: torch.Generator, light: bool = True
    ) -> tuple[Tensor, Tensor]:
        """For an autoencoder: (N, 3, h, w) in [0, 1] -> what it sees, and what it shall draw.

        Both are moved, mirrored and stretched in contrast alike, every frame in its own way; what
        it sees is in other light too, and noisy. Without `light` brightness, contrast and colours
        stay.
        """
        if self._moves:
            frames = torch.stack([self._placed(frame, generator, light) for frame in frames])
        return self._light.images(frames[:, None], generator, light)[:, 0], frames

    def _placed(self, frame: Tensor, generator: torch.Generator, light: bool) -> Tensor:
        """Moves, mirrors and stretches the contrast of (3, h, w)."""
        config, functional = self.config, self._functional
        assert functional is not None
        height, width = frame.shape[-2:]
        across, down, stretched, mirrored, upended = _uniform(5, generator)
        if config.translate:
            # A crop that reaches beyond the image: what comes in from there is black.
            left = round((2 * across - 1) * config.translate * width)
            top = round((2 * down - 1) * config.translate * height)
            frame = functional.crop(frame, top, left, height, width)
        if light and stretched < config.autocontrast:
            frame = functional.autocontrast(frame)
        if mirrored < config.horizontal_flip:
            frame = functional.horizontal_flip(frame)
        if upended < config.vertical_flip:
            frame = functional.vertical_flip(frame)
        return frame


def _uniform(count: int, generator: torch.Generator) -> list[float]:
    draws = torch.rand(count, generator=generator, device=generator.device)
    return [float(value) for value in draws]


def _torchvision() -> ModuleType:
    try:
        from torchvision.transforms.v2 import functional
    except ImportError as error:
        raise ConfigError(
            'augmentation: light, colours, flips and translate need torchvision, which '
            f'cannot be imported: {error}'
        ) from None
    module: ModuleType = functional
    return module
