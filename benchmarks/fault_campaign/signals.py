# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Streams beside the arm (wrench, skin, depth) and the action server of its hand.

A fault stands between a message and its topic, as those of the scene do. Closing and opening are
told by the goals that come: the simulated fingers stay where they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from geometry_msgs.msg import WrenchStamped
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import Image
from std_msgs.msg import Float32MultiArray
from test_msgs.action import NestedMessage

from fault_campaign.scene import STEPS_PER_IMAGE, TabletopOnWire, time_message
from motion_policy.robot import RobotSpec
from motion_policy.streams import stamp_ns

# What is published in place of a message of a stream.
Fault = Callable[[Any], Sequence[Any]]
Mode = Literal['obeys', 'slow', 'hangs', 'aborts', 'rejects', 'is silent']
TAKES_S: dict[Mode, float] = {'obeys': 0.1, 'aborts': 0.1, 'slow': 0.8, 'hangs': float('inf')}
FAR_MM, SWAY_MM, NOISE_MM = 700, 100, 3  # of what a depth camera sees
PRESS_N = 5.0
TAXELS = 4  # of the skin


class Hand:
    """Serves the action `name`.

    Attributes:
        mode: what it does with goals.
        goals: when they came, and for which position.
        accepted_ns: when the last one was accepted.
    """

    def __init__(self, node: Node, name: str) -> None:
        self.mode: Mode = 'obeys'
        self.goals: list[tuple[int, float]] = []
        self.accepted_ns = 0
        self._node, self._name = node, name
        self._server: ActionServer | None = None
        self._running: list[tuple[float, Mode, Any]] = []
        self._how = 'succeed'
        self._later: Future[None] | None = None
        self.serve()

    def serve(self) -> None:
        """Be there."""
        self._server = ActionServer(
            self._node, NestedMessage, self._name, self._execute, goal_callback=self._take,
            handle_accepted_callback=self._accept, cancel_callback=lambda _: CancelResponse.ACCEPT,
        )  # fmt: skip

    def go(self) -> None:
        """Be gone, whatever is under way."""
        if self._server is not None:
            self._server.destroy()
        self._server, self._running = None, []

    def make_safe(self) -> None:
        """Be there and obey; answer what was not answered."""
        self.mode = 'obeys'
        if self._later is not None:
            self._later.set_result(None)
            self._later = None
        if self._server is None:
            self.serve()

    def step(self) -> None:
        """End goals that are over."""
        for entry in list(self._running):
            since_s, mode, handle = entry
            cancelled = handle.is_cancel_requested
            if cancelled or time.monotonic() - since_s >= TAKES_S[mode]:
                self._running.remove(entry)
                self._how = 'canceled' if cancelled else 'abort' if mode == 'aborts' else 'succeed'
                handle.execute()

    async def _take(self, goal: Any) -> GoalResponse:
        self.goals.append((time.time_ns(), goal.nested_field.float64_value))
        if self.mode == 'is silent':
            self._later = Future()
            await self._later
        return GoalResponse.REJECT if self.mode == 'rejects' else GoalResponse.ACCEPT

    def _accept(self, handle: Any) -> None:
        self.accepted_ns = time.time_ns()
        self._running.append((time.monotonic(), self.mode, handle))

    def _execute(self, handle: Any) -> Any:
        # A goal that is cancelled after it was over is none.
        how = self._how if handle.is_cancel_requested or self._how != 'canceled' else 'abort'
        getattr(handle, how)()
        return NestedMessage.Result()


class Signals:
    """Wrench at 100 Hz, skin at 50 Hz, depth at 25 Hz, with the noise that sensors have.

    Attributes:
        faults: by stream, while there are any.
        last: the last message of each, as it would have been without a fault.
        last_ns: when that was sent, or its stamp.
    """

    def __init__(self, node: Node, scene: TabletopOnWire, hand: Hand) -> None:
        self.faults: dict[str, Fault] = {}
        self.last: dict[str, Any] = {}
        self.last_ns: dict[str, int] = {}
        self.hand = hand
        self._scene = scene
        self._random = np.random.default_rng(0)
        robot = scene.robot
        self._depth = robot.depth['top']
        kinds: dict[str, tuple[Any, str]] = {
            'wrench': (WrenchStamped, robot.vectors['wrench'].topic),
            'skin': (Float32MultiArray, robot.vectors['skin'].topic),
            'depth_top': (Image, self._depth.topic),
        }
        self._publishers = {
            stream: node.create_publisher(kind, topic, 10)
            for stream, (kind, topic) in kinds.items()
        }
        self._make: dict[str, Callable[[], Any]] = {
            'wrench': self._wrench, 'skin': self._skin, 'depth_top': self._distances,
        }  # fmt: skip

    def step(self) -> None:
        """Publish what is due in this step of the scene."""
        self.hand.step()
        for stream, steps in (('wrench', 1), ('skin', 2), ('depth_top', STEPS_PER_IMAGE)):
            if self._scene.steps % steps == 0:
                self.publish(stream)

    def publish(self, stream: str) -> None:
        """Publish a message of now."""
        message = self._make[stream]()
        fault = self.faults.get(stream)
        for part in fault(message) if fault else (message,):
            self._publishers[stream].publish(part)
        if fault is None:
            self.last[stream] = message
            has_stamp = hasattr(message, 'header')
            self.last_ns[stream] = stamp_ns(message) if has_stamp else time.time_ns()

    def max_age_ns(self, stream: str) -> int:
        """How old a message may be."""
        robot: RobotSpec = self._scene.robot
        spec = self._depth if stream == 'depth_top' else robot.vectors[stream]
        return round(spec.max_age * 1e9)

    def _wrench(self) -> WrenchStamped:
        message = WrenchStamped()
        message.header.stamp = time_message(self._scene.now_ns)
        message.wrench.force.x, message.wrench.force.y = (
            PRESS_N + self._random.normal(0, 0.05, 2)
        ).tolist()
        return message

    def _skin(self) -> Float32MultiArray:
        return Float32MultiArray(data=self._random.normal(1.0, 0.02, TAXELS).tolist())

    def _distances(self) -> Image:
        height, width = self._depth.height, self._depth.width
        phase = 0.05 * self._scene.steps + np.arange(width) / 10
        image = np.tile(FAR_MM + SWAY_MM * np.sin(phase), (height, 1))
        image += self._random.integers(0, NOISE_MM, image.shape)
        return depth_message(image.astype(np.uint16), time_message(self._scene.now_ns))


def depth_message(image: np.ndarray[Any, Any], stamp: Any) -> Image:
    """Return distances (H, W) uint16 [mm] as a message."""
    height, width = image.shape
    message = Image(height=height, width=width, encoding='16UC1', step=2 * width)
    message.header.stamp = stamp
    message.data.frombytes(np.ascontiguousarray(image).astype('<u2').tobytes())
    return message
