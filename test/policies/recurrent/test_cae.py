# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Autoencoders are the published ones, for any size their strides allow, and can be adopted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from policy_examples import family, small_robot, spec
from pydantic import ValidationError
from torch import Tensor, nn

from motion_policy.errors import UserError
from motion_policy.policies import load_policy, make_model, save_policy
from motion_policy.policies.base import Model
from motion_policy.policies.checkpoint import load_model
from motion_policy.policies.recurrent.cae import (
    Autoencoder,
    AutoencoderConfig,
    CAEModel,
    adopt_pretrained,
    autoencoders_for,
)
from motion_policy.policies.recurrent.cnnrnn import CNNRNNPolicy

torch.set_num_threads(1)

OFFERED = [
    ('basic', 'none'), ('basic', 'batch'), ('basic', 'layer'), ('big', 'none'), ('big', 'batch'),
]  # fmt: skip
TWO_CAMERAS = {
    name: {'topic': f'{name}/image_raw', 'width': 64, 'height': 32} for name in ('top', 'wrist')
}


def autoencoder(pixels: tuple[int, int], /, **hyper: Any) -> Autoencoder:
    """Return an autoencoder with weights from a seed."""
    torch.manual_seed(0)
    return Autoencoder(pixels, AutoencoderConfig(**hyper))


def trained(*cameras: str, source: str = 'cae', seed: int = 1, **changes: Any) -> CAEModel:
    """Return a model of kind 'cae' with weights from a seed, as if loaded from `source`."""
    given: dict[str, Any] = {
        'kind': 'cae',
        'cameras': cameras,
        'image_size': (32, 64),
        'hyper': {'feat_dim': 4},
        'robot': small_robot(32, 64, cameras=TWO_CAMERAS),
    }
    torch.manual_seed(seed)
    model = make_model(spec(**{**given, **changes})).eval()
    model.source = source
    assert isinstance(model, CAEModel)
    return model


def seeing(*cameras: str, kind: str = 'cnnrnn', **changes: Any) -> CNNRNNPolicy:
    """Return a small CNNRNN that looks through these cameras."""
    robot = small_robot(32, 64, cameras=TWO_CAMERAS)
    policy = family(kind, cameras=cameras, robot=robot, **changes)
    assert isinstance(policy, CNNRNNPolicy)
    return policy


@pytest.mark.parametrize(
    ('size', 'norm', 'parameters', 'buffers'),
    [
        ('basic', 'none', 69_017, 0),
        ('basic', 'batch', 70_005, 1_001),
        ('big', 'none', 50_967_613, 0),
        ('big', 'batch', 51_022_449, 54_845),
    ],
)
def test_counts_are_those_of_the_originals(
    size: str, norm: str, parameters: int, buffers: int
) -> None:
    with torch.device('meta'):
        network = Autoencoder((128, 128), AutoencoderConfig(size=size, norm=norm))
    assert sum(part.numel() for part in network.parameters()) == parameters
    assert sum(part.numel() for part in network.buffers()) == buffers


def as_published(
    weights: dict[str, Tensor], images: Tensor, shape: Sequence[int], *, big: bool, batch: bool
) -> tuple[Tensor, Tensor]:
    """Compute feature and image as the originals do, in eval mode, from weights by position.

    A layer is a convolution or linear map, batch normalisation but at the very end, and Tanh in
    the basic one without batch normalisation, ReLU in the others.
    """
    step = 3 if batch else 2

    def layer(part: str, index: int, values: Tensor, operation: Any, **options: Any) -> Tensor:
        key = f'{part}.{index}.'
        values = operation(values, weights[f'{key}weight'], weights[f'{key}bias'], **options)
        normed = f'{part}.{index + 1}.'
        if f'{normed}running_mean' in weights:
            names = ('running_mean', 'running_var', 'weight', 'bias')
            values = F.batch_norm(values, *(weights[normed + name] for name in names))
        return values.relu() if big or batch else values.tanh()

    depth = 3 if big else 5
    down = {'stride': 2, 'padding': 1}
    values = images
    for index in range(depth):
        values = layer('encoder', step * index, values, F.conv2d, **down)
    values = values.flatten(1)
    for index in (depth * step + 1, depth * step + 1 + step):
        values = layer('encoder', index, values, F.linear)
    feature = values
    for index in (0, step):
        values = layer('decoder', index, values, F.linear)
    values = values.unflatten(1, shape)
    for index in range(depth):
        up = {'stride': 2, 'padding': int(not big or index < 2), 'output_padding': int(not big)}
        values = layer('decoder', 2 * step + 1 + step * index, values, F.conv_transpose2d, **up)
    return feature, values


@pytest.mark.parametrize(
    ('size', 'norm'), [('basic', 'none'), ('basic', 'batch'), ('big', 'none'), ('big', 'batch')]
)
def test_the_reference_form_computes_what_the_originals_do_under_their_keys(
    size: str, norm: str
) -> None:
    network = autoencoder((64, 32), size=size, norm=norm, reference=True)
    images = torch.rand(3, 3, 64, 32)
    network(images)  # which moves the statistics of batch normalisation off their start
    shape = (128, 6, 2) if size == 'big' else (8, 2, 1)
    feature, image = as_published(
        network.state_dict(), images, shape, big=size == 'big', batch=norm == 'batch'
    )
    network.eval()
    assert torch.allclose(network.encode(images), feature, atol=1e-6)
    assert torch.allclose(network(images), image, atol=1e-6)


