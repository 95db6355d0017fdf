# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Command messages move a stand-in arm and are judged: one port for each command topic of a spec.

What a controller would refuse is refused, with the reason: names that are not those of the spec,
another number of values, NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.rehearsal.arm import StandInArm
from motion_policy.rehearsal.felt import FeltMotion
from motion_policy.rehearsal.judge import Limits
from motion_policy.rehearsal.trajectory_controller import TrajectoryController, Waypoints
from motion_policy.rehearsal.twist_controller import TwistController
from motion_policy.robot import JointTopic, RobotSpec
from motion_policy.robot.inverse_kinematics import InverseKinematics
from motion_policy.robot.joint_topic import JOINT_TRAJECTORY, POSE_STAMPED
from motion_policy.robot.kinematics import Kinematics
from motion_policy.streams import StreamError
from motion_policy.streams.joints import read_joint_message

Float64Array = npt.NDArray[np.float64]
Tell = Callable[[str], None]

CONTROLLER_HZ = 500.0
NOT_REACHED_M = 1e-3
SOLVED_TO = 1e-4  # rad or m
FOLLOWED_TO = 0.01  # rad or m, of velocities
LOOSE = 0.1  # share of the limits: the Jacobian is that of another place than the commands'
NOT_TURNED = 1e-3  # by which a quaternion may be longer or shorter than 1


def silent(_line: str) -> None:
    """Say nothing."""


class CommandPort:
    """Takes the messages of one command topic of `robot` for `arm`.

    `tell` is given a line when a limit is broken, or a message refused, for the first time.
    """

    def __init__(
        self, robot: RobotSpec, topic: JointTopic, arm: StandInArm, tell: Tell = silent
    ) -> None:
        self.topic = topic
        self._arm = arm
        self._tell = tell
        self._columns = [robot.joints.names.index(joint) for joint in topic.joints]
        limits = _limits(robot, self._columns, topic)
        self.felt = FeltMotion(
            topic.joints, limits, robot.period_ns, of_velocities=topic.of_velocities
        )
        self._pose = PoseReader(robot) if topic.type == POSE_STAMPED else None
        self._twist = None
        if topic.of_tool_velocity:
            self._twist = TwistController(robot, topic)
        self._half_period_s = robot.period_ns * 0.5e-9
        self._controller: TrajectoryController | None = None
        self._rejected = 0
        # Points of trajectories that are to be reached yet, and how well their times are known.
        self._points: dict[int, tuple[Float64Array, int]] = {}
        self._reached_ns = 0

    @property
    def _measured(self) -> Float64Array:
        return self._arm.position[self._columns]

    def take(self, message: Any, received_ns: int, sent_ns: int | None = None) -> None:
        """Take a message that came at `received_ns`; `sent_ns` is when it was sent, if known."""
        self.felt.arrivals.received += 1
        try:
            if self.topic.type == JOINT_TRAJECTORY:
                self._take_trajectory(message, received_ns, sent_ns)
            elif self._twist is not None:
                self._take_twist(self._twist, message, received_ns, sent_ns)
            else:
                position = self._position(message)
                jitter_ns = self.felt.jitter_ns(received_ns, sent_ns)
                self._judge(position, received_ns, jitter_ns)
                self._arm.command(position, self._columns)
        except StreamError as error:
            self._refuse(str(error))

    def _position(self, message: Any) -> Float64Array:
        """The joints of the topic as the message wants them."""
        if self._pose is None:
            return read_joint_message(message, self.topic).position
        return self._pose.joints(message, self._arm.target)[self._columns]

    def step(self, now_ns: int) -> None:
        """Move the target along a trajectory, and judge the points that are reached."""
        controller = self._controller
        if controller is not None:
            target = controller.update(now_ns, self._measured, self._arm.velocity[self._columns])
            for reason in controller.rejected[self._rejected :]:
                self._refuse(reason)
            self._rejected = len(controller.rejected)
            self._arm.command(target, self._columns)
            for time_ns in [time_ns for time_ns in self._points if time_ns <= now_ns]:
                position, jitter_ns = self._points.pop(time_ns)
                self._judge(position, time_ns, jitter_ns)
                self._reached_ns = time_ns
        if self._twist is not None:
            self._follow_twist(self._twist, now_ns)
        for line in self.felt.look(now_ns):
            self._tell(line)

    def forget(self) -> None:
        """Let nothing be under way: the driver begins anew."""
        self._controller, self._points, self._rejected = None, {}, 0
        if self._twist is not None:
            self._twist.forget()
        self.felt.forget()

    def _take_trajectory(self, message: Any, received_ns: int, sent_ns: int | None) -> None:
        points = _in_order(message, self.topic)
        jitter_ns = self.felt.jitter_ns(received_ns, sent_ns)
        if self._controller is None:
            self._controller = TrajectoryController(self._measured, CONTROLLER_HZ)
        before = len(self._controller.rejected)
        self._controller.receive(points, received_ns)
        if len(self._controller.rejected) > before:  # told by the next step
            return
        if not self._arm.obeys:
            return
        if self.topic.velocities and points.velocities is not None:
            # Its first point is the middle of the step to the command.
            command = points.positions[0] + points.velocities[0] * self._half_period_s
            self._judge(command, received_ns, jitter_ns)
            return
        start_ns = points.stamp_ns or received_ns
        known_ns = 0 if points.stamp_ns else jitter_ns
        times = (start_ns + points.after_ns).tolist()
        if len(times) == 1:  # a command per tick: it is followed from when it came
            self._judge(points.positions[0], received_ns, jitter_ns)
            return
        kept = {time_ns: point for time_ns, point in self._points.items() if time_ns <= start_ns}
        for time_ns, position in zip(times, points.positions, strict=True):
            if time_ns > self._reached_ns:
                kept[time_ns] = (position, known_ns)
        self._points = dict(sorted(kept.items()))

    def _take_twist(
        self, controller: TwistController, message: Any, received_ns: int, sent_ns: int | None
    ) -> None:
        self._follow_twist(controller, received_ns)
        controller.receive(message, self._arm.target, received_ns)
        position = self._arm.target[self._columns]
        velocity = controller.velocity
        jitter_ns = self.felt.jitter_ns(received_ns, sent_ns)
        # How long each velocity lasts is what was decided where it was sent.
        for line in self.felt.take(
            position, sent_ns or received_ns, jitter_ns, position, velocity
        ):
            self._tell(line)

    def _follow_twist(self, controller: TwistController, now_ns: int) -> None:
        target = self._arm.target[self._columns] + controller.moved(now_ns)
        self._arm.command(target, self._columns)

    def _judge(self, position: Float64Array, time_ns: int, jitter_ns: int) -> None:
        for line in self.felt.take(position, time_ns, jitter_ns, self._measured):
            self._tell(line)

    def _refuse(self, reason: str) -> None:
        if self.felt.arrivals.refuse(reason):
            self._tell(f'refused on {self.topic.topic}: {reason}')


