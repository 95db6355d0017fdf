# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Records topics of the scene during one trial as arrays over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image, JointState

from motion_policy.nodes.scene_client import SceneClient
from motion_policy.streams import image_to_rgb, read_joints, stamp_ns

ATTENTION_SIZE = 240  # pixels; larger images are made smaller, to be kept


class TrialListener:
    """Joint positions, cube poses and attention images between `begin` and `end`."""

    def __init__(self, scene: SceneClient, attention_topic: str) -> None:
        self._names = scene.robot.joints.names
        self._heard: dict[str, list[tuple[int, Any]]] = {}
        self._listening = False
        self._start_ns = 0
        self._scene = scene
        state_topic = scene.robot.joints.state[0].topic
        scene.subscribe(JointState, state_topic, self._keep('state', self._joints))
        scene.subscribe(PoseStamped, 'cube_pose', self._keep('cube', _pose))
        scene.subscribe(Image, attention_topic, self._keep('attention', _small_image))

    def begin(self) -> None:
        """Forget the last trial and listen."""
        self._heard = {'state': [], 'cube': [], 'attention': []}
        self._start_ns = self._scene.now_ns
        self._listening = True

    def end(self) -> None:
        """Listen no more."""
        self._listening = False

    def heard(self) -> dict[str, Any]:
        """Return times [s] from the start, and values, as `TrialRecord` has them."""
        state_s, qpos = self._arrays('state', (len(self._names),))
        cube_s, cube_pose = self._arrays('cube', (7,))
        attention_s, attention = self._arrays('attention', (0, 0, 3))
        return {
            'state_s': state_s,
            'qpos': qpos,
            'cube_s': cube_s,
            'cube_pose': cube_pose,
            'attention_s': attention_s,
            'attention': attention,
        }

    def _arrays(self, name: str, shape: tuple[int, ...]) -> tuple[Any, Any]:
        heard = self._heard[name]
        times_s = np.array([(time_ns - self._start_ns) * 1e-9 for time_ns, _ in heard])
        values = np.stack([value for _, value in heard]) if heard else np.empty((0, *shape))
        return times_s, values

    def _keep(self, name: str, read: Callable[[Any], Any]) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            if self._listening and stamp_ns(message) >= self._start_ns:
                self._heard[name].append((stamp_ns(message), read(message)))

        return keep

    def _joints(self, message: JointState) -> Any:
        return read_joints(message, self._names).position


def _pose(message: PoseStamped) -> Any:
    position, turn = message.pose.position, message.pose.orientation
    return np.array([position.x, position.y, position.z, turn.w, turn.x, turn.y, turn.z])


def _small_image(message: Image) -> Any:
    image = image_to_rgb(message)
    return cv2.resize(image, (ATTENTION_SIZE, ATTENTION_SIZE), interpolation=cv2.INTER_AREA)
