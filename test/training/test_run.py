# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A run learns, tells what it does, and goes on where it ended, or says why it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from policy_examples import small_robot, write_demonstrations
from pytorch_lightning.callbacks import Callback
from recordings import write_episode
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import SARNN_RUN, run_to_the_end, small_run, weights

from motion_policy.cli.main import main
from motion_policy.policies import load_policy
from motion_policy.training import ConfigError, TrainConfig, train_config
from motion_policy.training.checkpoints import TrainingError
from motion_policy.training.train import train

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


@pytest.fixture(scope='module')
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp('data') / 'demos', (60, 45, 52, 60))


def content(demonstrations: Path, output: Path, **changes: Any) -> dict[str, Any]:
    return small_run(demonstrations, output, **{**SARNN_RUN, **changes})


def config(demonstrations: Path, output: Path, **changes: Any) -> TrainConfig:
    return train_config(content(demonstrations, output, **changes))


@pytest.fixture(scope='module')
def whole(demonstrations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output of a run of four epochs that nothing disturbed."""
    return run_to_the_end(content(demonstrations, tmp_path_factory.mktemp('runs') / 'whole'))


def test_a_run_leaves_policies_that_act_and_say_how_they_were_made(whole: Path) -> None:
    for name in ('best', 'last'):
        policy = load_policy(whole / name)
        observation: Any = {
            'qpos': torch.zeros(1, 5),
            'images': {'top': torch.zeros(1, 24, 32, 3, dtype=torch.uint8)},
        }
        chunk, _ = policy.act(observation, None)
        assert chunk.isfinite().all()
        spec = policy.spec
        assert spec.rate == 10.0
        assert spec.data['episodes'] == 3
        assert len(spec.data['sha256']) == 64
        assert spec.training['learning_rate_shape'] == 'cosine'
        assert {'validation_loss', 'train_point', 'epoch'} <= set(spec.metrics)
        assert {'motion_policy', 'torch'} <= set(spec.software)
    assert not list(whole.glob('*.part'))


def test_the_board_shows_every_term_apart_and_images(whole: Path) -> None:
    board = EventAccumulator(str(whole / 'tensorboard'))
    board.Reload()
    terms = {f'{stage}/{name}' for stage in ('train', 'validation')
             for name in ('loss', 'image', 'joint', 'point')}  # fmt: skip
    scalars = set(board.Tags()['scalars'])
    assert terms | {'learning_rate', 'weight/point'} <= scalars
    assert len(board.Scalars('train/joint')) == 4
    assert [event.step for event in board.Images('storyboard')] == [4, 8]
    image = board.Images('storyboard')[0]
    assert (image.width, image.height) == (6 * 16 * 3, 2 * 12 * 3)


def test_the_point_weight_rises_by_epoch_and_is_no_part_of_the_judged_loss(whole: Path) -> None:
    board = EventAccumulator(str(whole / 'tensorboard'))
    board.Reload()
    rising = [event.value for event in board.Scalars('weight/point')]
    assert rising[0] == 0
    assert rising == sorted(rising)
    values = {
        name: [event.value for event in board.Scalars(f'validation/{name}')]
        for name in ('loss', 'image', 'joint')
    }
    expected = 0.1 * np.array(values['image']) + np.array(values['joint'])
    assert np.allclose(values['loss'], expected, atol=1e-6)
    train_terms = {
        name: board.Scalars(f'train/{name}')[0].value for name in ('loss', 'image', 'joint')
    }
    first = 0.1 * train_terms['image'] + train_terms['joint']  # weight/point is 0 then
    assert train_terms['loss'] == pytest.approx(first, rel=1e-5)


def test_a_finished_run_is_left_alone_and_more_epochs_go_on(
    demonstrations: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'run'
    train(config(demonstrations, output, epochs=1))
    first = weights(output / 'last')
    train(config(demonstrations, output, epochs=1))
    assert weights(output / 'last') == first
    train(config(demonstrations, output, epochs=2))
    assert load_policy(output / 'last').spec.metrics['epoch'] == 2


def test_another_configuration_does_not_go_on_in_the_same_folder(
    tmp_path: Path,
) -> None:
    output = tmp_path / 'run'
    demonstrations = write_demonstrations(tmp_path / 'demos', (20, 25))
    train(config(demonstrations, output, epochs=1))
    with pytest.raises(ConfigError, match=r'begun with batch_size=2, now it is 3: choose another'):
        train(config(demonstrations, output, epochs=2, batch_size=3))
    paths = sorted(demonstrations.glob('*.hdf5'))
    for path in paths:  # as imported anew, with a crop in the robot spec
        with h5py.File(path, 'r+') as file:
            plain = file.attrs['robot']
            file.attrs['robot'] = plain.replace('width: ', 'crop: [0, 1, 9, 8], width: ', 1)
    with pytest.raises(ConfigError, match=r'begun with seen=\{\}, now it is .*crop'):
        train(config(demonstrations, output, epochs=2))
    for path in paths:
        with h5py.File(path, 'r+') as file:
            file.attrs['robot'] = plain
    write_episode(demonstrations / 'episode_000002.hdf5', 30, robot=small_robot())
    with pytest.raises(ConfigError, match='begun with data_sha256='):
        train(config(demonstrations, output, epochs=2))
    train(config(demonstrations, output, epochs=1, batch_size=3, resume='never'))
    assert load_policy(output / 'last').spec.training['batch_size'] == 3


def test_a_run_goes_on_that_recorded_keys_of_other_ways_of_learning(
    demonstrations: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'run'
    train(config(demonstrations, output, epochs=1))
    record = output / 'config.yaml'
    before = yaml.safe_load(record.read_text())
    before['frames_per_epoch'] = None
    before['loss'] |= {'action': 1.0, 'kl': 10.0, 'legacy_padding_mean': False}
    before['data'] |= {'hold': 'auto', 'workers': None}
    record.write_text(yaml.safe_dump(before))
    with pytest.raises(ConfigError, match='this run was begun with loss='):
        train(config(demonstrations, output, epochs=2, loss={'joint': 2.0}))
    train(config(demonstrations, output, epochs=2))
    assert load_policy(output / 'last').spec.metrics['epoch'] == 2


def test_what_a_run_cannot_do_is_one_line(demonstrations: Path, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(ConfigError, match=r'output: .*/file/run: cannot be written: Not a dir'):
        train(config(demonstrations, tmp_path / 'file' / 'run'))
    with pytest.raises(ConfigError, match='device: cuda:99 x 1, this machine has'):
        train(config(demonstrations, tmp_path / 'run', device='cuda:99'))
    output = tmp_path / 'corrupted'
    train(config(demonstrations, output, epochs=1))
    (output / 'resume.ckpt').write_bytes(b'corrupted')
    with pytest.raises(ConfigError, match=r'resume\.ckpt: cannot be resumed from'):
        train(config(demonstrations, output, epochs=2))


def test_seeds_decide(demonstrations: Path, whole: Path, tmp_path: Path) -> None:
    same = train(config(demonstrations, tmp_path / 'same'))
    assert weights(same) == weights(whole / 'best')
    other = train(config(demonstrations, tmp_path / 'other', seed=1))
    assert weights(other) != weights(whole / 'best')


def test_it_learns(demonstrations: Path, tmp_path: Path) -> None:
    first = train(config(demonstrations, tmp_path / 'first', epochs=1, average=0.0))
    longer = config(
        demonstrations, tmp_path / 'longer', epochs=16, average=0.0, learning_rate=2e-2,
        validate_every=16, pictures_every=0,
    )  # fmt: skip
    before = load_policy(first).spec.metrics['validation_joint']
    after = load_policy(train(longer)).spec.metrics['validation_joint']
    assert after < 0.3 * before


def test_without_validation_the_training_loss_judges(demonstrations: Path, tmp_path: Path) -> None:
    data = {'train': [str(demonstrations)], 'validation': 0}
    best = train(config(demonstrations, tmp_path / 'run', epochs=2, data=data, pictures_every=1))
    assert 'validation_loss' not in load_policy(best).spec.metrics


def test_a_loss_that_is_not_finite_ends_the_run_and_spares_the_policies(
    demonstrations: Path, tmp_path: Path
) -> None:
    class Spoil(Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                next(pl_module.policy.parameters()).data.fill_(float('nan'))

    output = tmp_path / 'run'
    with pytest.raises(TrainingError, match='in epoch 2: lower learning_rate'):
        train(config(demonstrations, output), callbacks=[Spoil()])
    assert load_policy(output / 'last').spec.metrics['epoch'] == 1


def test_the_command_trains_and_reports(
    demonstrations: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'train.yaml'
    path.write_text(yaml.safe_dump(content(demonstrations, tmp_path / 'run')))
    report = tmp_path / 'report.json'
    assert main(['train', str(path), 'epochs=2', 'average=0', '--json', str(report)]) == 0
    shown = capsys.readouterr().out
    assert f'best policy: {tmp_path / "run" / "best"}' in shown
    told = json.loads(report.read_text())
    assert told['metrics']['epoch'] in (1, 2)
    load_policy(told['best'])
    assert main(['train', str(path), 'epoch=2']) == 2
    assert capsys.readouterr().err == (
        'error: command line: epoch: unknown key, found 2, expected epochs\n'
    )


def test_several_machines_need_to_be_told_of_one_another(
    demonstrations: Path, tmp_path: Path
) -> None:
    given = content(demonstrations, tmp_path / 'run', nodes=2)
    with pytest.raises(ConfigError, match='nodes: found 2, but MASTER_ADDR, MASTER_PORT and'):
        train(train_config(given))


def test_a_policy_that_no_memory_holds_is_refused_before_it_is_made(
    demonstrations: Path, tmp_path: Path
) -> None:
    policy = {'kind': 'sarnn', 'rec_dim': 60_000, 'k_dim': 60_000}
    given = content(demonstrations, tmp_path / 'run', policy=policy)
    with pytest.raises(ConfigError, match=r'policy: has \d{11} parameters, \d+\.\d GB with grad'):
        train(train_config(given))
    assert not (tmp_path / 'run').exists()
