# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""State of emergency stop and dead-man switch over several publishers.

A switch that is silent is one that is not held: nobody can have pressed a button that is broken.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

DEAD_MAN = 'dead_man'
EMERGENCY_STOP = 'emergency_stop'
NANOSECONDS_PER_S = 1_000_000_000
DISCOVERY_NS = 1_000_000_000  # in which a node finds who publishes, and the graph who spoke
LATCHED_NS = 2_000_000_000  # in which a latched message must come from a publisher that was found
COPIES_NS = 2_000_000_000  # after a message no copy of an older one comes, but by a clock set back
BOUNCE_NS = 300_000_000  # in which a person does not press a button twice
UNKNOWN = b''  # identity of the publisher of a message that does not tell it


@dataclass
class _Button:
    """What one publisher has said."""

    name: str
    first_ns: int
    heard_ns: int
    pressed: bool = False
    pressed_ns: int = 0  # when it last said so, here
    pressed_stamp_ns: int | None = None  # and there
    seen: bool = False  # among those who publish
    gone: bool = False


class EmergencyStop:
    """Pressed while any of its publishers is; unsafe when one that was heard is gone or silent.

    Told in one thread, asked in any. `name` is what people know it by; `required` says whether
    the arm may move before anything was heard of it; `timeout_s` is the silence of a publisher
    that stops the arm, 0 for none; `now_ns` is when it began to listen.

    What a publisher said last stays true when it goes away. It is forgotten once a node of the
    same name speaks again, or by `forget_gone`.
    """

    def __init__(
        self, name: str, now_ns: int, required: bool = False, timeout_s: float = 0.0
    ) -> None:
        self.name, self.required = name, required
        self._timeout_s = timeout_s
        self._since_ns = now_ns
        self._lock = threading.Lock()
        self._buttons: dict[bytes, _Button] = {}
        self._present: dict[bytes, str] = {}
        self._found_ns: dict[bytes, int] = {}
        self._latched: frozenset[bytes] = frozenset()

    def tell(
        self, pressed: bool, now_ns: int, publisher: bytes = UNKNOWN, stamp_ns: int | None = None
    ) -> None:
        """Take a message that came at `now_ns`, sent at `stamp_ns` of its publisher's clock.

        The same message may come more than once, by several ways: what was sent before the stop
        was pressed does not release it. A stamp of 0 is none.
        """
        stamp_ns = stamp_ns or None
        with self._lock:
            name = self._present.get(publisher, '')
            button = self._buttons.setdefault(publisher, _Button(name, now_ns, now_ns))
            button.heard_ns = now_ns
            button.seen |= publisher in self._present
            last_ns = button.pressed_stamp_ns
            if stamp_ns is None or last_ns is None:
                button.pressed = pressed
            elif pressed:
                button.pressed |= stamp_ns != last_ns
            elif stamp_ns > last_ns or now_ns - button.pressed_ns > COPIES_NS:
                button.pressed = False
            if pressed:
                button.pressed_ns, button.pressed_stamp_ns = now_ns, stamp_ns

    def see(self, present: Mapping[bytes, str], latched: Collection[bytes], now_ns: int) -> None:
        """Take who publishes now, with their nodes' names, and whose last message is latched."""
        with self._lock:
            self._found_ns = {p: self._found_ns.get(p, now_ns) for p in present}
            self._present, self._latched = dict(present), frozenset(latched)
            for publisher, button in self._buttons.items():
                if publisher in present:
                    button.seen, button.name = True, present[publisher] or button.name
                late = now_ns - button.heard_ns > DISCOVERY_NS
                button.gone = publisher not in present and (button.seen or late)
            self._buttons = {
                publisher: button
                for publisher, button in self._buttons.items()
                if not self._has_successor(button)
            }

    def forget_gone(self) -> None:
        """Forget the publishers that are gone: an operator says that they are not needed."""
        with self._lock:
            self._buttons = {p: b for p, b in self._buttons.items() if not b.gone}

    @property
    def heard(self) -> bool:
        """Whether anything was heard of it."""
        return bool(self._buttons)

    def fault(self, now_ns: int) -> str:
        """Why an arm that moves must stop; '' if it need not."""
        with self._lock:
            for button in self._buttons.values():
                if button.pressed:
                    return f'the emergency stop is pressed ({self._of(button)})'
            if UNKNOWN in self._buttons and len(self._present) > 1:
                return (
                    f'the emergency stop has {len(self._present)} publishers, expected one: '
                    f'this ROS 2 distribution does not tell them apart ({self.name})'
                )
            for button in self._buttons.values():
                if button.gone:
                    return f'the emergency stop has lost its publisher ({self._of(button)})'
                silent_s = (now_ns - button.heard_ns) / NANOSECONDS_PER_S
                if 0 < self._timeout_s < silent_s:
                    return (
                        f'the emergency stop is silent for {silent_s:.2f} s, '
                        f'limit {self._timeout_s:g} s ({self._of(button)})'
                    )
            return ''

    def problem(self, now_ns: int) -> str:
        """Why the arm must not be enabled; '' if it may be."""
        fault = self.fault(now_ns)
        if fault:
            return fault
        with self._lock:
            waiting = [
                name or 'a new node'
                for publisher, name in self._present.items()
                if publisher in self._latched
                and publisher not in self._buttons
                and now_ns - self._found_ns[publisher] < LATCHED_NS
            ]
            if waiting or now_ns - self._since_ns < DISCOVERY_NS:
                whom = ', '.join(sorted(waiting)) or 'who publishes it'
                return f'waiting for the emergency stop ({self.name}): {whom}; ask again'
            if not self._buttons and (self.required or self._timeout_s > 0):
                return (
                    f'nothing is heard of the emergency stop ({self.name}), expected false there'
                )
            return ''

    def _of(self, button: _Button) -> str:
        by = f' by {button.name}' if button.name else ''
        gone = ', which is gone: ~/reset forgets it' if button.gone else ''
        return f'{self.name}{by}{gone}'

    def _has_successor(self, gone: _Button) -> bool:
        return gone.gone and any(
            button.name == gone.name and not button.gone and button.first_ns > gone.heard_ns
            for button in self._buttons.values()
            if button.name
        )


