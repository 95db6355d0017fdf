# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A frame predictor is the published one, faster; of the future it knows the plan alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from frame_predictors import lively, small_predictor
from policy_examples import small_robot
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from motion_policy.errors import UserError
from motion_policy.policies import load_model, load_policy, save_policy
from motion_policy.policies.video.coder import Coder, Decoder, Encoder
from motion_policy.policies.video.lstm import CodeLSTM, Gaussian, GaussianLSTM
from motion_policy.policies.video.packed_coder import PackedDecoder, PackedEncoder
from motion_policy.policies.video.predictor import (
    FrameNetwork,
    FramePredictorConfig,
    FramePredictorModel,
)

torch.set_num_threads(1)

BOTH_SIZES = [(coder, side) for coder in ('vgg', 'dcgan') for side in (64, 128)]


def coders(coder: Coder, side: int) -> tuple[Encoder, Decoder]:
    """Return an encoder and a decoder in eval mode with weights from a seed."""
    torch.manual_seed(1)
    pair = Encoder(coder, side, 4, 6).eval(), Decoder(coder, side, 4, 6).eval()
    for part in pair:
        lively(part)
    return pair


def seen(batch: int = 2, past: int = 2, ahead: int = 3, seed: int = 0) -> tuple[Tensor, ...]:
    """Return frames (B, P, 24, 32, 3), and actions and positions that lead `ahead` frames on."""
    draw = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (batch, past, 24, 32, 3), dtype=torch.uint8, generator=draw)
    rows = (batch, past - 1 + ahead, 5)
    return frames, torch.randn(rows, generator=draw), torch.randn(rows, generator=draw)


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count(part: nn.Module | None) -> int:
    return 0 if part is None else sum(values.numel() for values in part.parameters())


@pytest.mark.parametrize(
    ('hyper', 'condition', 'counts'),
    [
        ({'coder': 'vgg'}, 7, (8_689_600, 11_822_659, 1_136_768, 592_256, 0)),
        (
            {'coder': 'vgg', 'code_dim': 64, 'latent_dim': 128, 'prior': 'learned'}, 7,
            (8_165_120, 11_298_371, 1_120_320, 608_768, 608_768),
        ),
        ({'coder': 'vgg'}, 0, (8_689_600, 11_822_659, 1_134_976, 592_256, 0)),
        (
            {'coder': 'dcgan', 'prior': 'learned'}, 7,
            (3_807_424, 6_562_627, 1_136_768, 592_256, 592_256),
        ),
        (
            {'coder': 'vgg', 'code_norm': True}, 7,
            (8_689_600, 11_822_659, 1_137_024, 592_256, 0),
        ),
    ],
)  # fmt: skip
def test_counts_are_those_of_the_published_networks(
    hyper: dict[str, Any], condition: int, counts: tuple[int, ...]
) -> None:
    with torch.device('meta'):
        network = FrameNetwork(64, condition, FramePredictorConfig(**hyper))
    parts = network.encoder, network.decoder, network.predictor, network.posterior, network.prior
    assert tuple(count(part) for part in parts) == counts
    assert count(network) == sum(counts)


@pytest.mark.parametrize(
    ('coder', 'side', 'skips'),
    [
        ('vgg', 64, [(4, 64), (8, 32), (16, 16), (32, 8)]),
        ('vgg', 128, [(4, 128), (8, 64), (16, 32), (32, 16), (32, 8)]),
        ('dcgan', 64, [(4, 32), (8, 16), (16, 8), (32, 4)]),
        ('dcgan', 128, [(4, 64), (8, 32), (16, 16), (32, 8), (32, 4)]),
    ],
)
def test_maps_have_the_published_sizes(
    coder: Coder, side: int, skips: list[tuple[int, int]]
) -> None:
    encoder, decoder = coders(coder, side)
    code, maps = encoder(torch.rand(2, 3, side, side))
    assert code.shape == (2, 6)
    assert [skip.shape for skip in maps] == [(2, c, s, s) for c, s in skips]
    drawn = decoder(code, maps)
    assert drawn.shape == (2, 3, side, side)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert drawn.std() > 0.01


