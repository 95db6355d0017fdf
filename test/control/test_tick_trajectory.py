# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: one command as a trajectory is smooth, keeps every limit and comes to rest by itself.

Against a model of joint_trajectory_controller's published rules, with its default parameters but
interpolate_from_desired_state, which docs/howto/my_arm.md asks for.
"""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm
from trajectory_controller import play

from motion_policy.control import GuardChain
from motion_policy.control.tick_trajectory import half_way, tick_trajectory
from motion_policy.rehearsal.trajectory_controller import TrajectoryController, Waypoints, between

ROBOT = formula_arm()
PERIOD_NS, LIMITS = ROBOT.period_ns, ROBOT.joints.limits
PERIOD_S = PERIOD_NS * 1e-9
ACCELERATION = LIMITS.acceleration_array()
START_NS = 1_700_000_000_000_000_000
HOME = np.array([0.1, 0.2, 0.3])
CYCLE_NS, CYCLE_S = 1_000_000, 1e-3


def commands(ticks: int = 150, fast: float = 1.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions and velocities of a guarded motion to and fro with jumps in its targets."""
    guard = GuardChain(ROBOT)
    guard.start(HOME)
    found = []
    for tick in range(ticks):
        target = HOME + fast * np.array([0.5, -0.4, 0.3]) * np.sign(np.sin(0.05 * tick))
        result = guard.apply(target, None, PERIOD_NS)
        found.append((result.position, result.velocity))
    while not guard.limiter.at_rest:
        result = guard.stop(PERIOD_NS)
        found.append((result.position, result.velocity))
    return found


def messages(velocities: bool, late_ns: int = 0) -> list[tuple[int, Waypoints]]:
    """Those commands as one point each, or as trajectories; every third one is late."""
    sent = []
    for number, (position, velocity) in enumerate(commands()):
        points = (np.array([PERIOD_NS]), position[None], None)
        if velocities:
            points = tick_trajectory(position, velocity, ACCELERATION, PERIOD_NS)
        at_ns = START_NS + number * PERIOD_NS + (number % 3 == 0) * late_ns
        sent.append((at_ns, Waypoints(0, *points)))
    return sent


