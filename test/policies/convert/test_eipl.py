# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A converted model of EIPL gives the numbers of the original, over a roll-out of 40 steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eipl_models as eipl
import numpy as np
import pytest
import torch
from eipl_models import FEAT, JOINTS, State, Weights
from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.policies import load_model, load_policy, save_policy
from motion_policy.policies.convert.eipl import EiplOptions, convert_eipl
from motion_policy.policies.convert.eipl_weights import read_eipl_weights

pytestmark = pytest.mark.slow

STEPS = 40
TOLERANCE = 1e-5
BOUNDS = np.array([[-0.6, -0.4, 0.1, -0.5], [0.5, 0.6, 0.9, 0.4]])
FEATURES = np.array([[-0.7], [0.9]])

# image BGR, joints, state -> next image BGR, next joints, state
Step = Callable[[Tensor, Tensor, State | None], tuple[Tensor, Tensor, State]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def converted(
    tmp_path: Path,
    weights: Weights,
    arguments: dict[str, float] | None = None,
    cae: tuple[Weights, dict[str, float]] | None = None,
    **options: Any,
) -> Path:
    """Convert weights saved as a trainer of EIPL does; return the checkpoint."""
    sources = []
    for name, (kept, said) in (('model', (weights, arguments)), ('cae', cae or ({}, None))):
        folder = tmp_path / name
        folder.mkdir()
        if kept:
            state = {'epoch': 1, 'model_state_dict': kept, 'train_loss': 0.1, 'test_loss': 0.2}
            torch.save(state, folder / 'm.pth')
            (folder / 'args.json').write_text(str(said or {}).replace("'", '"'))
            sources.append(read_eipl_weights(folder / 'm.pth'))
    chosen = EiplOptions(**{'joint_bounds': BOUNDS, 'camera': 'top', **options})
    return save_policy(convert_eipl(sources[0], chosen, *sources[1:]).model, tmp_path / 'ours')


def frames(height: int, width: int) -> Tensor:
    """Camera images (STEPS, 1, H, W, 3) uint8 RGB: a coloured ramp and a spot that moves."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    images = []
    for step in range(STEPS):
        spot = ((x - 20 - 0.2 * step) ** 2 + (y - 15 - 0.1 * step) ** 2 < 60).float()
        noise = (x * 7 + y * 13 + step * 5) % 17
        image = torch.stack([2 * x + 90 * spot, 1.5 * y + noise, 200 - x - y + 40 * spot], dim=-1)
        images.append(image.clamp(0, 255).byte()[None])
    return torch.stack(images)


def positions(step: int) -> Tensor:
    """Joint positions (1, J) within the bounds."""
    swing = 0.5 + 0.5 * torch.sin(0.05 * step * (1 + torch.arange(JOINTS)))
    low, high = torch.tensor(BOUNDS).float()
    return (low + swing * (high - low))[None]


def assert_same_rollout(
    folder: Path, step: Step, size: tuple[int, int], scale: tuple[float, float] = (0.0, 1.0)
) -> None:
    """Hold `act` in robot units, and the drawn images, against the equations of EIPL."""
    policy = load_policy(folder)
    low, high = torch.tensor(BOUNDS).float()
    span = (high - low) / (scale[1] - scale[0])
    mine, theirs = None, None
    moved: list[Tensor] = []
    with torch.inference_mode():
        for number, image in enumerate(frames(*size)):
            seen, qpos = image.permute(0, 3, 1, 2), positions(number)
            observation = {'qpos': qpos, 'images': {'top': image}}
            chunk, mine, extras = policy.act_and_explain(observation, mine)
            joints = (qpos - low) / span + scale[0]
            drawn, joints, theirs = step(seen.flip(1).float() / 255, joints, theirs)
            expected = (joints - scale[0]) * span + low
            torch.testing.assert_close(chunk[:, 0], expected, atol=TOLERANCE, rtol=0)
            expected_image = 255 * drawn.flip(1).clamp(0, 1).permute(0, 2, 3, 1)
            difference = extras['image/top'].float() - expected_image
            assert difference.abs().max() < 0.501  # a grey level is rounded
            moved.append(chunk[0, 0])
    # The roll-out would be the same for any weights if nothing moved.
    assert (torch.stack(moved).std(dim=0) > 1e-3).any()


def assert_same_network(folder: Path, step: Step, size: tuple[int, int]) -> None:
    """Hold the network against the equations, in float64: rounding can hide no mistake."""
    network = load_policy(folder).network.double()
    mine, theirs = None, None
    with torch.inference_mode():
        for number, image in enumerate(frames(*size)[:5]):
            seen, joints = image.permute(0, 3, 1, 2).double() / 255, positions(number).double()
            (drawn,), vector, mine = network([seen], joints, mine)
            image_bgr, joints, theirs = step(seen.flip(1), joints, theirs)
            torch.testing.assert_close(vector, joints, atol=1e-9, rtol=0)
            torch.testing.assert_close(drawn.flip(1), image_bgr, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ('size', 'slope', 'scale'),
    [((64, 64), 0.3, (0.0, 1.0)), ((48, 64), 0.01, (0.1, 0.9))],
)
def test_sarnn_goes_on_as_it_did(
    tmp_path: Path, size: tuple[int, int], slope: float, scale: tuple[float, float]
) -> None:
    # A temperature of 1e-4 would magnify the rounding of the convolutions ten thousand times.
    weights, hyper = eipl.sarnn_weights(*size), {'temperature': 0.01, 'heatmap_size': 0.2}
    arguments = {**hyper, 'vmin': scale[0], 'vmax': scale[1]}
    folder = converted(tmp_path, weights, arguments, leaky_slope=slope)

    def step(image: Tensor, joints: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        return eipl.sarnn(weights, image, joints, state, slope=slope, **hyper)[:3]

    assert_same_rollout(folder, step, size, scale)


def test_sarnn_looks_where_it_did(tmp_path: Path) -> None:
    weights = eipl.sarnn_weights(64, 64)
    folder = converted(tmp_path, weights)
    network = load_policy(folder).network.double()
    exact = {key: value.double() for key, value in weights.items()}

    def step(image: Tensor, joints: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        drawn, vector, state, points, next_points = eipl.sarnn(exact, image, joints, state)
        found = network.encode_images([image.flip(1)])
        torch.testing.assert_close(found, points, atol=1e-9, rtol=0)
        ours = network.decode_features(state[0])
        torch.testing.assert_close(ours, next_points, atol=1e-9, rtol=0)
        return drawn, vector, state

    assert_same_network(folder, step, (64, 64))


@pytest.mark.parametrize('norm', ['none', 'layer'])
def test_cnnrnn_goes_on_as_it_did(tmp_path: Path, norm: str) -> None:
    weights = eipl.cnnrnn_weights(128, norm)
    folder = converted(tmp_path, weights)
    exact = {key: value.double() for key, value in weights.items()}
    assert_same_rollout(
        folder,
        lambda image, joints, state: eipl.cnnrnn(weights, image, joints, state, norm),
        (128, 128),
    )
    assert_same_network(
        folder,
        lambda image, joints, state: eipl.cnnrnn(exact, image, joints, state, norm),
        (128, 128),
    )


# The big ones at 48 px, which has their layers with far fewer weights.
CAES = [(128, False, 'none'), (128, False, 'batch'), (48, True, 'none'), (48, True, 'batch')]
CAE_NAMES = ['BasicCAE', 'BasicCAEBN', 'CAE', 'CAEBN']


@pytest.mark.parametrize(('side', 'big', 'norm'), CAES, ids=CAE_NAMES)
def test_an_autoencoder_sees_and_draws_as_it_did(
    tmp_path: Path, side: int, big: bool, norm: str
) -> None:
    weights = eipl.cae_weights(side, big=big, norm=norm)
    model = load_model(converted(tmp_path, weights))
    assert (model.kind, model.spec.image_size) == ('cae', (side, side))
    with torch.inference_mode():
        for image in frames(side, side)[::10]:
            seen = image.permute(0, 3, 1, 2).float() / 255
            feature = eipl.encode(weights, 'encoder', seen.flip(1), norm)
            drawn = eipl.decode(weights, 'decoder', feature, norm, linears=2)
            ours = model.eyes[0].encode(seen)
            torch.testing.assert_close(ours, feature, atol=TOLERANCE, rtol=0)
            (image_ours,) = model([seen])
            torch.testing.assert_close(image_ours.flip(1), drawn, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize('name', ['lstm', 'mtrnn'])
def test_a_sequence_model_goes_on_as_it_did(tmp_path: Path, name: str) -> None:
    weights = eipl.lstm_weights() if name == 'lstm' else eipl.mtrnn_weights()
    model = load_model(converted(tmp_path, weights))
    assert model.kind == 'rnn'
    random = torch.Generator().manual_seed(1)
    mine, theirs = None, None
    with torch.inference_mode():
        for _ in range(STEPS):
            values = torch.rand(2, FEAT + JOINTS, generator=random)
            features, vector, mine = model(values[:, None, :FEAT], values[:, None, FEAT:], mine)
            expected, theirs = eipl.rnn(weights, values, theirs)
            found = torch.cat([features, vector], dim=-1)[:, 0]
            torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)
            for ours, state in zip(mine, theirs, strict=True):
                torch.testing.assert_close(ours, state, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ('name', 'side', 'big', 'norm'),
    [
        ('lstm', 32, False, 'none'),
        ('mtrnn', 32, False, 'batch'),
        ('mtrnn', 32, True, 'none'),
        ('lstm', 32, True, 'batch'),
    ],
)
def test_a_sequence_model_with_its_autoencoder_is_a_policy(
    tmp_path: Path, name: str, side: int, big: bool, norm: str
) -> None:
    seeing = eipl.cae_weights(side, big=big, norm=norm)
    weights = eipl.lstm_weights() if name == 'lstm' else eipl.mtrnn_weights()
    taus = {} if name == 'lstm' else {'fast_tau': 3.0, 'slow_tau': 9.0}
    folder = converted(
        tmp_path,
        weights,
        # The features are scaled as the RNN's trainer says, the joints as the CAE's does.
        {'vmin': -0.5, 'vmax': 0.5},
        (seeing, {'vmin': 0.2, 'vmax': 0.7}),
        feature_bounds=FEATURES,
        **taus,
    )
    low, high = FEATURES[:, 0]

    def step(image: Tensor, joints: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        feature = eipl.encode(seeing, 'encoder', image, norm)
        scaled = (feature - low) / (high - low) - 0.5
        values, state = eipl.rnn(weights, torch.cat([scaled, joints], dim=-1), state, **taus)
        feature = (values[:, :FEAT] + 0.5) * (high - low) + low
        drawn = eipl.decode(seeing, 'decoder', feature, norm, linears=2)
        return drawn, values[:, FEAT:], state

    assert_same_rollout(folder, step, (side, side), (0.2, 0.7))


def test_weights_trained_on_rgb_stay_as_they_are(tmp_path: Path) -> None:
    weights = eipl.cnnrnn_weights(32, 'none')
    kept = load_policy(converted(tmp_path, weights, channels='rgb')).network
    first, last = kept.eyes[0].encoder[0].weight, kept.eyes[0].decoder[11].bias
    torch.testing.assert_close(first, weights['encoder_image.0.weight'], atol=0, rtol=0)
    torch.testing.assert_close(last, weights['decoder_image.11.bias'], atol=0, rtol=0)


def test_one_pair_of_bounds_serves_every_joint(tmp_path: Path) -> None:
    weights = eipl.cnnrnn_weights(32, 'none')
    folder = converted(tmp_path, weights, joint_bounds=np.array([[-2.0], [1.0]]))
    normalisation = load_policy(folder).spec.normalisation
    assert normalisation.qpos.min == (-2.0,) * JOINTS
    assert normalisation.qpos.max == (1.0,) * JOINTS


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'joint_bounds': BOUNDS[:, :3]}, r'found 3 joints, .*m\.pth has 4'),
        ({'joint_bounds': BOUNDS[:, [0, 0, 0, 0]] * [[1], [-1.2]]}, 'joint 1 goes from -0.6 to'),
        ({'camera': ''}, '--camera is missing'),
        ({'camera': 'state'}, "a camera is named 'state'"),
        ({'rate': 0.0}, 'rate: found 0.0'),
        ({'leaky_slope': 1.5}, 'leaky_slope: found 1.5'),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        converted(tmp_path, eipl.sarnn_weights(16, 16), **options)


def without(key: str) -> Callable[[Weights], object]:
    return lambda weights: weights.pop(key)


def put(key: str, *shape: int) -> Callable[[Weights], object]:
    return lambda weights: weights.update({key: torch.zeros(shape)})


def spoil(weights: Weights) -> None:
    weights['im_encoder.2.weight'][3, 1, 0, 2] = torch.nan


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (without('im_encoder.2.bias'), "key 'im_encoder.2.bias' is missing"),
        (without('decoder_point.0.weight'), "'decoder_point.0.weight' of a SARNN: found no such"),
        (without('pos_encoder.0.weight'), 'has the keys pos_encoder.0.bias'),
        (put('extra.weight', 2), "key 'extra.weight' does not belong to a SARNN"),
        (put('im_encoder.7.weight', 2), "key 'im_encoder.7.weight' does not belong to a SARNN"),
        (put('decoder_joint.0.bias', 3), r"'decoder_joint.0.bias' has shape \(3,\).*\(4,\)"),
        (put('im_encoder.0.weight', 16, 1, 3, 3), r'\(16, 1, 3, 3\), a SARNN of these sizes has'),
        (spoil, "'im_encoder.2.weight' holds values that are not finite"),
    ],
)
def test_damaged_weights_are_refused(
    tmp_path: Path, damage: Callable[[Weights], object], words: str
) -> None:
    weights = eipl.sarnn_weights(16, 16)
    damage(weights)
    with pytest.raises(UserError, match=words) as caught:
        converted(tmp_path, weights)
    assert str(tmp_path) in str(caught.value)
    assert '\n' not in str(caught.value)
