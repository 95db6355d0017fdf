# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""CAE-RNN: a sequence model learns on autoencoders that stay, and its checkpoint stands alone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from policy_examples import random_observation, small_robot, spec
from pydantic import ValidationError
from torch import Tensor, nn

from motion_policy.errors import UserError
from motion_policy.policies import load_policy, make_model, save_policy
from motion_policy.policies.base import ObservationBatch
from motion_policy.policies.checkpoint import load_model
from motion_policy.policies.recurrent.cae import AutoencoderConfig, CAEModel
from motion_policy.policies.recurrent.cae_rnn import (
    CAERNN,
    CAERNNConfig,
    CAERNNPolicy,
    RNNModel,
    SequenceModel,
    with_autoencoders,
)

torch.set_num_threads(1)

RNNS = ['lstm', 'mtrnn']
CAMERAS = {
    name: {'topic': f'{name}/image_raw', 'width': 64, 'height': 32} for name in ('top', 'wrist')
}
SMALL = {'rec_dim': 12, 'fast_dim': 9, 'slow_dim': 3, 'cae': {'feat_dim': 4, 'norm': 'batch'}}
EFFORT = {'min': [-2.0] * 5, 'max': [2.0] * 5}


def made(kind: str, cameras: tuple[str, ...] = ('top',), seed: int = 0, **changes: Any) -> Any:
    """Return a model of that kind for 32x64 images, with weights from a seed, in eval mode."""
    given: dict[str, Any] = {
        'kind': kind,
        'cameras': cameras,
        'image_size': (32, 64),
        'hyper': SMALL['cae'] if kind == 'cae' else SMALL,
        'robot': small_robot(32, 64, cameras=CAMERAS),
    }
    torch.manual_seed(seed)
    model = make_model(spec(**{**given, **changes})).eval()
    for autoencoder in getattr(model, 'eyes', ()):
        _move_statistics(autoencoder, model.spec.image_size)
    return model


def small_network(cameras: int = 1, **hyper: Any) -> CAERNN:
    """Return a network of 4 joints on 32x64 images, in training mode."""
    torch.manual_seed(0)
    return CAERNN(4, (32, 64), CAERNNConfig(**{**SMALL, **hyper}), cameras=cameras)


def _move_statistics(autoencoder: nn.Module, size: tuple[int, int]) -> None:
    """Let batch normalisation see frames, so that its statistics are no longer those it had."""
    autoencoder.train()(torch.rand(6, 3, *size))
    autoencoder.eval()


def two_cameras(effort: bool = False, seed: int = 0) -> ObservationBatch:
    """Return an observation of two cameras and five joints, and of their efforts if asked."""
    top, wrist = (random_observation(2, 32, 64, seed=seed + step) for step in (0, 1))
    images = {'top': top['images']['top'], 'wrist': wrist['images']['top']}
    observation: ObservationBatch = {'qpos': top['qpos'], 'images': images}
    if effort:
        observation['effort'] = wrist['qpos']
    return observation


@pytest.mark.parametrize(('rnn', 'count'), [('lstm', 14_918), ('mtrnn', 6_403)])
def test_the_sequence_models_have_the_counts_of_the_originals(rnn: str, count: int) -> None:
    model = SequenceModel(10, 8, CAERNNConfig(rnn=rnn))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize('reference', [True, False])
@pytest.mark.parametrize('rnn', RNNS)
def test_it_reads_and_predicts_features_before_joints_as_the_original_step_by_step(
    rnn: str, reference: bool
) -> None:
    torch.manual_seed(0)
    model = SequenceModel(3, 2, CAERNNConfig(**{**SMALL, 'rnn': rnn, 'reference': reference}))
    inputs = torch.rand(2, 100, 5)
    features, vector, state = model(inputs[..., :3], inputs[..., 3:])
    if rnn == 'lstm':
        cell = nn.LSTMCell(5, 12)
        weights = {key.removesuffix('_l0'): part for key, part in model.rec.state_dict().items()}
        cell.load_state_dict(weights)
    stepped: tuple[Tensor, ...] | None = None
    for t in range(100):
        stepped = (cell if rnn == 'lstm' else model.rec.cell)(inputs[:, t], stepped)
        expected = model.out[0](stepped[0])
        expected = expected.tanh() if reference else expected
        assert torch.allclose(torch.cat((features, vector), -1)[:, t], expected, atol=1e-5)
    for mine, plain in zip(state, stepped, strict=True):
        assert torch.allclose(mine, plain, atol=1e-5)


