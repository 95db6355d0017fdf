# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Emergency stop, dead-man switch and optional guards over real DDS.

An emergency stop ends all motion until somebody enables again, a dead-man switch lets the arm hold
until it is held again, and the optional stages of the guard chain are at work.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm
from planar_arm import planar_urdf

pytest.importorskip('rclpy')

from fake_arm import HOME, FakeArm, MakeNode, assert_safe
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from ros_testing import Bench, ros_bench
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool, Empty

from motion_policy.errors import UserError
from motion_policy.nodes import endpoints
from motion_policy.nodes.policy_node import PolicyNode

pytestmark = pytest.mark.slow

ROBOT = formula_arm()

STOP = 'emergency_stop'
BUTTON = """
import sys, threading, time
import rclpy
from std_msgs.msg import Bool

rclpy.init()
node = rclpy.create_node(sys.argv[1])
publisher = node.create_publisher(Bool, 'emergency_stop', 1)
pressed, lock = False, threading.Lock()

def repeat():
    while True:
        with lock:
            if publisher is not None:
                publisher.publish(Bool(data=pressed))
        time.sleep(0.02)

threading.Thread(target=repeat, daemon=True).start()
for line in sys.stdin:
    with lock:
        match line.strip():
            case 'press' | 'release' as word:
                pressed = word == 'press'
            case 'destroy':
                node.destroy_publisher(publisher)
                publisher = None
            case 'create':
                publisher = node.create_publisher(Bool, 'emergency_stop', 1)
        print(publisher.get_subscription_count() if publisher else 0, flush=True)
"""


@pytest.fixture
def waits_for_switches() -> bool:
    return True


@contextmanager
def button_in_a_process(name: str) -> Iterator[Callable[[str], int]]:
    """Publish an emergency stop at 50 Hz; what is given tells it a word, for its listeners."""
    command = [sys.executable, '-c', BUTTON, name]
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]

        def tell(word: str) -> int:
            process.stdin.write(f'{word}\n')
            process.stdin.flush()
            return int(process.stdout.readline())

        try:
            yield tell
        finally:
            process.kill()


@pytest.mark.parametrize('durability', ['TRANSIENT_LOCAL', 'VOLATILE'])
def test_an_emergency_stop_ends_the_motion_until_it_is_released_and_enabled_again(
    bench: Bench, arm: FakeArm, make_node: MakeNode, durability: str
) -> None:
    qos = QoSProfile(depth=1, durability=QoSDurabilityPolicy[durability])
    button = bench.client.create_publisher(Bool, STOP, qos)
    make_node()
    arm.enable_when_ready()
    arm.hear(30)
    bench.spin_until(lambda: button.get_subscription_count() > 0, 'a listener')
    button.publish(Bool(data=True))
    arm.wait_for_idle()
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    answer = arm.enable()
    assert not answer.success
    assert 'the emergency stop is pressed (/emergency_stop by /test_client)' in answer.message
    button.publish(Bool(data=False))
    before = len(arm.commands)
    arm.wait_for_silence()
    assert len(arm.commands) == before  # releasing it moves nothing
    arm.enable_when_ready()
    arm.hear(10)
    assert_safe(arm.commands, ROBOT)