class DeadManSwitch:
    """A button that must be held down while the arm moves.

    It counts as held only after it was seen released: a button that is stuck, or taped down, is
    held from the first. After a silence, with another publisher, and with another number of
    buttons, that begins anew. A message with the stamp of the one before it is a repetition,
    which says nothing; stamps of 0 are none.

    Args:
        name: what people know it by.
        button: its index in the message.
        timeout_s: a button that was not heard of for so long counts as released.
        told_as: what it is.
    """

    def __init__(
        self, name: str, button: int, timeout_s: float, told_as: str = 'dead-man switch'
    ) -> None:
        self.name, self._told_as = name, told_as
        self._button = button
        self._timeout_s = timeout_s
        self._lock = threading.Lock()  # told in one thread, asked in another
        self._held, self._was_released = False, False
        self._heard_ns, self._came_ns = -1, -1
        self._stamp_ns = 0
        self._buttons = 0
        self._publisher, self._mixed_ns = UNKNOWN, -1

    def tell(
        self,
        buttons: Sequence[int],
        now_ns: int,
        stamp_ns: int = 0,
        publisher: bytes = UNKNOWN,
    ) -> None:
        """Take a message that came at `now_ns`, with `stamp_ns` in its header."""
        with self._lock:
            there = len(buttons) > self._button
            held = there and buttons[self._button] > 0
            if publisher != self._publisher:
                if self._came_ns >= 0 and not self._silent(now_ns, self._came_ns):
                    self._mixed_ns = now_ns
                self._publisher, self._was_released = publisher, False
            if len(buttons) != self._buttons:
                self._was_released = False
            repeated = stamp_ns != 0 and stamp_ns == self._stamp_ns
            self._came_ns, self._stamp_ns, self._buttons = now_ns, stamp_ns, len(buttons)
            if repeated and held:
                return
            if self._silent(now_ns, self._heard_ns):
                self._was_released = False
            self._held, self._heard_ns = held, now_ns
            self._was_released |= there and not held

    def problem(self, now_ns: int) -> str:
        """Why the arm must hold; '' while the button is held down."""
        with self._lock:
            if self._came_ns < 0:
                return f'nothing is heard of the {self._told_as} ({self.name})'
            if self._buttons <= self._button:
                return (
                    f'the {self._told_as} is not there ({self.name}): '
                    f'the message has {self._buttons} buttons'
                )
            if self._silent(now_ns, self._heard_ns):
                silent_s = (now_ns - self._heard_ns) / NANOSECONDS_PER_S
                what = 'is silent'
                if not self._silent(now_ns, self._came_ns):
                    what = 'repeats one message, with one stamp,'
                return (
                    f'the {self._told_as} {what} for {silent_s:.2f} s, '
                    f'limit {self._timeout_s:g} s ({self.name})'
                )
            if self._mixed_ns >= 0 and not self._silent(now_ns, self._mixed_ns):
                return f'several publishers say where the {self._told_as} is ({self.name})'
            if not self._held:
                return f'the {self._told_as} is released ({self.name})'
            if not self._was_released:
                return (
                    f'the {self._told_as} was held before it was seen released ({self.name}): '
                    'let it go and press it again'
                )
            return ''

    def _silent(self, now_ns: int, heard_ns: int) -> bool:
        return now_ns - heard_ns > self._timeout_s * NANOSECONDS_PER_S


