# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings by formula: messages, rows and episodes whose every number can be recomputed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from motion_policy.episodes import EpisodeReader, EpisodeWriter
from motion_policy.episodes.recorder import EpisodeRecorder
from motion_policy.episodes.rollouts import RolloutRow
from motion_policy.robot import RobotSpec, load_robot_spec, robot_spec_from_yaml
from motion_policy.streams import Observation, Row, Sample, StreamCounters

START_NS = 1_700_000_000_000_000_000


def tabletop() -> RobotSpec:
    """Return the robot of the simulation."""
    return load_robot_spec('tabletop_sim')


def robot_with_leader(
    name: str, joints: Sequence[str], cameras: Sequence[str], width: int, height: int, rate: float
) -> RobotSpec:
    """Return a robot with small cameras and a leader, whose limits hold every joint value."""
    seen = '\n'.join(
        f'  {camera}: {{topic: {camera}/image_raw, width: {width}, height: {height}}}'
        for camera in cameras
    )
    return robot_spec_from_yaml(
        f"""
name: {name}
rate: {rate}
joints:
  names: [{', '.join(joints)}]
  state: {{topic: joint_states, type: sensor_msgs/msg/JointState}}
  leader: {{topic: leader, type: sensor_msgs/msg/JointState}}
  command: {{topic: command, type: std_msgs/msg/Float64MultiArray}}
  limits:
    position: {[[-2, 2]] * len(joints)}
    velocity: {[1.0] * len(joints)}
    acceleration: {[1.0] * len(joints)}
cameras:
{seen}
""",
        f'{name}.yaml',
    )


def with_vectors(robot: RobotSpec) -> RobotSpec:
    """Return the robot with a wrench and a tactile array."""
    vectors = """
vectors:
  wrench: {topic: wrench, type: geometry_msgs/msg/WrenchStamped,
    fields: [wrench.force.x, wrench.force.y, wrench.force.z]}
  skin: {topic: skin, type: std_msgs/msg/Float32MultiArray, fields: ['data[4]']}
"""
    return robot_spec_from_yaml(robot.to_yaml() + vectors, robot.name)


def with_depth(robot: RobotSpec, width: int = 40, height: int = 30) -> RobotSpec:
    """Return the robot with a depth camera that has the name of a colour camera."""
    size = f'width: {width}, height: {height}'
    depth = f'\ndepth:\n  top: {{topic: top/depth/image_raw, {size}}}\n'
    return robot_spec_from_yaml(robot.to_yaml() + depth, robot.name)


def depth_image(row: int, height: int = 30, width: int = 40) -> np.ndarray:
    """Return the depth of a row [mm]: a slope, a thing on it that moves, and a hole."""
    image = (900 + 3 * np.arange(height)[:, None] + np.arange(width) % 2).astype(np.uint16)
    left = row % (width - 10)
    image[5:15, left : left + 10] = 620 + row
    image[-4:, -6:] = 0
    return image


def numbers(row: int, count: int) -> np.ndarray:
    """Return the numbers of a vector in a row: each rises, 0.25 apart."""
    return (row + 0.25 * np.arange(count)).astype(np.float32)


def swing(count: int = 5) -> np.ndarray:
    """Return how far each joint swings; the fifth is the gripper of the simulation."""
    return np.where(np.arange(count) < 4, 0.1, 0.01)


def joint_values(row: int, count: int = 5) -> np.ndarray:
    """Return joint positions of a row: joint j swings with a frequency of its own."""
    return (swing(count) * np.sin(0.05 * row * (1 + np.arange(count)))).astype(np.float32)


def scene(row: int, height: int = 128, width: int = 128) -> np.ndarray:
    """Return an RGB image of a row: a red to green ramp with a blue square that moves."""
    image = _ramp(height, width).copy()
    left = (3 * row) % (width - 20)
    image[40:60, left : left + 20] = (10, 20, 250)
    return image


