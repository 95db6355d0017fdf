# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Replays of a policy give the errors that arithmetic says, with and without mixing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from judged_policies import GREY, WEIGHT, echo_runner, line_arm

from motion_policy.control import Mix
from motion_policy.errors import UserError
from motion_policy.evaluation.open_loop import ReplayStep, replay
from motion_policy.evaluation.recordings import RecordedRow
from motion_policy.streams import Observation

START_NS = 1_700_000_000_000_000_000
SPEED = np.array([0.5, -0.02])  # rad/s and m/s
LEAD = np.array([0.1, 0.01])  # of the leader before the arm
LOAD = np.float32(2)  # efforts per position
PERIOD_S = 0.1


def rows(
    count: int, rate: float = 50.0, grey: int = 51, left_out: range = range(0), leader: bool = True
) -> Iterator[RecordedRow]:
    """An arm that moves at constant speed before a grey wall."""
    for index in range(count):
        if index in left_out:
            continue
        qpos = (SPEED * index / rate).astype(np.float32)
        images = {
            'top': np.full((16, 24, 3), grey, np.uint8),
            'side': np.full((8, 12, 3), grey + 30, np.uint8),
        }
        action = (qpos + LEAD).astype(np.float32) if leader else None
        observation = Observation(qpos, np.zeros(2, np.float32), LOAD * qpos, images, action)
        time_ns = START_NS + round(index * 1e9 / rate)
        yield RecordedRow(time_ns, qpos, action, lambda seen=observation: seen)


def test_an_answer_is_held_against_the_row_one_period_later() -> None:
    result = replay(echo_runner(line_arm()), rows(101), 50.0)
    errors = result.errors()
    assert errors.steps == 20
    assert errors.names == ('shoulder', 'slide')
    for values in (errors.rmse, errors.mae, errors.largest):
        np.testing.assert_allclose(values, np.abs(SPEED) * PERIOD_S, atol=1e-5)
    np.testing.assert_allclose(result.due_s, np.arange(1, 22) * PERIOD_S, atol=1e-9)


def test_an_action_policy_is_held_against_the_leader() -> None:
    result = replay(echo_runner(line_arm(), target='action'), rows(101), 50.0)
    assert result.truth_kind == 'action'
    expected = np.abs(SPEED * PERIOD_S + LEAD)
    np.testing.assert_allclose(result.errors().rmse, expected, atol=1e-5)


def test_without_a_leader_the_measured_joints_are_the_truth() -> None:
    result = replay(echo_runner(line_arm(), target='action'), rows(101, leader=False), 50.0)
    assert result.truth_kind == 'qpos'
    np.testing.assert_allclose(result.errors().rmse, np.abs(SPEED) * PERIOD_S, atol=1e-5)


@pytest.mark.parametrize('mix', [1.0, 0.8, 0.3, 0.0])
def test_mixing_feeds_the_last_prediction_back(mix: float) -> None:
    result = replay(echo_runner(line_arm(), mix=Mix(mix, mix)), rows(101), 50.0)
    seen = [np.zeros(2)]
    for step in range(1, 21):
        seen.append(mix * SPEED * step * PERIOD_S + (1 - mix) * seen[-1])
    np.testing.assert_allclose(result.predicted, np.stack(seen), atol=1e-5)


def test_mixing_blends_the_image_with_the_predicted_one() -> None:
    steps: list[ReplayStep] = []
    runner = echo_runner(line_arm(), mix=Mix(image=0.75))
    replay(runner, rows(11, grey=50), 50.0, watch=steps.append)
    first, second, third = (step.extras for step in steps)
    assert 'seen/top' not in first
    assert second['seen/top'].shape == (8, 12, 3)
    assert (second['seen/top'] == round(0.75 * 50 + 0.25 * GREY)).all()
    assert (third['seen/top'] == second['seen/top']).all()


def test_the_predicted_image_is_scored_against_the_next_one() -> None:
    result = replay(echo_runner(line_arm()), rows(101, grey=51), 50.0)
    assert result.image_mse == {'top': pytest.approx(((GREY - 51) / 255) ** 2)}


def test_an_image_after_a_hole_is_not_scored() -> None:
    before = rows(101, grey=51, left_out=range(41, 101))
    after = rows(101, grey=GREY, left_out=range(58))
    result = replay(echo_runner(line_arm()), itertools.chain(before, after), 50.0)
    # Eight pairs of steps before the hole are wrong, eight after it are right.
    assert result.image_mse == {'top': pytest.approx(((GREY - 51) / 255) ** 2 / 2)}


def test_a_rate_that_does_not_divide_takes_the_nearest_rows() -> None:
    steps: list[ReplayStep] = []
    result = replay(echo_runner(line_arm(), rate=7.0), rows(101), 50.0, watch=steps.append)
    times = np.array([step.time_s for step in steps])
    np.testing.assert_allclose(times, np.arange(len(times)) / 7, atol=0.0101)
    assert np.isfinite(result.due_truth[:-1]).all()


def test_a_hole_in_the_recording_is_not_scored() -> None:
    result = replay(echo_runner(line_arm()), rows(101, left_out=range(38, 58)), 50.0)
    errors = result.errors()
    assert errors.steps < 20
    np.testing.assert_allclose(errors.largest, np.abs(SPEED) * PERIOD_S, atol=1e-5)


@pytest.mark.parametrize('count', [0, 1, 4])
def test_a_recording_too_short_to_judge_is_refused(count: int) -> None:
    with pytest.raises(UserError, match=r'short\.hdf5: .*expected'):
        replay(echo_runner(line_arm()), rows(count), 50.0, source='short.hdf5')


def test_each_camera_is_scored_alone_and_the_efforts_too() -> None:
    runner = echo_runner(line_arm(), cameras=('top', 'side'), effort=True)
    result = replay(runner, rows(101, grey=51), 50.0)
    assert set(result.image_mse) == {'top', 'side'}
    assert result.image_mse['side'] == pytest.approx(((GREY - 81) / 255) ** 2)
    assert result.efforts is not None
    predicted, recorded = result.efforts
    steps = np.arange(20)[:, None] * PERIOD_S
    np.testing.assert_allclose(predicted, WEIGHT * LOAD * SPEED * steps, atol=1e-5)
    np.testing.assert_allclose(recorded, LOAD * SPEED * (steps + PERIOD_S), atol=1e-5)


def test_hidden_states_come_one_per_step() -> None:
    result = replay(echo_runner(line_arm()), rows(101, grey=51), 50.0)
    assert result.hidden is not None and result.hidden.shape == (21, 3)
    np.testing.assert_allclose(result.hidden[:, 2], 51 / 255, atol=1e-6)


def test_an_answer_that_is_not_finite_is_named() -> None:
    runner = echo_runner(line_arm())
    with pytest.raises(UserError, match=r'echo: .*not finite, row 5 of take\.hdf5'):
        replay(runner, _with_nan(rows(20)), 50.0, source='take.hdf5')


def _with_nan(source: Iterator[RecordedRow]) -> Iterator[RecordedRow]:
    for index, row in enumerate(source):
        if index == 5:
            row.qpos[0] = np.nan
        yield row
