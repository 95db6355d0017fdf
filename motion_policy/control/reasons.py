# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The words in which a controller says why an arm holds or is disabled."""

from __future__ import annotations

from collections.abc import Mapping

from motion_policy.robot.spec import NANOSECONDS_PER_S


def told(problems: Mapping[str, str]) -> str:
    """Problems in one line, each with the name of what has it."""
    return '; '.join(f'{name}: {problem}' for name, problem in problems.items())


def recurrence(calm_ns: int, since_first_ns: int, auto_resume_ns: int) -> str:
    """What follows the reason of a hold that may be short and yet ends in disabled."""
    return (
        f', again within {calm_ns / NANOSECONDS_PER_S:g} s of a hold: '
        f'{since_first_ns / NANOSECONDS_PER_S:.2f} s since the first of them, '
        f'auto_resume {auto_resume_ns / NANOSECONDS_PER_S:g} s'
    )
