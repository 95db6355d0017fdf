# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: the buffer gives the target of any time, and late rows are never played."""

from __future__ import annotations

import numpy as np
import pytest

from motion_policy.control import ActionBuffer

T = 100  # policy period in ns, for readable numbers


def rows(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def test_empty_buffer_has_no_target() -> None:
    buffer = ActionBuffer()
    assert buffer.target(0) is None
    assert buffer.covers_until_ns is None
    buffer.add(rows(1.0), 0, T)
    buffer.clear()
    assert buffer.target(50) is None


def test_one_row_moves_linearly_over_one_period() -> None:
    buffer = ActionBuffer()
    buffer.add(rows(2.0), 1000, T, join_position=np.array([1.0]))
    targets = [float(buffer.target(t)[0]) for t in (900, 1000, 1025, 1050, 1100, 5000)]
    assert targets == pytest.approx([1.0, 1.0, 1.25, 1.5, 2.0, 2.0])
    assert buffer.covers_until_ns == 1100


def test_rows_are_reached_one_period_after_their_start() -> None:
    buffer = ActionBuffer()
    buffer.add(rows(1.0, 3.0, 2.0), 0, T, join_position=np.array([0.0]))
    times = (T, 2 * T, 3 * T, 150)
    assert [float(buffer.target(t)[0]) for t in times] == pytest.approx([1.0, 3.0, 2.0, 2.0])


def test_hold_steps_to_each_row_at_its_start() -> None:
    buffer = ActionBuffer('hold')
    buffer.add(rows(1.0, 3.0), 0, T, join_position=np.array([0.0]))
    times = (0, 99, 100, 199, 200, 999)
    assert [float(buffer.target(t)[0]) for t in times] == [1.0, 1.0, 3.0, 3.0, 3.0, 3.0]


def test_a_late_chunk_loses_its_past_rows_and_goes_on_from_the_command() -> None:
    buffer = ActionBuffer()
    used = buffer.add(rows(1.0, 2.0, 3.0), 0, T, join_ns=150, join_position=np.array([0.5]))
    assert used == 2
    assert buffer.lost_rows == 1
    assert float(buffer.target(150)[0]) == 0.5
    assert float(buffer.target(200)[0]) == 2.0


def test_a_chunk_that_is_over_changes_nothing() -> None:
    buffer = ActionBuffer()
    buffer.add(rows(1.0), 0, T)
    assert buffer.add(rows(9.0), 0, T, join_ns=100, join_position=np.array([0.0])) == 0
    assert float(buffer.target(100)[0]) == 1.0


def test_a_new_chunk_goes_on_from_where_the_old_plan_is() -> None:
    buffer = ActionBuffer()
    buffer.add(rows(1.0, 2.0), 0, T, join_position=np.array([0.0]))
    buffer.add(rows(0.0), 150, T)
    assert float(buffer.target(150)[0]) == pytest.approx(1.5)
    assert float(buffer.target(250)[0]) == 0.0


def test_huge_rows_do_not_overflow() -> None:
    buffer = ActionBuffer()
    with np.errstate(all='raise'):
        buffer.add(rows(-1.7e308, 1.7e308), 0, T)
        assert np.isfinite(buffer.target(150)).all()


def test_upcoming_rows_are_those_ahead() -> None:
    buffer = ActionBuffer()
    buffer.add(rows(1.0, 2.0, 3.0), 0, T, join_position=np.array([0.0]))
    times, positions = buffer.upcoming(150)
    assert times.tolist() == [200, 300]
    assert positions[:, 0].tolist() == [2.0, 3.0]
