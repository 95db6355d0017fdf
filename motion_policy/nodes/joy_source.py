# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A gamepad or SpaceMouse: velocities while its dead-man button is held, and its other buttons.

A Joy that is silent cannot be told from one that is dead: nothing is wanted then.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Joy

from motion_policy.control.joy_stick import JoyStick
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.tool_follower import JointFollower, ToolFollower
from motion_policy.errors import UserError
from motion_policy.nodes import diagnostics
from motion_policy.nodes.stop_switches import held_button
from motion_policy.nodes.subscriptions import sensor_qos
from motion_policy.nodes.teleop_source import TeleopSource
from motion_policy.robot import RobotSpec
from motion_policy.robot.teleop import JoyLeader

GRIPS = ('close', 'open', 'toggle')
OF_NODE = ('faster', 'slower', 'home')


class JoySource(TeleopSource):
    """Hears `joy` of the spec and tells `follower`."""

    def __init__(
        self, node: Node, robot: RobotSpec, joy: JoyLeader,
        follower: ToolFollower | JointFollower,
    ) -> None:  # fmt: skip
        super().__init__(node, robot, 'joy', 'joy', follower, reliable=False)
        self._joy, self._mover = joy, follower
        self._stick = JoyStick(joy)
        self._nothing = np.zeros(6 if joy.of_tool else len(joy.axes))
        self._lock = threading.Lock()
        self._velocity: Float64Array | None = None  # as the newest message wants it
        self._problem, self._came_ns = '', 0
        self._pressed: deque[str] = deque(maxlen=16)
        self._requests: deque[str] = deque(maxlen=16)
        self._closed = False
        self._told = 'missing'
        self._switch, switch = held_button(node, joy.topic, joy.dead_man, joy.max_age)
        self._own: list[Any] = [
            switch, node.create_subscription(Joy, joy.topic, self._hear, sensor_qos())
        ]  # fmt: skip

    def _hear(self, message: Joy) -> None:
        problem, velocity = '', None
        try:
            velocity = self._stick.velocity(message.axes)
        except UserError as error:
            problem = str(error)
        pressed = self._stick.pressed(message.buttons)
        now_ns = self.node.get_clock().now().nanoseconds
        with self._lock:
            self._velocity, self._problem, self._came_ns = velocity, problem, now_ns
            self._pressed.extend(pressed)

    def look(self, now_ns: int) -> dict[str, str]:
        """Take in what is wanted by now; nothing but while the button is held."""
        released = self._switch.problem(time.monotonic_ns())
        with self._lock:
            velocity, self._told, came_ns = self._velocity, self._problem, self._came_ns
        if self._heard_ns.get('joy') != came_ns:
            self._heard_ns['joy'] = came_ns
            self._answers_ns = [came_ns]
        else:
            self._answers_ns = []
        self._told = self._told or released
        self._mover.see(self._nothing if velocity is None or self._told else velocity)
        return {}

    def obey(self, rest: Float64Array, *, enabled: bool) -> None:
        """Obey what was pressed while the dead-man button was held.

        A button lets nothing move that is not enabled, now or later.
        """
        with self._lock:
            pressed = list(self._pressed)
            self._pressed.clear()
        if self.let_go:
            return
        for key in pressed:
            if not enabled and key in (*GRIPS, 'home'):
                continue
            if key in GRIPS:
                self._closed = not self._closed if key == 'toggle' else key == 'close'
                self._mover.grip(self._closed)
            elif key == 'switch_frame' and isinstance(self._mover, ToolFollower):
                self._mover.in_tool = not self._mover.in_tool
            elif key in OF_NODE:
                self._requests.append(key)

    @property
    def let_go(self) -> bool:
        """Whether the dead-man button is not held; in any thread."""
        return bool(self._switch.problem(time.monotonic_ns()))

    def requests(self) -> list[str]:
        """What was pressed that the node does: `faster`, `slower`, `home`; each once."""
        found = []
        while self._requests:
            found.append(self._requests.popleft())
        return found

    def check(self, measured: Float64Array | None) -> None:
        """UserError while a velocity is wanted: the arm would set out at once."""
        if self._mover.moving:
            raise UserError(
                f'not enabled: {self.node.resolve_topic_name(self._joy.topic)}: an axis is away '
                'from its middle, expected it let go until the arm is enabled'
            )

    def check_topics(self) -> None:
        """Nothing: a Joy of another type is one that is not heard."""

    def start(self, rest: Float64Array) -> str:
        """The arm was enabled."""
        self._mover.stop(rest)
        return f'enabled: it moves while button {self._joy.dead_man} is held'

    def take_over(self, rest: Float64Array) -> str:
        """A person takes over."""
        self._mover.stop(rest)
        return f'the arm moves while button {self._joy.dead_man} is held'

    def grip(self, close: bool) -> str:
        """Close the gripper, or open it."""
        self._closed = close
        return self._mover.grip(close)

    def faults(self) -> dict[str, str]:
        """Axes that say no number."""
        return {'joy': self._problem} if self._problem else {}

    def told(self, position: Float64Array, *, enabled: bool) -> str:
        """Say in one line what the arm does."""
        if self._told:
            hint = ', or autorepeat_rate of joy_node too low' if 'silent' in self._told else ''
            return f'the arm stands: {self._told}{hint}'
        if not enabled:
            return 'not followed'
        return self._mover.slowed or ('moving' if self._mover.moving else 'the arm stands')

    def values(self, position: Float64Array) -> diagnostics.Values:
        """Which way it is read."""
        tool = self._mover if isinstance(self._mover, ToolFollower) else None
        frame = {} if tool is None else {'frame': 'tool' if tool.in_tool else 'root'}
        return {'moving': self._mover.moving, **frame}

    def destroy(self) -> None:
        """Remove the subscriptions from the node."""
        super().destroy()
        while self._own:
            self.node.destroy_subscription(self._own.pop())