@pytest.mark.parametrize(('size', 'norm'), OFFERED)
def test_images_come_back_in_their_size_also_when_not_square(size: str, norm: str) -> None:
    sides = [(32, 96), (64, 32)] if size == 'basic' else [(24, 40), (56, 32), (64, 48)]
    for height, width in sides:
        network = autoencoder((height, width), size=size, norm=norm, feat_dim=6)
        images = torch.rand(2, 3, height, width)
        feature = network.encode(images)
        assert feature.shape == (2, 6)
        assert network.decode(feature).shape == images.shape
        network.eval()
        assert torch.equal(network(images), network.decode(network.encode(images)))


def test_every_size_that_comes_back_is_taken_and_every_other_refused() -> None:
    encode = [nn.Conv2d(1, 1, 6, 2, 1) for _ in range(3)]
    decode = [nn.ConvTranspose2d(1, 1, 6, 2, border) for border in (1, 1, 0)]
    for side in range(8, 70):
        values = torch.zeros(1, 1, side, side)
        for layer in (*encode, *decode):
            smallest = 4 if isinstance(layer, nn.Conv2d) else 1
            values = layer(values) if values.shape[-1] >= smallest else values[..., :0]
            if not values.numel():
                break
        comes_back = values.shape[-1] == side
        if comes_back:
            with torch.device('meta'):
                Autoencoder((side, 24), AutoencoderConfig(size='big'))
        else:
            with pytest.raises(UserError, match=rf'image_size: \({side}, 24\)'):
                autoencoder((side, 24), size='big')


@pytest.mark.parametrize(
    ('size', 'found', 'line'),
    [
        ('basic', (64, 100), r'image_size: \(64, 100\), .* multiples of 32, such as \(64, 96\)'),
        ('big', (30, 64), r'image_size: \(30, 64\), .* of 8 from 24 on, such as \(32, 64\)'),
        ('big', (16, 64), r'image_size: \(16, 64\), .* of 8 from 24 on, such as \(24, 64\)'),
    ],
)
def test_an_image_size_that_does_not_fit_is_refused_with_one_that_does(
    size: str, found: tuple[int, int], line: str
) -> None:
    with pytest.raises(UserError, match=line) as caught:
        autoencoder(found, size=size)
    assert '\n' not in str(caught.value)


def test_big_with_layer_normalisation_is_not_offered() -> None:
    with pytest.raises(ValidationError, match="norm: found 'layer', size 'big' is offered with"):
        AutoencoderConfig(size='big', norm='layer')


@pytest.mark.parametrize(('size', 'norm'), OFFERED)
def test_only_the_reference_form_bends_its_image(size: str, norm: str) -> None:
    for reference in (False, True):
        network = autoencoder((32, 32), size=size, norm=norm, reference=reference)
        with torch.no_grad():
            last = [part for part in network.decoder if isinstance(part, nn.ConvTranspose2d)][-1]
            last.bias.copy_(torch.tensor([-3.0, 0.0, 3.0]))
        drawn = network(torch.rand(4, 3, 32, 32))
        lowest = 0.0 if size == 'big' or norm != 'none' else -1.0
        assert (drawn.min().item() >= lowest) is reference
        assert reference or drawn.max() > 1


@pytest.mark.parametrize(('size', 'norm'), OFFERED)
def test_a_feature_of_the_sound_form_can_come_back_from_below_zero(size: str, norm: str) -> None:
    network = autoencoder((32, 32), size=size, norm=norm)
    with torch.no_grad():  # where a ReLU would be dead
        last = [part for part in network.encoder if list(part.parameters())][-1]
        last.bias.fill_(-2.0)
        last.weight.mul_(0.1)
    feature = network.encode(torch.rand(8, 3, 32, 32))
    assert (feature < -0.5).all()
    feature.sum().backward()
    assert (last.bias.grad.abs() > 1e-3).all()


def test_every_camera_has_an_autoencoder_of_its_own() -> None:
    model = trained('top', 'wrist')
    images = [torch.rand(2, 3, 32, 64), torch.rand(2, 3, 32, 64)]
    top, wrist = model(images)
    assert torch.equal(top, model.eyes[0](images[0]))
    assert torch.equal(wrist, model.eyes[1](images[1]))
    assert not torch.equal(model.eyes[0](images[0]), model.eyes[1](images[0]))


