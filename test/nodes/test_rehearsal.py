# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A rehearsal sends every stream as the recorder takes it, obeys every kind of command, and fails.

It fails as it is told to, over real topics.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from ros_testing import PATIENCE_S, Bench
from std_msgs.msg import String

from motion_policy.nodes.commands import CommandPublishers
from motion_policy.nodes.rehearsal_node import RehearsalNode
from motion_policy.nodes.subscriptions import StreamSubscriptions, fields_of
from motion_policy.rehearsal.faults import read_fault
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.streams import Sampler, observation_from_row
from motion_policy.streams.message_fields import with_known_fields

LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
COMMAND = 'from motion_policy.cli.main import main; raise SystemExit(main())'
URDF = '<robot name="r"/>'
SPEC = """
name: two_arms
rate: 50.0
joints:
  names: [left_a, left_b, right_a, right_b]
  state:
    - &left {topic: left/joint_states, type: sensor_msgs/msg/JointState, joints: [left_a, left_b],
             message_names: [a, b], rate: 80.0}
    - {topic: right/joint_states, type: sensor_msgs/msg/JointState, joints: [right_a, right_b]}
  leader:
    - {topic: leader/left, type: sensor_msgs/msg/JointState, joints: [left_a, left_b],
       scale: [2.0, -1.0], offset: [0.1, 0.0]}
    - {topic: leader/right, type: std_msgs/msg/Float64MultiArray, joints: [right_a, right_b]}
  command:
    - {topic: left/commands, type: std_msgs/msg/Float64MultiArray, joints: [left_b, left_a]}
    - {topic: right/joint_trajectory, type: trajectory_msgs/msg/JointTrajectory, joints: [right_a]}
    - {topic: right/goal, type: sensor_msgs/msg/JointState, joints: [right_b], message_names: [b]}
  limits:
    position: [[-1, 1], [-1, 2], [-1, 1], [0, 0.1]]
    velocity: [2, 2, 2, 0.5]
    acceleration: [20, 20, 20, 5]
home: [0.1, 0.2, 0.3, 0.04]
cameras:
  top: {topic: top/image_raw, width: 64, height: 48, rate: 20.0}
  wrist: {topic: wrist/compressed, type: sensor_msgs/msg/CompressedImage, width: 32, height: 48}
depth:
  top: {topic: top/depth/image_raw, width: 64, height: 48}
  wrist: {topic: wrist/depth, type: sensor_msgs/msg/CompressedImage, width: 32, height: 48}
vectors:
  force: {topic: wrench, type: geometry_msgs/msg/WrenchStamped, fields: [wrench], window: mean}
  joint: {topic: right/joint_states, type: sensor_msgs/msg/JointState, fields: ['position[2]']}
"""


class Rehearsal:
    """The node in a thread, and what a recorder makes of its streams."""

    def __init__(self, bench: Bench, folder: Path, **parameters: Any) -> None:
        file, urdf = folder / 'two_arms.yaml', folder / 'r.urdf'
        file.write_text(SPEC)
        urdf.write_text(URDF)
        self.bench = bench
        self.lines: list[str] = []
        self.nodes: list[RehearsalNode] = []
        self.robot: RobotSpec = with_known_fields(robot_spec_from_yaml(SPEC, file), fields_of)
        values = {'robot': str(file), 'urdf': str(urdf), **parameters}
        options = [Parameter(name, value=value) for name, value in values.items()]
        bench.run_apart(lambda: self._keep(context=bench.context, parameter_overrides=options))
        self.sampler = Sampler(self.robot.streams())
        self.subscriptions = StreamSubscriptions(bench.client, self.robot, self.sampler)
        self.fault = bench.client.create_publisher(String, 'rehearsal_node/fault', 10)
        bench.spin_until(lambda: self.nodes, 'the node')

    def _keep(self, **options: Any) -> RehearsalNode:
        self.nodes.append(RehearsalNode(tell=self.lines.append, **options))
        return self.nodes[-1]

    @property
    def row(self) -> Any:
        return self.sampler.observe(self.bench.client.get_clock().now().nanoseconds)

    def observation(self) -> Any:
        """Wait until every stream is fresh, and read all."""
        row: list[Any] = []

        def fresh() -> bool:
            row[:] = [self.row]
            return not row[0].faults

        self.bench.spin_until(fresh, 'all streams', lambda: f'{row[0].faults} {self.lines}')
        return observation_from_row(row[0], self.robot)

    def make(self, fault: str, said: str) -> None:
        """Make a fault, and wait for its line."""
        self.bench.spin_until(self.fault.get_subscription_count, 'the fault topic')
        self.fault.publish(String(data=fault))
        self.bench.spin_until(lambda: any(said in x for x in self.lines), said)
        self.lines.clear()

    def until_fault(self, stream: str, said: str) -> None:
        """Wait until a stream has a fault."""
        self.bench.spin_until(
            lambda: said in self.row.faults.get(stream, ''), said, lambda: f'{self.row.faults}'
        )


