# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Frame predictors are judged by formulas that can be checked, and never by looking ahead."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import frame_predictors
import numpy as np
import pytest
import recordings
import torch
from policy_examples import small_policy, small_robot
from reference_tables import keys_of_evaluate
from spec_reads import note_reads

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeReader
from motion_policy.errors import UserError
from motion_policy.evaluation import frame_actions
from motion_policy.evaluation.frame_actions import learn_to_read, mean_r_squared, r_squared
from motion_policy.evaluation.frame_clips import Clip, clips_of
from motion_policy.evaluation.frame_judging import BEST, COPY, MEAN, futures_of, judge_clips
from motion_policy.evaluation.frame_scores import psnr, ssim
from motion_policy.evaluation.recordings import find_recordings
from motion_policy.policies import save_policy
from motion_policy.policies.video.predictor import FramePredictorModel

ROBOT = small_robot(64, 64)  # 50 Hz; the model's 10 Hz take every fifth row
LENGTH = 5  # 2 frames seen, 3 predicted
KEYS = keys_of_evaluate()
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope='module', autouse=True)
def one_thread() -> None:
    """Leave the other cores alone."""
    torch.set_num_threads(1)


@pytest.fixture(scope='module')
def model() -> FramePredictorModel:
    """Give an untrained frame predictor."""
    return frame_predictors.small_predictor(robot=ROBOT)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give two episodes of 10 and 12 frames at the model's rate."""
    folder = tmp_path_factory.mktemp('frames')
    for number, rows in enumerate((50, 60)):
        path = folder / f'episode_{number:06d}.hdf5'
        recordings.write_episode(path, rows, robot=ROBOT, compress=False)
    return folder


@pytest.fixture(scope='module')
def clip(model: FramePredictorModel, data: Path) -> Clip:
    """Give the first clip."""
    return next(iter(clips_of(find_recordings([data], model), model, LENGTH)))


def test_psnr_is_that_of_each_colour() -> None:
    truth = torch.full((2, 3, 8, 8), 0.5)
    frames = truth + torch.tensor([0.1, 0.01, 0.001])[:, None, None]
    torch.testing.assert_close(psnr(frames, truth), torch.tensor([40.0, 40.0]), atol=1e-3, rtol=0)
    assert psnr(truth, truth).tolist() == [100.0, 100.0]


def test_ssim_is_that_of_the_published_window() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=(3, 14, 13))
    frames = np.clip(truth + rng.normal(0, 0.2, truth.shape), 0, 1)
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for x, y in zip(frames, truth, strict=True):
        for top in range(4):
            for left in range(3):
                a, b = (one[top : top + 11, left : left + 11] for one in (x, y))
                ma, mb = (window * a).sum(), (window * b).sum()
                va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
                cov = (window * (a - ma) * (b - mb)).sum()
                light = (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4)
                values.append(light * (2 * cov + 9e-4) / (va + vb + 9e-4))
    pair = torch.from_numpy(frames), torch.from_numpy(truth)
    assert float(ssim(*pair)) == pytest.approx(np.mean(values), abs=1e-12)
    assert float(ssim(pair[1], pair[1])) == pytest.approx(1)
    together = ssim(torch.stack(pair)[:, None], pair[1])
    assert together.shape == (2, 1)
    assert float(together[0, 0]) == pytest.approx(np.mean(values), abs=1e-12)


def test_clips_follow_each_other_at_the_rate_of_the_model(
    model: FramePredictorModel, data: Path
) -> None:
    found = find_recordings([data], model)
    first = list(clips_of(found, model, LENGTH))
    assert [(Path(one.name).name, one.row) for one in first] == [
        ('episode_000000.hdf5', 0),
        ('episode_000001.hdf5', 0),
    ]
    every = list(clips_of(found, model, LENGTH, every=3))
    assert [one.row for one in every] == [0, 15, 0, 15, 30]
    with EpisodeReader(data / 'episode_000001.hdf5') as episode:
        rows = range(30, 55, 5)
        np.testing.assert_array_equal(every[-1].frames, episode.images('top', rows))
        np.testing.assert_array_equal(every[-1].actions, episode.action[list(rows)])
        np.testing.assert_array_equal(every[-1].positions, episode.qpos[list(rows)])
    with pytest.raises(UserError, match=r'000000\.hdf5: has 10 frames at 10 Hz, expected 11'):
        list(clips_of(found, model, 11))


