# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Verdicts on every injected fault, as a table and as measurements.

A promise that a fault does not touch ('-' in the table) is neither kept nor broken by it.
"""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from fault_campaign.fault import Evidence, Fault
from fault_campaign.setups import SEND_AHEAD_S
from fault_campaign.trajectories import TrajectoryLog
from fault_campaign.wire import PROMISED_PERIODS, CommandLog, Hold, Wire
from motion_policy.cli.measurement import Measurement
from motion_policy.robot import RobotSpec

LIMITS = (
    'position', 'step', 'velocity', 'acceleration', 'speeding late', 'too soon', 'start', 'width',
    'ahead', 'unlike',
)  # fmt: skip
AHEAD_NS = round(SEND_AHEAD_S * 1e9)
WIDTH = 120  # of the table in a file
EXAMPLES = 3  # of broken promises, that are told
QUIET_S = 1.0  # after a fault that asks for `~/enable` could be known, and the arm may have held


@dataclass(frozen=True)
class Injection:
    """One injected fault, and what was seen and heard of the node afterwards.

    `leave_ns` is when the operator asked to enable the arm again; None: nobody had to.
    `by_machine`: the arm was disabled because it held longer than `auto_resume`, or messages were
    late, for want of a core.
    """

    fault: Fault
    evidence: Evidence
    moving: bool
    named: bool
    recovered: bool
    said: list[str] = field(default_factory=list)
    leave_ns: int | None = None
    by_machine: bool = False


@dataclass(frozen=True)
class Section:
    """All injections into one harness, and what the machine was like."""

    where: str
    robot: RobotSpec
    log: CommandLog | TrajectoryLog
    injections: Sequence[Injection]
    seconds: float
    loads: Sequence[float]
    trials: int
    interventions: int
    missed_ticks: int
    scene_lost_s: float
    interrupted: BaseException | None = None


@dataclass(frozen=True)
class Outcome:
    """The verdict on one injection; None where there was nothing to judge."""

    injection: Injection
    hold: Hold | None
    held: bool | None
    named: bool | None
    recovered: bool
    outside_limits: int
    non_finite: int
    without_leave: int
    braking: list[tuple[float, bool]] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """The promises that were broken."""
        return [
            name
            for name, kept in (
                ('held in time', self.held),
                ('named', self.named),
                ('recovered', self.recovered),
                ('within limits', not self.outside_limits),
                ('finite', not self.non_finite),
                ('still until ~/enable', not self.without_leave),
                (self.injection.evidence.problem, not self.injection.evidence.problem),
            )
            if kept is False
        ]


def judge(section: Section) -> list[Outcome]:
    """Judge every injection; commands until the next one count to the one before."""
    if not len(section.log):
        return []
    wire = section.log.wire(section.robot, AHEAD_NS)
    begins = [injection.evidence.injected_ns for injection in section.injections]
    ends = [*begins[1:], int(wire.times_ns[-1]) + 1]
    return [
        _outcome(injection, wire, begin_ns, end_ns)
        for injection, begin_ns, end_ns in zip(section.injections, begins, ends, strict=True)
    ]


def _outcome(injection: Injection, wire: Wire, begin_ns: int, end_ns: int) -> Outcome:
    fault, evidence, leave_ns = injection.fault, injection.evidence, injection.leave_ns
    known_ns = evidence.known_ns
    hold: Hold | None = None
    held: bool | None = None
    without_leave = 0
    until_ns = evidence.over_ns
    if fault.must == 'disable' and leave_ns is not None:
        until_ns = leave_ns
    if fault.must in ('hold', 'disable') and known_ns is not None:
        hold = wire.hold(known_ns, until_ns)
        held = hold.in_time
    elif fault.must == 'silence' and known_ns is not None:
        held = wire.sent(known_ns, until_ns) == 0
    if fault.must == 'disable' and known_ns is not None and leave_ns is not None:
        quiet_ns = known_ns + round((fault.holds_s + QUIET_S) * 1e9)
        without_leave = wire.sent(quiet_ns, leave_ns)
    untold = not fault.named or known_ns is None
    broken = wire.broken(begin_ns, end_ns)
    return Outcome(
        injection=injection,
        hold=hold,
        held=held,
        named=None if untold else injection.named,
        recovered=injection.recovered,
        outside_limits=sum(broken.get(name, 0) for name in LIMITS),
        non_finite=broken['non-finite'],
        without_leave=without_leave,
        braking=wire.braking(known_ns, until_ns) if held is False and known_ns else [],
    )


def measurements(sections: Sequence[Section]) -> list[Measurement]:
    """One line per kind of fault, then three on all commands of each section."""
    outcomes = [outcome for section in sections for outcome in judge(section)]
    kinds = list(dict.fromkeys(outcome.injection.fault.name for outcome in outcomes))
    lines = [
        _kind(name, [o for o in outcomes if o.injection.fault.name == name]) for name in kinds
    ]
    spoken = [section for section in sections if len(section.log)]
    return [*lines, *(line for section in spoken for line in _totals(section))]


def _kind(name: str, outcomes: Sequence[Outcome]) -> Measurement:
    broken = Counter(promise for outcome in outcomes for promise in outcome.broken)
    first = outcomes[0].injection.fault
    holds = [outcome.hold for outcome in outcomes if outcome.hold is not None]
    return Measurement(
        what=name,
        ours=float(sum(bool(outcome.broken) for outcome in outcomes)),
        reference=float(len(outcomes)),
        reference_name='faults injected',
        unit='faults with a broken promise',
        target=0.0,
        details={
            'must': first.must,
            'injected': len(outcomes),
            'injected_while_moving': sum(o.injection.moving for o in outcomes),
            'could_be_known': sum(o.injection.evidence.known_ns is not None for o in outcomes),
            'held_in_time': _share([o.held for o in outcomes]),
            'named': _share([o.named for o in outcomes]),
            'recovered': _share([o.recovered for o in outcomes]),
            'recovers': first.recovery,
            'disabled_for_want_of_a_core': sum(o.injection.by_machine for o in outcomes),
            'commands_outside_limits': sum(o.outside_limits for o in outcomes),
            'commands_non_finite': sum(o.non_finite for o in outcomes),
            'commands_without_leave': sum(o.without_leave for o in outcomes),
            'brakes_after_ms': _median_and_worst([hold.after_ms for hold in holds]),
            'known_after_ms': _median_and_worst(
                [
                    (o.injection.evidence.known_ns - o.injection.evidence.injected_ns) / 1e6
                    for o in outcomes
                    if o.injection.evidence.known_ns is not None
                ]
            ),
            'brakes_after_periods': _median_and_worst([float(hold.periods) for hold in holds]),
            'broken_promises': dict(broken),
            'examples': [
                {
                    'broken': o.broken,
                    'periods': o.hold and o.hold.periods,
                    'said': o.injection.said,
                    'commands_ms_and_braking': o.braking,
                }
                for o in outcomes
                if o.broken
            ][:EXAMPLES],
        },
    )


def _totals(section: Section) -> list[Measurement]:
    """What holds for all commands of a section."""
    wire = section.log.wire(section.robot, AHEAD_NS)
    outcomes = judge(section)
    machine = {
        'seconds': round(section.seconds, 1),
        'load_average': [round(value, 1) for value in (section.loads[0], max(section.loads))],
        'missed_ticks_by_node': section.missed_ticks,
        'missed_ticks_on_wire': wire.lost_ticks(),
        'simulation_lost_s': round(section.scene_lost_s, 2),
        'trials': section.trials,
        'interventions': section.interventions,
    }
    counts = {name: int(mask.sum()) for name, mask in wire.breaches.items() if mask.any()}
    outside = {name: number for name, number in counts.items() if name in LIMITS}
    examples = {name: wire.told(name, EXAMPLES) for name in counts}
    without_leave = sum(outcome.without_leave for outcome in outcomes)
    return [
        Measurement(
            what=f'{section.where}: commands {what}',
            ours=float(number),
            reference=float(len(wire.times_ns)),
            reference_name='commands on the wire',
            unit='commands',
            target=0.0,
            details=details,
        )
        for what, number, details in (
            (
                'outside limits', sum(outside.values()),
                {'by_breach': outside, 'examples_of_breaches': examples, 'machine': machine},
            ),
            ('not finite', counts.get('non-finite', 0), {}),
            ('without leave', without_leave, {}),
        )
    ]  # fmt: skip


def show(sections: Sequence[Section], full: int) -> None:
    """Print the table of kinds and what the machine was like."""
    console = Console(width=WIDTH if not sys.stdout.isatty() else None)
    table = Table(box=None, pad_edge=False, header_style='bold')
    table.add_column('fault')
    for column in (
        'injected', 'held', 'named', 'recovered', 'outside', 'NaN', 'no leave', 'brakes after',
    ):  # fmt: skip
        table.add_column(column, justify='right')
    for line in measurements(sections):
        if 'injected' in line.details:
            table.add_row(line.what, *_cells(line.details))
        if 'machine' in line.details:
            console.print(f'{line.what}: {line.details["machine"]}', markup=False, highlight=False)
    console.print(table)
    injected = sum(len(section.injections) for section in sections)
    console.print(
        f'{injected} faults, {full} in full; "held": braking within {PROMISED_PERIODS} control '
        'periods of when it could be known, then standing; "outside", "NaN" and "no leave" (after '
        'a fault that asks for ~/enable): commands'
    )


def _cells(values: dict[str, Any]) -> list[str]:
    after = values['brakes_after_ms']
    return [
        str(values['injected']),
        values['held_in_time'] or '-',
        values['named'] or '-',
        values['recovered'] + (' (operator)' if values['recovers'] == 'operator' else ''),
        str(values['commands_outside_limits']),
        str(values['commands_non_finite']),
        str(values['commands_without_leave']),
        f'{after["median"]:.0f}, worst {after["worst"]:.0f} ms' if after else '-',
    ]


def _share(verdicts: Sequence[bool | None]) -> str:
    """Return `kept/judged`; '' where nothing was judged."""
    judged = [verdict for verdict in verdicts if verdict is not None]
    return f'{sum(judged)}/{len(judged)}' if judged else ''


def _median_and_worst(values: Sequence[float]) -> dict[str, float]:
    return {'median': statistics.median(values), 'worst': max(values)} if values else {}
