# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Policies learn from the depth that `depth` names, and are judged on episodes and bags of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policy_examples import small_robot
from recordings import depth_image, with_depth, write_episode
from training_runs import ACT_RUN, CLIP_RUN, SARNN_RUN, run_to_the_end, small_run

from motion_policy.cli.main import main
from motion_policy.control import PolicyRunner
from motion_policy.errors import UserError
from motion_policy.evaluation.offline import evaluate_recordings
from motion_policy.evaluation.recordings import find_recordings
from motion_policy.policies import load_policy
from motion_policy.policies.depth_bytes import depth_numbers
from motion_policy.policies.normalisation import to_unit_images
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.training import train_config
from motion_policy.training.config import ConfigError
from motion_policy.training.demonstrations import Demonstrations, load_demonstrations
from motion_policy.training.train import no_progress

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
ROBOT = with_depth(small_robot())
DEPTH = {'top': [0.5, 1.1]}
CAE_RUN: dict[str, Any] = {
    'policy': {'kind': 'cae', 'feat_dim': 3}, 'image_size': [32, 64], 'batch_size': 8,
    'epochs': 2, 'pictures_every': 2,
    'augmentation': {'brightness': 0.2, 'translate': 0.1, 'autocontrast': 0.5},
}  # fmt: skip
CAE_RNN_RUN: dict[str, Any] = {
    'policy': {'kind': 'cae_rnn', 'rec_dim': 12}, 'image_size': [32, 64], 'batch_size': 2,
    'epochs': 2, 'pictures_every': 2, 'scheduled_sampling': {'image': 0.3, 'epochs': 2},
}  # fmt: skip
LIGHT = {'brightness': 0.2, 'hue': 0.1, 'image_noise': 0.01, 'erasing': 0.5}


@pytest.fixture(scope='module')
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('data')
    for number, length in enumerate((40, 25, 32)):
        path = folder / f'episode_{number:06d}.hdf5'
        write_episode(path, length, robot=ROBOT, compress=False)
    return folder


def load(folder: Path, run: dict[str, Any] = SARNN_RUN, **changes: Any) -> Demonstrations:
    run = {**run, 'depth': DEPTH, **changes}
    return load_demonstrations(train_config(small_run(folder, folder / 'run', **run)), no_progress)


def test_depth_is_read_as_it_is_seen_in_memory_and_from_the_files(demonstrations: Path) -> None:
    for hold in ('auto', 'no'):
        data = {'train': [str(demonstrations)], 'validation': 0.0, 'hold': hold}
        (first, *_) = load(demonstrations, ACT_RUN, image_size=[30, 40], data=data).train
        assert list(first.images) == ['top', 'depth_top']
        share = (depth_image(7) / 1000 - 0.5) / 0.6 * (depth_image(7) > 0)
        seen = first.images['depth_top'][7]
        assert seen.shape == (30, 40, 2)
        found = to_unit_images(seen[None])[0, 0].numpy()
        np.testing.assert_allclose(found, share.clip(0, 1), atol=1e-4)
        assert depth_numbers(seen[None]).unique().numel() > 60  # of which 8 bits keep 30


