# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a driver, by name and by the clock.

`KIND[:NAME][@START][+DURATION]`: a fault of a camera, joint or stream, or of all of its kind,
from so many seconds on, for so many.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec

AHEAD_S = 0.5
RESTART_S = 3.0

# Kind: what it does, and whose name it takes.
KINDS: dict[str, tuple[str, str]] = {
    'camera': ('a camera sends nothing', 'camera'),
    'freeze': ('a camera sends the same image again and again', 'camera'),
    'black': ('a camera sends black images', 'camera'),
    'depth': ('a depth camera sends nothing', 'depth'),
    'block': ('a joint does not move', 'joint'),
    'joints': ('joint states are not sent', 'state'),
    'leader': ('the leader sends nothing', 'leader'),
    'vector': ('a vector is not sent', 'vector'),
    'restart': (f'the driver is gone for {RESTART_S:g} s', ''),
    'clock': (f'stamps are {AHEAD_S:g} s ahead', ''),
}
FAULT = re.compile(
    r'(?P<kind>[a-z]+)(?::(?P<name>[^@]+?))?(?:@(?P<start>[\d.]+)s?)?(?:\+(?P<lasts>[\d.]+)s?)?'
)


@dataclass(frozen=True)
class Fault:
    """One fault: of whom ('' is all), from when on [s], and for how long [s] (None: for ever)."""

    kind: str
    name: str = ''
    start_s: float = 0.0
    lasts_s: float | None = None

    def __str__(self) -> str:
        return f'{self.kind} {self.name}'.strip()


def names_of(robot: RobotSpec, whose: str) -> tuple[str, ...]:
    """The names that faults of cameras, joints or streams of a robot take."""
    if whose == 'joint':
        return robot.joints.names
    return tuple(stream.name for stream in robot.streams() if stream.role == whose)


def read_fault(text: str, robot: RobotSpec) -> Fault:
    """Read `KIND[:NAME][@START][+DURATION]`. UserError: there is no such fault of this robot."""
    found = FAULT.fullmatch(text.strip())
    if not found or found['kind'] not in KINDS:
        raise UserError(
            f"fault '{text}', expected KIND[:NAME][@START][+DURATION] such as camera:top@5s+2s "
            f'with KIND one of: {", ".join(KINDS)}'
        )
    kind, name = found['kind'], found['name'] or ''
    whose = KINDS[kind][1]
    names = names_of(robot, whose)
    if name and name not in names:
        known = ', '.join(names) or 'none'
        raise UserError(
            f"fault '{text}': there is no {whose or 'name'} '{name}', expected "
            + (f'one of: {known}' if whose else f'{kind} alone')
        )
    if whose and not names:
        raise UserError(f"fault '{text}': '{robot.name}' has no {whose}")
    try:
        start_s = float(found['start'] or 0)
        lasts_s = None if found['lasts'] is None else float(found['lasts'])
    except ValueError:
        raise UserError(f"fault '{text}': expected seconds such as @5s and +2.5s") from None
    if kind == 'restart' and lasts_s is None:
        lasts_s = RESTART_S
    return Fault(kind, name, start_s, lasts_s)


class Faults:
    """Those that are there now, by hand or by the clock; times are seconds since the begin."""

    def __init__(self, planned: Sequence[Fault] = ()) -> None:
        self._planned = sorted(planned, key=lambda fault: fault.start_s)
        self._active: dict[tuple[str, str], float | None] = {}  # until when

    @property
    def active(self) -> list[str]:
        """The names of those that are there."""
        return [f'{kind} {name}'.strip() for kind, name in self._active]

    def has(self, kind: str, name: str = '') -> bool:
        """Whether there is this fault, of this one or of all."""
        return (kind, name) in self._active or (kind, '') in self._active

    def begin(self, fault: Fault, now_s: float) -> None:
        """Let it be there from now on."""
        ends_s = None if fault.lasts_s is None else now_s + fault.lasts_s
        self._active[fault.kind, fault.name] = ends_s

    def toggle(self, fault: Fault, now_s: float) -> bool:
        """Let it be there, or end it; return whether it is there now."""
        if (fault.kind, fault.name) in self._active:
            del self._active[fault.kind, fault.name]
            return False
        self.begin(fault, now_s)
        return True

    def clear(self) -> None:
        """End all."""
        self._active = {}

    def look(self, now_s: float) -> list[str]:
        """Begin and end what is due; return a line for each."""
        lines = []
        for key in [k for k, ends_s in self._active.items() if ends_s and ends_s <= now_s]:
            del self._active[key]
            lines.append(f'fault over: {" ".join(key).strip()}')
        while self._planned and self._planned[0].start_s <= now_s:
            fault = self._planned.pop(0)
            self.begin(fault, now_s)
            lines.append(f'fault: {fault} ({KINDS[fault.kind][0]})')
        return lines


def toggled(faults: Faults, fault: Fault, now_s: float) -> str:
    """Let a fault be there, or end it; return the line that says which."""
    if faults.toggle(fault, now_s):
        return f'fault: {fault} ({KINDS[fault.kind][0]})'
    return f'fault over: {fault}'
