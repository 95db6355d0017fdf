# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An episode as mcap for Foxglove, read back by the readers of mcap and protobuf."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import viewed_episodes
from full_disks import largest_file
from google.protobuf.json_format import MessageToDict
from mobile_robots import mobile_robot
from recordings import START_NS, joint_values, numbers, scene, write_episode
from viewed_episodes import HEIGHT, JOINTS, ROWS, WIDTH, true_colours

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeReader

pytest.importorskip('foxglove')
pytest.importorskip('mcap_protobuf')

from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

PERIOD_NS = 50_000_000
Capture = pytest.CaptureFixture[str]


def messages_in(path: Path) -> dict[str, list[tuple[str, int, Any]]]:
    """Return (schema, log time, message) by topic."""
    found: dict[str, list[tuple[str, int, Any]]] = defaultdict(list)
    factory = DecoderFactory()
    with path.open('rb') as file:
        for schema, channel, message in make_reader(file).iter_messages():
            assert schema is not None and message.publish_time == message.log_time
            if channel.message_encoding == 'protobuf':
                decode = factory.decoder_for('protobuf', schema)
                assert decode is not None
                content: Any = decode(message.data)
            else:
                assert schema.encoding == 'jsonschema'
                content = json.loads(message.data)
            found[channel.topic].append((schema.name, message.log_time, content))
    return found


def stamp_ns(message: Any) -> int:
    return int(message.timestamp.ToNanoseconds())


@pytest.fixture(scope='module')
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('viewed')
    return viewed_episodes.write_viewed(folder / 'episode_000000.hdf5')


@pytest.fixture(scope='module')
def found(episode: Path) -> dict[str, list[tuple[str, int, Any]]]:
    out = episode.parent / 'out.mcap'
    assert main(['inspect', str(episode), '--foxglove', str(out)]) == 0
    return messages_in(out)


Found = dict[str, list[tuple[str, int, Any]]]


def test_all_is_there_under_foxgloves_types(found: Found) -> None:
    kinds = {topic: messages[0][0] for topic, messages in found.items()}
    assert kinds == {
        '/cameras/top': 'foxglove.CompressedImage',
        '/cameras/side': 'foxglove.CompressedImage',
        '/depth/top': 'foxglove.RawImage',
        '/joints/measured': 'foxglove.JointStates',
        '/joints/action': 'foxglove.JointStates',
        '/vectors/wrench': 'wrench of geometry_msgs/msg/WrenchStamped',
        '/vectors/skin': 'skin of std_msgs/msg/Float32MultiArray',
        '/vectors/tcp': 'tcp of tf2_msgs/msg/TFMessage',
        '/transforms/tcp': 'foxglove.FrameTransform',
        '/tool/measured': 'foxglove.PoseInFrame',
        '/tool/action': 'foxglove.PoseInFrame',
        '/remarks': 'foxglove.Log',
    }


def test_an_image_stands_once_in_its_own_colours_with_its_stamp(found: Found) -> None:
    for camera, rows, shift in (
        ('top', range(0, ROWS, 2), 0), ('side', range(ROWS), 1),
    ):  # fmt: skip
        messages = found[f'/cameras/{camera}']
        assert [time for _, time, _ in messages] == [START_NS + row * PERIOD_NS for row in rows]
        for row, (_, time_ns, message) in zip(rows, messages, strict=True):
            assert stamp_ns(message) == time_ns - 5_000_000
            assert (message.format, message.frame_id) == ('jpeg', camera)
            assert camera == 'side' or message.data == viewed_episodes.sent_jpeg(row)
            image = true_colours(message.data).astype(int)
            assert np.abs(image - scene(row + shift, HEIGHT, WIDTH)).mean() < 4


