# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What every policy is: a network that turns an observation into an action chunk.

The caller speaks robot units and camera pixels; resizing and normalising happen inside, by the
same functions that training uses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, TypedDict

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from motion_policy.policies.normalisation import (
    MinMax,
    Normalisation,
    Range,
    resize_images,
    to_unit_images,
)
from motion_policy.robot import RobotSpec

FORMAT: Literal['motion_policy/policy/1'] = 'motion_policy/policy/1'


class Observation(TypedDict):
    """What a policy sees: qpos (B, J) float32 in robot units, images {camera: (B, H, W, 3) uint8
    RGB}.
    """

    qpos: Tensor
    images: dict[str, Tensor]


class PolicySpec(BaseModel):
    """All that `policy.yaml` holds: enough to rebuild the policy and to know where it is from."""

    model_config = ConfigDict(extra='forbid', frozen=True)

    format: Literal['motion_policy/policy/1'] = FORMAT
    kind: str
    rate: float = Field(gt=0, description='Hz: one step of the policy per period')
    cameras: tuple[str, ...]
    image_size: tuple[int, int] = Field(description='height, width that the network sees')
    target: Literal['action', 'qpos'] = Field(
        default='action',
        description='what row 0 predicts one period ahead: the leader or the follower',
    )
    hyper: dict[str, Any] = Field(default_factory=dict)
    normalisation: Normalisation
    robot: RobotSpec
    data: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    software: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode='after')
    def _fits_robot(self) -> PolicySpec:
        joints = len(self.robot.joints.names)
        for name, values in (('qpos', self.normalisation.qpos), ('action', self.target_range)):
            if len(values.min) != joints:
                raise ValueError(
                    f'normalisation.{name} has {len(values.min)} values, the robot {joints} joints'
                )
        for camera in self.cameras:
            if camera not in self.robot.cameras:
                known = ', '.join(self.robot.cameras) or 'none'
                raise ValueError(f"camera '{camera}' is not one of the robot's: {known}")
        return self

    @property
    def target_range(self) -> Range:
        """The range in which the predicted target is normalised."""
        return self.normalisation.qpos if self.target == 'qpos' else self.normalisation.action


class Policy(nn.Module, ABC):
    """A policy in robot units. One subclass per kind; `initial_state` and `infer` are theirs."""

    kind: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        self.config = self.Config.model_validate(spec.hyper)
        # A checkpoint says every hyper-parameter, also those that were left at their defaults.
        self.spec = spec.model_copy(update={'hyper': self.config.model_dump(mode='json')})
        self.source = spec.kind  # where it was loaded from, for messages
        self.normalise_qpos = MinMax(spec.normalisation.qpos)
        self.normalise_target = MinMax(spec.target_range)

    @property
    def device(self) -> torch.device:
        return self.normalise_qpos.low.device

    @property
    def period_ns(self) -> int:
        return round(1e9 / self.spec.rate)

    @property
    def joint_names(self) -> tuple[str, ...]:
        return tuple(self.spec.robot.joints.names)

    @property
    def cameras(self) -> tuple[str, ...]:
        return self.spec.cameras

    @abstractmethod
    def initial_state(self, batch_size: int) -> Any:
        """The state before the first step, on the policy's device; None if it has none."""

    @abstractmethod
    def infer(
        self, images: dict[str, Tensor], qpos: Tensor, state: Any, explain: bool
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """In network units: images (B, 3, h, w), qpos (B, J) -> targets (B, k, A), state, extras.

        With `explain` false nothing is computed that the targets do not need.
        """

    @torch.inference_mode()
    def act(self, observation: Observation, state: Any) -> tuple[Tensor, Any]:
        """One step -> (chunk (B, k, A) float32 in robot units, next state).

        Row i of the chunk is to be sent i periods after the observation.
        """
        chunk, state, _ = self._act(observation, state, explain=False)
        return chunk, state

    @torch.inference_mode()
    def act_and_explain(
        self, observation: Observation, state: Any
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """`act`, and what the policy attended to and expects to see, from the same forward."""
        return self._act(observation, state, explain=True)

    def explain(self, observation: Observation, state: Any) -> dict[str, Tensor]:
        """The extras alone; `state` is the one before this observation and stays as it is."""
        return self.act_and_explain(observation, state)[2]

    def _act(
        self, observation: Observation, state: Any, explain: bool
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        qpos = observation['qpos'].to(self.device, torch.float32)
        joints = len(self.joint_names)
        if qpos.ndim != 2 or qpos.shape[1] != joints:
            raise ValueError(f'qpos is {tuple(qpos.shape)}, expected (batch, {joints})')
        if state is None:
            state = self.initial_state(len(qpos))
        images = {camera: self._image(observation, camera) for camera in self.cameras}
        targets, state, extras = self.infer(images, self.normalise_qpos(qpos), state, explain)
        return self.normalise_target.inverse(targets.float()), state, extras

    def _image(self, observation: Observation, camera: str) -> Tensor:
        image = observation['images'].get(camera)
        if image is None:
            raise ValueError(f"the observation has no camera '{camera}'")
        if image.ndim != 4 or image.shape[-1] != 3 or image.dtype != torch.uint8:
            raise ValueError(
                f"camera '{camera}' gives {tuple(image.shape)} {image.dtype}, "
                'expected (batch, height, width, 3) uint8'
            )
        return to_unit_images(resize_images(image.to(self.device), self.spec.image_size))
