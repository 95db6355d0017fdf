# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Online prediction errors: predicted frames and joints against those that are observed.

One rule: a prediction counts only for the moment that it was made for. Arrays in, numbers out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motion_policy.control.action_buffer import ActionBuffer
from motion_policy.control.foresight_errors import (
    FLOOR,
    FrameErrors,
    foreseen_motion,
    image_channels,
    joint_channels,
    joint_prediction_errors,
)
from motion_policy.control.lookahead import Plan
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.policies import PolicySpec, check_robot, model_class
from motion_policy.policies.camera_view import CameraView
from motion_policy.policies.foresight_limits import ForesightLimits
from motion_policy.policies.normalisation import to_unit_images
from motion_policy.policies.recurrent.base import RecurrentPolicy
from motion_policy.policies.video.predictor import FramePredictorModel
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation
from motion_policy.streams.images import RgbImage


@dataclass(frozen=True)
class PredictionError:
    """How wrong the prediction for `time_ns` was.

    Attributes:
        time_ns: of what was seen.
        step: frames since the prediction, from 1.
        errors: by channel; those of images are of `FrameErrors`; `joint NAME`: how far a joint is
            from where it was foreseen, in units of the normalisation.
        score: greatest error over its limit, above 1 an alarm; None without limits.
        worst: the channel of the score.
    """

    time_ns: int
    step: int
    errors: Mapping[str, float]
    score: float | None = None
    worst: str = ''

    @property
    def alarming(self) -> bool:
        """Whether an error is above its limit."""
        return self.score is not None and self.score > 1


def judged(
    time_ns: int, step: int, errors: Mapping[str, float], limits: ForesightLimits | None
) -> PredictionError:
    """Hold errors against limits; channels without one count for nothing."""
    if limits is None:
        return PredictionError(time_ns, step, errors)
    shares = {name: errors[name] / limits.limit(name, step) for name in limits.scales}
    worst = max(shares, key=lambda name: shares[name])
    return PredictionError(time_ns, step, errors, shares[worst], worst)


class OwnForesight:
    """What a recurrent policy predicted one step before, held against what it sees now.

    Args:
        spec: of the policy.
        limits: of the errors; None: there are no scores.

    Raises:
        UserError: the policy predicts no next image, or the limits are of other channels.
    """

    def __init__(self, spec: PolicySpec, limits: ForesightLimits | None = None) -> None:
        if not issubclass(model_class(spec.kind), RecurrentPolicy):
            raise UserError(
                f"a policy of kind '{spec.kind}' predicts no next image of its own, "
                'expected the checkpoint of a frame_predictor beside it'
            )
        channels = [name for camera in spec.cameras for name in image_channels(camera)]
        _check_limits(limits, [*channels, *joint_channels(spec)])
        self._spec = spec
        self._views = {name: spec.view(name) for name in spec.cameras}
        self._limits = limits
        floor = FLOOR if limits is None else limits.floor
        self._errors = {name: FrameErrors(name, floor) for name in spec.cameras}
        self._period_ns = round(1e9 / spec.rate)
        self.reset()

    def reset(self) -> None:
        """Forget what was predicted."""
        self._due_ns: int | None = None
        self._seen: dict[str, Tensor] = {}
        self._images: dict[str, Tensor] = {}
        self._target: Float64Array = np.zeros(0)
        self._joints: Float64Array = np.zeros(0)
        self._motion = 0.0
        for errors in self._errors.values():
            errors.reset()

    def look(
        self,
        time_ns: int,
        observation: Observation,
        chunk: Float64Array,
        extras: Mapping[str, Any],
    ) -> PredictionError | None:
        """Take a step of the policy; return how wrong the one before was, if it was for now.

        Args:
            time_ns: of the observation.
            observation: what the sensors said.
            chunk: the policy's answer, (1, J) in robot units.
            extras: what it says of it, `image/CAM` (h, w, 3) uint8 among that.
        """
        seen = {
            name: _unit(_seen(view, observation.image(name))) for name, view in self._views.items()
        }
        found: PredictionError | None = None
        if self._due_ns is not None and abs(time_ns - self._due_ns) <= self._period_ns // 2:
            found = judged(time_ns, 1, self._errors_of(seen, observation.qpos), self._limits)
        if found is None:
            self.reset()
        if not np.isfinite(chunk).all():
            self.reset()
            return found
        # An arm follows a little behind its commands: see `PlanForesight`.
        behind = observation.qpos if found is None else self._target
        self._target = chunk[0]
        self._joints = (behind + self._target) / 2
        self._motion = foreseen_motion(self._spec, self._target, observation.qpos)
        self._due_ns = time_ns + self._period_ns
        self._seen = seen
        self._images = {name: _unit(torch.tensor(extras[f'image/{name}'])) for name in seen}
        return found

    def _errors_of(self, seen: Mapping[str, Tensor], position: Any) -> dict[str, float]:
        errors = joint_prediction_errors(self._spec, self._joints, position)
        for name, frame in seen.items():
            predicted, last = self._images[name], self._seen[name]
            errors |= self._errors[name].of(predicted, frame, last, self._motion)
        return errors


