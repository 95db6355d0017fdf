# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node as a process and on simulated time: its end is a held arm, whoever ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import LOSSLESS, FakeArm, SimulatedArm, assert_safe, end_on_the_way
from killed_at_last import killed_at_last
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from ros_testing import Bench
from std_msgs.msg import Bool

from motion_policy.nodes.policy_node import PolicyNode

pytestmark = pytest.mark.slow

ROBOT = formula_arm()
PARAMETERS = {'autostart': 'true', 'backend': 'eager'}
# What ends or stops a process that does nothing about it (signal(7)), but for its own errors, what
# none can handle, and the two by which a terminal says that it is another job's.
ENDING = {
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1,
    signal.SIGUSR2, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR,
    signal.SIGXCPU, signal.SIGTSTP, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
}  # fmt: skip
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


def caught_by(pid: int) -> set[int]:
    """The signals that a process handles, as the kernel says."""
    (mask,) = re.findall(r'SigCgt:\t(\w+)', Path(f'/proc/{pid}/status').read_text())
    return {number for number in signal.valid_signals() if int(mask, 16) >> number - 1 & 1}


def test_signals_without_end_end_a_node_once(
    arm: FakeArm, checkpoint: Path, tmp_path: Path
) -> None:
    def send_for_ever(process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGTTOU)  # a terminal's, which stops nothing
        arm.hear(50)
        while process.poll() is None:
            for name in ('SIGINT', 'SIGTERM', 'SIGXCPU', 'SIGIO'):
                process.send_signal(signal.Signals[name])
            arm.bench.executor.spin_once(timeout_sec=0.001)

    parameters = {**PARAMETERS, 'checkpoint': checkpoint}
    end_on_the_way(arm, parameters, send_for_ever, tmp_path)


def family_of(ancestor: int) -> dict[int, str]:
    """A process and all that come from it, by id, with their command lines."""
    parents = {}
    for folder in Path('/proc').glob('[0-9]*'):
        with suppress(OSError):
            fields = (folder / 'stat').read_text().rpartition(')')[2].split()
            parents[int(folder.name)] = int(fields[1])
    found = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: Path(f'/proc/{pid}/cmdline').read_bytes().decode() for pid in found}


def test_a_hangup_ends_with_a_held_position_and_the_policys_process_which_outlives_all_signals(
    arm: FakeArm, checkpoint: Path, tmp_path: Path
) -> None:
    seen: list[int] = []

    def send_to_all(process: subprocess.Popen[str]) -> None:
        processes = family_of(process.pid)
        workers = [pid for pid, words in processes.items() if 'inference.worker' in words]
        assert len(workers) == 1
        # Of all others that would end or stop the node, each is handled like SIGHUP below.
        assert caught_by(process.pid) >= ENDING
        seen.extend(processes)
        for name in ('SIGINT', 'SIGHUP', 'SIGTERM'):
            for pid in set(processes) - {process.pid}:
                os.kill(pid, signal.Signals[name])
            arm.hear(50)
            assert family_of(process.pid).keys() == processes.keys()
        process.send_signal(signal.SIGHUP)

    parameters = {**PARAMETERS, 'checkpoint': checkpoint, 'inference.isolation': 'process'}
    end_on_the_way(arm, parameters, send_to_all, tmp_path)
    assert [pid for pid in seen if Path(f'/proc/{pid}').exists()] == []


def test_a_full_pipe_costs_lines_and_nothing_else_also_at_the_end(
    arm: FakeArm, checkpoint: Path, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while os.write(writing, b'x' * 4096):
            pass
    os.set_blocking(writing, True)
    stop = arm.bench.client.create_publisher(Bool, 'emergency_stop', LATCHED)
    stop.publish(Bool(data=False))
    command = [sys.executable, '-m', 'motion_policy.nodes.policy_node', '--ros-args']
    command += ['--log-level', 'debug']
    parameters = {**PARAMETERS, 'checkpoint': checkpoint, 'diagnostics_period': 0.2, **LOSSLESS}
    for name, value in parameters.items():
        command += ['-p', f'{name}:={value}']
    environment = {**os.environ, 'ROS_LOG_DIR': str(tmp_path)}
    with killed_at_last(command, env=environment, stdout=writing, stderr=writing) as process:
        arm.enable_when_ready()
        arm.hear(50)
        arm.camera_works = False  # which is said, too
        arm.wait_for_diagnostic('control', 'state', 'disabled')
        arm.camera_works = True
        arm.enable_when_ready()
        arm.hear(50)
        stop.publish(Bool(data=True))
        arm.wait_for_idle()
        stop.publish(Bool(data=False))
        arm.enable_when_ready()
        arm.hear(50)
        assert process.poll() is None
        process.send_signal(signal.SIGTSTP)  # a terminal's, which would stop it where it stands
        arm.bench.spin_until(lambda: process.poll() is not None, 'the end of the node')
        arm.wait_for_silence()
        assert process.returncode == 0
    os.close(reading)
    os.close(writing)
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    assert_safe(arm.commands, ROBOT)


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
        # A step of /clock may be missed: the command after it has longer, the next one less.
        assert_safe(arm.commands, ROBOT, simulated_time=True, steps_only=True)
    finally:
        node.close()
    arm.wait_for_silence()
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
