# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A gripper that an action moves: one goal per decision, and no goal without one."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy')
pytest.importorskip('test_msgs')

from gripper_server import (
    CLOSED,
    MAX_EFFORT,
    OPEN,
    POSITION,
    ArmWithHand,
    HandNode,
    HandServer,
    TrajectoryArmWithHand,
    robot_with_hand,
)
from rclpy.action import ActionClient, ActionServer, GoalResponse
from rclpy.context import Context
from rclpy.node import Node
from ros_testing import Bench
from sensor_msgs.msg import JointState
from slow_episode import write_slow_episode
from std_srvs.srv import SetBool
from test_msgs.action import Fibonacci, NestedMessage
from trajectory_arm import CHUNKS

from motion_policy.errors import UserError
from motion_policy.nodes.acting_grippers import ActingGrippers
from motion_policy.nodes.gripper_interface import set_field
from motion_policy.robot import load_robot_spec

pytestmark = pytest.mark.slow

SENT_OPEN, SENT_CLOSED = 2 * OPEN, 2 * CLOSED
NUMBERS = itertools.count()  # DDS may know the server of the test before for a moment


class Scene:
    """A node, its arm and the server of its gripper; goals are told by the numbers that came."""

    def __init__(
        self, bench: Bench, more: str = '', interface: str = '', command: str | None = None
    ) -> None:
        name = f'hand{next(NUMBERS)}/move'
        self.robot = robot_with_hand(more, interface, command, name)
        kind = TrajectoryArmWithHand if command else ArmWithHand
        self.arm: ArmWithHand | TrajectoryArmWithHand = kind(bench, self.robot)
        self.server = HandServer(bench.client, name)
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

    def wait_for_the_end(self, *words: str) -> None:
        """The arm held with that reason, and is disabled since it was not over in time."""
        self.wait_for_state('disabled')
        assert self.node.states[-3:] == ['hold', 'brake', 'disabled'], self.node.states
        reason = self.node.controller.reason
        assert all(word in reason for word in ('gripper joint3: ', *words)), reason
        self.arm.wait_for_diagnostic('grippers', 'joint3 fault', words[0])

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


@pytest.mark.parametrize('scene', [', timeout: 0.5'], indirect=True)
def test_a_goal_that_fails_holds_the_arm_with_its_reason_and_nothing_is_sent_again(
    scene: Scene,
) -> None:
    server = scene.server
    scene.run()
    scene.aim(CLOSED)
    server.answers = GoalResponse.REJECT
    scene.wait_for_the_end(f'closing: {server.name} rejected the goal')
    server.answers = GoalResponse.ACCEPT

    scene.aim(0.4)
    scene.run()  # what failed is forgiven, and decided anew
    assert scene.node.driver._grippers.faults() == {}
    scene.aim(OPEN)
    scene.wait_for_goals(SENT_CLOSED, SENT_OPEN)
    scene.wait_for_the_end('opening: no result', 'within 0.5 s')
    assert not server.cancelled

    scene.run()  # one that hangs is superseded, even by the same
    scene.arm.until(lambda: server.cancelled, 'the end of the one that hangs')
    server.end('canceled')
    scene.wait_for_goals(SENT_CLOSED, SENT_OPEN, SENT_OPEN)
    scene.arm.until(lambda: len(server.accepted) == 2, 'the next one')
    server.end('abort')
    scene.wait_for_the_end(f'opening was aborted on {server.name}')

    scene.aim(0.4)
    scene.run()
    scene.aim(OPEN)
    server.answers = None
    scene.wait_for_the_end(f'opening: no answer of {server.name} within 2 s')
    server.answers = GoalResponse.ACCEPT
    server.answer_at_last()  # nobody expects a gripper to move any more
    scene.arm.until(lambda: len(server.cancelled) == 2, 'its cancellation')
    assert server.cancelled[-1] is server.accepted[-1]
    assert len(server.goals) == 4


@pytest.mark.parametrize('scene', [', on_failure: warn'], indirect=True)
def test_a_failure_that_is_to_be_a_warning_is_one(scene: Scene) -> None:
    scene.run()
    scene.server.answers = GoalResponse.REJECT
    scene.aim(CLOSED)
    scene.wait_for_result('rejected')
    scene.arm.hear(30)
    assert scene.node.controller.state == 'run' and len(scene.server.goals) == 1
    scene.server.answers = GoalResponse.ACCEPT
    scene.aim(OPEN)
    scene.wait_for_goals(SENT_CLOSED, SENT_OPEN)


