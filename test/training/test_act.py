# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ACT is trained by steps: a stopped run ends as one that never stopped.

What cannot be done is one line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import yaml
from policy_examples import write_demonstrations
from pytorch_lightning.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision.models.resnet import BasicBlock, ResNet
from training_runs import ACT, ACT_RUN, run_to_the_end, small_run, weights

from motion_policy.cli.main import main
from motion_policy.policies import load_policy, make_model
from motion_policy.policies.normalisation import MeanStd
from motion_policy.training import ConfigError, TrainConfig, load_train_config, train_config
from motion_policy.training.autoencoders import load_autoencoders
from motion_policy.training.demonstrations import load_demonstrations
from motion_policy.training.learning import learning_of
from motion_policy.training.train import no_progress, policy_spec, train

pytestmark = pytest.mark.slow

torch.set_num_threads(1)

LENGTHS = (40, 1, 23, 31)
SARNN = {'policy': {'kind': 'sarnn'}, 'steps': None, 'warmup_steps': 0, 'epochs': 2}


@pytest.fixture(scope='module')
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp('data') / 'demos', LENGTHS)


def content(demonstrations: Path, output: Path, **changes: Any) -> dict[str, Any]:
    return small_run(demonstrations, output, **{**ACT_RUN, **changes})


def config(demonstrations: Path, output: Path, **changes: Any) -> TrainConfig:
    return train_config(content(demonstrations, output, **changes))