@pytest.mark.parametrize('kind', ['sarnn', 'act', 'cae_rnn'])
def test_a_policy_that_was_trained_with_depth_needs_it_and_is_judged_with_it(
    kind: str, demonstrations: Path, tmp_path: Path
) -> None:
    runs = {'sarnn': SARNN_RUN, 'act': ACT_RUN, 'cae_rnn': CAE_RNN_RUN}
    run = {**runs[kind], 'depth': DEPTH}
    if kind == 'sarnn':
        run |= {'augmentation': LIGHT}
    if kind == 'cae_rnn':
        cae = {**CAE_RUN, 'depth': DEPTH}
        autoencoder = run_to_the_end(small_run(demonstrations, tmp_path / 'cae', **cae))
        run['policy'] = {**run['policy'], 'cae': str(autoencoder / 'best')}
        other = {**run, 'depth': {'top': [0.5, 1.0]}}
        with pytest.raises(UserError, match=r"depth_top' was seen as .* 1.1 m, by .* 0.5 to 1 m"):
            run_to_the_end(small_run(demonstrations, tmp_path / 'run', **other))
    output = run_to_the_end(small_run(demonstrations, tmp_path / 'run', **run))
    policy = load_policy(output / 'best')
    assert policy.spec.depth == {'top': (0.5, 1.1)} and policy.cameras == ('top', 'depth_top')
    found = find_recordings([demonstrations], policy)
    assert len(found) == 3
    evaluation = evaluate_recordings(PolicyRunner(policy, policy.spec.robot), found[:1])
    assert np.isfinite(evaluation.pooled().rmse).all()
    without = write_episode(tmp_path / 'episode_000000.hdf5', 20, robot=small_robot())
    with pytest.raises(UserError, match=r"has no camera 'depth_top', which .* needs; it has: top"):
        find_recordings([without], policy)
    if kind == 'sarnn':
        paths = [str(output / 'best'), str(demonstrations / 'episode_000001.hdf5')]
        assert main(['evaluate', *paths, '--out', str(tmp_path / 'judged')]) == 0
        assert any((tmp_path / 'judged').glob('*.html'))
        assert main(['inspect', paths[0]]) == 0


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'depth': {'side': [0.5, 1.0]}}, "has no depth 'side', but: top"),
        ({'depth': {'top': [1.0, 0.5]}}, r'depth\.top: found \[1.0, 0.5\], expected \[near, far'),
        ({'depth': {'top': 0.5}}, r'depth\.top: found 0.5, expected list'),
        ({'depth': ['top']}, 'depth: found .* expected mapping'),
        ({'image_size': {'top': [12, 16]}}, "image_size: camera 'depth_top' is missing"),
        ({'fit': {'depth_side': 'pad'}}, "camera 'depth_side' is not one of cameras: top, dep"),
    ],
)
def test_a_wrong_depth_is_one_line(
    demonstrations: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load(demonstrations, **changes)


def test_depth_has_a_size_and_fit_of_its_own_and_needs_no_camera(demonstrations: Path) -> None:
    sizes = {'top': [12, 16], 'depth_top': [24, 20]}
    data = load(demonstrations, image_size=sizes, fit={'depth_top': {'crop': [0, 0, 25, 30]}})
    shapes = {name: tuple(image.shape[1:]) for name, image in data.train[0].images.items()}
    assert shapes == {'top': (12, 16, 3), 'depth_top': (24, 20, 2)}
    assert list(load(demonstrations, cameras=[]).train[0].images) == ['depth_top']


def test_a_run_goes_on_only_with_its_depth_cameras_in_their_order(tmp_path: Path) -> None:
    two = ROBOT.to_yaml() + '  side: {topic: side/depth, width: 40, height: 30}\n'
    write_episode(
        tmp_path / 'episode_000000.hdf5',
        12,
        robot=robot_spec_from_yaml(two, 'two'),
        compress=False,
    )
    seen = {'side': [0.1, 1.0], **DEPTH}
    run = small_run(tmp_path, tmp_path / 'run', **{**SARNN_RUN, 'depth': seen, 'epochs': 1})
    run_to_the_end(run)
    for depth in ({**DEPTH, 'side': [0.1, 1.0]}, DEPTH):
        with pytest.raises(ConfigError, match=r"begun with depth=\{'side': .*, now it is \{'top'"):
            run_to_the_end({**run, 'epochs': 2, 'depth': depth})


def test_a_frame_predictor_has_no_use_for_depth(demonstrations: Path, tmp_path: Path) -> None:
    run = small_run(demonstrations, tmp_path / 'run', **CLIP_RUN, depth=DEPTH)
    with pytest.raises(ConfigError, match=r"depth: .* but a 'frame_predictor' has no use for it"):
        train_config(run)
