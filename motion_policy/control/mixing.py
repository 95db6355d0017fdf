# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Closed-loop mixing: a policy sees p * sensor + (1 - p) * what it predicted one step before.

That is `input_param` of EIPL's test programs (https://github.com/ogata-lab/eipl).

A prediction is mixed only into the observation of the moment that it was made for: after a reset
or a gap the policy sees the sensor alone. Images are mixed as a camera could have shown them, in
grey levels from 0 to 255 and in the size that the policy sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.policies import Policy
from motion_policy.policies.base import ObservationBatch
from motion_policy.policies.depth_bytes import STEPS, depth_numbers, depth_shares


@dataclass(frozen=True)
class Mix:
    """The share p of the sensor in what the policy sees, for each modality.

    1 is the sensor alone, 0 runs freely on predictions after the first step. UserError for a
    share outside [0, 1].
    """

    joint: float = 1.0
    image: float = 1.0
    effort: float = 1.0

    def __post_init__(self) -> None:
        for name, share in self.to_json().items():
            if not 0 <= share <= 1:
                raise UserError(
                    f'mix of {name} is {share:g}, expected a number from 0 (own prediction) '
                    'to 1 (sensor)'
                )

    def to_json(self) -> dict[str, float]:
        """The share of each modality."""
        return asdict(self)

    def __str__(self) -> str:
        shares = self.to_json()
        if len(set(shares.values())) == 1:
            return f'{self.joint:g}'
        return ', '.join(f'{name} {share:g}' for name, share in shares.items())


class Mixer:
    """Keeps the last prediction of one policy and mixes it into the next observation."""

    def __init__(self, policy: Policy, mix: Mix) -> None:
        self.mix = mix
        self._policy = policy
        self.reset()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The policy's extras that mixing needs; none of them where the sensor is enough."""
        images = tuple(f'image/{camera}' for camera in self._policy.cameras)
        effort = self._policy.spec.effort and self.mix.effort < 1
        return (images if self.mix.image < 1 else ()) + (('effort',) if effort else ())

    def reset(self) -> None:
        """Forget the last prediction."""
        self._joints: Tensor | None = None
        self._extras: Mapping[str, Tensor] = {}
        self._due_ns: int | None = None

    def keep(self, chunk: Tensor, extras: Mapping[str, Tensor], time_ns: int | None) -> None:
        """Keep what the policy expects one period after `time_ns`: row 0 of a chunk (1, k, J).

        The extras are those of `Policy.act_and_explain`, as far as they are `wanted`.
        """
        self._joints = chunk[:, 0]
        self._extras = extras
        self._due_ns = None if time_ns is None else time_ns + self._policy.period_ns

    def mixed(self, sensor: ObservationBatch, time_ns: int | None) -> ObservationBatch:
        """The observation as the policy is to see it; mixed images are in `seen`."""
        if self._joints is None or not self._on_time(time_ns):
            return sensor
        seen = sensor.copy()
        if self.mix.joint < 1:
            seen['qpos'] = blend(sensor['qpos'], self._joints, self.mix.joint)
        if self.mix.image < 1:
            seen['seen'] = {
                camera: self._mixed_image(sensor, camera) for camera in sensor['images']
            }
        if self.mix.effort < 1 and 'effort' in sensor:
            seen['effort'] = blend(sensor['effort'], self._extras['effort'], self.mix.effort)
        return seen

    def _mixed_image(self, sensor: ObservationBatch, camera: str) -> Tensor:
        """(1, h, w, 3) uint8 as the policy sees it; of depth (1, h, w, 2)."""
        image = self._policy.seen_image(sensor, camera)
        predicted = self._extras[f'image/{camera}'].float()
        if image.shape[-1] == 2:
            share = depth_numbers(image) / STEPS
            return depth_shares(blend(share, predicted.mean(-1) / 255, self.mix.image))
        return blend(image.float(), predicted, self.mix.image).round().byte()

    def _on_time(self, time_ns: int | None) -> bool:
        if time_ns is None or self._due_ns is None:
            return True
        return abs(time_ns - self._due_ns) <= self._policy.period_ns // 2


def blend(sensor: Tensor, predicted: Tensor, share: float) -> Tensor:
    """share * sensor + (1 - share) * predicted, (...) all three, where `predicted` lies."""
    return share * sensor.to(predicted.device) + (1 - share) * predicted
