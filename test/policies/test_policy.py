# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy takes camera pixels and robot units, and gives robot units back."""

from __future__ import annotations

import platform

import numpy as np
import pytest
import torch
from policy_examples import (
    FAMILIES,
    HIGH,
    LOW,
    family,
    random_observation,
    small_policy,
    small_robot,
    spec,
)

from motion_policy.errors import UserError
from motion_policy.policies import make_policy
from motion_policy.policies.base import ObservationBatch
from motion_policy.policies.cpu.allocator import keep_freed_memory
from motion_policy.policies.normalisation import (
    MinMax,
    Scaling,
    resize_images,
    to_byte_images,
    to_unit_images,
    value_range,
)

torch.set_num_threads(1)


def test_act_gives_a_chunk_of_one_row_in_robot_units() -> None:
    policy = small_policy()
    chunk, state = policy.act(random_observation(3), policy.initial_state(3))
    assert chunk.shape == (3, 1, 5)
    assert chunk.dtype == torch.float32
    assert [part.shape for part in state] == [(3, 12), (3, 12)]
    assert policy.period_ns == 100_000_000
    assert policy.joint_names == ('joint1', 'joint2', 'joint3', 'joint4', 'gripper')
    assert policy.cameras == ('top',)


def test_act_is_the_network_between_normalising_and_its_inverse() -> None:
    policy = small_policy()
    observation = random_observation(1)
    low, high = torch.tensor(LOW), torch.tensor(HIGH)
    image = resize_images(observation['images']['top'], (16, 20))
    network_image = image.permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        _, joints, _ = policy.network([network_image], (observation['qpos'] - low) / (high - low))
    low = low - 0.1  # the range of the action, which is what this policy predicts
    expected = joints * (high - low) + low
    chunk, _ = policy.act(observation, None)
    assert torch.allclose(chunk[:, 0], expected, atol=1e-6)


def test_a_policy_of_measured_joints_uses_their_range_for_its_output() -> None:
    chunks = []
    for target in ('action', 'qpos'):
        policy = small_policy(target=target)
        chunk, _ = policy.act(random_observation(1), None)
        chunks.append(chunk[0, 0])
    low, high = torch.tensor(LOW), torch.tensor(HIGH)
    share = (chunks[0] - (low - 0.1)) / (high - low + 0.1)
    assert torch.allclose(chunks[1], share * (high - low) + low, atol=1e-6)


def test_explaining_changes_neither_joints_nor_state() -> None:
    policy = small_policy()
    plain = explained = None
    for step in range(4):
        observation = random_observation(2, seed=step)
        chunk, plain = policy.act(observation, plain)
        same, explained, extras = policy.act_and_explain(observation, explained)
        assert torch.equal(chunk, same)
        assert all(torch.equal(a, b) for a, b in zip(plain, explained, strict=True))
    assert extras['encoder_points/top'].shape == extras['decoder_points/top'].shape == (2, 3, 2)
    assert extras['image/top'].shape == (2, 16, 20, 3)
    assert extras['image/top'].dtype == torch.uint8
    assert torch.equal(extras['hidden'], plain[0])


def test_acting_alone_never_runs_the_image_decoder() -> None:
    policy = small_policy()
    ran = []
    for name in ('im_encoder', 'heatmap', 'decoder_image'):
        layer = getattr(policy.network.eyes[0], name)
        layer.register_forward_hook(lambda *_, name=name: ran.append(name))
    policy.act(random_observation(), None)
    assert ran == []
    policy.act_and_explain(random_observation(), None)
    assert sorted(ran) == ['decoder_image', 'heatmap', 'im_encoder']


def test_the_state_remembers_and_acting_keeps_no_graph() -> None:
    policy = small_policy()
    first, state = policy.act(random_observation(seed=1), None)
    second, _ = policy.act(random_observation(seed=1), state)
    assert not torch.equal(first, second)
    assert not first.requires_grad
    assert not state[0].requires_grad


