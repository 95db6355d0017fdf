# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One policy acting on one robot, step by step: arrays in, an action chunk out.

The recurrent state lives here, on the policy's device, and a state that led to a chunk that is
not finite is never used again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.policies import Policy, check_robot
from motion_policy.policies.base import Observation as BatchObservation
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation

WARM_UP_STEPS = 3


class PolicyRunner:
    """Holds a loaded policy and its state; CheckpointError when it cannot drive `robot`."""

    def __init__(self, policy: Policy, robot: RobotSpec) -> None:
        check_robot(policy, robot)
        self.policy = policy
        self.robot = robot
        self.reset()

    def reset(self) -> None:
        """Begin a new task: forget the recurrent state."""
        self._state: Any = self.policy.initial_state(1)

    def infer(
        self, observation: Observation, explain: bool = True
    ) -> tuple[Float64Array, dict[str, npt.NDArray[Any]]]:
        """Return the chunk (k, J) float64 in robot units and, if asked, the policy's extras.

        Extras are arrays without the batch axis: SARNN gives `encoder_points` and
        `decoder_points` (K, 2), x and y in [0, 1], and `image` (H, W, 3) uint8.
        """
        batch: BatchObservation = {
            'qpos': torch.from_numpy(observation.qpos)[None],
            'images': {
                camera: torch.from_numpy(np.ascontiguousarray(observation.images[camera]))[None]
                for camera in self.policy.cameras
            },
        }
        if explain:
            chunk, state, extras = self.policy.act_and_explain(batch, self._state)
        else:
            (chunk, state), extras = self.policy.act(batch, self._state), {}
        rows: Float64Array = chunk[0].cpu().numpy().astype(np.float64)
        if np.isfinite(rows).all():
            self._state = state
        else:
            self.reset()
        return rows, {name: value[0].cpu().numpy() for name, value in extras.items()}

    def warm_up(self, steps: int = WARM_UP_STEPS, explain: bool = True) -> None:
        """Take the slow first steps on black images of the robot's size; the state is as new."""
        cameras = {name: self.robot.cameras[name] for name in self.policy.cameras}
        joints = len(self.robot.joints.names)
        observation = Observation(
            qpos=np.zeros(joints, dtype=np.float32),
            qvel=np.zeros(joints, dtype=np.float32),
            effort=None,
            images={
                name: np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
                for name, camera in cameras.items()
            },
            action=None,
        )
        for _ in range(steps):
            self.infer(observation, explain)
        self.reset()
