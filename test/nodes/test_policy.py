# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node over real DDS: it moves only when it may, and holds when anything is wrong."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

import torch
from diagnostic_msgs.msg import DiagnosticStatus
from fake_arm import (
    HOME,
    FakeArm,
    MakeNode,
    assert_safe,
    save_random_policy,
    set_out_again,
    stand_before_policy,
)
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import QoSProfile
from ros_testing import Bench, ros_bench
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from motion_policy.errors import UserError
from motion_policy.nodes.subscriptions import OFFERS

pytestmark = pytest.mark.slow

ROBOT = formula_arm()
POLICY_PERIOD_S = 0.1


@pytest.fixture
def log(bench: Bench) -> list[str]:
    lines: list[str] = []
    bench.client.create_subscription(Log, '/rosout', lambda m: lines.append(m.msg), 100)
    return lines


def test_nothing_is_sent_before_enable_and_the_first_command_is_where_the_arm_stands(
    arm: FakeArm, make_node: MakeNode
) -> None:
    make_node()
    arm.wait_for_diagnostic('streams', 'state age [ms]', '.')
    assert arm.commands == []
    arm.enable_when_ready()
    commands = arm.hear(100)
    assert np.abs(commands[0] - HOME).max() < 0.01
    assert np.abs(commands[-1] - HOME).max() > 0.05
    assert_safe(arm.commands, ROBOT)


def test_disable_ends_with_a_held_position_and_then_silence(
    arm: FakeArm, make_node: MakeNode
) -> None:
    make_node()
    arm.enable_when_ready()
    arm.hear(30)
    assert arm.enable(False).success
    arm.wait_for_idle()
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    assert_safe(arm.commands, ROBOT)
    arm.enable_when_ready()
    arm.hear(30)
    assert_safe(arm.commands, ROBOT)


def test_enable_is_refused_while_a_stream_is_silent_and_names_it(
    bench: Bench, arm: FakeArm, make_node: MakeNode, log: list[str]
) -> None:
    arm.camera_works = False
    make_node()
    arm.wait_for_diagnostic('streams', 'state age [ms]', '.')
    bench.spin_until(lambda: '/top/image_raw' in arm.enable().message, 'a refusal')
    answer = arm.enable()
    assert not answer.success
    assert 'top' in answer.message
    assert 'sensor_msgs/msg/Image' in answer.message
    assert '\n' not in answer.message
    bench.spin_until(lambda: any('/top/image_raw' in x and 'silent' in x for x in log), 'a log')
    assert arm.commands == []


def test_without_a_listener_for_the_commands_the_arm_is_not_enabled(
    bench: Bench, arm: FakeArm, make_node: MakeNode, log: list[str]
) -> None:
    make_node()
    arm.enable_when_ready()
    arm.hear(20)
    bench.client.destroy_subscription(arm.listener)
    bench.spin_until(lambda: any('disabled: nobody listens' in x for x in log), 'a log')
    answer = arm.enable()
    assert not answer.success
    assert '/forward_position_controller/commands' in answer.message


