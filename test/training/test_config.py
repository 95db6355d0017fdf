# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A training configuration is checked before any work; schedules depend on the epoch alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from motion_policy.policies import MODEL_KINDS, model_class
from motion_policy.share import share_dir
from motion_policy.training import ConfigError, LossSchedule, load_train_config, train_config
from motion_policy.training.config import WAYS
from motion_policy.training.schedule import learning_rate_share

SHORT = {
    'policy': {'kind': 'sarnn', 'rec_dim': 20},
    'data': {'train': 'data/a'},
    'output': 'runs/a',
    'cameras': 'top',
    'epochs': 3,
}
KINDS = sorted(name for name, model in MODEL_KINDS.items() if model.learns_from)


def write(folder: Path, content: object) -> Path:
    path = folder / 'train.yaml'
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_a_short_file_is_enough(tmp_path: Path) -> None:
    config = load_train_config(write(tmp_path, SHORT))
    assert config.kind == 'sarnn'
    assert config.hyper == {'rec_dim': 20}
    assert config.data.train == ('data/a',)
    assert config.cameras == ('top',)


def test_the_shipped_configurations_are_valid() -> None:
    paths = sorted((share_dir() / 'config' / 'train').glob('*.yaml'))
    kinds = {load_train_config(path).kind for path in paths}
    assert kinds == set(KINDS)
    for path in paths:
        config = load_train_config(path)
        model_class(config.kind).Config.model_validate(config.hyper)


def test_where_a_run_begins_is_no_hyper_parameter(tmp_path: Path) -> None:
    for policy, paths in (
        ({'kind': 'cae_rnn', 'cae': 'runs/cae/best'}, ('runs/cae/best',)),
        ({'kind': 'cnnrnn', 'pretrained': ['a', 'b']}, ('a', 'b')),
        ({'kind': 'cnnrnn'}, ()),
    ):
        config = load_train_config(write(tmp_path, {**SHORT, 'policy': policy}))
        assert config.hyper == {}
        assert config.autoencoders == paths


def test_a_short_run_is_judged_at_its_end(tmp_path: Path) -> None:
    assert load_train_config(write(tmp_path, SHORT), ['validate_every=10']).validation_period == 3
    overrides = ['validate_every=2', 'epochs=9']
    assert load_train_config(write(tmp_path, SHORT), overrides).validation_period == 2


def test_keys_can_be_changed_at_any_depth(tmp_path: Path) -> None:
    overrides = ['epochs=7', 'loss.image=0.3', 'learning_rate=1e-4', 'image_size=[48, 64]',
                 'policy.k_dim=4', 'data.validation=0.2', 'output=runs/b']  # fmt: skip
    config = load_train_config(write(tmp_path, SHORT), overrides)
    assert (config.epochs, config.loss.image, config.learning_rate) == (7, 0.3, 1e-4)
    assert config.image_size == (48, 64)
    assert config.hyper == {'rec_dim': 20, 'k_dim': 4}
    assert config.data.validation == 0.2
    assert config.output == Path('runs/b')
    assert config.loss.joint == train_config(SHORT).loss.joint


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'learing_rate': 1e-3}, 'learing_rate: unknown key'),
        ({'loss': {'joints': 1}}, 'loss.joints: unknown key'),
        ({'policy': {'rec_dim': 3}}, 'policy: kind: missing'),
        ({'policy': {'kind': 'other'}}, "policy: unknown policy kind 'other'"),
        ({'policy': {'kind': ['sarnn']}}, "policy: unknown policy kind '['sarnn']'"),
        ({'policy': {'kind': 'sarnn', 'recdim': 3}}, 'policy: recdim: unknown key'),
        ({'policy': {'kind': 'sarnn', 'rec_dim': 0}}, 'policy: rec_dim: found 0'),
        ({'epochs': 0}, 'epochs: found 0'),
        ({'cameras': []}, 'cameras: '),
        ({'cameras': ['top', 'top']}, "cameras holds 'top' more than once"),
        ({'inputs': ['tcp', 'tcp']}, "inputs holds 'tcp' more than once"),
        ({'image_size': [16, 0]}, 'image_size[1]: found 0'),
        ({'rate': 1e-9}, 'rate: found 1e-09'),
        ({'data': {'train': 'a', 'validation': 1.5}}, 'data.validation: a share of 1.5'),
        ({'loss_schedule': {'joint': {'curve': 'round'}}}, "loss_schedule.joint.curve: found 'r"),
        ({'loss_schedule': {'joints': {'curve': 's'}}}, 'loss_schedule.joints: unknown key'),
        ({'device': 'gpu'}, "device: found 'gpu'"),
        ({'bptt_steps': 0}, 'bptt_steps: found 0'),
        ({'scheduled_sampling': {'joint': 1.5}}, 'scheduled_sampling.joint: found 1.5'),
        ({'policy': {'kind': 'rnn'}}, "policy: kind: a 'rnn' is not trained, only: act, sarnn, "),
        ({'policy': {'kind': 'cae_rnn'}}, 'policy: cae: missing, expected the checkpoint of a'),
        ({'policy': {'kind': 'cae_rnn', 'cae': 3}}, 'policy: cae: found 3, expected a path'),
        ({'policy': {'kind': 'cae_rnn', 'cae': {'size': 'big'}}}, "policy: cae: found {'size'"),
        ({'policy': {'kind': 'sarnn', 'pretrained': 'a'}}, 'policy: pretrained: unknown key'),
        (
            {'augmentation': {'translate': 0.1}},
            "augmentation.translate: found 0.1, but a 'sarnn' has no use for it",
        ),
        ({'frames_per_epoch': 9}, "frames_per_epoch: found 9, but a 'sarnn' has no use for it"),
        ({'policy': {'kind': 'cae'}, 'bptt_steps': 9}, "bptt_steps: found 9, but a 'cae' has no"),
        (
            {'policy': {'kind': 'cae_rnn', 'cae': 'a'}, 'augmentation': {'hue': 0.1}},
            "augmentation.hue: found 0.1, but a 'cae_rnn' has no use for it",
        ),
        (
            {'loss': {'image': 0}, 'scheduled_sampling': {'image': 0.5}},
            'scheduled_sampling.image: found 0.5, but with loss.image=0 no image is learnt',
        ),
    ],
)
def test_a_wrong_key_or_value_is_one_line_with_file_and_key(
    tmp_path: Path, change: dict, words: str
) -> None:
    path = write(tmp_path, {**SHORT, **change})
    with pytest.raises(ConfigError) as raised:
        load_train_config(path)
    line = str(raised.value)
    assert line.startswith(f'{path}: {words}')
    assert '\n' not in line


