# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Gradients reach back as far as they are told to, and mixed inputs are those of the live arm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from policy_examples import small_policy
from torch import Tensor

from motion_policy.control.mixing import Mix, Mixer
from motion_policy.training.recurrent_loss import recurrent_terms
from motion_policy.training.sequence_dataset import Batch
from motion_policy.training.unrolling import Own, mixed, teacher_forced

torch.set_num_threads(1)

STEPS = 7
SIZE = (32, 64)
HYPER: dict[str, dict[str, Any]] = {
    'sarnn': {'rec_dim': 12, 'k_dim': 3, 'temperature': 0.1},
    'cnnrnn': {'rec_dim': 12, 'feat_dim': 4},
    'cae_rnn': {'rec_dim': 12, 'cae': {'feat_dim': 4}},
}


def policy_of(kind: str, **changes: Any) -> Any:
    return small_policy(kind=kind, hyper=HYPER[kind], image_size=SIZE, **changes)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def features_of(policy: Any) -> Tensor:
    return policy.network.encode_images([numbers(1, 3, *SIZE)]).shape[-1]


@pytest.mark.parametrize('own', [None, Own(joint=0.5), Own(joint=1.0, image=1.0)])
def test_a_cut_lets_values_pass_but_no_gradients(own: Own | None) -> None:
    policy = policy_of('cae_rnn')
    features = numbers(2, STEPS, features_of(policy)).requires_grad_()
    vector = numbers(2, STEPS, 5, seed=1).requires_grad_()

    def last_output(bptt_steps: int | None) -> Tensor:
        if own is None:
            return teacher_forced(policy.network, features, vector, bptt_steps)[:, -1]
        return mixed(policy, features, vector, own, bptt_steps).hidden[:, -1]

    assert torch.allclose(last_output(None), last_output(3), atol=1e-6)
    # Cut after steps 0-2 and 3-5: the last step, 6, stands alone.
    for bptt_steps, reached in ((None, range(7)), (3, range(6, 7)), (2, range(6, 7)),
                                (4, range(4, 7)), (7, range(7)), (100, range(7))):  # fmt: skip
        features.grad = vector.grad = None
        last_output(bptt_steps).square().sum().backward()
        reaches = [bool(vector.grad[:, step].any()) for step in range(STEPS)]
        replaced = 6 if own is not None and own.joint == 1.0 else 0
        expected = [step in reached and (not replaced or step == 0) for step in range(STEPS)]
        assert reaches == expected, bptt_steps


