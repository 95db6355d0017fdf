# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Open-loop rollout: a policy steps over recorded data; its actions against those recorded.

It sees the recorded observations, or, as its runner is set, a mixture of them with its own
predictions; nothing that it says moves the recorded arm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from motion_policy.control import PolicyRunner
from motion_policy.errors import UserError
from motion_policy.evaluation.joint_errors import JointErrors, joint_errors
from motion_policy.evaluation.recordings import RecordedRow
from motion_policy.evaluation.threads import one_thread
from motion_policy.policies import Policy
from motion_policy.policies.normalisation import to_byte_images, to_unit_images
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Observation

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True)
class ReplayStep:
    """One step: seconds since the first row, what was recorded, the policy's chunk and extras.

    `chunk` is (k, J) in robot units.
    """

    time_s: float
    observation: Observation
    chunk: Float64Array
    extras: Mapping[str, Any]


StepWatch = Callable[[ReplayStep], None]


@dataclass(frozen=True)
class OpenLoopResult:
    """What was recorded over all T rows and predicted at N steps; positions in robot units.

    Attributes:
        names: the J joints.
        truth_kind: what the policy is held against, 'action' or 'qpos'.
        time_s, truth: (T,), (T, J).
        due_s, predicted: (N,), (N, J): row 0 of each chunk, and when it is due: one period after
            its observation, or with it.
        due_truth: (N, J), the truth at the due times; NaN where nothing was recorded then.
        image_mse: per camera, the mean squared error of the predicted next image, pixels in
            [0, 1]; empty for a policy that predicts none.
        efforts: predicted and recorded efforts (M, J) of the steps that can be compared; None
            for a policy that predicts none.
        hidden: (N, R) float32, the hidden state after each step; None for a policy without.
        poses: (N, 9), as `ActionSpace.poses`, row 0 of what the policy predicted before inverse
            kinematics; None for a policy that predicts joints.
    """

    names: tuple[str, ...]
    truth_kind: str
    time_s: Float64Array
    truth: Float64Array
    due_s: Float64Array
    predicted: Float64Array
    due_truth: Float64Array
    image_mse: Mapping[str, float]
    efforts: tuple[Float64Array, Float64Array] | None
    hidden: Float32Array | None
    poses: Float64Array | None = None

    def errors(self) -> JointErrors:
        """Prediction against truth at every step whose due time was recorded."""
        return joint_errors(self.names, *self.scored())

    def scored(self) -> tuple[Float64Array, Float64Array]:
        """Predictions and truths (M, J) of the steps that can be compared."""
        known = self._known()
        return self.predicted[known], self.due_truth[known]

    def scored_poses(self) -> Float64Array | None:
        """`poses` (M, 9) of the steps that can be compared."""
        return None if self.poses is None else self.poses[self._known()]

    def _known(self) -> npt.NDArray[np.bool_]:
        known: npt.NDArray[np.bool_] = np.isfinite(self.due_truth).all(axis=1)
        return known