def test_predictions_do_not_see_the_future_and_the_posterior_does(
    model: FramePredictorModel, clip: Clip
) -> None:
    frames = clip.frames.clone()
    frames[2:] = 255 - frames[2:]
    seen = futures_of(model, clip, 3, 0, 0)
    other = futures_of(model, replace(clip, frames=frames), 3, 0, 0)
    assert torch.equal(seen.samples, other.samples)
    assert torch.equal(seen.last, other.last)
    assert not torch.equal(seen.posterior, other.posterior)
    assert not torch.equal(seen.truth, other.truth)


def test_seed_and_number_of_a_clip_fix_its_futures(model: FramePredictorModel, clip: Clip) -> None:
    first = futures_of(model, clip, 2, 0, 4).samples
    assert torch.equal(first, futures_of(model, clip, 2, 0, 4).samples)
    assert not torch.equal(first, futures_of(model, clip, 2, 1, 4).samples)
    assert not torch.equal(first, futures_of(model, clip, 2, 0, 5).samples)
    assert not torch.equal(first[0], first[1])


def test_scores_are_those_of_what_was_predicted(model: FramePredictorModel, clip: Clip) -> None:
    evaluation = judge_clips(model, [clip, clip], samples=4, seed=0)
    last, future = clip.frames[1].double() / 255, clip.frames[2:].double() / 255
    errors = (future - last).square().mean((1, 2))
    copied = (-10 * errors.clamp(min=1e-10).log10()).mean(1)
    np.testing.assert_allclose(evaluation.curves['psnr'][COPY], copied, rtol=1e-5)
    of_clips = []
    for number in range(2):
        futures = futures_of(model, clip, 4, 0, number)
        of_clips.append(psnr(futures.samples, futures.truth))
    each = torch.stack(of_clips).double()
    assert evaluation.mean('psnr', MEAN) == pytest.approx(float(each.mean()))
    assert evaluation.mean('psnr', BEST) == pytest.approx(float(each.mean(2).amax(1).mean()))
    assert evaluation.mean('ssim', BEST) >= evaluation.mean('ssim', MEAN)
    assert evaluation.action_r2 == {}


@pytest.mark.slow
def test_actions_are_read_where_frames_show_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A square that goes where it is told; a reader that learnt on it reads that again."""
    monkeypatch.setattr(frame_actions, 'STEPS', 150)
    rng = np.random.default_rng(0)
    ways = rng.integers(-3, 4, (400, 2))
    places = np.empty((400, 2), int)
    places[0] = 12, 12
    for row in range(1, 400):
        wanted = places[row - 1] + ways[row - 1]
        places[row] = np.clip(wanted, 0, 24)
        ways[row - 1] = places[row] - places[row - 1]
    frames = torch.zeros(400, 3, 32, 32, dtype=torch.uint8)
    for row, (top, left) in enumerate(places):
        frames[row, :, top : top + 8, left : left + 8] = 255
    told = torch.from_numpy(ways).float() / 100
    reader = learn_to_read(frames[:320], told[:320], range(319), seed=0)
    shown, commanded = frames[320:].float() / 255, told[320:399]
    with torch.no_grad():
        moving = r_squared(reader(shown[:-1], shown[1:]), commanded)
        still = r_squared(reader(shown[:-1], shown[:-1]), commanded)
    assert min(moving) > 0.7
    assert max(still) < 0.2


def test_r_squared_is_the_share_of_the_variance() -> None:
    commanded = torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    assert r_squared(commanded, commanded) == [1.0, None]
    assert r_squared(commanded.mean(0).expand(3, 2), commanded) == [0.0, None]
    read = commanded + torch.tensor([[0.5], [0.0], [-0.5]])
    assert r_squared(read, commanded)[0] == pytest.approx(1 - 0.5 / 2)
    assert mean_r_squared([0.5, None, 1.0]) == 0.75
    assert mean_r_squared([None]) is None


@pytest.fixture(scope='module')
def checkpoint(model: FramePredictorModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the untrained frame predictor as a folder."""
    return save_policy(model, tmp_path_factory.mktemp('checkpoint') / 'tiny')


