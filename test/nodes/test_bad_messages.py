# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever comes over the network, no node ends by it: it is dropped, counted and told once."""

from __future__ import annotations

import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import FakeArm, MakeNode
from rcl_interfaces.msg import Log
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from ros_testing import Bench
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from motion_policy.nodes.bad_messages import BadMessages
from motion_policy.nodes.executor import MessagesFirst, Unendable
from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.nodes.subscriptions import SerializedMessage, deserialized, sensor_qos

ROBOT = formula_arm()
IMAGE = Image(height=2, width=2, encoding='rgb8', step=6, data=bytes(12))
IMAGE.header.frame_id = 'top'
JOINTS = JointState(name=['a', 'b'], position=[1.0, 2.0])
JPEG = CompressedImage(format='jpeg', data=b'abc')


def damaged(message: Any) -> list[bytes]:
    """This message in many damaged forms; each is the content of some topic."""
    whole = bytes(serialize_message(message))
    forms = [b'', b'\0', b'\0\1\0\0', b'\0\1\0\0ab', b'\xff' * 4 + whole[4:], b'\xff' * 40]
    forms += [whole[:length] for length in range(4, len(whole) - 4)]
    for place in range(12, len(whole) - 3, 4):  # every length there is claims to be huge
        for claim in (0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF):
            forms.append(whole[:place] + struct.pack('<I', claim) + whole[place + 4 :])
    return forms


@pytest.mark.parametrize('message', [IMAGE, JOINTS, JPEG], ids=lambda m: type(m).__name__)
def test_damage_is_an_error_where_the_message_comes_and_never_later(message: Any) -> None:
    from motion_policy.errors import UserError

    found = 0
    for data in damaged(message):
        try:
            kept = SerializedMessage(data, type(message))
        except (UserError, struct.error):
            found += 1
            continue
        for field in ('height', 'encoding', 'data', 'name', 'position', 'format'):
            getattr(kept, field, None)
    assert found > len(serialize_message(message)) - 20
    with pytest.raises(UserError, match=r'message of 6 bytes, which are no Image'):
        deserialized(b'\0\1\0\0ab', Image)


def log_of(bench: Bench) -> list[str]:
    """Return the list that fills with what is said on /rosout."""
    lines: list[str] = []
    bench.client.create_subscription(Log, '/rosout', lambda log: lines.append(log.msg), 1000)
    return lines


def test_damage_on_every_topic_neither_ends_nor_deafens_a_node_that_drives(
    bench: Bench, arm: FakeArm, make_node: MakeNode
) -> None:
    lines = log_of(bench)
    make_node()
    joints = bench.client.create_publisher(JointState, 'joint_states', 100)
    stop = bench.client.create_publisher(Bool, 'emergency_stop', 10)
    arm.enable_when_ready()
    arm.hear(30)
    arm.camera.publish(b'\0\1\0\0ab')
    bench.spin_until(lambda: any('message of 6 bytes' in x for x in lines), 'a line')
    for data in damaged(IMAGE):
        arm.camera.publish(data)
        bench.executor.spin_once(timeout_sec=0.001)
    for data in damaged(JOINTS):
        joints.publish(data)
        bench.executor.spin_once(timeout_sec=0.001)
    stop.publish(b'\0')
    arm.enable_when_ready()  # many of them may have let it hold
    arm.hear(50)
    for name in ('top', 'state'):
        key = f'{name} unusable messages'
        bench.spin_until(lambda k=key: int(arm.diagnostic('streams', k) or 0) > 1, key)
    said = [x for x in lines if "stream 'top' on topic top/image_raw: dropped" in x]
    assert 1 <= len(said) <= 3  # by kind of error, not by message
    stop.publish(Bool(data=True))
    arm.wait_for_idle()


def test_a_recorder_counts_what_is_damaged(bench: Bench, tmp_path: Path) -> None:
    robot = tmp_path / 'robot.yaml'
    robot.write_text(ROBOT.to_yaml())
    parameters = {'robot': str(robot), 'directory': str(tmp_path)}
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    node = RecorderNode(context=bench.context, parameter_overrides=overrides)
    bench.add(node)
    camera = bench.client.create_publisher(Image, 'top/image_raw', 10)
    bench.spin_until(camera.get_subscription_count, 'the recorder')
    camera.publish(b'\0\1\0\0ab')
    bench.spin_until(lambda: node.streams.bad_messages.count('top') == 1, 'a count')
    assert '1 dropped as unusable' in node.streams.describe('top')
    node.close()


