# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""From observation to command: action buffer, guard chain, controller, policy runner.

Time is an argument everywhere, so the arm, the simulation and the tests run the same code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from motion_policy.control.action_buffer import INTERPOLATIONS, ActionBuffer, Interpolation
from motion_policy.control.chunk_execution import ChunkExecution
from motion_policy.control.command import Command, ControlState
from motion_policy.control.controller import Controller
from motion_policy.control.guard import STAGES, GuardChain, GuardResult
from motion_policy.control.motion_limiter import Motion, MotionLimiter

if TYPE_CHECKING:
    from motion_policy.control.mixing import Mix
    from motion_policy.control.policy_runner import PolicyRunner

__all__ = [
    'INTERPOLATIONS',
    'STAGES',
    'ActionBuffer',
    'ChunkExecution',
    'Command',
    'ControlState',
    'Controller',
    'GuardChain',
    'GuardResult',
    'Interpolation',
    'Mix',
    'Motion',
    'MotionLimiter',
    'PolicyRunner',
]


def __getattr__(name: str) -> Any:
    # Replaying an episode needs no torch, which takes seconds to import.
    if name == 'Mix':
        from motion_policy.control.mixing import Mix

        return Mix
    if name == 'PolicyRunner':
        from motion_policy.control.policy_runner import PolicyRunner

        return PolicyRunner
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
