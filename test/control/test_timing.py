# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Deadlines stay absolute, missed ones are counted, and a joint that is no number is a fault."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from control_robots import formula_arm

from motion_policy.control.observing import MeasuredJoints, robot_as_seen
from motion_policy.control.timing import Deadlines, RecentDurations
from motion_policy.streams import Row, Sample, observation_from_row

T = 100


def test_deadlines_do_not_drift_with_lateness() -> None:
    deadlines = Deadlines(T, 0)
    kept = [now for now in range(0, 10 * T, 7) if deadlines.arrive(now) is not None]
    assert len(kept) == 9
    assert all(now - k * T < 7 for k, now in enumerate(kept, start=1))
    assert deadlines.missed == 0


def test_missed_deadlines_are_counted_and_not_caught_up() -> None:
    deadlines = Deadlines(T, 0)
    assert deadlines.arrive(T - 1) is None
    assert deadlines.arrive(4 * T + 10) == 3 * T + 10
    assert deadlines.missed == 3
    assert deadlines.arrive(4 * T + 20) is None
    assert deadlines.arrive(5 * T) == 0
    assert deadlines.ticks == 2


def test_a_clock_that_goes_back_starts_the_deadlines_anew() -> None:
    deadlines = Deadlines(T, 100 * T)
    assert deadlines.arrive(5 * T) is None
    assert deadlines.next_ns == 6 * T
    assert deadlines.arrive(6 * T) == 0


def test_spread_is_over_the_newest_durations() -> None:
    recent = RecentDurations(100)
    assert recent.percentiles() is None
    for duration_ms in range(1, 201):
        recent.add(duration_ms * 1_000_000)
    percentiles = recent.percentiles()
    assert percentiles is not None
    assert (percentiles.p50_ms, percentiles.max_ms) == (150.5, 200.0)
    assert percentiles.p95_ms == pytest.approx(195.05)


def joint_message(**positions: float) -> SimpleNamespace:
    return SimpleNamespace(
        name=list(positions), position=list(positions.values()), velocity=[], effort=[]
    )


def row_with(message: object, **faults: str) -> Row:
    return Row(0, {'state': Sample(1, 1, message)}, dict(faults))


def test_joints_are_measured_by_name() -> None:
    measured, faults = MeasuredJoints(formula_arm()).read(
        row_with(joint_message(joint3=0.3, extra=9.0, joint1=0.1, joint2=0.2))
    )
    assert measured is not None and measured.tolist() == [0.1, 0.2, 0.3]
    assert faults == {}


@pytest.mark.parametrize('joint2', [None, np.nan])
def test_a_joint_that_is_missing_or_no_number_is_a_fault_until_it_is_back(
    joint2: float | None,
) -> None:
    joints = MeasuredJoints(formula_arm())
    broken = {'joint1': 0.1, 'joint3': 0.3} | ({} if joint2 is None else {'joint2': joint2})
    measured, faults = joints.read(row_with(joint_message(**broken)))
    assert measured is None and "joint 'joint2'" in faults['state']
    measured, faults = joints.read(row_with(joint_message(joint1=1.0, joint2=2.0, joint3=3.0)))
    assert measured is not None and faults == {}


@pytest.mark.parametrize('velocity', [(), (0.1, 0.2, 0.3), (0.1, np.nan, 0.3)])
@pytest.mark.parametrize('effort', [(), (1.0, 2.0, 3.0)])
def test_the_joints_of_a_tick_are_those_of_its_observation(
    velocity: tuple[float, ...], effort: tuple[float, ...]
) -> None:
    joints = MeasuredJoints(formula_arm())
    given = [((9.0,) * 3, (9.0,) * 3), (velocity, effort), ((8.0,) * 3, (8.0,) * 3)]
    for velocities, efforts in given:
        message = joint_message(joint1=0.1, joint2=0.2, joint3=0.3)
        message.velocity, message.effort = velocities, efforts
        row = row_with(message)
        joints.read(row)
        observation = observation_from_row(row, robot_as_seen(formula_arm(), ()))
        qpos, qvel, found_effort = joints.joints()
        np.testing.assert_array_equal(qpos, observation.qpos)
        np.testing.assert_array_equal(qvel, observation.qvel)
        assert (found_effort is None) == (observation.effort is None)
        if found_effort is not None:
            np.testing.assert_array_equal(found_effort, observation.effort)


def test_a_stale_state_gives_no_measurement_but_a_stale_camera_does() -> None:
    message = joint_message(joint1=0.1, joint2=0.2, joint3=0.3)
    joints = MeasuredJoints(formula_arm())
    assert joints.read(row_with(message, state='stale'))[0] is None
    measured, faults = joints.read(row_with(message, top='stale'))
    assert measured is not None and faults == {'top': 'stale'}


def test_a_policy_watches_its_cameras_and_no_leader() -> None:
    robot = robot_as_seen(formula_arm(), ())
    assert robot.stream_names == ('state',)
