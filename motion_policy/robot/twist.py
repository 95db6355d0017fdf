# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Where the velocities of a mobile base stand in its messages: Twist, TwistStamped, Odometry."""

from __future__ import annotations

from collections.abc import Sequence

from motion_policy.robot.values import no_repeats

TWIST = 'geometry_msgs/msg/Twist'
TWIST_STAMPED = 'geometry_msgs/msg/TwistStamped'
ODOMETRY = 'nav_msgs/msg/Odometry'

# By message type: the path of the twist in it.
TWIST_IN = {TWIST: '', TWIST_STAMPED: 'twist.', ODOMETRY: 'twist.twist.'}
VELOCITY_TYPES = tuple(TWIST_IN)

LINEAR = ('linear.x', 'linear.y', 'linear.z')  # m/s
ANGULAR = ('angular.x', 'angular.y', 'angular.z')  # rad/s
FIELDS = (*LINEAR, *ANGULAR)

# By the number of joints: a base that drives and turns, and one that goes sideways, too.
USUAL_FIELDS = {2: ('linear.x', 'angular.z'), 3: ('linear.x', 'linear.y', 'angular.z')}


def check_fields(fields: Sequence[str], joints: Sequence[str], kind: str) -> None:
    """ValueError where these are not fields of a twist, one for each joint."""
    if kind not in VELOCITY_TYPES:
        raise ValueError(f'fields with {kind}, expected them for {" or ".join(VELOCITY_TYPES)}')
    if len(fields) != len(joints):
        raise ValueError(
            f'fields has {len(fields)} entries, expected {len(joints)}, one for each of joints'
        )
    for field in fields:
        if field not in FIELDS:
            raise ValueError(f"fields has '{field}', expected {', '.join(FIELDS)}")
    no_repeats('fields', fields)
