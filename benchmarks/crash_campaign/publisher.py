# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Process that publishes the streams of the arm and has one episode recorded after the other.

It runs until it is killed, and writes what happens to a file, a line of JSON each.

Usage: publisher.py TOLD
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Vector3, Wrench, WrenchStamped
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from crash_campaign.feeding import tell_to
from crash_campaign.scene import PERIODS, TICK_NS, Messages, crash_arm

FIRST_S = 0.7
RETRY_S = 0.2
LATE_NS = 100_000_000
TYPES = {
    each.__name__: each
    for each in (Image, JointState, WrenchStamped, Wrench, Vector3, Header, Time)
}


class Publisher(Node):
    """Publishes on time, whatever the services take."""

    def __init__(self, told: Path) -> None:
        super().__init__('publisher')
        robot = crash_arm()
        self._tell = tell_to(os.open(told, os.O_WRONLY | os.O_APPEND))
        self._messages = Messages(robot, TYPES)
        kinds = {'vector': WrenchStamped, 'camera': Image, 'depth': Image}
        self._outputs = {
            stream.name: self.create_publisher(
                kinds.get(stream.role, JointState), stream.topic, 10
            )
            for stream in robot.streams()
        }
        self._triggers = {
            name: self.create_client(Trigger, f'recorder_node/{name}')
            for name in ('start', 'stop')
        }
        self._next_ns = time.time_ns() // TICK_NS * TICK_NS
        self._asked: Any = None
        self._wanted, self._due_s = 'start', 0.0
        self._path, self._count = Path(), 0

    def speak(self) -> None:
        """Publish what is due, and go on with the recordings."""
        if time.time_ns() - self._next_ns > LATE_NS:  # as a sensor that was held up
            self._next_ns = time.time_ns() // TICK_NS * TICK_NS
        for stream, period in PERIODS.items():
            if self._next_ns // TICK_NS % period == 0:
                self._outputs[stream].publish(self._messages.make(stream, self._next_ns))
        self._next_ns += TICK_NS
        if self._asked is not None and self._asked.done():
            answer, self._asked = self._asked.result(), None
            self._hear(answer)
        ready = self._triggers[self._wanted].service_is_ready()
        if self._asked is None and ready and time.monotonic() >= self._due_s:
            if self._wanted == 'stop':
                self._tell('stopping', self._path.name, self._next_ns)
            self._asked = self._triggers[self._wanted].call_async(Trigger.Request())
        rclpy.spin_once(self, timeout_sec=0.0)
        time.sleep(max(0, self._next_ns - time.time_ns()) / 1e9)

    def _hear(self, answer: Any) -> None:
        self._due_s = time.monotonic() + RETRY_S
        if self._wanted == 'start' and answer.success:
            self._path = Path(answer.message.removeprefix('recording '))
            self._tell('started', self._path.name, time.time_ns())
            self._wanted, self._count = 'stop', self._count + 1
            self._due_s = time.monotonic() + (FIRST_S if self._count == 1 else 100.0)
        elif self._wanted == 'stop':
            if not answer.success:
                self._tell('stopped', self._path.name, answer.message)
            if self._path.exists():
                digest = hashlib.sha256(self._path.read_bytes()).hexdigest()
                self._tell('finished', self._path.name, digest)
            self._wanted = 'start'


def main(told: str) -> None:
    """Publish until the process is killed."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    publisher = Publisher(Path(told))
    while True:
        publisher.speak()


if __name__ == '__main__':
    main(*sys.argv[1:])