def test_attention_points_are_those_of_the_image() -> None:
    policy = small_policy()
    points = policy.explain(random_observation(), None)['encoder_points/top']
    pixels = points * torch.tensor([19.0, 15.0])  # the network sees 16x20
    assert pixels.min() >= 3
    assert (pixels <= torch.tensor([16.0, 12.0])).all()


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'qpos': torch.zeros(2, 4)}, r'qpos is \(2, 4\), expected \(batch, 5\)'),
        ({'images': {}}, "no camera 'top'"),
        ({'images': {'top': torch.zeros(2, 24, 32, 3)}}, "'top' gives .*float32, expected"),
    ],
)
def test_an_observation_that_does_not_fit_is_named(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        small_policy().act({**random_observation(), **change}, None)


def two_cameras(seed: int = 0) -> ObservationBatch:
    left, right = random_observation(seed=seed), random_observation(seed=seed + 100)
    return {**left, 'images': {'top': left['images']['top'], 'side': right['images']['top']}}


@pytest.mark.parametrize('kind', FAMILIES)
def test_several_cameras_are_all_seen_and_all_predicted(kind: str) -> None:
    policy = family(kind, cameras=('top', 'side'))
    observation = two_cameras()
    chunk, _, extras = policy.act_and_explain(observation, None)
    height, width = policy.spec.image_size
    for camera in policy.cameras:
        assert extras[f'image/{camera}'].shape == (2, height, width, 3)
        changed = {**observation['images'], camera: 255 - observation['images'][camera]}
        other, _ = policy.act({**observation, 'images': changed}, None)
        assert not torch.equal(other, chunk)


@pytest.mark.parametrize('kind', FAMILIES)
def test_efforts_are_an_input_and_are_predicted(kind: str) -> None:
    effort = {'min': [-2.0] * 5, 'max': [3.0] * 5}
    ranges = {**spec().normalisation.model_dump(), 'effort': effort}
    policy = family(kind, effort=True, normalisation=ranges)
    observation = {**random_observation(), 'effort': torch.rand(2, 5)}
    chunk, _, extras = policy.act_and_explain(observation, None)
    assert chunk.shape == (2, 1, 5)
    assert extras['effort'].shape == (2, 5)
    other, _ = policy.act({**observation, 'effort': torch.rand(2, 5) + 1}, None)
    assert not torch.equal(other, chunk)
    with pytest.raises(ValueError, match='the observation has no effort'):
        policy.act(random_observation(), None)
    with pytest.raises(ValueError, match=r'normalisation.effort is missing'):
        family(kind, effort=True)


def test_sarnn_needs_at_least_eight_pixels() -> None:
    with pytest.raises(UserError, match='at least 8x8 pixels'):
        make_policy(spec(image_size=(7, 64)))
    make_policy(spec(image_size=(8, 8)))


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UserError, match=r"unknown policy kind 'transformer' \(known: act, sarnn"):
        make_policy(spec(kind='transformer'))


def test_a_spec_must_fit_its_robot() -> None:
    with pytest.raises(ValueError, match="camera 'front' is not one of the robot's: top, side"):
        spec(cameras=('front',))
    short = {'qpos': {'min': LOW[:4], 'max': HIGH[:4]}, 'action': {'min': LOW, 'max': HIGH}}
    with pytest.raises(ValueError, match=r'normalisation.qpos has 4 values, the robot 5 joints'):
        spec(small_robot(), normalisation=short)


def test_a_joint_that_never_moves_stays_finite_and_in_the_middle() -> None:
    values = value_range([0.3, 5.0, -1.0], [0.3, 5.0, 1.0], [0.1, 1e-3, 0.01])
    scale = Scaling(values)
    measured = torch.tensor([0.3, 5.0, 1.0])
    assert torch.allclose(scale(measured), torch.tensor([0.5, 0.5, 1.0]), atol=1e-3)
    assert torch.allclose(scale.inverse(scale(measured)), measured, atol=1e-6)
    assert values.max[0] - values.min[0] == pytest.approx(0.1)


def test_a_range_must_be_a_range() -> None:
    with pytest.raises(ValueError, match=r'min 1\.0 is not below max 1\.0'):
        MinMax(min=(1.0,), max=(1.0,))


def test_shrinking_averages_and_the_own_size_is_left_alone() -> None:
    rows = (np.arange(32) % 2 * 255).astype(np.uint8)  # stripes of one pixel
    image = torch.from_numpy(np.broadcast_to(rows[:, None, None], (32, 32, 3)).copy())[None]
    assert resize_images(image, (32, 32)) is image
    small = resize_images(image, (8, 16))
    assert small.shape == (1, 8, 16, 3)
    inner = small[0, 1:-1].float()
    assert (inner - 127.5).abs().max() < 20  # without a low-pass filter: 0 or 255


def test_images_survive_the_way_to_the_network_and_back() -> None:
    image = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(-1, -1, -1, 3)
    unit = to_unit_images(image)
    assert unit.shape == (1, 3, 16, 16)
    assert unit.is_contiguous(memory_format=torch.channels_last)
    assert (float(unit.min()), float(unit.max())) == (0.0, 1.0)
    assert torch.equal(to_byte_images(unit), image)
    assert torch.equal(to_byte_images(unit * 3 - 1).amax(), torch.tensor(255, dtype=torch.uint8))


def test_the_allocator_setting_takes_where_there_is_glibc() -> None:
    assert keep_freed_memory() is (platform.libc_ver()[0] == 'glibc')
