# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The loss is that of the published training, computed faster; padding and schedules stay out."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from policy_examples import small_policy, spec
from repository import ROOT
from torch import Tensor

from motion_policy.policies.normalisation import to_unit_images
from motion_policy.training import frame_minibatches
from motion_policy.training.augmentation import (
    EpisodeAugmentation,
    FeatureAugmentation,
    FrameAugmentation,
    ImageAugmentation,
    SequenceAugmentation,
)
from motion_policy.training.config import ConfigError, load_train_config
from motion_policy.training.config_sections import (
    EpisodeNoise,
    FeatureAugmentationConfig,
    FrameAugmentationConfig,
    ImageVariation,
    SequenceAugmentationConfig,
)
from motion_policy.training.learning import learning_of
from motion_policy.training.module import PolicyModule
from motion_policy.training.recurrent_loss import masked_mean, recurrent_terms
from motion_policy.training.sequence_dataset import Batch, generator_for

torch.set_num_threads(1)

LENGTHS = (9, 6, 7)


KINDS = {
    'sarnn': {'hyper': {'rec_dim': 12, 'k_dim': 3, 'temperature': 0.1}},
    'cnnrnn': {'hyper': {'rec_dim': 12, 'feat_dim': 4}, 'image_size': (32, 64)},
    'cnnrnnln': {'hyper': {'rec_dim': 12, 'feat_dim': 4}, 'image_size': (32, 64)},
}
EFFORTS = {'min': [-2.0] * 5, 'max': [3.0] * 5}


def policy_of(kind: str, cameras: tuple[str, ...] = ('top',), effort: bool = False) -> Any:
    """Return a small policy of a kind."""
    ranges = dict(spec().normalisation.model_dump(), effort=EFFORTS if effort else None)
    return small_policy(
        kind=kind, cameras=cameras, effort=effort, normalisation=ranges, **KINDS[kind]
    )