def test_a_topic_of_another_type_is_named_with_both_types(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    bench.client.destroy_publisher(arm.camera)
    arm.camera_works = False
    make_node()
    with ros_bench() as other:  # a process of its own has one type per topic
        other.client.create_publisher(CompressedImage, 'top/image_raw', 10)
        bench.spin_until(lambda: 'CompressedImage' in arm.enable().message, 'the other type')


def test_configuring_fails_when_a_topic_carries_another_type(
    bench: Bench, arm: FakeArm, make_node: MakeNode, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.client.destroy_publisher(arm.camera)
    arm.camera_works = False
    with ros_bench() as other:
        other.client.create_publisher(CompressedImage, 'top/image_raw', 10)
        node = make_node(autostart=False)
        bench.spin_until(lambda: node.get_publishers_info_by_topic('top/image_raw'), 'a publisher')
        capfd.readouterr()
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        (line,) = [x for x in capfd.readouterr().err.splitlines() if 'cannot configure' in x]
        assert '/top/image_raw' in line and 'published there as' in line


def test_what_does_not_fit_the_robot_is_told_before_anybody_enables(
    arm: FakeArm, make_node: MakeNode, log: list[str]
) -> None:
    wider = ROBOT.cameras['top'].model_copy(update={'width': 40})
    arm.robot = ROBOT.model_copy(update={'cameras': {'top': wider}})
    make_node()
    arm.bench.spin_until(lambda: any('not fit to be enabled' in x for x in log), 'a log')
    (line,) = [x for x in log if 'not fit to be enabled' in x]
    assert '40x24' in line and '32x24' in line
    arm.robot = ROBOT
    arm.enable_when_ready()
    assert len([x for x in log if 'not fit to be enabled' in x]) == 1


def test_an_arm_that_is_behind_its_last_command_is_not_enabled_yet(
    arm: FakeArm, make_node: MakeNode
) -> None:
    make_node()

    def refused() -> bool:
        arm.obeys = True
        arm.enable_when_ready()
        arm.hear(20)
        arm.obeys = False
        arm.position = arm.position - 0.1
        arm.hear(3)
        arm.enable(False)
        arm.diagnostics.clear()
        arm.wait_for_diagnostic('control', 'state', 'disabled')
        answer = arm.enable()
        arm.enable(False)
        return 'is on its way' in answer.message

    arm.bench.spin_until(refused, 'a refusal')


def test_images_of_another_size_are_refused_with_both_sizes(
    arm: FakeArm, make_node: MakeNode
) -> None:
    make_node()
    wider = ROBOT.cameras['top'].model_copy(update={'width': 40})
    arm.robot = ROBOT.model_copy(update={'cameras': {'top': wider}})
    arm.bench.spin_until(lambda: '40x24' in arm.enable().message, 'a refusal')
    assert '32x24' in arm.enable().message
    assert arm.commands == []


def test_a_dead_camera_holds_the_arm_is_named_once_and_comes_back_by_itself(
    arm: FakeArm, make_node: MakeNode, log: list[str]
) -> None:
    make_node(auto_resume=60.0)
    arm.enable_when_ready()
    arm.hear(50)
    arm.camera_works = False
    arm.wait_for_diagnostic('control', 'state', 'hold')
    assert 'top' in arm.diagnostic('control', 'reason')
    held = arm.hear(20)
    assert np.ptp(held[-10:], axis=0).max() == 0.0
    arm.hear(50)
    assert len([x for x in log if "'top'" in x and 'stale' in x]) == 1
    arm.camera_works = True
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert_safe(arm.commands, ROBOT)


def test_another_reason_is_told_while_the_arm_holds(
    arm: FakeArm, make_node: MakeNode, log: list[str], bench: Bench
) -> None:
    make_node(auto_resume=60.0)
    arm.enable_when_ready()
    arm.hear(50)
    arm.camera_works = False
    bench.spin_until(lambda: any(x.startswith('hold: top') for x in log), 'the first reason')
    arm.joints_work = False
    bench.spin_until(lambda: any('brake: state: stale' in x for x in log), 'the other')
    assert len([x for x in log if x.startswith('hold: ')]) < 10  # not one for every age


ERROR = DiagnosticStatus.ERROR


@pytest.mark.parametrize('parameters', [{}, {'auto_resume': 0.0}, {'latch_faults': True}])
def test_a_camera_that_is_back_too_late_moves_nothing_before_enable(
    arm: FakeArm, make_node: MakeNode, log: list[str], parameters: dict[str, Any]
) -> None:
    make_node(**parameters)
    arm.enable_when_ready()
    arm.hear(50)
    arm.camera_works = False
    arm.wait_for_idle()
    assert 'top: stale' in arm.diagnostic('control', 'reason')
    assert arm.diagnostics[-1].status[0].level == DiagnosticStatus.ERROR
    arm.camera_works = True
    assert not set_out_again(arm)
    assert arm.reset().success
    arm.wait_for_diagnostic('control', 'state', 'disabled')
    assert arm.diagnostic('control', 'reason') == '' or arm.reset().success
    arm.enable_when_ready()
    arm.hear(20)
    assert_safe(arm.commands, ROBOT)


def test_an_arm_whose_joint_state_was_lost_and_that_sank_meanwhile_is_not_moved(
    arm: FakeArm, make_node: MakeNode
) -> None:
    """A driver killed in motion and begun anew: nobody asks before the arm moves again."""
    make_node()
    arm.enable_when_ready()
    arm.hear(50)
    arm.joints_work = False
    arm.wait_for_idle()
    # What was measured last does not follow the commands either.
    assert re.match('state: stale|tracking error', arm.diagnostic('control', 'reason'))
    arm.position = arm.position - 0.5
    arm.joints_work = True
    assert not set_out_again(arm)
    sunk = arm.position.copy()
    begin = len(arm.commands)
    arm.enable_when_ready()
    arm.hear(20)
    np.testing.assert_allclose(arm.commands[begin], sunk, atol=0.01)


@pytest.mark.parametrize('state', ['run', 'hold'])
def test_an_arm_that_does_not_follow_is_disabled(
    arm: FakeArm, make_node: MakeNode, state: str
) -> None:
    make_node(auto_resume=60.0)
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')
    if state == 'hold':
        arm.camera_works = False
        arm.wait_for_diagnostic('control', 'state', 'hold')
    arm.obeys = False
    arm.position = arm.position - 0.5
    arm.wait_for_idle()
    assert "tracking error: joint 'joint1'" in arm.diagnostic('control', 'reason')
    assert not set_out_again(arm)
    assert_safe(arm.commands, ROBOT)


def test_a_defect_in_a_tick_brakes_the_arm_and_is_told(
    arm: FakeArm, make_node: MakeNode, log: list[str]
) -> None:
    node = make_node()
    arm.enable_when_ready()
    arm.hear(50)
    assert node._driver is not None
    follow = node._driver._follow

    def broken(_now_ns: int) -> None:
        raise RuntimeError('a defect of the test')

    node._driver._follow = broken
    arm.wait_for_idle()
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    reason = arm.diagnostic('control', 'reason')
    assert reason == 'defect: RuntimeError: a defect of the test'
    assert arm.diagnostics[-1].status[0].level == DiagnosticStatus.ERROR
    assert any('Traceback' in line for line in log)
    node._driver._follow = follow
    arm.enable_when_ready()
    arm.hear(20)
    assert_safe(arm.commands, ROBOT)


def test_a_tick_thread_that_ends_is_noticed_and_the_arm_is_braked(
    arm: FakeArm, make_node: MakeNode, log: list[str], bench: Bench
) -> None:
    node = make_node()
    arm.enable_when_ready()
    arm.hear(50)
    assert node._driver is not None and node._driver._loop is not None
    node._driver._loop._stopped = True
    bench.spin_until(lambda: any('control tick ended' in line for line in log), 'a log')
    arm.wait_for_silence()
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    assert not arm.enable().success
    assert_safe(arm.commands, ROBOT)


@pytest.mark.parametrize('holds_the_lock', [True, False])
def test_a_tick_that_hangs_is_told_and_ends_in_disabled_once_it_goes_on(
    arm: FakeArm,
    make_node: MakeNode,
    log: list[str],
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    holds_the_lock: bool,
) -> None:
    node = make_node()
    arm.enable_when_ready()
    arm.hear(50)
    driver, goes_on = node._driver, threading.Event()
    assert driver is not None
    owner: Any = driver.controller if holds_the_lock else driver._publishers
    name = 'command' if holds_the_lock else 'send'
    method = getattr(owner, name)

    def hang(*args: Any, **named: Any) -> Any:
        goes_on.wait()
        return method(*args, **named)

    monkeypatch.setattr(owner, name, hang)
    try:
        bench.spin_until(lambda: any('control tick hangs' in x for x in log), 'a log')

        def told() -> bool:
            statuses = [s for m in arm.diagnostics for s in m.status if 'control' in s.name]
            return any('tick hangs' in s.message for s in statuses if s.level == ERROR)

        bench.spin_until(told, 'diagnostics')
        if holds_the_lock:
            assert 'control tick hangs' in arm.enable(False).message  # and the node still answers
            assert 'control tick hangs' in arm.reset().message
    finally:
        goes_on.set()
    arm.wait_for_idle()
    assert 'control tick hung' in arm.diagnostic('control', 'reason')
    assert not set_out_again(arm)
    arm.enable_when_ready()
    arm.hear(20)
    assert_safe(arm.commands, ROBOT)


def test_home_and_the_speed_override_are_obeyed(
    arm: FakeArm, make_node: MakeNode, bench: Bench, tmp_path: Path
) -> None:
    home = [0.4, 0.3, 0.2]
    spec = tmp_path / 'robot.yaml'
    spec.write_text(ROBOT.model_copy(update={'home': tuple(home)}).to_yaml())
    make_node(robot=str(spec))
    arm.enable_when_ready()
    arm.hear(30)
    speed = bench.client.create_publisher(Float64, 'policy_node/speed', 1)
    bench.spin_until(speed.get_subscription_count, 'a listener')
    speed.publish(Float64(data=0.0))
    arm.wait_for_diagnostic('control', 'speed', '0.000')
    standing = arm.hear(20)
    assert np.ptp(standing, axis=0).max() == 0.0
    speed.publish(Float64(data=7.0))  # refused
    speed.publish(Float64(data=0.5))
    arm.wait_for_diagnostic('control', 'speed', '0.500')
    assert bench.call(Trigger, 'policy_node/home').success
    arm.wait_for_idle()
    np.testing.assert_allclose(arm.commands[-1], home, atol=1e-9)
    assert_safe(arm.commands, ROBOT)


def test_the_speed_override_is_heard_from_every_publisher(
    make_node: MakeNode, bench: Bench
) -> None:
    node = make_node()
    for number, (reliability, durability) in enumerate(OFFERS):
        qos = QoSProfile(depth=1, reliability=reliability, durability=durability)
        publisher = bench.client.create_publisher(Float64, 'policy_node/speed', qos)
        bench.spin_until(publisher.get_subscription_count, 'a listener')
        speed = 0.2 + 0.1 * number

        def obeyed(publisher: Any = publisher, speed: float = speed) -> bool:
            publisher.publish(Float64(data=speed))  # again: one of best effort may be lost
            return bool(node.get_parameter('speed').value == speed)

        bench.spin_until(obeyed, f'{reliability}, {durability}')


def test_without_a_home_in_the_spec_nobody_drives_there(
    arm: FakeArm, make_node: MakeNode, bench: Bench
) -> None:
    make_node()
    arm.wait_for_diagnostic('streams', 'state age [ms]', '.')
    bench.spin_until(
        lambda: 'has no home' in bench.call(Trigger, 'policy_node/home').message, 'a refusal'
    )
    assert arm.commands == []


def test_joints_that_are_not_numbers_stop_the_arm_and_are_named(
    arm: FakeArm, make_node: MakeNode
) -> None:
    make_node()
    arm.enable_when_ready()
    arm.hear(30)
    arm.obeys = False
    arm.position = np.array([0.0, np.nan, 0.0])
    arm.wait_for_diagnostic('streams', 'state fault', "joint 'joint2'")
    arm.wait_for_idle()
    assert re.match('state: .*stale|tracking error', arm.diagnostic('control', 'reason'))
    assert_safe(arm.commands, ROBOT)


class Spoiled:
    """Stands before `act` and `act_and_explain` of the loaded policy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.how: Callable[[Any], Any] = lambda chunk: chunk
        stand_before_policy(monkeypatch, self._before, 'act', 'act_and_explain')

    def _before(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def spoiled(*args: Any) -> Any:
            chunk, *rest = act(*args)
            return (self.how(chunk), *rest)

        return spoiled


def raise_out_of_memory(_chunk: Any) -> Any:
    raise RuntimeError('out of memory')


@pytest.mark.parametrize(
    ('how', 'reason'),
    [
        (lambda chunk: chunk * torch.nan, 'finite'),
        (lambda chunk: chunk[..., :2], 'width'),
        (raise_out_of_memory, 'out of memory'),
    ],
)
def test_a_policy_gone_wrong_holds_the_arm_and_is_named(
    arm: FakeArm,
    make_node: MakeNode,
    monkeypatch: pytest.MonkeyPatch,
    how: Callable[[Any], Any],
    reason: str,
) -> None:
    spoiled = Spoiled(monkeypatch)
    make_node(auto_resume=60.0)
    arm.enable_when_ready()
    arm.hear(30)
    spoiled.how = how
    arm.wait_for_diagnostic('control', 'reason', reason)
    arm.hear(20)
    held = arm.hear(10)
    assert np.ptp(held, axis=0).max() == 0.0
    spoiled.how = lambda chunk: chunk
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert_safe(arm.commands, ROBOT)


def test_huge_actions_stay_inside_every_limit(
    arm: FakeArm, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled = Spoiled(monkeypatch)
    make_node()
    arm.enable_when_ready()
    spoiled.how = lambda chunk: torch.where(torch.rand(chunk.shape) < 0.5, -1e30, 1e30)
    arm.hear(150)
    assert_safe(arm.commands, ROBOT)
    arm.wait_for_diagnostic('control', 'state', 'r')


def test_a_hanging_policy_holds_the_arm(
    arm: FakeArm, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled, release = Spoiled(monkeypatch), threading.Event()
    make_node(auto_resume=60.0)
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')

    def hang(chunk: Any) -> Any:
        release.wait()
        return chunk

    spoiled.how = hang
    arm.wait_for_diagnostic('control', 'reason', 'no new action')
    assert arm.diagnostic('control', 'state') == 'hold'
    release.set()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert_safe(arm.commands, ROBOT)


def test_deactivate_while_moving_ends_with_a_held_position(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    make_node()
    arm.enable_when_ready()
    arm.hear(30)
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_DEACTIVATE
    assert bench.call(ChangeState, 'policy_node/change_state', request).success
    arm.wait_for_silence()
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    assert not arm.enable().success
    request.transition.id = Transition.TRANSITION_ACTIVATE
    assert bench.call(ChangeState, 'policy_node/change_state', request).success
    arm.enable_when_ready()
    arm.hear(10)
    assert_safe(arm.commands, ROBOT)


@pytest.mark.parametrize(
    ('parameters', 'named'),
    [
        ({'checkpoint': ''}, "parameter 'checkpoint' is empty"),
        ({'checkpoint': '/no/such/folder'}, '/no/such/folder'),
        ({'robot': 'no_such_robot'}, 'no_such_robot'),
        ({'robot': 'tabletop_sim'}, 'joint4'),
        ({'device': 'abacus'}, "parameter 'device' is 'abacus'"),
    ],
)
def test_a_users_mistake_fails_the_transition_with_one_line(
    make_node: MakeNode,
    capfd: pytest.CaptureFixture[str],
    parameters: dict[str, str],
    named: str,
) -> None:
    node = make_node(autostart=False, **parameters)
    capfd.readouterr()
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert 'cannot configure' in line and named in line


def test_plan_and_attention_are_shown_to_who_looks(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    plans: list[JointTrajectory] = []
    images: list[Image] = []
    bench.client.create_subscription(JointTrajectory, 'policy_node/plan', plans.append, 10)
    bench.client.create_subscription(Image, 'policy_node/attention', images.append, 10)
    make_node()
    arm.enable_when_ready()
    bench.spin_until(lambda: images and any(p.points for p in plans), 'plan and attention')
    image, plan = images[-1], next(p for p in plans if p.points)
    assert (image.width, image.height, image.encoding) == (640, 480, 'rgb8')
    pixels = np.frombuffer(image.data, np.uint8).reshape(480, 640, 3)
    assert (pixels != 90).any() and (pixels == 90).mean() > 0.9
    assert plan.joint_names == list(ROBOT.joints.names)
    assert plan.points[0].time_from_start.nanosec <= POLICY_PERIOD_S * 1e9


class Listening:
    """Notes what the loaded policy sees of the joints, and what it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[np.ndarray] = []
        self.answers: list[np.ndarray] = []
        stand_before_policy(monkeypatch, self._noted, 'act')

    def _noted(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def noted(observation: Any, state: Any) -> Any:
            chunk, state = act(observation, state)
            self.seen.append(observation['qpos'][0].numpy().copy())
            self.answers.append(chunk[0, 0].numpy().copy())
            return chunk, state

        return noted


@pytest.mark.parametrize('share', [0.0, 1.0])
def test_the_policy_sees_its_own_joints_as_far_as_the_mix_says(
    arm: FakeArm, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    listening = Listening(monkeypatch)
    make_node(**{'mix.joint': share})
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')
    # At the end of the ramp the arm stands exactly where the first answer was.
    first = len(listening.seen) + 1
    arm.bench.spin_until(lambda: len(listening.seen) > first + 6, 'steps of the policy')
    pairs = zip(listening.seen[first + 1 :], listening.answers[first:], strict=False)
    own = [np.array_equal(seen, answer) for seen, answer in pairs]
    assert any(own) is (share == 0.0)
    assert_safe(arm.commands, ROBOT)


@pytest.mark.parametrize(
    ('value', 'named'), [(1.5, r"'mix.image' must lie in \[0.0, 1.0\]"), (1, 'must be a float')]
)
def test_a_mix_that_is_no_share_is_refused(make_node: MakeNode, value: float, named: str) -> None:
    with pytest.raises(UserError, match=named):
        make_node(autostart=False, **{'mix.image': value})


def test_without_efforts_a_policy_that_needs_them_is_not_enabled_and_holds(
    arm: FakeArm, make_node: MakeNode, tmp_path: Path
) -> None:
    folder = save_random_policy(tmp_path / 'feeling', ROBOT, effort=True)
    make_node(checkpoint=str(folder))
    arm.bench.spin_until(lambda: 'efforts' in arm.enable().message, 'a refusal')
    answer = arm.enable()
    assert not answer.success
    assert "'formula_arm'" in answer.message and '(joint_states)' in answer.message
    assert '\n' not in answer.message and arm.commands == []
    arm.feels = True
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')
    arm.feels = False
    arm.wait_for_diagnostic('control', 'reason', 'efforts')
    assert arm.diagnostic('control', 'state') == 'hold'
    assert_safe(arm.commands, ROBOT)


def test_a_node_that_was_cleaned_up_can_be_configured_again(
    arm: FakeArm, make_node: MakeNode
) -> None:
    node = make_node()
    arm.enable_when_ready()
    arm.hear(20)
    for step in ('deactivate', 'cleanup', 'configure', 'activate'):
        assert getattr(node, f'trigger_{step}')() == TransitionCallbackReturn.SUCCESS
    assert {t.name for t in threading.enumerate()} >= {'control_tick', 'inference'}
    assert len([t for t in threading.enumerate() if t.name == 'inference']) == 1
    arm.wait_for_silence()  # the arm has come to rest where it was told to
    arm.enable_when_ready()
    arm.hear(20)
    assert_safe(arm.commands, ROBOT)


def test_an_effort_beyond_its_limit_is_refused_at_enable_and_named(
    arm: FakeArm, make_node: MakeNode
) -> None:
    make_node(effort_limit=0.5 * HOME)  # the fake arm feels where it stands
    told = 'effort: the joint state reports none'
    arm.bench.spin_until(lambda: told in arm.enable().message, told)
    arm.feels = True
    told = f"effort: joint 'joint1' has {HOME:.2f}, limit {0.5 * HOME:g}"
    arm.bench.spin_until(lambda: told in arm.enable().message, told)
    assert not arm.commands
