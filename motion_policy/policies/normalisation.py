# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Normalisation of joints and images, and its inverse.

Training and the running policy call the same functions, so they cannot drift apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Discriminator, Tag, model_validator
from torch import Tensor, nn

from motion_policy.declared import Declared
from motion_policy.policies.depth_bytes import unit_depth


class MinMax(Declared):
    """Per joint, the two values that become 0 and 1."""

    min: tuple[float, ...]
    max: tuple[float, ...]

    @model_validator(mode='after')
    def _ordered(self) -> MinMax:
        if len(self.min) != len(self.max):
            raise ValueError(f'{len(self.min)} minima but {len(self.max)} maxima')
        for index, (low, high) in enumerate(zip(self.min, self.max, strict=True)):
            if not low < high:
                raise ValueError(f'value {index}: min {low} is not below max {high}')
            _check_single(index, low, high - low)
        return self

    @property
    def offset(self) -> tuple[float, ...]:
        """What becomes 0."""
        return self.min

    @property
    def scale(self) -> tuple[float, ...]:
        """How much becomes 1 more."""
        return tuple(high - low for low, high in zip(self.min, self.max, strict=True))


class MeanStd(Declared):
    """Per joint, the mean that becomes 0 and the standard deviation that becomes 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode='after')
    def _positive(self) -> MeanStd:
        if len(self.mean) != len(self.std):
            raise ValueError(f'{len(self.mean)} means but {len(self.std)} standard deviations')
        for index, std in enumerate(self.std):
            if not std > 0:
                raise ValueError(f'value {index}: std {std}, expected more than 0')
            _check_single(index, self.mean[index], std)
        return self

    @property
    def offset(self) -> tuple[float, ...]:
        """What becomes 0."""
        return self.mean

    @property
    def scale(self) -> tuple[float, ...]:
        """How much becomes 1 more."""
        return self.std


Statistics = MinMax | MeanStd


def _which(value: Any) -> str:
    spread = isinstance(value, MeanStd) or (isinstance(value, dict) and 'mean' in value)
    return 'spread' if spread else 'range'


# Which of the two is known by its keys, so that an error is about that one.
_Either = Annotated[
    Annotated[MinMax, Tag('range')] | Annotated[MeanStd, Tag('spread')], Discriminator(_which)
]


class Normalisation(Declared):
    """How measured joints, recorded actions and (if used) efforts and vectors are scaled.

    All are in robot units; `inputs` has the columns of the vectors that are used, one after the
    other. `target` has the values of what is predicted in place of joints.
    """

    qpos: _Either
    action: _Either
    effort: _Either | None = None
    inputs: _Either | None = None
    target: _Either | None = None


def is_same_scale(first: Normalisation, second: Normalisation) -> bool:
    """Whether both map the same values to the same numbers, but for rounding."""
    for name in Normalisation.model_fields:
        one, other = getattr(first, name), getattr(second, name)
        if type(one) is not type(other):
            return False
        if one is None:
            continue
        scales = [torch.tensor([one_of.offset, one_of.scale]).double() for one_of in (one, other)]
        if scales[0].shape != scales[1].shape or not torch.allclose(*scales, rtol=1e-4, atol=1e-7):
            return False
    return True


def _check_single(index: int, offset: float, scale: float) -> None:
    """Networks compute in float32: ValueError for what is infinite, or no scale at all, there."""
    single = torch.tensor([offset, scale])
    if not torch.isfinite(single).all() or not 1 / single[1] < math.inf:
        raise ValueError(
            f'value {index}: offset {offset:g} and scale {scale:g}, expected what float32 can hold'
        )


def value_range(
    low: Sequence[float], high: Sequence[float], minimum_span: float | Sequence[float] = 1e-3
) -> MinMax:
    """The range [low, high], widened about its middle where a joint hardly moved.

    Otherwise the noise of a joint at rest would fill the whole of [0, 1].
    """
    lows = torch.as_tensor(low, dtype=torch.float64)
    highs = torch.as_tensor(high, dtype=torch.float64)
    least = torch.as_tensor(minimum_span, dtype=torch.float64)
    missing = (least - (highs - lows)).clamp(min=0) / 2
    return MinMax(min=tuple((lows - missing).tolist()), max=tuple((highs + missing).tolist()))


class Scaling(nn.Module):
    """Maps robot units to network units per value, and back. (..., J) -> (..., J) float32."""

    offset: Tensor
    scale: Tensor

    def __init__(self, values: Statistics) -> None:
        super().__init__()
        self.count = len(values.offset)
        for name, numbers in (('offset', values.offset), ('scale', values.scale)):
            exact = torch.tensor(numbers, dtype=torch.float64)
            self.register_buffer(name, exact.float(), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        return (values - self.offset) / self.scale

    def inverse(self, values: Tensor) -> Tensor:
        return values * self.scale + self.offset


def resize_images(images: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, H, W, 3) uint8 RGB -> (N, height, width, 3) uint8, low-pass filtered when shrinking."""
    if tuple(images.shape[1:3]) == tuple(size):
        return images
    planes = images.permute(0, 3, 1, 2)
    if planes.is_cuda:  # no uint8 kernel there; differs by the rounding of one grey level
        resized = F.interpolate(planes.float(), size, mode='bilinear', antialias=True)
        return resized.round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    return F.interpolate(planes, size, mode='bilinear', antialias=True).permute(0, 2, 3, 1)


def to_unit_images(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [0, 1], in channels_last memory order.

    Depth as a policy sees it, (N, H, W, 2), becomes the same; see `depth_bytes`.
    """
    if images.shape[-1] == 2:
        return unit_depth(images)
    return (
        images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last).div_(255)
    )


def to_byte_images(images: Tensor) -> Tensor:
    """(N, 3, H, W) float in [0, 1] -> (N, H, W, 3) uint8."""
    return images.float().clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).contiguous()
