# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How late control ticks come while the policy thinks, and how long an arm waits for a command.

Lateness: ours is the policy node's control loop, controller and inference thread, SARNN being
asked once per policy period, or at every tick so that it never rests. The reference is a loop
that only sleeps until the next absolute deadline. They take turns of some seconds.

Gaps: ours is the policy node, the reference a node that infers in its timer when its queue of
actions is empty. Both run ACT on one thread, slowed to 400 ms, for an arm in another process that
notes when each command arrives.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# A part of this benchmark lies in a folder beside it, which is no installed package.
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import numpy.typing as npt
import rclpy
import torch
from command_gaps.nodes import measure_gaps
from rclpy.context import Context
from rclpy.node import Node

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Measurement, collector_off, random_policy
from motion_policy.control import Controller, PolicyRunner
from motion_policy.evaluation.closed_loop import ImageMessage, JointStateMessage
from motion_policy.nodes.control_loop import ControlLoop
from motion_policy.nodes.inference_thread import InferenceThread, PolicyStep
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.streams import Row, Sample

Float64Array = npt.NDArray[np.float64]

SUMMARY = 'control ticks and commands beside inference, against a bare loop and inference in it'
# (control rate in Hz, whether the policy is asked at every tick).
CASES = ((50, False), (200, False), (200, True))
IMAGE_SIZE = 64
TURNS = 2
ALLOWED_MS = 2.0  # how much later than the bare loop's a tick may come, at the 99th percentile
LEAST_S = 3.0  # commands enough for a change of chunks or two


