# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated arm and its teacher keep their promises on real topics, in simulated time."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from ros_testing import Bench, ros_bench
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger

from motion_policy.errors import UserError
from motion_policy.nodes.demonstrator_node import DemonstratorNode
from motion_policy.nodes.sim_node import SimNode
from motion_policy.simulation import TabletopSim
from motion_policy.streams.messages import image_to_rgb, stamp_ns

LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
SPEED = 5.0


class Scene:
    """The simulated arm in a thread, and everything it says."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.heard: dict[str, list[Any]] = {}
        options = [
            Parameter('publish_clock', value=True),
            Parameter('real_time_factor', value=SPEED),
        ]
        bench.run_apart(
            lambda: self._keep(SimNode(context=bench.context, parameter_overrides=options))
        )
        for kind, topic in (
            (JointState, 'joint_states'),
            (Image, 'top/image_raw'),
            (Image, 'side/image_raw'),
            (PoseStamped, 'cube_pose'),
            (JointState, 'leader/joint_states'),
            (Log, '/rosout'),
        ):
            self._listen(kind, topic, QoSProfile(depth=100))
        self._listen(Bool, 'sim_node/success', LATCHED)
        self._listen(Bool, 'demonstrator_node/done', LATCHED)
        self.commands = bench.client.create_publisher(
            Float64MultiArray, 'forward_position_controller/commands', 1
        )
        self.wait_for('joint_states', 20)
        self.wait_for('side/image_raw', 2)

    def _keep(self, node: SimNode) -> SimNode:
        self.node = node
        return node

    def _listen(self, kind: Any, topic: str, qos: QoSProfile) -> None:
        self.heard[topic] = []
        self.bench.client.create_subscription(kind, topic, self.heard[topic].append, qos)

    def wait_for(self, topic: str, count: int) -> list[Any]:
        """Return the next `count` messages of `topic`."""
        self.heard[topic].clear()
        self.bench.spin_until(lambda: len(self.heard[topic]) >= count, topic)
        return self.heard[topic][:count]

    def qpos(self) -> np.ndarray:
        """Return the joint positions (5,) of the next joint state."""
        return np.array(self.wait_for('joint_states', 1)[0].position)

    def reset(self, cube: str | float = 'C') -> Any:
        """Put the cube somewhere and the arm home; the response of the service."""
        self.node.set_parameters([Parameter('cube', value=cube)])
        response = self.bench.call(Trigger, 'sim_node/reset')
        self.catch_up()
        return response

    def catch_up(self) -> None:
        """Wait until what was said before now has been heard."""
        now_ns = self.node.steps * 10_000_000
        heard = self.heard['joint_states']
        self.bench.spin_until(lambda: heard and stamp_ns(heard[-1]) > now_ns, 'newer states')

    def send(self, values: list[float]) -> None:
        """Send one command, once the arm listens."""
        self.bench.spin_until(self.commands.get_subscription_count, 'the arm to listen')
        self.commands.publish(Float64MultiArray(data=values))


@pytest.fixture(scope='module')
def scene(ros_domain: int) -> Iterator[Scene]:
    """One scene for all tests of this file; each resets it."""
    with ros_bench() as bench:
        yield Scene(bench)


def test_stamps_are_the_simulated_time_of_the_state(scene: Scene) -> None:
    """Joint states come at 100 Hz and cameras at 25 Hz of simulated time, stamped alike."""
    scene.wait_for('side/image_raw', 8)
    stamps = {topic: [stamp_ns(m) for m in heard] for topic, heard in scene.heard.items()
              if topic in ('joint_states', 'top/image_raw', 'side/image_raw')}  # fmt: skip
    gaps = {topic: set(np.diff(times[-8:])) for topic, times in stamps.items()}
    assert min(gaps['joint_states']) == 10_000_000
    assert min(gaps['top/image_raw']) == min(gaps['side/image_raw']) == 40_000_000
    assert set(stamps['top/image_raw'][-4:]) & set(stamps['side/image_raw'][-4:])


def test_images_show_the_scene_in_rgb(scene: Scene) -> None:
    """The image of a camera is that which the simulation renders, size and colours."""
    scene.reset('A')
    scene.wait_for('top/image_raw', 3)
    message = scene.heard['top/image_raw'][-1]
    sim = TabletopSim()
    sim.reset('A')
    expected = sim.render('top', 128, 128)
    sim.close()
    assert (message.encoding, message.height, message.width, message.step) == (
        'rgb8', 128, 128, 384
    )  # fmt: skip
    difference = np.abs(image_to_rgb(message).astype(int) - expected.astype(int))
    assert difference.mean() < 3.0


def test_it_obeys_the_latest_command(scene: Scene) -> None:
    """The joints go to the commanded place, and a reset takes them home again."""
    scene.reset()
    home = scene.qpos()
    target = home + np.array([0.3, 0.2, -0.2, 0.1, -0.005])
    scene.send(target.tolist())
    scene.bench.spin_until(
        lambda: np.allclose(scene.qpos()[:4], target[:4], atol=0.01), 'the arm to arrive'
    )
    assert scene.reset().success
    scene.wait_for('joint_states', 30)
    assert np.abs(scene.qpos()[:4] - home[:4]).max() < 0.06


@pytest.mark.parametrize('bad', [[0.0, 0.0], [0.0, 0.0, 0.0, 0.0, float('nan')]])
def test_a_bad_command_is_refused_by_name(scene: Scene, bad: list[float]) -> None:
    """A command of another width or with a NaN moves nothing, and the log names the topic."""
    scene.reset()
    before = scene.qpos()
    scene.send(bad)
    scene.wait_for('joint_states', 30)
    assert np.abs(scene.qpos() - before).max() < 0.01
    lines = [line.msg for line in scene.heard['/rosout']]
    assert any('/forward_position_controller/commands refused' in line for line in lines)


def test_reset_puts_the_cube_where_the_parameter_says(scene: Scene) -> None:
    """A name, a number and 'random' are places; anything else is refused with the choices."""
    for cube, y in (('A', 0.08), ('D', -0.04), (0.03, 0.03), ('-0.07', -0.07)):
        response = scene.reset(cube)
        assert response.success and str(cube) in response.message
        assert scene.wait_for('cube_pose', 2)[1].pose.position.y == pytest.approx(y, abs=0.009)
    assert scene.reset('random').success
    refused = scene.reset('Z')
    assert not refused.success
    assert "parameter 'cube'" in refused.message and 'A, B, C, D, E' in refused.message


def test_the_teacher_lifts_the_cube_and_the_leader_does_not_jump(scene: Scene) -> None:
    """A demonstration ends in success; the leader's path is smooth from before to after."""
    scene.reset('B')
    node = scene.bench.add(
        DemonstratorNode(
            context=scene.bench.context,
            parameter_overrides=[Parameter('use_sim_time', value=True)],
        )
    )
    scene.wait_for('leader/joint_states', 5)
    scene.heard['leader/joint_states'].clear()
    response = scene.bench.call(Trigger, 'demonstrator_node/start')
    assert response.success, response.message
    again = scene.bench.call(Trigger, 'demonstrator_node/start')
    assert not again.success and 'being played' in again.message
    done = scene.heard['demonstrator_node/done']
    scene.bench.spin_until(lambda: done and done[-1].data, 'the demonstration to end')
    scene.bench.spin_until(lambda: scene.heard['sim_node/success'][-1].data, 'success')
    leader = scene.heard['leader/joint_states'][:]
    stamps = np.array([stamp_ns(m) for m in leader])
    path = np.array([m.position for m in leader])
    speed = np.abs(np.diff(path, axis=0)) / (np.diff(stamps)[:, None] * 1e-9)
    assert speed[:, :4].max() < 3.0
    assert leader[0].name == ['joint1', 'joint2', 'joint3', 'joint4', 'gripper']

    scene.reset('C')
    scene.wait_for('leader/joint_states', 20)
    at_home = np.array(scene.heard['leader/joint_states'][-1].position)
    assert np.abs(at_home - scene.qpos())[:4].max() < 0.05
    assert not scene.heard['sim_node/success'][-1].data
    scene.bench.executor.remove_node(node)
    node.destroy_node()


