# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Taking over from a policy node over real DDS: by service, by a button, by moving the leader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import LOSSLESS, FakeArm, assert_safe, save_random_policy
from rclpy.parameter import Parameter
from ros_testing import Bench
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from motion_policy.episodes import EpisodeReader
from motion_policy.nodes.policy_node import PolicyNode
from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

pytestmark = pytest.mark.slow

LEADER = {'topic': 'leader/joint_states', 'type': 'sensor_msgs/msg/JointState', 'max_age': 0.5}


def led_arm(**teleop: Any) -> RobotSpec:
    values = yaml.safe_load(formula_arm().to_yaml())
    values['teleop'] = teleop
    return robot_spec_from_yaml(yaml.safe_dump(values), 'led.yaml')


class Person:
    """A leader arm, a pedal, and what the node says of who drives."""

    def __init__(self, bench: Bench) -> None:
        self.position, self.speaks, self.pressed = np.array([0.5, 0.5, 0.5]), True, 0
        self.interventions: list[bool] = []
        self.policy_actions: list[JointState] = []
        node = bench.client
        self._leader = node.create_publisher(JointState, LEADER['topic'], 10)
        self._pedal = node.create_publisher(Joy, 'pedal', 10)
        self._clock = node.get_clock()
        node.create_timer(0.01, self._speak)
        node.create_timer(0.02, lambda: self._pedal.publish(Joy(buttons=[0, self.pressed])))
        node.create_subscription(
            Bool, 'policy_node/intervention', lambda m: self.interventions.append(m.data), 100
        )
        node.create_subscription(
            JointState, 'policy_node/policy_action', self.policy_actions.append, 100
        )

    def _speak(self) -> None:
        if self.speaks:
            message = JointState(
                name=['joint1', 'joint2', 'joint3'], position=self.position.tolist()
            )
            message.header.stamp = self._clock.now().to_msg()
            self._leader.publish(message)


def make_node(bench: Bench, folder: Path, robot: RobotSpec, **parameters: Any) -> PolicyNode:
    values = {
        **LOSSLESS, 'checkpoint': str(save_random_policy(folder / 'model', robot)),
        'autostart': True, 'diagnostics_period': 0.1, 'auto_resume': 0.3,
        'require_emergency_stop': False, **parameters,
    }  # fmt: skip
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = PolicyNode(context=bench.context, parameter_overrides=overrides)
    bench.add(node)
    return node


def take_over(bench: Bench, on: bool = True) -> Any:
    return bench.call(SetBool, 'policy_node/takeover', SetBool.Request(data=on))


def test_a_person_takes_over_by_a_button_drives_gives_back_and_a_stale_leader_holds(
    bench: Bench, tmp_path: Path
) -> None:
    robot = led_arm(leader=LEADER, takeover={'topic': 'pedal', 'button': 1})
    arm, person = FakeArm(bench, robot), Person(bench)
    node = make_node(bench, tmp_path, robot)
    try:
        arm.wait_for_diagnostic('takeover', 'drives', 'nobody')
        refused = take_over(bench)
        assert not refused.success
        assert refused.message.startswith('the arm is not enabled: nobody drives it')
        arm.enable_when_ready()
        arm.wait_for_diagnostic('control', 'state', 'run')
        assert take_over(bench, False).message.startswith('nobody has taken over')
        request = SetBool.Request(data=True)
        assert bench.call(SetBool, 'policy_node/gripper', request).message == (
            'nobody has taken over: the policy moves the gripper'
        )
        bench.spin_until(lambda: person.policy_actions[-1:], 'what the policy wants')
        assert not any(person.interventions)
        person.pressed = 1
        bench.spin_until(lambda: person.interventions[-1], 'the command of a person')
        person.pressed = 0
        arm.wait_for_diagnostic('leader', 'state', 'following')
        there = arm.hear(5)[-1]
        person.position = person.position + [0.1, -0.1, 0.0]
        bench.spin_until(
            lambda: np.allclose(arm.commands[-1] - there, [0.1, -0.1, 0.0], atol=1e-6),
            'an arm that moves as its leader does', lambda: str(arm.commands[-1] - there),
        )  # fmt: skip
        actions = len(person.policy_actions)
        arm.hear(20)
        wanted = np.array([m.position for m in person.policy_actions[actions:]])
        assert np.nanmax(np.abs(wanted - arm.commands[-1])) > 0.01
        person.pressed = 1
        bench.spin_until(lambda: not person.interventions[-1], 'the command of the policy')
        arm.wait_for_diagnostic('takeover', 'drives', 'the policy')
        bench.spin_until(
            lambda: np.abs(arm.commands[-1] - there - [0.1, -0.1, 0.0]).max() > 0.03,
            'an arm that the policy moves',
        )
        answer = take_over(bench)
        assert answer.message == ('a person drives (~/takeover): the arm moves as the leader does')
        person.speaks = False
        arm.wait_for_diagnostic('control', 'reason', 'leader: stale')
        arm.wait_for_idle()
        person.speaks = True
        arm.enable_when_ready()
        arm.wait_for_diagnostic('takeover', 'drives', 'the policy')
        assert_safe(arm.commands, robot)
    finally:
        node.close()


