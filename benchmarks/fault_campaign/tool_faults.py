# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of an arm with a home pose, a two-state gripper and effort limits."""

from __future__ import annotations

import time

import numpy as np

from fault_campaign.camera_faults import STALE_TOP
from fault_campaign.fault import Evidence, Fault, Inject, disables, lasting_ns
from fault_campaign.harness import Harness
from fault_campaign.setups import EFFORT_LIMITS, GRIPPER, HOME

HOME_PATIENCE_S = 20.0
NEAR_HOME = 0.05  # rad or m, of the last command
HELD_AT = 0.006  # m: where a gripper stands that holds something
MOVED = 0.0008  # m: more than a gripper that is held sags


def _home(*, blind: bool) -> Inject:
    """`~/home`, also when nobody sees."""

    def inject(harness: Harness, _rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        if blind:
            harness.scene.image_fault = lambda message: []
            harness.spin(0.5)
        answer = harness.call('home')
        problem = '' if answer is not None and answer.success else f'not driven home: {answer}'
        harness.spin_until(lambda: harness.journal.state == 'disabled', HOME_PATIENCE_S)
        harness.spin(0.2)
        away = np.abs(harness.scene.log.positions[-1] - np.array(HOME))  # type: ignore[union-attr]
        if not (away <= NEAR_HOME).all():
            problem = problem or f'{float(away.max()):.3f} from home'
        over_ns = time.time_ns()
        if blind and not problem:
            problem = harness.granted()
        harness.scene.image_fault = None
        return Evidence(begin_ns, begin_ns if blind else None, over_ns, problem)

    return inject


def _effort(harness: Harness, rng: np.random.Generator) -> Evidence:
    """A joint meets something."""
    begin_ns = time.time_ns()
    harness.scene.more_effort = 2 * EFFORT_LIMITS[1]
    harness.scene.publish_joints()
    known_ns = time.time_ns()
    harness.spin_to(known_ns + lasting_ns(rng))
    harness.scene.more_effort = 0.0
    return Evidence(begin_ns, known_ns, time.time_ns())


def _holds_an_object(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """The arm is enabled while its gripper holds something, and its policy says neither."""
    harness.scene.object_m = HELD_AT
    harness.ask_policy('grip', 200)
    harness.spin(1.0)
    harness.disable()
    begin_ns = time.time_ns()
    harness.ask_policy('', 0)
    harness.ask_policy('undecided', 200)
    harness.spin(0.3)  # until the node has heard that
    first = len(harness.scene.log)
    problem = '' if harness.enable() else 'not enabled'
    harness.spin(0.4)
    sent = np.array(harness.scene.log.positions[first:])  # type: ignore[union-attr]
    opened = float((sent[:, 4] - HELD_AT).max()) if len(sent) else 0.0
    if opened > MOVED:
        problem = problem or f'the gripper was opened by {opened:.4f} m'
    harness.ask_policy('', 0)
    harness.scene.object_m = None
    return Evidence(begin_ns, None, time.time_ns(), problem)


assert GRIPPER.close_at < HELD_AT < GRIPPER.open_at

TOOL_FAULTS = (
    Fault(
        'home: while it runs', 'tools', 'limits', r'driving home', _home(blind=False), 'operator',
    ),
    Fault(
        'home: with a dead camera', 'tools', 'limits', STALE_TOP, _home(blind=True), 'operator',
        every=2,
    ),
    disables(
        'effort: over its limit', 'tools', r"(brake|disabled): effort: joint 'joint2'", _effort
    ),
    Fault(
        'gripper: holds an object at enable', 'tools', 'limits', '', _holds_an_object, 'either',
        every=2,
    ),
)  # fmt: skip
