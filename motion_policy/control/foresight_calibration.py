# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Limits of prediction errors from nominal episodes: split conformal prediction.

One half of the episodes says how great errors usually are, the other half how great an episode's
greatest may be; so of new ones that go as well, at most a share alpha alarms (Lei et al.,
"Distribution-Free Predictive Inference for Regression", arXiv:1604.04173).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from motion_policy.control.foresight import PredictionError, judged
from motion_policy.control.foresight_errors import FLOOR
from motion_policy.errors import UserError
from motion_policy.policies.foresight_limits import ForesightLimits

USUAL = 0.95  # of the errors of a channel at a step are below its scale at first
LEAST_SCALE = 1e-9

Episode = Sequence[PredictionError]


def calibrated(
    episodes: Sequence[Episode], alpha: float, source: str, floor: float = FLOOR
) -> ForesightLimits:
    """The limits that a share `alpha` of episodes like these may exceed.

    Args:
        episodes: the prediction errors of each; the model did not learn from them, and they
            succeeded.
        alpha: between 0 and 1.
        source: what the episodes were, for the checkpoint.
        floor: with which their errors were made.

    Raises:
        UserError: there are too few of them for this alpha, or none has a prediction error.
    """
    if not 0 < alpha < 1:
        raise UserError(f'alpha is {alpha:g}, expected a number between 0 and 1')
    shaping, judging = episodes[1::2], episodes[0::2]
    needed = math.ceil((len(judging) + 1) * (1 - alpha) - 1e-9)
    if needed > len(judging) or not shaping:
        least = max(2, 2 * math.ceil(1 / alpha - 1 - 1e-9) - 1)
        raise UserError(
            f'foresight: {len(episodes)} episodes, expected at least {least} for alpha {alpha:g}'
        )
    scales = _scales(shaping, alpha)
    usual = ForesightLimits(
        floor=floor, scales=scales, threshold=1, alpha=alpha, episodes=len(episodes), source=source
    )
    scores = sorted(episode_score(episode, usual) for episode in judging)
    threshold = max(scores[needed - 1], LEAST_SCALE)
    return usual.model_copy(update={'threshold': threshold})


def episode_score(episode: Episode, limits: ForesightLimits) -> float:
    """The greatest score of an episode; 0 for one without a prediction error."""
    scores = (judged(s.time_ns, s.step, s.errors, limits).score for s in episode)
    return max((score for score in scores if score is not None), default=0.0)


def _scales(episodes: Sequence[Episode], alpha: float) -> dict[str, tuple[float, ...]]:
    """Usual errors by channel and step, so that the greatest of episodes are alike in channels."""
    found = [error for episode in episodes for error in episode]
    if not found:
        raise UserError('foresight: no prediction could be held against what came')
    steps = range(1, max(error.step for error in found) + 1)
    scales: dict[str, tuple[float, ...]] = {}
    for channel in found[0].errors:
        by_step = [[one.errors[channel] for one in found if one.step == step] for step in steps]
        usual = [float(np.quantile(errors, USUAL)) if errors else 0.0 for errors in by_step]
        filled = [max(value, LEAST_SCALE) for value in _filled(usual, by_step)]
        peaks = [
            max((s.errors[channel] / filled[s.step - 1] for s in episode), default=0.0)
            for episode in episodes
        ]
        peak = max(float(np.quantile(peaks, 1 - alpha)), LEAST_SCALE)
        scales[channel] = tuple(max(peak * value, LEAST_SCALE) for value in filled)
    return scales


def _filled(usual: Sequence[float], by_step: Sequence[Sequence[float]]) -> list[float]:
    """The value of a step without errors is that of the next one that has some."""
    filled: list[float] = []
    value = usual[-1]  # the last step has some
    for own, errors in zip(reversed(usual), reversed(by_step), strict=True):
        value = own if errors else value
        filled.insert(0, value)
    return filled
