# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node, instrumented: it logs when things happen and writes the log at its end.

Times are nanoseconds of the monotonic clock; those of the system clock are converted.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from control_path.scenario import CAMERAS
from motion_policy.control import Controller
from motion_policy.control.policy_runner import PolicyRunner
from motion_policy.control.timing import Deadlines
from motion_policy.inference import policy_setup
from motion_policy.inference.policy_process import InferenceProcess
from motion_policy.nodes import arm_driver, control_loop, policy_node
from motion_policy.nodes.commands import CommandPublishers
from motion_policy.nodes.policy_node import PolicyNode
from motion_policy.nodes.shell import run_node
from motion_policy.policies.cpu.allocator import keep_freed_memory
from motion_policy.streams import Row

NOTES = 'BENCH_CONTROL_NOTES'  # environment variable: the file


class Notes:
    """What happened; appended to by several threads, each to lists of its own."""

    def __init__(self) -> None:
        self.ticks: list[tuple[int, int]] = []  # deadline, begin
        self.sends: list[int] = []
        self.asks: list[tuple[int, int, int, int]] = []  # observation, tick, header, reception
        self.inferences: list[tuple[int, int, int]] = []  # observation, begin, end
        self.steps: list[tuple[int, int]] = []  # observation, when the controller has the chunk
        self.threads: dict[str, int] = {}
        self.counted: dict[str, tuple[int, int]] = {}  # of each stream: received, dropped


NOTES_HERE = Notes()


class InstrumentedDeadlines(Deadlines):
    """Notes every tick."""

    def arrive(self, now_ns: int) -> int | None:
        """As always."""
        late_ns = super().arrive(now_ns)
        if late_ns is not None:
            NOTES_HERE.ticks.append((now_ns - late_ns, now_ns))
        return late_ns


class InstrumentedPublishers(CommandPublishers):
    """Notes when a command is out."""

    def send(self, position: Any, motion: Any = None) -> None:
        """As always."""
        super().send(position, motion)
        NOTES_HERE.sends.append(time.monotonic_ns())


class InstrumentedRunner(PolicyRunner):
    """Notes when the policy begins to infer and when it is done."""

    def infer(self, observation: Any, *args: Any, **named: Any) -> Any:
        """As always."""
        begin_ns = time.monotonic_ns()
        answer = super().infer(observation, *args, **named)
        if len(args) > 1:
            NOTES_HERE.inferences.append((args[1], begin_ns, time.monotonic_ns()))
        return answer


class InstrumentedProcess(InferenceProcess):
    """Notes the same of a policy in a process of its own; what is not thinking is handling."""

    _begun_ns = 0  # the row's time

    def begin(self, row: Row, *args: Any) -> bool:
        """As always."""
        self._begun_ns = row.time_ns
        return super().begin(row, *args)

    def finish(self) -> Any:
        """As always."""
        return self._noted(super().finish(), self._begun_ns)

    def infer(self, *args: Any) -> Any:
        """As always."""
        return self._noted(super().infer(*args), args[2])

    def _noted(self, answer: Any, seen_ns: int) -> Any:
        end_ns = time.monotonic_ns()
        NOTES_HERE.inferences.append((seen_ns, end_ns - self.compute_ns, end_ns))
        return answer


class InstrumentedController(Controller):
    """Notes when it has a chunk."""

    def add_chunk(self, chunk: Any, observation_ns: int) -> bool:
        """As always."""
        used = super().add_chunk(chunk, observation_ns)
        NOTES_HERE.steps.append((observation_ns, time.monotonic_ns()))
        return used


class InstrumentedPolicyNode(PolicyNode):
    """Notes what is asked for."""

    def before_command(self, row: Row) -> None:
        """As always, noted."""
        now_ns, shift_ns = time.monotonic_ns(), time.time_ns() - time.monotonic_ns()
        frames = [row.samples[camera] for camera in CAMERAS]
        oldest = min(frames, key=lambda sample: sample.header_ns)
        NOTES_HERE.asks.append(
            (row.time_ns, now_ns, oldest.header_ns - shift_ns, oldest.receive_ns - shift_ns)
        )
        NOTES_HERE.counted = {
            name: (counters.received, counters.dropped) for name, counters in row.counters.items()
        }
        super().before_command(row)

    def close(self) -> None:
        """As always, then write the notes."""
        NOTES_HERE.threads = {t.name: t.native_id or 0 for t in threading.enumerate()}
        super().close()
        Path(os.environ[NOTES]).write_text(json.dumps(vars(NOTES_HERE)))


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    control_loop.Deadlines = InstrumentedDeadlines  # type: ignore[misc]
    arm_driver.Controller = InstrumentedController  # type: ignore[misc]
    arm_driver.CommandPublishers = InstrumentedPublishers  # type: ignore[misc]
    policy_setup.PolicyRunner = InstrumentedRunner  # type: ignore[misc]
    policy_node.InferenceProcess = InstrumentedProcess  # type: ignore[misc]
    keep_freed_memory()
    return run_node(InstrumentedPolicyNode, args, images='in')


if __name__ == '__main__':
    raise SystemExit(main())