def test_every_stream_is_sent_as_the_spec_says_and_every_kind_of_command_is_obeyed(
    bench: Bench, tmp_path: Path
) -> None:
    rehearsal = Rehearsal(bench, tmp_path)
    heard: list[str] = []
    bench.client.create_subscription(
        String, 'robot_description', lambda m: heard.append(m.data), LATCHED
    )
    seen = rehearsal.observation()
    home = np.array(rehearsal.robot.home, np.float32)
    np.testing.assert_allclose(seen.qpos, home, atol=1e-6)
    np.testing.assert_allclose(seen.action, home, atol=1e-6)  # through scale and offset
    assert seen.has_qvel and seen.effort is not None
    assert seen.images['top'].shape == (48, 64, 3) and seen.images['wrist'].shape == (48, 32, 3)
    for name, shape in (('top', (48, 64)), ('wrist', (48, 32))):
        depth = seen.depth[name]
        assert depth.shape == shape and depth.dtype == np.uint16
        assert 400 <= depth.min() < depth.max() - 250 <= 700  # a slanted plane
    assert np.isfinite(seen.vectors['force']).all() and seen.vectors['force'].any()
    np.testing.assert_allclose(seen.vectors['joint'], home[2:], atol=1e-6)
    bench.spin_until(lambda: heard == [URDF], 'the URDF')
    again = rehearsal.observation()
    bench.spin_until(
        lambda: (rehearsal.observation().images['top'] != again.images['top']).any(), 'an image'
    )

    commands = CommandPublishers(bench.client, rehearsal.robot)
    bench.spin_until(lambda: not commands.unheard(), 'listeners')
    for step in range(60):
        commands.send(home.astype(np.float64) + 0.0005 * step)
        bench.spin_for(0.01)
    goal = home + 0.0005 * 59

    def there() -> bool:
        return bool(np.allclose(rehearsal.observation().qpos, goal, atol=1e-3))

    bench.spin_until(there, 'the goal', lambda: f'{rehearsal.observation().qpos} {goal}')
    [node] = rehearsal.nodes
    told = node.report().as_json()
    for topic in ('/left/commands', '/right/joint_trajectory', '/right/goal'):
        assert 0 < told['topics'][topic]['received'] <= 60 and not told['topics'][topic]['refused']
    for joint in told['joints'].values():
        assert joint['position']['beyond'] == 0 and joint['jumps']['number'] == 0

    commands.send(np.array([5.0, 0.2, 0.3, 0.04]))
    bench.spin_until(lambda: any("'left_a' sent to 5" in x for x in rehearsal.lines), 'a line')
    assert node.report().as_json()['joints']['left_a']['position']['beyond'] == 1
    assert not node.report().kept


def test_faults_are_those_that_nodes_know_and_pass(bench: Bench, tmp_path: Path) -> None:
    rehearsal = Rehearsal(bench, tmp_path, guide=True, faults=['vector:force'])
    rehearsal.bench.spin_until(lambda: rehearsal.lines, 'the planned fault')
    rehearsal.until_fault('force', 'missing')
    rehearsal.make('none', 'faults over')
    seen = rehearsal.observation()
    for what in ('qpos', 'action'):  # the arm follows its leader
        before = getattr(seen, what)
        bench.spin_until(
            lambda what=what, before=before: (
                np.abs(getattr(rehearsal.observation(), what) - before).max() > 0.01
            ),
            f'guided joints: {what}',
        )

    rehearsal.make('camera:top', 'fault: camera top')
    rehearsal.until_fault('top', 'stale')
    rehearsal.make('camera:top', 'fault over: camera top')
    rehearsal.make('depth:depth_top', 'fault: depth depth_top')
    rehearsal.until_fault('depth_top', 'stale')
    rehearsal.make('none', 'faults over')
    rehearsal.make('freeze:top', 'fault: freeze top')
    bench.spin_for(0.2)
    frozen = rehearsal.observation().images['top']
    bench.spin_for(0.2)
    np.testing.assert_array_equal(rehearsal.observation().images['top'], frozen)
    rehearsal.make('black', 'fault: black')
    rehearsal.make('freeze:top', 'fault over')
    bench.spin_until(lambda: not rehearsal.observation().images['top'].any(), 'a black image')
    rehearsal.make('joints:state_0', 'fault: joints')
    rehearsal.until_fault('state_0', 'stale')
    assert 'state_1' not in rehearsal.row.faults
    rehearsal.make('none', 'faults over')
    rehearsal.observation()
    rehearsal.make('clock', 'fault: clock')
    rehearsal.until_fault('state_1', 'clocks disagree by 0.')
    rehearsal.make('none', 'faults over')
    rehearsal.observation()
    rehearsal.make('restart+0.5', 'fault: restart')
    rehearsal.until_fault('top', 'stale')
    bench.spin_until(lambda: any('over: restart' in x for x in rehearsal.lines), 'the driver')
    rehearsal.observation()
    rehearsal.make('fire', 'expected KIND')


