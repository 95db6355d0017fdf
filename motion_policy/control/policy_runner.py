# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Inference of one policy for one robot: an observation as arrays in, an action chunk out.

The recurrent state and the last prediction live here, on the policy's device; a state that led to
a chunk that is not finite is never used again. On a CPU the policy sees the arrays themselves; to
a GPU they go through pinned memory, and the first that is waited for is the chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motion_policy.control.ensemble import TemporalEnsemble
from motion_policy.control.mixing import Mix, Mixer
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.policies import Policy, check_robot
from motion_policy.policies.base import ObservationBatch
from motion_policy.policies.uploads import Uploads
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation
from motion_policy.streams.buffers import named_joints
from motion_policy.streams.transforms import ContinuousRotations

WARM_UP_STEPS = 3
SENSOR_ALONE = Mix()


@dataclass(frozen=True)
class PolicyFacts:
    """What a controller must know of a policy: rows of a chunk, its period, how long after the
    observation row 0 is due, whether it needs joint efforts, where it is from, and which vectors
    it needs.
    """

    chunk_rows: int
    period_ns: int
    first_due_ns: int
    needs_effort: bool
    source: str
    inputs: tuple[str, ...] = ()


def checked_observation(
    observation: Observation, facts: PolicyFacts, robot: RobotSpec
) -> Observation:
    """Return it; UserError if it lacks joint efforts or vectors of the policy's training."""
    for name in facts.inputs:
        if name not in observation.vectors:
            raise UserError(
                f"{facts.source}: was trained with vector '{name}', which is not observed here"
            )
    if facts.needs_effort and observation.effort is None:
        topics = ', '.join(topic.topic for topic in robot.joints.state)
        lacking = named_joints(observation.lacking.get('effort', ()))
        raise UserError(
            f"{facts.source}: was trained with joint efforts, but '{robot.name}' "
            f'does not report one for every joint ({topics})' + f': {lacking}' * bool(lacking)
        )
    return observation


