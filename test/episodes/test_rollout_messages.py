# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A row of a rollout has what was said with its own action, in whatever order that came."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from control_robots import formula_arm

from motion_policy.episodes.rollout_messages import RolloutMessages
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.streams import Row, Sample

VALUES = yaml.safe_load(formula_arm().to_yaml())
VALUES['joints']['leader'] = VALUES['joints']['command']
ROBOT = robot_spec_from_yaml(yaml.safe_dump(VALUES), 'arm.yaml')
NAMES, PERIOD_NS = ROBOT.joints.names, ROBOT.period_ns
BEGIN_NS = 10**15


def row_of(time_ns: int, sent_ns: int | None) -> Row:
    samples = {} if sent_ns is None else {'leader': Sample(0, sent_ns, None)}
    return Row(time_ns, samples, {}, {}, {})


@pytest.mark.parametrize('late_share', [-0.4, -0.05, 0.0, 0.05, 0.4])
def test_rows_between_a_command_and_what_is_said_of_it_have_that_of_their_own_command(
    late_share: float,
) -> None:
    messages, rng = RolloutMessages(ROBOT), np.random.default_rng(0)
    sent_ns = BEGIN_NS + np.arange(200) * PERIOD_NS
    by_a_person = rng.random(200) < 0.5
    for number, time_ns in enumerate(sent_ns.tolist()):
        said_ns = time_ns + round(late_share * PERIOD_NS)
        messages.add_intervention(bool(by_a_person[number]), said_ns)
        messages.add_policy_action(NAMES[::-1], [3.0, 2.0, float(number)], said_ns + 1000)
    for number, time_ns in enumerate(sent_ns.tolist()):
        for after in (0.0, 0.02, 0.5, 0.98):  # rows that still have this command
            row = row_of(time_ns + round(after * PERIOD_NS), time_ns)
            driven = messages.of(row)
            assert driven.intervention == by_a_person[number]
            assert driven.policy_action is not None
            assert driven.policy_action.tolist() == [number, 2.0, 3.0]
    assert messages.unsaid == 0 and messages.odd_lines == []


def test_what_is_said_late_since_its_node_was_held_up_is_still_of_its_own_command() -> None:
    messages = RolloutMessages(ROBOT)
    sent_ns = [BEGIN_NS, BEGIN_NS + round(1.3 * PERIOD_NS), BEGIN_NS + 2 * PERIOD_NS]
    # The first is held up until just before the second command, and that is late, too.
    said_ns = [sent_ns[1] - 10_000, sent_ns[1] + 10_000, sent_ns[2] + 10_000]
    for by_a_person, time_ns in zip((True, False, True), said_ns, strict=True):
        messages.add_intervention(by_a_person, time_ns)
    found = [messages.of(row_of(time_ns, time_ns)).intervention for time_ns in sent_ns]
    assert found == [True, False, True]


def test_a_held_action_keeps_what_was_said_of_it_and_one_of_others_is_told() -> None:
    messages = RolloutMessages(ROBOT)
    messages.add_intervention(True, BEGIN_NS)
    assert messages.of(row_of(BEGIN_NS, BEGIN_NS)).intervention
    for minute in range(1, 60):
        later_ns = BEGIN_NS + minute * 60 * 10**9
        messages.add_intervention(False, later_ns)
        assert messages.of(row_of(later_ns, BEGIN_NS)).intervention
    driven = messages.of(row_of(later_ns + 10**9, later_ns + 10**9))
    assert not driven.intervention and driven.policy_action is None
    assert messages.odd_lines == [
        '1 rows have commands of which the policy did not say who made them'
    ]


def test_a_clock_that_went_back_forgets_what_was_said_before() -> None:
    messages = RolloutMessages(ROBOT)
    messages.add_intervention(True, BEGIN_NS)
    messages.add_intervention(False, BEGIN_NS - 10**9)
    assert not messages.of(row_of(BEGIN_NS, BEGIN_NS)).intervention


def test_a_policy_of_other_joints_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="lacks joint 'joint2'"):
        RolloutMessages(ROBOT).add_policy_action(['joint1'], [0.0], BEGIN_NS)
