# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Several drivers publish the joints of one arm on one topic, and one of them dies."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import HOME, FakeArm, MakeNode, assert_safe, set_out_again
from rcl_interfaces.msg import Log
from rclpy.duration import Duration
from ros_testing import Bench
from sensor_msgs.msg import JointState
from trajectory_arm import CHUNKS, TrajectoryArm

from motion_policy.nodes.endpoints import TELLS_PUBLISHERS

ROBOT = formula_arm()


class Driver:
    """Publishes some joints of an arm, stamped by a clock that may be another one."""

    def __init__(self, arm: FakeArm, period_s: float, *places: int) -> None:
        self.behind_ms = 0.0
        self.beside = 0.0  # where the joints are
        self._arm, self._places, self._node = arm, places, arm.bench.client
        self._publisher = self._node.create_publisher(JointState, 'joint_states', 10)
        self._timer = self._node.create_timer(period_s, self._publish)

    def die(self) -> None:
        """Publish no more."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _publish(self) -> None:
        message = JointState(name=[ROBOT.joints.names[place] for place in self._places])
        position = self._arm.position + self.beside
        message.position = [float(position[place]) for place in self._places]
        now = self._node.get_clock().now() - Duration(nanoseconds=round(self.behind_ms * 1e6))
        message.header.stamp = now.to_msg()
        self._publisher.publish(message)


def test_of_two_drivers_on_one_topic_the_dead_one_disables_the_arm_and_its_joints_are_named(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    """An arm at 100 Hz and a gripper at 25 Hz; the gripper's driver dies, and is begun anew."""
    arm.joints_work = False
    make_node()
    Driver(arm, 0.01, 0)
    arm.wait_for_diagnostic('streams', 'state fault', "joints 'joint2', 'joint3' missing")
    assert not arm.enable().success and not arm.commands
    gripper = Driver(arm, 0.04, 2, 1)
    arm.enable_when_ready()
    commands = arm.hear(50)
    assert (np.abs(commands[-1] - HOME) > 0.01).all()
    gripper.die()
    arm.wait_for_idle()
    reason = arm.diagnostic('control', 'reason')
    assert re.match("state: joints 'joint2', 'joint3': stale|tracking error", reason), reason
    assert not arm.enable().success
    Driver(arm, 0.04, 1, 2)
    assert not set_out_again(arm)
    arm.enable_when_ready()
    arm.hear(20)
    assert_safe(arm.commands, ROBOT)


@pytest.mark.skipif(not TELLS_PUBLISHERS, reason='messages do not say who sent them')
def test_a_joint_that_two_nodes_publish_is_told_however_little_they_differ(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    """Another gripper driver, 0.02 rad beside, as after a start that somebody forgot."""
    logs: list[str] = []
    bench.client.create_subscription(Log, '/rosout', lambda log: logs.append(log.msg), 100)

    def told() -> list[str]:
        return [line for line in logs if 'comes from several publishers' in line]

    arm.joints_work = False
    make_node(auto_resume=60.0)  # a busy machine lets the arm hold
    Driver(arm, 0.01, 0, 1)
    gripper = Driver(arm, 0.04, 2)
    arm.enable_when_ready()
    gripper.die()
    arm.wait_for_idle()
    Driver(arm, 0.04, 2)
    arm.enable_when_ready()
    arm.hear(20)
    assert not told()
    Driver(arm, 0.04, 2, 1).beside = 0.02
    # Those of joint2 are of the second driver and the first.
    bench.spin_until(lambda: len(told()) == 2, 'both joints')
    assert {line.split("joint '")[1][:6] for line in told()} == {'joint2', 'joint3'}
    assert all(len(re.findall(r'/test_client \([-\d.]+\)', line)) == 2 for line in told())
    arm.enable_when_ready()
    arm.hear(20)
    assert len(told()) == 2


def test_of_two_drivers_the_one_whose_clock_is_behind_is_named_and_sent_no_trajectory(
    bench: Bench, make_node: MakeNode, tmp_path: Path
) -> None:
    robot = tmp_path / 'robot.yaml'
    robot.write_text(formula_arm(command=CHUNKS).to_yaml())
    arm = TrajectoryArm(bench, formula_arm(command=CHUNKS))
    arm.joints_work = False
    make_node(robot=str(robot), auto_resume=60.0)  # a busy machine lets the arm hold
    Driver(arm, 0.01, 0)
    gripper = Driver(arm, 0.02, 2, 1)
    gripper.behind_ms = 40.0
    told = "the clock of the joint states of joints 'joint2', 'joint3' is 0."
    arm.bench.spin_until(lambda: told in arm.enable().message, told)
    assert not arm.trajectories
    gripper.behind_ms = 0.0
    arm.enable_when_ready()
    arm.hear_trajectories(3)
    gripper.behind_ms = 40.0
    arm.wait_for_idle()
    assert f'clock skew: {told}' in arm.diagnostic('control', 'reason')
    arm.assert_told_safely()
