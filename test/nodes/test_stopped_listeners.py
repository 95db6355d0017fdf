# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Whoever listens to a node and is stopped or killed holds up none of its commands to others.

Nor does a node that stood still for a moment lose what was sent to it meanwhile.

The stopped processes are in the worst state: each was taking a message from shared memory. Sent
through that, commands were late by 7 to 10 s here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from select import select

import pytest
from repository import python_path

pytest.importorskip('rclpy')

from motion_policy.share import share_dir

sys.path.insert(0, str(share_dir() / 'benchmarks'))

from fault_campaign.held_ports import hold_ports
from rclpy import get_rmw_implementation_identifier
from ros_testing import Bench
from std_msgs.msg import Int64

pytestmark = pytest.mark.skipif(
    'fastrtps' not in get_rmw_implementation_identifier()
    or os.environ.get('ROS_DISTRO') == 'humble',
    reason='transports are chosen for Fast DDS, from Jazzy on',
)

STOPPED = KILLED = 3
WATCHED_S = 6.0
BOUND_S = 2.0  # between two commands at 50 Hz, on a busy machine
NODE = """
import sys, threading, time
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Float64MultiArray
from motion_policy.nodes.shell import run_node

RATE_HZ, WIDTH, HEIGHT = map(int, sys.argv[1:])

class Arm(Node):
    def __init__(self):
        super().__init__('arm')
        self.commands = self.create_publisher(Float64MultiArray, 'commands', 1)
        self.images = self.create_publisher(Image, 'attention', 1)
        self.image = Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=3 * WIDTH)
        self.image.data.frombytes(bytes(3 * WIDTH * HEIGHT))
        self.create_timer(0.05, lambda: self.images.publish(self.image))
        threading.Thread(target=self.tick, daemon=True).start()

    def tick(self):
        due = time.monotonic()
        while self.context.ok():
            self.commands.publish(Float64MultiArray(data=[0.0]))
            due = max(due + 1 / RATE_HZ, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

raise SystemExit(run_node(Arm, []))
"""
# It takes part in nobody's shared memory: what it tells of is the node's.
LISTENER = """
import json, sys, time, rclpy
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from motion_policy.nodes.transports import transports

with transports('none'):
    rclpy.init()
    node, times = Node('controller'), []
    node.create_subscription(
        Float64MultiArray, 'commands', lambda message: times.append(time.monotonic()), 1000)
    while not times:
        rclpy.spin_once(node, timeout_sec=0.1)
    print('there', flush=True)
    sys.stdin.readline()
    end = time.monotonic() + float(sys.argv[1])
    times.clear()
    times.append(time.monotonic())
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    times.append(time.monotonic())
    print(json.dumps(times), flush=True)
"""
# The system's own buffer of a socket holds 277 such messages, what it gives who asks at least 553.
SENT_MEANWHILE = 400
KEEPER = """
from rclpy.node import Node
from std_msgs.msg import Int64
from motion_policy.nodes.shell import run_node
from motion_policy.nodes.subscriptions import sensor_qos

class Keeper(Node):
    def __init__(self):
        super().__init__('keeper')
        self.numbers, self.told = [], set()
        self.create_subscription(Int64, 'numbers', self.take, sensor_qos(2000))

    def take(self, message):
        if message.data > 0:
            self.numbers.append(message.data)
        elif message.data not in self.told:
            self.told.add(message.data)
            print(len(self.numbers) if message.data else 'there', flush=True)

raise SystemExit(run_node(Keeper, []))
"""
VIEWER = """
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image

rclpy.init()
node, seen = Node('viewer'), []
node.create_subscription(Image, 'attention', seen.append, 1)
while not seen:
    rclpy.spin_once(node, timeout_sec=0.1)
print('there', flush=True)
while True:
    rclpy.spin_once(node, timeout_sec=0.1)
"""


