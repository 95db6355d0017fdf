# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Finds the mobile base of a robot among its topics: one that takes twists, and its odometry."""

from __future__ import annotations

import re
from dataclasses import dataclass

from motion_policy.robot.twist import ODOMETRY, TWIST, TWIST_STAMPED
from motion_policy.survey.observed import Observed, Survey

COMMAND = re.compile(r'(^|/)cmd_vel$')
NAMES = ('base_forward', 'base_turn')
# What a small base surely can, and its acceleration and jerk.
POSITION = ('[-0.2, 0.3]', '[-0.5, 0.5]')
VELOCITY = ('0.3', '0.5')
ACCELERATION = ('3.0', '5.0')


@dataclass(frozen=True)
class Base:
    """Where its velocities are measured, and where they are commanded."""

    odometry: Observed
    command: Observed


def find_base(survey: Survey) -> tuple[Base | None, str]:
    """Return the only base there is, and why there is none where something looks like one; ''."""
    commands = [
        seen
        for seen in survey.of_type(TWIST, TWIST_STAMPED)
        if COMMAND.search(seen.topic) and (seen.listeners if survey.live else seen.count)
    ]
    odometries = [seen for seen in survey.of_type(ODOMETRY) if seen.count]
    if not commands:
        return None, ''
    if len(commands) == len(odometries) == 1:
        return Base(odometries[0], commands[0]), ''
    told = ' and '.join(seen.topic for seen in (*commands, *odometries))
    return None, f'{told}: a base needs one topic of commands and one of odometry'