def test_a_camera_in_another_namespace_or_compressed_only_is_pointed_to(
    bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / 'robot.yaml'
    path.write_text(ROBOT.to_yaml())
    overrides = [Parameter('robot', value=str(path))]
    node = RecorderNode(context=bench.context, parameter_overrides=overrides)
    bench.add(node)
    bench.client.create_publisher(Image, 'lab/top/image_raw', 10)
    told = 'but on /lab/top/image_raw: expected this node in that namespace, or that topic in the'
    bench.spin_until(lambda: told in node.streams.describe('top'), told)
    bench.client.create_publisher(CompressedImage, 'top/image_raw/compressed', 10)
    told = 'no publisher there, but on /top/image_raw/compressed: expected that in the robot spec'
    bench.spin_until(lambda: told in node.streams.describe('top'), told)
    # A message may come before the graph knows who sent it.
    assert node.streams.describe('top', arrives=True).endswith(': 0 messages received')
    assert told in bench.call(Trigger, 'recorder_node/start').message
    node.close()


def test_reliable_gives_way_to_a_publisher_that_offers_less(
    bench: Bench, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'robot.yaml'
    path.write_text(ROBOT.to_yaml())
    overrides = [Parameter('robot', value=str(path)), Parameter('reliable', value=True)]
    node = RecorderNode(context=bench.context, parameter_overrides=overrides)
    bench.add(node)
    bench.client.create_publisher(JointState, 'joint_states', sensor_qos(reliable=True))
    camera = bench.client.create_publisher(Image, 'top/image_raw', sensor_qos())
    bench.client.create_timer(0.02, lambda: camera.publish(Image()))
    bench.spin_until(lambda: node.streams.received['top'] > 3, 'images of the camera')
    offered = {
        topic: [info.qos_profile.reliability.name for info in found]
        for topic in ('top/image_raw', 'joint_states')
        if (found := node.get_subscriptions_info_by_topic(f'/{topic}'))
    }
    assert offered == {'top/image_raw': ['BEST_EFFORT'], 'joint_states': ['RELIABLE']}
    told = "stream 'top' on topic /top/image_raw: a publisher offers best effort only"
    assert ''.join(capfd.readouterr()).count(told) == 1
    node.close()


@pytest.mark.parametrize('executor_class', [MessagesFirst, Unendable])
def test_callbacks_that_fail_are_counted_and_the_others_go_on(
    bench: Bench, executor_class: type[Unendable]
) -> None:
    node = Node('served', context=bench.context)
    heard: list[str] = []

    def fail(*_: Any) -> None:
        raise ZeroDivisionError('a defect')

    node.create_subscription(Bool, 'bad', fail, 10)
    node.create_subscription(Bool, 'good', lambda m: heard.append('good'), 10)
    node.create_service(Trigger, 'bad_service', fail)
    node.create_service(Trigger, 'good_service', lambda request, response: response)
    executor = executor_class(node)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            if isinstance(executor, MessagesFirst):
                executor.serve()
            else:
                executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        bad = bench.client.create_publisher(Bool, 'bad', 10)
        good = bench.client.create_publisher(Bool, 'good', 10)
        client = bench.client.create_client(Trigger, 'bad_service')
        bench.spin_until(client.service_is_ready, 'the service')
        bench.spin_until(bad.get_subscription_count, 'bad')
        bench.spin_until(good.get_subscription_count, 'good')
        for _ in range(3):
            bad.publish(Bool())
            client.call_async(Trigger.Request())
            bench.executor.spin_once(timeout_sec=0.1)
        bad_messages = BadMessages.of(node)
        bench.spin_until(
            lambda: (
                bad_messages.values()
                == {'/bad unusable messages': 3, 'bad_service unusable messages': 3}
            ),
            'the counts',
        )
        good.publish(Bool())
        bench.spin_until(lambda: heard, 'a good message')
        assert bench.call(Trigger, 'good_service') is not None
    finally:
        stop.set()
        thread.join()
        executor.shutdown()
        node.destroy_node()


def test_the_error_of_a_timer_is_not_passed_over(bench: Bench) -> None:
    node = Node('served', context=bench.context)

    def fail() -> None:
        raise ZeroDivisionError('a defect')

    node.create_timer(0.001, fail)
    executor = Unendable(node)
    with pytest.raises(ZeroDivisionError):
        for _ in range(100):
            executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    node.destroy_node()
