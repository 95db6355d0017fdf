# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A fake arm whose controller plays trajectories, and what it was told, judged point by point."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from fake_arm import Commands, FakeArm, assert_safe
from ros_testing import Bench
from trajectory_controller import assert_played_safely
from trajectory_msgs.msg import JointTrajectory

from motion_policy.rehearsal.trajectory_controller import Waypoints
from motion_policy.robot import RobotSpec

TOPIC = 'arm/joint_trajectory'
CHUNKS = f'{{topic: {TOPIC}, type: trajectory_msgs/msg/JointTrajectory, send: chunk}}'
EVERY_TRAJECTORY = {f'qos_overrides./{TOPIC}.publisher.depth': 100}


def nanoseconds(time: Any) -> int:
    """Return a stamp or a duration in ns."""
    return int(time.sec * 1_000_000_000 + time.nanosec)


class TrajectoryArm(FakeArm):
    """Moves straight from point to point; a new trajectory replaces what is left of the old."""

    def __init__(self, bench: Bench, robot: RobotSpec) -> None:
        self.trajectories: list[JointTrajectory] = []
        self.begun_ns: list[int] = []
        self._sent_ns: list[int] = []
        self._points: dict[int, np.ndarray] = {}
        super().__init__(bench, robot)
        bench.client.create_timer(0.005, self._play)

    def hear_trajectories(self, count: int) -> list[JointTrajectory]:
        """Wait for so many more and return them."""
        first = len(self.trajectories)
        self.bench.spin_until(
            lambda: len(self.trajectories) >= first + count, f'{count} trajectories'
        )
        return self.trajectories[first:]

    def wait_until_played(self) -> None:
        """Wait until the last trajectory is over."""
        end_ns = max(self._points)
        clock = self.bench.client.get_clock()
        self.bench.spin_until(lambda: clock.now().nanoseconds > end_ns, 'the end of a motion')

    def told(self) -> np.ndarray:
        """Return every point that was to be played, one period after the other (n, J).

        Where nothing was to be played for longer, the arm stands: one more point says so.
        """
        times, period_ns = list(self._points), self.robot.period_ns
        positions = [self._points[times[0]]]
        for before, time in pairwise(times):
            assert time > before
            if time - before != period_ns:
                positions.append(positions[-1])
            positions.append(self._points[time])
        return np.array(positions)

    def assert_told_safely(self) -> None:
        """Every trajectory is sound, and all in turn keep every limit and end at rest."""
        for message in self.trajectories:
            after = [nanoseconds(point.time_from_start) for point in message.points]
            assert after[0] > 0 and (np.diff(after) > 0).all()
            assert message.joint_names == list(self.robot.joints.names)
            assert not any(point.accelerations for point in message.points)
            velocities = np.array([point.velocities for point in message.points])
            assert velocities.shape == (len(after), len(self.robot.joints.names))
            assert (np.abs(velocities) <= self.robot.joints.limits.velocity_array()).all()
        if all(nanoseconds(message.header.stamp) for message in self.trajectories):
            for from_desired in (True, False):
                assert_played_safely(self.robot, self.sent(), from_desired=from_desired)
        told = self.told()
        commands = Commands()
        for number, position in enumerate(told):
            commands.add(position, number)
        assert_safe(commands, self.robot, simulated_time=True)
        np.testing.assert_allclose(told[-1], told[-2], atol=1e-9)

    def sent(self) -> list[tuple[int, Waypoints]]:
        """What was sent, and when."""
        sent = zip(self._sent_ns, self.trajectories, strict=True)
        return [(sent_ns, Waypoints.of(message)) for sent_ns, message in sent]

    def take_command(self, message: JointTrajectory, sent_ns: int) -> None:
        """Note a trajectory, and play it from now on."""
        self.trajectories.append(message)
        self._sent_ns.append(sent_ns)
        stamp_ns = nanoseconds(message.header.stamp)
        if not stamp_ns:  # at once: on the grid of what is being played
            first_ns = nanoseconds(message.points[0].time_from_start)
            sent_ns += first_ns
            period_ns = self.robot.period_ns
            grid_ns = min(self._points, key=lambda time_ns: abs(time_ns - sent_ns))
            stamp_ns = grid_ns + round((sent_ns - grid_ns) / period_ns) * period_ns - first_ns
        self.begun_ns.append(stamp_ns)
        kept = {time: point for time, point in self._points.items() if time <= stamp_ns}
        for point in message.points:
            kept[stamp_ns + nanoseconds(point.time_from_start)] = np.array(point.positions)
        self._points = kept

    def _play(self) -> None:
        if not self._points or not self.obeys:
            return
        now_ns = self.bench.client.get_clock().now().nanoseconds
        times = list(self._points)
        after = min(int(np.searchsorted(times, now_ns)), len(times) - 1)
        before = max(0, after - 1)
        begin, end = self._points[times[before]], self._points[times[after]]
        if after == before or now_ns >= times[after]:
            self.position = end
            return
        span_ns = min(times[after] - times[before], self.robot.period_ns)
        share = max(0.0, 1 - (times[after] - now_ns) / span_ns)
        self.position = begin + share * (end - begin)
