# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`sim:aloha:transfer_cube` is a task like any other: judged through the robot's controller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from motion_policy.control import ChunkExecution, Controller
from motion_policy.evaluation.closed_loop import rollout
from motion_policy.evaluation.scenes import ScriptedDemonstration, find_scene
from motion_policy.robot import load_robot_spec
from motion_policy.streams import Observation

CHUNK, PERIOD_S = 100, 0.02


class TeacherRunner:
    """The scripted teacher in the place of a policy that answers with chunks."""

    def __init__(self, demonstration: ScriptedDemonstration) -> None:
        self.demonstration = demonstration
        self.seen: list[Observation] = []
        self.start_ns: int | None = None

    def reset(self) -> None:
        """Begin anew."""
        self.start_ns = None

    def infer(
        self, observation: Observation, explain: bool, time_ns: int, *_: Any
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Where the teacher will be sent in the next two seconds, (100, 14)."""
        self.start_ns = time_ns if self.start_ns is None else self.start_ns
        self.seen.append(observation)
        now_s = (time_ns - self.start_ns) * 1e-9
        return np.array([self.demonstration(now_s + i * PERIOD_S) for i in range(CHUNK)]), {}


@pytest.mark.parametrize('seed', [0, 1])
def test_the_teacher_succeeds_through_the_controller_within_the_horizon(seed: int) -> None:
    """No limit of the robot spec touches its commands, and the policy sees the overhead camera."""
    scene = find_scene('sim:aloha:transfer_cube')
    robot = load_robot_spec(scene.robot)
    sim = scene.make()
    sim.reset(scene.positions[0], seed=seed)
    runner = TeacherRunner(scene.teacher()(sim, seed))
    result = rollout(
        sim,
        Controller(robot, robot.period_ns, chunks=ChunkExecution(), first_due_ns=0),
        runner,
        robot,
        cameras=('top',),
        horizon_s=scene.horizon_s,
        camera_rate_hz=scene.camera_rate_hz,
    )
    sim.close()
    assert result.success
    assert 5.5 < result.duration_s < scene.horizon_s - 1.0
    assert result.violations == {}
    image = runner.seen[0].images['top']
    assert image.shape == (480, 640, 3) and image.std() > 10


def test_the_scene_is_found_by_its_short_name() -> None:
    assert find_scene('sim:aloha') is find_scene('sim:aloha:transfer_cube')
