# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Playback of an episode's actions through the controller: in time, and up to the last one.

Time goes on while ticks are missed, and the rows of that time are lost. The last action is not:
the arm is sent there until it rests.
"""

from __future__ import annotations

import numpy as np

from motion_policy.control.controller import Controller
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.robot.spec import NANOSECONDS_PER_S

ROWS_AHEAD = 10  # of the episode in each chunk, so that a late tick changes nothing
# After the time of the last action: where noise moves what a guard makes of it, no arm rests.
FINISH_NS = 5 * NANOSECONDS_PER_S


class EpisodePlayback:
    """Gives a controller the `actions` (T, J) of an episode, one for each policy period.

    Where a tick is between two of them, those between which it is count by their shares.
    """

    def __init__(self, controller: Controller, actions: Float64Array) -> None:
        self._controller = controller
        # After the last action an arm stays where that is, and a base stands.
        last = np.where(controller.guard.limiter.are_velocities, 0.0, actions[-1])
        self._actions = actions
        self._rows = np.concatenate((actions, last[None]))
        # Else rows that begin with a tick would be early and late by turns, and the arm shake.
        self._on_ticks = (
            controller.buffer.interpolation == 'hold'
            or controller.policy_period_ns % controller.control_period_ns == 0
        )
        self.rewind()

    @property
    def last_place(self) -> int:
        """The number of the last row."""
        return len(self._actions) - 1

    def rewind(self) -> None:
        """Go back to the first action."""
        self._next_row = 0
        self._begin_ns: int | None = None  # of the episode in the plan's time; None: not running

    def give_actions(self, now_ns: int) -> bool:
        """Give what is due at `now_ns`; False, and nothing, when the arm is to be disabled.

        That is when it rests after the last action, where that is or as near as guards allow.
        """
        controller, share = self._controller, 0.0  # of the next row
        if controller.state != 'run':
            self._begin_ns = None
        else:
            plan_ns, period_ns = controller.plan_time_ns(now_ns), controller.policy_period_ns
            if self._begin_ns is None:
                self._begin_ns = plan_ns - self._next_row * period_ns
            # Ticks stand on multiples of the period, some less late than the first.
            slack_ns = controller.control_period_ns // 2 if self._on_ticks else 0
            since_ns = plan_ns - self._begin_ns + slack_ns
            self._next_row = since_ns // period_ns
            if not self._on_ticks:
                share = since_ns % period_ns / period_ns
            over_ns = (self._next_row - len(self._actions)) * period_ns
            if over_ns >= 0 and (controller.guard.limiter.at_rest or over_ns > FINISH_NS):
                return False
        numbers = self._next_row + np.arange(ROWS_AHEAD + 1)
        rows = self._rows[np.minimum(numbers, len(self._actions))]
        if share:
            rows = (1 - share) * rows[:-1] + share * rows[1:]
        controller.add_chunk(rows[:ROWS_AHEAD], now_ns)
        return True

    def place(self, plan_ns: int) -> float | None:
        """The row, and share of the next, whose action is commanded at that time of the plan.

        None where the arm does not follow the episode: on its way there, while it holds.
        """
        if self._begin_ns is None:
            return None
        # Linear and cubic are at a row at the end of its period, `hold` from its beginning.
        behind = 0 if self._controller.buffer.interpolation == 'hold' else 1
        return (plan_ns - self._begin_ns) / self._controller.policy_period_ns - behind