@pytest.fixture(scope='module')
def whole(demonstrations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output of a run that nothing disturbed."""
    return run_to_the_end(content(demonstrations, tmp_path_factory.mktemp('runs') / 'whole'))


def new_model(given: TrainConfig) -> Any:
    learning = learning_of(given)
    demonstrations = load_demonstrations(given, no_progress)
    none = load_autoencoders(())
    model = make_model(policy_spec(given, demonstrations, learning, none))
    learning.begin(model, none.models)
    return model


def test_a_run_leaves_policies_that_act_and_say_how_they_were_made(whole: Path) -> None:
    policy = load_policy(whole / 'last')
    observed: Any = {
        'qpos': torch.zeros(2, 5),
        'images': {'top': torch.zeros(2, 24, 32, 3, dtype=torch.uint8)},
    }
    chunk, state = policy.act(observed, None)
    assert chunk.shape == (2, 6, 5)
    assert chunk.isfinite().all()
    assert state is None
    told = policy.spec.metrics
    assert told['steps'] == 16
    assert {'train_action', 'train_kl', 'validation_action', 'validation_loss'} <= set(told)
    assert told['validation_loss'] == told['validation_action']
    assert told['train_loss'] == pytest.approx(told['train_action'] + 10 * told['train_kl'], 1e-3)
    assert isinstance(policy.spec.normalisation.qpos, MeanStd)


def test_a_stopped_run_with_a_resnet_ends_as_one_that_never_stopped(
    demonstrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_block_each(name: str, *, weights: None, **options: Any) -> ResNet:
        """Half as many weights to write and read, in blocks of the same kind."""
        return ResNet(BasicBlock, [1, 1, 1, 1], **options)

    class Stop(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 2:
                raise ConnectionError('the power is gone')

    monkeypatch.setattr(torchvision.models, 'get_model', one_block_each)
    resnet = {**ACT, 'backbone': 'resnet18', 'backbone_weights': 'none'}
    changes = {'steps': 2, 'validate_every': 1, 'image_size': [32, 32], 'pictures_every': 0}
    runs = [
        config(demonstrations, tmp_path / name, policy=resnet, **changes)
        for name in ('whole', 'stopped')
    ]
    with pytest.raises(ConnectionError):
        train(runs[1], callbacks=[Stop()])
    first, second = (train(run).with_name('last') for run in runs)
    assert weights(first) == weights(second)


def test_the_board_shows_terms_by_step_and_chunks(whole: Path) -> None:
    board = EventAccumulator(str(whole / 'tensorboard'))
    board.Reload()
    steps = [event.step for event in board.Scalars('validation/action')]
    assert steps == [3, 7, 11, 15]
    rates = [event.value for event in board.Scalars('learning_rate')]
    assert rates == sorted(rates, reverse=True)
    images = board.Images('chunks')
    assert [event.step for event in images] == [8, 16]


def test_it_learns(demonstrations: Path, tmp_path: Path) -> None:
    longer = config(
        demonstrations, tmp_path / 'longer', steps=60, validate_every=20, batch_size=8,
        learning_rate=1e-2, average=0.0, pictures_every=0,
        policy={**ACT, 'dropout': 0.0}, loss={'kl': 1.0},
    )  # fmt: skip
    train(longer)
    board = EventAccumulator(str(tmp_path / 'longer' / 'tensorboard'))
    board.Reload()
    errors = [event.value for event in board.Scalars('train/action')]
    assert errors[-1] < 0.6 * errors[0]


def test_joints_alone_are_enough(demonstrations: Path, tmp_path: Path) -> None:
    given = config(
        demonstrations, tmp_path / 'blind', cameras=[], policy={**ACT, 'latent_dim': 0},
        steps=4, effort=True, precision='bf16-mixed',
    )  # fmt: skip
    policy = load_policy(train(given))
    assert policy.cameras == ()
    assert 'train_kl' not in policy.spec.metrics
    observed: Any = {'qpos': torch.zeros(1, 5), 'effort': torch.zeros(1, 5), 'images': {}}
    assert policy.act(observed, None)[0].shape == (1, 6, 5)


def test_means_and_deviations_are_those_of_what_is_learnt_from(
    demonstrations: Path, tmp_path: Path
) -> None:
    given = config(demonstrations, tmp_path)
    data = load_demonstrations(given, no_progress)
    seen = torch.cat([episode.action for episode in data.train]).double()
    spread: Any = data.mean_std_normalisation().action
    assert torch.allclose(torch.tensor(spread.mean).double(), seen.mean(0))
    still = 0.01 * torch.from_numpy(data.robot.joints.limits.position_array()).diff(dim=1)[:, 0]
    expected = torch.maximum(seen.std(0, correction=0), still / 12**0.5)
    assert torch.allclose(torch.tensor(spread.std).double(), expected)
    assert spread.std[4] > 0


def test_a_joint_at_rest_is_not_blown_up(demonstrations: Path, tmp_path: Path) -> None:
    data = load_demonstrations(config(demonstrations, tmp_path), no_progress)
    for episode in data.train:
        episode.action[:, 2] = 0.3
    low, high = data.robot.joints.limits.position_array()[2]
    spread: Any = data.mean_std_normalisation().action
    assert spread.mean[2] == pytest.approx(0.3)
    assert spread.std[2] == pytest.approx(0.01 * (high - low) / 12**0.5)


def test_the_backbone_has_a_learning_rate_of_its_own(demonstrations: Path, tmp_path: Path) -> None:
    given = config(demonstrations, tmp_path, learning_rate_backbone=1e-5)
    model = new_model(given)
    optimizer = learning_of(given).optimizer(model)
    rates = {id(part): group['lr'] for group in optimizer.param_groups for part in group['params']}
    assert len(rates) == len(list(model.parameters()))
    for name, part in model.named_parameters():
        assert rates[id(part)] == (1e-5 if 'backbones' in name else 1e-3), name
    assert all(group['weight_decay'] == 1e-4 for group in optimizer.param_groups)


def test_a_backbone_begins_with_the_weights_of_a_file(
    demonstrations: Path, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    whole = torchvision.models.get_model('resnet18', weights=None)
    torch.save(whole.state_dict(), tmp_path / 'resnet18.pth')
    resnet = {**ACT, 'backbone': 'resnet18', 'backbone_weights': str(tmp_path / 'resnet18.pth')}
    given = config(demonstrations, tmp_path / 'run', policy=resnet, image_size=[32, 32])
    model = new_model(given)
    body = model.network.backbones[0].body
    assert torch.equal(body.state_dict()['layer4.1.conv2.weight'], whole.layer4[1].conv2.weight)
    other = {**resnet, 'backbone': 'resnet34'}
    with pytest.raises(ConfigError, match=r"resnet18\.pth': key 'layer1\.2\.conv1.* is nothing"):
        new_model(config(demonstrations, tmp_path / 'run', policy=other))
    torch.save({'model': {'a': 1}}, tmp_path / 'resnet18.pth')
    with pytest.raises(ConfigError, match=r"resnet18\.pth: holds 'model', expected"):
        new_model(given)
    (tmp_path / 'resnet18.pth').unlink()
    with pytest.raises(ConfigError, match=r'resnet18\.pth: no such file'):
        new_model(given)
    random = config(
        demonstrations, tmp_path / 'run', policy={**resnet, 'backbone_weights': 'none'}
    )
    new_model(random)
    small = {**ACT, 'backbone_weights': 'imagenet'}
    with pytest.raises(ConfigError, match="found 'imagenet', but the backbone 'small' has only"):
        new_model(config(demonstrations, tmp_path / 'run', policy=small))


def test_imagenet_that_cannot_be_had_is_one_line_that_says_what_to_do(
    demonstrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('https_proxy', 'http://127.0.0.1:9')
    given = config(demonstrations, tmp_path / 'run', policy={**ACT, 'backbone': 'resnet18'})
    with pytest.raises(ConfigError) as raised:
        train(given)
    line = str(raised.value)
    assert line.startswith('policy.backbone_weights: imagenet: https://')
    assert 'give its path, or begin at random with policy.backbone_weights=none' in line
    assert '\n' not in line
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'steps': None}, 'steps: missing, expected how many'),
        ({'epochs': 3}, "epochs: found 3, but a 'act' is trained by steps"),
        ({'warmup_epochs': 3}, "warmup_epochs: found 3, but a 'act' is trained by steps"),
        ({'steps': 10}, 'steps: found 10, expected a multiple of validate_every=4'),
        ({'policy': {**ACT, 'heads': 3}}, 'policy: hidden_dim 16: expected a multiple of 4'),
        ({'policy': {**ACT, 'backbone_weights': 3}}, 'policy: backbone_weights: found 3, expec'),
        ({'loss': {'image': 1.0}}, "loss.image: found 1.0, but a 'act' has no use for it"),
        ({'data': {'train': 'a', 'hold': 'disk'}}, "data.hold: found 'disk'"),
        (
            {**SARNN, 'augmentation': {}},
            "validation_frames: found 7, but a 'sarnn' has no use for it",
        ),
        (
            {**SARNN, 'steps': 5},
            "steps: found 5, but a 'sarnn' is trained by epochs",
        ),
    ],
)
def test_a_wrong_key_or_value_is_one_line(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / 'train.yaml'
    path.write_text(yaml.safe_dump(content(tmp_path, tmp_path / 'run', **change)))
    with pytest.raises(ConfigError) as raised:
        load_train_config(path)
    line = str(raised.value).removeprefix(f'{path}: ').removeprefix(': ')
    assert line.startswith(words)
    assert '\n' not in line


def test_data_that_do_not_suit_are_one_line_and_nothing_is_written(
    demonstrations: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'run'
    long = {**ACT, 'chunk': 21}
    with pytest.raises(ConfigError, match=r'policy\.chunk: 21 steps, but the longest episode has'):
        train(config(demonstrations, output, policy=long))
    with pytest.raises(ConfigError, match=r"has no camera 'wrist', but: top"):
        train(config(demonstrations, output, cameras=['wrist']))
    assert not output.exists()


def test_the_command_tells_steps(
    demonstrations: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'train.yaml'
    path.write_text(yaml.safe_dump(content(demonstrations, tmp_path / 'run')))
    assert main(['train', str(path), 'steps=4', 'pictures_every=0']) == 0
    shown = capsys.readouterr().out
    assert 'step 4/4  train/loss' in shown
    assert 'best policy:' in shown
    assert '(step 4, ' in shown
