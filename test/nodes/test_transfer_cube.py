# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""gym-aloha's task behind the same nodes: a parameter names the scene, all else is as ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from ros_testing import ros_bench
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from motion_policy.errors import UserError
from motion_policy.nodes.demonstrator_node import DemonstratorNode
from motion_policy.nodes.sim_node import SimNode
from motion_policy.robot import load_robot_spec
from motion_policy.simulation import TransferCubeSim
from motion_policy.streams.messages import image_to_rgb

LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
PLACE = '0.12,0.55'


def options(**values: Any) -> list[Parameter]:
    """Parameters of a node."""
    return [Parameter(name, value=value) for name, value in values.items()]


def test_the_teacher_hands_the_cube_over_on_topics(ros_domain: int) -> None:
    """The leader leads both arms to success; names, image and places are those of the scene."""
    heard: dict[str, list[Any]] = {}
    with ros_bench() as bench:
        for kind, topic, qos in (
            (JointState, 'joint_states', QoSProfile(depth=100)),
            (Image, 'top/image_raw', QoSProfile(depth=10)),
            (Bool, 'sim_node/success', LATCHED),
        ):
            heard[topic] = []
            bench.client.create_subscription(kind, topic, heard[topic].append, qos)
        chosen = options(
            scene='transfer_cube', cube=PLACE, publish_clock=True, real_time_factor=5.0,
            camera_rate=1.0,
        )  # fmt: skip
        bench.run_apart(lambda: SimNode(context=bench.context, parameter_overrides=chosen))
        bench.spin_until(lambda: heard['top/image_raw'], 'an image')
        image = image_to_rgb(heard['top/image_raw'][0]).astype(int)
        sim = TransferCubeSim()
        sim.reset(PLACE)
        sim.step(None, 0.5)
        expected = sim.render('top', 480, 640)
        sim.close()
        assert np.abs(image - expected).mean() < 1.0

        taught = options(scene='transfer_cube', use_sim_time=True)
        bench.add(DemonstratorNode(context=bench.context, parameter_overrides=taught))
        response: Any = None

        def began() -> bool:
            nonlocal response
            response = bench.call(Trigger, 'demonstrator_node/start')
            return bool(response.success)

        bench.spin_until(began, 'the teacher to see the cube')
        assert 'a demonstration of 7' in response.message
        bench.spin_until(lambda: heard['sim_node/success'][-1].data, 'success')
        names = load_robot_spec('aloha_sim').joints.names
        assert tuple(heard['joint_states'][-1].name) == names
        assert bench.call(Trigger, 'sim_node/reset').message.startswith(
            'arm at home, cube at 0.12'
        )


@pytest.mark.parametrize('node', [SimNode, DemonstratorNode])
@pytest.mark.parametrize(
    ('values', 'words'),
    [
        (
            {'scene': 'kitchen'},
            "'scene' is 'kitchen'; expected tabletop or transfer_cube or press",
        ),
        ({'scene': 'transfer_cube', 'robot': 'tabletop_sim'}, "robot 'tabletop_sim': its joints"),
    ],
)
def test_a_wrong_scene_or_robot_is_named(
    ros_domain: int, node: Any, values: dict[str, str], words: str
) -> None:
    with ros_bench() as bench, pytest.raises(UserError, match=words):
        node(context=bench.context, parameter_overrides=options(**values))
