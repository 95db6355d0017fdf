# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Mixing gives the policy p * sensor + (1 - p) * its own prediction, of the same moment only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from judged_policies import GREY, WEIGHT, echo_runner, line_arm

from motion_policy.control import Mix, PolicyRunner
from motion_policy.errors import UserError
from motion_policy.streams import Observation

PERIOD_NS = 100_000_000
FREE = Mix(joint=0, image=0, effort=0)

torch.set_num_threads(1)


def observation(step: int, efforts: bool = True) -> Observation:
    """Joints, efforts and greys that grow from step to step."""
    qpos = np.array([0.3 * step, -0.2 * step], np.float32)
    images = {
        'top': np.full((16, 24, 3), 10 * step, np.uint8),
        'side': np.full((8, 12, 3), 20 * step, np.uint8),
    }
    return Observation(qpos, 0 * qpos, 2 * qpos if efforts else None, images, None)


def seen_joints(runner: PolicyRunner, steps: int, period_ns: int = PERIOD_NS) -> np.ndarray:
    """The joints that the policy saw at each step: it answers with them."""
    chunks = [runner.infer(observation(s), False, s * period_ns)[0][0] for s in range(steps)]
    return np.stack(chunks)


def sensed(steps: int) -> np.ndarray:
    """The joints as the sensors gave them."""
    return np.stack([observation(step).qpos for step in range(steps)])


@pytest.mark.parametrize('share', [0.0, 0.3, 0.8, 1.0])
def test_joints_are_mixed_with_the_last_prediction(share: float) -> None:
    expected = sensed(5)
    for step in range(1, 5):
        expected[step] = share * expected[step] + (1 - share) * expected[step - 1]
    seen = seen_joints(echo_runner(line_arm(), mix=Mix(joint=share)), 5)
    np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_each_camera_is_mixed_with_its_own_prediction() -> None:
    runner = echo_runner(line_arm(), mix=Mix(image=0.75), cameras=('top', 'side'))
    first = runner.infer(observation(1))[1]
    assert not [name for name in first if name.startswith('seen/')]
    second = runner.infer(observation(2))[1]
    for camera, grey in (('top', 20), ('side', 40)):
        mixture = round(0.75 * grey + 0.25 * GREY)
        assert (second[f'seen/{camera}'] == mixture).all()
        assert second[f'seen/{camera}'].shape == (8, 12, 3)
    np.testing.assert_allclose(
        second['hidden'][2:] * 255, [second['seen/top'][0, 0, 0], second['seen/side'][0, 0, 0]]
    )


def test_efforts_are_mixed_with_the_predicted_ones() -> None:
    runner = echo_runner(line_arm(), mix=Mix(effort=0.5), effort=True)
    runner.infer(observation(1))
    effort = runner.infer(observation(2))[1]['effort'] / WEIGHT
    before, now = 2 * observation(1).qpos, 2 * observation(2).qpos
    np.testing.assert_allclose(effort, 0.5 * now + 0.5 * WEIGHT * before, atol=1e-5)


def test_running_freely_is_what_the_first_observation_leads_to() -> None:
    runner = echo_runner(line_arm(), mix=FREE, effort=True)
    first = runner.infer(observation(3), time_ns=0)[0]
    for step in range(1, 5):
        chunk, extras = runner.infer(observation(step), time_ns=step * PERIOD_NS)
        np.testing.assert_allclose(chunk, first, atol=1e-5)
        assert (extras['seen/top'] == GREY).all()


def test_after_a_reset_the_policy_sees_the_sensor_alone() -> None:
    runner = echo_runner(line_arm(), mix=FREE)
    runner.infer(observation(3))
    runner.reset()
    chunk, extras = runner.infer(observation(1))
    np.testing.assert_allclose(chunk[0], observation(1).qpos, atol=1e-5)
    assert 'seen/top' not in extras


@pytest.mark.parametrize(
    ('periods', 'mixed'), [(0.6, True), (1.4, True), (1.6, False), (9, False)]
)
def test_a_prediction_serves_only_the_moment_that_it_was_made_for(
    periods: float, mixed: bool
) -> None:
    runner = echo_runner(line_arm(), mix=FREE)
    runner.infer(observation(1), time_ns=0)
    chunk = runner.infer(observation(2), time_ns=round(periods * PERIOD_NS))[0][0]
    np.testing.assert_allclose(chunk, observation(1 if mixed else 2).qpos, atol=1e-5)


def test_a_prediction_that_is_not_finite_is_not_mixed_in() -> None:
    runner = echo_runner(line_arm(), mix=Mix(joint=0.5))
    broken = observation(1)
    broken.qpos[:] = np.nan
    runner.infer(broken)
    np.testing.assert_allclose(runner.infer(observation(2))[0][0], observation(2).qpos, atol=1e-5)


def test_explaining_does_not_change_what_is_mixed() -> None:
    quiet, told = (echo_runner(line_arm(), mix=Mix(0.5, 0.5)) for _ in range(2))
    for step in range(4):
        chunk, nothing = quiet.infer(observation(step), explain=False)
        same, extras = told.infer(observation(step))
        np.testing.assert_array_equal(chunk, same)
        assert nothing == {} and extras


@pytest.mark.parametrize('share', [-0.1, 1.5, float('nan')])
@pytest.mark.parametrize('modality', ['joint', 'image', 'effort'])
def test_a_share_outside_its_range_is_refused_by_name(modality: str, share: float) -> None:
    with pytest.raises(UserError, match=f'mix of {modality} is .*from 0 .*to 1'):
        Mix(**{modality: share})


def test_a_policy_that_predicts_no_image_cannot_mix_images() -> None:
    blind = {'hyper': {'blind': True}}
    complaint = r"^echo: predicts no image of camera 'top', .*image is 0\.5, expected 1$"
    with pytest.raises(UserError, match=complaint):
        echo_runner(line_arm(), mix=Mix(image=0.5), **blind)
    seen = seen_joints(echo_runner(line_arm(), mix=Mix(joint=0), **blind), 3)
    np.testing.assert_allclose(seen, 0, atol=1e-6)


def test_a_policy_taught_with_efforts_refuses_a_robot_without() -> None:
    runner = echo_runner(line_arm(), effort=True)
    with pytest.raises(UserError, match=r"^echo: .*efforts.*'line_arm'.*\(joint_states\)$"):
        runner.infer(observation(1, efforts=False))
    with pytest.raises(UserError, match='efforts'):
        runner.check_observation(observation(1, efforts=False))
    runner.check_observation(observation(1))
    echo_runner(line_arm()).check_observation(observation(1, efforts=False))


def test_warming_up_leaves_no_prediction() -> None:
    runner = echo_runner(line_arm(), mix=FREE, effort=True)
    runner.warm_up()
    np.testing.assert_allclose(runner.infer(observation(2))[0][0], observation(2).qpos, atol=1e-5)