def played(sent: list[tuple[int, Waypoints]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, velocities and accelerations of a spline's set-point in each cycle of 1 ms.

    Each message goes on from where the set-point is. The controllers of Jazzy and Kilted take it
    for a cycle older than it is, which adds a step of one cycle per message to all that is sent.
    """
    at, speed, way, waiting, found = HOME, 0 * HOME, [], list(sent), []
    for now_ns in range(sent[0][0], sent[-1][0] + 500_000_000, CYCLE_NS):
        if waiting and waiting[0][0] <= now_ns:
            points = waiting.pop(0)[1]
            velocities = points.velocities
            way = [(now_ns - CYCLE_NS, (at, speed))] + [
                (now_ns + after_ns, (place, None if velocities is None else velocities[i]))
                for i, (after_ns, place) in enumerate(
                    zip(points.after_ns.tolist(), points.positions, strict=True)
                )
            ]
        while len(way) > 2 and way[1][0] <= now_ns:
            del way[0]
        (begin_ns, begin), (end_ns, end) = way[:2]
        at, speed = end[0], 0 * HOME
        if now_ns < end_ns:
            since_s, span_s = (now_ns - begin_ns) * 1e-9, (end_ns - begin_ns) * 1e-9
            at, speed = between(begin, end, since_s, span_s)
        found.append(at)
    positions = np.array(found)
    velocity = np.diff(positions, axis=0, prepend=HOME[None]) / CYCLE_S
    return positions, velocity, np.diff(velocity, axis=0, prepend=0 * HOME[None]) / CYCLE_S


def roughness(sent: list[tuple[int, Waypoints]]) -> float:
    """The greatest acceleration of the set-point, over its limit."""
    return float((np.abs(played(sent)[2]).max(axis=0) / ACCELERATION).max())


def test_with_velocities_the_set_point_keeps_every_limit_and_without_it_jerks() -> None:
    _, velocity, _ = played(messages(True))
    assert (np.abs(velocity).max(axis=0) <= LIMITS.velocity_array() * 1.01).all()
    assert roughness(messages(True)) < 1.2 and roughness(messages(False)) > 15


def test_a_message_that_is_late_lets_the_set_point_go_on_instead_of_stopping_it() -> None:
    late_ns = 3_000_000
    assert 10 * roughness(messages(True, late_ns)) < roughness(messages(False, late_ns))


def test_the_controller_takes_every_message_as_it_is_by_default() -> None:
    controller = TrajectoryController(HOME)
    positions = play(controller, messages(True), HOME)
    assert controller.rejected == []
    np.testing.assert_allclose(positions[-1], commands()[-1][0], atol=1e-12)


def test_it_ends_where_the_commands_do_and_a_command_that_stands_is_one_point_at_rest() -> None:
    positions, velocity, _ = played(messages(True))
    last = commands()[-1]
    assert not last[1].any()
    np.testing.assert_allclose(positions[-1], last[0], atol=1e-12)
    assert not velocity[-1].any()
    times, points, velocities = tick_trajectory(last[0], last[1], ACCELERATION, PERIOD_NS)
    assert times.tolist() == [PERIOD_NS] and not velocities.any()
    np.testing.assert_array_equal(points, last[0][None])


def test_without_a_next_one_each_joint_brakes_behind_the_command_with_its_acceleration() -> None:
    position, velocity = np.array([0.2, -0.3, 0.5]), np.array([1.0, -0.5, 0.0])
    times, points, velocities = tick_trajectory(position, velocity, ACCELERATION, PERIOD_NS)
    assert (np.diff(times) > 0).all() and not velocities[-1].any()
    np.testing.assert_array_equal(points[0], half_way(position, velocity, PERIOD_NS))
    np.testing.assert_array_equal(points[1], position)
    np.testing.assert_array_equal(velocities[1], velocity)
    rest = position + np.sign(velocity) * velocity**2 / (2 * ACCELERATION)
    np.testing.assert_allclose(points[-1], rest, atol=1e-9)
    # The set-point in between: from the first point on, as no message follows.
    _, speed, acceleration = played([(START_NS, Waypoints(0, times, points, velocities))])
    assert np.abs(speed[-1]).max() == 0
    braking = acceleration[int(1.6 * PERIOD_S / CYCLE_S) :]
    assert (np.abs(braking).max(axis=0) <= ACCELERATION * 1.01).all()


def test_no_point_on_the_way_to_rest_is_beyond_a_position_limit() -> None:
    guard = GuardChain(ROBOT)
    guard.start(HOME)
    low, high = LIMITS.position_array().T
    nearest = np.inf
    for tick in range(200):
        target = np.full(3, 9.0 if tick < 120 else -9.0)
        result = guard.apply(target, None, PERIOD_NS)
        _, points, _ = tick_trajectory(result.position, result.velocity, ACCELERATION, PERIOD_NS)
        assert (points >= low - 1e-9).all() and (points <= high + 1e-9).all()
        nearest = min(nearest, (high - points).min())
    assert nearest < 1e-3


def test_a_message_that_is_lost_leaves_the_set_point_at_its_speed() -> None:
    sent = messages(True)
    cruising = int(np.argmax([abs(velocity[0]) for _, velocity in commands()])) + 1
    _, velocity, _ = played(sent[:cruising] + sent[cruising + 1 :])
    assert (np.abs(velocity).max(axis=0) <= 1.1 * LIMITS.velocity_array()).all()


@pytest.mark.parametrize('speed', [1e-12, 1e-9, 3.0])
def test_times_increase_however_slow_or_alike_joints_are(speed: float) -> None:
    velocity = speed * np.array([1.0, 1.0, -1.0 - 1e-12])
    times, points, velocities = tick_trajectory(HOME, velocity, ACCELERATION, PERIOD_NS)
    assert (np.diff(times) > 0).all() and np.isfinite(points).all()
    assert not velocities[-1].any()
    controller = TrajectoryController(HOME)
    controller.receive(Waypoints(0, times, points, velocities), START_NS)
    assert controller.rejected == []