def test_an_activation_other_than_tanh_bends_units_and_the_reference_output() -> None:
    hyper = {**SMALL, 'rnn': 'mtrnn', 'activation': 'relu', 'reference': True}
    model = SequenceModel(3, 2, CAERNNConfig(**hyper))
    hidden, _ = model.step(torch.randn(2, 5, 3), torch.randn(2, 5, 2), None)
    assert hidden.min() == 0
    assert torch.cat(model.read(torch.randn(9, 12)), dim=-1).min() == 0


@pytest.mark.parametrize('rnn', RNNS)
@pytest.mark.parametrize('cameras', [1, 2])
def test_the_pieces_over_a_sequence_equal_the_cell_step_by_step(rnn: str, cameras: int) -> None:
    network = small_network(cameras, rnn=rnn)
    network.set_feature_range(-0.5, 0.7)
    images = [torch.rand(2, 5, 3, 32, 64) for _ in range(cameras)]
    joints = torch.rand(2, 5, 4)
    flat = [image.flatten(0, 1) for image in images]
    features = network.encode_images(flat).unflatten(0, (2, 5))
    assert features.shape == (2, 5, 4 * cameras)
    hidden, state = network.step(features, joints, None)
    assert network.decode_features(hidden).shape == features.shape
    drawn = network.decode_images(hidden.flatten(0, 1), flat)
    assert [image.shape for image in drawn] == [flat[0].shape] * cameras
    stepped = None
    for t in range(5):
        seen = [image[:, t] for image in images]
        predicted, vector, stepped = network(seen, joints[:, t], stepped)
        assert torch.allclose(vector, network.decode_joints(hidden[:, t]), atol=1e-5)
        for image, expected in zip(predicted, drawn, strict=True):
            assert torch.allclose(image, expected.unflatten(0, (2, 5))[:, t], atol=1e-5)
    for mine, expected in zip(stepped, state, strict=True):
        assert torch.allclose(mine, expected, atol=1e-5)


def test_features_are_told_in_the_unit_range_and_drawn_from_their_own() -> None:
    network = small_network(2)
    images = [torch.rand(20, 3, 32, 64) for _ in range(2)]
    raw = network.encode(images)
    assert torch.equal(raw[:, 4:], network.eyes[1].encode(images[1]))
    assert torch.equal(network.encode_images(images), raw)
    low, high = torch.linspace(-1, 0, 8), torch.linspace(0.5, 1, 8)
    network.set_feature_range(low, high)
    assert torch.allclose(network.encode_images(images), (raw - low) / (high - low), atol=1e-6)
    hidden = torch.randn(3, 12)
    features = network.sequence.denormalise(network.decode_features(hidden))
    assert torch.allclose(
        network.sequence.normalise(features), network.decode_features(hidden), atol=1e-6
    )
    drawn = network.decode_images(hidden, images)
    assert torch.equal(drawn[1], network.eyes[1].decode(features[:, 4:]))


def test_a_feature_that_never_moves_is_neither_divided_by_zero_nor_blown_up() -> None:
    model = SequenceModel(3, 2)
    model.set_feature_range(torch.tensor([-1.0, 0.0, 0.4]), torch.tensor([1.0, 0.0, 0.41]))
    told = model.normalise(torch.tensor([[0.0, 0.0, 0.405], [1.0, 0.1, 0.4]]))
    assert torch.allclose(told, torch.tensor([[0.5, 0.5, 0.5], [1.0, 1.0, 0.475]]), atol=1e-5)
    model.set_feature_range(torch.zeros(3), torch.zeros(3))
    assert torch.equal(model.normalise(torch.zeros(3)), torch.full((3,), 0.5))


def test_one_range_may_hold_for_all_features() -> None:
    model = SequenceModel(3, 2)
    model.set_feature_range(-0.5, 1.5)
    assert torch.equal(model.normalise(torch.tensor([-0.5, 0.5, 1.5])), torch.tensor([0, 0.5, 1]))


@pytest.mark.parametrize(('low', 'high'), [(1.0, 0.0), (0.0, float('nan')), (0.0, float('inf'))])
def test_a_range_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match='feature range: expected finite values'):
        SequenceModel(3, 2).set_feature_range(low, high)


