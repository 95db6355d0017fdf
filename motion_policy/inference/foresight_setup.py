# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Picklable settings of prediction-error monitoring by a frame predictor."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from motion_policy.control.foresight import PlanForesight, PredictionError
from motion_policy.errors import UserError
from motion_policy.inference.policy_setup import checked_device
from motion_policy.policies import PolicySpec, load_model
from motion_policy.policies.checkpoint import Checkpoint
from motion_policy.policies.video.predictor import FramePredictorModel
from motion_policy.robot import RobotSpec
from motion_policy.streams.images import RgbImage

NICENESS = 5  # the policy computes first


@dataclass(frozen=True)
class ForesightSetup:
    """A predictor's checkpoint, the robot that it watches, and where it computes."""

    checkpoint: Checkpoint
    robot: RobotSpec
    device: str = 'cpu'
    threads: int = 1

    def __post_init__(self) -> None:
        """Raise UserError if it predicts no frames."""
        name, kind = self.checkpoint.name, self.spec.kind
        if kind != FramePredictorModel.kind:
            raise UserError(f"{name}: holds a '{kind}', expected a {FramePredictorModel.kind}")

    @property
    def spec(self) -> PolicySpec:
        """What the checkpoint says of itself."""
        return self.checkpoint.spec

    @property
    def cameras(self) -> tuple[str, ...]:
        """The one that it looks through."""
        return self.spec.cameras

    def begin(self, say: Callable[[str], None]) -> ForesightWork:
        """Load and warm up, in a process of its own; UserError if it does not fit the robot."""
        os.nice(NICENESS)
        torch.set_num_threads(self.threads)
        model = load_model(self.checkpoint, checked_device(self.device))
        assert isinstance(model, FramePredictorModel)
        foresight = PlanForesight(model, self.robot, model.spec.foresight)
        foresight.warm_up()
        return ForesightWork(foresight)


class ForesightWork:
    """A foresight that is asked from another process."""

    def __init__(self, foresight: PlanForesight) -> None:
        self._foresight = foresight

    @property
    def facts(self) -> None:
        """Nothing that the checkpoint does not say."""

    def reset(self) -> None:
        """Forget what was seen and predicted."""
        self._foresight.reset()

    def answer(
        self, images: Mapping[str, RgbImage], time_ns: int, *arguments: Any
    ) -> PredictionError | None:
        """Look; `arguments` as those of `PlanForesight.look` after the image."""
        return self._foresight.look(time_ns, images[self._foresight.camera], *arguments)
