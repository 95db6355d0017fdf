# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""CPU affinity of threads, and whether the operating system granted a change.

Nothing here needs ROS: the process of a policy asks for its cores itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class SchedulingRequest:
    """One request: `what` was asked for, and why it was refused ('' if it was not)."""

    what: str
    problem: str = ''

    def __str__(self) -> str:
        return f'{self.what} not permitted: {self.problem}' if self.problem else self.what


def use_cores(cpus: Iterable[int]) -> SchedulingRequest:
    """Let the calling thread, and those that it starts, run on these cores only."""
    cpus = sorted(cpus)
    what = f'cores {", ".join(map(str, cpus))}'
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, AttributeError) as error:
        return SchedulingRequest(what, str(error))
    return SchedulingRequest(what)