@contextmanager
def running(source: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    paths = python_path()
    with subprocess.Popen(
        [sys.executable, '-c', source, *map(str, words)],
        env={**os.environ, 'PYTHONPATH': paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == 'there\n'


def stop(viewer: subprocess.Popen[str]) -> int:
    """Stop it as if it were just taking a message; return how many locks it holds."""
    os.kill(viewer.pid, signal.SIGSTOP)
    os.waitpid(viewer.pid, os.WUNTRACED)
    return hold_ports(viewer.pid)


@pytest.mark.parametrize(
    ('rate_hz', 'width', 'height'), [(50, 128, 128), (200, 320, 240)], ids=['small', 'large']
)
def test_commands_are_not_held_up_by_listeners_that_stand_still_or_were_killed(
    ros_domain: int, rate_hz: int, width: int, height: int
) -> None:
    with ExitStack() as stack:
        node = stack.enter_context(running(NODE, rate_hz, width, height))
        listener = stack.enter_context(running(LISTENER, WATCHED_S))
        wait_for(listener)
        viewers = [stack.enter_context(running(VIEWER)) for _ in range(STOPPED + KILLED)]
        for viewer in viewers:
            wait_for(viewer)
        assert all([stop(viewer) for viewer in viewers])
        for viewer in viewers[STOPPED:]:
            viewer.kill()
        said, _ = listener.communicate('go\n')
        times = json.loads(said)
        assert node.poll() is None
    assert len(times) > WATCHED_S * 10
    assert max(later - time for time, later in pairwise(times)) < BOUND_S


def test_a_node_that_hears_images_takes_them_from_shared_memory_and_sends_by_udp(
    ros_domain: int,
) -> None:
    source = """
import sys
from pathlib import Path
from rclpy.node import Node
from sensor_msgs.msg import Image
from motion_policy.nodes.shell import run_node
from motion_policy.nodes.subscriptions import sensor_qos
from motion_policy.nodes.transports import subscribe_to_images

class Watcher(Node):
    def __init__(self):
        super().__init__('watcher')
        threads = lambda: {p.read_text().strip() for p in Path('/proc/self/task').glob('*/comm')}
        before = threads()
        self.frames = []
        receiver, _ = subscribe_to_images(
            self, Image, 'image_raw', self.take, sensor_qos())
        new = threads() - before
        print(any('dds.shm' in x for x in before), any('dds.shm' in x for x in new),
              receiver.get_name(), flush=True)

    def take(self, data):
        self.frames.append(len(data))
        if len(self.frames) == 30:
            print(min(self.frames) > 921600, flush=True)

raise SystemExit(run_node(Watcher, [], images='in'))
"""
    camera = """
import time
from rclpy.node import Node
from sensor_msgs.msg import Image
from motion_policy.nodes.shell import run_node

class Camera(Node):
    def __init__(self):
        super().__init__('camera')
        images = self.create_publisher(Image, 'image_raw', 1)
        image = Image(height=480, width=640, encoding='rgb8', step=1920)
        image.data.frombytes(bytes(921600))
        self.create_timer(0.033, lambda: images.publish(image))

raise SystemExit(run_node(Camera, [], images='out'))
"""
    with running(source) as watcher, running(camera):
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == 'False True _watcher_images\n'
        assert watcher.stdout.readline() == 'True\n'
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait() == 0


def test_what_was_sent_to_a_node_that_stood_still_is_not_lost(bench: Bench) -> None:
    publisher = bench.client.create_publisher(Int64, 'numbers', SENT_MEANWHILE)
    with running(KEEPER) as keeper:
        assert keeper.stdout is not None

        def answers(number: int) -> bool:
            publisher.publish(Int64(data=number))
            return bool(select([keeper.stdout], [], [], 0.05)[0])

        bench.spin_until(lambda: answers(0), 'the node')
        wait_for(keeper)
        os.kill(keeper.pid, signal.SIGSTOP)
        os.waitpid(keeper.pid, os.WUNTRACED)
        for number in range(SENT_MEANWHILE):
            publisher.publish(Int64(data=1 + number))
        os.kill(keeper.pid, signal.SIGCONT)
        bench.spin_until(lambda: answers(-1), 'what it has heard')
        assert keeper.stdout.readline() == f'{SENT_MEANWHILE}\n'
