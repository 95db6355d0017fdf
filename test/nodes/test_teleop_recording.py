# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a person lets the arm be sent is what stands in an episode as the action, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import Twist
from rclpy.parameter import Parameter
from ros_testing import Bench
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from motion_policy.episodes import EpisodeReader
from motion_policy.nodes.endpoints import Origin
from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.nodes.stand_in import StandInDriver
from motion_policy.nodes.teleop_node import TeleopNode
from motion_policy.rehearsal.arm import StandInArm
from motion_policy.robot import JointTopic, robot_spec_from_yaml
from motion_policy.streams.joints import read_joint_message

pytestmark = pytest.mark.slow

SPEC = """
name: led_mobile
rate: 50.0
joints:
  names: [lift, elbow, jaw, base_forward, base_turn]
  velocities: [base_forward, base_turn]
  state:
    - {topic: joint_states, type: sensor_msgs/msg/JointState, max_age: 1.0}
    - {topic: odom, type: nav_msgs/msg/Odometry, max_age: 1.0}
  leader:
    - {topic: arm/commands, type: std_msgs/msg/Float64MultiArray, max_age: 1.0}
    - {topic: cmd_vel, type: geometry_msgs/msg/TwistStamped, max_age: 1.0}
  command:
    - {topic: arm/commands, type: std_msgs/msg/Float64MultiArray}
    - {topic: cmd_vel, type: geometry_msgs/msg/TwistStamped, frame: base_link}
  grippers: {jaw: {closed: 0.0, close_at: 0.2, open_at: 0.4, open: 0.6}}
  limits:
    position: [[-1.0, 1.0], [-1.0, 1.0], [-0.1, 0.7], [-0.2, 0.5], [-1.0, 1.0]]
    velocity: [1.0, 1.0, 2.0, 1.0, 2.0]
    acceleration: [5.0, 5.0, 20.0, 10.0, 20.0]
teleop:
  leader:
    - {topic: leader, type: sensor_msgs/msg/JointState, joints: [lift, elbow, jaw], max_age: 1.0}
    - {topic: stick, type: geometry_msgs/msg/Twist, max_age: 1.0}
  ranges: {jaw: {leader: [0.0, 1.0], arm: [0.0, 0.6]}}
"""
ROBOT = robot_spec_from_yaml(SPEC, 'led_mobile.yaml')
# Commands must not be lost where the test counts them.
LOSSLESS = {f'qos_overrides./{topic.topic}.publisher.depth': 100 for topic in ROBOT.joints.command}


class LedArm:
    """An arm on a base that is where it is sent, its leader, and a record of what it was told."""

    def __init__(self, bench: Bench) -> None:
        self.arm = StandInArm(ROBOT, np.zeros(5), lags=False)
        self.sent: dict[JointTopic, list[np.ndarray]] = {t: [] for t in ROBOT.joints.command}
        self.lead: Iterator[np.ndarray] = iter(())
        self.leader = np.array([0.1, 0.1, 0.0, 0.0, 0.0])
        self.driver = StandInDriver(
            bench.client, ROBOT, self.arm, image_of=np.asarray, on_command=self._take
        )
        for name in ('leader_0', 'leader_1'):
            self.driver.publishers.pop(name)
        self._leader = bench.client.create_publisher(JointState, 'leader', 10)
        self._stick = bench.client.create_publisher(Twist, 'stick', 10)
        self._clock = bench.client.get_clock()
        bench.client.create_timer(0.01, self._speak)

    def _take(self, topic: JointTopic, message: Any, _origin: Origin) -> None:
        told = read_joint_message(message, topic).position
        self.sent[topic].append(told)
        position = self.arm.position.copy()
        position[[ROBOT.joints.names.index(joint) for joint in topic.joints]] = told
        self.arm.place(position)

    def _speak(self) -> None:
        self.leader = next(self.lead, self.leader)
        self.driver.publish('state_0'), self.driver.publish('state_1')
        message = JointState(name=['lift', 'elbow', 'jaw'], position=self.leader[:3].tolist())
        message.header.stamp = self._clock.now().to_msg()
        self._leader.publish(message)
        twist = Twist()
        twist.linear.x, twist.angular.z = self.leader[3:].tolist()
        self._stick.publish(twist)


def test_the_actions_of_an_episode_are_the_commands_that_were_sent(
    bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / 'led_mobile.yaml'
    path.write_text(ROBOT.to_yaml())
    arm = LedArm(bench)
    given = {'robot': str(path), 'autostart': True, **LOSSLESS}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    teleop = TeleopNode(context=bench.context, parameter_overrides=overrides)
    bench.add(teleop)
    given = {'robot': str(path), 'directory': str(tmp_path)}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    recorder = RecorderNode(context=bench.context, parameter_overrides=overrides)
    bench.add(recorder)
    try:
        request = SetBool.Request(data=True)
        bench.spin_until(
            lambda: bench.call(SetBool, 'teleop_node/enable', request).success, 'the enable'
        )
        bench.spin_until(
            lambda: bench.call(Trigger, 'recorder_node/start').success, 'the recording'
        )
        joints_sent, _ = arm.sent.values()
        bench.spin_until(
            lambda: joints_sent and np.allclose(joints_sent[-1][:2], 0.1, atol=1e-6),
            'the arm at its leader',
        )
        way = np.linspace(0.0, 2 * np.pi, 150)
        arm.lead = iter(
            np.array([
                0.1 + 0.2 * np.sin(way), 0.1 - 0.1 * np.sin(way), way > np.pi, 0.2 * np.sin(way),
                -0.5 * np.sin(way),
            ]).T
        )  # fmt: skip
        jaw = arm.sent[ROBOT.joints.command[0]]
        bench.spin_until(lambda: jaw and jaw[-1][2] > 0.59, 'the open jaw')
        assert bench.call(Trigger, 'recorder_node/stop').success
    finally:
        teleop.close()
        recorder.close()
    [episode_file] = tmp_path.glob('*.hdf5')
    with EpisodeReader(episode_file) as episode:
        action, joints = episode.action[:], list(episode.joint_names)
    assert len(action) > 60
    for topic, sent in arm.sent.items():
        rows = action[:, [joints.index(joint) for joint in topic.joints]]
        commands = np.array(sent).astype(np.float32)
        assert np.ptp(rows, axis=0).min() > 0.09  # it moved
        number = 0
        for row in rows:  # each is the one before or a later one
            while not np.array_equal(commands[number], row):
                number += 1
                assert number < len(commands), f'{row} was not sent'