class PolicyRunner:
    """Holds a loaded policy and its state.

    Args:
        policy: in eval mode.
        robot: what it drives.
        mix: how much of the policy's own last prediction it sees beside the sensors.
        ensemble: coefficient of temporal ensembling, for chunks of many rows; 0: none.

    Raises:
        CheckpointError: the policy cannot drive `robot`.
        UserError: `mix` asks for a prediction that the policy does not make.
    """

    def __init__(
        self,
        policy: Policy,
        robot: RobotSpec,
        mix: Mix = SENSOR_ALONE,
        *,
        ensemble: float = 0.0,
    ) -> None:
        check_robot(policy, robot)
        policy.space = policy.space.on(robot)
        self.policy = policy
        self.robot = robot
        self._mixer = Mixer(policy, mix)
        self._rotations = ContinuousRotations(robot.vectors, policy.spec.inputs)
        self._uploads = Uploads(policy.device) if policy.device.type == 'cuda' else None
        self._ensemble: TemporalEnsemble | None = None
        if ensemble and policy.chunk_rows > 1:
            self._ensemble = TemporalEnsemble(ensemble, policy.period_ns)
        self.reset()
        self._check_mix()

    @property
    def mix(self) -> Mix:
        """How much of the sensors the policy sees."""
        return self._mixer.mix

    @property
    def facts(self) -> PolicyFacts:
        """What a controller must know of the policy."""
        policy = self.policy
        return PolicyFacts(
            chunk_rows=policy.chunk_rows,
            period_ns=policy.period_ns,
            first_due_ns=policy.first_due_ns,
            needs_effort=policy.spec.effort,
            source=policy.source,
            inputs=policy.spec.inputs,
        )

    def reset(self) -> None:
        """Begin a new task: forget the recurrent state and every prediction."""
        self._state: Any = self.policy.initial_state(1)
        self._mixer.reset()
        self._rotations.reset()
        if self._ensemble is not None:
            self._ensemble.clear()

    def infer(
        self,
        observation: Observation,
        explain: bool = True,
        time_ns: int | None = None,
        since_ns: int = 0,
    ) -> tuple[Float64Array, dict[str, npt.NDArray[Any]]]:
        """Return the chunk (k, J) float64 in robot units and, if asked, the policy's extras.

        With ensembling, every row is the mean of all predictions for its time.

        Args:
            observation: what the sensors say.
            explain: whether extras are wanted.
            time_ns: when that was; with it, a prediction is never mixed into the observation of
                another moment than it was made for. Without it there is no ensembling.
            since_ns: predictions from observations before are left out of the means.

        Extras are arrays without the batch axis, by camera where they belong to one: `hidden`
        (R,); `image/CAM` (h, w, 3) uint8, the next image as predicted; `encoder_points/CAM` and
        `decoder_points/CAM` (K, 2), x and y in [0, 1]; `attention/CAM` (h, w), shares of 1;
        `effort` (J,); `tool_pose` (k, 9), the poses that inverse kinematics made the chunk of;
        and `seen/CAM` (h, w, 3) uint8, the image that the policy saw if it was
        mixed.

        Raises:
            UserError: the observation lacks what the policy was trained with.
        """
        sensor = self._batch(observation)
        seen = self._mixer.mixed(sensor, time_ns)
        if explain or self._mixer.wanted:
            chunk, state, extras = self.policy.act_and_explain(seen, self._state)
        else:
            (chunk, state), extras = self.policy.act(seen, self._state), {}
        if self._ensemble is not None and time_ns is not None:
            chunk = self._ensemble.merge(chunk[0], time_ns, since_ns)[None]
        rows: Float64Array = chunk[0].cpu().numpy().astype(np.float64)
        if np.isfinite(rows).all():
            self._state = state
            self._mixer.keep(chunk, extras, time_ns)
        else:
            self.reset()
        mixed = {f'seen/{camera}': image for camera, image in seen.get('seen', {}).items()}
        told = {**extras, **mixed} if explain else {}
        return rows, {name: value[0].cpu().numpy() for name, value in told.items()}

    def check_observation(self, observation: Observation) -> None:
        """UserError if it lacks joint efforts or vectors that the policy was trained with."""
        checked_observation(observation, self.facts, self.robot)

    def warm_up(self, steps: int = WARM_UP_STEPS, explain: bool = True) -> None:
        """Take the slow first steps on black images of the robot's size; the state is as new."""
        observation = self._darkness()
        for _ in range(steps):
            self.infer(observation, explain)
        self.reset()

    def close(self) -> None:
        """Nothing has to be ended."""

    def _batch(self, observation: Observation) -> ObservationBatch:
        self.check_observation(observation)
        batch: ObservationBatch = {
            'qpos': self._tensor('qpos', observation.qpos),
            'images': {
                camera: self._tensor(f'images/{camera}', observation.image(camera))
                for camera in self.policy.cameras
            },
        }
        if self.policy.spec.effort:
            assert observation.effort is not None
            batch['effort'] = self._tensor('effort', observation.effort)
        if names := self.policy.spec.inputs:
            vectors = self._rotations.of(observation.vectors)
            values = np.concatenate([vectors[name].reshape(-1) for name in names])
            batch['inputs'] = self._tensor('inputs', values)
        return batch

    def _tensor(self, name: str, values: npt.NDArray[Any]) -> Tensor:
        """One observation's values with a batch axis before them."""
        if self._uploads is not None:
            return self._uploads(name, values[None])
        return torch.from_numpy(_writable(values))[None]

    def _darkness(self) -> Observation:
        zeros = np.zeros(len(self.robot.joints.names), dtype=np.float32)
        topics, views = self.robot.image_topics, self.policy.views
        images = {
            name: np.zeros((topics[name].height, topics[name].width, view.channels), np.uint8)
            for name, view in views.items()
        }
        vectors = {
            name: np.zeros(self.robot.vectors[name].shape, dtype=np.float32)
            for name in self.policy.spec.inputs
        }
        return Observation(
            qpos=zeros, qvel=zeros, effort=zeros, images=images, action=None, vectors=vectors
        )

    def _check_mix(self) -> None:
        if self.policy.chunk_rows > 1 and self.mix != SENSOR_ALONE:
            raise UserError(
                f'{self.policy.source}: predicts chunks of {self.policy.chunk_rows} rows, which '
                f'cannot be mixed into what it sees, but the mix is {self.mix}, expected 1'
            )
        if not self._mixer.wanted:
            return
        _, extras = self.infer(self._darkness())
        self.reset()
        for name in self._mixer.wanted:
            if name not in extras:
                modality, _, camera = name.partition('/')
                of_camera = f" of camera '{camera}'" if camera else ''
                raise UserError(
                    f'{self.policy.source}: predicts no {modality}{of_camera}, but the mix of '
                    f'{modality} is {self.mix.to_json()[modality]:g}, expected 1'
                )


def _writable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # The view of a message is read-only, which torch warns about.
    return values if values.flags.carray else np.require(values, requirements=('C', 'W'))
