# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The runner carries the policy's state from step to step, and never a broken one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from control_robots import formula_arm

from motion_policy.control import Mix, PolicyRunner
from motion_policy.control.attention_drawing import (
    DECODER_COLOUR,
    ENCODER_COLOUR,
    draw_attention,
)
from motion_policy.errors import UserError
from motion_policy.policies import PolicySpec, make_policy
from motion_policy.policies.backends.selection import BOUNDS
from motion_policy.policies.cpu.processor import forbid_tf32
from motion_policy.policies.normalisation import MeanStd, MinMax, Normalisation
from motion_policy.policies.uploads import Upload, Uploads
from motion_policy.streams import Observation

ROBOT = formula_arm()


def runner() -> PolicyRunner:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    span = MinMax(min=(-0.5, -0.5, -0.5), max=(0.5, 0.5, 0.5))
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


def test_warming_up_takes_the_steps_that_are_slow_only_once() -> None:
    one, seen = runner(), []
    infer = one.policy.infer

    def noted(*arguments: Any) -> Any:
        seen.append(arguments)
        return infer(*arguments)

    one.policy.infer = noted  # type: ignore[method-assign]
    one.warm_up(2)
    assert len(seen) == 2


def test_a_chunk_of_two_rows_is_not_mixed_into_what_the_policy_sees() -> None:
    spread = MeanStd(mean=(0.1, 0.1, 0.1), std=(0.2, 0.2, 0.2))
    hyper = {
        'chunk': 2, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 16, 'encoder_layers': 1,
        'backbone': 'small', 'posterior': False,
    }  # fmt: skip
    spec = PolicySpec(
        kind='act',
        rate=10.0,
        cameras=('top',),
        image_size=(96, 128),
        hyper=hyper,
        normalisation=Normalisation(qpos=spread, action=spread),
        robot=ROBOT,
    )
    torch.manual_seed(0)
    policy = make_policy(spec).eval()
    with pytest.raises(UserError, match='chunks of 2 rows, which cannot be mixed'):
        PolicyRunner(policy, ROBOT, Mix(joint=0.5))
    plain, image = PolicyRunner(policy, ROBOT), np.zeros((24, 32, 3), np.uint8)
    image[:, :9] = 200
    for step in range(2):  # nor averaged with the one before, where nobody asked for that
        qpos = np.full(3, 0.2 * step, np.float32)
        seen = Observation(qpos, 0 * qpos, None, {'top': image}, None)
        chunk = plain.infer(seen, explain=False, time_ns=step * policy.period_ns)[0]
        fresh = PolicyRunner(policy, ROBOT).infer(seen, explain=False)[0]
        np.testing.assert_array_equal(chunk, fresh)


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


def test_attention_points_stand_where_they_are_on_a_magnified_image() -> None:
    grey = np.full((24, 32, 3), 90, np.uint8)
    frame = draw_attention(grey, np.array([[0.0, 0.0]]), np.array([[1.0, 0.5]]))
    assert frame.shape == (480, 640, 3)
    assert tuple(frame[9, 9]) == ENCODER_COLOUR
    assert tuple(frame[240, 629]) == DECODER_COLOUR
    assert (grey == 90).all()


def test_attention_points_outside_stand_at_the_edge_and_nan_is_left_out() -> None:
    grey = np.full((480, 640, 3), 90, np.uint8)
    assert (draw_attention(grey, np.array([[np.nan, 0.5]]), None) == 90).all()
    frame = draw_attention(grey, np.array([[9.0, -9.0]]), None)
    assert tuple(frame[0, 639]) == ENCODER_COLOUR


def test_on_a_cpu_the_policy_sees_the_arrays_themselves() -> None:
    seen = observation(1)
    batch = runner()._batch(seen)
    assert batch['images']['top'].data_ptr() == seen.images['top'].ctypes.data
    assert batch['qpos'].data_ptr() == seen.qpos.ctypes.data


def test_uploads_are_made_once_and_hold_the_numbers_of_the_last_array() -> None:
    uploads = Uploads(torch.device('cpu'))
    first, second = (observation(step).images['top'] for step in (1, 2))
    first.flags.writeable = False  # as the view of a message is
    held = uploads('top', first)
    place, known = held.data_ptr(), first.copy()
    np.testing.assert_array_equal(held, known)
    again = uploads('top', second)
    assert again.data_ptr() == place and again.dtype == torch.uint8
    np.testing.assert_array_equal(again, second)
    np.testing.assert_array_equal(first, known)  # nobody wrote there
    assert uploads('side', first).data_ptr() != place
    assert uploads('top', second[:12]).shape == (12, 32, 3)


def test_through_uploads_a_policy_answers_the_same() -> None:
    plain, uploading = runner(), runner()
    uploading._uploads = Uploads(torch.device('cpu'))
    for step in range(3):
        (expected, told), (found, seen) = (
            one.infer(observation(step)) for one in (plain, uploading)
        )
        np.testing.assert_array_equal(found, expected)
        assert told.keys() == seen.keys()
    kept = {name: one.host.data_ptr() for name, one in uploading._uploads._by_name.items()}
    assert set(kept) == {'qpos', 'images/top'}
    uploading.infer(observation(3))
    assert kept == {n: one.host.data_ptr() for n, one in uploading._uploads._by_name.items()}


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_on_a_gpu_images_go_through_pinned_memory_and_the_state_stays_there() -> None:
    plain, on_gpu = runner(), runner()
    forbid_tf32(torch.device('cuda'))  # as `load_policy` does
    on_gpu = PolicyRunner(on_gpu.policy.to('cuda'), ROBOT, Mix(joint=0.8))
    plain = PolicyRunner(plain.policy, ROBOT, Mix(joint=0.8))
    for step in range(3):
        expected, found = (one.infer(observation(step))[0] for one in (plain, on_gpu))
        np.testing.assert_allclose(found, expected, atol=BOUNDS['float32'])
    assert on_gpu._uploads is not None
    for upload in on_gpu._uploads._by_name.values():
        assert isinstance(upload, Upload)
        assert upload.host.is_pinned() and upload.value.is_cuda
    assert all(part.is_cuda for part in on_gpu._state)
    assert on_gpu._mixer._joints is not None and on_gpu._mixer._joints.is_cuda
    torch.cuda.set_sync_debug_mode('error')  # nothing before the chunk is waited for
    try:
        sensor = on_gpu._batch(observation(3))
        on_gpu.policy.act(on_gpu._mixer.mixed(sensor, None), on_gpu._state)
    finally:
        torch.cuda.set_sync_debug_mode('default')
