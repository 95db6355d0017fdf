# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An episode with all that a viewer shows: cameras, depth, vectors, a pose, a tool, remarks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import h5py
import numpy as np
from planar_arm import planar_urdf
from recordings import header, observation, robot_with_leader, row_at, scene

from motion_policy.episodes import EpisodeWriter
from motion_policy.episodes.quality.verdict import QualityVerdict, verdicts_as_json
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.streams import image_to_rgb

ROWS, WIDTH, HEIGHT = 10, 64, 48
JOINTS = ('joint1', 'joint2', 'joint3')
EDIT = json.dumps({'action': 'trim', 'options': '--head 1', 'when': '2026-01-01'})
MORE = """
vectors:
  wrench: {{topic: wrench, type: geometry_msgs/msg/WrenchStamped,
    fields: [wrench.force.x, wrench.torque.z]}}
  skin: {{topic: skin, type: std_msgs/msg/Float32MultiArray, fields: ['data[4]'], window: last,
    count: 3}}
  tcp: {{transform: [base, tool]}}
depth:
  top: {{topic: top/depth/image_raw, width: 40, height: 30}}
tool: {{link: tool, urdf: {urdf}}}
"""


def viewed_robot(folder: Path) -> RobotSpec:
    """Return the robot, whose URDF is written to the folder."""
    robot = robot_with_leader('planar', JOINTS, ('top', 'side'), WIDTH, HEIGHT, 20.0)
    more = MORE.format(urdf=planar_urdf(folder / 'planar.urdf'))
    return robot_spec_from_yaml(robot.to_yaml() + more, folder / 'planar.yaml')


def write_viewed(path: Path, *, compress: bool = True) -> Path:
    """Write the episode; `top` sends JPEGs, each of which stands in two rows."""
    robot = viewed_robot(path.parent)
    with EpisodeWriter(path, robot, task='stack', compress=compress) as writer:
        for index in range(ROWS):
            first = index - index % 2
            row, held = row_at(index, robot), row_at(first, robot)
            samples = {**row.samples, 'top': held.samples['top']}
            seen = observation(index, robot)
            message = SimpleNamespace(format='jpeg', data=sent_jpeg(first), header=header(0))
            own = np.frombuffer(message.data, np.uint8)
            images = {**seen.images, 'top': image_to_rgb(message)}
            seen = replace(seen, images=images, jpegs={'top': own})
            writer.append(row.time_ns, seen, replace(row, samples=samples))
        writer.success = False
    with h5py.File(path, 'r+') as file:
        odd = QualityVerdict('jerk', 'joint1', 9.0, '', 1.0, 2.0, 'fail', 'joint1 trembles')
        file.attrs['quality'], file.attrs['verdicts'] = 'fail', verdicts_as_json([odd])
        file.attrs['edits'] = [EDIT]
    return path


def sent_jpeg(row: int) -> bytes:
    """Return the JPEG that the camera `top` sends for a row."""
    pixels = cv2.cvtColor(scene(row, HEIGHT, WIDTH), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def true_colours(jpeg: bytes) -> np.ndarray:
    """Return the RGB image (H, W, 3) of a JPEG, as every program decodes it."""
    found = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB))
