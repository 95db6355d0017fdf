# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The recorder node over real DDS: what it writes, what it refuses, and what it says meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import recordings
import yaml

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from heard_messages import keep_heard
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from ros_testing import Bench, ros_bench
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from motion_policy.episodes import EpisodeReader, check_episode, import_bag
from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.streams import Sample

TICK_S = 0.01
# More patient than the shipped robot, so that a busy machine is not taken for a dead stream.
MAX_AGE_S = 2.0


def patient_robot() -> RobotSpec:
    """The tabletop robot, whose samples count for MAX_AGE_S."""
    fields = yaml.safe_load(recordings.tabletop().to_yaml())
    for topic in (
        *fields['cameras'].values(), *fields['joints']['state'], *fields['joints']['leader'],
    ):  # fmt: skip
        topic['max_age'] = MAX_AGE_S
    return robot_spec_from_yaml(yaml.safe_dump(fields), 'patient.yaml')


ROBOT = patient_robot()


class Arm:
    """Publishes the tabletop robot's streams by formula; any of them can be silenced."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        self.silent: set[str] = set()
        self.tick = 0
        self.size = (128, 128)
        self.drivers = 1  # that publish the state; the second has the gripper, at 12.5 Hz
        make = bench.client.create_publisher
        self.publishers = {
            stream.name: make(Image if stream.role == 'camera' else JointState, stream.topic, 10)
            for stream in ROBOT.streams()
        }
        self.status: list[DiagnosticArray] = []
        bench.client.create_subscription(
            DiagnosticArray, 'recorder_node/status', self.status.append, 10
        )
        bench.client.create_timer(TICK_S, self.speak)

    def speak(self) -> None:
        """Publish what is due: joints at 100 Hz, the leader at 50, cameras at 25."""
        stamp = self.bench.client.get_clock().now().to_msg()
        for name, publisher in self.publishers.items():
            period = {'state': 1, 'leader': 2}.get(name, 4)
            if name not in self.silent and self.tick % period == 0:
                message = self.image() if name in ROBOT.cameras else self.joints(name)
                message.header.stamp = stamp
                for part in self.by_driver(message) if name == 'state' else [message]:
                    publisher.publish(part)
        self.tick += 1

    def by_driver(self, whole: JointState) -> list[JointState]:
        """What each driver publishes of the state in this tick."""
        if self.drivers == 1:
            return [whole]
        parts = []
        for places in [slice(1, None)] + [slice(1)] * (self.tick % 8 == 0):
            part = JointState(header=whole.header, name=whole.name[places])
            part.position = whole.position[places]
            part.velocity = whole.velocity[places]
            part.effort = whole.effort[places]
            parts.append(part)
        return parts

    def image(self) -> Image:
        pixels = recordings.scene(self.tick, *self.size)
        message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding='rgb8')
        message.step = 3 * message.width
        message.data.frombytes(pixels)
        return message

    def joints(self, name: str) -> JointState:
        values = recordings.joint_values(self.tick).astype(float)
        message = JointState(name=list(ROBOT.joints.names)[::-1])
        message.position = (values + (name == 'leader'))[::-1].tolist()
        if name == 'state':
            message.velocity = (0.1 * values)[::-1].tolist()
            message.effort = (2 * values)[::-1].tolist()
        return message

    def call(self, service: str) -> Any:
        """Call a service of the recorder."""
        return self.bench.call(Trigger, f'recorder_node/{service}')

    def recording_status(self) -> DiagnosticStatus:
        """The newest status of the recording itself."""
        return self.status[-1].status[0]

    def now_ns(self) -> int:
        """The time by the clock of messages."""
        return int(self.bench.client.get_clock().now().nanoseconds)

    def all_well(self) -> bool:
        """Whether the newest status holds no error."""
        levels = [entry.level for status in self.status[-1:] for entry in status.status]
        return bool(levels) and DiagnosticStatus.ERROR not in levels

    def rows(self) -> int:
        """Rows written so far, as the newest status has it."""
        if not self.status:
            return 0
        return int({v.key: v.value for v in self.recording_status().values}['rows'])

    def run(self, ticks: int) -> None:
        """Speak so many times more."""
        end = self.tick + ticks
        self.bench.spin_until(lambda: self.tick >= end, 'the arm to speak')


@pytest.fixture
def arm(ros_domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arm]:
    """An arm that speaks."""
    with ros_bench() as bench:
        yield Arm(bench, tmp_path_factory.mktemp('robot'))


def write_robot(arm: Arm) -> Path:
    """Write the robot spec to a file."""
    path = arm.folder / 'patient.yaml'
    path.write_text(ROBOT.to_yaml())
    return path


def add_recorder(arm: Arm, directory: Path, **parameters: Any) -> RecorderNode:
    """Let a recorder join, and wait until it has heard every stream."""
    settings = {'robot': str(write_robot(arm)), 'directory': str(directory), **parameters}
    overrides = [Parameter(name, value=value) for name, value in settings.items()]
    node = RecorderNode(context=arm.bench.context, parameter_overrides=overrides)
    arm.bench.add(node)
    wanted = set(ROBOT.stream_names) - arm.silent
    heard = node.streams.received
    arm.bench.spin_until(lambda: all(heard[name] > 2 for name in wanted), 'all streams')
    arm.run(10)
    return node


def write_bag(path: Path, samples: list[tuple[str, Sample]]) -> None:
    """Write messages to a rosbag2 folder with the times at which they were received."""
    store = get_typestore(Stores.LATEST)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            stream.name: writer.add_connection('/' + stream.topic, stream.type, typestore=store)
            for stream in ROBOT.streams()
        }
        for name, sample in samples:
            writer.write(connections[name], sample.receive_ns, serialize_message(sample.value))


def datasets(path: Path) -> dict[str, np.ndarray]:
    """Every dataset of an episode."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if hasattr(item, 'shape') else None
        )
    return found


