# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Two emergency stops, each a node of its own, and a joystick with a dead-man button.

All of them repeat what they say, as such things do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sensor_msgs.msg import Joy
from std_msgs.msg import Bool

if TYPE_CHECKING:
    from fault_campaign.harness import Harness

STEPS_PER_MESSAGE = 5  # of the scene, 10 ms each
NAMES = ('left_button', 'right_button')


class Switches:
    """What the people beside the arm hold; safe, and held, from the beginning."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self.pressed = dict.fromkeys(NAMES, False)
        self.silent: set[str] = set()
        self.held = True
        self.repeats = False  # the link is dead: one message again and again
        self.last_joy_ns = 0
        self._nodes: dict[str, tuple[Any, Any]] = {}
        for name in NAMES:
            self.come(name)
        self._joy = harness.node.create_publisher(Joy, 'joy', 10)
        self._message = Joy(axes=[], buttons=[0])
        self.lost = False  # the joystick says nothing
        harness.scene.each_step = self.step

    def come(self, name: str) -> None:
        """A button's node begins to publish."""
        node = self._harness.new_node(name)
        self._nodes[name] = node, node.create_publisher(Bool, 'emergency_stop', 10)

    def go(self, name: str) -> None:
        """A button's node ends."""
        node, _ = self._nodes.pop(name)
        self._harness.remove_node(node)

    def make_safe(self) -> None:
        """All is well again, and the dead-man button was let go and is held."""
        for name in NAMES:
            if name not in self._nodes:
                self.come(name)
        self.pressed = dict.fromkeys(NAMES, False)
        self.silent.clear()
        self.held = self.repeats = self.lost = False
        self.tell()
        self._harness.spin(0.15)
        self.held = True
        self.tell()

    def step(self) -> None:
        """Repeat what was said, twenty times a second."""
        if self._harness.scene.steps % STEPS_PER_MESSAGE == 0:
            self.tell()

    def tell(self) -> None:
        """Say how everything is."""
        for name, (_, publisher) in self._nodes.items():
            if name not in self.silent:
                publisher.publish(Bool(data=self.pressed[name]))
        if self.lost:
            return
        if not self.repeats:
            seconds, rest = divmod(time.time_ns(), 1_000_000_000)
            self._message = Joy(axes=[], buttons=[int(self.held)])
            self._message.header.stamp.sec, self._message.header.stamp.nanosec = seconds, rest
            self.last_joy_ns = time.time_ns()
        self._joy.publish(self._message)
