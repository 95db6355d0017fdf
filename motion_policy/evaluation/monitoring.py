# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Prediction-error monitoring beside a simulated or recorded run.

Prediction errors are found by the classes that the policy node uses; times are since the start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from motion_policy.control.action_buffer import ActionBuffer
from motion_policy.control.foresight import OwnForesight, PlanForesight, PredictionError
from motion_policy.control.lookahead import Plan
from motion_policy.errors import UserError
from motion_policy.evaluation.closed_loop import START_NS, SimulatedStep, Tick
from motion_policy.evaluation.recordings import RecordedRun
from motion_policy.policies import Model, Policy, load_model
from motion_policy.policies.foresight_limits import ForesightLimits
from motion_policy.policies.video.predictor import FramePredictorModel
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Observation

Float64Array = npt.NDArray[np.float64]

OWN = 'own'  # what the policy itself foresees


@dataclass(frozen=True)
class Foresight:
    """What watches a policy.

    Attributes:
        source: OWN, or the checkpoint folder of a frame predictor.
        judged: by the limits in that checkpoint; otherwise there are errors but no scores.
    """

    source: str
    judged: bool = True


class OwnWatch:
    """Holds what a policy foresees of itself against what comes, step by step.

    UserError for a policy that foresees nothing.
    """

    cameras: tuple[str, ...] = ()

    def __init__(self, policy: Policy, limits: ForesightLimits | None = None) -> None:
        self.limits = limits
        self.source = policy.source
        self.prediction_errors: list[PredictionError] = []
        self._foresight = OwnForesight(policy.spec, self.limits)
        self._last: SimulatedStep | None = None

    def reset(self) -> None:
        """Begin anew."""
        self.prediction_errors = []
        self._foresight.reset()
        self._last = None

    def watch(self, tick: Tick) -> None:
        """Take the policy's step if it is a new one."""
        step = tick.step
        if step is not None and step is not self._last:
            self._last = step
            self.take(step)

    def take(self, step: SimulatedStep) -> None:
        """Take one step of the policy."""
        error = self._foresight.look(step.time_ns, step.observation, step.chunk, step.extras)
        if error is not None:
            self.prediction_errors.append(error)


class PlanWatch:
    """Holds what a frame predictor foresees of the plan against what its camera shows."""

    def __init__(
        self, model: FramePredictorModel, robot: RobotSpec, limits: ForesightLimits | None = None
    ) -> None:
        self.limits = limits
        self.source = model.source
        self.cameras = model.cameras
        self.period_ns = model.period_ns
        self.prediction_errors: list[PredictionError] = []
        self._foresight = PlanForesight(model, robot, self.limits)

    def reset(self) -> None:
        """Begin anew."""
        self.prediction_errors = []
        self._foresight.reset()

    def look(
        self, time_ns: int, observation: Observation, sent: Float64Array, plan: Plan | None
    ) -> None:
        """Take what the camera shows and the command `sent` (J,); `time_ns` is of the plan."""
        image = observation.images[self.cameras[0]]
        error = self._foresight.look(time_ns, image, observation.qpos, sent, plan)
        if error is not None:
            self.prediction_errors.append(replace(error, time_ns=error.time_ns - START_NS))


def make_watch(
    foresight: Foresight, policy: Policy, robot: RobotSpec, device: str = 'cpu'
) -> OwnWatch | PlanWatch:
    """What watches `policy` on `robot`.

    UserError for a policy that foresees nothing, another checkpoint than that of a frame
    predictor, one of another robot, or one without limits that is to be judged.
    """
    if foresight.source == OWN:
        return OwnWatch(policy, _limits(policy, foresight.judged))
    model = load_model(foresight.source, device=device)
    if not isinstance(model, FramePredictorModel):
        raise UserError(f"{model.source}: holds a '{model.kind}', expected a frame_predictor")
    return PlanWatch(model, robot, _limits(model, foresight.judged))


def _limits(model: Model, judged: bool) -> ForesightLimits | None:
    if not judged:
        return None
    if model.spec.foresight is None:
        raise UserError(
            f'{model.source}: has no limits of what it foresees, expected them of: '
            'motion-policy calibrate'
        )
    return model.spec.foresight


def watch_recording(
    watch: PlanWatch, recording: RecordedRun, rows_per_plan: int
) -> list[PredictionError]:
    """The prediction errors of a frame predictor over a recording whose actions are the plan.

    Args:
        watch: the predictor's; it is reset here.
        recording: of its robot, at a multiple of its rate.
        rows_per_plan: of the recording, after which a new plan takes over.

    Raises:
        UserError: it holds no actions, or its rate is no multiple of the predictor's.
    """
    watch.reset()
    stride_ns = watch.period_ns
    period_ns = round(NANOSECONDS_PER_S / recording.rate_hz)
    if stride_ns % period_ns > 1 and period_ns - stride_ns % period_ns > 1:
        raise UserError(
            f'{recording.name}: has {recording.rate_hz:g} Hz, expected a multiple of the '
            f'{NANOSECONDS_PER_S / stride_ns:g} Hz of {watch.source}'
        )
    stride = round(stride_ns / period_ns)
    actions = _actions(recording)
    plan: Plan | None = None
    for index, row in enumerate(recording.rows()):
        if index % rows_per_plan == 0:
            plan = _plan_of(actions[index:], START_NS + index * period_ns, period_ns, index)
        if index % stride == 0:
            time_ns = START_NS + index * period_ns
            watch.look(time_ns, row.observe(), actions[index].astype(np.float64), plan)
    return watch.prediction_errors


def _actions(recording: RecordedRun) -> npt.NDArray[np.float32]:
    rows = [row.action for row in recording.rows()]
    if not rows or any(action is None for action in rows):
        raise UserError(f'{recording.name}: holds no actions, which foresight takes for the plan')
    return np.stack([action for action in rows if action is not None])


def _plan_of(actions: Float64Array, now_ns: int, period_ns: int, number: int) -> Plan:
    """Row i of `actions` is sent i periods from `now_ns` on."""
    buffer = ActionBuffer()
    buffer.add(actions, now_ns - period_ns, period_ns)
    return Plan(number, buffer)