@pytest.mark.parametrize(('coder', 'side'), BOTH_SIZES)
def test_the_split_decoder_draws_what_the_plain_one_does(coder: Coder, side: int) -> None:
    encoder, decoder = coders(coder, side)
    encoder, decoder = encoder.double(), decoder.double()
    codes = torch.randn(6, 6, dtype=torch.float64, generator=noise())
    images = torch.rand(2, 3, side, side, dtype=torch.float64, generator=noise())
    gradients = []
    for split in (False, True):
        _, skips = encoder(images)
        if split:
            drawn = decoder.decode(codes, decoder.halves(skips))
        else:
            drawn = decoder(codes, tuple(skip.repeat(3, 1, 1, 1) for skip in skips))
        weights = (*encoder.levels.parameters(), *decoder.parameters())
        shades = torch.linspace(0, 1, drawn.numel(), dtype=torch.float64).view_as(drawn)
        gradients.append([drawn, *torch.autograd.grad((drawn * shades).sum(), weights)])
    for plain, faster in zip(*gradients, strict=True):
        assert (plain - faster).abs().max() <= 1e-10 * plain.abs().max().clamp(min=1)


@pytest.mark.parametrize(('coder', 'side'), BOTH_SIZES)
def test_packed_coders_give_the_same_images(coder: Coder, side: int) -> None:
    encoder, decoder = coders(coder, side)
    images = torch.rand(2, 3, side, side, generator=noise())
    with torch.no_grad():
        code, skips = encoder(images)
        drawn = decoder(code, skips)
        packed = PackedEncoder(encoder), PackedDecoder(decoder)
    with torch.inference_mode():
        own_code, own_skips = packed[0](images)
        own = packed[1].decode(own_code, packed[1].halves(own_skips))
    assert torch.allclose(own_code, code, atol=1e-5)
    assert torch.allclose(own, drawn, atol=1e-5)


def test_divergences_are_those_of_the_distributions() -> None:
    torch.manual_seed(0)
    first, second = (Gaussian(torch.randn(4, 3, 5), torch.randn(4, 3, 5)) for _ in range(2))
    p, q = (Normal(each.mean, (each.log_variance / 2).exp()) for each in (first, second))
    standard = Normal(torch.zeros(5), torch.ones(5))
    assert torch.allclose(first.kl_from_standard(), kl_divergence(p, standard).sum(-1), atol=1e-5)
    assert torch.allclose(first.kl_from(second), kl_divergence(p, q).sum(-1), rtol=1e-4)
    drawn = first.sample(torch.full((4, 3, 5), 2.0))
    assert torch.allclose(drawn, p.mean + 2 * p.stddev)


@pytest.mark.parametrize('layers', [1, 2])
def test_steps_one_by_one_end_where_all_at_once_do(layers: int) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(5, 3, 7)
    for part in (CodeLSTM(7, 8, layers, 4), GaussianLSTM(7, 8, layers, 4)):
        whole, (h, c) = part(inputs)
        state: Any = None
        steps = []
        with torch.no_grad():
            for row in inputs:
                step, state = part(row[None], state)
                steps.append(step)
        means = [step if isinstance(step, Tensor) else step.mean for step in steps]
        expected = whole if isinstance(whole, Tensor) else whole.mean
        assert torch.allclose(torch.cat(means), expected, atol=1e-6)
        assert torch.allclose(state[0], h, atol=1e-6)
        assert torch.allclose(state[1], c, atol=1e-6)


def plain_prediction(
    model: FramePredictorModel, frames: Tensor, told: Tensor, latents: Tensor
) -> Tensor:
    """Predict as published: one step after the other, plain decoder, no step shared.

    frames (P, B, 3, S, S), told (P - 1 + F, B, C), latents (F, B, Z) -> (F, B, 3, S, S).
    """
    network, past = model.network, len(frames)
    codes, skips = zip(*(network.encoder(frame) for frame in frames), strict=True)
    posterior: Any = None
    predictor: Any = None
    prior: Any = None
    image = frames[-1]
    drawn = []
    for step in range(1, past + len(latents)):
        code = codes[step - 1] if step <= past else network.encoder(image)[0]
        if network.prior is not None:
            expected, prior = network.prior(code[None], prior)
        if step < past:
            true, posterior = network.posterior(codes[step][None], posterior)
            latent = true.mean[0]
        elif network.prior is not None:
            latent = expected.sample(latents[step - past][None])[0]
        else:
            latent = latents[step - past]
        inputs = torch.cat((told[step - 1], code, latent), -1)[None]
        following, predictor = network.predictor(inputs, predictor)
        if step >= past:
            kept = past - 1 if model.config.skip == 'last' else max(past - 2, 0)
            image = network.decoder(following[0], skips[kept])
            drawn.append(image)
    return torch.stack(drawn)