def test_whoever_moves_the_leader_takes_over_and_may_turn_it_back(
    bench: Bench, tmp_path: Path
) -> None:
    robot = led_arm(leader=LEADER, takeover={'moved': [0.05, 0.05, 0.05]})
    arm, person = FakeArm(bench, robot), Person(bench)
    node = make_node(bench, tmp_path, robot)
    try:
        arm.wait_for_diagnostic('leader', 'state', 'released')
        arm.enable_when_ready()
        arm.hear(20)
        assert not any(person.interventions)
        for _ in range(20):
            person.position = person.position + 0.005
            bench.spin_for(0.02)
        bench.spin_until(lambda: person.interventions[-1], 'the command of a person')
        arm.wait_for_diagnostic('takeover', 'last change', 'of the leader was moved by 0.0')
        assert take_over(bench, False).success
        arm.wait_for_diagnostic('takeover', 'drives', 'the policy')
        person.speaks = False  # who takes over without a leader wants the policy to stop
        arm.wait_for_diagnostic('leader', 'leader fault', 'stale')
        answer = take_over(bench)
        assert answer.success and 'the arm holds: leader: stale' in answer.message
        arm.wait_for_idle()
        assert 'leader: stale' in arm.diagnostic('control', 'reason')
        assert_safe(arm.commands, robot)
    finally:
        node.close()


def test_a_leader_that_can_be_driven_follows_the_arm_until_somebody_holds_it(
    bench: Bench, tmp_path: Path
) -> None:
    command = {'topic': 'leader/commands', 'type': 'std_msgs/msg/Float64MultiArray'}
    takeover = {'leader_command': command, 'moved': [0.1, 0.1, 0.1]}
    robot = led_arm(leader=LEADER, takeover=takeover)
    arm, person, held = FakeArm(bench, robot), Person(bench), False
    person.position = np.array([0.3, 0.1, 0.1])

    def obey(message: Float64MultiArray) -> None:
        commands.append(np.array(message.data))
        if not held:
            person.position = commands[-1]

    commands: list[np.ndarray] = []
    bench.client.create_subscription(Float64MultiArray, 'leader/commands', obey, 10)
    node = make_node(bench, tmp_path, robot)
    try:
        arm.wait_for_diagnostic('leader', 'state', 'released')
        arm.enable_when_ready()
        bench.spin_until(
            lambda: commands and np.abs(commands[-1] - arm.commands[-1]).max() < 0.02,
            'a leader where the arm is',
        )
        np.testing.assert_allclose(commands[0], [0.3, 0.1, 0.1], atol=0.02)
        assert not any(person.interventions)
        held, person.position = True, commands[-1] + 0.15
        bench.spin_until(lambda: person.interventions[-1], 'the command of a person')
        arm.wait_for_diagnostic('takeover', 'last change', 'the leader: tracking error: joint')
        arm.hear(3)
        count = len(commands)
        arm.hear(10)
        assert len(commands) == count  # it is let go
        assert_safe(arm.commands, robot)
    finally:
        node.close()


