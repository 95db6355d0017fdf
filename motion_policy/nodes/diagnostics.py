# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Messages on `/diagnostics` of a node that drives an arm; every key carries its unit."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from motion_policy.control import Controller
from motion_policy.control.timing import RecentDurations
from motion_policy.nodes.log_output import dropped_log_lines
from motion_policy.streams import Row

Values = dict[str, object]


def status(
    name: str,
    hardware_id: str,
    message: str,
    values: Values,
    ok: bool = True,
    level: bytes | None = None,
) -> object:
    """Return one DiagnosticStatus: OK or WARN, or of the level that is given."""
    if level is None:
        level = DiagnosticStatus.OK if ok else DiagnosticStatus.WARN
    return DiagnosticStatus(
        level=level,
        name=name,
        message=message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=_text(value)) for key, value in values.items()],
    )


def durations(what: str, recent: RecentDurations) -> Values:
    """Return median, 95th percentile and maximum over the sliding window, in ms."""
    percentiles = recent.percentiles()
    if percentiles is None:
        return {}
    return {
        f'{what} p50 [ms]': percentiles.p50_ms,
        f'{what} p95 [ms]': percentiles.p95_ms,
        f'{what} max [ms]': percentiles.max_ms,
    }


def level_of(controller: Controller) -> bytes:
    """WARN while the arm holds, ERROR when something has stopped it."""
    if controller.state == 'hold':
        level: bytes = DiagnosticStatus.WARN
    elif controller.enabled or not controller.reason:
        level = DiagnosticStatus.OK
    else:
        level = DiagnosticStatus.ERROR
    return level


def controller_values(controller: Controller, now_ns: int) -> Values:
    """Return state and counters of the controller, and how often each stage of the guard acted."""
    until_ns = controller.buffer.covers_until_ns
    plan_ns = controller.plan_time_ns(now_ns)
    ahead_ms = 0.0 if until_ns is None else max(0, until_ns - plan_ns) * 1e-6
    values: Values = {
        'state': controller.state,
        'reason': controller.reason,
        'speed': controller.pace,
        'plan ahead [ms]': ahead_ms,
        'policy steps': controller.policy_steps,
        'skipped policy periods': controller.skipped_periods,
        'dropped chunks': controller.dropped_chunks,
        'rows that came too late': controller.buffer.lost_rows,
        'dropped log lines': dropped_log_lines(),
        'ticks too soon after the last': controller.dropped_ticks,
    }
    tracking = controller.tracking
    for name, error in zip(controller.robot.joints.names, tracking.greatest, strict=True):
        values[f'greatest tracking error of {name} [rad or m]'] = float(error)
    if controller.schedule is not None:
        values['inference latency of chunks [ms]'] = controller.schedule.latency_ns * 1e-6
        values['asks ahead of the end of a plan [ms]'] = controller.schedule.lead_ns * 1e-6
    for stage, count in controller.guard.counts.items():
        values[f'{controller.guard.reaction(stage)} by {stage}'] = count
    return values


def stream_values(row: Row | None, faults: Mapping[str, str]) -> Values:
    """Return the age of every stream at the last tick, its counters and what is wrong with it."""
    if row is None:
        return {}
    values: Values = {}
    for name, counters in row.counters.items():
        if name in row.ages_ns:
            values[f'{name} age [ms]'] = row.ages_ns[name] * 1e-6
        values[f'{name} received'] = counters.received
        values[f'{name} dropped'] = counters.dropped
        if counters.dropped_of:
            values[f'{name} dropped of'] = counters.dropped_of
        if counters.unusable:
            values[f'{name} unusable'] = counters.unusable
            values[f'{name} newest unusable'] = counters.reason
        if counters.partial:
            values[f'{name} partial'] = counters.partial
            values[f'{name} left out'] = counters.left_out
        if name in faults:
            values[f'{name} fault'] = faults[name]
    return values


def array(stamp: object, statuses: list[object]) -> DiagnosticArray:
    """Return the message."""
    message = DiagnosticArray(status=statuses)
    message.header.stamp = stamp
    return message


def _text(value: object) -> str:
    return f'{value:.3f}' if isinstance(value, float) else str(value)
