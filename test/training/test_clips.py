# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A frame predictor learns from clips: of any start, as its schedules say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from frame_predictors import small_predictor
from policy_examples import write_demonstrations
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from training_runs import CLIP_RUN, PREDICTOR, run_to_the_end, small_run

from motion_policy.errors import UserError
from motion_policy.policies import load_model
from motion_policy.policies.video.unrolling import ClipPrediction, on_its_own, teacher_forced_clip
from motion_policy.training import ConfigError, TrainConfig, train_config
from motion_policy.training.clip_dataset import ClipDataset, spread_evenly
from motion_policy.training.demonstrations import Demonstration, load_demonstrations
from motion_policy.training.frame_loss import frame_terms, judged_terms, mean_psnr
from motion_policy.training.frame_schedule import KLConfig, TeacherForcingConfig
from motion_policy.training.learning import learning_of
from motion_policy.training.sequence_dataset import collate
from motion_policy.training.train import no_progress, train

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


@pytest.fixture(scope='module')
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp('data') / 'demos', (14, 11, 12, 14))


def content(demonstrations: Path, output: Path, **changes: Any) -> dict[str, Any]:
    return small_run(demonstrations, output, **{**CLIP_RUN, **changes})


def config(demonstrations: Path, output: Path, **changes: Any) -> TrainConfig:
    return train_config(content(demonstrations, output, **changes))


