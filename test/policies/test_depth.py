# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Depth is one more camera of every family: a share of its range, finer than eight bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from policy_examples import FAMILIES, random_observation, small_policy, small_robot
from recordings import depth_image, row_at, with_depth

from motion_policy.control import Mix, PolicyRunner
from motion_policy.control.attention_image import attended
from motion_policy.control.camera_monitor import CameraMonitor
from motion_policy.control.foresight import OwnForesight
from motion_policy.control.mixing import Mixer
from motion_policy.errors import UserError
from motion_policy.inference.policy_process import InferenceProcess
from motion_policy.inference.policy_setup import PolicySetup
from motion_policy.policies import Policy, load_policy, save_policy
from motion_policy.policies.backends.cuda_graph import StaticStep
from motion_policy.policies.backends.graph import step_facts, step_names
from motion_policy.policies.backends.selection import BackEndChoice, use_back_end
from motion_policy.policies.base import ObservationBatch
from motion_policy.policies.checkpoint import read_checkpoint, spec_to_yaml
from motion_policy.policies.convert.lerobot import to_lerobot
from motion_policy.policies.depth_bytes import depth_bytes, depth_numbers
from motion_policy.policies.depth_view import DepthView
from motion_policy.policies.normalisation import to_unit_images
from motion_policy.robot import ImageFit, RobotSpec
from motion_policy.streams import Observation, StreamError

torch.set_num_threads(1)
ROBOT = with_depth(small_robot())
NEAR, FAR = 0.5, 1.1
ACT = {
    'chunk': 6, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 24, 'encoder_layers': 1,
    'backbone': 'small', 'posterior': False,
}  # fmt: skip
CAE_RNN = {'rec_dim': 12, 'cae': {'feat_dim': 3}}
KINDS = {
    **FAMILIES, 'act': ACT, 'resnet': {**ACT, 'backbone': 'resnet18'}, 'cae_rnn': CAE_RNN,
    'mtrnn': {**CAE_RNN, 'rnn': 'mtrnn'},
}  # fmt: skip


def policy_of(kind: str, robot: RobotSpec = ROBOT, **changes: Any) -> Policy:
    given = {
        'kind': {'mtrnn': 'cae_rnn', 'resnet': 'act'}.get(kind, kind), 'hyper': KINDS[kind],
        'image_size': (32, 64), 'robot': robot, 'cameras': ('top', 'depth_top'),
        'depth': {'top': (NEAR, FAR)},
    }  # fmt: skip
    return small_policy(0, **{**given, **changes})


def observed(batch: int = 1, seed: int = 0) -> ObservationBatch:
    observation = random_observation(batch, seed=seed)
    depth = np.stack([depth_image(7 * seed + row) for row in range(batch)])
    observation['images']['depth_top'] = torch.from_numpy(depth)
    return observation


def test_what_is_seen_is_the_share_of_the_range_to_a_tenth_of_a_millimetre() -> None:
    millimetres = torch.tensor([[[0, 1, 499, 500, 501], [620, 800, 1099, 1100, 65535]]])
    view = DepthView('depth_top', (2, 5), (2, 5), near_m=NEAR, far_m=FAR)
    seen = view(depth_bytes(millimetres))
    expected = ((millimetres / 1000 - NEAR) / (FAR - NEAR)).clamp(0, 1)
    assert expected[0, 0, 0] == 0  # not measured: as near as can be
    unit = to_unit_images(seen)
    assert unit.shape == (1, 3, 2, 5) and torch.equal(unit[:, 0], unit[:, 2])
    torch.testing.assert_close(unit[:, 0], expected, rtol=0, atol=0.0001 / 0.6)
    assert torch.equal(depth_numbers(depth_bytes(millimetres)), millimetres.float())


def test_distances_are_not_mixed_when_an_image_shrinks() -> None:
    """Between a thing at 0.6 m and the table at 1 m there is nothing at 0.8 m."""
    millimetres = torch.where(torch.arange(40) % 7 < 3, 600, 1000).expand(1, 30, 40)
    for options in (ImageFit(), ImageFit(fit='pad', rotate=90), ImageFit(crop=(3, 2, 20, 11))):
        view = DepthView('depth_top', (30, 40), (8, 16), options, NEAR, FAR)
        unit = to_unit_images(view(depth_bytes(millimetres)))[:, 0]
        assert unit.shape == (1, 8, 16)
        shares = {0.0, (0.6 - NEAR) / 0.6, (1.0 - NEAR) / 0.6}
        found = {round(float(value), 4) for value in unit.unique()}
        assert found <= {round(share, 4) for share in shares} and len(found) > 1


