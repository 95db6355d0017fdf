# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every command topic gets its own joints, under its names, in its order and message type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from chain_arm import tool_arm
from control_robots import formula_arm
from mobile_robots import mobile_robot

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_testing import Bench
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32MultiArray, Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from motion_policy.control.command import CommandMotion
from motion_policy.errors import UserError
from motion_policy.nodes.commands import CommandPublishers
from motion_policy.nodes.foreign_commands import ForeignCommands
from motion_policy.rehearsal.arm import StandInArm
from motion_policy.rehearsal.commands import CommandPort
from motion_policy.robot import RobotSpec, load_robot_spec, robot_spec_from_yaml

ALOHA_NAMES = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate')
TWO_ARMS = """[
  {topic: left/commands, type: std_msgs/msg/Float64MultiArray, joints: [joint3, joint1]},
  {topic: right/joint_trajectory, type: trajectory_msgs/msg/JointTrajectory,
   joints: [joint2], message_names: [right_elbow]},
  {topic: gripper/target_joint, type: sensor_msgs/msg/JointState,
   joints: [joint4], message_names: [finger]},
  {topic: lift/command, type: std_msgs/msg/Float64, joints: [joint5]},
  {topic: hand/commands, type: std_msgs/msg/Float32MultiArray, joints: [joint7, joint6]}]"""
POSITION = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


def test_one_command_becomes_one_message_per_topic(bench: Bench) -> None:
    heard: dict[str, object] = {}
    for topic, kind in (
        ('left/commands', Float64MultiArray),
        ('right/joint_trajectory', JointTrajectory),
        ('gripper/target_joint', JointState),
        ('lift/command', Float64),
        ('hand/commands', Float32MultiArray),
    ):
        bench.client.create_subscription(kind, topic, lambda m, t=topic: heard.update({t: m}), 1)
    publishers = CommandPublishers(bench.client, formula_arm(7, 50.0, TWO_ARMS))

    def all_heard() -> bool:
        publishers.send(POSITION)
        return len(heard) == 5

    bench.spin_until(all_heard, 'all five messages')
    assert heard['lift/command'].data == 0.5
    assert list(heard['hand/commands'].data) == np.float32([0.7, 0.6]).tolist()
    assert list(heard['left/commands'].data) == [0.3, 0.1]
    trajectory = heard['right/joint_trajectory']
    assert trajectory.joint_names == ['right_elbow']
    (point,) = trajectory.points
    assert list(point.positions) == [0.2] and not point.velocities
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 20_000_000)
    assert (trajectory.header.stamp.sec, trajectory.header.stamp.nanosec) == (0, 0)
    state = heard['gripper/target_joint']
    assert (list(state.name), list(state.position)) == (['finger'], [0.4])
    assert state.header.stamp.sec > 0


@pytest.mark.parametrize('kind', [Twist, TwistStamped])
def test_velocities_of_a_base_stand_in_the_fields_of_a_twist(bench: Bench, kind: type) -> None:
    command = f'type: geometry_msgs/msg/{kind.__name__}, fields: [linear.y, angular.z]'
    frame = ', frame: base_link' * (kind is TwistStamped)
    robot = mobile_robot('type: geometry_msgs/msg/TwistStamped, frame: base_link', command + frame)
    heard: list[Any] = []
    bench.client.create_subscription(kind, 'cmd_vel', heard.append, 1)
    publishers = CommandPublishers(bench.client, robot)
    foreign = ForeignCommands(bench.client, robot, pytest.fail)
    position = np.array([0.1, 0.2, 0.3, -0.4])

    def told() -> bool:
        foreign.sent(position)
        publishers.send(position)
        return bool(heard)

    bench.spin_until(told, 'a twist')
    message = heard[-1]
    if kind is TwistStamped:
        assert message.header.frame_id == 'base_link' and message.header.stamp.sec > 0
        message = message.twist
    linear, angular = message.linear, message.angular
    assert (linear.x, linear.y, linear.z) == (0.0, 0.3, 0.0)
    assert (angular.x, angular.y, angular.z) == (0.0, 0.0, -0.4)
    others = bench.client.create_publisher(kind, 'cmd_vel', 1)
    lines: list[str] = []
    foreign._on_foreign = lines.append  # type: ignore[method-assign]

    def told_of_another() -> bool:
        others.publish(kind())  # zero is a command, too
        return bool(lines)

    bench.spin_until(told_of_another, 'a line on the other')
    foreign.destroy()


