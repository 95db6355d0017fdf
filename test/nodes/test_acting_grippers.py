# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A gripper that an action moves: one goal per decision, and no goal without one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('test_msgs')

from gripper_server import CLOSED, MAX_EFFORT, OPEN, ArmWithHand, HandNode, HandServer, robot_with_hand
from rclpy.action import GoalResponse
from ros_testing import Bench

SENT_OPEN, SENT_CLOSED = 2 * OPEN, 2 * CLOSED


class Scene:
    """A node, its arm and the server of its gripper; goals are told by the numbers that came."""

    def __init__(self, bench: Bench, more: str = '') -> None:
        self.robot = robot_with_hand(more)
        self.arm = ArmWithHand(bench, self.robot)
        self.server = HandServer(bench.client)
        self.node = bench.add(HandNode(self.robot, context=bench.context))
        self.bench = bench

    def aim(self, hand: float) -> None:
        """What the policy predicts for the gripper from now on."""
        self.node.target = np.array([0.1, 0.1, hand])

    def wait_for_goals(self, *positions: float) -> None:
        self.arm.until(lambda: len(self.server.goals) >= len(positions), f'goals {positions}')
        assert self.server.goals == list(positions)

    def wait_for_state(self, *states: str) -> None:
        controller = self.node.controller
        self.arm.until(lambda: controller.state in states, f'{states}')

    def wait_for_result(self, text: str) -> None:
        self.arm.wait_for_diagnostic('grippers', 'joint3 last result', text)

    def run(self) -> None:
        self.arm.enable_when_ready()
        self.wait_for_state('run')


@pytest.fixture
def scene(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(bench, getattr(request, 'param', ''))
    try:
        yield scene
    finally:
        scene.node.close()


def test_one_goal_is_sent_per_decision_and_none_without(scene: Scene) -> None:
    arm, server = scene.arm, scene.server
    scene.run()
    arm.hear(30)
    assert server.goals == []  # enabled, and what is predicted lies between the thresholds
    scene.aim(CLOSED)
    scene.wait_for_goals(SENT_CLOSED)
    assert server.efforts == [MAX_EFFORT]
    arm.hear(30)
    scene.aim(0.4)
    arm.hear(30)
    assert server.goals == [SENT_CLOSED]
    server.end()
    scene.wait_for_result('closed')
    scene.aim(OPEN)
    scene.wait_for_goals(SENT_CLOSED, SENT_OPEN)
    server.end()
    scene.wait_for_result('opened')
    assert arm.commands[-1].shape == (2,)  # no command topic carries it
    arm.reset()
    arm.enable(False)
    arm.wait_for_idle()
    scene.aim(0.4)
    scene.run()
    arm.hear(30)
    assert server.goals == [SENT_CLOSED, SENT_OPEN]
    assert scene.node.states[-4:] == ['brake', 'disabled', 'ramp', 'run']