@pytest.mark.parametrize('kind', KINDS)
def test_every_family_sees_depth_and_a_faster_step_sees_the_same(
    kind: str, tmp_path: Path
) -> None:
    policy = policy_of(kind)
    loaded = load_policy(save_policy(policy, tmp_path / 'policy'))
    assert loaded.spec.depth == {'top': (NEAR, FAR)} and loaded.cameras == ('top', 'depth_top')
    plain = [observed(seed=seed) for seed in range(2)]
    expected = [policy.act(observation, None)[0] for observation in plain]
    assert torch.equal(loaded.act(plain[0], None)[0], expected[0])
    moved: Any = {**plain[0], 'images': {**plain[0]['images']}}
    moved['images']['depth_top'] = plain[0]['images']['depth_top'].int() + 40  # mm
    assert not torch.equal(policy.act(moved, None)[0], expected[0])
    beyond: Any = {**plain[0], 'images': {**plain[0]['images']}}
    beyond['images']['depth_top'] = torch.zeros(1, 30, 40, dtype=torch.int32) + 3000
    further = beyond['images']['depth_top'] + 1000
    nothing = {**beyond, 'images': {**beyond['images'], 'depth_top': further}}
    assert torch.equal(policy.act(beyond, None)[0], policy.act(nothing, None)[0])
    assert {'image/top', 'image/depth_top'} <= {*step_names(policy).inputs}
    static = StaticStep(policy, 'float32')
    use_back_end(policy, BackEndChoice('torch'), lambda: 0, lambda line: None)
    assert (policy.back_end is None) == (kind == 'mtrnn')  # which has none
    for observation, chunk in zip(plain, expected, strict=True):
        torch.testing.assert_close(policy.act(observation, None)[0], chunk, rtol=1e-4, atol=1e-4)
        found, _, _ = static.act(observation, None, False)
        torch.testing.assert_close(found, chunk, rtol=1e-4, atol=1e-4)
    assert '"top": [0.5, 1.1]' in step_facts(policy)['motion_policy.depth_m']


def test_a_checkpoint_without_depth_reads_as_it_did_before_there_was_any() -> None:
    assert 'depth' not in yaml.safe_load(spec_to_yaml(small_policy().spec))


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'depth': {}}, 'depth has ranges of none, expected one of each .*: depth_top'),
        ({'cameras': ('top',)}, 'depth has ranges of top, expected .*: none'),
        ({'depth': {'top': (0.5, 0.5)}}, r'found \[0.5, 0.5\], expected \[near, far\] in m'),
        ({'depth': {'top': (0.5, 70)}}, 'less than or equal to 65.534'),
        ({'robot': small_robot()}, "camera 'depth_top' is not one of the robot's: top, side"),
    ],
)
def test_a_spec_whose_depth_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        policy_of('sarnn', **changes)


@pytest.mark.parametrize(
    ('image', 'words'),
    [
        (torch.zeros(1, 30, 40, 3, dtype=torch.uint8), r'expected \(batch, height, width, 2\)'),
        (torch.zeros(1, 30, 40), r"'depth_top' gives \(1, 30, 40\) torch.float32"),
        (None, "has no camera 'depth_top'"),
    ],
)
def test_an_observation_whose_depth_is_none_is_refused(image: Any, words: str) -> None:
    observation: Any = observed()
    observation['images'] |= {'depth_top': image}
    with pytest.raises(ValueError, match=words):
        policy_of('sarnn').act(observation, None)


def seen(step: int) -> Observation:
    random = np.random.default_rng(step)
    joints = random.uniform(-0.01, 0.01, 5).astype(np.float32)
    image = random.integers(0, 256, (24, 32, 3), np.uint8)
    depth = {'top': depth_image(step)}
    return Observation(joints, joints, None, {'top': image}, None, depth=depth)


