# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Over real DDS: commands of another node on our topics are noticed and named, ours never are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from control_robots import FORWARD, formula_arm

pytest.importorskip('rclpy')

from fake_arm import FakeArm, MakeNode
from rclpy.node import Node
from ros_testing import Bench, ros_bench
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from motion_policy.nodes import endpoints
from motion_policy.nodes.commands import CommandPublishers, trajectory_message
from motion_policy.nodes.foreign_commands import QUEUE_DEPTH, STREAM_S, ForeignCommands
from motion_policy.robot import RobotSpec

JOINT_STATE = '{topic: target_joint, type: sensor_msgs/msg/JointState}'
TRAJECTORY = '{topic: joint_trajectory, type: trajectory_msgs/msg/JointTrajectory}'
CHUNKS = '{topic: joint_trajectory, type: trajectory_msgs/msg/JointTrajectory, send: chunk}'
TWO_TOPICS = (
    '[{topic: left/commands, type: std_msgs/msg/Float32MultiArray, joints: [joint3, joint1]},'
    ' {topic: right/command, type: std_msgs/msg/Float64, joints: [joint2]}]'
)
TYPES = pytest.mark.parametrize('command', [FORWARD, JOINT_STATE, TRAJECTORY, TWO_TOPICS])


class Driver:
    """A node that sends commands and hears those of others."""

    def __init__(self, bench: Bench, name: str, robot: RobotSpec) -> None:
        self.robot = robot
        self.node = bench.add(Node(name, context=bench.context))
        self.publishers = CommandPublishers(self.node, robot)
        self.told: list[str] = []
        self.foreign = ForeignCommands(self.node, robot, self.told.append)
        self.heard = 0  # by its subscriptions
        for _, sent in self.foreign._sent:
            sent.is_ours = self._count(sent.is_ours)  # type: ignore[method-assign]

    def _count(self, is_ours: Any) -> Any:
        def count(*message: Any) -> Any:
            self.heard += 1
            return is_ours(*message)

        return count

    def send(self, position: np.ndarray) -> None:
        self.foreign.sent(position)
        self.publishers.send(position)