@pytest.mark.parametrize(
    ('override', 'words'),
    [
        ('epochs', "command line: 'epochs', expected key=value"),
        ('epochs=-1', 'command line: epochs: found -1'),
        ('los.image=1', 'command line: los: unknown key'),
        ('policy.recdim=1', 'command line: policy: recdim: unknown key'),
        ('epochs.more=1', "command line: 'epochs.more': 'epochs' has no keys below it"),
        ('epochs=[', "command line: 'epochs=[': line 1: not YAML"),
    ],
)
def test_a_wrong_override_names_the_command_line(
    tmp_path: Path, override: str, words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load_train_config(write(tmp_path, SHORT), [override])
    assert str(raised.value).startswith(words)


def least(kind: str) -> dict:
    """Return what a configuration of this kind has to say."""
    way = WAYS[MODEL_KINDS[kind].learns_from]
    policy = {'kind': kind}
    if MODEL_KINDS[kind].needs_autoencoder:
        policy[MODEL_KINDS[kind].autoencoder_key] = 'runs/cae/best'
    shared = {key: value for key, value in SHORT.items() if key != 'epochs'}
    return {**shared, 'policy': policy, way.counted_in: 3}


@pytest.mark.parametrize('kind', KINDS)
def test_keys_of_other_ways_of_learning_are_refused_unless_they_say_nothing(
    tmp_path: Path, kind: str
) -> None:
    whole = [train_config(least(other)).model_dump(mode='json') for other in KINDS]
    own = train_config(least(kind))
    mine, foreign = set(leaves(own.model_dump(mode='json'))), {}
    for other in whole:
        foreign |= {key: value for key, value in leaves(other).items() if key not in mine}
    assert foreign
    for key, value in foreign.items():
        counted = key.removeprefix('warmup_') in ('epochs', 'steps')
        reason = f'is trained by {own.counted_in}' if counted else 'has no use for it'
        more = f"{key}: found 'SO\\nME', but a '{kind}' {reason}"
        with pytest.raises(ConfigError) as raised:
            load_train_config(write(tmp_path, least(kind)), [f'{key}="SO\\nME"'])
        assert str(raised.value) == f'command line: {more}'
        path = write(tmp_path, least(kind))
        if key not in ('epochs', 'steps'):
            told = load_train_config(path, [f'{key}={json.dumps(value)}'])
            assert told == load_train_config(path)


def leaves(section: dict, before: str = '') -> dict:
    """Return the values of a nested mapping by their dotted keys."""
    found = {}
    for key, value in section.items():
        if isinstance(value, dict) and key not in ('policy', 'point'):
            found |= leaves(value, f'{before}{key}.')
        else:
            found[f'{before}{key}'] = value
    return found


@pytest.mark.parametrize(
    ('content', 'words'),
    [('a: [', 'not YAML'), ('- 1', 'holds list'), ('', 'holds NoneType')],
)
def test_a_file_that_is_no_configuration_is_named(
    tmp_path: Path, content: str, words: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConfigError, match=words):
        load_train_config(path)
    with pytest.raises(ConfigError, match='no such file, expected a training configuration'):
        load_train_config(tmp_path / 'missing.yaml')


@pytest.mark.parametrize(
    ('curve', 'half_way'),
    [('linear', 0.505), ('s', 0.510), ('inverse_s', 0.500), ('ease_in', 0.30), ('ease_out', 0.71)],
)
def test_five_curves_rise_from_nothing_to_the_whole_weight(curve: str, half_way: float) -> None:
    schedule = LossSchedule(curve, epochs=100)
    values = [schedule(epoch) for epoch in range(120)]
    assert values[0] == 0
    assert values[99:] == [1.0] * 21
    assert values[98] < 1
    assert values == sorted(values)
    assert values[50] == pytest.approx(half_way, abs=0.006)


def test_a_schedule_of_one_epoch_is_always_full() -> None:
    assert LossSchedule('s', epochs=1)(0) == 1.0


def test_a_schedule_does_not_count_its_calls() -> None:
    schedule = LossSchedule('linear', epochs=11)
    assert [schedule(5) for _ in range(20)] == [0.5] * 20


def test_the_learning_rate_rises_then_holds_or_falls() -> None:
    rising = [learning_rate_share(epoch, 100, 4, 'constant') for epoch in range(5)]
    assert rising == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    falling = [learning_rate_share(epoch, 100, 0, 'cosine') for epoch in range(100)]
    assert falling[0] == 1.0
    assert falling[50] == pytest.approx(0.5)
    assert 0 < falling[99] < 0.001