def test_numbers_are_those_of_the_file(found: Found, episode: Path) -> None:
    with EpisodeReader(episode) as reader:
        assert reader.effort is not None
        for row in range(ROWS):
            time_ns = int(reader.time_ns[row])
            _, log_time, measured = found['/joints/measured'][row]
            assert log_time == time_ns == stamp_ns(measured)
            assert [joint.name for joint in measured.joints] == list(JOINTS)
            for field, values in (
                ('position', reader.qpos), ('velocity', reader.qvel), ('effort', reader.effort),
            ):  # fmt: skip
                assert [getattr(each, field) for each in measured.joints] == values[row].tolist()
            action = found['/joints/action'][row][2]
            assert [each.position for each in action.joints] == reader.action[row].tolist()
            assert not action.joints[0].HasField('velocity')
            depth = found['/depth/top'][row][2]
            assert (depth.encoding, depth.width, depth.height, depth.step) == ('16UC1', 40, 30, 80)
            pixels = np.frombuffer(depth.data, '<u2').reshape(30, 40)
            np.testing.assert_array_equal(pixels, reader.depth('top', row))
            wrench = found['/vectors/wrench'][row][2]
            force, torque = reader.vector('wrench')[row].tolist()
            assert wrench == {'wrench': {'force': {'x': force}, 'torque': {'z': torque}}}
            # Of the last three messages the newest.
            newest = reader.vector('skin')[row, -1].tolist()
            assert found['/vectors/skin'][row][2] == {'data': newest}
            assert newest == numbers(row, 12)[8:].tolist()
            moved = MessageToDict(found['/transforms/tcp'][row][2])
            x, y, z, *rotation = reader.vector('tcp')[row].tolist()
            assert (moved['parentFrameId'], moved['childFrameId']) == ('base', 'tool')
            translation = [moved['translation'].get(axis, 0.0) for axis in 'xyz']
            assert translation == [x, y, z]
            assert [moved['rotation'].get(axis, 0.0) for axis in 'xyzw'] == rotation


def test_the_pose_of_the_tool_is_that_of_its_kinematics(found: Found, episode: Path) -> None:
    with EpisodeReader(episode) as reader:
        for topic, joints in (('measured', reader.qpos), ('action', reader.action)):
            for (_, _, message), (a, b, c) in zip(
                found[f'/tool/{topic}'], joints.astype(float), strict=True
            ):
                place = message.pose.position
                x = 0.4 * np.cos(a) + 0.3 * np.cos(a + b)
                y = 0.4 * np.sin(a) + 0.3 * np.sin(a + b)
                # The lift is along the axis of the link before.
                assert (place.x, place.y, place.z) == pytest.approx((x, y, c), abs=1e-9)
                assert message.frame_id == 'base'
                assert message.pose.orientation.z == pytest.approx(np.sin((a + b) / 2), abs=1e-9)


def test_verdicts_edits_and_success_are_remarks(found: Found, episode: Path) -> None:
    remarks = [(each.name, each.level, each.message) for _, _, each in found['/remarks']]
    assert remarks == [
        ('task', 2, 'stack: failure'),
        ('jerk', 4, 'joint1 trembles (jerk: expected at most 2)'),
        ('edits', 2, viewed_episodes.EDIT),
    ]
    with (episode.parent / 'out.mcap').open('rb') as file:
        reader = make_reader(file)
        (metadata,) = reader.iter_metadata()
        (attachment,) = reader.iter_attachments()
    assert metadata.metadata['task'] == 'stack' and metadata.metadata['quality'] == 'fail'
    assert b'name: planar' in attachment.data


