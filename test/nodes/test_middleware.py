# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""With our Fast DDS profile raw 640x480 images arrive, best effort, from process to process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from repository import python_path

pytest.importorskip('rclpy')

from motion_policy.share import share_dir

FRAMES = 60
PUBLISHER = """
import itertools, time, rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init()
node = Node('camera')
publisher = node.create_publisher(Image, 'image_raw', qos_profile_sensor_data)
message = Image(height=480, width=640, encoding='rgb8', step=1920)
message.data.frombytes(bytes(921600))
while not publisher.get_subscription_count():
    time.sleep(0.01)
time.sleep(1.0)
for index in itertools.count():
    message.header.frame_id = str(index)
    publisher.publish(message)
    time.sleep(0.033)
"""
SUBSCRIBER = """
import sys, rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from motion_policy.nodes.subscriptions import sensor_qos
from sensor_msgs.msg import Image
rclpy.init()
node = Node('watcher')
seen = []
node.create_subscription(
    Image, 'image_raw', lambda m: seen.append(int(m.header.frame_id)), sensor_qos())
executor = SingleThreadedExecutor()
executor.add_node(node)
while not seen or seen[-1] - seen[0] < int(sys.argv[1]):
    executor.spin_once(timeout_sec=0.1)
print(len(seen) / (seen[-1] - seen[0] + 1))
"""


@contextmanager
def running(source: str, environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, '-c', source], env=environment)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_raw_images_are_not_lost_with_the_profile(ros_domain: int) -> None:
    profile = str(share_dir() / 'config' / 'fastdds.xml')
    old = os.environ.get('ROS_DISTRO') in ('humble', 'jazzy')
    variable = f'{"FASTRTPS" if old else "FASTDDS"}_DEFAULT_PROFILES_FILE'
    paths = python_path()
    environment = {**os.environ, variable: profile, 'PYTHONPATH': paths}
    with running(PUBLISHER, environment):
        done = subprocess.run(
            [sys.executable, '-c', SUBSCRIBER, str(FRAMES)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert 'XMLPARSER' not in done.stderr + done.stdout
    # Without the profile it is a few in a hundred.
    assert float(done.stdout) > 0.5


@pytest.mark.parametrize('long_ago', [True, False])
def test_a_port_that_a_killed_process_never_filled_holds_no_node_up(
    ros_domain: int, long_ago: bool
) -> None:
    old = Path(f'/dev/shm/fastdds_port{7400 + 250 * ros_domain + 11}')  # of the first participant
    old.touch()
    if long_ago:
        os.utime(old, (0, 0))
    try:
        code = (
            'import rclpy\n'
            'from rclpy.node import Node\n'
            'from motion_policy.nodes.transports import transports\n'
            "with transports('out'):\n"
            '    rclpy.init()\n'
            "    Node('begun')\n"
        )
        environment = {**os.environ, 'PYTHONPATH': python_path()}
        subprocess.run([sys.executable, '-c', code], env=environment, check=True, timeout=60)
    finally:
        old.unlink(missing_ok=True)
