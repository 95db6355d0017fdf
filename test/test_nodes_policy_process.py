# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node as a process and on simulated time: its end is a held arm, whoever ends it."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from fake_arm import LOSSLESS, FakeArm, assert_safe, end_on_the_way
from rclpy.parameter import Parameter
from ros_testing import Bench
from rosgraph_msgs.msg import Clock

from motion_policy.nodes.policy_node import PolicyNode

ROBOT = formula_arm()


def test_sigterm_while_moving_ends_with_a_held_position(
    arm: FakeArm, checkpoint: Path, tmp_path: Path
) -> None:
    parameters = {'checkpoint': checkpoint, 'autostart': 'true'}
    end_on_the_way(arm, parameters, signal.SIGTERM, tmp_path)


class SimulatedArm(FakeArm):
    """Publishes /clock and stamps with it, in steps of 10 ms, as fast or slow as it is told."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, ROBOT, publishes=False)
        self.time_ns = 5_000_000_000
        self._clock = bench.client.create_publisher(Clock, '/clock', 10)

    def stamp(self) -> Time:
        """Return the simulated time."""
        seconds, nanoseconds = divmod(self.time_ns, 1_000_000_000)
        return Time(sec=seconds, nanosec=nanoseconds)

    def step(self) -> None:
        """Let 10 ms pass; a joint state every step, an image every fourth."""
        self.time_ns += 10_000_000
        self._clock.publish(Clock(clock=self.stamp()))
        self.publish_joints()
        if self.time_ns % 40_000_000 == 0:
            self.publish_image()
        for _ in range(5):
            self.bench.executor.spin_once(timeout_sec=0.0005)


def test_on_simulated_time_the_clock_drives_the_ticks_and_its_halt_holds_no_one_up(
    bench: Bench, checkpoint: Path
) -> None:
    arm = SimulatedArm(bench)
    parameters = {'checkpoint': str(checkpoint), 'autostart': True, 'use_sim_time': True}
    parameters.update(LOSSLESS)
    node = bench.add(
        PolicyNode(
            context=bench.context,
            parameter_overrides=[Parameter(name, value=v) for name, v in parameters.items()],
        )
    )
    try:
        assert '/clock' in arm.enable().message

        def enabled() -> bool:
            for _ in range(20):
                arm.step()
            return bool(arm.enable().success)

        bench.spin_until(enabled, 'enable')
        begin_ns, first = arm.time_ns, len(arm.commands)
        while len(arm.commands) - first < 100:
            arm.step()
        elapsed = (arm.time_ns - begin_ns) / ROBOT.period_ns
        assert elapsed >= 98  # never more than one command per simulated period
        # The time before /clock spoke for the first time, 5 s, was not missed.
        bench.spin_until(lambda: arm.diagnostic('control', 'missed ticks'), 'diagnostics')
        assert int(arm.diagnostic('control', 'missed ticks')) < 200
        standing = len(arm.commands)
        arm.wait_for_silence()
        assert len(arm.commands) - standing <= 2  # while /clock stands, so does the tick
    finally:
        node.close()
    arm.wait_for_silence()
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    assert_safe(arm.commands, ROBOT)