def test_what_is_odd_costs_no_row_and_is_told_at_the_stop(arm: Arm, tmp_path: Path) -> None:
    """A grey camera, efforts that come late, and a leader that jumps out of nowhere and back."""
    in_colour, told_joints = arm.image, arm.joints

    def grey() -> Image:
        message = in_colour()
        green = np.frombuffer(message.data, np.uint8).reshape(-1, 3)[:, 1].tobytes()
        message.encoding, message.step, message.data = 'mono8', message.width, array('B', green)
        return message

    since = [10**9]

    def late(name: str) -> JointState:
        message = told_joints(name)
        spoken = arm.tick - since[0]
        if name == 'state' and spoken < 40:
            message.effort = array('d')
        if name == 'leader' and 180 <= spoken < 182:
            message.position = array('d', [value + 2.0 for value in message.position])
        return message

    arm.image, arm.joints = grey, late
    since[0] = arm.tick + 40  # no effort before
    add_recorder(arm, tmp_path)
    assert arm.call('start').success
    since[0] = arm.tick
    arm.run(250)
    response = arm.call('stop')
    assert response.success, response.message
    (path,) = tmp_path.glob('*.hdf5')
    with EpisodeReader(path) as episode:
        rows = episode.length
        assert episode.effort is None and rows > 100
    assert f"camera 'top': images have no colours in {rows} of {rows} rows" in response.message
    assert "'/observations/effort' is left out: not reported in" in response.message
    assert 'the first is row 0' in response.message
    problems = check_episode(path)
    # The jump may fall between two rows of a busy machine.
    assert all("'/action' row" in problem and 'and back within' in problem for problem in problems)
    assert all(problem.partition(': ')[2] in response.message for problem in problems)