def run(seconds: float) -> list[Measurement]:
    """Measure every case, `seconds` of ticks for each of the two loops."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        lateness = [_measure(rate, restless, seconds) for rate, restless in CASES]
        return [*lateness, measure_gaps(max(seconds, LEAST_S))]
    finally:
        torch.set_num_threads(threads)


def _measure(rate_hz: int, restless: bool, seconds: float) -> Measurement:
    period_ns = 1_000_000_000 // rate_hz
    bare: list[float] = []
    ours: list[float] = []
    missed = {'ours': 0, 'reference': 0}
    with _policy_loop(rate_hz, restless) as policy_loop:
        for _ in range(TURNS):
            for name, late_ms, loop in (
                ('reference', bare, _bare_loop),
                ('ours', ours, policy_loop.run),
            ):
                turn = loop(period_ns, seconds / TURNS)
                missed[name] += int((turn > period_ns / 1e6).sum())
                late_ms.extend(turn)
        steps = policy_loop.steps
    reference = float(np.percentile(bare, 99))
    pace = 'without pause' if restless else f'at {policy_loop.policy_rate_hz:g} Hz'
    return Measurement(
        what=f'tick lateness at {rate_hz} Hz, SARNN {IMAGE_SIZE}x{IMAGE_SIZE} {pace}',
        ours=float(np.percentile(ours, 99)),
        reference=reference,
        reference_name='bare absolute-deadline loop, nothing beside it',
        unit='ms, 99th percentile',
        target=(reference + ALLOWED_MS) / reference,
        details={
            'target_means': f'ours <= reference + {ALLOWED_MS} ms',
            'ticks': len(ours),
            'median_ours': float(np.median(ours)),
            'median_reference': float(np.median(bare)),
            'missed_ours': missed['ours'],
            'missed_reference': missed['reference'],
            'inferences_per_s': steps / seconds,
            'threads': 1,
        },
    )


def lateness_ms(times_ns: Sequence[int], first_ns: int, period_ns: int) -> Float64Array:
    """How long after each deadline `first_ns + k * period_ns` the next tick came."""
    times = np.array(times_ns, dtype=np.int64)
    deadlines = np.arange(first_ns, times[-1] + 1, period_ns)
    return (times[np.searchsorted(times, deadlines)] - deadlines) / 1e6


def _bare_loop(period_ns: int, seconds: float) -> Float64Array:
    times: list[int] = []
    first_ns = deadline_ns = time.monotonic_ns() + period_ns
    end_ns = first_ns + round(seconds * 1e9)
    with collector_off():
        while deadline_ns < end_ns:
            time.sleep(max(0, deadline_ns - time.monotonic_ns()) / 1e9)
            times.append(time.monotonic_ns())
            deadline_ns += period_ns
    return lateness_ms(times, first_ns, period_ns)


class _PolicyLoop:
    """The tick of the policy node on one unchanging row of messages, without publishers."""

    def __init__(self, node: Node, robot: RobotSpec, restless: bool) -> None:
        policy = random_policy('sarnn', IMAGE_SIZE, robot)
        self.policy_rate_hz = policy.spec.rate
        self.steps = 0
        self._restless = restless
        self._node = node
        self._robot = robot
        self._lock = threading.Lock()
        self._controller = Controller(robot, policy.period_ns)
        self._measured = np.zeros(len(robot.joints.names))
        self._samples = _messages(robot, policy.cameras[0])
        self._inference = InferenceThread(robot, self)
        self._inference.start(lambda: PolicyRunner(policy, robot))
        self._times: list[int] = []
        self._first_ns = 0

    def run(self, period_ns: int, seconds: float) -> Float64Array:
        """Tick for some seconds; return the lateness."""
        self._times.clear()
        self._loop = ControlLoop(self._node, period_ns, self._tick)
        self._loop.start()
        time.sleep(seconds)
        self._loop.stop()
        return lateness_ms(self._times, self._first_ns, period_ns)

    def close(self) -> None:
        """End the inference thread, and undo its freezing of the garbage collector."""
        self._inference.stop()
        gc.unfreeze()

    def wants_extras(self) -> bool:
        """Nobody looks at the predicted image."""
        return False

    def take_step(self, step: PolicyStep) -> None:
        """Hand the chunk to the controller; called in the inference thread."""
        self.steps += 1
        with self._lock:
            self._controller.add_chunk(step.chunk, step.observation_ns)

    def take_failure(self, reason: str, observation_ns: int) -> None:
        """Must not happen here."""
        raise RuntimeError(reason)

    def _tick(self, now_ns: int) -> None:
        time_ns = time.monotonic_ns()
        if not self._times:
            self._first_ns = self._loop.deadlines.next_ns - self._loop.deadlines.period_ns
            self._controller.enable(now_ns, self._measured)
        self._times.append(time_ns)
        with self._lock:
            command = self._controller.tick(now_ns, self._measured, {})
            due = self._controller.policy_due(now_ns)
        if command is not None:
            self._measured = command.position
        if due or self._restless:
            self._inference.request(Row(now_ns, self._samples, {}))


@contextmanager
def _policy_loop(rate_hz: int, restless: bool) -> Iterator[_PolicyLoop]:
    robot = load_robot_spec('tabletop_sim').model_copy(update={'rate': float(rate_hz)})
    # The tick loop asks a node for its clock; nobody needs to hear of this one.
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'OFF')
    context = Context()
    rclpy.init(context=context)
    node = Node('bench_control', context=context, start_parameter_services=False)
    loop = _PolicyLoop(node, robot, restless)
    try:
        yield loop
    finally:
        loop.close()
        node.destroy_node()
        rclpy.shutdown(context=context)


def _messages(robot: RobotSpec, camera: str) -> dict[str, Sample]:
    """A frame of noise and joints at zero, as they come from a robot."""
    joints = len(robot.joints.names)
    zeros = np.zeros(joints)
    size = robot.cameras[camera]
    noise = np.random.default_rng(0).integers(0, 256, size.height * size.width * 3, np.uint8)
    return {
        camera: Sample(1, 1, ImageMessage(size.height, size.width, noise)),
        'state': Sample(1, 1, JointStateMessage(robot.joints.names, zeros, zeros, zeros)),
    }


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