@pytest.mark.parametrize('norm', ['none', 'batch', 'layer'])
def test_a_checkpoint_gives_the_same_autoencoder_but_no_policy(tmp_path: Path, norm: str) -> None:
    model = trained('top', hyper={'feat_dim': 4, 'norm': norm})
    images = [torch.rand(3, 3, 32, 64)]
    model.train()(images)  # so that batch normalisation has statistics to keep
    save_policy(model.eval(), tmp_path / 'cae')
    again = load_model(tmp_path / 'cae')
    assert torch.equal(again(images)[0], model(images)[0])
    assert again.spec.hyper == {
        'size': 'basic', 'norm': norm, 'feat_dim': 4, 'reference': False
    }  # fmt: skip
    with pytest.raises(UserError, match="holds a 'cae', which can move no robot"):
        load_policy(tmp_path / 'cae')


def test_batch_normalisation_refuses_to_learn_from_one_frame() -> None:
    model = trained('top', hyper={'norm': 'batch'}).train()
    with pytest.raises(UserError, match='batch_size: found 1 frame'):
        model([torch.rand(1, 3, 32, 64)])
    assert model.eval()([torch.rand(1, 3, 32, 64)])[0].shape == (1, 3, 32, 64)


def test_it_needs_a_camera() -> None:
    with pytest.raises(UserError, match='cameras: found none'):
        trained()


def test_autoencoders_are_found_by_the_cameras_name_in_one_checkpoint_or_in_several() -> None:
    both, top, wrist = trained('wrist', 'top'), trained('top'), trained('wrist')
    policy = seeing('top', 'wrist')
    assert autoencoders_for(policy, [both]) == [both.eyes[1], both.eyes[0]]
    assert autoencoders_for(policy, [wrist, top]) == [top.eyes[0], wrist.eyes[0]]
    assert autoencoders_for(seeing('wrist'), [both]) == [both.eyes[0]]


@pytest.mark.parametrize(
    ('models', 'line'),
    [
        (lambda: [trained('top')], "camera 'wrist': no autoencoder was trained on it, only: top"),
        (
            lambda: [trained('top', 'wrist', source='a'), trained('top', source='b')],
            "camera 'top': found an autoencoder in a and in b, expected one",
        ),
        (
            lambda: [trained('top', 'wrist', source='m/cae', image_size=(64, 64))],
            r'm/cae: image_size is \(64, 64\), the cnnrnn has \(32, 64\)',
        ),
        (lambda: [seeing('top')], "cnnrnn: holds a 'cnnrnn', expected a 'cae'"),
    ],
)
def test_autoencoders_that_do_not_fit_are_refused_with_one_line(models: Any, line: str) -> None:
    given: list[Model] = models()
    with pytest.raises(UserError, match=line):
        autoencoders_for(seeing('top', 'wrist'), given)


@pytest.mark.parametrize(
    ('kind', 'norm', 'count'), [('cnnrnn', 'none', 14 + 10), ('cnnrnnln', 'layer', 28 + 18)]
)
@pytest.mark.parametrize('cameras', [('top',), ('top', 'wrist')])
def test_cnnrnn_begins_with_the_weights_of_trained_autoencoders(
    kind: str, norm: str, count: int, cameras: tuple[str, ...]
) -> None:
    policy = seeing(*cameras, kind=kind)
    linear = policy.network.eyes[0].decoder[0].weight.clone()
    model = trained('wrist', 'top', hyper={'feat_dim': 4, 'norm': norm})
    assert adopt_pretrained(policy, [model]) == count * len(cameras)
    image = torch.rand(2, 3, 32, 64)
    for name, camera_network in zip(cameras, policy.network.eyes, strict=True):
        source = model.eyes[model.cameras.index(name)]
        assert torch.allclose(camera_network.encoder(image), source.encode(image), atol=1e-6)
        maps = torch.rand(2, 8, 1, 2)
        mine, theirs = (
            nn.Sequential(*decoder[[type(part) for part in decoder].index(nn.Unflatten) + 1 :])
            for decoder in (camera_network.decoder, source.decoder)
        )
        assert torch.allclose(mine(maps), theirs(maps), atol=1e-6)
    assert torch.equal(policy.network.eyes[0].decoder[0].weight, linear)


def test_what_was_adopted_is_a_copy() -> None:
    policy, model = seeing('top'), trained('top')
    adopt_pretrained(policy, [model])
    with torch.no_grad():
        policy.network.eyes[0].encoder[0].weight.zero_()
    assert model.eyes[0].encoder[0].weight.any()


@pytest.mark.parametrize(
    ('kind', 'hyper', 'line'),
    [
        ('cnnrnn', {'norm': 'batch'}, "cae: norm is 'batch', cnnrnn needs 'none'"),
        ('cnnrnnln', {'norm': 'none'}, "cae: norm is 'none', cnnrnnln needs 'layer'"),
        ('cnnrnn', {'feat_dim': 5}, 'cae: feat_dim is 5, cnnrnn needs 4'),
        ('cnnrnn', {'size': 'big'}, "cae: size is 'big', cnnrnn needs 'basic'"),
    ],
)
def test_autoencoders_of_another_make_are_refused_with_one_line(
    kind: str, hyper: dict[str, Any], line: str
) -> None:
    with pytest.raises(UserError, match=line):
        adopt_pretrained(
            seeing('top', kind=kind), [trained('top', hyper={'feat_dim': 4, **hyper})]
        )
