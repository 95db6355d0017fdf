# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Detection rate, delay and false alarms of prediction-error monitoring.

A trial with an alarm before its disturbance began counts as not detected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from motion_policy.control.foresight import PredictionError
from motion_policy.evaluation.confidence_interval import wilson_interval
from motion_policy.evaluation.trials import WITHIN_S, Trial, TrialResult
from motion_policy.html_report import Table
from motion_policy.robot.spec import NANOSECONDS_PER_S

UNDISTURBED = 'undisturbed'
COLUMNS = ('', 'runs', 'alarm', '95 % interval', 'delay', '9 of 10', 'first error')


def disturbed(trials: Sequence[Trial], names: Sequence[str]) -> list[Trial]:
    """The same trials under each disturbance, one after the other."""
    return [replace(trial, disturbance=name) for name in names for trial in trials]


def first_alarm(result: TrialResult, from_ns: int = 0) -> PredictionError | None:
    """The first prediction error beyond its limit, at `from_ns` or later."""
    for error in result.prediction_errors:
        if error.time_ns >= from_ns and error.alarming:
            return error
    return None


def detection(results: Sequence[TrialResult]) -> dict[str, Any]:
    """Figures of each disturbance, and of the undisturbed trials under `undisturbed`."""
    groups: dict[str, list[TrialResult]] = {}
    for result in results:
        groups.setdefault(result.trial.disturbance, []).append(result)
    return {
        name or UNDISTURBED: _disturbed(group) if name else _undisturbed(group)
        for name, group in groups.items()
    }


def _undisturbed(results: Sequence[TrialResult]) -> dict[str, Any]:
    alarms = [first_alarm(result) for result in results]
    succeeded = [
        alarm for alarm, result in zip(alarms, results, strict=True) if result.rollout.success
    ]
    return {
        **_rate([alarm for alarm in alarms if alarm], len(results)),
        'successes': len(succeeded),
        'alarms_of_successes': len([alarm for alarm in succeeded if alarm]),
        'results': [_to_json(result, 0) for result in results],
    }


def _disturbed(results: Sequence[TrialResult]) -> dict[str, Any]:
    alarms, early = [], 0
    for result in results:
        begin_ns = result.disturbed_ns or 0
        alarm = first_alarm(result)
        if alarm is not None and alarm.time_ns < begin_ns:
            early += 1
        elif alarm is not None:
            alarms.append((alarm, (alarm.time_ns - begin_ns) / NANOSECONDS_PER_S))
    delays = sorted(delay for _, delay in alarms)
    return {
        **_rate([alarm for alarm, _ in alarms], len(results)),
        'alarmed_before': early,
        'within_s': WITHIN_S,
        'delay_s': {
            'median': median(delays) if delays else None,
            '9_of_10': delays[-(-9 * len(delays) // 10) - 1] if delays else None,
        },
        'results': [_to_json(result, result.disturbed_ns or 0) for result in results],
    }


def _rate(alarms: Sequence[PredictionError], runs: int) -> dict[str, Any]:
    return {
        'runs': runs,
        'alarms': len(alarms),
        'rate': len(alarms) / runs,
        'interval': list(wilson_interval(len(alarms), runs)),
        'channels': dict(Counter(alarm.worst for alarm in alarms).most_common()),
    }


def _to_json(result: TrialResult, from_ns: int) -> dict[str, Any]:
    alarm = first_alarm(result)
    scores = [
        s.score for s in result.prediction_errors if s.time_ns >= from_ns and s.score is not None
    ]
    return {
        'position': result.trial.position,
        'trial': result.trial.index,
        'seed': result.trial.seed,
        'success': result.rollout.success,
        'disturbed_s': None
        if result.disturbed_ns is None
        else result.disturbed_ns / NANOSECONDS_PER_S,
        'alarm_s': None if alarm is None else alarm.time_ns / NANOSECONDS_PER_S,
        'channel': None if alarm is None else alarm.worst,
        'greatest_score': max(scores, default=None),
    }


def detection_table(figures: Mapping[str, Any]) -> Table:
    """One row per disturbance, and one of the false alarms."""
    return Table(COLUMNS, [_row(name, entry) for name, entry in figures.items()])


def _row(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = entry['interval']
    delays = entry.get('delay_s', {})
    return (
        'false alarms' if name == UNDISTURBED else name,
        str(entry['runs']),
        f'{entry["alarms"]} ({100 * entry["rate"]:.0f} %)',
        f'{100 * low:.0f} to {100 * high:.0f} %',
        _seconds(delays.get('median')),
        _seconds(delays.get('9_of_10')),
        next(iter(entry['channels']), ''),
    )


def _seconds(value: float | None) -> str:
    return '' if value is None else f'{value:.2f} s'