@pytest.mark.parametrize(
    ('hyper', 'past'),
    [
        ({'coder': 'vgg'}, 2),
        ({'coder': 'dcgan', 'prior': 'learned'}, 3),
        ({'prior': 'learned', 'skip': 'published', 'predictor_layers': 1}, 2),
        ({'condition': 'none', 'skip': 'published'}, 1),
    ],
)
def test_a_prediction_is_that_of_the_plain_loop(hyper: dict[str, Any], past: int) -> None:
    model = small_predictor(hyper=hyper)
    frames, actions, positions = seen(past=past)
    ours = model.predict(frames, actions, positions, samples=3, generator=noise(), at_once=4)
    assert ours.shape == (2, 3, 3, 3, 64, 64)
    drawn = torch.randn(3, 6, 4, generator=noise()).unflatten(1, (3, 2))
    with torch.no_grad():
        watched, told = model.unit_frames(frames), model.conditions(actions, positions)
        for sample in range(3):
            plain = plain_prediction(model, watched, told, drawn[:, sample])
            assert (ours[:, sample].transpose(0, 1) - plain).abs().max() < 1e-5
    assert (ours[:, 0] - ours[:, 1]).abs().max() > 1e-4


def test_what_is_computed_side_by_side_changes_nothing() -> None:
    model = small_predictor()
    given = seen(batch=3)
    whole, parts = (
        model.predict(*given, samples=4, generator=noise(), at_once=together)
        for together in (64, 3)
    )
    assert torch.allclose(whole, parts, atol=1e-5)


@pytest.mark.parametrize('condition', ['both', 'action', 'position', 'none'])
def test_only_what_it_is_told_moves_a_prediction(condition: str) -> None:
    model = small_predictor(hyper={'condition': condition})
    frames, actions, positions = seen()
    before = model.predict(frames, actions, positions, generator=noise())
    for name, changed in (
        ('action', (actions + 1, positions)),
        ('position', (actions, positions + 1)),
    ):
        moved = (model.predict(frames, *changed, generator=noise()) - before).abs().max()
        assert (moved > 1e-4) == (condition in ('both', name)), name


def test_an_action_moves_what_comes_after_it_and_nothing_before() -> None:
    model = small_predictor()
    frames, actions, positions = seen()
    before = model.predict(frames, actions, positions, generator=noise())
    actions[:, 2] += 1.0  # row 2 leads from frame 2, the first predicted one, to frame 3
    after = model.predict(frames, actions, positions, generator=noise())
    moved = (after - before).abs().amax((0, 1, 3, 4, 5))
    assert moved[0] < 1e-6
    assert (moved[1:] > 1e-5).all()


def test_a_row_of_the_target_frame_is_another_column() -> None:
    before, target = small_predictor(), small_predictor(hyper={'condition_of': 'target'})
    target.load_state_dict(before.state_dict())
    frames, actions, positions = seen()
    expected = before.predict(frames, actions, positions, generator=noise())
    shifted = [torch.cat((rows[:, :1] + 9, rows), 1) for rows in (actions, positions)]
    assert torch.equal(target.predict(frames, *shifted, generator=noise()), expected)


def test_candidates_are_ranked_by_what_they_lead_to() -> None:
    model = small_predictor()
    frames, actions, positions = seen(batch=1, ahead=4)
    observation = {'frames': frames[0], 'actions': actions[0, :1], 'positions': positions[0, :2]}
    chunks = actions[0, 1:].repeat(3, 1, 1)
    chunks[1] += 0.7
    chunks[2] -= 0.7
    futures = []
    for chunk in chunks:
        reached = torch.cat((positions[:, :2], chunk[None, :-1]), 1)
        sent = torch.cat((actions[:, :1], chunk[None]), 1)
        futures.append(model.predict(frames, sent, reached, generator=noise(5)))
    quiet = small_predictor(hyper={'latent_dim': 4})
    quiet.load_state_dict(model.state_dict())
    scores = model.rank(
        observation, chunks, score=lambda drawn: drawn.mean((1, 2, 3, 4, 5)), generator=noise(5)
    )
    assert scores.shape == (3,)
    goal = (futures[0][0, 0, -1].permute(1, 2, 0) * 255).round().byte()
    goals = model.rank(observation, chunks, goal=goal, samples=2, generator=noise())
    assert goals.shape == (3,)
    assert (goals < 0).all()
    assert len(set(goals.tolist())) == 3
    one = model.rank(observation, chunks[:1], goal=goal, generator=noise(5))
    error = (futures[0][0, 0] - goal.permute(2, 0, 1) / 255).square().sum()
    assert torch.allclose(one, -error[None], rtol=1e-4)
    given = model.rank(
        observation, chunks[:1], goal=goal, generator=noise(5),
        positions=torch.cat((positions[0, 1:2], chunks[0, :-1]))[None],
    )  # fmt: skip
    assert torch.equal(given, one)


