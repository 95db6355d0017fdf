# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy in a process of its own, which looks to its user like a runner in this one.

What becomes of the process is a failure of the step that waited for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.policy_runner import PolicyFacts, checked_observation
from motion_policy.nodes.policy_setup import PolicySetup
from motion_policy.nodes.worker_process import START_TIMEOUT_S, WorkerProcess
from motion_policy.streams import Observation


class InferenceProcess(WorkerProcess):
    """Runs the policy of `setup` in a process; arguments as of `WorkerProcess`."""

    facts: PolicyFacts

    def __init__(
        self,
        setup: PolicySetup,
        say: Callable[[str], None],
        timeout_s: float,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._setup = setup
        super().__init__(setup, say, timeout_s, 'inference', start_timeout_s)

    def warm_up(self) -> None:
        """The process has done so by itself."""

    def check_observation(self, observation: Observation) -> None:
        """UserError if the policy cannot work with it."""
        checked_observation(observation, self.facts, self._setup.robot)

    def infer(
        self, observation: Observation, explain: bool, time_ns: int, since_ns: int
    ) -> tuple[Float64Array, dict[str, Any]]:
        """As `PolicyRunner.infer`. RuntimeError names what became of the process."""
        joints = {name: getattr(observation, name) for name in ('qpos', 'qvel', 'effort')}
        answer: tuple[Float64Array, dict[str, Any]] = self.ask(
            observation.images, joints, explain, time_ns, since_ns
        )
        return answer
