# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The watch of a node: an alarm stands until it is reset; what is from before counts no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from motion_policy.control import Controller
from motion_policy.control.foresight import PredictionError
from motion_policy.nodes.foresight_watch import ForesightReaction, ForesightWatch, alarm_text

NOW_NS = 10_000_000_000
ALARM = PredictionError(NOW_NS + 1, 3, {'image/top': 0.5}, 2.5, 'image/top')
CALM = replace(ALARM, score=0.4)
WORDS = (
    "camera 'top' shows what was not foreseen: image error is 2.50 times its limit, "
    '3 steps after the prediction'
)


class Lines:
    """A node's log, kept."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.info = self.warning = self.error = self.lines.append


class Watched:
    """A watch beside a controller that is enabled, with what it has said and published."""

    def __init__(self, reaction: ForesightReaction) -> None:
        self.log = Lines()
        self.scores: list[float] = []
        self.controller = Controller(formula_arm(), 100_000_000)
        self.controller.enable(NOW_NS, np.zeros(3))
        self.watch = ForesightWatch(
            self.log, self.controller, lambda m: self.scores.append(m.data), 'test', reaction
        )

    def take(self, error: PredictionError | None) -> None:
        self.watch.take(error, 1_000_000)

    def status(self) -> Any:
        return self.watch.status('node', 'arm')


def test_an_alarm_is_told_once_and_stands_until_it_is_reset() -> None:
    watched = Watched('hold')
    watched.take(CALM)
    assert watched.watch.faults() == {}
    for error in (ALARM, replace(ALARM, score=9.0), CALM):
        watched.take(error)
    assert watched.watch.faults() == {'foresight': WORDS}
    assert watched.log.lines == [f'foresight: {WORDS}; the arm holds']
    assert watched.scores == [0.4, 2.5, 9.0, 0.4]
    assert watched.status().message == WORDS
    values = {value.key: value.value for value in watched.status().values}
    assert (values['alarms'], values['greatest surprise [limits]']) == ('2', '9.000')
    watched.watch.reset()
    assert watched.watch.faults() == {}
    assert watched.status().message == 'as foreseen'


def test_a_warning_holds_nothing() -> None:
    watched = Watched('warn')
    watched.take(ALARM)
    watched.watch.take_failure('it died')
    assert watched.watch.faults() == {}
    assert watched.status().message == WORDS
    assert watched.log.lines[0].endswith('; the arm goes on')


def test_what_was_seen_before_a_reset_or_while_disabled_is_no_alarm() -> None:
    watched = Watched('hold')
    watched.take(replace(ALARM, time_ns=NOW_NS - 1))
    assert watched.watch.faults() == {} and watched.scores == []
    watched.controller.tick(NOW_NS + 20_000_000, np.zeros(3), {})
    watched.controller.reset()
    watched.take(ALARM)
    assert watched.watch.faults() == {}
    watched.controller.disable(NOW_NS + 20_000_000)
    watched.take(replace(ALARM, time_ns=NOW_NS + 10**9))
    assert watched.watch.faults() == {}


def test_that_nobody_watches_lasts_until_somebody_looks() -> None:
    watched = Watched('hold')
    watched.watch.take_failure('it died')
    watched.watch.take_failure('it was begun anew')
    assert watched.watch.faults() == {'foresight': 'nobody watches: it was begun anew'}
    watched.watch.reset()
    assert watched.watch.faults() != {}
    watched.take(None)
    assert watched.watch.faults() == {}
    expected = ['foresight: nobody watches: it died', 'foresight: watches again']
    assert watched.log.lines == expected


def test_without_limits_nothing_is_published() -> None:
    watched = Watched('warn')
    watched.take(PredictionError(NOW_NS + 1, 1, {'image/top': 0.5}))
    assert watched.scores == [] and watched.log.lines == []
    values = {value.key: value.value for value in watched.status().values}
    assert values['error of image/top'] == '0.5' and 'of channel' not in values


def test_what_an_arm_does_is_told_as_such() -> None:
    told = alarm_text(replace(ALARM, step=1, worst='joint elbow'))
    assert told.startswith('the arm does what was not foreseen: joint elbow error is 2.50 times')
    assert told.endswith('one step after the prediction')
