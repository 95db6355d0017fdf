# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Success rates of many trials, per position, as plain numbers.

Only simulated quantities stand here, so that one seed gives one result on every run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from motion_policy.evaluation.confidence_interval import wilson_interval
from motion_policy.evaluation.trials import TrialResult


def summarise(results: Sequence[TrialResult]) -> dict[str, Any]:
    """Counts, rate with its 95 % Wilson interval, and means over some trials."""
    won = [result for result in results if result.rollout.success]
    low, high = wilson_interval(len(won), len(results))
    clamps: Counter[str] = Counter()
    for result in results:
        clamps.update(result.rollout.violations)
    times_s = [result.rollout.duration_s for result in won]
    return {
        'successes': len(won),
        'trials': len(results),
        'rate': len(won) / len(results),
        'interval': [low, high],
        'mean_time_to_success_s': sum(times_s) / len(times_s) if times_s else None,
        'clamps': dict(sorted(clamps.items())),
        'ticks': sum(result.rollout.ticks for result in results),
    }


def success_per_position(
    results: Sequence[TrialResult], taught: Collection[str]
) -> dict[str, Any]:
    """The summary per position, over the taught, the untaught and all trials, and each trial."""
    positions = list(dict.fromkeys(result.trial.position for result in results))
    summary: dict[str, Any] = {'positions': {}}
    for position in positions:
        here = [result for result in results if result.trial.position == position]
        summary['positions'][position] = {**summarise(here), 'taught': position in taught}
    for name, wanted in (('taught', True), ('untaught', False)):
        group = [result for result in results if (result.trial.position in taught) is wanted]
        if group:
            summary[name] = summarise(group)
    summary['all'] = summarise(results)
    summary['results'] = [_trial_to_json(result) for result in results]
    return summary


def _trial_to_json(result: TrialResult) -> dict[str, Any]:
    return {
        'position': result.trial.position,
        'trial': result.trial.index,
        'seed': result.trial.seed,
        'success': result.rollout.success,
        'duration_s': result.rollout.duration_s,
        'final_state': result.rollout.final_state,
    }
