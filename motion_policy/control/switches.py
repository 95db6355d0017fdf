# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What people hold in their hands beside an arm: an emergency stop and a dead-man switch.

A switch that is silent is one that is not held: nobody can have pressed a button that is broken.
"""

from __future__ import annotations

import threading

DEAD_MAN = 'dead_man'
NANOSECONDS_PER_S = 1_000_000_000


class EmergencyStop:
    """Pressed, released, or not heard of yet.

    `required` says whether the arm may move before anything was heard of it; `name` is what
    people know it by.
    """

    def __init__(self, name: str, required: bool = False) -> None:
        self.name, self.required = name, required
        self.pressed: bool | None = None

    def tell(self, pressed: bool) -> bool:
        """Take a message; return True when the arm must be disabled now."""
        newly = pressed and self.pressed is not True
        self.pressed = pressed
        return newly

    def problem(self) -> str:
        """Why the arm must not be enabled; '' if it may be."""
        if self.pressed:
            return f'the emergency stop is pressed ({self.name})'
        if self.pressed is None and self.required:
            return f'nothing is heard of the emergency stop ({self.name}), expected false there'
        return ''


class DeadManSwitch:
    """A button that must be held down while the arm moves.

    Args:
        name: what people know it by.
        timeout_s: a button that was not heard of for so long counts as released.
    """

    def __init__(self, name: str, timeout_s: float) -> None:
        self.name = name
        self._timeout_s = timeout_s
        self._lock = threading.Lock()  # told in one thread, asked in another
        self._held, self._heard_ns = False, -1

    def tell(self, held: bool, now_ns: int) -> None:
        """Take a message that came at `now_ns`."""
        with self._lock:
            self._held, self._heard_ns = held, now_ns

    def problem(self, now_ns: int) -> str:
        """Why the arm must hold; '' while the button is held down."""
        with self._lock:
            held, heard_ns = self._held, self._heard_ns
        if heard_ns < 0:
            return f'nothing is heard of the dead-man switch ({self.name})'
        silent_s = (now_ns - heard_ns) / NANOSECONDS_PER_S
        if silent_s > self._timeout_s:
            return (
                f'the dead-man switch is silent for {silent_s:.2f} s, '
                f'limit {self._timeout_s:g} s ({self.name})'
            )
        return '' if held else f'the dead-man switch is released ({self.name})'