@pytest.mark.parametrize('drivers', [1, 2])
def test_rows_are_those_that_a_bag_of_the_same_messages_gives(
    arm: Arm, tmp_path: Path, drivers: int
) -> None:
    """Recorded over DDS or imported from a bag: every dataset is the same, bit for bit.

    Also of the time in which the recorder is held up, and messages wait.
    """
    arm.drivers = drivers
    node = add_recorder(arm, tmp_path, compress=False)
    heard = keep_heard(node)
    arm.run(20)
    assert arm.call('start').success
    arm.run(50)
    held_up_ns = arm.now_ns()
    arm.bench.executor.remove_node(node)
    arm.run(60)
    resumed_ns = arm.now_ns()
    arm.bench.executor.add_node(node)
    arm.run(40)
    response = arm.call('stop')
    assert response.success, response.message
    arm.run(10)

    recorded = datasets(tmp_path / 'episode_000000.hdf5')
    write_bag(tmp_path / 'bag', heard)
    [imported_path] = import_bag(tmp_path / 'bag', ROBOT, tmp_path / 'imported', compress=False)
    imported = datasets(imported_path)

    rows = np.isin(imported['time_ns'], recorded['time_ns'])
    assert len(recorded['time_ns']) == rows.sum() >= 50
    assert recorded.keys() == imported.keys()
    assert len(recorded) == 4 + 1 + 2 + 4 * 3
    for name, values in recorded.items():
        np.testing.assert_array_equal(values, imported[name][rows], err_msg=name)
    assert recorded['action'].max() > 1.05
    held_up = (recorded['time_ns'] > held_up_ns) & (recorded['time_ns'] < resumed_ns)
    # No more than half of its rows, if the machine is that busy, lack a newer message.
    assert held_up.sum() >= 25
    assert len(np.unique(recorded['stamps/leader/receive_ns'][held_up])) > held_up.sum() / 2
    # The gripper's positions are older than the arm's, and so is the row.
    gripper, joint1 = (len(np.unique(recorded['observations/qpos'][:, j])) for j in (4, 0))
    assert gripper < 0.5 * joint1 if drivers == 2 else gripper == joint1


def test_the_episode_says_who_recorded_what(arm: Arm, tmp_path: Path) -> None:
    """Parameters stand in the file, and may change between episodes; judgement by service."""
    node = add_recorder(arm, tmp_path, task='grasp', operator='Ada', sim=True)
    arm.call('start')
    arm.run(20)
    assert not arm.call('start').success
    assert arm.call('mark_success').success
    first = arm.call('stop')
    assert first.success and 'rows in' in first.message
    node.set_parameters([Parameter('task', value='lift'), Parameter('storage', value='h264')])
    arm.call('start')
    arm.run(20)
    arm.call('stop')
    assert arm.call('mark_failure').success
    arm.call('start')
    arm.run(20)
    discarded = arm.call('discard')
    assert discarded.success
    kept = tmp_path / 'discarded' / 'episode_000002.hdf5'
    assert discarded.message == f'discarded: it is {kept} now' and check_episode(kept) == []
    assert not arm.call('stop').success
    names = ('episode_000000.hdf5', 'episode_000001.hdf5')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['discarded', *names]
    told = zip(names, ('grasp', 'lift'), (True, False), ('jpeg', 'h264'), strict=True)
    for name, task, success, storage in told:
        assert check_episode(tmp_path / name) == []
        with EpisodeReader(tmp_path / name) as episode:
            assert (episode.task, episode.success, episode.sim) == (task, success, True)
            assert episode.compress and episode.length >= 5
            assert episode.storage('top') == storage


def test_start_is_refused_while_a_stream_is_silent(arm: Arm, tmp_path: Path) -> None:
    """The answer names the stream, its topic and type, and whether anyone publishes there."""
    arm.silent = {'side'}
    add_recorder(arm, tmp_path)
    response = arm.call('start')
    assert not response.success
    assert "'side'" in response.message and '/side/image_raw' in response.message
    arm.silent = set()
    arm.run(30)
    arm.silent = {'leader'}
    arm.run(round(1.5 * MAX_AGE_S / TICK_S))
    response = arm.call('start')
    assert not response.success
    assert "stream 'leader' (leader/joint_states): stale" in response.message
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_dies_is_told_at_once_and_the_rows_are_kept(
    arm: Arm, tmp_path: Path
) -> None:
    """Status ERROR names the stream while others speak; the file is finished and sound."""
    add_recorder(arm, tmp_path)
    assert arm.call('start').success
    arm.run(60)
    arm.silent = {'top'}
    arm.bench.spin_until(
        lambda: arm.recording_status().level == DiagnosticStatus.ERROR, 'status ERROR'
    )
    assert "stream 'top' (top/image_raw): stale" in arm.recording_status().message
    response = arm.call('stop')
    assert not response.success and 'episode_000000.hdf5' in response.message
    path = tmp_path / 'episode_000000.hdf5'
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        assert episode.length >= 25 and episode.success is None