def batch(seed: int = 0, policy: Any = None) -> Batch:
    """Return sequences of unequal length; the padding holds values that would be noticed."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(max(LENGTHS))
    shape = (3, max(LENGTHS))
    size = policy.spec.image_size if policy else (16, 20)
    images = {
        camera: torch.randint(0, 256, (*shape, *size, 3), dtype=torch.uint8, generator=generator)
        for camera in (policy.cameras if policy else ('top',))
    }
    joints = torch.rand(3, *shape, 5, generator=generator)
    effort = joints[2] if policy and policy.spec.effort else None
    return Batch(images, joints[0], joints[1], rows < torch.tensor(LENGTHS)[:, None], effort)


def step_by_step(policy: Any, data: Batch) -> dict[str, Tensor]:
    """Return the terms from the cell alone: each episode by itself, without padding."""
    network = policy.network
    errors: dict[str, list[Tensor]] = {'image': [], 'joint': [], 'point': [], 'effort': []}
    for episode, length in enumerate(LENGTHS):
        state, expected = None, None
        for t in range(length - 1):
            frames = [data.images[name][episode, t : t + 2] for name in policy.cameras]
            now = [to_unit_images(frame)[:1] for frame in frames]
            vector = policy.normalise_qpos(data.qpos[episode, t : t + 1])
            if data.effort is not None:
                effort = policy.normalise_effort(data.effort[episode, t : t + 2])
                vector = torch.cat((vector, effort[:1]), dim=-1)
            target = policy.normalise_target(data.action[episode, t + 1])
            drawn, predicted, after = network(now, vector, state)
            for image, frame in zip(drawn, frames, strict=True):
                error = image[0] - to_unit_images(frame)[1]
                errors['image'].append(error.square().mean())
            errors['joint'].append((predicted[0, :5] - target).square().mean())
            if data.effort is not None:
                errors['effort'].append((predicted[0, 5:] - effort[1]).square().mean())
            if network.feature_term is not None:
                features = network.encode_images(now)
                if expected is not None:
                    errors['point'].append((expected - features).square().mean())
                hidden, _ = network.step(features[:, None], vector[:, None], state)
                expected = network.decode_features(hidden[:, 0])
            state = after
    return {name: torch.stack(values).mean() for name, values in errors.items() if values}


@pytest.mark.parametrize(
    ('kind', 'cameras', 'effort', 'frames_at_once'),
    [
        ('sarnn', ('top',), False, 4),
        ('sarnn', ('top', 'side'), True, 1000),
        ('cnnrnn', ('top',), False, 4),
        ('cnnrnn', ('side', 'top'), True, 1000),
        ('cnnrnnln', ('top',), False, 4),
    ],
)
def test_the_terms_and_their_gradients_are_those_of_the_cell_step_by_step(
    kind: str,
    cameras: tuple[str, ...],
    effort: bool,
    frames_at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame_minibatches, 'CPU_FRAMES', frames_at_once)
    policy = policy_of(kind, cameras, effort)
    data = batch(policy=policy)
    gradients = []
    for terms in (recurrent_terms(policy, data, None), step_by_step(policy, data)):
        policy.zero_grad()
        sum(terms.values()).backward()
        gradients.append({name: x.grad.clone() for name, x in policy.named_parameters()})
        gradients[-1] |= {name: value.detach() for name, value in terms.items()}
    ours, expected = gradients
    assert ours.keys() == expected.keys()
    for name, value in ours.items():
        assert torch.allclose(value, expected[name], rtol=1e-4, atol=1e-6), name


def test_a_term_that_is_not_wanted_is_not_computed() -> None:
    assert 'image' not in recurrent_terms(small_policy(), batch(), 0)


def test_the_point_term_pulls_on_encoder_and_decoder() -> None:
    policy = small_policy()
    recurrent_terms(policy, batch(), None)['point'].backward()
    network = policy.network
    for layer in (network.eyes[0].pos_encoder[0], network.decoder_point[0], network.rec):
        assert next(layer.parameters()).grad.abs().sum() > 0


def test_padding_counts_for_nothing() -> None:
    policy = small_policy()
    first, second = batch(), batch()
    second.images['top'][~second.mask] = 255
    second.qpos[~second.mask] = 1e6
    second.action[~second.mask] = -1e6
    for name, value in recurrent_terms(policy, second, None).items():
        assert torch.equal(value, recurrent_terms(policy, first, None)[name])


def test_the_target_may_be_the_measured_joints() -> None:
    data = batch()
    same = Batch(data.images, data.qpos, data.qpos, data.mask)
    policy = small_policy(target='qpos')
    terms = recurrent_terms(policy, data, None)
    assert torch.equal(terms['joint'], recurrent_terms(policy, same, None)['joint'])


def test_the_image_term_on_drawn_frames_is_right_on_average() -> None:
    policy = small_policy()
    with torch.no_grad():
        whole = recurrent_terms(policy, batch(), None)
        drawn = [
            recurrent_terms(policy, batch(), 2, generator=generator_for(i)) for i in range(150)
        ]
    images = torch.stack([terms['image'] for terms in drawn])
    assert images.std() > 0
    uncertainty = images.std() / len(drawn) ** 0.5
    assert abs(images.mean() - whole['image']) < 4 * uncertainty
    assert all(torch.equal(terms['joint'], whole['joint']) for terms in drawn)


def test_without_a_generator_the_frames_are_always_the_same() -> None:
    policy = small_policy()
    values = {float(recurrent_terms(policy, batch(), 2)['image'].detach()) for _ in range(3)}
    assert len(values) == 1


def test_a_masked_mean_is_the_mean_of_what_is_left() -> None:
    values = torch.arange(24.0).view(2, 4, 3)
    mask = torch.tensor([[True, True, False, False], [True, False, False, False]])
    kept = [*range(6), *range(12, 15)]
    assert float(masked_mean(values, mask)) == pytest.approx(sum(kept) / len(kept))
    assert float(masked_mean(values, mask & False)) == 0


def test_noise_is_repeatable_and_targets_stay_clean() -> None:
    policy = small_policy()
    noise = SequenceAugmentation(SequenceAugmentationConfig(image_noise=0.1, joint_noise=0.1))
    data, untouched = batch(), batch()
    terms = [
        recurrent_terms(policy, data, None, augmentation=noise, generator=generator_for(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(terms[0]['joint'], terms[1]['joint'])
    assert not torch.equal(terms[0]['joint'], terms[2]['joint'])
    assert torch.equal(data.images['top'], untouched.images['top'])
    assert torch.equal(data.qpos, untouched.qpos)


def test_light_and_erased_boxes_are_drawn_once_per_episode() -> None:
    changed = ImageAugmentation(
        ImageVariation(
            image_noise=0, brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, erasing=1.0
        )
    )
    frame = torch.rand(1, 1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    images = frame.expand(4, 5, -1, -1, -1)
    given = changed.images(images, generator_for(0))
    assert given.shape == images.shape
    assert (given >= 0).all()
    assert (given <= 1).all()
    assert torch.equal(given[:, :1].expand_as(given), given)
    assert not torch.equal(given[0], given[1])
    assert (given[:, 0] == 0).all(1).flatten(1).any(1).all()  # every episode has a black box
    assert torch.equal(images, frame.expand(4, 5, -1, -1, -1))


def frames_and_what_is_seen(**options: float) -> tuple[Tensor, Tensor, Tensor]:
    frames = torch.rand(6, 3, 20, 30, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
    given = FrameAugmentation(FrameAugmentationConfig(**{'image_noise': 0.0, **options}))
    before = frames.clone()
    seen, target = given.frames(frames, generator_for(0))
    assert torch.equal(frames, before)
    again, _ = given.frames(frames, generator_for(0))
    assert torch.equal(again, seen)
    return frames, seen, target


def test_an_autoencoder_draws_the_clean_frame_from_one_in_other_light() -> None:
    frames, seen, target = frames_and_what_is_seen(image_noise=0.1)
    assert torch.equal(target, frames)
    assert float((seen - target).std()) == pytest.approx(0.1, rel=0.05)
    frames, seen, target = frames_and_what_is_seen(brightness=0.3)
    assert torch.equal(target, frames)
    factors = (seen / target).flatten(1)
    assert torch.allclose(factors, factors[:, :1].expand_as(factors), atol=1e-3)
    assert len({round(factor, 3) for factor in factors[:, 0].tolist()}) == 6


@pytest.mark.parametrize(
    ('option', 'expected'),
    [
        ('horizontal_flip', lambda frames: frames.flip(-1)),
        ('vertical_flip', lambda frames: frames.flip(-2)),
    ],
)
def test_frames_are_mirrored_with_what_is_to_be_drawn(option: str, expected: Any) -> None:
    frames, seen, target = frames_and_what_is_seen(**{option: 1.0})
    assert torch.equal(seen, target)
    assert torch.equal(target, expected(frames))
    frames, _, target = frames_and_what_is_seen(**{option: 0.5})
    mirrored = [torch.equal(one, whole) for one, whole in zip(target, frames, strict=True)]
    assert 0 < sum(mirrored) < 6


def test_autocontrast_stretches_every_colour_to_the_whole_range() -> None:
    _, seen, target = frames_and_what_is_seen(autocontrast=1.0)
    assert torch.equal(seen, target)
    assert torch.allclose(target.amin((2, 3)), torch.zeros(6, 3), atol=1e-6)
    assert torch.allclose(target.amax((2, 3)), torch.ones(6, 3), atol=1e-6)


def test_frames_are_moved_by_whole_pixels_and_black_comes_in() -> None:
    frames, seen, target = frames_and_what_is_seen(translate=0.3)
    assert torch.equal(seen, target)
    moves = set()
    for frame, moved in zip(frames, target, strict=True):
        inside = (moved != 0).all(0)
        rows, columns = inside.any(1).nonzero().ravel(), inside.any(0).nonzero().ravel()
        kept = moved[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = kept.shape[-2:]
        top, left = (0 if rows[0] else 20 - height), (0 if columns[0] else 30 - width)
        assert torch.equal(kept, frame[:, top : top + height, left : left + width])
        assert height >= 20 - 6
        assert width >= 30 - 9
        moves.add((int(rows[0]), int(columns[0]), height, width))
    assert len(moves) > 3


def test_features_get_noise_per_step() -> None:
    features = torch.zeros(4, 300, 5)
    given = FeatureAugmentation(FeatureAugmentationConfig(feature_noise=0.1))
    assert float(given.features(features, generator_for(0)).std()) == pytest.approx(0.1, rel=0.05)
    assert not features.any()


def test_joints_get_noise_per_step_and_an_offset_per_episode() -> None:
    joints = torch.zeros(400, 6, 2)
    noise = EpisodeAugmentation(EpisodeNoise(joint_noise=0.1)).joints(joints, generator_for(0))
    assert float(noise.std()) == pytest.approx(0.1, rel=0.05)
    only_offset = EpisodeNoise(joint_noise=0, joint_offset=0.2)
    offset = EpisodeAugmentation(only_offset).joints(joints, generator_for(0))
    assert torch.equal(offset[:, :1].expand_as(offset), offset)
    assert float(offset.std()) == pytest.approx(0.2, rel=0.1)


def test_without_colours_torchvision_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'torchvision.transforms.v2', None)
    FrameAugmentation(FrameAugmentationConfig())
    for change in ({'hue': 0.1}, {'translate': 0.1}):
        with pytest.raises(ConfigError, match='need torchvision, which cannot be imported'):
            FrameAugmentation(FrameAugmentationConfig(**change))


@pytest.mark.parametrize(
    ('name', 'judged'), [('sarnn', ('image', 'joint')), ('cae_rnn', ('image', 'joint', 'feature'))]
)
def test_a_run_is_judged_by_terms_whose_target_stands_still(
    name: str, judged: tuple[str, ...]
) -> None:
    """Features of a network that learns to encode images move; those of a fixed one do not."""
    path = ROOT / 'config' / 'train' / f'{name}_tabletop.yaml'
    config = load_train_config(path, ['loss.image=0.5', 'loss.feature=3.0'])
    learning = learning_of(config)
    module = PolicyModule(small_policy(**KINDS['sarnn']), config, learning)
    terms = {'image': 1.0, 'joint': 10.0, 'feature': 100.0, 'point': 1000.0, 'effort': 1e4}
    seen = {term: torch.tensor(terms[term]) for term in (*judged, 'point', 'effort')}
    weights = {'image': 0.5, 'joint': 1.0, 'feature': 3.0, 'effort': 1.0}
    if name == 'sarnn':
        seen['feature'] = torch.tensor(100.0)
    else:
        del seen['point']
    expected = sum(weights[term] * terms[term] for term in (*judged, 'effort'))
    assert float(module.fixed_loss(seen)) == pytest.approx(expected)