def test_each_row_of_a_recorded_rollout_says_whose_its_action_was_and_what_the_policy_wanted(
    bench: Bench, tmp_path: Path
) -> None:
    values = yaml.safe_load(led_arm(leader=LEADER).to_yaml())
    values['joints']['leader'] = {**values['joints']['command'][0], 'max_age': 10.0}
    robot = robot_spec_from_yaml(yaml.safe_dump(values), 'led.yaml')
    path = tmp_path / 'led.yaml'
    path.write_text(robot.to_yaml())
    arm, person = FakeArm(bench, robot), Person(bench)
    node = make_node(bench, tmp_path, robot)
    given = {'robot': str(path), 'directory': str(tmp_path), 'sim': True}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    recorder = RecorderNode(context=bench.context, parameter_overrides=overrides)
    bench.add(recorder)
    try:
        for topic in ('intervention', 'policy_action'):
            bench.spin_until(
                lambda of=topic: node.count_subscribers(f'policy_node/{of}') == 2, 'both listeners'
            )
        arm.enable_when_ready()
        arm.wait_for_diagnostic('control', 'state', 'run')
        bench.spin_until(
            lambda: bench.call(Trigger, 'recorder_node/start').success, 'the recording'
        )
        for on in (True, False, True, False):
            arm.hear(12)
            assert take_over(bench, on).success
            for _ in range(10):
                person.position = person.position + 0.004
                bench.spin_for(0.02)
        arm.hear(5)
        assert bench.call(Trigger, 'recorder_node/stop').success
        assert arm.enable(False).success
        arm.wait_for_idle()
        counts = [len(person.interventions), len(person.policy_actions), len(arm.commands)]
        assert len(set(counts)) == 1, f'messages were lost on the way to the test: {counts}'
        with EpisodeReader(tmp_path / 'episode_000000.hdf5') as episode:
            action, driven = episode.action, episode.intervention
            wanted = episode.policy_action
        assert driven is not None and wanted is not None
        assert driven.any() and not driven.all()
        assert np.isfinite(wanted).any() and np.isnan(wanted).any()  # none in a ramp
        said = zip(arm.commands, person.interventions, person.policy_actions, strict=True)
        by_command: dict[bytes, list[tuple[bool, list[float]]]] = {}
        for command, by_a_person, policy in said:
            key = command.astype(np.float32).tobytes()
            by_command.setdefault(key, []).append((by_a_person, list(policy.position)))
        checked = 0
        for row in range(len(driven)):
            told = by_command[action[row].tobytes()]
            if len(told) == 1:  # else it stood, and was sent the same again
                np.testing.assert_equal((bool(driven[row]), wanted[row].tolist()), told[0])
                checked += 1
        assert checked > 20
    finally:
        recorder.close()
        node.close()


@pytest.mark.parametrize('kind', ['not allowed', 'no teleop', 'chunks'])
def test_a_policy_that_nobody_can_take_over_from_says_why_and_drives_as_ever(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    robot = formula_arm() if kind == 'no teleop' else led_arm(leader=LEADER)
    told = "robot 'formula_arm' has no teleop, expected what a person drives with"
    given: dict[str, Any] = {}
    if kind == 'not allowed':
        told, given = "parameter 'takeover.allowed' is false", {'takeover.allowed': False}
    elif kind == 'chunks':
        values = yaml.safe_load(robot.to_yaml())
        [command] = values['joints']['command']
        command |= {'type': 'trajectory_msgs/msg/JointTrajectory', 'send': 'chunk'}
        robot = robot_spec_from_yaml(yaml.safe_dump(values), 'chunks.yaml')
        told = "has send 'chunk', expected 'tick' to be led"
    node = make_node(bench, tmp_path, robot, **given)
    try:
        answer = take_over(bench)
        assert not answer.success
        assert answer.message.startswith('nobody can take over: ') and told in answer.message
        topics = dict(node.get_topic_names_and_types())
        assert '/policy_node/intervention' not in topics
    finally:
        node.close()
