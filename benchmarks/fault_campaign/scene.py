# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated tabletop arm on real topics, in this process: it obeys, shows, and can be spoilt.

A fault stands between a message and its topic: it gets the message and returns what is published.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from fault_campaign.trajectories import TrajectoryLog
from fault_campaign.wire import CommandLog, Float64Array
from motion_policy.robot import RobotSpec
from motion_policy.simulation import TabletopSim
from motion_policy.simulation.pacing import Pacer
from motion_policy.streams import stamp_ns

STEP_NS = 10_000_000
STEPS_PER_IMAGE = 4
MAX_LAG_NS = 50_000_000
NOISE = 3  # values, of 256
FIRST_CLOCK_NS = 1_000_000_000_000
# Every command is judged, also those that come while this process waits for a core.
LOSSLESS_DEPTH = 1000

ImageFault = Callable[[Image], Sequence[Image]]
JointFault = Callable[[JointState], Sequence[JointState]]


class TabletopOnWire:
    """Joint states at 100 Hz, images of one camera at 25 Hz, on its own /clock if asked.

    It obeys commands, or plays trajectories where the robot spec has them sent.
    """

    def __init__(self, node: Node, robot: RobotSpec, camera: str, *, clock: bool) -> None:
        self.robot = robot
        self.camera = camera
        self.sim = TabletopSim()
        self.log: CommandLog | TrajectoryLog
        self.image_fault: ImageFault | None = None
        self.joint_fault: JointFault | None = None
        self.clock_stands = False
        self.clock_ns = FIRST_CLOCK_NS if clock else 0
        self.last_image: Image | None = None
        self.last_stamps_ns = {'camera': 0, 'state': 0}
        self.steps = 0
        self._random = np.random.default_rng(0)
        self._command: Float64Array | None = None
        self._pacer = Pacer(STEP_NS, time.monotonic_ns(), MAX_LAG_NS)
        self._clock = node.create_publisher(Clock, '/clock', 10) if clock else None
        self._joints = node.create_publisher(JointState, robot.joints.state[0].topic, 10)
        self._images = node.create_publisher(Image, robot.cameras[camera].topic, 10)
        command, joints = robot.joints.command[0], len(robot.joints.names)
        plays = command.send == 'chunk'
        self.log = TrajectoryLog(joints, robot.period_ns) if plays else CommandLog(joints)
        self._subscription = node.create_subscription(
            JointTrajectory if plays else Float64MultiArray,
            command.topic,
            self._play if plays else self._obey,
            QoSProfile(depth=LOSSLESS_DEPTH),
        )

    @property
    def now_ns(self) -> int:
        """Time of the stamps: the system's, or that of /clock."""
        return self.clock_ns or time.time_ns()

    @property
    def lost_ns(self) -> int:
        """How far the simulation fell behind, because the machine was busy."""
        return self._pacer.lost_ns

    def reset(self, place: str, seed: int) -> None:
        """Put arm and cube back; the arm stands at home until it is told otherwise."""
        self.sim.reset(place, seed)
        self._command = None
        if isinstance(self.log, TrajectoryLog):
            self.log.let_go()

    def wait_s(self) -> float:
        """How long until the next step."""
        return self._pacer.wait_ns(time.monotonic_ns()) * 1e-9

    def step(self) -> None:
        """Let 10 ms pass and publish what is due."""
        if isinstance(self.log, TrajectoryLog):
            self._command = self.log.target(time.time_ns())
        self.sim.step(self._command, STEP_NS * 1e-9)
        self.steps += 1
        if self._clock is not None and not self.clock_stands:
            self.jump(STEP_NS)
        self.publish_joints()
        if self.steps % STEPS_PER_IMAGE == 0:
            self.publish_image()
        self._pacer.step_done(time.monotonic_ns())

    def jump(self, by_ns: int) -> int:
        """Move /clock; return the system time at which it is told."""
        assert self._clock is not None
        self.clock_ns += by_ns
        told_ns = time.time_ns()
        self._clock.publish(Clock(clock=time_message(self.clock_ns)))
        return told_ns

    def publish_joints(self) -> None:
        """Publish the joint state, in another order than the spec's, as broadcasters do it."""
        message = JointState(name=list(self.robot.joints.names[::-1]))
        message.position = self.sim.qpos[::-1].tolist()
        message.velocity = self.sim.qvel[::-1].tolist()
        message.header.stamp = time_message(self.now_ns)
        for part in self.joint_fault(message) if self.joint_fault else (message,):
            self._joints.publish(part)
            self.last_stamps_ns['state'] = stamp_ns(part)

    def publish_image(self) -> None:
        """Publish a picture of now, with the noise that the sensor of a camera has."""
        size = self.robot.cameras[self.camera]
        clean = self.sim.render(self.camera, size.height, size.width)
        noise = self._random.integers(0, NOISE, clean.shape, np.uint8)
        message = image_message(np.minimum(clean, 256 - NOISE) + noise, time_message(self.now_ns))
        for part in self.image_fault(message) if self.image_fault else (message,):
            self._images.publish(part)
            self.last_stamps_ns['camera'] = stamp_ns(part)
            self.last_image = part

    def close(self) -> None:
        """Free the renderer."""
        self.sim.close()

    def _obey(self, message: Float64MultiArray, info: Mapping[str, Any]) -> None:
        position = np.array(message.data)
        self.log.add(position, int(info['source_timestamp']), self.sim.qpos)
        if position.shape == (self.log.joints,) and np.isfinite(position).all():
            self._command = position

    def _play(self, message: JointTrajectory, info: Mapping[str, Any]) -> None:
        self.log.add(message, int(info['source_timestamp']), self.sim.qpos)


def time_message(time_ns: int) -> Time:
    """Return a time as a message."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def image_message(picture: np.ndarray[Any, Any], stamp: Time) -> Image:
    """Return an RGB picture (H, W, 3) as a message."""
    height, width = picture.shape[:2]
    message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    message.header.stamp = stamp
    message.data.frombytes(np.ascontiguousarray(picture))
    return message
