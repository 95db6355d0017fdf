# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The pressing scene behind the same nodes: the teacher presses by the wrench that it hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from fake_arm import MakeNode
from geometry_msgs.msg import WrenchStamped
from judged_policies import sarnn_checkpoint
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from ros_testing import Bench, ros_bench
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from motion_policy.errors import UserError
from motion_policy.nodes.demonstrator_node import DemonstratorNode
from motion_policy.nodes.sim_node import SimNode
from motion_policy.policies.normalisation import MinMax, Normalisation
from motion_policy.robot import load_robot_spec
from motion_policy.simulation.press import HOME
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


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Save a random policy that sees the wrench and stays about where the arm begins."""
    robot = load_robot_spec('tabletop_press')
    home = np.array(HOME)
    span = MinMax(min=tuple(home - 0.05), max=tuple(home + 0.05))
    force = MinMax(min=(-8.0, -2.0), max=(2.0, 2.0))
    normalisation = Normalisation(qpos=span, action=span, inputs=force)
    return sarnn_checkpoint(
        tmp_path / 'feeling', robot, inputs=('wrench',), normalisation=normalisation
    )


@pytest.mark.slow
def test_a_policy_drives_the_arm_while_its_wrench_is_heard(
    bench: Bench, checkpoint: Path, make_node: MakeNode
) -> None:
    """Over a relay that can fall silent: refused before, held within, and going on after it."""
    relays = False
    relayed = bench.client.create_publisher(WrenchStamped, 'ft_sensor/wrench', 50)
    commands: list[list[float]] = []
    lines: list[str] = []

    def relay(message: WrenchStamped) -> None:
        if relays:
            relayed.publish(message)

    for kind, topic, take in (
        (WrenchStamped, 'felt', relay),
        (Float64MultiArray, 'forward_position_controller/commands',
         lambda message: commands.append(message.data.tolist())),
        (Log, '/rosout', lambda message: lines.append(message.msg)),
    ):  # fmt: skip
        bench.client.create_subscription(kind, topic, take, 100)
    remapped = ['--ros-args', '-r', 'ft_sensor/wrench:=felt']
    bench.run_apart(
        lambda: SimNode(
            context=bench.context, parameter_overrides=options(scene='press'), cli_args=remapped
        )
    )
    make_node(robot='tabletop_press')

    def enable() -> Any:
        return bench.call(SetBool, 'policy_node/enable', SetBool.Request(data=True))

    bench.spin_until(lambda: 'ft_sensor/wrench' in enable().message, 'a refusal for the wrench')
    assert not enable().success and commands == []
    relays = True
    bench.spin_until(lambda: enable().success, 'leave to move')
    bench.spin_until(lambda: len(commands) > 50, 'commands')
    relays = False
    bench.spin_until(lambda: any('hold: wrench: stale' in line for line in lines), 'a hold')
    relays = True
    bench.spin_until(lambda: any("'wrench'" in x and x.endswith('there') for x in lines), 'it')
