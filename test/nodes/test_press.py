# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The pressing scene behind the same nodes: the teacher presses by the wrench that it hears."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import WrenchStamped
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from ros_testing import Bench, ros_bench
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from motion_policy.errors import UserError
from motion_policy.nodes.demonstrator_node import DemonstratorNode
from motion_policy.nodes.sim_node import SimNode
from motion_policy.streams.messages import stamp_ns

LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


def options(**values: Any) -> list[Parameter]:
    """Parameters of a node."""
    return [Parameter(name, value=value) for name, value in values.items()]


def start_when_told(bench: Bench) -> str:
    """Start a demonstration once the teacher has heard the scene; why it was refused before."""
    refusals: list[str] = []

    def began() -> bool:
        answer = bench.call(Trigger, 'demonstrator_node/start')
        refusals.extend([] if answer.success else [answer.message])
        return bool(answer.success)

    bench.spin_until(began, 'the teacher to hear the scene')
    return refusals[-1] if refusals else ''


def test_the_teacher_presses_by_the_wrench_that_it_hears(ros_domain: int) -> None:
    wrenches: list[WrenchStamped] = []
    successes: list[Bool] = []
    with ros_bench() as bench:
        bench.client.create_subscription(
            WrenchStamped, 'ft_sensor/wrench', wrenches.append, QoSProfile(depth=200)
        )
        bench.client.create_subscription(Bool, 'sim_node/success', successes.append, LATCHED)
        taught = options(scene='press', use_sim_time=True)
        bench.add(DemonstratorNode(context=bench.context, parameter_overrides=taught))
        assert not bench.call(Trigger, 'demonstrator_node/start').success
        chosen = options(scene='press', seed=2, publish_clock=True, real_time_factor=3.0)
        bench.run_apart(lambda: SimNode(context=bench.context, parameter_overrides=chosen))
        start_when_told(bench)
        bench.spin_until(lambda: successes[-1].data, 'success')
        newest = wrenches[-1]
        pressed = np.array([newest.wrench.force.x, newest.wrench.force.z])
        assert newest.header.frame_id == 'wrist'
        assert 3.0 < np.hypot(*pressed) < 8.0
        gaps = np.diff([stamp_ns(message) for message in wrenches])
        assert np.median(gaps) == 10_000_000  # twice as often as there are rows


def test_a_robot_without_a_wrench_cannot_be_taught_to_press(ros_domain: int) -> None:
    with ros_bench() as bench, pytest.raises(UserError, match="'tabletop_sim': has no vector of"):
        DemonstratorNode(
            context=bench.context,
            parameter_overrides=options(scene='press', robot='tabletop_sim'),
        )