@functools.cache
def _ramp(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0] = np.linspace(0, 255, width, dtype=np.uint8)
    image[:, :, 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    return image


def observation(
    row: int, robot: RobotSpec, *, effort: bool = True, leader: bool = True
) -> Observation:
    """Return the observation of a row."""
    qpos = joint_values(row, len(robot.joints.names))
    return Observation(
        qpos=qpos,
        qvel=(0.1 * qpos).astype(np.float32),
        effort=(2 * qpos).astype(np.float32) if effort else None,
        images={
            camera: scene(row + shift, spec.height, spec.width)
            for shift, (camera, spec) in enumerate(robot.cameras.items())
        },
        action=(qpos + 0.01).astype(np.float32) if leader else None,
        vectors={
            name: numbers(row, len(vector.numbers)).reshape(vector.shape)
            for name, vector in robot.vectors.items()
        },
        depth={
            name: depth_image(row, spec.height, spec.width) for name, spec in robot.depth.items()
        },
    )


def row_at(row: int, robot: RobotSpec, *, age_ns: int = 5_000_000) -> Row:
    """Return the row whose samples are `age_ns` old and were received 1 ms after their stamp."""
    time_ns = START_NS + row * robot.period_ns
    stamp_ns = time_ns - age_ns
    samples = {name: Sample(stamp_ns, stamp_ns + 1_000_000, row) for name in robot.stream_names}
    ages_ns = dict.fromkeys(robot.stream_names, age_ns)
    counters = dict.fromkeys(robot.stream_names, StreamCounters(row + 1, 2, 1, robot.period_ns))
    return Row(time_ns, samples, {}, ages_ns, counters)


def driven_row(row: int, robot: RobotSpec, driven: Sequence[tuple[int, int]]) -> RolloutRow:
    """Return who drove in a row of a rollout: a person in these rows, from and to.

    The policy had 0.5 more than the action in every joint, and nothing in the first row.
    """
    wanted = joint_values(row, len(robot.joints.names)) + np.float64(0.51)
    human = any(begin <= row < end for begin, end in driven)
    return RolloutRow(human, wanted if row else None)


def write_episode(path: Path, length: int = 30, **options: Any) -> Path:
    """Write a whole episode of the tabletop robot; a rollout with `driven`, see `driven_row`."""
    driven = options.pop('driven', None)
    robot = options.pop('robot', None) or tabletop()
    success = options.pop('success', None)
    kinds = {key: options.pop(key) for key in ('effort', 'leader') if key in options}
    with EpisodeWriter(path, robot, **options) as writer:
        for index in range(length):
            row = row_at(index, robot)
            who = None if driven is None else driven_row(index, robot, driven)
            writer.append(row.time_ns, observation(index, robot, **kinds), row, who)
        writer.success = success
    return path


def leave_as_a_crash(writer: EpisodeWriter, part: Path) -> None:
    """End a recording as a process does that is killed: its unfinished file `part` stays."""
    writer.wait()
    left = part.read_bytes()
    writer.discard()
    part.write_bytes(left)


def image_message(pixels: np.ndarray, encoding: str, *, stamp_ns: int = 0, **fields: Any) -> Any:
    """Return a raw image message whose rows are not padded, unless fields say so."""
    contiguous = np.ascontiguousarray(pixels)
    message = SimpleNamespace(
        header=header(stamp_ns),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=contiguous.nbytes // pixels.shape[0],
        data=contiguous.tobytes(),
    )
    vars(message).update(fields)
    return message


def compressed_message(
    pixels: np.ndarray, *options: int, kind: str = '.jpg', after: bytes = b''
) -> Any:
    """Return a camera's compressed image of RGB or grey pixels, as any decoder shows them."""
    stored = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    chosen = [cv2.IMWRITE_JPEG_QUALITY, 90, *options] if kind == '.jpg' else []
    data = cv2.imencode(kind, stored, chosen)[1].tobytes() + after
    return SimpleNamespace(format=kind[1:], data=data, header=header(0))


def joint_message(names: list[str], position: Any, **fields: Any) -> Any:
    """Return a JointState message without velocity and effort, unless fields say so."""
    stamp_ns = fields.pop('stamp_ns', 0)
    message = SimpleNamespace(
        header=header(stamp_ns), name=names, position=position, velocity=[], effort=[]
    )
    vars(message).update(fields)
    return message


def header(stamp_ns: int) -> Any:
    """Return a header with this stamp."""
    stamp = SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return SimpleNamespace(stamp=stamp, frame_id='')


def hear(recorder: EpisodeRecorder, name: str, sample: Sample) -> None:
    """Let a recorder make all rows before a sample is received, and then have it."""
    recorder.advance(sample.receive_ns)
    recorder.settle()
    recorder.push(name, sample)


def assert_same_rows(path: Path, expected: Path) -> None:
    """Compare two episodes of the simulated robot, every value and every time."""
    robot = tabletop()
    with EpisodeReader(path) as found, EpisodeReader(expected) as wanted:
        np.testing.assert_array_equal(found.time_ns, wanted.time_ns)
        for name in ('qpos', 'qvel', 'action'):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        for camera in robot.cameras:
            rows = range(wanted.length)
            np.testing.assert_array_equal(found.images(camera, rows), wanted.images(camera, rows))
        for stream in robot.stream_names:
            for field in ('header_ns', 'receive_ns', 'age_ns'):
                np.testing.assert_array_equal(
                    getattr(found.stamps(stream), field), getattr(wanted.stamps(stream), field)
                )
        assert found.length == wanted.length > 90