@pytest.mark.parametrize('scene', [', supersede: cancel', ', supersede: replace'], indirect=True)
def test_the_newest_decision_wins(scene: Scene) -> None:
    """By a new goal, or by one after the old one was cancelled, as its server expects."""
    server, cancels = scene.server, 'cancel' in str(scene.robot.joints.acting_grippers)
    scene.run()
    scene.aim(CLOSED)
    scene.arm.until(lambda: server.accepted, 'a goal')
    scene.aim(OPEN)
    if cancels:
        scene.arm.until(lambda: server.cancelled, 'its cancellation')
        assert server.goals == [SENT_CLOSED]
        scene.aim(CLOSED)  # meanwhile
        scene.arm.hear(10)
        server.end('canceled')
        scene.wait_for_goals(SENT_CLOSED, SENT_CLOSED)
    else:
        scene.wait_for_goals(SENT_CLOSED, SENT_OPEN)
        assert not server.cancelled
        server.end('abort', 0)  # that of one that was replaced means nothing
        scene.arm.hear(10)
    scene.arm.until(lambda: len(server.accepted) == 2, 'the new goal')
    server.end()
    scene.wait_for_result('closed' if cancels else 'opened')
    assert scene.node.controller.state == 'run'


@pytest.mark.parametrize(
    'scene', [', on_hold: keep', ', on_hold: cancel', ', on_hold: open'], indirect=True
)
def test_when_the_arm_stops_its_gripper_does_as_the_spec_says(scene: Scene) -> None:
    server = scene.server
    [action] = scene.robot.joints.acting_grippers.values()
    scene.run()
    scene.aim(CLOSED)
    scene.arm.until(lambda: server.accepted, 'a goal')
    scene.arm.enable(False)
    scene.wait_for_state('disabled')
    if action.on_hold == 'keep':
        scene.arm.bench.spin_for(0.3)
        assert not server.cancelled and server.goals == [SENT_CLOSED]
        server.end()
        scene.wait_for_result('closed')
    elif action.on_hold == 'cancel':
        scene.arm.until(lambda: server.cancelled, 'its cancellation')
        server.end('canceled')
        scene.wait_for_result('closing: cancelled')
        assert server.goals == [SENT_CLOSED]
    else:
        scene.arm.until(lambda: server.cancelled, 'the end of closing')
        server.end('canceled')
        scene.wait_for_goals(SENT_CLOSED, SENT_OPEN)


@pytest.mark.parametrize('scene', [', on_hold: cancel', ', on_hold: open'], indirect=True)
def test_what_a_hold_has_undone_is_decided_anew_when_the_arm_goes_on(scene: Scene) -> None:
    server, node = scene.server, scene.node
    opens = 'open' in str(scene.robot.joints.acting_grippers['joint3'].on_hold)
    scene.run()
    scene.aim(CLOSED)
    scene.arm.until(lambda: server.accepted, 'a goal')
    server.end()
    scene.wait_for_result('closed')
    node.fault = 'nothing is seen'
    scene.wait_for_state('hold')
    node.fault = ''
    scene.wait_for_state('run')
    expected = [SENT_CLOSED, SENT_OPEN, SENT_CLOSED] if opens else [SENT_CLOSED, SENT_CLOSED]
    if opens:
        scene.arm.until(lambda: len(server.accepted) == 2, 'the goal that opens')
        server.end()
    scene.arm.until(lambda: len(server.accepted) == len(expected), 'all goals')
    scene.wait_for_goals(*expected)


def test_an_arm_whose_gripper_nobody_serves_is_not_enabled_and_holds_when_it_goes(
    scene: Scene, bench: Bench
) -> None:
    arm, name = scene.arm, scene.server.name
    scene.run()
    scene.server.destroy()
    scene.wait_for_the_end(f'nobody serves {name}')
    refused = arm.enable()
    assert not refused.success and f'gripper joint3: nobody serves {name}' in refused.message
    server = scene.server = HandServer(bench.client, name[1:].partition(' ')[0])
    scene.run()
    scene.aim(CLOSED)
    arm.until(lambda: server.accepted, 'a goal')
    server.destroy()
    scene.wait_for_the_end(f'closing: {name} went away with its goal under way')


def test_an_action_that_two_nodes_serve_or_one_as_another_type_is_told_before_the_arm_moves(
    bench: Bench,
) -> None:
    name = f'hand{next(NUMBERS)}/move'
    node = bench.add(Node('one', context=bench.context, start_parameter_services=False))
    grippers = ActingGrippers(node, robot_with_hand(name=name), print)
    context = Context()
    context.init(domain_id=bench.context.get_domain_id())
    other = Node('other', context=context, start_parameter_services=False)

    def told(words: str) -> None:
        line = f'gripper joint3: /{name} (test_msgs/action/NestedMessage){words}'
        bench.spin_until(lambda: grippers.problems() == [line], line, grippers.problems)

    server = ActionServer(other, Fibonacci, name, lambda handle: Fibonacci.Result())
    try:
        told(' is served by /other as test_msgs/action/Fibonacci')
        server.destroy()
        bench.spin_until(lambda: 'nobody serves' in grippers.problems()[0], 'its end')
        first = HandServer(bench.client, name)
        bench.spin_until(lambda: not grippers.problems(), 'a server')
        server = ActionServer(other, NestedMessage, name, lambda handle: NestedMessage.Result())
        told(' is served by /other, /test_client, expected one of them')
        first.destroy()
    finally:
        server.destroy()
        grippers.destroy()
        other.destroy_node()
        context.shutdown()


