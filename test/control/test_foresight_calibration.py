# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Limits of prediction errors: of new episodes that go well, no more than was said alarm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from frame_predictors import small_predictor
from policy_examples import small_policy

from motion_policy.control.foresight import PredictionError
from motion_policy.control.foresight_calibration import calibrated, episode_score
from motion_policy.errors import UserError
from motion_policy.policies import CheckpointError, load_model, read_policy_spec, save_policy
from motion_policy.policies.checkpoint import save_spec
from motion_policy.policies.foresight_limits import ForesightLimits

STEPS = 5


def episodes(
    count: int, seed: int, frames: int = 30, unlike: float = 1.0
) -> list[list[PredictionError]]:
    """Errors that grow with the step, and one channel with a long tail a thousand times larger."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        hard = random.uniform(0.5, 2)  # episodes differ, frames of one are alike
        episode = []
        for frame in range(frames):
            step = frame % STEPS + 1
            small = unlike * hard * step * random.uniform(0.5, 1) * 1e-3
            long_tailed = hard * random.lognormal(0, 1.5)
            errors = {'image/top': small, 'tail/top': long_tailed}
            episode.append(PredictionError(frame, step, errors))
        made.append(episode)
    return made


@pytest.mark.slow
@pytest.mark.parametrize('alpha', [0.05, 0.2])
def test_as_many_good_episodes_alarm_as_was_said(alpha: float) -> None:
    alarms = []
    for seed in range(40):
        limits = calibrated(episodes(60, seed), alpha, 'test')
        scores = [episode_score(episode, limits) for episode in episodes(40, 1000 + seed)]
        alarms.append(np.mean([score > 1 for score in scores]))
    # 40 calibrations of 40 episodes: three standard deviations of what was promised.
    assert np.mean(alarms) <= alpha + 3 * np.sqrt(alpha / 40 / 30)
    assert np.mean(alarms) >= alpha / 4


def test_a_channel_with_a_long_tail_does_not_deafen_the_others() -> None:
    limits = calibrated(episodes(60, 0), 0.1, 'test')
    changed = episodes(40, 1, unlike=6.0)
    assert all(episode_score(episode, limits) > 1 for episode in changed)


def test_limits_grow_with_the_step_as_errors_do() -> None:
    limits = calibrated(episodes(60, 0), 0.1, 'test')
    scales = limits.scales['image/top']
    assert len(scales) == STEPS and list(scales) == sorted(scales)
    assert scales[-1] / scales[0] == pytest.approx(STEPS, rel=0.3)
    assert limits.limit('image/top', 9) == limits.limit('image/top', STEPS)
    assert (limits.alpha, limits.episodes, limits.source) == (0.1, 60, 'test')


def test_too_few_episodes_are_refused_with_how_many_are_needed() -> None:
    with pytest.raises(UserError, match=r'30 episodes, expected at least 37 for alpha 0\.05'):
        calibrated(episodes(30, 0), 0.05, 'test')
    assert calibrated(episodes(37, 0), 0.05, 'test').episodes == 37
    with pytest.raises(UserError, match='36 episodes'):
        calibrated(episodes(36, 0), 0.05, 'test')
    with pytest.raises(UserError, match='1 episodes, expected at least 2'):
        calibrated(episodes(1, 0), 0.9, 'test')
    with pytest.raises(UserError, match='no prediction could be held against'):
        calibrated([[]] * 40, 0.1, 'test')
    for alpha in (0.0, 1.0):
        with pytest.raises(UserError, match=f'alpha is {alpha:g}, expected a number between 0'):
            calibrated(episodes(40, 0), alpha, 'test')


def test_errors_that_never_differ_from_zero_give_limits_too() -> None:
    still = [[PredictionError(0, 2, {'image/top': 0.0})] for _ in range(20)]
    limits = calibrated(still, 0.2, 'test')
    assert episode_score(still[0], limits) <= 1
    assert episode_score([PredictionError(0, 1, {'image/top': 0.1})], limits) > 1


def test_a_checkpoint_keeps_its_limits_and_its_weights(tmp_path: Path) -> None:
    model = small_predictor()
    folder = save_policy(model, tmp_path / 'predictor')
    assert 'foresight' not in yaml.safe_load((folder / 'policy.yaml').read_text())
    assert read_policy_spec(folder).foresight is None
    weights = (folder / 'weights.safetensors').read_bytes()
    limits = calibrated(episodes(60, 0), 0.1, 'test')
    save_spec(model.spec.model_copy(update={'foresight': limits}), folder)
    assert load_model(folder).spec.foresight == limits
    assert (folder / 'weights.safetensors').read_bytes() == weights
    assert sorted(path.name for path in folder.iterdir()) == ['policy.yaml', 'weights.safetensors']
    with pytest.raises(CheckpointError, match='is of another model, its weights would not fit'):
        save_spec(small_policy().spec, folder)
    with pytest.raises(CheckpointError, match='no such checkpoint folder'):
        save_spec(model.spec, tmp_path / 'none')
    assert load_model(folder).spec.foresight == limits


@pytest.mark.parametrize(
    ('scales', 'named'),
    [({}, 'at least one channel'), ({'a': []}, 'more than 0 each'), ({'a': [1, 0]}, '[1.0, 0.0]')],
)
def test_limits_that_are_none_are_refused(scales: dict[str, list[float]], named: str) -> None:
    given = {'floor': 1e-3, 'threshold': 1, 'alpha': 0.1, 'episodes': 3, 'source': 'test'}
    with pytest.raises(ValueError) as raised:
        ForesightLimits(scales=scales, **given)
    assert named in str(raised.value)
