# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: the cubic plan passes every row, has one speed there, and never leaves their range."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from motion_policy.control import ActionBuffer
from motion_policy.control.cubic import piece

T = 1_000_000  # policy period in ns
STEP = 10_000  # between the points that are looked at


def rows(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def curve(buffer: ActionBuffer, begin_ns: int, end_ns: int) -> np.ndarray:
    points = [buffer.target(t) for t in range(begin_ns, end_ns + 1, STEP)]
    return np.array(points)


def random_plan(seed: int, count: int = 12) -> tuple[ActionBuffer, np.ndarray]:
    """A plan of 3 joints with steps, straights and rests."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(count, 3)) * rng.choice([0.0, 0.1, 1.0, 5.0], size=(count, 3))
    chunk = np.cumsum(steps, axis=0)
    buffer = ActionBuffer('cubic')
    buffer.add(chunk, 0, T, join_position=np.zeros(3))
    return buffer, np.concatenate((np.zeros((1, 3)), chunk))


@pytest.mark.parametrize('seed', range(20))
def test_it_passes_every_row_and_stays_between_them(seed: int) -> None:
    buffer, wanted = random_plan(seed)
    for index, (begin, end) in enumerate(pairwise(wanted)):
        np.testing.assert_allclose(buffer.target(index * T), begin, atol=1e-12)
        points = curve(buffer, index * T, (index + 1) * T)
        assert (points >= np.minimum(begin, end)).all() and (
            points <= np.maximum(begin, end)
        ).all()
        rising = np.sign(end - begin)
        assert (np.diff(points, axis=0) * rising >= -1e-12).all()  # and never turns on the way


def test_the_speed_that_it_tells_is_that_of_its_points() -> None:
    ends, slopes = (np.array([0.0, 1.0]), np.array([2.0, 1.5])), (np.array([1.0, 0.2]),) * 2
    for share in (0.1, 0.3, 0.5, 0.8):
        _, slope = piece(share, 0.4, ends, slopes)
        before, after = (piece(share + by, 0.4, ends, slopes)[0] for by in (-1e-6, 1e-6))
        np.testing.assert_allclose(slope, (after - before) / (2e-6 * 0.4), rtol=1e-6)


@pytest.mark.parametrize('seed', range(5))
def test_its_speed_does_not_jump_where_that_of_straight_lines_does(seed: int) -> None:
    cubic, wanted = random_plan(seed)
    linear = ActionBuffer('linear')
    linear.add(wanted[1:], 0, T, join_position=wanted[0])
    end_ns = (len(wanted) - 1) * T
    jumps = [
        np.abs(np.diff(curve(buffer, 0, end_ns), n=2, axis=0)).max() for buffer in (cubic, linear)
    ]
    assert jumps[0] < 0.1 * jumps[1]


def test_a_straight_line_stays_one() -> None:
    buffer = ActionBuffer('cubic')
    buffer.add(rows(1.0, 2.0), 0, T, join_position=np.array([0.0]))
    buffer.add(rows(3.0, 4.0, 5.0), 2 * T, T, join_ns=2 * T, join_position=np.array([2.0]))
    times = np.arange(2 * T, 5 * T, STEP)
    targets = [float(buffer.target(t)[0]) for t in times.tolist()]
    np.testing.assert_allclose(targets, times / T, rtol=1e-12)


def test_single_rows_one_after_the_other_make_one_smooth_motion() -> None:
    buffer = ActionBuffer('cubic')
    position, speeds = np.array([0.0]), []
    for index, value in enumerate((0.1, 0.4, 0.9, 1.2, 1.1)):
        begin_ns = index * T
        buffer.add(rows(value), begin_ns, T, join_ns=begin_ns, join_position=position)
        points = curve(buffer, begin_ns, begin_ns + T)[:, 0]
        speeds.append(np.diff(points))
        position = points[-1:]
    for before, after in pairwise(speeds[:4]):
        assert abs(after[0] - before[-1]) < 0.1 * np.abs(before).max()
    assert abs(speeds[4][0]) < 0.05 * np.abs(speeds[4]).max()  # where it turns it stops
    assert abs(speeds[0][0]) < 0.05 * speeds[0].max()  # it begins at rest


def test_before_and_after_the_plan_it_rests() -> None:
    buffer = ActionBuffer('cubic')
    buffer.add(rows(1.0, 3.0), 100, T, join_position=np.array([2.0]))
    assert [float(buffer.target(t)[0]) for t in (0, 100, 100 + 2 * T, 9 * T)] == [2, 2, 3, 3]


def test_what_lies_beyond_every_limit_does_not_overflow() -> None:
    buffer = ActionBuffer('cubic')
    with np.errstate(all='raise', under='ignore'):
        buffer.add(rows(-1.7e308, 1.7e308, 1e-310, 2e-310, 3e-310), 0, T)
        assert np.isfinite(curve(buffer, 0, 5 * T)).all()


def test_a_plan_that_is_joined_at_its_very_end_goes_on_with_the_speed_it_had_there() -> None:
    plans = []
    for early_ns in (1, 0):
        buffer = ActionBuffer('cubic')
        buffer.add(rows(0.0, 1.0, 3.0, 6.0), 0, T)
        assert buffer.covers_until_ns is not None
        end_ns = buffer.covers_until_ns
        join_ns = end_ns - early_ns
        end = buffer.target(join_ns)
        assert end is not None
        buffer.add(rows(6.5, 7.0, 7.0), end_ns, T, join_ns=join_ns, join_position=end)
        plans.append(curve(buffer, end_ns, end_ns + 2 * T))
    np.testing.assert_allclose(*plans, atol=1e-4)
