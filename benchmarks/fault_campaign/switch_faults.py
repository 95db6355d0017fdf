# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of emergency stops and of the dead-man switch: pressed, silent, gone, stuck."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from fault_campaign.fault import HOLDS_S, Evidence, Fault, Inject, disables, lasting_ns
from fault_campaign.harness import Harness
from fault_campaign.setups import DEAD_MAN_TIMEOUT_S, STOP_TIMEOUT_S
from fault_campaign.switches import NAMES, Switches

LEFT, RIGHT = NAMES
LOOK_NS = 200_000_000  # a timer of 0.1 s, looked at every 50 ms, and what DDS takes to tell
LONG_S = 0.5 + HOLDS_S
PRESSED = r'(brake|disabled): the emergency stop is pressed'
LOST = r'(brake|disabled): the emergency stop has lost its publisher'
SILENT = r'(brake|disabled): the emergency stop is silent'
RELEASED = r'(hold|brake|disabled): .*the dead-man switch is released'
REPEATS = r'(hold|brake|disabled): .*the dead-man switch (repeats|is silent)'


def _switch(
    change: Callable[[Switches], None],
    after_s: float = 0.0,
    lasts_s: float | None = None,
    *,
    refused: bool = True,
) -> Inject:
    """Something happens to a switch; to be known `after_s` later.

    `refused`: meanwhile the arm must not be enabled.
    """

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        switches = harness.switches
        assert switches is not None
        switches.tell()
        begin_ns = time.time_ns()
        change(switches)
        switches.tell()
        known_ns = time.time_ns() if not after_s else begin_ns + round(after_s * 1e9)
        harness.spin_to(known_ns + (lasting_ns(rng) if lasts_s is None else round(lasts_s * 1e9)))
        problem = ''
        if refused:
            problem = harness.granted()
        over_ns = time.time_ns()
        switches.make_safe()
        return Evidence(begin_ns, known_ns, over_ns, problem)

    return inject


def _press(switches: Switches) -> None:
    switches.pressed[LEFT] = True


def _press_and_go(switches: Switches) -> None:
    switches.pressed[RIGHT] = True
    switches.tell()
    switches.go(RIGHT)


def _go(switches: Switches) -> None:
    switches.go(LEFT)


def _fall_silent(switches: Switches) -> None:
    switches.silent.add(RIGHT)


def _release(switches: Switches) -> None:
    switches.held = False


def _repeat(switches: Switches) -> None:
    switches.repeats = True


def _lose(switches: Switches) -> None:
    switches.lost = True


def _stuck(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """The joystick comes back with its button held down: it may be taped."""
    switches = harness.switches
    assert switches is not None
    harness.disable()
    begin_ns = time.time_ns()
    switches.lost = True
    harness.spin(2 * DEAD_MAN_TIMEOUT_S)
    switches.lost = False
    harness.spin(0.2)
    problem = harness.granted()
    over_ns = time.time_ns()
    switches.make_safe()
    return Evidence(begin_ns, begin_ns, over_ns, problem)


def _one_of_two(harness: Harness, rng: np.random.Generator) -> Evidence:
    """One button is pressed and says so once; the other goes on saying that it is not."""
    switches = harness.switches
    assert switches is not None
    begin_ns = time.time_ns()
    switches.pressed[LEFT] = True
    switches.tell()
    known_ns = time.time_ns()
    harness.spin(lasting_ns(rng) * 1e-9)
    problem = harness.granted()
    over_ns = time.time_ns()
    switches.make_safe()
    return Evidence(begin_ns, known_ns, over_ns, problem)


SWITCH_FAULTS = (
    disables('emergency stop: pressed', 'switches', PRESSED, _switch(_press)),
    disables('emergency stop: one of two', 'switches', PRESSED, _one_of_two),
    disables(
        'emergency stop: pressed, then its node ends', 'switches', PRESSED, _switch(_press_and_go)
    ),
    disables(
        'emergency stop: its node ends', 'switches', LOST, _switch(_go, LOOK_NS * 1e-9)
    ),
    disables(
        'emergency stop: heartbeat lost', 'switches', SILENT,
        _switch(_fall_silent, STOP_TIMEOUT_S + LOOK_NS * 1e-9),
    ),
    Fault(
        'dead-man switch: let go for a moment', 'switches', 'hold', RELEASED,
        _switch(_release, refused=False),
    ),
    disables(
        'dead-man switch: let go', 'switches', RELEASED,
        _switch(_release, lasts_s=LONG_S), holds_s=HOLDS_S,
    ),
    disables(
        'dead-man switch: the link repeats one message', 'switches', REPEATS,
        _switch(_repeat, DEAD_MAN_TIMEOUT_S, LONG_S), holds_s=HOLDS_S,
    ),
    disables(
        'dead-man switch: the link is silent', 'switches', REPEATS,
        _switch(_lose, DEAD_MAN_TIMEOUT_S, LONG_S), holds_s=HOLDS_S,
    ),
    Fault(
        'dead-man switch: never seen released', 'switches', 'silence',
        r'not enabled: .*held before it was seen released', _stuck, 'operator',
    ),
)  # fmt: skip