def test_training_changes_the_sequence_model_and_nothing_of_the_autoencoders() -> None:
    policy = made('cae_rnn', ('top', 'wrist')).train()
    network = policy.network
    assert network.sequence.training
    assert not any(part.training for part in network.eyes.modules())
    before = {key: value.clone() for key, value in policy.state_dict().items()}
    learnt = [part for part in policy.parameters() if part.requires_grad]
    assert len(learnt) == len(list(network.sequence.parameters()))
    images = [torch.rand(6, 3, 32, 64) for _ in range(2)]
    features = network.encode_images(images)
    assert not features.requires_grad
    hidden, _ = network.step(features[None], torch.rand(1, 6, 5), None)
    drawn = network.decode_images(hidden[0], images)
    sum(image.mean() for image in drawn).backward()  # through the decoders, into the sequence
    assert network.sequence.rec.weight_hh_l0.grad.abs().sum() > 0
    with torch.no_grad():
        for part in policy.parameters():
            if part.grad is not None:
                part -= part.grad
    changed = {
        key for key, value in policy.state_dict().items() if not torch.equal(value, before[key])
    }
    assert changed
    assert all(key.startswith('network.sequence.') for key in changed)
    assert not any('feature_' in key for key in changed)


@pytest.mark.parametrize('rnn', RNNS)
@pytest.mark.parametrize('effort', [False, True])
def test_a_policy_of_two_cameras_acts_and_explains_in_robot_units(rnn: str, effort: bool) -> None:
    given: dict[str, Any] = {'hyper': {**SMALL, 'rnn': rnn}}
    if effort:
        ranges = {'qpos': EFFORT, 'action': EFFORT, 'effort': EFFORT}
        given |= {'effort': True, 'normalisation': ranges}
    policy = made('cae_rnn', ('top', 'wrist'), **given)
    plain = explained = policy.initial_state(2)
    for step in range(3):
        observation = two_cameras(effort, seed=step)
        chunk, plain = policy.act(observation, plain)
        same, explained, extras = policy.act_and_explain(observation, explained)
        assert chunk.shape == (2, 1, 5)
        assert torch.equal(same, chunk)
    assert [part.shape[1] for part in plain] == ([12, 12] if rnn == 'lstm' else [9, 3, 9, 3])
    expected = {'hidden': (2, 12), 'image/top': (2, 32, 64, 3), 'image/wrist': (2, 32, 64, 3)}
    expected |= {'effort': (2, 5)} if effort else {}
    assert {name: tuple(value.shape) for name, value in extras.items()} == expected


def test_autoencoders_of_one_checkpoint_or_of_several_find_their_cameras() -> None:
    both = made('cae', ('wrist', 'top'), seed=1)
    singles = [made('cae', ('top',), seed=2), made('cae', ('wrist',), seed=3)]
    images = [torch.rand(2, 3, 32, 64) for _ in range(2)]
    for models, top, wrist in (
        ([both], both.eyes[1], both.eyes[0]),
        (singles[::-1], singles[0].eyes[0], singles[1].eyes[0]),
    ):
        policy = made('cae_rnn', ('top', 'wrist'))
        taken = policy.adopt_autoencoders(models)
        assert taken == len(top.state_dict()) + len(wrist.state_dict())
        expected = torch.cat((top.encode(images[0]), wrist.encode(images[1])), dim=-1)
        assert torch.allclose(policy.network.encode_images(images), expected, atol=1e-6)
        assert not any(part.requires_grad for part in policy.network.eyes.parameters())
        assert any(part.requires_grad for part in top.parameters())


def with_hyper(**changes: Any) -> CAEModel:
    """Return an autoencoder of other hyper-parameters, as if loaded from m/cae."""
    model = made('cae', hyper={**SMALL['cae'], **changes})
    model.source = 'm/cae'
    return model


