# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The replay node over real DDS: it ramps in, plays all actions in time, rests at the last one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import LOSSLESS, Commands, FakeArm, assert_safe, end_on_the_way
from rclpy.parameter import Parameter
from ros_testing import Bench
from slow_episode import FIRST, RISE, ROWS, action, write_slow_episode
from std_msgs.msg import Float64

from motion_policy.errors import UserError
from motion_policy.nodes.parameters.declaring import unknown_parameters
from motion_policy.nodes.replay_node import ReplayNode, read_recording

pytestmark = pytest.mark.slow

ROBOT = formula_arm()
SETTLED = 12  # rows and commands, in which joints that begin at rest catch up with the curve
CURVE = np.array([action(row) for row in range(ROWS)], np.float64)


@pytest.fixture(scope='module')
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slow_episode(tmp_path_factory.mktemp('episodes') / 'episode_000000.hdf5')


@pytest.fixture
def arm(bench: Bench) -> FakeArm:
    return FakeArm(bench, ROBOT, 'replay_node')


@pytest.fixture(scope='module')
def robot_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp('robots') / 'formula_arm.yaml'
    path.write_text(ROBOT.to_yaml())
    return str(path)


def make_node(bench: Bench, **parameters: Any) -> ReplayNode:
    overrides = [
        Parameter(name, value=value) for name, value in {**LOSSLESS, **parameters}.items()
    ]
    return bench.add(ReplayNode(context=bench.context, parameter_overrides=overrides))


def on_the_curve(commands: Commands, begin: int = 0) -> np.ndarray:
    """Commands (n, J) after the ramp, without those in which the joints catch up with the curve.

    They do so with each command from rest, and after ticks that a busy machine missed, during
    which the curve went on.
    """
    played, sent_ns = np.array(commands[begin:]), np.array(commands.sent_ns[begin:])
    number = np.arange(len(played))
    ramping = (number <= played[:, 2].argmin()) | (played[:, 2] <= FIRST + RISE)
    late = np.diff(sent_ns, prepend=sent_ns[0]) > 2 * ROBOT.period_ns
    since = number - np.maximum.accumulate(np.where(ramping | late, number, 0))
    return played[(since >= SETTLED) & (played[:, 2] > FIRST + SETTLED * RISE)]


def assert_on_the_curve(commands: np.ndarray) -> None:
    """The third joint tells the row of each of these (n, J); the others are where it has them."""
    rows = (commands[:, 2] - FIRST) / RISE
    expected = [np.interp(rows, range(ROWS), CURVE[:, joint]) for joint in range(3)]
    np.testing.assert_allclose(commands, np.transpose(expected), atol=0.02)


def test_every_action_is_played_in_time_after_a_ramp(
    bench: Bench, arm: FakeArm, episode: Path, robot_file: str
) -> None:
    node = make_node(bench, episode=str(episode), robot=robot_file)
    in_time = 0
    try:
        for stall_s in (0.0, 0.25):  # the second time from the start, and through its time's end
            begin = len(arm.commands)
            arm.enable_when_ready()
            arm.hear(20)
            bench.spin_until(lambda: arm.commands[-1][2] > CURVE[-8, 2], 'the last actions')
            with node._driver.lock:  # no tick comes meanwhile
                time.sleep(stall_s)
            arm.wait_for_idle()
            played = np.array(arm.commands[begin:])
            assert_safe(arm.commands, ROBOT)
            running = on_the_curve(arm.commands, begin)
            running = running[running[:, 2] < CURVE[-2, 2]]
            assert_on_the_curve(running)
            in_time += len(running)
            np.testing.assert_allclose(played[-2:], CURVE[[-1, -1]], rtol=0, atol=1e-9)
        assert in_time  # a busy machine misses ticks, but not the curve
    finally:
        node.close()


