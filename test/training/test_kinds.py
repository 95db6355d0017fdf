# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Autoencoders learn from frames, and what begins with them stands alone when it has learnt."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from policy_examples import small_policy, write_demonstrations
from pytorch_lightning.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import weights

from motion_policy.errors import UserError
from motion_policy.policies import load_model, load_policy
from motion_policy.training import ConfigError, TrainConfig, train_config
from motion_policy.training.demonstrations import load_demonstrations
from motion_policy.training.features import encoded, with_features
from motion_policy.training.learning import learning_of
from motion_policy.training.train import no_progress, train

pytestmark = pytest.mark.slow

torch.set_num_threads(1)

SIZE = (32, 64)
CAE = {'kind': 'cae', 'feat_dim': 3}
FRAMES = {'batch_size': 8, 'frames_per_epoch': 30, 'augmentation': {'translate': 0.1}}


@pytest.fixture(scope='module')
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp('data') / 'demos', (40, 25, 32, 40))


def config(
    demonstrations: Path, output: Path, policy: dict[str, Any], **changes: Any
) -> TrainConfig:
    given = {
        'policy': policy,
        'data': {'train': [str(demonstrations)], 'validation': 0.25},
        'output': str(output),
        'cameras': ['top'],
        'image_size': SIZE,
        'batch_size': 2,
        'epochs': 2,
        'average': 0.5,
        'threads': 1,
        'device': 'cpu',
        'pictures_every': 0,
    }
    return train_config({**given, **changes})


