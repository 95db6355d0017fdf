# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Prediction errors per channel: those of a predicted frame and of predicted joints.

One rule: an error that is usual while much moves is held against how much was to move.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.policies import PolicySpec

FLOOR = 1e-4  # of a squared error in [0, 1]: about what the noise of a camera makes
MOTION_FLOOR = 0.03  # of a joint's range, from one look to the next: as good as still
PATCHES = 16  # across and down a frame: what is removed may be few pixels
KINDS = ('image', 'image ratio', 'patch', 'colour', 'sudden')


def image_channels(camera: str) -> tuple[str, ...]:
    """The channels of `FrameErrors`."""
    return tuple(f'{kind}/{camera}' for kind in KINDS)


def joint_channels(spec: PolicySpec) -> tuple[str, ...]:
    """The channels of `joint_prediction_errors`."""
    return tuple(f'joint {name}' for name in spec.robot.joints.names)


class FrameErrors:
    """Errors of predicted frames, look by look, from squared errors of colours in [0, 1].

    `image`: the mean. `image ratio`: that over the error of the last frame seen; 1 where repeating
    it would have been as good, as a still scene is easy to foresee. `patch`: of the worst of 16x16
    patches, over the change that was foreseen there: what moves is hard to foresee. `colour`: of
    the worst patch, brightness left out: an object differs from arm and table in colour. `sudden`:
    of the worst patch too, of what the error of colours is more than one look before, over the
    motion that was foreseen: what is drawn wrongly all the time is not sudden, and an arm that
    moves fast hides things and shows them. 0 where there was no look just before.

    Args:
        camera: whose frames they are.
        floor: added to what `image ratio` and `patch` are divided by.
    """

    def __init__(self, camera: str, floor: float) -> None:
        self._channels = image_channels(camera)
        self._floor = floor
        self.reset()

    def reset(self) -> None:
        """Forget the look before."""
        self._before: Tensor | None = None

    def of(self, predicted: Tensor, seen: Tensor, last: Tensor, motion: float) -> dict[str, float]:
        """The errors of one look by channel.

        Args:
            predicted, seen, last: the frame as predicted, as seen, and the last that was seen when
                it was predicted; (3, h, w) in [0, 1].
            motion: as of `foreseen_motion`.
        """
        wrong, changed, expected = (
            (one - other).square().mean(0)
            for one, other in ((predicted, seen), (last, seen), (predicted, last))
        )
        off = predicted - seen
        off = off - off.mean(0)
        before, self._before = off if self._before is None else self._before, off
        errors = (
            wrong.mean(),
            wrong.mean() / (changed.mean() + self._floor),
            (_patches(wrong) / (_patches(expected) + self._floor)).max(),
            _patches(off.square().mean(0)).max(),
            _patches((off - before).square().mean(0)).max() / (motion + MOTION_FLOOR),
        )
        return {name: e.item() for name, e in zip(self._channels, errors, strict=True)}


def _patches(error: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(error[None], PATCHES)


def joint_prediction_errors(
    spec: PolicySpec, foreseen: Float64Array, measured: Any
) -> dict[str, float]:
    """How far each joint (J,) is from where it was foreseen, by channel."""
    off = np.abs(foreseen - measured) / np.array(spec.normalisation.qpos.scale)
    return dict(zip(joint_channels(spec), off.tolist(), strict=True))


def foreseen_motion(spec: PolicySpec, target: Any, position: Any) -> float:
    """How far the joint that is to move furthest was to move, in units of the normalisation."""
    scale = np.array(spec.normalisation.qpos.scale)
    return float((np.abs(np.asarray(target) - position) / scale).max())