def test_pixels_stay_pixels_and_several_episodes_are_told_apart(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        viewed_episodes.write_viewed(tmp_path / f'{name}.hdf5', compress=False)
    out = tmp_path / 'out.mcap'
    assert main(['inspect', str(tmp_path), '--foxglove', str(out)]) == 0
    found = messages_in(out)
    assert {topic.split('/')[1] for topic in found} == {'a', 'b'}
    for name in ('a', 'b'):
        _, _, message = found[f'/{name}/cameras/side'][3]
        assert (message.encoding, message.step) == ('rgb8', 3 * WIDTH)
        pixels = np.frombuffer(message.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
        np.testing.assert_array_equal(pixels, scene(4, HEIGHT, WIDTH))


def test_what_cannot_be_written_is_one_line(
    tmp_path: Path, episode: Path, capsys: Capture
) -> None:
    out = tmp_path / 'out.mcap'
    viewed_episodes.write_viewed(tmp_path / 'raw.hdf5', compress=False)
    with largest_file(10_000):
        assert main(['inspect', str(tmp_path / 'raw.hdf5'), '--foxglove', str(out)]) == 2
    assert capsys.readouterr().err == f'error: {out}: cannot be written: File too large\n'
    assert not out.exists()
    for options, words in (
        (['--foxglove', str(tmp_path / 'out.bag')], 'must end in .mcap'),
        (['--rerun', str(tmp_path / 'out.mcap')], 'must end in .rrd (or `viewer`)'),
        (['--foxglove', str(out), '--robot', 'tabletop_sim'], 'for --plot and --video'),
        (['--foxglove', str(tmp_path / 'none' / 'out.mcap')], 'no such folder'),
    ):
        assert main(['inspect', str(episode), *options]) == 2
        assert words in capsys.readouterr().err


def test_two_episodes_of_one_name_are_refused(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / 'a' / 'x').mkdir(parents=True)
    (tmp_path / 'b' / 'x').mkdir(parents=True)
    paths = [
        str(viewed_episodes.write_viewed(tmp_path / folder / 'x' / 'e.hdf5')) for folder in 'ab'
    ]
    out = str(tmp_path / 'out.mcap')
    assert main(['inspect', *paths, '--foxglove', out]) == 2
    assert "two episodes are called 'x/e'" in capsys.readouterr().err


def test_the_number_of_a_base_is_a_velocity(tmp_path: Path) -> None:
    robot = mobile_robot()
    path = write_episode(tmp_path / 'e.hdf5', 3, robot=robot)
    assert main(['inspect', str(path), '--foxglove', str(tmp_path / 'out.mcap')]) == 0
    _, _, message = messages_in(tmp_path / 'out.mcap')['/joints/action'][2]
    assert {each.name for each in message.joints} == set(robot.joints.names)
    for place, joint in enumerate(message.joints):
        of_base = joint.name in robot.joints.velocities
        assert (joint.HasField('velocity'), joint.HasField('position')) == (of_base, not of_base)
        value = joint.velocity if of_base else joint.position
        assert value == float(joint_values(2, len(message.joints))[place] + np.float32(0.01))


@pytest.mark.parametrize('option', ['--foxglove', '--rerun'])
def test_a_damaged_image_is_one_line_and_leaves_no_file(
    option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if option == '--rerun':
        pytest.importorskip('rerun')
    path = viewed_episodes.write_viewed(tmp_path / 'e.hdf5')
    with h5py.File(path, 'r+') as file:
        file['observations/images/side'][6] = 0
    out = tmp_path / ('out.mcap' if option == '--foxglove' else 'out.rrd')
    assert main(['inspect', str(path), option, str(out)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: camera 'side', row 6: ")
    assert {each.name for each in tmp_path.iterdir()} == {'e.hdf5', 'planar.urdf'}


@pytest.mark.parametrize(('extra', 'name'), [('foxglove', 'out.mcap'), ('rerun', 'out.rrd')])
def test_a_missing_library_is_named_with_its_extra(
    extra: str, name: str, episode: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delitem(sys.modules, f'motion_policy.episodes.viewers.{extra}', raising=False)
    monkeypatch.setitem(sys.modules, extra, None)
    assert main(['inspect', str(episode), f'--{extra}', str(episode.with_name(name))]) == 2
    assert f"expected: pip install 'motion_policy[{extra}]'" in capsys.readouterr().err