def test_a_pose_is_that_of_the_tool_at_the_commanded_joints(bench: Bench, tmp_path: Path) -> None:
    robot = tool_arm(tmp_path, 'geometry_msgs/msg/PoseStamped')
    heard: list[PoseStamped] = []
    bench.client.create_subscription(PoseStamped, 'tool_command', heard.append, 1)
    publishers = CommandPublishers(bench.client, robot)
    foreign = ForeignCommands(bench.client, robot, pytest.fail)
    arm = StandInArm(robot, np.zeros(7), lags=False)
    ports = [CommandPort(robot, topic, arm) for topic in robot.joints.command]
    random = np.random.default_rng(0)
    position = np.array([0.3, -0.4, 0.9, 0.2, 0.5, -0.3, 0.01])
    for _ in range(20):
        position[:6] += random.uniform(-0.03, 0.03, 6)

        def told() -> bool:
            foreign.sent(position)
            publishers.send(position)
            return bool(heard)

        heard.clear()
        bench.spin_until(told, 'a pose')
        ports[0].take(heard[-1], bench.client.get_clock().now().nanoseconds)
        # Six joints with a spherical wrist: near the last ones there is one solution.
        np.testing.assert_allclose(arm.target[:6], position[:6], atol=2e-3)
    message = heard[-1]
    assert message.header.frame_id == 'base' and message.header.stamp.sec > 0
    turned = message.pose.orientation
    assert turned.w >= 0
    assert np.linalg.norm([turned.x, turned.y, turned.z, turned.w]) == pytest.approx(1)
    message.pose.position.x = 9.0
    ports[0].take(message, bench.client.get_clock().now().nanoseconds)
    assert 'out of reach' in str(ports[0].felt.arrivals)
    foreign.destroy()