def test_foreign_messages_on_its_topics_cost_no_row(arm: Arm, tmp_path: Path) -> None:
    """Joints of another arm, images of another size: rows are of ours, and one line tells."""
    add_recorder(arm, tmp_path)
    assert arm.call('start').success
    make = arm.bench.client.create_publisher
    joints, images = (
        make(JointState, ROBOT.joints.state[0].topic, 10),
        make(Image, ROBOT.cameras['side'].topic, 10),
    )
    small = Image(height=2, width=2, encoding='rgb8', step=6, data=array('B', bytes(12)))
    for _ in range(15):
        joints.publish(JointState(name=['panda_joint1', 'panda_joint2'], position=[9.0, 9.0]))
        images.publish(small)
        arm.run(4)
    answer = arm.call('stop')
    assert answer.success and '\n' not in answer.message
    assert "stream 'side' (side/image_raw): 15 of " in answer.message
    path = tmp_path / 'episode_000000.hdf5'
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        assert episode.ended == '' and episode.length >= 25 and np.abs(episode.qpos).max() < 1.0
        assert {episode.image('side', row).shape for row in (0, 25)} == {(128, 128, 3)}
        assert episode.stamps('side').counters.unusable == 15


def test_status_names_every_stream_with_its_rate(arm: Arm, tmp_path: Path) -> None:
    """Status tells rate, age and drops per stream, and which topic is silent."""
    arm.silent = {'side'}
    add_recorder(arm, tmp_path)
    count = len(arm.status)
    arm.bench.spin_until(lambda: len(arm.status) >= count + 3, 'status')
    by_name = {entry.name: entry for entry in arm.status[-1].status}
    assert by_name['recorder_node: stream side'].level == DiagnosticStatus.ERROR
    assert 'side/image_raw' in by_name['recorder_node: stream side'].message
    values = {v.key: v.value for v in by_name['recorder_node: stream state'].values}
    assert float(values['rate_hz']) > 20 and values['topic'] == 'joint_states'
    assert {'age_ms', 'received', 'dropped', 'max_gap_ms'} <= values.keys()


def test_velocities_of_another_length_are_left_out_and_told_once(
    arm: Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A driver that reports a velocity less than it has joints is recorded, positions and all."""
    speak = arm.joints

    def short(name: str) -> JointState:
        message = speak(name)
        message.velocity = message.velocity[1:]
        return message

    monkeypatch.setattr(arm, 'joints', short)
    node = add_recorder(arm, tmp_path)
    assert arm.call('start').success
    arm.bench.spin_until(lambda: arm.rows() >= 25 and len(arm.status) >= 4, 'rows')
    assert arm.call('stop').success
    (path,) = tmp_path.glob('*.hdf5')
    with EpisodeReader(path) as episode:
        assert np.unique(episode.qpos, axis=0).shape[0] > 5
        np.testing.assert_array_equal(episode.effort, np.float32(2) * episode.qpos)
        assert not episode.qvel.any()
    told = "stream 'state' on topic joint_states: velocity left out: 4 values for 5 names"
    assert capfd.readouterr().err.count(told) == 1
    values = {v.key: v.value for entry in arm.status[-1].status for v in entry.values}
    assert values['left_out'] == 'velocity left out: 4 values for 5 names'
    assert node.streams.bad_messages.count('state') == 0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_file(arm: Arm, tmp_path: Path, number: signal.Signals) -> None:
    """What is being recorded when the process must end is finished under its name."""
    command = [sys.executable, '-m', 'motion_policy.nodes.recorder_node', '--ros-args']
    process = subprocess.Popen(
        [*command, '-p', f'directory:={tmp_path}', '-p', f'robot:={write_robot(arm)}'],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        arm.bench.spin_until(arm.all_well, 'all streams')
        assert arm.call('start').success
        arm.bench.spin_until(lambda: arm.rows() >= 20, 'rows')
        process.send_signal(number)
        arm.bench.spin_until(lambda: process.poll() is not None, 'the recorder to end')
    finally:
        process.kill()
        errors = process.communicate()[1]
    assert process.returncode == 0 and 'Traceback' not in errors, errors
    path = tmp_path / 'episode_000000.hdf5'
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert check_episode(path) == []
    with EpisodeReader(path) as episode, h5py.File(path) as file:
        assert episode.length >= 20
        assert 'shut down' in file.attrs['ended']
