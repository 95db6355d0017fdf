# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""CNNRNN and CNNRNNLN are the published cells, for any size and number of cameras."""

from __future__ import annotations

import pytest
import torch

from motion_policy.errors import UserError
from motion_policy.policies.recurrent.cnnrnn import (
    CNNRNN,
    CNNRNNConfig,
    CNNRNNLNPolicy,
    CNNRNNPolicy,
)

torch.set_num_threads(1)


@pytest.mark.parametrize(('norm', 'count'), [('none', 82_875), ('layer', 1_282_611)])
def test_parameter_counts_are_those_of_the_originals(norm: str, count: int) -> None:
    network = CNNRNN(8, (128, 128), norm=norm)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize('norm', ['none', 'layer'])
@pytest.mark.parametrize('cameras', [1, 2])
def test_a_step_gives_the_documented_shapes_on_images_that_are_not_square(
    norm: str, cameras: int
) -> None:
    network = CNNRNN(
        4, (32, 96), CNNRNNConfig(rec_dim=9, feat_dim=3), norm=norm, cameras=cameras, out_dim=5
    )
    images = [torch.rand(2, 3, 32, 96) for _ in range(cameras)]
    drawn, vector, (h, c) = network(images, torch.rand(2, 4))
    assert [image.shape for image in drawn] == [(2, 3, 32, 96)] * cameras
    assert vector.shape == (2, 5)
    assert network.encode_images(images).shape == (2, 3 * cameras)
    assert h.shape == c.shape == (2, 9)


@pytest.mark.parametrize('norm', ['none', 'layer'])
def test_the_pieces_over_a_sequence_equal_the_cell_step_by_step(norm: str) -> None:
    torch.manual_seed(0)
    network = CNNRNN(4, (32, 64), CNNRNNConfig(rec_dim=7), norm=norm)
    images, joints = torch.rand(2, 5, 3, 32, 64), torch.rand(2, 5, 4)
    features = network.encode_images([images.flatten(0, 1)]).unflatten(0, (2, 5))
    hidden, state = network.step(features, joints, None)
    frames = [images.flatten(0, 1)]
    drawn = network.decode_images(hidden.flatten(0, 1), frames)[0].unflatten(0, (2, 5))
    for grad in (True, False):
        stepped = None
        with torch.set_grad_enabled(grad):
            for t in range(5):
                (image,), vector, stepped = network([images[:, t]], joints[:, t], stepped)
                assert torch.allclose(vector, network.decode_joints(hidden[:, t]), atol=1e-5)
                assert torch.allclose(image, drawn[:, t], atol=1e-5)
        assert torch.allclose(stepped[1], state[1], atol=1e-5)


@pytest.mark.parametrize('norm', ['none', 'layer'])
def test_only_the_reference_form_bends_its_outputs(norm: str) -> None:
    images, joints = [5 * torch.rand(4, 3, 32, 32)], 9 * torch.randn(4, 6)
    for reference in (False, True):
        torch.manual_seed(1)
        network = CNNRNN(6, (32, 32), CNNRNNConfig(reference=reference), norm=norm)
        hidden, _ = network.step(network.encode_images(images)[:, None], joints[:, None], None)
        plain = network.decoder_joint[0](hidden)
        bent = plain.tanh() if norm == 'none' else plain.relu()
        assert torch.allclose(network.decode_joints(hidden), bent if reference else plain)
        drawn = network.decode_images(hidden[:, 0], images)[0]
        last = network.eyes[0].decoder[-1]
        assert isinstance(last, torch.nn.Identity) is not reference
        if norm == 'layer' and reference:
            assert drawn.min() >= 0
            assert network.encode_images(images).min() >= 0


def test_the_sound_form_can_learn_a_joint_whose_output_began_below_zero() -> None:
    torch.manual_seed(0)
    network = CNNRNN(3, (32, 32), CNNRNNConfig(rec_dim=8), norm='layer')
    with torch.no_grad():
        network.decoder_joint[0].bias.fill_(-2.0)  # where a ReLU would be dead
    images, joints = [torch.rand(4, 3, 32, 32)], torch.rand(4, 3)
    hidden, _ = network.step(network.encode_images(images)[:, None], joints[:, None], None)
    (network.decode_joints(hidden) - 0.5).square().mean().backward()
    assert network.decoder_joint[0].bias.grad.abs().min() > 0


@pytest.mark.parametrize('size', [(60, 64), (64, 16)])
def test_an_image_size_that_the_strides_do_not_allow_is_refused(size: tuple[int, int]) -> None:
    from policy_examples import spec

    for policy in (CNNRNNPolicy, CNNRNNLNPolicy):
        given = spec(kind=policy.kind, hyper={}, image_size=size)
        with pytest.raises(UserError, match=r'image_size: .* needs multiples of 32'):
            policy(given)