def test_sigint_while_moving_ends_with_a_held_position(
    arm: FakeArm, episode: Path, tmp_path: Path, robot_file: str
) -> None:
    parameters = {'episode': episode, 'robot': robot_file}
    end_on_the_way(arm, parameters, signal.SIGINT, tmp_path)


def test_a_replay_at_any_speed_goes_the_same_way_and_tells_how_each_joint_followed(
    bench: Bench, arm: FakeArm, robot_file: str, tmp_path: Path
) -> None:
    rows, folder = 26, tmp_path / 'new' / 'reports'
    path = write_slow_episode(tmp_path / 'episode_000003.hdf5', rows)
    parameters = {'robot': robot_file, 'report_directory': str(folder), 'ramp_speed': 1.0}
    node = make_node(bench, episode=str(path), **parameters)
    speed_topic = bench.client.create_publisher(Float64, 'replay_node/speed', 1)
    try:
        for number, speed in enumerate((1.0, 0.5, 0.1)):
            bench.spin_until(speed_topic.get_subscription_count, 'a listener of the speed')
            speed_topic.publish(Float64(data=speed))
            bench.spin_until(lambda wanted=speed: node._driver.controller.speed == wanted, 'it')
            begin = len(arm.commands)
            arm.enable_when_ready()
            arm.hear(20)
            bench.spin_until(lambda: arm.diagnostic('replay', 'place [s]'), 'its place')
            arm.wait_for_idle()
            assert_on_the_curve(on_the_curve(arm.commands, begin))
            np.testing.assert_allclose(arm.commands[-1], CURVE[rows - 1], rtol=0, atol=1e-9)
            file = folder / f'episode_000003_replay_{number:03d}.json'
            bench.spin_until(file.exists, 'the report')
            report = json.loads(file.read_text())
            assert (report['end'], report['robot']) == ('played', 'formula_arm')
            assert (report['least_speed'], report['greatest_speed']) == (speed, speed)
            assert report['end_s'] == pytest.approx((rows - 1) / ROBOT.rate, abs=0.04)
            assert report['commands'] >= 0.5 * (rows - 1) / speed
            assert 0 <= report['altered_share'] < 0.5
            assert {joint['name'] for joint in report['joints']} == set(ROBOT.joints.names)
            for joint in report['joints']:  # this arm is at once where it is sent
                assert joint['rmse'] <= joint['max'] < 0.04
                assert joint['then']['max'] < RISE
        assert_safe(arm.commands, ROBOT)
        arm.wait_for_diagnostic('replay', 'RMSE of joint1 from the recording [rad or m]', '0.0')
        assert sorted(folder.iterdir())[-1] == file
    finally:
        node.close()


def test_what_was_played_until_a_stop_is_told_with_the_reason(
    bench: Bench, arm: FakeArm, episode: Path, robot_file: str, tmp_path: Path
) -> None:
    def ends() -> list[str]:
        return [json.loads(file.read_text())['end'] for file in sorted(tmp_path.iterdir())]

    def play() -> None:
        arm.enable_when_ready()
        bench.spin_until(lambda: len(node._trace) > 15, 'some of the episode')

    node = make_node(bench, episode=str(episode), robot=robot_file, report_directory=str(tmp_path))
    try:
        play()
        assert arm.reset().success  # it goes on from the start
        bench.spin_until(lambda: node._reports._ended, 'the end of that')
        bench.spin_until(lambda: len(node._trace) > 15, 'some of it again')
        assert not ends()  # nothing is computed while the arm moves
        assert arm.enable(False).success
        bench.spin_until(lambda: len(ends()) == 2, 'two reports')
        assert ends() == ['reset', 'disabled']
        play()
        arm.joints_work = False
        bench.spin_until(lambda: len(ends()) == 3, 'the third report')
        assert ends()[2].startswith('state: stale')
        arm.joints_work = True
        play()
    finally:
        node.close()
    assert ends()[3] == 'the node ended'


