# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""SARNN is the published cell, for any image size, and its pieces agree with its one step."""

from __future__ import annotations

import pytest
import torch

from motion_policy.policies.recurrent.sarnn import SARNN, SARNNConfig
from motion_policy.policies.recurrent.spatial_attention import (
    InverseSpatialSoftmax,
    SpatialSoftmax,
    points_in_image,
)

torch.set_num_threads(1)


@pytest.mark.parametrize(('joints', 'count'), [(8, 34_515), (5, 33_762), (14, 36_021)])
def test_parameter_count_is_that_of_the_original(joints: int, count: int) -> None:
    for size in ((64, 64), (48, 80)):
        network = SARNN(joints, size)
        assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize('cameras', [1, 2])
def test_a_step_gives_the_documented_shapes_on_images_that_are_not_square(cameras: int) -> None:
    network = SARNN(4, (20, 33), SARNNConfig(rec_dim=9, k_dim=3), cameras=cameras, out_dim=5)
    images = [torch.rand(2, 3, 20, 33) for _ in range(cameras)]
    drawn, vector, (h, c) = network(images, torch.rand(2, 4))
    assert [image.shape for image in drawn] == [(2, 3, 20, 33)] * cameras
    assert vector.shape == (2, 5)
    assert network.encode_images(images).shape == (2, 6 * cameras)
    assert network.decode_features(h).shape == (2, 6 * cameras)
    assert [points.shape for points in network.split_points(network.encode_images(images))] == [
        (2, 3, 2)
    ] * cameras
    assert h.shape == c.shape == (2, 9)


def test_every_camera_has_points_of_its_own() -> None:
    torch.manual_seed(0)
    network = SARNN(4, (16, 16), SARNNConfig(k_dim=3, temperature=0.1), cameras=2)
    left, right = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    first, second = network.split_points(network.encode_images((left, right)))
    assert torch.equal(first.flatten(1), network.eyes[0].pos_encoder(left).flatten(1))
    assert torch.equal(second.flatten(1), network.eyes[1].pos_encoder(right).flatten(1))
    with pytest.raises(ValueError, match='zip'):
        network.encode_images((left,))


def test_no_state_means_zeros() -> None:
    network = SARNN(4, (16, 16))
    images, joints = [torch.rand(1, 3, 16, 16)], torch.rand(1, 4)
    without = network(images, joints)
    given = network(images, joints, network.initial_state(1))
    assert torch.equal(without[0][0], given[0][0])
    assert torch.equal(without[1], given[1])


def test_the_softmax_finds_a_peak_as_x_of_columns_and_y_of_rows() -> None:
    features = torch.zeros(1, 2, 11, 21)
    features[0, 0, 5, 20] = 1.0  # row 5, column 20
    features[0, 1, 10, 0] = 1.0
    points = SpatialSoftmax(11, 21, temperature=1e-2)(features)
    assert torch.allclose(points, torch.tensor([[[1.0, 0.5], [0.0, 1.0]]]), atol=1e-5)


def test_the_softmax_is_the_mean_position_and_its_maps_sum_to_one() -> None:
    layer = SpatialSoftmax(4, 6, temperature=1.0)
    features = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    maps = layer.attention(features)
    assert torch.allclose(maps.sum((2, 3)), torch.ones(2, 3))
    expected = torch.zeros(2, 3, 2)
    for row in range(4):
        for column in range(6):
            position = torch.tensor([column / 5, row / 3])
            expected += maps[:, :, row, column, None] * position
    assert torch.allclose(layer(features), expected, atol=1e-6)
    strided = features.contiguous(memory_format=torch.channels_last)
    assert torch.equal(layer(strided), layer(features))


def test_heat_maps_are_gaussians_of_the_distance() -> None:
    points = torch.tensor([[[0.2, 0.7], [1.0, 0.0]]])
    maps = InverseSpatialSoftmax(5, 9, heatmap_size=0.1)(points)
    assert maps.shape == (1, 2, 5, 9)
    for row, column in ((0, 0), (3, 2), (4, 8)):
        position = torch.tensor([column / 8, row / 4])
        expected = torch.exp(-((position - points[0]) ** 2).sum(-1) / 0.1)
        assert torch.allclose(maps[0, :, row, column], expected, atol=1e-6)