def _limits(robot: RobotSpec, columns: Sequence[int], topic: JointTopic) -> Limits:
    """Limits of some joints; those that a tool's command is solved for are known less exactly."""
    limits, period_s = robot.joints.limits, robot.period_ns * 1e-9
    position = limits.position_array()[columns]
    velocity = limits.velocity_array()[columns]
    acceleration = limits.acceleration_array()[columns]
    period_ns = robot.period_ns
    inexact = SOLVED_TO if topic.type == POSE_STAMPED else 0.0
    velocity, acceleration = (
        velocity + 2 * inexact / period_s, acceleration + 4 * inexact / period_s**2
    )  # fmt: skip
    if topic.of_tool_velocity:
        # What is corrected changes by the gain as fast as command and arm part. The arm goes on
        # when a message is late: its step may last two periods.
        inexact, period_ns = FOLLOWED_TO, 2 * period_ns
        velocity = velocity * (1 + LOOSE)
        acceleration = acceleration * (1 + LOOSE) + 2 * topic.gain * velocity
    return Limits(position + np.array([-inexact, inexact]), velocity, acceleration, period_ns)


class PoseReader:
    """Reads poses of the tool of `robot` as a Cartesian controller does, by inverse kinematics."""

    def __init__(self, robot: RobotSpec) -> None:
        assert robot.tool is not None
        kinematics = Kinematics(robot.tool.urdf, robot.joints.names, 'tool')
        low, high = robot.joints.limits.position_array().T
        self._kinematics, link = kinematics, kinematics.link(robot.tool.link, 'tool')
        self._inverse = InverseKinematics(kinematics, link, low, high)
        self._anywhere = high - low

    def joints(self, message: Any, start: Float64Array) -> Float64Array:
        """Return all joints (J,) for a PoseStamped, near `start` (J,).

        Raises:
            StreamError: it is no pose, or out of reach.
        """
        at, turned = message.pose.position, message.pose.orientation
        numbers = np.array([at.x, at.y, at.z, turned.x, turned.y, turned.z, turned.w])
        if not (np.isfinite(numbers).all() and abs(np.linalg.norm(numbers[3:]) - 1) < NOT_TURNED):
            raise StreamError(f'{numbers.tolist()} is no pose, expected finite numbers')
        pose = self._kinematics.pinocchio.XYZQUATToSE3(numbers)
        found = self._inverse.solve(pose.translation, pose.rotation, start, self._anywhere)
        if found.position_error > NOT_REACHED_M:
            raise StreamError(f'{found.position_error:.3f} m of the pose are out of reach')
        return found.joints


def _in_order(message: Any, topic: JointTopic) -> Waypoints:
    """The points of a trajectory with the joints in the order of the spec.

    Raises:
        StreamError: its joints are not those of the topic, or a point is no row of finite numbers.
    """
    found, wanted = list(message.joint_names), list(topic.message_names)
    if sorted(found) != sorted(wanted):
        raise StreamError(
            f'the trajectory has joints [{", ".join(found)}], expected [{", ".join(wanted)}]'
        )
    try:
        points = Waypoints.of(message)
    except ValueError:
        raise StreamError('the points have different numbers of joints') from None
    columns = [found.index(name) for name in wanted]
    if points.positions.shape != (len(points.after_ns), len(wanted)):
        raise StreamError(f'a point has other than {len(wanted)} positions')
    velocities = points.velocities
    if velocities is not None:
        if velocities.shape != points.positions.shape:
            raise StreamError(f'a point has other than {len(wanted)} velocities')
        velocities = velocities[:, columns]
    if not np.isfinite(points.positions).all():
        raise StreamError('a position is not a finite number')
    return replace(points, positions=points.positions[:, columns], velocities=velocities)