@pytest.fixture(scope='module')
def autoencoder(demonstrations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of an autoencoder that has learnt a little."""
    output = tmp_path_factory.mktemp('runs') / 'cae'
    return train(config(demonstrations, output, CAE, **FRAMES, epochs=3, pictures_every=2))


def test_an_autoencoder_says_how_it_was_made_and_moves_no_robot(autoencoder: Path) -> None:
    model = load_model(autoencoder)
    assert model.kind == 'cae'
    assert model.spec.training['frames_per_epoch'] == 30
    assert {'train_image', 'validation_loss'} <= set(model.spec.metrics)
    with pytest.raises(UserError, match="holds a 'cae', which can move no robot"):
        load_policy(autoencoder)


def test_the_board_shows_frames_and_what_became_of_them(autoencoder: Path) -> None:
    board = EventAccumulator(str(autoencoder.parent / 'tensorboard'))
    board.Reload()
    assert {'train/image', 'validation/loss', 'weight/image'} <= set(board.Tags()['scalars'])
    shown = board.Images('reconstruction')
    assert [event.step for event in shown] == [6, 9]  # 30 frames are 3 whole batches of 8
    assert (shown[0].width, shown[0].height) == (6 * 64 * 3, 2 * 32 * 3)


def test_an_autoencoder_learns(demonstrations: Path, autoencoder: Path, tmp_path: Path) -> None:
    longer = config(
        demonstrations, tmp_path / 'longer', CAE, batch_size=8, frames_per_epoch=40, epochs=8,
        learning_rate=5e-3, average=0.0, validate_every=8, augmentation={'image_noise': 0.05},
    )  # fmt: skip
    before = load_model(autoencoder).spec.metrics['validation_image']
    after = load_model(train(longer)).spec.metrics['validation_image']
    assert after < 0.7 * before


def test_the_running_mean_has_the_statistics_of_a_normalisation_too(
    demonstrations: Path, tmp_path: Path
) -> None:
    given = config(demonstrations, tmp_path, {**CAE, 'norm': 'batch'}, **FRAMES, average=0.9)
    model = load_model(train(given).with_name('last'))
    first = model.eyes[0].encoder[1]
    assert int(first.num_batches_tracked) == model.spec.metrics['steps'] == 6
    assert first.running_mean.any()


def stopped_and_resumed(given: TrainConfig, output: Path) -> None:
    """Train as `given` says, but into `output` and with a stop in the second epoch."""

    class Stop(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.current_epoch == 1:
                raise ConnectionError('the power is gone')

    changed = given.model_copy(update={'output': output})
    with pytest.raises(ConnectionError):
        train(changed, callbacks=[Stop()])
    train(changed)


@pytest.mark.parametrize(
    ('policy', 'changes'),
    [
        (
            {**CAE, 'norm': 'batch'},
            {
                **FRAMES,
                'augmentation': {
                    'hue': 0.04, 'saturation': 0.4, 'translate': 0.15, 'autocontrast': 0.5,
                    'horizontal_flip': 0.5, 'vertical_flip': 0.5,
                },
            },
        ),
        (
            {'kind': 'cae_rnn', 'rnn': 'mtrnn', 'cae': 'AUTOENCODER'},
            {'scheduled_sampling': {'joint': 0.5, 'image': 0.3, 'epochs': 2}, 'bptt_steps': 3},
        ),
        (
            {'kind': 'cnnrnn', 'feat_dim': 3, 'pretrained': ['AUTOENCODER']},
            {'scheduled_sampling': {'joint': 0.5, 'image': 0.5, 'epochs': 2}},
        ),
        ({'kind': 'cnnrnnln', 'feat_dim': 3}, {'image_loss_frames': 2, 'effort': True}),
    ],
    ids=['cae', 'cae_rnn', 'cnnrnn', 'cnnrnnln'],
)  # fmt: skip
def test_a_stopped_run_ends_as_one_that_was_never_stopped(
    policy: dict[str, Any],
    changes: dict[str, Any],
    demonstrations: Path,
    autoencoder: Path,
    tmp_path: Path,
) -> None:
    for key, value in policy.items():
        if value in ('AUTOENCODER', ['AUTOENCODER']):
            policy = {**policy, key: str(autoencoder)}
    given = config(demonstrations, tmp_path / 'whole', policy, **changes)
    train(given)
    stopped_and_resumed(given, tmp_path / 'stopped')
    for name in ('last', 'best'):
        whole, stopped = tmp_path / 'whole' / name, tmp_path / 'stopped' / name
        assert weights(whole) == weights(stopped)
        assert load_model(whole).spec.metrics == load_model(stopped).spec.metrics


def test_cae_rnn_sees_through_the_autoencoder_and_stands_alone(
    demonstrations: Path, autoencoder: Path, tmp_path: Path
) -> None:
    used = tmp_path / 'cae'
    shutil.copytree(autoencoder, used)
    policy = {'kind': 'cae_rnn', 'rec_dim': 8, 'cae': str(used)}
    best = train(config(demonstrations, tmp_path / 'run', policy, pictures_every=1))
    autoencoder_weights = load_model(used).eyes.state_dict()
    shutil.rmtree(used)
    trained = load_policy(best)
    for key, value in trained.network.eyes.state_dict().items():
        assert torch.equal(value, autoencoder_weights[key])
    assert trained.spec.hyper['cae']['feat_dim'] == 3
    [told] = trained.spec.training['began_with']
    assert told['path'] == str(used)
    assert len(told['sha256']) == 64
    board = EventAccumulator(str(tmp_path / 'run' / 'tensorboard'))
    board.Reload()
    assert {'train/feature', 'train/joint', 'validation/feature'} <= set(board.Tags()['scalars'])
    assert [event.step for event in board.Images('storyboard')] == [2, 4]


def test_features_are_found_once_and_their_range_is_that_of_the_training_episodes(
    demonstrations: Path, autoencoder: Path, tmp_path: Path
) -> None:
    given = config(demonstrations, tmp_path, {'kind': 'cae_rnn', 'cae': str(autoencoder)})
    data = load_demonstrations(given, no_progress)
    model = load_model(autoencoder)
    for episode in (*data.train, *data.validation):
        frames = episode.images['top']
        shades = torch.linspace(0.1, 1, len(frames)).view(-1, 1, 1, 1)
        frames.copy_((shades * frames).byte())
    data.validation[0].images['top'].fill_(255)  # unlike anything in the training episodes
    policy: Any = small_policy(
        kind='cae_rnn', image_size=SIZE, hyper={'cae': dict(model.spec.hyper)}
    )
    policy.adopt_autoencoders([model])
    told = with_features(policy, data, torch.device('cpu'))
    seen = torch.cat([encoded(policy.network, episode, ('top',)) for episode in data.train])
    sequence = policy.network.sequence
    spans = seen.amax(0) - seen.amin(0)
    wide = spans > 0.1 * spans.max()
    assert wide.any()
    assert spans.max() > 0.001
    held = torch.cat([encoded(policy.network, episode, ('top',)) for episode in data.validation])
    beyond = (held.amax(0) > seen.amax(0)) | (held.amin(0) < seen.amin(0))
    assert (beyond & wide).any()
    assert torch.allclose(sequence.feature_low[wide], seen.amin(0)[wide])
    assert torch.allclose(sequence.feature_span[wide], spans[wide])
    for before, after in zip(
        (*data.train, *data.validation), (*told.train, *told.validation), strict=True
    ):
        images = before.images['top'].permute(0, 3, 1, 2) / 255
        assert torch.allclose(after.features, policy.network.encode_images([images]), atol=1e-5)
        assert after.images == {}
        assert torch.equal(after.qpos, before.qpos)
    [batch, *_] = learning_of(given).train_loader(told, 0, 1)
    assert batch.images == {}
    assert batch.features.shape[:2] == batch.qpos.shape[:2]


def test_cnnrnn_begins_with_the_autoencoder_and_goes_on(
    demonstrations: Path, autoencoder: Path, tmp_path: Path
) -> None:
    first = load_model(autoencoder).eyes[0].encoder.state_dict()

    class Look(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.found = {
                key: value.clone()
                for key, value in pl_module.policy.network.eyes[0].encoder.state_dict().items()
            }

    look = Look()
    policy = {'kind': 'cnnrnn', 'feat_dim': 3, 'pretrained': str(autoencoder)}
    best = train(config(demonstrations, tmp_path / 'run', policy, epochs=1), callbacks=[look])
    assert all(torch.equal(value, first[key]) for key, value in look.found.items())
    trained = load_policy(best)
    assert not torch.equal(trained.network.eyes[0].encoder[0].weight, first['0.weight'])
    assert set(trained.spec.hyper) == {'rec_dim', 'feat_dim', 'reference'}
    assert trained.spec.training['policy']['pretrained'] == str(autoencoder)


def test_another_autoencoder_is_another_run(
    demonstrations: Path, autoencoder: Path, tmp_path: Path
) -> None:
    used = tmp_path / 'cae'
    shutil.copytree(autoencoder, used)
    policy = {'kind': 'cae_rnn', 'cae': str(used)}
    train(config(demonstrations, tmp_path / 'run', policy, epochs=1))
    shutil.rmtree(used)
    shutil.copytree(autoencoder.with_name('last'), used)
    train(config(demonstrations, tmp_path / 'other', CAE, **FRAMES, epochs=1))
    shutil.rmtree(used)
    shutil.copytree(tmp_path / 'other' / 'last', used)
    with pytest.raises(ConfigError, match='this run was begun with began_with='):
        train(config(demonstrations, tmp_path / 'run', policy, epochs=2))


@pytest.mark.parametrize(
    ('policy', 'changes', 'words'),
    [
        ({'kind': 'cae_rnn', 'cae': 'nowhere'}, {}, 'nowhere: no such checkpoint folder'),
        ({'kind': 'cae_rnn', 'cae': 'AUTOENCODER'}, {'image_size': (64, 64)},
         r'image_size is \(32, 64\), the cae_rnn has \(64, 64\)'),
        ({'kind': 'cae_rnn', 'cae': 'AUTOENCODER'}, {'cameras': ['side']},
         "camera 'side': no autoencoder was trained on it, only: top"),
        ({'kind': 'cnnrnnln', 'feat_dim': 3, 'pretrained': 'AUTOENCODER'}, {},
         "norm is 'none', cnnrnnln needs 'layer'"),
        ({'kind': 'cnnrnn', 'pretrained': 'AUTOENCODER'}, {}, 'feat_dim is 3, cnnrnn needs 10'),
        ({'kind': 'cnnrnn'}, {'image_size': (32, 60)}, r'image_size: \(32, 60\), cnnrnn needs m'),
        ({'kind': 'cae'}, {'image_size': (16, 32)}, r'image_size: \(16, 32\), a basic autoenc'),
        ({'kind': 'sarnn'}, {'image_size': (4, 32)}, r'image_size: \(4, 32\), sarnn needs at'),
        ({**CAE, 'norm': 'batch'}, {'batch_size': 1}, 'batch_size: found 1 frame, batch normal'),
        ({'kind': 'sarnn'}, {'cameras': ['wrist']}, "has no camera 'wrist', but: top, side"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(
    policy: dict[str, Any],
    changes: dict[str, Any],
    words: str,
    demonstrations: Path,
    autoencoder: Path,
    tmp_path: Path,
) -> None:
    named = {k: str(autoencoder) if v == 'AUTOENCODER' else v for k, v in policy.items()}
    with pytest.raises(UserError, match=words) as raised:
        train(config(demonstrations, tmp_path / 'run', named, **changes))
    assert '\n' not in str(raised.value)
