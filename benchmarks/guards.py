# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The controller and its guards under random robots, operators, clocks, arms and policies.

Hypothesis plays all of them; an independent judge looks only at what was sent and when. It wants
no breach of any limit in true time, no command without leave, and rest at the end of each drive.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from guard_campaign import cost

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement
from motion_policy.control import Controller
from motion_policy.errors import UserError
from motion_policy.robot import load_robot_spec

SUMMARY = 'the controller under random robots, faults, clocks and buttons: no promise broken'
TICKS = 500_000  # in full
COST_TICKS = 3000
FASTEST_HZ = 200.0
SHARE_OF_PERIOD = 0.1
EXAMPLES = 3
HAND_OVERS = 1000


def lines(seconds: float, device: str) -> list[Line]:
    """Campaigns, each `seconds` long at the most; what a tick costs; what each stage does."""
    return [
        lambda: [_campaign(seconds)],
        lambda: [_campaign(seconds, ' of arms on a base')],
        lambda: [_campaign(seconds, ' of arms that a person leads')],
        lambda: [_campaign(seconds, ' of arms that a person moves by velocities')],
        lambda: [_campaign(seconds, ' of arms that a person takes over')],
        lambda: [_hand_overs()],
        lambda: [_cost()],
        lambda: cost.measure(seconds),
    ]


def _campaign(seconds: float, of_arms: str = '') -> Measurement:
    try:
        from guard_campaign.campaign import run_campaign
        from guard_campaign.led import LedMachine
        from guard_campaign.machine import ControllerMachine
        from guard_campaign.mobile import MobileMachine
        from guard_campaign.stick import StickMachine
        from guard_campaign.taken import TakenMachine
    except ImportError:
        raise UserError('bench guards needs Hypothesis: pip install hypothesis') from None
    kinds = {
        ' of arms on a base': MobileMachine,
        ' of arms that a person leads': LedMachine,
        ' of arms that a person moves by velocities': StickMachine,
        ' of arms that a person takes over': TakenMachine,
    }
    done = run_campaign(TICKS, seconds, kinds.get(of_arms, ControllerMachine))
    for number, example in list(done.broken.items())[:EXAMPLES]:
        print(f'batch {number}: {example}')
    return Measurement(
        what=f'controller and guards{of_arms}: broken promises',
        ours=float(len(done.broken)),
        reference=float(max(1, done.counts['ticks'])),
        reference_name='ticks of random robots',
        unit='batches with a broken promise',
        target=0.0,
        details={
            'seconds': round(done.seconds, 1),
            'ticks_in_full': TICKS,
            **dict(sorted(done.counts.items())),
            'examples': dict(list(done.broken.items())[:EXAMPLES]),
        },
    )


def _hand_overs() -> Measurement:
    """Policy and person in turn: what each change does to the speed of an arm."""
    from guard_campaign.taken import change_hands

    found = change_hands(HAND_OVERS)
    return Measurement(
        what='hand-overs between policy and person: greatest step of a commanded velocity',
        ours=found.greatest,
        reference=1.0,
        reference_name='the acceleration limit times a control period',
        unit='times that',
        target=1.0,
        details={'hand_overs': found.count, 'of_arms_that_moved': found.moving},
    )


def _cost() -> Measurement:
    """A tick of an arm that follows its plan, without the middleware."""
    robot = load_robot_spec('ur5e').model_copy(update={'rate': FASTEST_HZ})
    controller = Controller(robot, robot.period_ns)
    limits = robot.joints.limits.position_array()
    measured = limits.mean(axis=1)
    swing = 0.02 * (limits[:, 1] - limits[:, 0])
    now_ns, costs_us = 10**9, []
    controller.enable(now_ns, measured)
    for number in range(COST_TICKS):
        if controller.policy_due(now_ns):
            goal = limits.mean(axis=1) + swing * np.sin(0.01 * number)
            controller.add_chunk(goal[None], now_ns)
        begin = time.perf_counter_ns()
        command = controller.tick(now_ns, measured, {})
        costs_us.append((time.perf_counter_ns() - begin) * 1e-3)
        assert command is not None
        measured, now_ns = command.position, now_ns + robot.period_ns
    return Measurement(
        what=f'one control tick, {len(measured)} joints',
        ours=float(np.median(costs_us)),
        reference=1e6 / FASTEST_HZ,
        reference_name=f'a period at {FASTEST_HZ:g} Hz',
        unit='us, median',
        target=SHARE_OF_PERIOD,
        details={'p99_us': float(np.percentile(costs_us, 99)), 'ended_in': controller.state},
    )


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
