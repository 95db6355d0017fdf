# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ACT: its layers are those of PyTorch, its sizes those of the paper, its answers as promised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from policy_examples import HIGH, LOW, small_robot, spec
from torch import Tensor, nn

from motion_policy.policies import load_policy, make_policy, save_policy
from motion_policy.policies.act.act import ACTConfig, ACTNetwork, without_posterior
from motion_policy.policies.act.transformer import DecoderLayer, EncoderLayer
from motion_policy.policies.base import ObservationBatch

SMALL: dict[str, Any] = {
    'chunk': 6,
    'hidden_dim': 32,
    'heads': 4,
    'feedforward_dim': 48,
    'encoder_layers': 2,
    'posterior_layers': 2,
    'latent_dim': 4,
    'backbone': 'small',
}
MIDDLE = [(high + low) / 2 for low, high in zip(LOW, HIGH, strict=True)]
SPREAD = {'mean': MIDDLE, 'std': [0.5, 0.4, 0.6, 0.7, 0.01]}


def policy(cameras: tuple[str, ...] = ('top', 'side'), **hyper: Any) -> Any:
    """A small ACT with random weights, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return make_policy(
            spec(
                kind='act',
                cameras=cameras,
                image_size=(32, 48),
                normalisation={'qpos': SPREAD, 'action': SPREAD},
                robot=small_robot(32, 48),
                hyper={**SMALL, **hyper},
            )
        ).eval()


def observation(seed: int = 0) -> ObservationBatch:
    random = torch.Generator().manual_seed(seed)
    return {
        'qpos': torch.rand(2, 5, generator=random),
        'images': {
            camera: torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8, generator=random)
            for camera in ('top', 'side')
        },
    }


def swapped(seen: ObservationBatch) -> ObservationBatch:
    images = seen['images']
    return {'qpos': seen['qpos'], 'images': {'top': images['side'], 'side': images['top']}}


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_encoder_layer_is_pytorchs() -> None:
    torch.manual_seed(0)
    ours = EncoderLayer(32, 4, 48, 0.0).eval()
    theirs = nn.TransformerEncoderLayer(32, 4, 48, 0.0, batch_first=True).eval()
    named = {key.replace('feed_forward.', ''): value for key, value in ours.state_dict().items()}
    theirs.load_state_dict(named)
    tokens, none = numbers(2, 7, 32), torch.zeros(1, 7, 32)
    torch.testing.assert_close(ours(tokens, none), theirs(tokens), atol=1e-5, rtol=0)
    allowed = torch.ones(2, 7, dtype=torch.bool)
    allowed[0, 4:] = False
    found = ours(tokens, none, allowed)[allowed]
    expected = theirs(tokens, src_key_padding_mask=~allowed)[allowed]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_decoder_layer_is_pytorchs() -> None:
    torch.manual_seed(0)
    ours = DecoderLayer(32, 4, 48, 0.0).eval()
    theirs = nn.TransformerDecoderLayer(32, 4, 48, 0.0, batch_first=True).eval()
    named = {
        key.replace('feed_forward.', '').replace('cross_attn', 'multihead_attn'): value
        for key, value in ours.state_dict().items()
    }
    theirs.load_state_dict(named)
    targets, memory = numbers(2, 5, 32), numbers(2, 9, 32, seed=2)
    found = ours(targets, memory, torch.zeros(5, 32), torch.zeros(1, 9, 32))
    torch.testing.assert_close(found, theirs(targets, memory), atol=1e-5, rtol=0)


def test_positions_go_to_queries_and_keys_and_never_to_values() -> None:
    torch.manual_seed(0)
    ours = EncoderLayer(32, 4, 48, 0.0).eval()
    theirs = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    theirs.load_state_dict(ours.self_attn.state_dict())
    tokens, places = numbers(2, 7, 32), numbers(1, 7, 32, seed=3)
    attended, _ = theirs(tokens + places, tokens + places, tokens)
    once = ours.norm1(tokens + attended)
    expected = ours.norm2(once + ours.feed_forward(once))
    torch.testing.assert_close(ours(tokens, places), expected, atol=1e-5, rtol=0)


def test_the_weights_that_are_shown_are_those_of_the_attention() -> None:
    torch.manual_seed(0)
    layer = DecoderLayer(32, 4, 48, 0.0).eval()
    theirs = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    theirs.load_state_dict(layer.cross_attn.state_dict())
    query, key = numbers(2, 5, 32), numbers(2, 9, 32, seed=2)
    _, expected = theirs(query, key, key)
    torch.testing.assert_close(layer.cross_attn.weights(query, key), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ('hyper', 'expected'), [({}, 51_613_582), ({'posterior': False}, 34_232_142)]
)
def test_the_published_size_has_as_many_parameters_as_lerobots(
    hyper: dict[str, Any], expected: int
) -> None:
    with torch.device('meta'):
        network = ACTNetwork(14, 14, 4, ACTConfig(**hyper))
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_padded_actions_change_nothing_and_valid_ones_do() -> None:
    network = policy().network
    vector, actions = numbers(2, 5), numbers(2, 6, 5, seed=2)
    valid = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    before = network.posterior(vector, actions, valid)
    padded = actions.clone()
    padded[0, 4:] = 1e3
    torch.testing.assert_close(network.posterior(vector, padded, valid), before)
    padded[0, 3] += 1
    assert not torch.allclose(network.posterior(vector, padded, valid)[0][0], before[0][0])


def test_the_style_reaches_the_answer_in_training_only() -> None:
    network = policy().network
    images = [numbers(2, 3, 32, 48, seed=seed) for seed in (3, 4)]
    vector, actions = numbers(2, 5), numbers(2, 6, 5, seed=2)
    at_zero = network(images, vector)
    assert at_zero.mean is None
    noise = torch.zeros(2, 4)
    taught = network(images, vector, actions, noise=noise)
    assert not torch.allclose(taught.targets, at_zero.targets)
    torch.testing.assert_close(
        network(images, vector, actions, noise=noise).targets, taught.targets
    )
    other = network(images, vector, actions, noise=noise + 1)
    assert not torch.allclose(other.targets, taught.targets)
    assert torch.equal(other.mean, taught.mean)


def test_a_chunk_is_the_same_every_time_and_has_no_state() -> None:
    acting, seen = policy(), observation()
    assert acting.initial_state(2) is None
    first, state = acting.act(seen, None)
    assert state is None
    assert first.shape == (2, 6, 5)
    assert torch.equal(acting.act(seen, None)[0], first)
    again, _, extras = acting.act_and_explain(seen, None)
    assert torch.equal(again, first)
    assert set(extras) == {'attention/top', 'attention/side'}


def test_without_its_posterior_a_policy_acts_alike() -> None:
    acting, seen = policy(), observation()
    slim = without_posterior(acting)
    assert slim.network.posterior is None
    assert slim.config.posterior is False
    assert torch.equal(slim.act(seen, None)[0], acting.act(seen, None)[0])
    assert acting.network.posterior is not None


def test_attention_is_a_share_of_one_per_camera() -> None:
    acting = policy()
    _, _, extras = acting.act_and_explain(observation(), None)
    for values in extras.values():
        assert values.shape == (2, 2, 3)
        assert (values >= 0).all()
    total = sum(values.flatten(1).sum(1) for values in extras.values())
    assert (total < 1).all(), 'the joints and the latent have a share too'
    network = acting.network
    images = [numbers(2, 3, 32, 48, seed=seed) for seed in (3, 4)]
    memory, positions, shapes = network.encode(images, numbers(2, 5))
    weights = network.attention(memory, positions)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert weights.shape[1] == 2 + sum(height * width for height, width in shapes)


def test_points_are_shown_as_points() -> None:
    acting = policy(backbone='points')
    chunk, _, extras = acting.act_and_explain(observation(), None)
    assert torch.equal(chunk, acting.act(observation(), None)[0])
    assert set(extras) == {'encoder_points/top', 'encoder_points/side'}
    for values in extras.values():
        assert values.shape == (2, 32, 2)
        assert ((values >= 0) & (values <= 1)).all()


def test_points_that_hardly_move_survive_a_file_of_half_the_size(tmp_path: Path) -> None:
    acting = policy(cameras=('top',), backbone='points')
    spread = acting.network.backbones[0].spread
    with torch.no_grad():
        spread.variance.copy_(torch.logspace(-9, -3, len(spread.variance)))
        spread.mean.copy_(acting.network.backbones[0](numbers(1, 3, 32, 48)).flatten())
    loaded = load_policy(save_policy(acting, tmp_path / 'half', half=True))
    assert torch.equal(loaded.network.backbones[0].spread.variance, spread.variance)
    assert torch.equal(loaded.network.backbones[0].spread.mean, spread.mean)
    assert torch.equal(loaded.network.queries, acting.network.queries.half().float())


def test_one_backbone_knows_no_camera_order_but_one_each_and_an_embedding_do() -> None:
    seen = observation()
    shared = policy()
    difference = (shared.act(seen, None)[0] - shared.act(swapped(seen), None)[0]).abs().max()
    assert difference < 1e-5, 'the same tokens in another order'
    apart = policy(backbone_per_camera=True)
    assert not torch.allclose(apart.act(seen, None)[0], apart.act(swapped(seen), None)[0])
    named = policy(camera_embedding=True)
    with torch.no_grad():
        named.network.camera_embedding.copy_(numbers(2, 32))
    assert not torch.allclose(
        named.act(seen, None)[0], named.act(swapped(seen), None)[0], atol=1e-4
    )


def test_each_camera_may_have_colours_of_its_own() -> None:
    seen = observation()
    triples = [(0.1, 0.2, 0.3), (0.4, 0.5, 0.6)]
    apart = policy(image_mean=triples, image_std=[(0.2, 0.2, 0.2), (0.3, 0.3, 0.3)])
    image = seen['images']['side'].permute(0, 3, 1, 2).float() / 255
    scaled = (image - torch.tensor(triples[1])[:, None, None]) / 0.3
    with torch.inference_mode():
        found = apart.network.extract_features(image, 1)
        expected = apart.network.backbones[0](scaled)
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match=r'image_mean: found 3, expected 1 or one per camera'):
        policy(image_mean=[(0.1,) * 3] * 3, image_std=[(0.1,) * 3] * 3)


@pytest.mark.parametrize('latent', [0, 4])
def test_joints_alone_are_enough(latent: int) -> None:
    acting = policy(cameras=(), latent_dim=latent)
    first, _ = acting.act({'qpos': torch.zeros(1, 5), 'images': {}}, None)
    other, _ = acting.act({'qpos': torch.ones(1, 5), 'images': {}}, None)
    assert first.shape == (1, 6, 5)
    assert not torch.allclose(first, other)
    assert acting.explain({'qpos': torch.zeros(1, 5), 'images': {}}, None) == {}


def test_an_image_of_another_size_makes_as_many_tokens_as_it_needs() -> None:
    network = policy(cameras=('top',)).network
    for size, expected in (((32, 48), 6), ((64, 48), 12), ((96, 96), 36)):
        _, positions, _ = network.encode([numbers(1, 3, *size)], numbers(1, 5))
        assert positions.shape == (1, 2 + expected, 32)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'qpos': torch.zeros(2, 4)}, r'qpos is \(2, 4\), expected \(batch, 5\)'),
        ({'images': {'top': torch.zeros(2, 32, 48, 3)}}, "camera 'top' gives .* torch.float32"),
        ({'images': {}}, "the observation has no camera 'top'"),
    ],
)
def test_an_observation_that_does_not_fit_is_one_line(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        policy().act({**observation(), **change}, None)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('hyper', 'words'),
    [
        ({'heads': 5}, 'hidden_dim 32: expected a multiple of 4 and of heads=5'),
        ({'image_std': [(0.0, 1.0, 1.0)]}, 'image_std: expected more than 0'),
        ({'chunk': 0}, 'chunk'),
        ({'depth': 3}, 'depth'),
    ],
)
def test_hyper_parameters_that_make_no_network_are_refused(
    hyper: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        policy(**hyper)
