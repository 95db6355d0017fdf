# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A node whose policy thinks in a process of its own: that it dies or hangs holds the arm."""

from __future__ import annotations

import os
import signal

import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

import torch
from fake_arm import FakeArm, MakeNode, assert_safe
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_testing import Bench
from stopped_workers import alive, stop_workers

from motion_policy.inference.policy_process import InferenceProcess

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
PATIENCE_S = 300.0


@pytest.fixture
def lines(bench: Bench) -> list[str]:
    """What the nodes log from now on."""
    logged: list[str] = []
    bench.client.create_subscription(Log, '/rosout', lambda m: logged.append(m.msg), 100)
    return logged


def driving_process(arm: FakeArm, make_node: MakeNode) -> InferenceProcess:
    """The process of a node that drives the arm."""
    patient = {'auto_resume': 60.0}  # a process is not begun anew within a second
    node = make_node(**{'inference.isolation': 'process', 'backend': 'eager', **patient})
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert node._inference is not None
    process = node._inference._runner
    assert isinstance(process, InferenceProcess)
    return process


def test_the_arm_holds_while_the_process_is_dead_or_hangs_anew_and_goes_on_by_itself(
    bench: Bench,
    lines: list[str],
    arm: FakeArm,
    make_node: MakeNode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = driving_process(arm, make_node)
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    named = 'hold: policy: RuntimeError: the inference process ended: signal 9'
    bench.spin_until(lambda: named in lines, named)
    arm.diagnostics.clear()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert process.pid not in (None, pid)
    assert_safe(arm.commands, formula_arm())

    stopped = stop_workers(monkeypatch)
    process._start_timeout_s = 1.0
    os.kill(process.pid, signal.SIGKILL)
    named = 'hold: policy: the inference process was not ready after 1 s'
    bench.spin_until(lambda: any(line.startswith(named) for line in lines), named)
    arm.wait_for_diagnostic('control', 'state', 'hold')
    process._start_timeout_s = PATIENCE_S
    stopped.go_on()
    arm.diagnostics.clear()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert_safe(arm.commands, formula_arm())


def test_a_node_whose_process_hangs_while_it_loads_says_so_and_can_be_configured_again(
    bench: Bench,
    lines: list[str],
    make_node: MakeNode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped_workers = stop_workers(monkeypatch)
    limit = {'inference.isolation': 'process', 'inference.start_timeout': 1.0}
    node = make_node(autostart=False, backend='eager', **limit)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    named = 'cannot configure: the inference process was not ready after 1 s'
    bench.spin_until(lambda: any(line.startswith(named) for line in lines), named)
    assert all('\n' not in line for line in lines)
    assert not any(alive(pid) for pid in stopped_workers)
    monkeypatch.undo()
    node.set_parameters([Parameter('inference.start_timeout', value=PATIENCE_S)])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