def test_a_stop_that_was_pressed_before_the_node_came_is_heard(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    bench.client.create_publisher(Bool, STOP, latched).publish(Bool(data=True))
    make_node()
    arm.wait_for_diagnostic('streams', 'state age [ms]', '.')
    bench.spin_until(lambda: 'emergency stop is pressed' in arm.enable().message, 'a refusal')
    assert arm.commands == []


def test_a_required_emergency_stop_must_be_there(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    make_node(require_emergency_stop=True)
    arm.wait_for_diagnostic('streams', 'state age [ms]', '.')
    bench.spin_until(lambda: 'nothing is heard of the em' in arm.enable().message, 'a refusal')
    button = bench.client.create_publisher(Bool, STOP, 1)
    bench.spin_until(lambda: button.get_subscription_count() > 0, 'a listener')
    button.publish(Bool(data=False))
    arm.enable_when_ready()


@pytest.mark.skipif(not endpoints.TELLS_PUBLISHERS, reason='nobody says who published')
def test_a_button_that_is_pressed_counts_though_another_says_that_it_is_not(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    left = bench.add(Node('left', context=bench.context))
    publisher = left.create_publisher(Bool, STOP, 1)
    left_is_pressed = [True]
    left.create_timer(0.02, lambda: publisher.publish(Bool(data=left_is_pressed[0])))
    with button_in_a_process('right') as tell_right:
        make_node()
        bench.spin_until(lambda: 'stop is pressed' in arm.enable().message, 'a refusal')
        bench.spin_until(lambda: tell_right('listeners?') >= 2, 'listeners of the other')
        for _ in range(20):
            assert 'pressed (/emergency_stop by /left)' in arm.enable().message
        left_is_pressed[0] = False
        arm.enable_when_ready()
        arm.hear(20)
        tell_right('press')
        arm.wait_for_idle()
        assert 'pressed (/emergency_stop by /right)' in arm.enable().message
        tell_right('release')
        arm.enable_when_ready()
        arm.hear(10)
        tell_right('destroy')
        arm.wait_for_idle()
        answer = arm.enable().message
        assert 'has lost its publisher (/emergency_stop by /right, which is gone' in answer
        tell_right('create')
        arm.enable_when_ready()
        arm.hear(10)
    assert_safe(arm.commands, ROBOT)


def test_a_button_that_went_away_pressed_stays_so_until_an_operator_resets(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    make_node()
    arm.enable_when_ready()
    arm.hear(10)
    with ros_bench() as elsewhere:
        button = elsewhere.client.create_publisher(Bool, STOP, 1)
        bench.spin_until(lambda: button.get_subscription_count() >= 2, 'listeners')
        button.publish(Bool(data=True))
        arm.wait_for_idle()
    gone = 'is pressed (/emergency_stop by /test_client, which is gone: ~/reset forgets it)'
    bench.spin_until(lambda: gone in arm.enable().message, 'a refusal')
    assert arm.reset().success
    arm.enable_when_ready()
    arm.hear(10)
    assert_safe(arm.commands, ROBOT)


@pytest.mark.parametrize('reliability', ['RELIABLE', 'BEST_EFFORT'])
def test_a_stop_that_falls_silent_disables(
    bench: Bench, arm: FakeArm, make_node: MakeNode, reliability: str
) -> None:
    qos = QoSProfile(depth=1, reliability=QoSReliabilityPolicy[reliability])
    button = bench.client.create_publisher(Bool, STOP, qos)
    make_node(emergency_stop_timeout=2.0)
    arm.wait_for_diagnostic('streams', 'state age [ms]', '.')
    bench.spin_until(lambda: 'nothing is heard of the em' in arm.enable().message, 'a refusal')
    heartbeat = bench.client.create_timer(0.02, lambda: button.publish(Bool(data=False)))
    arm.enable_when_ready()
    arm.hear(10)
    heartbeat.cancel()
    arm.wait_for_idle()
    assert 'limit 2 s (/emergency_stop by /test_client)' in arm.enable().message
    heartbeat.reset()
    arm.enable_when_ready()
    arm.hear(10)
    assert_safe(arm.commands, ROBOT)


def test_buttons_that_cannot_be_told_apart_must_be_one(
    bench: Bench, arm: FakeArm, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, 'TELLS_PUBLISHERS', False)  # as in Humble and Jazzy
    button = bench.client.create_publisher(Bool, STOP, 1)
    timer = bench.client.create_timer(0.02, lambda: button.publish(Bool(data=False)))
    make_node(require_emergency_stop=True)
    arm.enable_when_ready()
    arm.hear(10)
    with ros_bench() as elsewhere:
        elsewhere.client.create_publisher(Bool, STOP, 1)
        arm.wait_for_idle()
        assert 'has 2 publishers, expected one' in arm.enable().message
    arm.bench.spin_until(lambda: arm.reset().success and arm.enable().success, 'one again')
    arm.hear(10)
    timer.cancel()
    button.publish(Bool(data=True))
    arm.wait_for_idle()
    assert_safe(arm.commands, ROBOT)


def test_a_topic_of_another_type_is_no_emergency_stop(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    with ros_bench() as elsewhere:
        elsewhere.client.create_publisher(Empty, STOP, 1)
        make_node()
        words = '/emergency_stop is published as std_msgs/msg/Empty, expected std_msgs/msg/Bool'
        bench.spin_until(lambda: words in arm.enable().message, 'a refusal')


def test_the_arm_moves_only_while_the_dead_man_switch_is_held(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    held = [True]
    joy = bench.client.create_publisher(Joy, 'joy', 1)
    bench.client.create_timer(0.02, lambda: joy.publish(Joy(buttons=[0, int(held[0])])))
    make_node(dead_man_topic='joy', dead_man_button=1, dead_man_timeout=1.0, auto_resume=60.0)
    bench.spin_until(lambda: 'held before it was seen' in arm.enable().message, 'a refusal')
    held[0] = False
    bench.spin_until(lambda: 'switch is released' in arm.enable().message, 'a refusal')
    held[0] = True
    arm.enable_when_ready()
    arm.hear(30)
    held[0] = False
    arm.wait_for_diagnostic('control', 'state', 'hold')
    commands = arm.hear(50)
    np.testing.assert_array_equal(commands[-1], commands[-2])
    assert not arm.enable(False).message.startswith('not')
    arm.wait_for_idle()
    assert 'the dead-man switch is released (/joy, button 1)' in arm.enable().message
    held[0] = True
    arm.enable_when_ready()
    arm.hear(30)
    held[0] = False
    arm.wait_for_diagnostic('control', 'state', 'hold')
    held[0] = True
    arm.wait_for_diagnostic('control', 'state', 'run')  # it goes on by itself
    assert_safe(arm.commands, ROBOT)


def test_a_dead_man_switch_whose_link_repeats_one_message_lets_the_arm_hold(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    message = Joy(buttons=[0])
    dead = [False]
    joy = bench.client.create_publisher(Joy, 'joy', 1)

    def publish() -> None:
        if not dead[0]:
            message.header.stamp = arm.stamp()
        joy.publish(message)

    bench.client.create_timer(0.02, publish)
    make_node(dead_man_topic='joy', dead_man_timeout=1.0)
    bench.spin_until(lambda: 'switch is released' in arm.enable().message, 'a refusal')
    message.buttons = [1]
    arm.enable_when_ready()
    arm.hear(10)
    dead[0] = True
    arm.wait_for_diagnostic('control', 'state', 'hold')
    assert not arm.enable(False).message.startswith('not')
    assert 'repeats one message' in arm.enable().message
    assert_safe(arm.commands, ROBOT)


def test_the_tool_stays_in_its_box_and_the_joints_within_their_margin(
    arm: FakeArm, make_node: MakeNode, tmp_path: Path
) -> None:
    urdf = planar_urdf(tmp_path / 'planar.urdf')
    box = [0.0, 1.0, -1.0, 0.16, -1.0, 1.0]
    node = make_node(
        position_margin=0.3, max_jerk=200.0,
        **{'workspace.urdf': str(urdf), 'workspace.tool': 'tool', 'workspace.box': box},
    )  # fmt: skip
    arm.enable_when_ready()
    arm.hear(150)
    controller = node._driver.controller  # type: ignore[union-attr]
    workspace = controller.guard.workspace
    assert workspace is not None
    assert all(workspace.contains(command) for command in arm.commands)
    assert np.abs(arm.commands[-1] - HOME).max() > 0.01
    limits = ROBOT.joints.limits.position_array()
    commands = np.array(arm.commands)
    assert (commands >= limits[:, 0] + 0.3).all() and (commands <= limits[:, 1] - 0.3).all()
    assert_safe(arm.commands, ROBOT)


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'workspace.tool': 'tool'}, 'workspace.urdf is empty'),
        ({'position_margin': 2.5}, r'position_margin is 2.5, expected 0 <= margin < 1'),
        ({'on_violation.velocity': 'ignore'}, r"'on_violation.velocity' is 'ignore'"),
        (
            {'require_emergency_stop': True, 'emergency_stop_topic': ''},
            'emergency_stop_topic is empty',
        ),
    ],
)
def test_a_wrong_parameter_is_one_line(
    bench: Bench, checkpoint: Path, parameters: dict[str, Any], words: str
) -> None:
    values = {'checkpoint': str(checkpoint), **parameters}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = None
    with pytest.raises(UserError, match=words):
        node = PolicyNode(context=bench.context, parameter_overrides=overrides)
        node._configure()
    if node is not None:
        node.close()
