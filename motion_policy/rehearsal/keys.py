# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Which key makes which fault."""

from __future__ import annotations

from motion_policy.rehearsal.faults import KINDS, RESTART_S, Fault, Faults, names_of, toggled
from motion_policy.robot import RobotSpec

# Key: kind of fault.
FAULT_KEYS = {
    'c': 'camera', 'f': 'freeze', 'b': 'black', 'd': 'depth', 'j': 'block', 's': 'joints',
    'v': 'vector', 'r': 'restart', 't': 'clock',
}  # fmt: skip
# Key: whose name it chooses.
CHOOSING_KEYS = {'n': 'camera', 'm': 'joint'}


class KeyFaults:
    """Keys toggle faults of the chosen camera and joint."""

    QUIT, GUIDE, CLEAR = 'q', 'g', 'x'

    def __init__(self, robot: RobotSpec) -> None:
        self._names = {whose: names_of(robot, whose) for _, whose in KINDS.values() if whose}
        self._chosen = {whose: names[0] for whose, names in self._names.items() if names}

    def help(self) -> list[str]:
        """A line for each key that this robot has a use for."""
        lines = [
            f'{key}  {KINDS[kind][0]}'
            for key, kind in FAULT_KEYS.items()
            if not KINDS[kind][1] or KINDS[kind][1] in self._chosen
        ]
        lines += [
            f'{key}  the next {whose} (now {self._chosen[whose]})'
            for key, whose in CHOOSING_KEYS.items()
            if len(self._names.get(whose, ())) > 1
        ]
        return [
            *lines,
            f'{self.CLEAR}  all faults over',
            f'{self.GUIDE}  somebody guides the arm, or leaves it',
            f'{self.QUIT}  end',
        ]

    def press(self, key: str, faults: Faults, now_s: float) -> list[str]:
        """Do what a key says; return lines on it."""
        if key == self.CLEAR:
            faults.clear()
            return ['faults over']
        if key in CHOOSING_KEYS:
            return self._choose(CHOOSING_KEYS[key])
        kind = FAULT_KEYS.get(key)
        if kind is None:
            return []
        whose = KINDS[kind][1]
        if whose and whose not in self._chosen:
            return []
        # Of joint states, leader and vectors all are meant, of cameras and joints the chosen one.
        name = self._chosen[whose] if whose in CHOOSING_KEYS.values() else ''
        lasts_s = RESTART_S if kind == 'restart' else None
        return [toggled(faults, Fault(kind, name, 0.0, lasts_s), now_s)]

    def _choose(self, whose: str) -> list[str]:
        names = self._names.get(whose, ())
        if not names:
            return []
        place = names.index(self._chosen[whose])
        self._chosen[whose] = names[(place + 1) % len(names)]
        return [f'{whose}: {self._chosen[whose]}']