class Speakers:
    """Who speaks on the topic of a stick: two that do so at once contradict each other.

    One that was not heard for `timeout_s` speaks no more. Told in one thread, asked in any.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_ns = round(timeout_s * NANOSECONDS_PER_S)
        self._lock = threading.Lock()
        self._heard_ns: dict[bytes, int] = {}

    def tell(self, publisher: bytes, now_ns: int) -> None:
        """A message of that publisher came."""
        with self._lock:
            self._heard_ns[publisher] = now_ns
            self._heard_ns = self._speaking(now_ns)

    def several(self, now_ns: int) -> bool:
        """Whether more than one speaks."""
        with self._lock:
            return len(self._speaking(now_ns)) > 1

    def _speaking(self, now_ns: int) -> dict[bytes, int]:
        return {p: ns for p, ns in self._heard_ns.items() if now_ns - ns <= self._timeout_ns}


class PressedButton:
    """A button that does something whenever it is pressed, on any of several publishers.

    A press is one that was seen released before, by its publisher, in a message of as many
    buttons. Another within `BOUNCE_NS` of the last is the same: contacts bounce. Told in one
    thread, asked in another.
    """

    def __init__(self, button: int) -> None:
        self._button = button
        self._lock = threading.Lock()
        self._released: dict[bytes, int] = {}  # with how many buttons, by who said so last
        self._last_ns: int | None = None
        self._pressed = False

    def tell(self, buttons: Sequence[int], now_ns: int, publisher: bytes = UNKNOWN) -> None:
        """Take a message that came at `now_ns`."""
        with self._lock:
            was_released = self._released.pop(publisher, -1) == len(buttons)
            if len(buttons) <= self._button:
                return
            if buttons[self._button] <= 0:
                self._released[publisher] = len(buttons)
            elif was_released:
                bounces = self._last_ns is not None and now_ns - self._last_ns < BOUNCE_NS
                self._pressed |= not bounces
                self._last_ns = now_ns

    def take(self) -> bool:
        """Whether it was pressed since this was asked last."""
        with self._lock:
            pressed, self._pressed = self._pressed, False
        return pressed
