# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a joint_trajectory_controller makes of the trajectories that a test was sent, judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from motion_policy.rehearsal.trajectory_controller import TrajectoryController, Waypoints
from motion_policy.robot import RobotSpec


def play(
    controller: TrajectoryController,
    sent: list[tuple[int, Waypoints]],
    measured: np.ndarray,
    *,
    delay_ns: int = 1_000_000,
    skew_ns: int = 0,
    lag_s: float = 0.03,
) -> np.ndarray:
    """Commands (n, J) of the cycles in which messages come, `delay_ns` after each was sent.

    The controller's clock is `skew_ns` ahead; the arm follows with a first-order lag, measured as
    it is, until a second after the last message.
    """
    period_s = controller.period_ns * 1e-9
    begin_ns, end_ns = sent[0][0], sent[-1][0] + 1_000_000_000
    waiting, speed, commands = list(sent), np.zeros(len(measured)), []
    for now_ns in range(begin_ns, end_ns, controller.period_ns):
        while waiting and waiting[0][0] + delay_ns <= now_ns:
            controller.receive(waiting.pop(0)[1], now_ns + skew_ns)
        commands.append(controller.update(now_ns + skew_ns, measured, speed))
        speed = (commands[-1] - measured) * min(1.0, period_s / lag_s) / period_s
        measured = measured + speed * period_s
    return np.array(commands)


def assert_played_safely(
    robot: RobotSpec,
    sent: list[tuple[int, Waypoints]],
    *,
    rate_hz: float = 1000.0,
    from_desired: bool = True,
    **how: Any,
) -> None:
    """Nothing sent is refused, and what the controller makes of it keeps the limits.

    Between two points of the cubic the speed may exceed its limit by a quarter of what the
    acceleration limit adds in one period. A message that comes on the way to the point from which
    the new plan goes on changes the velocity there, and so the cubic under way: in that cycle the
    command goes so much further.
    """
    start = sent[0][1].positions[0]
    controller = TrajectoryController(start, rate_hz, from_desired=from_desired)
    commands = play(controller, sent, start, **how)
    assert controller.rejected == []
    limits, period_s = robot.joints.limits, robot.period_ns * 1e-9
    low, high = limits.position_array().T
    added = limits.acceleration_array() * period_s
    speed = np.abs(np.diff(commands, axis=0, prepend=start[None])) * 1e9 / controller.period_ns
    excess = speed - limits.velocity_array() - added / 4
    assert (excess > 1e-6).any(axis=1).sum() < len(sent)
    # Two plans part at a point by twice the acceleration limit at most, so their velocities there
    # by `added`; a cubic differs by 4/27 of that at most, when it comes at two thirds of the way.
    # An arm that goes at its full speed cannot gain any: half of that. A slower one is slower.
    turned = 4 / 27 * added * robot.period_ns / controller.period_ns
    assert (excess <= np.maximum(turned / 2, turned - added) + 1e-9).all(), excess.max()
    overshoot = added * period_s / 8
    assert (commands >= low - overshoot).all() and (commands <= high + overshoot).all()
