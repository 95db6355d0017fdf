# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reaction of a node to prediction errors: a warning, or the arm holds.

An alarm stands until `~/reset` or the next `~/enable`. That nobody watches is told too, and
whoever wants the arm to hold at a prediction error does not want it to move unwatched either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from std_msgs.msg import Float64

from motion_policy.control import Controller
from motion_policy.control.foresight import PredictionError
from motion_policy.control.timing import RecentDurations
from motion_policy.nodes import diagnostics
from motion_policy.nodes.parameters.policy import ForesightReaction

LATENCY_WINDOW = 200  # looks
FORESEEN = 'as foreseen'


class ForesightWatch:
    """Takes what one source finds, in any thread; the tick asks for `faults`.

    Args:
        log: of the node.
        controller: says since when what was seen counts.
        publish: takes the score of every prediction error.
        source: who looks, in words.
        reaction: what an error over its limit leads to.
    """

    def __init__(
        self,
        log: Any,
        controller: Controller,
        publish: Callable[[Float64], None],
        source: str,
        reaction: ForesightReaction,
    ) -> None:
        self._log = log
        self._controller = controller
        self._publish = publish
        self._source = source
        self._reaction = reaction
        self._latency = RecentDurations(LATENCY_WINDOW)
        self._blind = ''
        self.skipped = 0  # looks that a newer one replaced
        self.reset()

    def reset(self) -> None:
        """Forget the alarm that stands, and what there was before."""
        self._alarm = ''
        self._alarms = 0
        self._newest: PredictionError | None = None
        self._greatest = 0.0

    def take(self, error: PredictionError | None, duration_ns: int) -> None:
        """Take the answer of one look; None where there was nothing to compare."""
        self._latency.add(duration_ns)
        if self._blind:
            self._blind = ''
            self._log.info('foresight: watches again')
        controller = self._controller
        if error is None or not controller.enabled:
            return
        if error.time_ns < controller.valid_since_ns:
            return
        self._newest = error
        if error.score is None:
            return
        self._greatest = max(self._greatest, error.score)
        self._publish(Float64(data=error.score))
        if error.alarming:
            self._alarms += 1
            if not self._alarm:
                self._alarm = alarm_text(error)
                goes_on = 'holds' if self._reaction == 'hold' else 'goes on'
                self._log.warning(f'foresight: {self._alarm}; the arm {goes_on}')

    def take_failure(self, reason: str) -> None:
        """Take the news that nobody looks."""
        if not self._blind:
            self._log.error(f'foresight: nobody watches: {reason}')
        self._blind = reason

    def faults(self) -> dict[str, str]:
        """Why the arm must hold; called in every tick."""
        problem = self._problem() if self._reaction == 'hold' else ''
        return {'foresight': problem} if problem else {}

    def status(self, name: str, robot_name: str) -> Any:
        """One line for `/diagnostics`, WARN while an alarm stands or nobody watches."""
        values: diagnostics.Values = {
            'source': self._source,
            'reaction': self._reaction,
            'alarms': self._alarms,
            'greatest surprise [limits]': self._greatest,
        }
        newest = self._newest
        if newest is not None:
            if newest.score is not None:
                values |= {'surprise [limits]': newest.score, 'of channel': newest.worst}
            values['steps since the prediction'] = newest.step
            values |= {f'error of {name}': f'{e:.3g}' for name, e in newest.errors.items()}
        values |= diagnostics.durations('look', self._latency)
        values['skipped looks'] = self.skipped
        problem = self._problem()
        return diagnostics.status(
            f'{name}: foresight', robot_name, problem or FORESEEN, values, not problem
        )

    def _problem(self) -> str:
        return self._alarm or (f'nobody watches: {self._blind}' if self._blind else '')


def alarm_text(error: PredictionError) -> str:
    """Say what was not foreseen."""
    kind, _, camera = error.worst.partition('/')
    what = f"camera '{camera}' shows" if camera else 'the arm does'
    steps = 'one step' if error.step == 1 else f'{error.step} steps'
    return (
        f'{what} what was not foreseen: {kind} error is {error.score:.2f} times its limit, '
        f'{steps} after the prediction'
    )
