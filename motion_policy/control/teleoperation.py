# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Hands what a person wants of an arm to its controller, in every control tick.

A person is followed as a policy is: by chunks, of one target. So the same controller may have the
one's first and the other's then.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from motion_policy.control.controller import Controller
from motion_policy.control.motion_limiter import Float64Array

ROWS_AHEAD = 10  # all alike, so that a late tick changes nothing


class TargetSource(Protocol):
    """Where a person wants the arm to be: by a leader, a stick, keys."""

    def stop(self, rest: Float64Array) -> None:
        """The arm, which will rest at (J,), is led by nobody before somebody asks for it."""

    def pause(self, rest: Float64Array) -> Float64Array:
        """The arm follows nobody and will rest at (J,); return a target (J,) for that."""

    def target(self, sent: Float64Array, rest: Float64Array, pace: float = 1.0) -> Float64Array:
        """Return where the arm (J,) is to be that was `sent` to (J,), and could rest at (J,).

        `pace` is the share of its speed that an override leaves.
        """


class Teleoperation:
    """Gives `controller` the targets of a `source`.

    A controller that has no policy has `interpolation='hold'` and a policy period of a control
    period: a target is followed in the tick in which it is given. One from which a person has
    taken over follows it likewise.
    """

    def __init__(self, controller: Controller, source: TargetSource) -> None:
        self._controller, self._source = controller, source

    @property
    def rest(self) -> Float64Array:
        """Where the arm (J,) rests if it brakes now."""
        limiter = self._controller.guard.limiter
        if limiter.at_rest:
            return limiter.position
        at_rest: Float64Array = limiter.braking_positions(self._controller.control_period_ns)[-1]
        return at_rest

    def give(self, now_ns: int) -> None:
        """Give what is wanted at `now_ns`: once per tick, after `look` and before `command`."""
        controller = self._controller
        if not controller.enabled or controller.homing:
            self._source.stop(self.rest)
            return
        if controller.state == 'run':
            target = self._source.target(controller.guard.sent, self.rest, controller.pace)
        else:
            target = self._source.pause(self.rest)
        if controller.by_hand:
            controller.lead(target)
        else:
            controller.add_chunk(np.repeat(target[None], ROWS_AHEAD, axis=0), now_ns)
