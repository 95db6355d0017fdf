# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A chunk policy over real DDS: the arm goes on between chunks, and holds when none comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

import torch
from fake_arm import (
    FakeArm,
    MakeNode,
    assert_safe,
    save_random_chunk_policy,
    stand_before_policy,
)
from rclpy.lifecycle import TransitionCallbackReturn
from ros_testing import Bench
from sensor_msgs.msg import Image
from trajectory_msgs.msg import JointTrajectory

ROBOT = formula_arm()
ROWS = 150


class SlowPolicy:
    """Lets the loaded policy answer when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.go.set()
        self.asked = 0
        stand_before_policy(monkeypatch, self._slow, 'act', 'act_and_explain')

    def _slow(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*args: Any) -> Any:
            self.asked += 1
            self.go.wait()
            return act(*args)

        return slow


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_random_chunk_policy(tmp_path_factory.mktemp('models') / 'act', ROBOT, ROWS)


@pytest.fixture
def usual_parameters() -> dict[str, Any]:
    # The images of the fake camera are all the same; tests stand before the policy in here.
    return {'backend': 'eager', 'max_frozen': 0.0, 'inference.isolation': 'thread'}


def test_between_chunks_the_arm_goes_on_and_the_whole_plan_and_the_heat_are_shown(
    bench: Bench, arm: FakeArm, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowPolicy(monkeypatch)
    plans: list[JointTrajectory] = []
    images: list[Image] = []
    bench.client.create_subscription(JointTrajectory, 'policy_node/plan', plans.append, 10)
    bench.client.create_subscription(Image, 'policy_node/attention', images.append, 10)
    make_node()
    arm.enable_when_ready()
    bench.spin_until(lambda: sum(len(plan.points) > 1 for plan in plans) >= 2, 'two plans')
    slow.go.clear()
    asked = slow.asked
    bench.spin_until(lambda: slow.asked > asked, 'a request for the next chunk')
    on_the_way = arm.hear(20)
    assert arm.diagnostic('control', 'state') == 'run'
    slow.go.set()
    arm.hear(20)
    assert len(on_the_way) >= 20
    assert_safe(arm.commands, ROBOT)
    plan = next(plan for plan in plans if len(plan.points) > 1)
    assert ROWS / 2 < len(plan.points) < ROWS
    ahead = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in plan.points]
    np.testing.assert_allclose(np.diff(ahead), 0.02, atol=1e-6)
    # Above, the fake camera counts its images.
    pixels = np.frombuffer(images[-1].data, np.uint8).reshape(480, 640, 3)[120:]
    assert (pixels != 90).any() and (pixels[..., 0] >= pixels[..., 2]).all()


@pytest.mark.parametrize('ensemble', [0.0, 0.01])
def test_a_policy_that_hangs_lets_the_plan_end_and_then_holds_the_arm(
    arm: FakeArm, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch, ensemble: float
) -> None:
    slow = SlowPolicy(monkeypatch)
    make_node(**{'chunk.ensemble': ensemble, 'auto_resume': 60.0})
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')
    arm.hear(50)
    slow.go.clear()
    # 'the plan ended before the next chunk came', or, where a late tick ended it, 'no chunk for'.
    arm.wait_for_diagnostic('control', 'reason', 'chunk')
    held = arm.hear(20)
    assert np.ptp(held[-5:], axis=0).max() == 0.0
    slow.go.set()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert_safe(arm.commands, ROBOT)


def test_a_reset_discards_the_chunk_in_flight(
    bench: Bench, arm: FakeArm, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowPolicy(monkeypatch)
    node = make_node()
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')
    slow.go.clear()
    asked = slow.asked
    bench.spin_until(lambda: slow.asked > asked, 'a request in flight')
    assert node._driver is not None
    controller = node._driver.controller
    dropped = controller.dropped_chunks
    assert arm.reset().success
    arm.hear(20)
    assert controller.state == 'ramp' and controller.plan() is None
    slow.go.set()
    bench.spin_until(lambda: controller.state == 'run', 'a new plan')
    assert controller.dropped_chunks == dropped + 1
    assert_safe(arm.commands, ROBOT)


@pytest.mark.parametrize(
    ('parameters', 'named'),
    [
        ({'chunk.execute': ROWS + 1}, f'chunk.execute is {ROWS + 1}'),
        ({'mix.joint': 0.5}, 'cannot be mixed'),
    ],
)
def test_what_chunks_cannot_do_fails_the_transition_with_one_line(
    make_node: MakeNode,
    capfd: pytest.CaptureFixture[str],
    parameters: dict[str, Any],
    named: str,
) -> None:
    node = make_node(autostart=False, **parameters)
    capfd.readouterr()
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    lines = [x for x in capfd.readouterr().err.strip().splitlines() if 'ERROR' in x]
    assert len(lines) == 1 and named in lines[0]