def test_closing_by_the_same_action_with_other_values_is_no_goal_of_another_node(
    bench: Bench,
) -> None:
    name = f'hand{next(NUMBERS)}/move'
    kind = f'{{name: {name}, type: test_msgs/action/NestedMessage, position: {POSITION}}}'
    robot = robot_with_hand(f', closing: {kind}', name=name)
    server = HandServer(bench.client, name)
    node = bench.add(Node('one', context=bench.context, start_parameter_services=False))
    grippers = ActingGrippers(node, robot, print)
    other = ActionClient(bench.client, NestedMessage, name)
    try:
        bench.spin_until(lambda: not grippers.problems(), 'the server', grippers.problems)
        closing = grippers._grippers[0]._servers[False]
        closing.send(closing.goal(CLOSED), lambda answer: None)
        bench.spin_until(lambda: server.accepted, 'our goal')
        other.send_goal_async(NestedMessage.Goal())
        bench.spin_until(grippers.problems, 'the goal of another node')
        server.end()
        bench.spin_until(lambda: not grippers.problems(), 'its end', grippers.problems)
        assert len(server.accepted) == 2 and server.accepted[0].is_active  # ours goes on
    finally:
        other.destroy()
        grippers.destroy()
        server.destroy()


def test_goals_of_another_node_disable_the_arm_and_keep_it_from_being_enabled(
    scene: Scene, bench: Bench
) -> None:
    server, arm = scene.server, scene.arm
    scene.run()
    scene.aim(CLOSED)
    arm.until(lambda: server.accepted, 'our goal')
    other = ActionClient(bench.client, NestedMessage, server.name[1:].partition(' ')[0])
    other.send_goal_async(NestedMessage.Goal())
    scene.wait_for_state('disabled')
    line = 'gripper joint3: a goal of another node is under way on /hand'
    assert line in scene.node.controller.reason
    refused = arm.enable()
    assert not refused.success and line in refused.message
    server.end(goal=1)
    scene.aim(0.4)
    scene.run()  # beside our own goal, which is kept
    other.destroy()


@pytest.mark.parametrize('scene', [', supersede: replace'], indirect=True)
def test_decisions_that_come_faster_than_answers_are_not_all_sent(scene: Scene) -> None:
    server, node = scene.server, scene.node
    grippers = node.controller.grippers
    scene.run()
    server.answers = None
    node.flips = True
    scene.arm.until(lambda: server.goals and grippers.decided['joint3'].number > 2, 'decisions')
    node.flips = False
    scene.aim(OPEN)
    given = node.actions
    scene.arm.until(lambda: node.actions > given + 2, 'the last of them')
    assert grippers.decided['joint3'].decision == 'open'
    assert len(server.goals) == 1
    server.answers = GoalResponse.ACCEPT
    server.answer_at_last()
    scene.arm.until(lambda: server.goals[-1] == SENT_OPEN, 'what was decided last')
    scene.arm.hear(20)
    assert len(server.goals) <= 2 and server.goals[-1] == SENT_OPEN
    assert node.controller.state == 'run'


