# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The runner carries the policy's state from step to step, and never a broken one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from control_robots import formula_arm

from motion_policy.control import PolicyRunner
from motion_policy.control.attention_image import (
    DECODER_COLOUR,
    ENCODER_COLOUR,
    draw_attention,
)
from motion_policy.errors import UserError
from motion_policy.policies import PolicySpec, make_policy
from motion_policy.policies.normalisation import Normalisation, Range
from motion_policy.streams import Observation

ROBOT = formula_arm()


def runner() -> PolicyRunner:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    span = Range(min=(-0.5, -0.5, -0.5), max=(0.5, 0.5, 0.5))
    spec = PolicySpec(
        kind='sarnn',
        rate=10.0,
        cameras=('top',),
        image_size=(24, 32),
        hyper={'rec_dim': 8, 'k_dim': 2},
        normalisation=Normalisation(qpos=span, action=span),
        robot=ROBOT,
    )
    return PolicyRunner(make_policy(spec).eval(), ROBOT)


def observation(step: int) -> Observation:
    image = np.full((24, 32, 3), 20 * step, np.uint8)
    image[step : step + 6, 5:11] = 255
    qpos = np.full(3, 0.05 * step, np.float32)
    return Observation(qpos, 0 * qpos, None, {'top': image}, None)


def test_the_state_goes_on_from_step_to_step_and_reset_forgets_it() -> None:
    one = runner()
    first = [one.infer(observation(step))[0] for step in range(3)]
    assert first[0].shape == (1, 3) and first[0].dtype == np.float64
    again = one.infer(observation(0))[0]
    assert not np.allclose(again, first[0], atol=1e-9)
    one.reset()
    np.testing.assert_array_equal([one.infer(observation(s))[0] for s in range(3)], first)


def test_explaining_does_not_change_the_action() -> None:
    plain, explained = runner(), runner()
    for step in range(3):
        chunk, nothing = plain.infer(observation(step), explain=False)
        same, extras = explained.infer(observation(step))
        np.testing.assert_array_equal(chunk, same)
        assert nothing == {}
        assert extras['encoder_points/top'].shape == extras['decoder_points/top'].shape == (2, 2)
        assert extras['image/top'].shape == (24, 32, 3)
        assert extras['hidden'].shape == (8,)


def test_warming_up_leaves_no_state() -> None:
    warm, cold = runner(), runner()
    warm.warm_up()
    np.testing.assert_array_equal(warm.infer(observation(1))[0], cold.infer(observation(1))[0])


def test_a_state_that_led_to_nan_is_never_used_again() -> None:
    one = runner()
    fresh = one.infer(observation(0))[0]
    broken = observation(1)
    broken.qpos[:] = np.nan
    assert not np.isfinite(one.infer(broken)[0]).all()
    np.testing.assert_array_equal(one.infer(observation(0))[0], fresh)


def test_a_policy_for_other_joints_is_refused_and_names_them() -> None:
    with pytest.raises(UserError, match='joint4'):
        PolicyRunner(runner().policy, formula_arm(4))


def test_attention_points_stand_where_they_are_on_a_magnified_picture() -> None:
    grey = np.full((24, 32, 3), 90, np.uint8)
    picture = draw_attention(grey, np.array([[0.0, 0.0]]), np.array([[1.0, 0.5]]))
    assert picture.shape == (480, 640, 3)
    assert tuple(picture[9, 9]) == ENCODER_COLOUR
    assert tuple(picture[240, 629]) == DECODER_COLOUR
    assert (grey == 90).all()


def test_attention_points_outside_stand_at_the_edge_and_nan_is_left_out() -> None:
    grey = np.full((480, 640, 3), 90, np.uint8)
    assert (draw_attention(grey, np.array([[np.nan, 0.5]]), None) == 90).all()
    picture = draw_attention(grey, np.array([[9.0, -9.0]]), None)
    assert tuple(picture[0, 639]) == ENCODER_COLOUR
