# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a policy node says is heard on /rosout, whichever nodes of its name were there before."""

from __future__ import annotations

import gc

import pytest

pytest.importorskip('rclpy')

from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from ros_testing import ros_bench

from motion_policy.nodes.policy_node import PolicyNode


def test_a_node_after_others_of_its_name_is_heard(ros_domain: int) -> None:
    for _ in range(3):
        with ros_bench() as bench:
            lines: list[str] = []
            bench.client.create_subscription(
                Log, '/rosout', lambda message, lines=lines: lines.append(message.msg), 100
            )
            node = PolicyNode(context=bench.context)
            bench.add(node)
            gc.collect()  # as the start of an inference thread does
            assert node.trigger_configure() == TransitionCallbackReturn.FAILURE

            def told(lines: list[str] = lines) -> bool:
                return any("parameter 'checkpoint' is empty" in line for line in lines)

            bench.spin_until(told, 'what was said')
            node.close()
