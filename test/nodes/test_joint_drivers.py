# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Several drivers publish the joints of one arm on one topic, and one of them dies."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import HOME, FakeArm, MakeNode, assert_safe, set_out_again
from ros_testing import Bench
from sensor_msgs.msg import JointState

ROBOT = formula_arm()


def test_of_two_drivers_on_one_topic_the_dead_one_disables_the_arm_and_its_joints_are_named(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    """An arm at 100 Hz and a gripper at 25 Hz; the gripper's driver dies, and is begun anew."""
    arm.joints_work = False

    def driver(period_s: float, *places: int) -> Any:
        publisher = bench.client.create_publisher(JointState, 'joint_states', 10)

        def publish() -> None:
            message = JointState(name=[ROBOT.joints.names[place] for place in places])
            message.position = [float(arm.position[place]) for place in places]
            message.header.stamp = arm.stamp()
            publisher.publish(message)

        timer = bench.client.create_timer(period_s, publish)
        return publisher, timer

    def kill(publisher: Any, timer: Any) -> None:
        bench.client.destroy_timer(timer)
        bench.client.destroy_publisher(publisher)

    make_node()
    driver(0.01, 0)
    arm.wait_for_diagnostic('streams', 'state fault', "joints 'joint2', 'joint3' missing")
    assert not arm.enable().success and not arm.commands
    gripper = driver(0.04, 2, 1)
    arm.enable_when_ready()
    commands = arm.hear(50)
    assert (np.abs(commands[-1] - HOME) > 0.01).all()
    kill(*gripper)
    arm.wait_for_idle()
    reason = arm.diagnostic('control', 'reason')
    assert re.match("state: joints 'joint2', 'joint3': stale|tracking error", reason), reason
    assert not arm.enable().success
    driver(0.04, 1, 2)
    assert not set_out_again(arm)
    arm.enable_when_ready()
    arm.hear(20)
    assert_safe(arm.commands, ROBOT)