@pytest.fixture(params=['publishers known', 'publishers unknown'])
def telling(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As from Kilted on, and as before."""
    if request.param == 'publishers known' and not endpoints.TELLS_PUBLISHERS:
        pytest.skip('this rclpy does not say who published a message')
    monkeypatch.setattr(endpoints, 'TELLS_PUBLISHERS', request.param == 'publishers known')
    yield


def positions(seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    while True:
        yield rng.normal(size=3)


@pytest.mark.skipif(not endpoints.TELLS_PUBLISHERS, reason='nobody says who published')
def test_one_that_begins_with_the_very_same_command_is_not_taken_for_us(bench: Bench) -> None:
    robot = formula_arm()
    driver, other = Driver(bench, 'driver', robot), Driver(bench, 'other', robot)
    place = np.array([0.1, 0.2, 0.3])
    bench.spin_until(lambda: len(listening(driver)) == len(listening(other)) == 2, 'both')
    driver.foreign.sent(place)  # on its way: the other's comes first
    other.send(place)
    bench.spin_until(lambda: driver.told, 'a line')
    assert 'come from /other' in driver.told[0]
    told, heard = len(driver.told), driver.heard
    for number in range(5):
        driver.send(place + number)
    bench.spin_until(lambda: driver.heard == heard + 5, 'our own')
    assert len(driver.told) == told


def listening(driver: Driver) -> list[Any]:
    """Who subscribes the commands, as this node knows it."""
    topic = driver.robot.joints.command[0].topic
    return [i for i in driver.node.get_subscriptions_info_by_topic(topic) if i.node_name]


@TYPES
def test_a_foreign_command_is_told_at_once_and_names_its_node(
    bench: Bench, telling: None, command: str
) -> None:
    robot = formula_arm(command=command)
    first, second = Driver(bench, 'first', robot), Driver(bench, 'second', robot)
    ours, theirs = positions(0), positions(1)

    def heard_ours() -> bool:
        first.send(next(ours))
        return first.heard > 30 and second.heard > 10

    bench.spin_until(heard_ours, 'our own commands')
    assert first.told == [] and first.foreign.streaming() == ''
    assert 'come from /first, the last 0.' in second.foreign.streaming()
    second.send(next(theirs))
    bench.spin_until(lambda: first.told, 'a foreign command')
    topic = first.node.resolve_topic_name(robot.joints.command[0].topic)
    assert first.told[0].startswith(f'commands on {topic} come from /second, the last 0.0')
    assert 'come from /second, the last 0.' in first.foreign.streaming()


def test_own_commands_are_ours_however_long_the_executor_was_busy(
    bench: Bench, telling: None
) -> None:
    driver = Driver(bench, 'driver', formula_arm(command=JOINT_STATE))
    ours = positions(0)

    def heard() -> bool:
        driver.send(next(ours))
        return driver.heard > 0

    bench.spin_until(heard, 'the first command')
    driver.heard = 0
    for _ in range(20 * QUEUE_DEPTH):  # 10 s at 200 Hz, during which nothing is served
        driver.send(next(ours))
    bench.spin_until(lambda: driver.heard >= QUEUE_DEPTH, 'what is left of them')
    assert driver.told == [] and driver.foreign.streaming() == ''


def test_a_foreign_command_among_many_of_ours_is_heard_by_a_busy_executor(
    bench: Bench, telling: None
) -> None:
    robot = formula_arm()
    driver, other = Driver(bench, 'driver', robot), Driver(bench, 'other', robot)
    bench.spin_until(lambda: _matched(driver, 2) and _matched(other, 2), 'each other')
    ours = positions(0)
    for number in range(QUEUE_DEPTH // 2):
        driver.send(next(ours))
        if number == 1:
            other.send(np.ones(3))
    bench.spin_until(lambda: driver.told, 'the foreign command')


def test_what_a_node_sent_before_it_was_configured_anew_is_not_foreign(
    bench: Bench, telling: None
) -> None:
    robot = formula_arm()
    driver = Driver(bench, 'driver', robot)
    ours = positions(0)
    for _ in range(50):
        driver.send(next(ours))
    driver.foreign.destroy()
    driver.publishers.destroy()
    driver.publishers = CommandPublishers(driver.node, robot)
    told: list[str] = []
    driver.foreign = ForeignCommands(driver.node, robot, told.append)
    late = bench.client.create_subscription(Float64MultiArray, _topic(robot), id, 1)
    bench.spin_until(lambda: late.handle.get_publisher_count() == 1, 'the new publisher')
    for _ in range(20):
        driver.send(next(ours))
        bench.executor.spin_once(timeout_sec=0.02)
    assert told == [] and driver.foreign.streaming() == ''


@pytest.mark.skipif(not endpoints.TELLS_PUBLISHERS, reason='needs publishers in messages')
def test_a_node_that_plays_the_same_episode_is_foreign(bench: Bench) -> None:
    robot = formula_arm()
    first, second = Driver(bench, 'first', robot), Driver(bench, 'second', robot)
    bench.spin_until(lambda: _matched(first, 2) and _matched(second, 2), 'each other')

    def heard() -> bool:
        first.send(np.ones(3))
        return first.heard > 3

    bench.spin_until(heard, 'our own commands')
    assert first.told == []
    second.send(np.ones(3))
    bench.spin_until(lambda: first.told, 'the same from another')


def test_two_nodes_of_one_name_are_told_apart(bench: Bench, telling: None) -> None:
    robot = formula_arm()
    driver, twin = Driver(bench, 'twin', robot), Driver(bench, 'twin', robot)
    bench.spin_until(lambda: _matched(driver, 2) and _matched(twin, 2), 'each other')
    twin.send(np.ones(3))
    bench.spin_until(lambda: driver.told, 'the command of the other')
    assert 'come from another /twin' in driver.told[0]


def test_a_trajectory_is_known_by_its_first_point(bench: Bench, telling: None) -> None:
    robot = formula_arm(command=CHUNKS)
    driver, other = Driver(bench, 'driver', robot), Driver(bench, 'other', robot)
    bench.spin_until(lambda: _matched(driver, 2) and _matched(other, 2), 'each other')
    plan = np.arange(30.0).reshape(10, 3)

    def send(whom: Driver, positions: np.ndarray) -> None:
        ((encoder, publisher),) = whom.publishers._outputs
        after_ns = [20_000_000 * (number + 1) for number in range(len(positions))]
        names = encoder.topic.message_names
        publisher.publish(trajectory_message(names, positions, after_ns))

    def heard() -> bool:
        driver.foreign.sent_trajectory(plan)
        send(driver, plan)
        return driver.heard > 3

    bench.spin_until(heard, 'our own trajectories')
    assert driver.told == []
    send(other, plan[1:])
    bench.spin_until(lambda: driver.told, 'the trajectory of another')


def test_a_trajectory_of_fewer_joints_is_foreign_and_another_type_is_not(
    bench: Bench, telling: None
) -> None:
    driver = Driver(bench, 'driver', formula_arm(command=TRAJECTORY))
    other = bench.add(Node('other', context=bench.context))
    with ros_bench() as elsewhere:  # a participant knows one type for each topic
        words = elsewhere.client.create_publisher(String, 'joint_trajectory', 1)
        bench.spin_until(
            lambda: len(driver.node.get_publishers_info_by_topic('joint_trajectory')) == 2,
            'a publisher of another type',
        )
        words.publish(String(data='nobody hears this'))
    gripper = other.create_publisher(JointTrajectory, 'joint_trajectory', 1)
    bench.spin_until(lambda: gripper.get_subscription_count() == 1, 'the listener')
    position = np.array([0.1, 0.2, 0.3])

    def heard() -> bool:
        driver.send(position)
        return driver.heard > 3

    bench.spin_until(heard, 'our own commands')
    assert driver.told == []
    gripper.publish(trajectory_message(('joint1', 'joint2'), position[None, :2], [20_000_000]))
    bench.spin_until(lambda: driver.told, 'the command of another')
    assert 'come from /other' in driver.told[0]


def test_a_stream_that_ended_lets_the_arm_be_enabled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(bench, 'driver', formula_arm())
    other = Driver(bench, 'other', formula_arm())
    bench.spin_until(lambda: _matched(driver, 2) and _matched(other, 2), 'each other')
    other.send(np.ones(3))
    bench.spin_until(lambda: driver.told, 'a foreign command')
    assert driver.foreign.streaming()
    now_ns = driver.foreign._last[0] + round(STREAM_S * 1e9) + 1  # type: ignore[index]
    monkeypatch.setattr('motion_policy.nodes.foreign_commands.time.monotonic_ns', lambda: now_ns)
    assert driver.foreign.streaming() == ''


def test_nodes_that_drive_are_no_listeners(bench: Bench) -> None:
    robot = formula_arm()
    driver, other = Driver(bench, 'driver', robot), Driver(bench, 'other', robot)
    bench.spin_until(lambda: _matched(driver, 2) and _matched(other, 2), 'each other')
    assert driver.publishers.unheard() == [
        f'nobody listens on {_topic(robot)} (std_msgs/msg/Float64MultiArray)'
    ]
    bench.client.create_subscription(Float64MultiArray, _topic(robot), id, 1)
    bench.spin_until(lambda: not driver.publishers.unheard(), 'an arm')


def test_a_hidden_node_that_listens_is_no_arm(bench: Bench) -> None:
    robot = formula_arm()
    driver = Driver(bench, 'driver', robot)
    hidden = bench.add(Node('_watcher', context=bench.context))
    hidden.create_subscription(Float64MultiArray, _topic(robot), id, 1)
    bench.spin_until(lambda: _matched(driver, 2), 'the watcher')
    bench.spin_until(driver.publishers.unheard, 'its name')
    bench.client.create_subscription(Float64MultiArray, _topic(robot), id, 1)
    bench.spin_until(lambda: not driver.publishers.unheard(), 'an arm')


def _topic(robot: RobotSpec) -> str:
    return '/' + robot.joints.command[0].topic


def _matched(driver: Driver, count: int) -> bool:
    outputs = driver.publishers._outputs
    return all(publisher.get_subscription_count() == count for _, publisher in outputs)


def test_a_foreign_command_disables_and_a_foreign_stream_refuses_to_be_enabled(
    bench: Bench, arm: FakeArm, make_node: MakeNode, telling: None
) -> None:
    # It says what we said last: nothing but who sent it, or how often it came, tells that.
    make_node()
    arm.enable_when_ready()
    arm.hear(30)
    assert arm.diagnostic('control', 'state') != 'disabled'
    intruder = bench.add(Node('intruder', context=bench.context))
    commands = intruder.create_publisher(Float64MultiArray, arm.robot.joints.command[0].topic, 1)
    bench.spin_until(lambda: commands.get_subscription_count() == 2, 'arm and node')
    arm.obeys = False
    message = Float64MultiArray(data=arm.position.tolist())
    commands.publish(message)
    bench.spin_until(lambda: arm.enable().message != 'already enabled', 'the node to disable')
    stream = bench.client.create_timer(0.02, lambda: commands.publish(message))
    words = 'commands on /forward_position_controller/commands come from /intruder, the last 0.'
    bench.spin_until(lambda: words in arm.enable().message, 'a refusal')
    stream.cancel()
    arm.obeys = True
    arm.enable_when_ready()
    arm.hear(30)