def test_a_window_learns_as_a_sequence_that_begins_with_the_state_before_it() -> None:
    policy = policy_of('cnnrnn')
    network = policy.network
    features, vector = numbers(2, STEPS, 4), numbers(2, STEPS, 5, seed=1)
    teacher_forced(network, features, vector, 4).square().sum().backward()
    ours = [weight.grad.clone() for weight in network.rec.parameters()]
    network.zero_grad()
    with torch.no_grad():
        _, state = network.step(features[:, :4], vector[:, :4], None)
    first, _ = network.step(features[:, :4], vector[:, :4], None)
    second, _ = network.step(features[:, 4:], vector[:, 4:], state)
    (first.square().sum() + second.square().sum()).backward()
    for gradient, weight in zip(ours, network.rec.parameters(), strict=True):
        assert torch.allclose(gradient, weight.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('kind', sorted(HYPER))
def test_with_nothing_of_its_own_it_is_teacher_forced(kind: str) -> None:
    policy = policy_of(kind)
    network = policy.network
    vector = numbers(2, STEPS, 5)
    images = numbers(2, STEPS, 3, *SIZE, seed=1)
    features = network.encode_images([images.flatten(0, 1)]).unflatten(0, (2, STEPS))
    expected = teacher_forced(network, features, vector)
    for seen in (features, [images]):
        run = mixed(policy, seen, vector, Own())
        assert torch.allclose(run.hidden, expected, atol=1e-5)
        assert torch.allclose(run.features, features, atol=1e-5)


@pytest.mark.parametrize(('joint', 'image'), [(0.3, 0.0), (0.0, 0.4), (0.6, 1.0)])
@pytest.mark.parametrize('target', ['action', 'qpos'])
def test_mixing_in_training_is_mixing_on_the_arm(joint: float, image: float, target: str) -> None:
    policy = policy_of('sarnn', target=target)
    with torch.no_grad():  # predictions in the middle of the range, so that no image is cut off
        policy.network.eyes[0].decoder_image[-2].bias += 0.5
    frames = torch.randint(0, 256, (1, STEPS, *SIZE, 3), dtype=torch.uint8,
                           generator=torch.Generator().manual_seed(0))  # fmt: skip
    qpos = numbers(1, STEPS, 5)
    vector = policy.normalise_qpos(qpos)
    with torch.no_grad():
        seen = [frames.permute(0, 1, 4, 2, 3).float() / 255]
        run = mixed(policy, seen, vector, Own(joint, image))
        targets = policy.normalise_target.inverse(policy.network.decode_joints(run.hidden))

    mixer, state = Mixer(policy, Mix(joint=1 - joint, image=1 - image)), None
    for step in range(STEPS):
        observation: Any = {'qpos': qpos[:, step], 'images': {'top': frames[:, step]}}
        observation = mixer.mixed(observation, None)
        chunk, state, extras = policy.act_and_explain(observation, state)
        mixer.keep(chunk, extras, None)
        # The arm's images are whole grey levels.
        tolerance = 0.01 if image else 1e-5
        assert torch.allclose(chunk[:, 0], targets[:, step], atol=tolerance)


def test_left_to_itself_it_sees_the_first_step_only() -> None:
    policy = policy_of('cae_rnn')
    features, vector = numbers(2, STEPS, 4), numbers(2, STEPS, 5, seed=1)
    alone = mixed(policy, features, vector, Own(joint=1.0, image=1.0))
    features[:, 1:], vector[:, 1:] = 7.0, -7.0
    again = mixed(policy, features, vector, Own(joint=1.0, image=1.0))
    assert torch.equal(alone.hidden, again.hidden)


def test_efforts_are_mixed_as_joints_are() -> None:
    ranges = {
        'qpos': {'min': [-1.0] * 5, 'max': [1.0] * 5},
        'action': {'min': [-1.0] * 5, 'max': [2.0] * 5},
        'effort': {'min': [-3.0] * 5, 'max': [3.0] * 5},
    }
    policy = policy_of('cnnrnn', effort=True, normalisation=ranges)
    features, vector = numbers(1, 2, 4), numbers(1, 2, 10, seed=1)
    run = mixed(policy, features, vector, Own(joint=0.25))
    predicted = policy.network.decode_joints(run.hidden[:, 0])
    joints = (predicted[:, :5] * 3 - 1 + 1) / 2  # from the range of actions to that of qpos
    told = 0.75 * vector[:, 1] + 0.25 * torch.cat((joints, predicted[:, 5:]), dim=-1)
    _, state = policy.network.step(features[:, :1], vector[:, :1], None)
    expected, _ = policy.network.step(features[:, 1:], told[:, None], state)
    assert torch.allclose(run.hidden[:, 1:], expected, atol=1e-6)


def batch_for(policy: Any) -> Batch:
    generator = torch.Generator().manual_seed(3)
    frames = torch.randint(0, 256, (2, 6, *SIZE, 3), dtype=torch.uint8, generator=generator)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    joints = torch.rand(2, 2, 6, 5, generator=generator)
    if policy.network.features_fixed:
        features = torch.rand(2, 6, 4, generator=generator)
        return Batch({}, joints[0], joints[1], mask, features=features)
    return Batch({'top': frames}, joints[0], joints[1], mask)


@pytest.mark.parametrize('kind', sorted(HYPER))
def test_the_terms_of_mixed_inputs_begin_where_those_of_recorded_ones_are(kind: str) -> None:
    policy = policy_of(kind)
    data = batch_for(policy)
    recorded = recurrent_terms(policy, data, None)
    assert ('image' in recorded) == (kind != 'cae_rnn')
    for hardly in (Own(joint=1e-7), Own(image=1e-7)):
        terms = recurrent_terms(policy, data, None, own=hardly)
        assert terms.keys() == recorded.keys()
        for name, value in terms.items():
            assert torch.allclose(value, recorded[name], atol=1e-5), name
    half = recurrent_terms(policy, data, None, own=Own(0.5, 0.5))
    assert not torch.allclose(half['joint'], recorded['joint'], atol=1e-5)
    sum(half.values()).backward()
    learnt = [weight for weight in policy.parameters() if weight.requires_grad]
    assert all(weight.grad is not None for weight in learnt)


def test_padding_counts_for_nothing_in_mixed_inputs() -> None:
    policy = policy_of('cnnrnn')
    first, second = batch_for(policy), batch_for(policy)
    second.images['top'][~second.mask] = 255
    second.qpos[~second.mask] = 1e3
    second.action[~second.mask] = -1e3
    terms = [recurrent_terms(policy, data, None, own=Own(0.5, 0.5)) for data in (first, second)]
    for name, value in terms[0].items():
        assert torch.allclose(value, terms[1][name], atol=1e-6), name


def test_features_that_are_given_are_a_target_and_get_no_gradient() -> None:
    policy = policy_of('cae_rnn')
    data = batch_for(policy)
    network = policy.network
    terms = recurrent_terms(policy, data, None)
    assert set(terms) == {'joint', 'feature'}
    errors = []
    for episode, length in ((0, 6), (1, 4)):
        hidden, _ = network.step(
            data.features[episode : episode + 1, : length - 1],
            policy.normalise_qpos(data.qpos[episode : episode + 1, : length - 1]),
            None,
        )
        wanted = data.features[episode, 1:length]
        errors.append((network.decode_features(hidden)[0] - wanted).square())
    assert torch.allclose(terms['feature'], torch.cat(errors).mean(), atol=1e-6)
    sum(terms.values()).backward()
    assert all(weight.grad is None for weight in network.eyes.parameters())