def test_a_frame_predictor_goes_through_a_checkpoint_and_moves_no_robot(tmp_path: Path) -> None:
    model = small_predictor(hyper={'prior': 'learned', 'code_norm': True})
    save_policy(model, tmp_path / 'model')
    again = load_model(tmp_path / 'model')
    assert isinstance(again, FramePredictorModel)
    assert again.spec.hyper['past'] == 2
    given = seen()
    expected = model.predict(*given, generator=noise())
    assert torch.equal(again.predict(*given, generator=noise()), expected)
    with pytest.raises(UserError, match="holds a 'frame_predictor', which can move no robot"):
        load_policy(tmp_path / 'model')


def test_what_was_packed_follows_the_weights() -> None:
    model, other = small_predictor(), small_predictor(seed=3)
    given = seen()
    expected = other.predict(*given, generator=noise())
    assert not torch.allclose(model.predict(*given, generator=noise()), expected)
    model.load_state_dict(other.state_dict())
    assert torch.equal(model.predict(*given, generator=noise()), expected)
    model.train()
    with torch.no_grad():
        for values in model.parameters():
            values.mul_(1.1)
    moved = model.eval().predict(*given, generator=noise())
    assert not torch.allclose(moved, expected)
    assert torch.equal(copy.deepcopy(model).predict(*given, generator=noise()), moved)
    assert not any('packed' in key for key in model.state_dict())


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (
            {'image_size': (64, 60)},
            r'image_size: \(64, 60\), a frame_predictor needs \(',
        ),
        ({'image_size': (32, 32)}, r'image_size: \(32, 32\), a frame_predictor needs'),
        ({'cameras': ()}, 'cameras: found none, a frame_predictor looks through one'),
        ({'cameras': ('top', 'side')}, 'cameras: found top, side, a frame_predictor looks'),
    ],
)
def test_a_network_that_cannot_be_is_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as raised:
        small_predictor(robot=small_robot(), **changes)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda f, a, p: (f.float(), a, p), 'frames are .* torch.float32, expected'),
        (lambda f, a, p: (f[:, :, :, :, :2], a, p), r'frames are \(2, 2, 24, 32, 2\)'),
        (
            lambda f, a, p: (f, a[..., :3], p),
            r'actions are \(2, 4, 3\), expected \(batch, r',
        ),
        (lambda f, a, p: (f, a, p[..., :3]), r'positions are \(2, 4, 3\), expected'),
        (lambda f, a, p: (f, a, p[:, 1:]), r'positions are \(2, 3, 5\), actions are \(2, 4, 5\)'),
        (lambda f, a, p: (f, a, None), 'positions are missing'),
        (lambda f, a, p: (f, a[:, :1], p[:, :1]), r'actions are \(2, 1, 5\), expected 2 seq'),
        (lambda f, a, p: (f[:1], a, p), r'actions are \(2, 4, 5\), expected 1 sequences'),
    ],
)
def test_inputs_that_do_not_fit_are_named(change: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        small_predictor().predict(*change(*seen()))


def test_a_ranking_needs_one_measure() -> None:
    frames, actions, positions = seen(batch=1)
    observation = {'frames': frames[0], 'actions': actions[0, :1], 'positions': positions[0, :2]}
    with pytest.raises(ValueError, match='expected a goal or a score'):
        small_predictor().rank(observation, actions)
    with pytest.raises(ValueError, match='chunks are'):
        small_predictor().rank(observation, actions[..., :2], score=lambda drawn: drawn.mean())