def test_everything_lands_in_one_folder_with_its_protocol(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_actions, 'STEPS', 3)
    reads = note_reads(monkeypatch)
    out = tmp_path / 'report'
    command = ['evaluate', str(checkpoint), str(data), '--samples', '3', '--out', str(out)]
    assert main([*command, '--learn-from', str(data), '--json', str(tmp_path / 'all.json')]) == 0
    assert len(reads) == 1
    printed = capsys.readouterr().out
    for words in ('2 seen, 3 predicted at 10 Hz', '3 of each clip', 'none from frames of the'):
        assert words in printed
    names = {path.name for path in out.iterdir()}
    assert names == {'report.html', 'curves.png', 'predicted.gif', 'evaluation.json'}
    numbers = json.loads((tmp_path / 'all.json').read_text())
    assert numbers == json.loads((out / 'evaluation.json').read_text())
    told = KEYS['frame predictor']
    assert told <= set(numbers) <= told | KEYS[''] | KEYS['simulation']
    assert (numbers['samples'], numbers['past'], numbers['future']) == (3, 2, 3)
    assert set(numbers['scores']) == {'best', 'mean', 'posterior', 'copy_last'}
    for scores in numbers['scores'].values():
        assert len(scores['psnr_of_step']) == 3
        assert scores['psnr'] == pytest.approx(np.mean(scores['psnr_of_step']))
        assert 0 < scores['psnr'] <= 100
        assert -1 <= scores['ssim'] <= 1
    assert set(numbers['action_r2']) == {'truth', 'random', 'best', 'posterior', 'copy_last'}
    assert len(numbers['clips']) == 2
    page = (out / 'report.html').read_text()
    for words in ('last frame seen, repeated', 'data:image/gif', 'sigma 1.5', 'weights_sha256'):
        assert words in page


def test_what_there_is_nothing_to_learn_actions_from_is_said(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    result = tmp_path / 'all.json'
    command = ['evaluate', str(checkpoint), str(data / 'episode_000000.hdf5'), '--samples', '1']
    assert main([*command, '--future', '6', '--json', str(result)]) == 0
    assert 'no action inference' in capsys.readouterr().out
    numbers = json.loads(result.read_text())
    assert numbers['action_r2'] == {}
    assert numbers['future'] == len(numbers['scores']['mean']['psnr_of_step']) == 6


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--samples', '0'], '--samples is 0, expected at least 1'),
        (['--every', '-1'], '--every is -1, expected at least 0'),
        (['--trials', '3'], '--trials is for a policy'),
        (['--mix-image', '0.5'], '--mix_image is for a policy'.replace('_', '-')),
        (['--backend', 'onnx'], '--backend is for a policy'),
        (['--future', '60'], 'has 10 frames at 10 Hz, expected 62'),
    ],
)
def test_bad_usage_is_one_line(
    options: list[str], words: str, checkpoint: Path, data: Path, capsys: Capture
) -> None:
    assert main(['evaluate', str(checkpoint), str(data), *options]) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count('\n') == 1


def test_options_of_frame_predictors_mean_nothing_for_a_policy(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    policy = save_policy(small_policy(), tmp_path / 'policy')
    assert main(['evaluate', str(policy), str(data), '--samples', '5']) == 2
    assert '--samples is for a frame predictor' in capsys.readouterr().err
    assert main(['evaluate', str(checkpoint), 'sim:tabletop:grasp', '--trials', '1']) == 2
    assert "holds a 'frame_predictor', which can move no robot" in capsys.readouterr().err