def test_an_episode_of_positions_is_not_sent_as_velocities(tmp_path: Path) -> None:
    path = write_slow_episode(tmp_path / 'episode_000000.hdf5', 2)
    joints = ROBOT.joints.model_copy(update={'velocities': ('joint2',)})
    with pytest.raises(UserError, match="has positions of joint 'joint2', but 'formula_arm' is"):
        read_recording(path, ROBOT.model_copy(update={'joints': joints}))


EACH_CALL = """
import json, sys
from motion_policy.nodes.replay_node import main
for words in json.loads(sys.argv[1]):
    code = main(['--ros-args', *words])
    print('exit code', code, file=sys.stderr, flush=True)
assert 'torch' not in sys.modules  # which takes seconds to load
"""


def errors_of(calls: list[list[str]]) -> list[list[str]]:
    """What each of these calls of the node says, which all end with exit code 2, by its lines.

    One process makes them all, which costs its beginning once.
    """
    words = [sys.executable, '-c', EACH_CALL, json.dumps(calls)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert 'Traceback' not in done.stderr
    *said, rest = done.stderr.split('exit code 2\n')
    assert (len(said), rest) == (len(calls), '')
    return [text.strip().splitlines() for text in said]


def test_a_users_mistake_is_one_line_and_exit_code_2(
    ros_domain: int, episode: Path, robot_file: str
) -> None:
    right = {'episode': str(episode), 'robot': 'so101'}
    mistakes: list[tuple[dict[str, str], str]] = [
        ({}, "parameter 'episode' is empty"),
        ({'episode': right['episode']}, "parameter 'robot' is empty"),
        ({**right, 'episode': '/no/such/episode.hdf5'}, '/no/such/episode.hdf5'),
        ({**right, 'robot': 'tabletop_sim'}, 'joint4'),
        ({**right, 'robot': robot_file, 'report_directory': f'{episode}/x'}, f'{episode}/x'),
    ]
    calls = [
        [word for name, value in values.items() for word in ('-p', f'{name}:={value}')]
        for values, _ in mistakes
    ]
    for (line,), (_, named) in zip(errors_of(calls), mistakes, strict=True):
        assert line.startswith('error: ') and named in line


def test_a_mistake_in_ros_arguments_is_one_line_and_exit_code_2(
    ros_domain: int, tmp_path: Path
) -> None:
    file = tmp_path / 'params.yaml'
    file.write_text('/**:\n  ros__parameters:\n    a: &a [1, 2]\n    b: *a\n')
    mistakes = [
        (['-p', 'episode'], "Couldn't parse parameter override rule: '-p episode'"),
        (['--nonsense'], '--nonsense'),
        (['-r', '__node:=9 x'], '__node:=9 x'),
        (['--params-file', '/no/such.yaml'], '/no/such.yaml'),
        (['--params-file', str(file)], 'Will not support aliasing at line 4'),
    ]
    for said, (_, named) in zip(errors_of([c for c, _ in mistakes]), mistakes, strict=True):
        line = said[-1]  # before it rcl may say so, too
        assert line.startswith('error: ROS 2 cannot begin: ') and named in line
        assert '.c:' not in line


def test_the_exit_code_of_a_call_is_that_of_the_process(ros_domain: int) -> None:
    command = [sys.executable, '-m', 'motion_policy.nodes.replay_node', '--ros-args']
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1


def test_a_parameter_that_is_none_of_a_nodes_is_named(
    bench: Bench, episode: Path, robot_file: str
) -> None:
    # Somebody believes that it holds: an emergency stop that is required, a lower limit.
    node = make_node(
        bench, episode=str(episode), robot=robot_file, require_emergency_stp=True, other=1
    )
    try:
        assert unknown_parameters(node) == [
            "parameter 'other' is not known here and changes nothing",
            "parameter 'require_emergency_stp' is not known here and changes nothing: did you "
            "mean 'require_emergency_stop'?",
        ]
    finally:
        node.close()
