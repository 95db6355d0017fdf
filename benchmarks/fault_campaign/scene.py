# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated tabletop arm on real topics, in this process; its messages can be corrupted.

A fault stands between a message and its topic: it gets the message and returns what is published.
Commands are noted by a node of its own that could command as well, so that it counts as no arm.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import deque
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
from fault_campaign.wire import JITTER_NS, CommandLog, Float64Array
from motion_policy.robot import RobotSpec
from motion_policy.simulation import TabletopSim
from motion_policy.simulation.pacing import Pacer
from motion_policy.streams import stamp_ns

STEP_NS = 10_000_000
STEPS_PER_IMAGE = 4
MAX_LAG_NS = 50_000_000
OVERHANG = 0.02  # of its range, by which a joint here gets beyond its limits
NOISE = 3  # values, of 256
FIRST_CLOCK_NS = 1_000_000_000_000
# Every command is judged, also those that come while this process waits for a core.
LOSSLESS_DEPTH = 1000

STOOD_STEPS = 2000  # 20 s
# What is published in place of a message: messages, or bytes that are sent as they are.
ImageFault = Callable[[Image], Sequence[Image | bytes]]
JointFault = Callable[[JointState], Sequence[JointState | bytes]]


class TabletopOnWire:
    """Joint states at 100 Hz, images of one camera at 25 Hz, on its own /clock if asked.

    It obeys commands, or plays trajectories where the robot spec has them sent. A joint that no
    topic carries is not moved, and counts as commanded where it stands at first.
    """

    def __init__(
        self, node: Node, robot: RobotSpec, camera: str, *, clock: bool, spy: Node
    ) -> None:
        self.robot = robot
        self.camera = camera
        self.sim = TabletopSim()
        _widen(self.sim)
        self.log: CommandLog | TrajectoryLog
        self.image_fault: ImageFault | None = None
        self.joint_fault: JointFault | None = None
        self.clock_stands = False
        self.driver_ahead_ns = 0  # by which its clock is ahead of ours
        self.blocked = False
        self.sinks_by = np.zeros(len(robot.joints.names))  # from where the arm is commanded
        self.encoder: Float64Array | None = None  # what a broken one says
        self.more_effort = 0.0  # of joint 2
        self.object_m: float | None = None  # the gripper, the last joint, closes no further
        self.foreign: set[bytes] = set()  # commands that are not the node's
        self.each_step: Callable[[], None] = lambda: None
        self.clock_ns = FIRST_CLOCK_NS if clock else 0
        self.last_image: Image | None = None
        self.last_stamps_ns = {'camera': 0, 'state': 0}
        self.steps = 0
        self._random = np.random.default_rng(0)
        self._command: Float64Array | None = None
        self._pacer = Pacer(STEP_NS, time.monotonic_ns(), MAX_LAG_NS)
        self._clock = node.create_publisher(Clock, '/clock', 10) if clock else None
        self._node = node
        self._joints: Any = None
        self._arm: Any = None
        self.images = node.create_publisher(Image, robot.cameras[camera].topic, 10)
        command, joints = robot.joints.command[0], len(robot.joints.names)
        self._plays = command.send == 'chunk'
        self._columns = [robot.joints.names.index(joint) for joint in command.joints]
        self._rest = self.sim.qpos
        if self._plays:
            self.log = TrajectoryLog(joints, robot.period_ns)
        else:
            # Ticks wait for a step of /clock.
            self.log = CommandLog(joints, STEP_NS if clock else JITTER_NS)
        self._command_type = JointTrajectory if self._plays else Float64MultiArray
        self._stood: deque[tuple[int, Float64Array]] = deque(maxlen=STOOD_STEPS)
        self._clock_told: list[tuple[int, int]] = []  # system time, simulated time without jumps
        self._simulated_ns = 0
        spy.create_publisher(self._command_type, command.topic, 1)
        spy.create_subscription(
            self._command_type,
            command.topic,
            self._play if self._plays else self._obey,
            QoSProfile(depth=LOSSLESS_DEPTH),
        )
        self.speak()
        self.listen()

    def speak(self) -> None:
        """The driver publishes joint states."""
        self._joints = self._node.create_publisher(
            JointState, self.robot.joints.state[0].topic, 10
        )

    def fall_silent(self) -> None:
        """The driver's publisher goes, and the arm with it stays where it is."""
        self._node.destroy_publisher(self._joints)
        self._joints, self.blocked = None, True

    def listen(self) -> None:
        """The arm's own subscription; what it obeys is noted elsewhere."""
        self._arm = self._node.create_subscription(
            self._command_type, self.robot.joints.command[0].topic, lambda message: None, 10
        )
        self.blocked = False

    def turn_deaf(self) -> None:
        """The arm's subscription goes; it keeps its last command."""
        self._node.destroy_subscription(self._arm)
        self._arm = None

    @property
    def now_ns(self) -> int:
        """Time of the stamps: the system's, or that of /clock."""
        return (self.clock_ns or time.time_ns()) + self.driver_ahead_ns

    @property
    def measured(self) -> Float64Array:
        """Where the joints really stand, (J,)."""
        position: Float64Array = self.sim.qpos
        if self.object_m is not None:
            position[-1] = max(position[-1], self.object_m)
        return position

    @property
    def lost_ns(self) -> int:
        """How far the simulation fell behind, because the machine was busy."""
        return self._pacer.lost_ns

    def reset(self, place: str, seed: int) -> None:
        """Put arm and cube back; the arm stands at home until it is told otherwise."""
        self.sim.reset(place, seed)
        self._command = None
        self._rest = self.sim.qpos
        self.sinks_by[:] = 0.0
        if isinstance(self.log, TrajectoryLog):
            self.log.let_go()

    def wait_s(self) -> float:
        """How long until the next step."""
        return self._pacer.wait_ns(time.monotonic_ns()) * 1e-9

    def step(self) -> None:
        """Let 10 ms pass and publish what is due."""
        if isinstance(self.log, TrajectoryLog):
            self._command = self.log.target(time.time_ns())
        if not self.blocked:
            target = None if self._command is None else self._command + self.sinks_by
            self.sim.step(target, STEP_NS * 1e-9)
        self.steps += 1
        self._stood.append((time.time_ns(), self.measured))
        self.each_step()
        if self._clock is not None and not self.clock_stands:
            self.jump(STEP_NS)
        self.publish_joints()
        if self.steps % STEPS_PER_IMAGE == 0:
            self.publish_image()
        self._pacer.step_done(time.monotonic_ns())

    def put(self, position: Float64Array) -> None:
        """Put the arm somewhere, at rest; (J,)."""
        self.sim.show(position, self.sim.cube_pose)
        self.sim.data.qvel[:] = 0.0
        self._command = np.array(position)
        if isinstance(self.log, TrajectoryLog):
            self.log.let_go()

    def jump(self, by_ns: int) -> int:
        """Move /clock; return the system time at which it is told."""
        assert self._clock is not None
        self.clock_ns += by_ns
        told_ns = time.time_ns()
        self._simulated_ns += STEP_NS if by_ns == STEP_NS else 0
        self._clock_told.append((told_ns, self._simulated_ns))
        self._clock.publish(Clock(clock=time_message(self.clock_ns)))
        return told_ns

    def publish_joints(self) -> None:
        """Publish the joint state, in another order than the spec's, as broadcasters do it."""
        if self._joints is None:
            return
        message = JointState(name=list(self.robot.joints.names[::-1]))
        position = self.measured if self.encoder is None else self.encoder
        message.position = position[::-1].tolist()
        message.velocity = self.sim.qvel[::-1].tolist()
        effort = self.sim.effort
        effort[1] += self.more_effort
        message.effort = effort[::-1].tolist()
        message.header.stamp = time_message(self.now_ns)
        for part in self.joint_fault(message) if self.joint_fault else (message,):
            self._joints.publish(part)
            if isinstance(part, JointState):
                self.last_stamps_ns['state'] = stamp_ns(part)

    def publish_image(self) -> None:
        """Publish an image of now, with the noise that the sensor of a camera has."""
        size = self.robot.cameras[self.camera]
        clean = self.sim.render(self.camera, size.height, size.width)
        noise = self._random.integers(0, NOISE, clean.shape, np.uint8)
        message = image_message(np.minimum(clean, 256 - NOISE) + noise, time_message(self.now_ns))
        for part in self.image_fault(message) if self.image_fault else (message,):
            self.images.publish(part)
            if isinstance(part, Image):
                self.last_stamps_ns['camera'] = stamp_ns(part)
                self.last_image = part

    def close(self) -> None:
        """Free the renderer."""
        self.sim.close()

    def _obey(self, message: Float64MultiArray, info: Mapping[str, Any]) -> None:
        position = np.array(message.data)
        if position.tobytes() in self.foreign:
            return
        if position.shape == (len(self._columns),):
            position = self._with_rest(position)
        sent_ns = int(info['source_timestamp'])
        self.log.add(  # type: ignore
            position, sent_ns, self._measured_at(sent_ns), self._simulated_at(sent_ns)
        )
        if position.shape == (self.log.joints,) and np.isfinite(position).all() and self._arm:
            self._command = position

    def _with_rest(self, sent: Float64Array) -> Float64Array:
        whole = self._rest.copy()
        whole[self._columns] = sent
        return whole

    def _play(self, message: JointTrajectory, info: Mapping[str, Any]) -> None:
        if message.points and np.array(message.points[0].positions).tobytes() in self.foreign:
            return
        sent_ns = int(info['source_timestamp'])
        self.log.add(message, sent_ns, self._measured_at(sent_ns))  # type: ignore

    def _measured_at(self, time_ns: int) -> Float64Array:
        """Where the joints stood when a command was sent that is heard only now."""
        index = bisect_right(self._stood, time_ns, key=lambda stood: stood[0])
        return self._stood[index - 1][1] if index else self.measured

    def _simulated_at(self, sent_ns: int) -> int | None:
        """Simulated time at which a command was sent: ticks stand on multiples of the period."""
        if self._clock is None:
            return None
        place = bisect_left(self._clock_told, (sent_ns, 0)) - 1
        told_ns = self._clock_told[max(0, place)][1] if self._clock_told else 0
        log, period_ns = self.log, self.robot.period_ns
        assert isinstance(log, CommandLog)
        if not len(log):
            return told_ns
        return log.at_ns[-1] + max(1, round((told_ns - log.at_ns[-1]) / period_ns)) * period_ns


def _widen(sim: TabletopSim) -> None:
    """Let joints stand a little beyond their limits, as those of real arms do."""
    for name in sim.joint_names:
        joint = sim.model.joint(name)
        low, high = joint.range
        joint.range = (low - OVERHANG * (high - low), high + OVERHANG * (high - low))
    low, high = sim.model.actuator_ctrlrange.T.copy()
    sim.model.actuator_ctrlrange[:, 0] = low - OVERHANG * (high - low)
    sim.model.actuator_ctrlrange[:, 1] = high + OVERHANG * (high - low)


def time_message(time_ns: int) -> Time:
    """Return a time as a message."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def image_message(image: np.ndarray[Any, Any], stamp: Time) -> Image:
    """Return an RGB image (H, W, 3) as a message."""
    height, width = image.shape[:2]
    message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    message.header.stamp = stamp
    message.data.frombytes(np.ascontiguousarray(image))
    return message
