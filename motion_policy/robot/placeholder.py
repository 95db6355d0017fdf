# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Placeholder robot spec for data that does not say which robot it was.

It has joints and cameras of the right number and size, and names that no arm has; it is to be
replaced before anything moves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from motion_policy.robot.errors import RobotSpecError
from motion_policy.robot.joint_topic import FLOAT64_MULTI_ARRAY, JOINT_STATE
from motion_policy.robot.load import first_error_line
from motion_policy.robot.spec import RobotSpec

PLACEHOLDER = 'placeholder'

# Limits that no motion of the data reaches: how far they lie outside of its range, how soon a
# joint may cross that range, and how soon it may reach that speed.
MARGIN = 0.25
CROSSING_S = 0.5
SPEED_UP_S = 0.25


def placeholder_robot(
    positions: npt.NDArray[np.float64],
    cameras: dict[str, tuple[int, int]],
    rate_hz: float,
    names: tuple[str, ...] | None = None,
) -> RobotSpec:
    """Return a robot with the joints `names`, or `joint1`, `joint2`, ...

    Args:
        positions: least and greatest position of every joint, (J, 2), least < greatest.
        cameras: (height, width) in pixels of every camera.
        rate_hz: of its commands.

    Raises:
        RobotSpecError: no rate or camera name that a robot can have.
    """
    ranges = [[float(low), float(high)] for low, high in positions]
    spans = [high - low for low, high in ranges]
    speeds = [span / CROSSING_S for span in spans]
    data = {
        'name': PLACEHOLDER,
        'rate': rate_hz,
        'joints': {
            'names': names or tuple(f'joint{number}' for number in range(1, len(ranges) + 1)),
            'state': {'topic': f'{PLACEHOLDER}/joint_states', 'type': JOINT_STATE},
            'command': {'topic': f'{PLACEHOLDER}/commands', 'type': FLOAT64_MULTI_ARRAY},
            'limits': {
                'position': [
                    [low - MARGIN * span, high + MARGIN * span]
                    for (low, high), span in zip(ranges, spans, strict=True)
                ],
                'velocity': speeds,
                'acceleration': [speed / SPEED_UP_S for speed in speeds],
            },
        },
        'cameras': {
            name: {'topic': f'{name}/image_raw', 'width': width, 'height': height}
            for name, (height, width) in cameras.items()
        },
    }
    try:
        return RobotSpec.model_validate(data)
    except ValidationError as error:
        raise RobotSpecError(first_error_line(error, data, f'{PLACEHOLDER} robot')) from None