def test_the_command_tells_what_the_arm_felt_and_its_exit_code_says_whether_a_limit_broke(
    bench: Bench, tmp_path: Path
) -> None:
    file, told = tmp_path / 'two_arms.yaml', tmp_path / 'felt.json'
    file.write_text(SPEC)
    command = [sys.executable, '-c', COMMAND, 'rehearse', '--robot', str(file)]
    command += ['--namespace', 'lab', '--fault', 'camera:top@0.1s', '--json', str(told)]
    environment = {**os.environ, 'ROS_LOG_DIR': str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        try:
            node = Node('driving', namespace='lab', context=bench.context)
            bench.add(node)
            commands = CommandPublishers(node, rehearsed(file))
            bench.spin_until(lambda: not commands.unheard(), 'listeners')
            for _ in range(10):  # the newest takes the place of one that waits
                commands.send(np.array([0.1, 0.2, 0.3, float('nan')]))
                bench.spin_for(0.05)
            commands.send(np.array([0.9, 0.2, 0.3, 0.04]))
            bench.spin_for(1.0)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=PATIENCE_S)[0]
        finally:
            process.kill()
    assert process.returncode == 1, said
    assert "joint 'left_a' jumped by 0.8" in said and 'fault: camera top' in said
    assert 'refused on right/goal' in said and 'a limit was broken' in said
    figures = json.loads(told.read_text())
    assert figures['kept'] is False and figures['joints']['left_a']['jumps']['number'] == 1
    assert '/lab/left/commands' in figures['topics']


def rehearsed(file: Path) -> RobotSpec:
    return robot_spec_from_yaml(file.read_text(), file)


def test_a_gripper_is_moved_by_a_real_server_of_its_action(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip('test_msgs')
    from action_msgs.msg import GoalStatus
    from gripper_server import CLOSED, OPEN, robot_with_hand
    from rclpy.action import ActionClient
    from test_msgs.action import NestedMessage

    file = tmp_path / 'hand.yaml'
    file.write_text(robot_with_hand().to_yaml())
    nodes: list[RehearsalNode] = []
    overrides = [Parameter('robot', value=str(file))]

    def make() -> RehearsalNode:
        nodes.append(
            RehearsalNode(tell=print, context=bench.context, parameter_overrides=overrides)
        )
        return nodes[0]

    bench.run_apart(make)
    client = ActionClient(bench.client, NestedMessage, 'hand/move')
    bench.spin_until(client.server_is_ready, 'the server')

    def send(position: float) -> Any:
        goal = NestedMessage.Goal()
        goal.nested_field.float64_value = 2.0 * position  # its scale
        future = client.send_goal_async(goal)
        bench.spin_until(future.done, 'an answer')
        return future.result()

    def result(handle: Any) -> int:
        future = handle.get_result_async()
        bench.spin_until(future.done, 'a result')
        return int(future.result().status)

    assert result(send(OPEN)) == GoalStatus.STATUS_SUCCEEDED
    replaced = send(CLOSED)
    assert result(send(OPEN)) == GoalStatus.STATUS_SUCCEEDED
    assert result(replaced) == GoalStatus.STATUS_ABORTED
    cancelled = send(CLOSED)
    cancelled.cancel_goal_async()
    assert result(cancelled) == GoalStatus.STATUS_CANCELED
    assert not send(99.0).accepted
    told = nodes[0].report()
    assert told.grippers == {'joint3': (5, 1)} and not told.kept
    nodes[0]._faults.begin(read_fault('block:joint3', robot_with_hand()), 0.0)
    bench.spin_for(0.2)
    assert result(send(CLOSED)) == GoalStatus.STATUS_ABORTED


def test_a_gripper_goes_to_its_limits_though_32_bits_are_a_little_beyond(bench: Bench) -> None:
    pytest.importorskip('test_msgs')
    import yaml
    from gripper_server import OPEN, robot_with_hand

    from motion_policy.nodes.acting_grippers import ActingGrippers
    from motion_policy.nodes.stand_in_grippers import StandInGripper
    from motion_policy.rehearsal.arm import StandInArm

    exact = robot_with_hand(
        old='float64_value, scale: 2.0', new='float32_value, scale: 0.3, offset: 0.1',
        name='narrow/move',
    )  # fmt: skip
    content = yaml.safe_load(exact.to_yaml())
    content['joints']['limits']['position'][2] = [-0.2, OPEN]
    robot = robot_spec_from_yaml(yaml.safe_dump(content), 'narrow.yaml')
    goal = robot.joints.grippers['joint3'].action
    assert goal is not None and (float(np.float32(goal.value(OPEN))) - 0.1) / 0.3 > OPEN
    arm = StandInArm(robot)
    gripper = StandInGripper(bench.client, robot, 'joint3', arm)
    gripper.open()
    acting = ActingGrippers(bench.client, robot, print)
    try:
        server = acting._grippers[0]._servers[True]
        bench.spin_until(lambda: server.ready, 'the server')
        answers: list[Any] = []
        server.send(server.goal(OPEN), answers.append)
        bench.spin_until(lambda: answers, 'an answer')
        assert answers[0].accepted and gripper.goals == [OPEN]
    finally:
        acting.destroy()
        gripper.close()