@pytest.mark.parametrize('on', ['closed', 'open'])
def test_a_vacuum_is_switched_by_a_service(bench: Bench, on: str) -> None:
    asked: list[bool] = []

    def switch(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        asked.append(request.data)
        response.success, response.message = len(asked) < 3, 'no air'
        return response

    name = f'vacuum_{on}'
    bench.client.create_service(SetBool, name, switch)
    scene = Scene(bench, interface=f'service: {{name: {name}, true_is: {on}}}')
    try:
        scene.run()
        for hand in (CLOSED, OPEN, CLOSED):
            before = len(asked)
            scene.aim(hand)
            scene.arm.until(lambda before=before: len(asked) > before, 'a call')
        assert asked == [on == 'closed', on == 'open', on == 'closed']
        scene.wait_for_the_end(f'closing had no success on /{name} (std_srvs/srv/SetBool): no air')
    finally:
        scene.node.close()


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('test_msgs/action/N', 'no_such_msgs/action/N', "'no_such_msgs' is not installed"),
        ('NestedMessage', 'Grasp', "package 'test_msgs' has no such one"),
        ('.float64_value', '.width', "no field 'nested_field.width', it has: bool_value, byte_v"),
        ('field.float64_value', 'field', "'nested_field' is test_msgs/msg/BasicTypes, found 2.0"),
        ('nested_field.float', 'nested.float', "no field 'nested.float64_value', there is no"),
        (
            'float64_value, scale: 2.0',
            'uint8_value, scale: 0.1',
            "'nested_field.uint8_value' is 0.1 to open and -0.02 to close, the same when rounded",
        ),
        (': 40}', ': 40.5}', "'nested_field.int32_value' is int32, found 40.5"),
        ('int32_value: 40', 'uint8_value: 400', "'nested_field.uint8_value' is uint8, found 400"),
        ('int32_value: 40', 'bool_value: 1', "'nested_field.bool_value' is boolean, found 1"),
    ],
)
def test_an_action_that_is_not_there_or_other_is_one_line_that_names_the_gripper(
    bench: Bench, old: str, new: str, words: str
) -> None:
    robot = robot_with_hand(old=old, new=new)
    node = Node('one', context=bench.context, start_parameter_services=False)
    try:
        with pytest.raises(UserError) as error:
            ActingGrippers(node, robot, print)
        told = str(error.value)
        assert told.startswith('joints.grippers.joint3: ') and words in told and '\n' not in told
        assert not list(node.clients)
    finally:
        node.destroy_node()


def test_whole_chunks_go_to_the_arm_and_goals_to_its_gripper(bench: Bench) -> None:
    scene = Scene(bench, command=CHUNKS)
    arm = scene.arm
    assert isinstance(arm, TrajectoryArmWithHand)
    try:
        scene.run()
        arm.hear_trajectories(2)
        assert scene.server.goals == []
        scene.aim(CLOSED)  # a second is planned ahead, and decides nothing before its time
        scene.wait_for_goals(SENT_CLOSED)
        arm.hear_trajectories(2)
        assert {tuple(told.joint_names) for told in arm.trajectories} == {('joint1', 'joint2')}
        assert scene.server.goals == [SENT_CLOSED]
    finally:
        scene.node.close()


def test_a_replay_sends_the_decisions_of_its_episode_and_ctrl_c_what_the_spec_says(
    bench: Bench, tmp_path: Path
) -> None:
    """Its third joint rises, so that it closes one that closes upwards, after two seconds."""
    shipped = robot_with_hand(', on_hold: open', name='hand_of_replay/move')
    content = yaml.safe_load(shipped.to_yaml())
    hand = content['joints']['grippers']['joint3']
    hand |= {'open': CLOSED, 'open_at': 0.1, 'close_at': 0.6, 'closed': OPEN}
    path = tmp_path / 'arm.yaml'
    path.write_text(yaml.safe_dump(content))
    episode = write_slow_episode(tmp_path / 'episode_000000.hdf5')
    arm = ArmWithHand(bench, load_robot_spec(path), 'replay_node')
    server = HandServer(bench.client, 'hand_of_replay/move')
    command = [sys.executable, '-m', 'motion_policy.nodes.replay_node', '--ros-args']
    for key, value in {'episode': episode, 'robot': path, 'ramp_speed': 1.0}.items():
        command += ['-p', f'{key}:={value}']

    def last_goal_is(position: float) -> bool:
        server.end_what_is_cancelled()
        return bool(server.goals) and server.goals[-1] == position

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            arm.enable_when_ready()
            arm.until(lambda: last_goal_is(2 * OPEN), 'the goal that closes')
            process.send_signal(signal.SIGINT)  # the end of that goal has to be waited for
            arm.until(lambda: last_goal_is(2 * CLOSED), 'the goal that opens')
            arm.until(lambda: process.poll() is not None, 'the end of the node')
        finally:
            process.kill()  # where the test failed
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 0 and 'Traceback' not in said, said
    # A test that waits 2 s for a core serves the hand too late: then it is given up, and told so.
    given_up = 'gripper joint3: closing: no answer' in said
    assert given_up or 'gripper joint3: closing: cancelled' in said, said


def test_an_integer_is_rounded_and_a_list_holds_one_position() -> None:
    goal = NestedMessage.Goal()
    set_field(goal, 'nested_field.uint8_value', 127.6, rounded=True)
    assert goal.nested_field.uint8_value == 128
    state = JointState()
    for path, value in {'name': 'finger', 'position': 0.02, 'effort': (1, 2.5)}.items():
        set_field(state, path, value)
    assert (state.name, *map(list, (state.position, state.effort))) == (
        ['finger'], [0.02], [1.0, 2.5],
    )  # fmt: skip