def test_the_speed_may_change_while_it_runs(scene: Scene) -> None:
    """Stamps go on evenly at another speed; without /clock only real time is taken."""
    [changed] = scene.node.set_parameters([Parameter('real_time_factor', value=2.0)])
    assert changed.successful
    stamps = [stamp_ns(message) for message in scene.wait_for('joint_states', 10)]
    assert set(np.diff(stamps)) == {10_000_000}
    scene.node.set_parameters([Parameter('real_time_factor', value=SPEED)])
    real = SimNode(context=scene.bench.context, namespace='real')
    [refused] = real.set_parameters([Parameter('real_time_factor', value=2.0)])
    assert not refused.successful and "'publish_clock'" in refused.reason
    real.close()
    real.destroy_node()


def test_a_camera_is_rendered_while_somebody_listens(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = SimNode(context=scene.bench.context, namespace='apart')
    render, rendered = node._sim.render, []

    def noting(camera: str, height: int, width: int) -> np.ndarray:
        rendered.append(camera)
        return render(camera, height, width)

    monkeypatch.setattr(node._sim, 'render', noting)
    for _ in range(8):
        node.step()
    assert rendered == []
    heard: list[Image] = []
    subscription = scene.bench.client.create_subscription(
        Image, 'apart/top/image_raw', heard.append, 10
    )
    scene.bench.spin_until(lambda: node.step() or heard, 'an image')
    assert set(rendered) == {'top'}
    scene.bench.client.destroy_subscription(subscription)
    node.close()
    node.destroy_node()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_cleanly(ros_domain: int, number: signal.Signals) -> None:
    """SIGINT and SIGTERM end the node with exit code 0 and no traceback."""
    with subprocess.Popen(
        [sys.executable, '-m', 'motion_policy.nodes.sim_node'],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            process.send_signal(number)
            rest = process.communicate(timeout=60)[0]
        finally:
            process.kill()
    assert process.returncode == 0, first + rest
    assert 'Traceback' not in rest


def test_a_wrong_parameter_is_one_line_and_exit_code_2(ros_domain: int) -> None:
    """A user's mistake names the parameter; there is no traceback."""
    result = subprocess.run(
        [sys.executable, '-m', 'motion_policy.nodes.sim_node', '--ros-args', '-p', 'cube:=Z'],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 2
    assert "parameter 'cube'" in result.stderr and 'Traceback' not in result.stderr


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('real_time_factor', 2.0, "'publish_clock'"),
        ('robot', 'nowhere', 'nowhere'),
        ('joint_state_rate', 'fast', "'joint_state_rate'"),
        ('joint_state_rate', 0.1, "'joint_state_rate'"),
    ],
)
def test_a_wrong_parameter_is_named(
    scene: Scene, name: str, value: float | str, words: str
) -> None:
    """Every parameter is checked before anything is published."""
    with pytest.raises(UserError, match=words):
        SimNode(context=scene.bench.context, parameter_overrides=[Parameter(name, value=value)])


def test_images_of_both_cameras_reach_two_subscribers(scene: Scene) -> None:
    heard: dict[tuple[int, str], set[int]] = {}
    for viewer in range(2):
        for topic in ('top/image_raw', 'side/image_raw'):
            times = heard[viewer, topic] = set()
            scene.bench.client.create_subscription(
                Image, topic, lambda message, times=times: times.add(stamp_ns(message)), 10
            )
    scene.bench.spin_until(lambda: min(map(len, heard.values())) >= 10, 'images for both')