@pytest.fixture(scope='module')
def whole(demonstrations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output of a run of four epochs that nothing disturbed."""
    return run_to_the_end(content(demonstrations, tmp_path_factory.mktemp('runs') / 'whole'))


def clip(frames: int = 5, batch: int = 3, width: int = 10) -> tuple[Tensor, Tensor, Tensor]:
    """Return frames, conditions and noise as a network takes them."""
    draw = torch.Generator().manual_seed(2)
    images = torch.rand(frames, batch, 3, 64, 64, generator=draw)
    return (
        images,
        torch.randn(frames - 1, batch, width, generator=draw),
        torch.randn(frames - 1, batch, 4, generator=draw),
    )


def episode(length: int) -> Demonstration:
    """Return an episode whose every value tells its row."""
    rows = torch.arange(length)
    joints = rows[:, None].repeat(1, 5).float()
    images = rows[:, None, None, None].repeat(1, 4, 4, 3).byte()
    return Demonstration(Path(f'episode_{length}.hdf5'), {'top': images}, joints, joints + 0.5)


def test_a_clip_may_begin_at_every_row_from_which_it_fits() -> None:
    clips = ClipDataset([episode(9), episode(7)], frames=3, stride=2)
    starts = clips.starts()
    assert starts == [(0, row) for row in range(5)] + [(1, row) for row in range(3)]
    assert len(clips) == len(starts)
    drawn = clips[0, 4]
    assert drawn.qpos[:, 0].tolist() == [4, 6, 8]
    assert drawn.images['top'][:, 0, 0, 0].tolist() == [4, 6, 8]
    assert spread_evenly(starts, 3) == [(0, 0), (0, 4), (1, 2)]
    assert spread_evenly(starts, 99) == starts


def test_frames_that_stay_in_their_files_make_the_same_clips(
    demonstrations: Path, tmp_path: Path
) -> None:
    batches = []
    for hold in ('auto', 'no'):
        data = {'train': [str(demonstrations)], 'validation': 0.25, 'hold': hold}
        given = config(demonstrations, tmp_path, data=data)
        loaded = load_demonstrations(given, no_progress)
        batches.append(list(learning_of(given).train_loader(loaded, 0, 1)))
    assert len(batches[0]) == 3  # 13 clips are 3 whole batches of 4
    for held, stored in zip(*batches, strict=True):
        assert held.images['top'].shape == (4, 5, 64, 64, 3)
        assert torch.equal(held.images['top'], stored.images['top'])
        assert torch.equal(held.action, stored.action)


@pytest.mark.parametrize('mode', ['eval', 'train'])
@pytest.mark.parametrize(
    'hyper',
    [
        {'coder': 'vgg', 'prior': 'learned'},
        {'coder': 'dcgan', 'skip': 'published'},
        {'coder': 'dcgan', 'past': 3, 'future': 2, 'code_norm': False},
    ],
)
def test_all_steps_at_once_give_what_one_step_after_the_other_gives(
    hyper: dict[str, Any], mode: str
) -> None:
    network = small_predictor(hyper=hyper).network.double()
    network.train(mode == 'train')
    frames, told, noise = (values.double() for values in clip())
    results: list[list[Tensor]] = []
    ways: list[Any] = [
        lambda: on_its_own(network, frames, told, noise, forced=True, at_once=False),
        lambda: teacher_forced_clip(network, frames, told, noise, at_once=False),
    ]
    if mode == 'eval':  # where batch normalisation learns, its batches tell
        ways.append(lambda: teacher_forced_clip(network, frames, told, noise, at_once=True))
    for way in ways:
        unrolled: ClipPrediction = way()
        loss = (torch.stack(unrolled.frames) - frames[1:]).square().mean() + unrolled.kl().mean()
        parts = list(network.parameters())
        gradients = torch.autograd.grad(loss, parts, allow_unused=True)
        results.append(
            [loss, unrolled.kl(), *unrolled.frames, *(g for g in gradients if g is not None)]
        )
    for other in results[1:]:
        for expected, found in zip(results[0], other, strict=True):
            assert (expected - found).abs().max() <= 1e-9 * expected.abs().max().clamp(min=1)


def test_on_its_own_it_sees_no_frame_after_those_of_the_past_but_through_the_posterior() -> None:
    network = small_predictor().network.eval()
    frames, told, noise = clip()
    with torch.no_grad():
        network.posterior.mean.weight.zero_()  # what the posterior tells of the future
        network.posterior.log_variance.weight.zero_()
        before = on_its_own(network, frames, told, noise).frames
        forced = teacher_forced_clip(network, frames, told, noise).frames
        frames[2:] = frames[2:].flip(-1)
        after = on_its_own(network, frames, told, noise).frames
        other = teacher_forced_clip(network, frames, told, noise).frames
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert not torch.allclose(forced[2], other[2])
    assert torch.allclose(before[1], forced[1], atol=1e-6)  # both saw frames 0 and 1 only
    assert not torch.allclose(before[2], forced[2])


def test_gradients_flow_through_what_it_predicted_itself() -> None:
    network = small_predictor().network
    frames, told, noise = clip()
    last = on_its_own(network, frames, told, noise).frames[-1]
    forced = teacher_forced_clip(network, frames, told, noise).frames[-1]
    weight = network.decoder.levels[0].joint.weight
    own, only_last = (
        torch.autograd.grad(image.square().sum(), weight, retain_graph=True)[0]
        for image in (last, forced)
    )
    assert own.abs().sum() > 0
    assert not torch.allclose(own, only_last)


def test_the_share_of_the_divergence_follows_the_formula() -> None:
    epochs = 12
    for epoch in range(epochs):
        assert KLConfig().share(epoch, epochs) == 1
        once = KLConfig(annealing='monotonic', ratio=0.25, start=0.1).share(epoch, epochs)
        assert math.isclose(once, min(1, 0.1 + 0.9 * epoch / 3))
        cyclical = KLConfig(annealing='cyclical', ratio=0.5, cycles=3).share(epoch, epochs)
        assert math.isclose(cyclical, min(1, (epoch % 4) / 2))


def test_teacher_forcing_falls_along_a_line_to_its_lower_bound() -> None:
    forcing = TeacherForcingConfig(ratio=0.9, decay_from=3, lowest=0.1)
    shares = [forcing.share(epoch, 8) for epoch in range(8)]
    assert shares[:4] == [0.9] * 4
    assert shares[4:] == pytest.approx([0.7, 0.5, 0.3, 0.1])
    assert forcing.share(20, 8) == 0.1
    assert {TeacherForcingConfig().share(epoch, 8) for epoch in range(8)} == {1.0}


def test_psnr_is_the_mean_of_decibels_not_the_decibels_of_the_mean() -> None:
    assert mean_psnr(torch.tensor([[0.1, 0.001]])).item() == pytest.approx(20)


def test_terms_are_errors_against_the_true_frames(demonstrations: Path, tmp_path: Path) -> None:
    given = config(demonstrations, tmp_path)
    data = load_demonstrations(given, no_progress)
    batch = collate([ClipDataset(data.train, 5, data.stride)[0, 3]] * 2)
    model = small_predictor().eval()
    terms = judged_terms(model, batch, seed=5)
    frames = batch.images['top']
    drawn = model.predict(
        frames[:, :2], batch.action[:, :4], batch.qpos[:, :4],
        generator=torch.Generator().manual_seed(6),
    )  # fmt: skip
    true = frames[:, 2:].permute(0, 1, 4, 2, 3) / 255
    errors = (drawn[:, 0] - true).square().mean((2, 3, 4))
    assert torch.allclose(terms['image'], errors.mean())
    assert torch.allclose(terms['psnr'], -10 * errors.log10().mean())
    learnt = frame_terms(model, batch, 1.0, torch.Generator().manual_seed(1))
    assert learnt['kl'] > 0
    assert not learnt['psnr'].requires_grad


def test_the_board_shows_terms_schedules_and_predicted_sequences(whole: Path) -> None:
    board = EventAccumulator(str(whole / 'tensorboard'))
    board.Reload()
    terms = {f'{stage}/{name}' for stage in ('train', 'validation')
             for name in ('loss', 'image', 'kl', 'psnr')}  # fmt: skip
    assert terms <= set(board.Tags()['scalars'])

    def curve(name: str) -> list[float]:
        return [event.value for event in board.Scalars(name)]

    assert curve('weight/kl') == pytest.approx([0, 0.01, 0, 0.01])
    assert curve('teacher_forcing') == pytest.approx([1, 1, 0.6, 0.2])
    expected = [
        image + weight * kl
        for image, kl, weight in zip(
            curve('train/image'), curve('train/kl'), curve('weight/kl'), strict=True
        )
    ]
    assert curve('train/loss') == pytest.approx(expected, rel=1e-4)
    assert curve('validation/loss') == curve('validation/image')
    shown = board.Images('prediction')
    assert [event.step for event in shown] == [6, 12]
    assert (shown[0].width, shown[0].height) == (5 * 64 * 3, 3 * 64 * 3)


def test_a_frame_predictor_learns(demonstrations: Path, whole: Path, tmp_path: Path) -> None:
    longer = config(
        demonstrations, tmp_path / 'longer', epochs=8, learning_rate=1e-2, average=0.0,
        validate_every=8, pictures_every=0, prediction={'clips_per_epoch': 16},
    )  # fmt: skip
    before = load_model(whole / 'best').spec.metrics['validation_image']
    after = load_model(train(longer)).spec.metrics['validation_image']
    assert after < 0.5 * before


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'image_size': [64, 48]}, r'image_size: \(64, 48\), a frame_predictor needs'),
        ({'cameras': ['top', 'side']}, 'cameras: found top, side, a frame_predictor looks'),
        (
            {'policy': {**PREDICTOR, 'future': 5}},
            r'episode_00000\d.hdf5: \d+ rows, expected at least 13: past \+ future = 7 frames, 2',
        ),
        ({'loss': {'kl': 1.0}}, "loss.kl: found 1.0, but a 'frame_predictor' has no use for it"),
        ({'target': 'qpos'}, "target: found 'qpos', but a 'frame_predictor' has no use for it"),
        ({'prediction': {'kl': {'ratio': 2}}}, 'prediction.kl.ratio'),
        (
            {'policy': {'kind': 'sarnn'}, 'prediction': {'validation_clips': 3}},
            "prediction.validation_clips: found 3, but a 'sarnn' has no use for it",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(
    changes: dict[str, Any], words: str, demonstrations: Path, tmp_path: Path
) -> None:
    with pytest.raises((UserError, ConfigError, ValueError), match=words):
        train(config(demonstrations, tmp_path / 'run', **changes))