@pytest.mark.parametrize(
    ('models', 'line'),
    [
        (lambda: [with_hyper(feat_dim=6)], r'm/cae: feat_dim is 6, cae\.feat_dim of .* is 4'),
        (lambda: [with_hyper(norm='none')], r"m/cae: norm is 'none', cae\.norm of .* is 'batch'"),
        (lambda: [with_hyper(reference=True)], r'm/cae: reference is True, cae\.reference of'),
        (lambda: [made('cae', ('wrist',))], "camera 'top': no autoencoder was .*, only: wrist"),
        (lambda: [made('cae', image_size=(64, 64))], r'image_size is \(64, 64\), the cae_rnn has'),
        (lambda: [made('cae_rnn')], "holds a 'cae_rnn', expected a 'cae'"),
        (list, "camera 'top': no autoencoder was trained on it, only: none"),
    ],
)
def test_autoencoders_that_do_not_fit_are_refused_with_one_line(models: Any, line: str) -> None:
    policy = made('cae_rnn')
    before = policy.network.eyes[0].encoder[0].weight.clone()
    given: Sequence[Any] = models()
    with pytest.raises(UserError, match=line) as caught:
        policy.adopt_autoencoders(given)
    assert '\n' not in str(caught.value)
    assert torch.equal(policy.network.eyes[0].encoder[0].weight, before)


def test_hyper_parameters_of_the_autoencoder_come_from_its_checkpoint() -> None:
    cae = made('cae', hyper={'feat_dim': 7, 'norm': 'layer'})
    policy = made('cae_rnn', hyper=with_autoencoders({'rnn': 'mtrnn'}, [cae]))
    policy.adopt_autoencoders([cae])
    assert policy.config.cae == AutoencoderConfig(feat_dim=7, norm='layer')
    assert policy.spec.hyper['cae'] == cae.spec.hyper
    assert policy.config.rnn == 'mtrnn'


@pytest.mark.parametrize('rnn', RNNS)
def test_the_checkpoint_stands_alone(tmp_path: Path, rnn: str) -> None:
    save_policy(made('cae', seed=1), tmp_path / 'cae')
    policy: CAERNNPolicy = made('cae_rnn', hyper={**SMALL, 'rnn': rnn})
    policy.adopt_autoencoders([load_model(tmp_path / 'cae')])
    policy.network.set_feature_range(torch.arange(4.0), torch.arange(4.0) + 2)
    save_policy(policy, tmp_path / 'policy')
    shutil.rmtree(tmp_path / 'cae')
    again = load_policy(tmp_path / 'policy')
    assert isinstance(again, CAERNNPolicy)
    state = other = None
    for step in range(3):
        observation = random_observation(2, 32, 64, seed=step)
        chunk, state = policy.act(observation, state)
        same, other = again.act(observation, other)
        assert torch.equal(chunk, same)
    assert torch.equal(again.network.sequence.feature_low, torch.arange(4.0))
    assert not any(part.requires_grad for part in again.network.eyes.parameters())


@pytest.mark.parametrize('rnn', RNNS)
def test_the_sequence_model_alone_is_a_model_but_no_policy(tmp_path: Path, rnn: str) -> None:
    model = made('rnn', hyper={**SMALL, 'rnn': rnn})
    assert isinstance(model, RNNModel)
    save_policy(model, tmp_path / 'rnn')
    features, vector = torch.rand(2, 7, 4), torch.rand(2, 7, 5)
    again = load_model(tmp_path / 'rnn')
    for mine, expected in zip(again(features, vector)[:2], model(features, vector)[:2],
                              strict=True):  # fmt: skip
        assert torch.equal(mine, expected)
        assert mine.shape[:2] == (2, 7)
    with pytest.raises(UserError, match="holds a 'rnn', which can move no robot"):
        load_policy(tmp_path / 'rnn')


def test_the_sequence_model_alone_fits_into_a_policy_with_autoencoders() -> None:
    alone, policy = made('rnn', seed=1), made('cae_rnn')
    policy.network.sequence.load_state_dict(alone.sequence.state_dict())
    features, vector = torch.rand(2, 7, 4), torch.rand(2, 7, 5)
    hidden, _ = policy.network.step(features, vector, None)
    assert torch.equal(policy.network.decode_joints(hidden), alone(features, vector)[1])


def test_what_it_cannot_be_made_of_is_refused() -> None:
    with pytest.raises(UserError, match='cameras: found none, cae_rnn needs at least one'):
        made('cae_rnn', ())
    with pytest.raises(UserError, match=r'image_size: \(30, 64\)'):
        made('cae_rnn', image_size=(30, 64))
    with pytest.raises(ValidationError, match='fast_tau'):
        CAERNNConfig(fast_tau=0.5)
