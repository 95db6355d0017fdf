# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The result of one control tick: the command and the state of the controller.

One rule: only what passed the guard chain is called a command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from motion_policy.control.motion_limiter import Float64Array

# disabled: silent. ramp: to the first target. run: following the plan. hold: braking and staying,
# for what may heal by itself. brake: braking on the way to disabled.
ControlState = Literal['disabled', 'ramp', 'run', 'hold', 'brake']


@dataclass(frozen=True)
class Command:
    """What to send now: position (J,), the speed it implies (J,), and why.

    `violations` counts joints clamped per guard stage; `reason` says why the arm holds, if it
    does; `final` marks the last command before silence.
    """

    position: Float64Array
    velocity: Float64Array
    state: ControlState
    violations: Mapping[str, int] = field(default_factory=dict)
    reason: str = ''
    final: bool = False


@dataclass(frozen=True)
class CommandMotion:
    """How the arm moves at a command, for messages that tell more than a position.

    `velocity` (J,) is that of the step which led to the command; `measured` (J,) is where the
    joints were `age_s` [s] ago, all or each (J,); None: nobody knows. `braking`: the arm is to
    come to rest, and nothing may speed it up. Else what corrects the motion may use the share
    `speed` of the velocity limits. `tool_speed_limit` [m/s]; 0: there is none.
    """

    velocity: Float64Array
    measured: Float64Array | None = None
    age_s: float | Float64Array = 0.0
    braking: bool = False
    speed: float = 1.0
    tool_speed_limit: float = 0.0