def test_points_are_placed_where_the_convolutions_saw_them() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
    placed = points_in_image(points, height=20, width=40, border=3)
    pixels = placed * torch.tensor([39.0, 19.0])
    assert torch.allclose(pixels, torch.tensor([[3.0, 3.0], [36.0, 16.0], [19.5, 9.5]]))


def test_initialisation_is_that_of_the_original() -> None:
    network = SARNN(5, (16, 16))
    recurrent = network.rec.weight_hh_l0
    assert torch.allclose(recurrent.T @ recurrent, torch.eye(50), atol=1e-5)
    biases = [value for name, value in network.named_parameters() if 'bias' in name]
    assert all(not value.any() for value in biases)


def test_only_the_reference_form_bends_its_outputs() -> None:
    for reference in (False, True):
        torch.manual_seed(0)
        network = SARNN(5, (16, 16), SARNNConfig(reference=reference))
        hidden = torch.full((1, 50), -10.0) * network.decoder_joint[0].weight.sign()[:1]
        plain = network.decoder_joint[0](hidden)
        assert (plain < 0).any()
        bent = torch.where(plain < 0, 0.3 * plain, plain)
        expected = bent if reference else plain
        assert torch.allclose(network.decoder_joint(hidden), expected)
        for decoder in (network.decoder_point, network.eyes[0].decoder_image):
            assert isinstance(decoder[-1], torch.nn.LeakyReLU) is reference


def test_the_pieces_over_a_sequence_equal_the_cell_step_by_step() -> None:
    torch.manual_seed(0)
    network = SARNN(4, (18, 22), SARNNConfig(k_dim=3, temperature=0.1))
    images, joints = torch.rand(2, 6, 3, 18, 22), torch.rand(2, 6, 4)
    frames = [images.flatten(0, 1)]
    points = network.encode_images(frames).unflatten(0, (2, 6))
    hidden, state = network.step(points, joints, None)
    drawn = network.decode_images(hidden.flatten(0, 1), frames)[0].unflatten(0, (2, 6))
    for grad in (True, False):  # without gradients a single step takes a shorter way
        stepped = None
        with torch.set_grad_enabled(grad):
            for t in range(6):
                (image,), vector, stepped = network([images[:, t]], joints[:, t], stepped)
                assert torch.allclose(vector, network.decode_joints(hidden[:, t]), atol=1e-5)
                assert torch.allclose(image, drawn[:, t], atol=1e-5)
        assert torch.allclose(stepped[0], state[0], atol=1e-5)
        assert torch.allclose(stepped[1], state[1], atol=1e-5)


def test_points_and_heat_maps_carry_gradients() -> None:
    network = SARNN(4, (16, 16), SARNNConfig(temperature=0.1))
    images = [torch.rand(1, 3, 16, 16)]
    drawn, _, _ = network(images, torch.rand(1, 4))
    (drawn[0].sum() + network.encode_images(images).sum()).backward()
    encoder = network.eyes[0].pos_encoder
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert network.decoder_point[0].weight.grad.abs().sum() > 0


def test_a_learned_temperature_starts_where_it_was_put_and_follows_its_gradient() -> None:
    torch.manual_seed(0)
    fixed = SARNN(4, (12, 18), SARNNConfig(temperature=0.05))
    learned = SARNN(4, (12, 18), SARNNConfig(temperature=0.05, learn_temperature=True))
    weights = {**learned.state_dict(), **fixed.state_dict()}
    learned.load_state_dict(weights)
    images = [torch.rand(2, 3, 12, 18)]
    assert torch.allclose(fixed.encode_images(images), learned.encode_images(images), atol=1e-6)
    learned.encode_images(images).square().sum().backward()
    softmax = learned.eyes[0].pos_encoder[-1]
    assert softmax.log_temperature.grad.abs() > 0
    assert not any('temperature' in name for name in fixed.state_dict())
    with torch.no_grad():
        softmax.log_temperature += 5.0
    spread = learned.encode_images(images) - 0.5  # a hot softmax attends to everything: the middle
    assert spread.abs().max() < (fixed.encode_images(images) - 0.5).abs().max()
