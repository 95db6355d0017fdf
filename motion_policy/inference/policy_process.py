# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`Runner` whose policy computes in a worker process.

What becomes of the process is a failure of the step that waited for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.policy_runner import PolicyFacts, checked_observation
from motion_policy.inference.policy_setup import (
    NUMBER_BYTES,
    PolicySetup,
    packed_joints,
    packed_question,
    unpacked_chunk,
)
from motion_policy.inference.shared_frames import ReadyFrames
from motion_policy.inference.worker import QUICK_BYTES
from motion_policy.inference.worker_process import START_TIMEOUT_S, WorkerProcess
from motion_policy.streams import Observation, Row
from motion_policy.streams.joint_values import JointVectors

SHORT_BYTES = QUICK_BYTES // 2  # of a chunk that is answered in bytes


class InferenceProcess(WorkerProcess):
    """Runs the policy of `setup` in a process; arguments as of `WorkerProcess`.

    Images that `ready` was given when they came need not be copied when a step is due.
    """

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
        self.ready = ReadyFrames(self._frames)
        numbers = self.facts.chunk_rows * len(setup.robot.joints.names)
        self._short = numbers * NUMBER_BYTES < SHORT_BYTES

    def warm_up(self) -> None:
        """The process has done so by itself."""

    def check_observation(self, observation: Observation) -> None:
        """UserError if the policy cannot work with it."""
        checked_observation(observation, self.facts, self._setup.robot)

    def infer(
        self, observation: Observation, explain: bool, time_ns: int, since_ns: int
    ) -> tuple[Float64Array, dict[str, Any]]:
        """As `PolicyRunner.infer`: chunk (k, J) and extras.

        RuntimeError names what became of the process.
        """
        joints = packed_joints(observation.qpos, observation.qvel, observation.effort)
        vectors = {name: observation.vectors[name].tobytes() for name in self.facts.inputs}
        images = {name: observation.image(name) for name in self._frames.cameras}
        packed, extras = self.ask(images, joints, vectors, explain, time_ns, since_ns)
        return unpacked_chunk(packed), extras

    def begin(self, row: Row, joints: JointVectors, explain: bool, since_ns: int) -> bool:
        """Begin the step that `infer` would take on this row, if its images are ready.

        `joints`, (J,) each, are those of the row. Any thread may do so while no step is under way;
        `finish` is to follow. A policy that remembers what it saw must not see an image before it
        was looked at, so that it begins no step this way; nor does one that sees vectors.
        """
        if self.facts.chunk_rows == 1 or self.facts.inputs or row.faults:
            return False
        messages = {name: row.samples[name].value for name in self._frames.cameras}
        places = self.ready.find(messages)
        if places is None:
            return False
        if explain or not self._short:
            packed = packed_joints(*joints)
            return self._ask_ahead(places, packed, {}, explain, row.time_ns, since_ns)
        return self._ask_quickly(packed_question(places, joints, row.time_ns, since_ns))

    def wait(self, seconds: float) -> None:
        """Wait for the end of the step, but not longer."""
        self._wait_for_news(seconds)

    def finish(self) -> tuple[Float64Array, dict[str, Any]]:
        """The result of the step that was begun, as of `infer`: chunk (k, J) and extras."""
        answer = self._take_answer()
        packed, extras = (answer, {}) if isinstance(answer, bytes) else answer
        return unpacked_chunk(packed), extras