@dataclass(frozen=True)
class _Seen:
    """A frame (h, w, 3) uint8 of the predictor's size, the joints then and what was sent, (J,)."""

    time_ns: int
    frame: Tensor
    position: Tensor
    sent: Tensor


@dataclass(frozen=True)
class _Foreseen:
    """Frames (F, 3, h, w) of the periods after `time_ns`, the joints (1 + F, J) then and of these
    periods, and the last frame seen (3, h, w).
    """

    time_ns: int
    plan_number: int
    frames: Tensor
    joints: Float64Array
    last: Tensor


class PlanForesight:
    """What a frame predictor expects of the plan that is followed, held against the camera.

    Whenever another plan is followed, and when a prediction is over, the next frames are
    predicted, as far as the plan goes and at most `future` of them.

    Args:
        model: in eval mode.
        robot: what is driven.
        limits: of the errors; None: there are no scores.
        seed: of the latents.

    Raises:
        UserError: the model is one for another robot, or the limits are of other channels.
    """

    def __init__(
        self,
        model: FramePredictorModel,
        robot: RobotSpec,
        limits: ForesightLimits | None = None,
        seed: int = 0,
    ) -> None:
        check_robot(model, robot)
        self.camera = model.cameras[0]
        _check_limits(limits, [*image_channels(self.camera), *joint_channels(model.spec)])
        self.period_ns = model.period_ns
        self._model = model
        self._limits = limits
        self._errors = FrameErrors(self.camera, FLOOR if limits is None else limits.floor)
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Forget what was seen and predicted."""
        self._seen: deque[_Seen] = deque(maxlen=self._model.config.past)
        self._foreseen: _Foreseen | None = None
        self._errors.reset()
        self._generator = torch.Generator(self._model.device).manual_seed(self._seed)

    def look(
        self,
        time_ns: int,
        image: RgbImage,
        position: Float64Array,
        sent: Float64Array,
        plan: Plan | None,
    ) -> PredictionError | None:
        """Look once per period; return how wrong the newest prediction for now was, if any.

        Args:
            time_ns: now, one period after the last look; after another time all begins anew.
            image: what the camera shows, (H, W, 3).
            position: measured joints (J,).
            sent: the command (J,) of now.
            plan: what is followed from now on; None: the arm holds.
        """
        if self._seen and not self._is_next(time_ns - self._seen[-1].time_ns):
            self.reset()
        frame = _seen(self._model.views[self.camera], image)
        joints = (torch.tensor(row, dtype=torch.float32) for row in (position, sent))
        self._seen.append(_Seen(time_ns, frame, *joints))
        left_ns = 0 if plan is None else plan.covers_until_ns - time_ns
        if plan is None or left_ns <= -self.period_ns:  # it holds, or goes to its first target
            self._foreseen = None
            self._errors.reset()
            return None
        step = self._step(time_ns)
        found = self._judged(time_ns, step, frame, position)
        known = self._foreseen
        wanted = known is None or known.plan_number != plan.number or step >= len(known.frames)
        if wanted and left_ns > 0 and len(self._seen) == self._model.config.past:
            frames = min(self._model.config.future, -(-left_ns // self.period_ns))
            self._foreseen = self._predicted(time_ns, plan, frames)
        return found

    def warm_up(self) -> None:
        """Take the slow first prediction, in the dark; then all is as new."""
        config = self._model.config
        dark = np.zeros((*self._model.views[self.camera].sent, 3), np.uint8)
        still = np.zeros(len(self._model.joint_names))
        buffer = ActionBuffer()
        buffer.add(still[None], 0, (config.past + config.future) * self.period_ns)
        for look in range(config.past):
            self.look(look * self.period_ns, dark, still, still, Plan(0, buffer))
        self.reset()

    def _is_next(self, since_ns: int) -> bool:
        return self.period_ns // 2 < since_ns < self.period_ns * 3 // 2

    def _step(self, time_ns: int) -> int:
        if self._foreseen is None:
            return 0
        return round((time_ns - self._foreseen.time_ns) / self.period_ns)

    def _judged(
        self, time_ns: int, step: int, frame: Tensor, position: Float64Array
    ) -> PredictionError | None:
        foreseen = self._foreseen
        if foreseen is None or not 0 < step <= len(foreseen.frames):
            self._errors.reset()
            return None
        spec, joints = self._model.spec, foreseen.joints
        motion = foreseen_motion(spec, joints[step], joints[step - 1])
        predicted, last = foreseen.frames[step - 1], foreseen.last
        errors = self._errors.of(predicted, _unit(frame), last, motion)
        errors |= joint_prediction_errors(spec, joints[step], position)
        return judged(time_ns, step, errors, self._limits)

    def _predicted(self, time_ns: int, plan: Plan, frames: int) -> _Foreseen:
        """Each target of the plan counts as reached when the next is sent."""
        model, past = self._model, len(self._seen)
        rows = range(1, model.rows_to(past + frames) - past + 1)
        targets = [plan.target(time_ns + row * self.period_ns) for row in rows]
        ahead = [torch.tensor(target, dtype=torch.float32) for target in targets]
        actions = torch.stack([*(seen.sent for seen in self._seen), *ahead])
        known = torch.stack([seen.position for seen in self._seen])
        positions = torch.cat((known, actions[past - 1 : -1]))
        drawn = model.predict(
            torch.stack([seen.frame for seen in self._seen])[None],
            actions[None],
            positions[None],
            as_seen=True,
            generator=self._generator,
        )[0, 0].cpu()
        if not torch.isfinite(drawn).all():
            raise RuntimeError('the predicted frames are not finite')
        # An arm follows a little behind its commands: measured, about 50 ms.
        halves = range(1, 2 * frames, 2)
        behind = [plan.target(time_ns + half * self.period_ns // 2) for half in halves]
        now = self._seen[-1].position.numpy()
        return _Foreseen(
            time_ns, plan.number, drawn, np.array([now, *behind]), _unit(self._seen[-1].frame)
        )


def _check_limits(limits: ForesightLimits | None, channels: Iterable[str]) -> None:
    known = set(channels)
    for name in () if limits is None else limits.scales:
        if name not in known:
            found = ', '.join(sorted(known))
            raise UserError(f"foresight: a limit of '{name}', expected some of {found}")


def _seen(view: CameraView, image: RgbImage) -> Tensor:
    """(H, W, 3) -> a copy (h, w, 3) uint8 as the networks see it."""
    return view(torch.tensor(image)[None])[0]


def _unit(frame: Tensor) -> Tensor:
    """(h, w, 3) uint8 -> (3, h, w) in [0, 1]."""
    return to_unit_images(frame[None])[0]