def test_a_runner_takes_the_depth_of_an_observation_and_shows_what_was_seen() -> None:
    policy = policy_of('sarnn')
    runner = PolicyRunner(policy, ROBOT)
    runner.warm_up()
    observation = seen(3)
    batch: Any = {
        'qpos': torch.from_numpy(observation.qpos)[None],
        'images': {
            'top': torch.from_numpy(observation.images['top'])[None],
            'depth_top': torch.from_numpy(observation.depth['top'])[None],
        },
    }
    expected, _ = policy.act(batch, policy.initial_state(1))
    chunk, extras = runner.infer(observation)
    np.testing.assert_array_equal(chunk, expected[0].double().numpy())
    shown = attended(policy.views['depth_top'], observation.image('depth_top'), extras).image
    assert shown.shape == (32, 64, 3) and shown.dtype == np.uint8
    share = (observation.depth['top'][0, 0] / 1000 - NEAR) / (FAR - NEAR)
    assert abs(int(shown[0, 0, 0]) - 255 * share) <= 1 and (shown[-1, -1] == 0).all()
    with pytest.raises(UserError, match=r"needs camera 'depth_top', but .* has: top, side"):
        PolicyRunner(policy, small_robot())


def test_what_was_foreseen_of_depth_is_held_against_what_came() -> None:
    runner = PolicyRunner(policy_of('sarnn'), ROBOT)
    foresight = OwnForesight(runner.policy.spec)
    for step in range(2):
        chunk, extras = runner.infer(seen(step))
        found = foresight.look(step * 100_000_000, seen(step), chunk, extras)
    assert found is not None and {c for c in found.errors if 'depth_top' in c}
    assert np.isfinite(list(found.errors.values())).all()


def test_depth_is_mixed_with_what_was_predicted_of_it() -> None:
    policy = policy_of('sarnn')
    mixer = Mixer(policy, Mix(image=0.25))
    chunk, _, extras = policy.act_and_explain(observed(seed=1), None)
    mixer.keep(chunk, extras, None)
    image = mixer.mixed(observed(seed=2), None)['seen']['depth_top']
    sensor = to_unit_images(policy.seen_image(observed(seed=2), 'depth_top'))
    predicted = extras['image/depth_top'].float().mean(-1)[:, None] / 255
    expected = 0.25 * sensor[:, :1] + 0.75 * predicted
    torch.testing.assert_close(to_unit_images(image)[:, :1], expected, rtol=0, atol=1e-4)
    assert policy.act(mixer.mixed(observed(seed=2), None), None)[0].isfinite().all()


def test_a_depth_camera_that_measures_nothing_is_dark_and_one_that_repeats_is_frozen() -> None:
    monitor = CameraMonitor(ROBOT)
    monitor.check_light(seen(1))
    dark = replace(seen(1), depth={'top': np.zeros((30, 40), np.uint16)})
    with pytest.raises(StreamError, match=r"'depth_top' \(top/depth/image_raw\): nothing is meas"):
        monitor.check_light(dark)
    CameraMonitor(ROBOT, min_brightness=0).check_light(dark)
    with pytest.raises(StreamError, match=r"'depth_top' .*: the same image for .* while the arm"):
        for step in range(70):
            qpos = np.full(5, 0.01 * step, np.float32)
            monitor.check(replace(seen(step), qpos=qpos, depth=seen(0).depth), row_at(step, ROBOT))


def test_a_policy_that_sees_depth_is_no_lerobot_policy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'has .*depth, LeRobot has no such ACT'):
        to_lerobot(policy_of('resnet'), tmp_path / 'there')


@pytest.mark.slow
def test_a_process_gives_the_numbers_of_a_runner(tmp_path: Path) -> None:
    folder = save_policy(policy_of('sarnn'), tmp_path / 'policy')
    setup = PolicySetup(read_checkpoint(folder), ROBOT, back_end=BackEndChoice('eager'))
    runner = setup.make_runner(print)
    process = InferenceProcess(setup, lambda line: None, 120.0)
    try:
        for step in range(2):
            arguments = (seen(step), False, step * 100_000_000, 0)
            expected, _ = runner.infer(*arguments)
            np.testing.assert_array_equal(process.infer(*arguments)[0], expected)
    finally:
        process.close()