@pytest.mark.parametrize(
    'kind', ['geometry_msgs/msg/PoseStamped', 'geometry_msgs/msg/TwistStamped']
)
def test_a_joint_that_does_not_move_the_tool_is_not_sent_as_one_of_it(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    names = [*(f'joint{number}' for number in range(1, 7)), 'gripper']
    robot = tool_arm(tmp_path, kind, joints=names)
    with pytest.raises(UserError, match=r"tool_command.*'gripper' does not move the tool 'tool'"):
        CommandPublishers(bench.client, robot)


def hear_aloha(bench: Bench, robot: RobotSpec) -> tuple[dict[str, JointTrajectory], Any]:
    """What the four controllers of ALOHA hear, and who speaks to them."""
    heard: dict[str, JointTrajectory] = {}
    for topic in robot.joints.command:
        bench.client.create_subscription(
            JointTrajectory, topic.topic, lambda m, t=topic.topic: heard.update({t: m}), 1
        )
    return heard, CommandPublishers(bench.client, robot)


def test_the_controllers_of_two_arms_hear_of_their_own_joints_only(bench: Bench) -> None:
    robot = load_robot_spec('aloha')
    heard, publishers = hear_aloha(bench, robot)
    position = np.arange(14) / 100

    def all_heard() -> bool:
        publishers.send(position)
        return len(heard) == 4

    bench.spin_until(all_heard, 'all four messages')
    for side, first in (('left', 0), ('right', 7)):
        arm = heard[f'follower_{side}/arm_controller/joint_trajectory']
        finger = heard[f'follower_{side}/gripper_controller/joint_trajectory']
        assert tuple(arm.joint_names) == ALOHA_NAMES and finger.joint_names == ['left_finger']
        np.testing.assert_array_equal(arm.points[0].positions, position[first : first + 6])
        np.testing.assert_array_equal(finger.points[0].positions, position[first + 6 :][:1])


def test_plans_go_to_every_controller_that_wants_them_and_to_no_other(bench: Bench) -> None:
    content = yaml.safe_load(load_robot_spec('aloha').to_yaml())
    for topic in content['joints']['command'][:3]:
        topic['send'] = 'chunk'
    robot = robot_spec_from_yaml(yaml.safe_dump(content), 'aloha.yaml')
    heard, publishers = hear_aloha(bench, robot)
    assert publishers.looks_ahead
    positions, now_ns = np.arange(28).reshape(2, 14) / 100, 7_000_000_100
    times_ns = np.array([7_020_000_100, 8_500_000_100])

    def all_heard() -> bool:
        plans = publishers.trajectories(positions, 0 * positions, times_ns, now_ns, at_once=False)
        for publisher, message in plans:
            publisher.publish(message)
        return len(heard) == 3

    bench.spin_until(all_heard, 'three messages')
    assert 'follower_right/gripper_controller/joint_trajectory' not in heard
    right = heard['follower_right/arm_controller/joint_trajectory']
    np.testing.assert_array_equal([p.positions for p in right.points], positions[:, 7:13])
    assert (right.header.stamp.sec, right.header.stamp.nanosec) == (7, 100)
    after = [(p.time_from_start.sec, p.time_from_start.nanosec) for p in right.points]
    assert after == [(0, 20_000_000), (1, 500_000_000)]
    publishers.send(positions[0])
    gripper = 'follower_right/gripper_controller/joint_trajectory'
    bench.spin_until(lambda: gripper in heard, 'the last gripper')
    assert len(heard.pop(gripper).points) == 1
    assert {len(message.points) for message in heard.values()} == {2}


def test_a_publisher_that_could_wait_for_its_listeners_is_refused(bench: Bench) -> None:
    topic = '/forward_position_controller/commands'
    history = Parameter(f'qos_overrides.{topic}.publisher.history', value='keep_all')
    node = bench.add(Node('driver', context=bench.context, parameter_overrides=[history]))
    with pytest.raises(UserError, match=f'{topic}.publisher.history is keep_all, expected keep_'):
        CommandPublishers(node, formula_arm())
    assert node.count_publishers(topic) == 0


def test_a_trajectory_with_velocities_comes_to_rest_by_itself_and_is_known_as_ours(
    bench: Bench,
) -> None:
    topic = '{topic: arm/joint_trajectory, type: trajectory_msgs/msg/JointTrajectory, %s}'
    robot = formula_arm(3, 50.0, topic % 'velocities: true')
    heard: list[JointTrajectory] = []
    bench.client.create_subscription(JointTrajectory, 'arm/joint_trajectory', heard.append, 1)
    publishers = CommandPublishers(bench.client, robot)
    foreign = ForeignCommands(bench.client, robot, pytest.fail)
    for velocity in (np.array([0.4, -1.0, 0.0]), np.zeros(3)):
        motion = CommandMotion(velocity)
        heard.clear()

        def told(motion: CommandMotion = motion) -> bool:
            foreign.sent(POSITION[:3], motion)
            publishers.send(POSITION[:3], motion)
            return bool(heard)

        bench.spin_until(told, 'a trajectory')
        points = heard[-1].points
        np.testing.assert_array_equal(points[0].velocities, velocity)
        np.testing.assert_allclose(points[0].positions, POSITION[:3] - velocity * 0.01)
        assert not any(points[-1].velocities) and points[0].time_from_start.nanosec == 20_000_000
        assert len(points) == (4 if velocity.any() else 1)
    np.testing.assert_array_equal(points[-1].positions, POSITION[:3])
    foreign.destroy()
