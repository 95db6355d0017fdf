# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Policies learn from the vectors that `inputs` names, from whole episodes and from rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policy_examples import small_robot, spec
from recordings import numbers, with_vectors, write_episode
from training_runs import ACT_RUN, SARNN_RUN, run_to_the_end, small_run

from motion_policy.control import PolicyRunner
from motion_policy.errors import UserError
from motion_policy.evaluation.offline import evaluate_recordings
from motion_policy.evaluation.recordings import find_recordings
from motion_policy.policies import Policy, load_policy, save_policy
from motion_policy.policies.kinds import make_model
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.training import train_config
from motion_policy.training.action_chunk_dataset import ActionChunkDataset
from motion_policy.training.demonstrations import Demonstrations, load_demonstrations
from motion_policy.training.sequence_dataset import SequenceDataset, collate
from motion_policy.training.train import no_progress

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
ROBOT = with_vectors(small_robot())
INPUTS = ['wrench', 'skin']
CAE_RNN_RUN: dict[str, Any] = {
    'policy': {'kind': 'cae_rnn', 'rec_dim': 12}, 'image_size': [32, 64], 'batch_size': 2,
    'epochs': 2, 'pictures_every': 2,
    'scheduled_sampling': {'joint': 0.5, 'image': 0.3, 'epochs': 2}, 'bptt_steps': 3,
}  # fmt: skip
RUNS = {'sarnn': SARNN_RUN, 'act': ACT_RUN, 'cae_rnn': CAE_RNN_RUN}


@pytest.fixture(scope='module')
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('data')
    for number, length in enumerate((40, 25, 32)):
        path = folder / f'episode_{number:06d}.hdf5'
        write_episode(path, length, robot=ROBOT, compress=False)
    return folder


def load(folder: Path, **changes: Any) -> Demonstrations:
    run = {**SARNN_RUN, 'inputs': INPUTS, **changes}
    return load_demonstrations(train_config(small_run(folder, folder / 'run', **run)), no_progress)


def test_vectors_are_read_in_the_order_of_the_key_and_ranged(demonstrations: Path) -> None:
    data = load(demonstrations)
    whole = {episode.length: episode for episode in data.train}
    longest = whole[max(whole)]
    assert longest.inputs is not None and longest.inputs.shape[1] == 7
    assert longest.inputs[7].tolist() == [*numbers(7, 3), *numbers(7, 4)]
    given = data.range_normalisation().inputs
    rows = torch.cat([e.inputs for e in data.train if e.inputs is not None])
    assert given is not None and given.offset == pytest.approx(rows.amin(0).tolist())
    assert data.mean_std_normalisation().inputs.scale == pytest.approx(  # type: ignore[union-attr]
        rows.std(0, correction=0).tolist()
    )
    assert load(demonstrations, inputs=[]).train[0].inputs is None
    assert load(demonstrations, inputs=[]).range_normalisation().inputs is None
    batch = collate([SequenceDataset([longest], 5)[0, 3]])
    assert batch.inputs is not None and batch.to('cpu').inputs is not None
    assert batch.inputs[0, 1].tolist() == [*numbers(8, 3), *numbers(8, 4)]
    chunks = ActionChunkDataset(data.train, chunk=2)[[0, 2]]
    assert chunks.inputs is not None
    assert chunks.inputs[1].tolist() == [*numbers(2, 3), *numbers(2, 4)]


@pytest.mark.parametrize('kind', RUNS)
def test_a_policy_that_was_trained_with_vectors_needs_them(
    kind: str, demonstrations: Path, tmp_path: Path
) -> None:
    run = {**RUNS[kind], 'inputs': INPUTS}
    if kind == 'cae_rnn':
        autoencoder = make_model(
            spec(kind='cae', hyper={'feat_dim': 3}, image_size=(32, 64), robot=ROBOT)
        )
        run['policy'] = {**run['policy'], 'cae': str(save_policy(autoencoder, tmp_path / 'cae'))}
    output = run_to_the_end(small_run(demonstrations, tmp_path / 'run', **run))
    policy = load_policy(output / 'best')
    assert policy.spec.inputs == ('wrench', 'skin')
    assert policy.spec.normalisation.inputs is not None
    runner = PolicyRunner(policy, policy.spec.robot)
    found = find_recordings([demonstrations], policy)
    assert len(found) == 3
    evaluation = evaluate_recordings(runner, found[:1])
    assert np.isfinite(evaluation.pooled().rmse).all()
    assert depends_on_vectors(policy)
    without = write_episode(tmp_path / 'episode_000000.hdf5', 20, robot=small_robot())
    with pytest.raises(UserError, match="needs vector 'wrench'"):
        find_recordings([without], policy)


def depends_on_vectors(policy: Policy) -> bool:
    observation: Any = {'qpos': torch.zeros(1, 5), 'images': {}, 'inputs': torch.zeros(1, 7)}
    observation['images']['top'] = torch.zeros(1, 24, 32, 3, dtype=torch.uint8)
    chunk, _ = policy.act(observation, None)
    other, _ = policy.act({**observation, 'inputs': torch.full((1, 7), 30.0)}, None)
    return not torch.equal(chunk, other)


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('wrench:', 'force:', "has no vector 'wrench', but: force, skin"),
        ('wrench.force.z', 'wrench.torque.z', "'wrench' .*torque.z.*, expected .*force.z"),
        ('newest', 'mean', "'wrench' mean of wrench.*, expected newest of wrench.force.x"),
    ],
)
def test_episodes_that_have_other_vectors_are_one_line(
    demonstrations: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    other = robot_spec_from_yaml(ROBOT.to_yaml().replace(old, new), 'other')
    for number, robot in enumerate((ROBOT, other)):
        write_episode(tmp_path / f'episode_{number:06d}.hdf5', 40, robot=robot, compress=False)
    with pytest.raises(UserError, match=words):
        load(tmp_path, data={'train': [str(tmp_path)], 'validation': 0.0})