def replay(
    runner: PolicyRunner,
    rows: Iterable[RecordedRow],
    rate_hz: float,
    *,
    source: str = 'recording',
    watch: StepWatch | None = None,
) -> OpenLoopResult:
    """Step the policy over recorded rows, once per policy period.

    Args:
        runner: the policy, and how much of the recording it sees; its state is reset here.
        rows: the recorded rows, in the order of time, `rate_hz` of them per second.
        rate_hz: rows per second.
        source: what is replayed, for messages.
        watch: called at every step.

    Raises:
        UserError: fewer rows than two policy periods need, or an answer that is not finite.
    """
    policy = runner.policy
    foresight = _Foresight(policy)
    runner.reset()
    tolerance_ns = round(NANOSECONDS_PER_S / rate_hz / 2)
    recorded: list[RecordedRow] = []
    predicted: list[Float64Array] = []
    hidden: list[Float32Array] = []
    poses: list[Float32Array] = []
    seen_ns: list[int] = []
    next_ns: int | None = None
    for row in rows:
        recorded.append(replace(row, observe=_gone))
        if next_ns is not None and row.time_ns < next_ns - tolerance_ns:
            continue
        on_time = next_ns is not None and row.time_ns <= next_ns + tolerance_ns
        # After a hole in the recording the steps go on from where it does.
        next_ns = (next_ns if next_ns is not None and on_time else row.time_ns) + policy.period_ns
        observation = row.observe()
        if on_time:
            foresight.compare(observation)
        with one_thread():
            chunk, extras = runner.infer(observation, time_ns=row.time_ns)
        if not np.isfinite(chunk).all():
            raise UserError(
                f'{policy.source}: its prediction is not finite, row {len(recorded) - 1} of '
                f'{source}'
            )
        foresight.expect(extras)
        predicted.append(chunk[0])
        if 'hidden' in extras:
            hidden.append(extras['hidden'])
        if 'tool_pose' in extras:
            poses.append(extras['tool_pose'][0])
        seen_ns.append(row.time_ns)
        if watch is not None:
            time_s = (row.time_ns - recorded[0].time_ns) / NANOSECONDS_PER_S
            watch(ReplayStep(time_s, observation, chunk, extras))
    if not recorded:
        raise UserError(f'{source}: holds no complete row, expected at least one')
    kind, truth = _truth(recorded, policy.spec.target)
    time_ns = np.array([row.time_ns for row in recorded], dtype=np.int64)
    due_ns = np.array(seen_ns, dtype=np.int64) + policy.first_due_ns
    due_truth = _at_times(due_ns, time_ns, truth, tolerance_ns)
    if not np.isfinite(due_truth).any():
        needed_s = policy.period_ns / NANOSECONDS_PER_S
        raise UserError(
            f'{source}: {len(recorded)} rows are too few to judge, expected over {needed_s:g} s'
        )
    return OpenLoopResult(
        policy.joint_names,
        kind,
        (time_ns - time_ns[0]) / NANOSECONDS_PER_S,
        truth,
        (due_ns - time_ns[0]) / NANOSECONDS_PER_S,
        np.stack(predicted),
        due_truth,
        foresight.image_mse,
        foresight.efforts,
        np.stack(hidden) if hidden else None,
        np.stack(poses).astype(np.float64) if poses else None,
    )


def _at_times(
    wanted_ns: Int64Array, time_ns: Int64Array, values: Float64Array, tolerance_ns: int
) -> Float64Array:
    """The value of the nearest row at each wanted time; NaN where none is near enough."""
    after = np.clip(np.searchsorted(time_ns, wanted_ns), 0, len(time_ns) - 1)
    before = np.maximum(after - 1, 0)
    closer = np.abs(time_ns[before] - wanted_ns) < np.abs(time_ns[after] - wanted_ns)
    nearest = np.where(closer, before, after)
    near = np.abs(time_ns[nearest] - wanted_ns) <= tolerance_ns
    return np.where(near[:, None], values[nearest], np.nan)


def _gone() -> Observation:
    raise RuntimeError('the recorded row has been left behind')


def _truth(rows: list[RecordedRow], target: str) -> tuple[str, Float64Array]:
    """What the policy should have said at each row: its target, or qpos if that is missing."""
    actions = [row.action for row in rows if row.action is not None]
    if target == 'action' and len(actions) == len(rows):
        return 'action', np.stack(actions).astype(np.float64)
    return 'qpos', np.stack([row.qpos for row in rows]).astype(np.float64)


class _Foresight:
    """Holds what the policy expects of the next step against what is recorded there."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._expected: Mapping[str, Any] = {}
        self._squared: dict[str, list[float]] = {}
        self._efforts: list[tuple[Float32Array, Float32Array]] = []

    @property
    def image_mse(self) -> dict[str, float]:
        """Mean over all predicted images that could be compared, per camera."""
        return {camera: float(np.mean(errors)) for camera, errors in self._squared.items()}

    @property
    def efforts(self) -> tuple[Float64Array, Float64Array] | None:
        """Predicted and recorded efforts (M, J); None where none were predicted."""
        if not self._efforts:
            return None
        predicted, recorded = np.array(self._efforts, dtype=np.float64).swapaxes(0, 1)
        return predicted, recorded

    def expect(self, extras: Mapping[str, Any]) -> None:
        """Keep what the policy expects of the next step."""
        self._expected = extras

    def compare(self, observation: Observation) -> None:
        """Score the last expectation by what came."""
        for camera in self._policy.cameras:
            expected = self._expected.get(f'image/{camera}')
            if expected is not None:
                recorded = self._as_policy_sees(camera, observation.image(camera))
                difference = (recorded.astype(np.float64) - expected) / 255
                self._squared.setdefault(camera, []).append(float((difference**2).mean()))
        effort = self._expected.get('effort')
        if effort is not None and observation.effort is not None:
            self._efforts.append((effort, observation.effort))

    def _as_policy_sees(self, camera: str, image: RgbImage) -> RgbImage:
        batch = torch.from_numpy(np.array(image))[None]
        return to_byte_images(to_unit_images(self._policy.views[camera](batch)))[0].numpy()
