# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A stream that is far slower than expected is named once, with what is to be done about it."""

from __future__ import annotations

import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import FakeArm, MakeNode
from rcl_interfaces.msg import Log
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier
from ros_testing import Bench
from sensor_msgs.msg import JointState

from motion_policy.inference.environment import PROFILE_VARIABLES
from motion_policy.nodes.stream_rates import StreamRates
from motion_policy.nodes.subscriptions import StreamSubscriptions
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.streams import Sampler

ROBOT = formula_arm()
NANOSECONDS_PER_S = 1_000_000_000


class SlowCamera(FakeArm):
    """An arm whose camera sends every tenth of its images, about 2.5 of them in a second."""

    tries = 0

    def publish_image(self) -> None:
        """Publish an image, or leave it out."""
        self.tries += 1
        if self.tries % 10 == 0:
            super().publish_image()


def test_a_camera_slower_than_the_policy_is_named_once_with_both_rates(
    bench: Bench, make_node: MakeNode
) -> None:
    log: list[str] = []
    bench.client.create_subscription(Log, '/rosout', lambda m: log.append(m.msg), 100)
    arm = SlowCamera(bench, ROBOT)
    make_node()
    bench.spin_until(lambda: any('Hz, expected 10 Hz' in line for line in log), 'a warning')
    (line,) = [line for line in log if 'Hz, expected 10 Hz' in line]
    assert line.startswith("stream 'top' on topic /top/image_raw (sensor_msgs/msg/Image): 1 pub")
    assert '\n' not in line
    arm.diagnostics.clear()
    arm.wait_for_diagnostic('streams', 'top expected rate [Hz]', '10.0')
    assert 0 < float(arm.diagnostic('streams', 'top rate [Hz]')) < 6
    assert len([line for line in log if 'Hz, expected 10 Hz' in line]) == 1


def with_rates(rate: float, width: int = 32, height: int = 24) -> RobotSpec:
    camera = ROBOT.cameras['top'].model_copy(
        update={'rate': rate, 'width': width, 'height': height}
    )
    return ROBOT.model_copy(update={'cameras': {'top': camera}})


def rates_of(node: Node, robot: RobotSpec) -> tuple[StreamRates, StreamSubscriptions]:
    subscriptions = StreamSubscriptions(node, robot, Sampler(robot.streams()))
    return StreamRates(robot, subscriptions, 10.0), subscriptions


def looks(rates: StreamRates, streams: StreamSubscriptions, begin_s: int, hz: int) -> list[str]:
    """Look once a second, ten times, while the camera sends at this rate; the lines told."""
    lines = []
    for second in range(begin_s, begin_s + 10):
        streams.own['top'] += hz
        lines += rates.look(second * NANOSECONDS_PER_S)
    return lines


def test_the_rate_of_the_robot_spec_is_what_is_expected_and_time_may_jump(bench: Bench) -> None:
    rates, streams = rates_of(bench.client, with_rates(30.0))
    assert rates.expected_hz == {'top': 30.0, 'state': 10.0, **_leader(rates)}
    assert looks(rates, streams, 0, 25) == []
    slow = looks(rates, streams, 10, 15)
    assert len(slow) == 1 and '17.0 Hz, expected 30 Hz' in slow[0]
    assert looks(rates, streams, 20, 25) == [] and not rates.slow
    rates.forget()
    assert looks(rates, streams, 1000, 25) == []


def test_joints_of_another_arm_on_the_same_topic_make_no_stream_faster(bench: Bench) -> None:
    _, streams = rates_of(bench.client, ROBOT)
    publisher = bench.client.create_publisher(JointState, 'joint_states', 100)

    def heard(*names: str) -> bool:
        publisher.publish(JointState(name=names, position=[0.1] * len(names)))
        bench.spin_for(0.02)
        return streams.received['state'] >= 5

    bench.spin_until(lambda: heard('left/joint1', 'left/joint2'), 'messages of another arm')
    assert streams.own['state'] == 0
    bench.spin_until(lambda: heard('left/joint1', 'joint2') and streams.own['state'] >= 5, 'ours')
    assert streams.received['state'] >= 10


def _leader(rates: StreamRates) -> dict[str, float]:
    return {name: 10.0 for name in rates.expected_hz if name.startswith('leader')}


def test_large_raw_images_that_get_lost_come_with_the_cure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    if 'fastrtps' not in get_rmw_implementation_identifier():
        pytest.skip('another middleware loses none')
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    rates, streams = rates_of(bench.client, with_rates(30.0, 640, 480))
    (line,) = looks(rates, streams, 0, 3)
    assert 'raw images of 921600 bytes' in line and 'fastdds.xml here and for the camera' in line
    monkeypatch.setenv(PROFILE_VARIABLES[0], 'mine.xml')
    assert 'fastdds.xml for the camera too' in rates.advice('top')
    assert rates.advice('state') == ''
    other = Node('other', context=bench.context)
    small, _ = rates_of(other, with_rates(30.0))
    assert small.advice('top') == ''
    other.destroy_node()


def test_a_rate_survives_the_way_through_yaml_and_its_absence_leaves_no_trace() -> None:
    assert 'rate: null' not in ROBOT.to_yaml()
    again = robot_spec_from_yaml(with_rates(30.0).to_yaml(), 'text')
    assert again.cameras['top'].rate == 30.0 and again.joints.state[0].rate is None
