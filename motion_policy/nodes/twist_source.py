# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Velocities of the tool on a topic: what is wanted in each tick.

Silence is no fault: a keyboard that nobody touches says nothing, and the arm stands.
"""

from __future__ import annotations

import time

import numpy as np
from rclpy.node import Node

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.switches import UNKNOWN, Speakers
from motion_policy.control.tool_follower import ToolFollower
from motion_policy.errors import UserError
from motion_policy.nodes import diagnostics
from motion_policy.nodes.endpoints import Origin, with_origin
from motion_policy.nodes.subscriptions import fields_of, message_class, sensor_qos
from motion_policy.nodes.teleop_source import TeleopSource
from motion_policy.robot import RobotSpec, VectorSpec
from motion_policy.robot.teleop import TwistLeader
from motion_policy.robot.twist import TWIST_IN
from motion_policy.streams.message_fields import with_known_fields

STREAM = 'twist'


class TwistSource(TeleopSource):
    """Hears `twist` of the spec and tells `follower`."""

    def __init__(
        self, node: Node, robot: RobotSpec, twist: TwistLeader, follower: ToolFollower,
        *, reliable: bool = False,
    ) -> None:  # fmt: skip
        parts = tuple(TWIST_IN[twist.type] + part for part in ('linear', 'angular'))
        vector = VectorSpec(
            topic=twist.topic, type=twist.type, fields=parts, max_age=twist.max_age,
            stamp=twist.stamp,
        )  # fmt: skip
        robot = robot.model_copy(update={'vectors': {STREAM: vector}})
        robot = with_known_fields(robot, fields_of)
        super().__init__(node, robot, 'vector', STREAM, follower, reliable=reliable)
        self._tool = follower
        self._speakers = Speakers(twist.max_age)
        self._several = (
            f'several publishers say how the tool moves ({node.resolve_topic_name(twist.topic)}), '
            'expected one'
        )
        self._who = node.create_subscription(
            message_class(twist.type), twist.topic, with_origin(self._hear), sensor_qos(),
            raw=True,
        )  # fmt: skip
        self._silent = 'missing'
        self._unusable, self._unusable_ns = 0, -1  # how many, and the sample that stood then

    def _hear(self, _data: bytes, origin: Origin) -> None:
        self._speakers.tell(origin.publisher or UNKNOWN, time.monotonic_ns())

    def look(self, now_ns: int) -> dict[str, str]:
        """Take in what is wanted by now; nothing where that is not known."""
        row = self.observe(now_ns)
        sample, counters = row.samples.get(STREAM), row.counters[STREAM]
        heard_ns = -1 if sample is None else sample.receive_ns
        if counters.unusable > self._unusable:
            self._unusable, self._unusable_ns = counters.unusable, heard_ns
        self._silent = row.faults.get(STREAM, '')
        if not self._silent and self._unusable and self._unusable_ns == heard_ns:
            self._silent = f'its newest message is unusable: {counters.reason}'
        if self._speakers.several(time.monotonic_ns()):
            self._silent = self._several
        known = sample is not None and not self._silent
        self._tool.see(sample.value if sample is not None and known else np.zeros(6))
        return dict(row.conflicts)

    def check(self, measured: Float64Array | None) -> None:
        """UserError while a velocity is wanted: the arm would set out at once."""
        if self._silent == self._several:
            raise UserError(f'not enabled: {self._silent}')
        if self._tool.wanted.any():
            raise UserError(
                f'not enabled: {self.subscriptions.describe(STREAM)}: wants the tool to move at '
                f'{self._tool.wanted.round(3).tolist()}, expected 0 until the arm is enabled'
            )

    def start(self, rest: Float64Array) -> str:
        """The arm was enabled."""
        self._tool.stop(rest)
        return 'enabled: the tool moves as the twist says'

    def take_over(self, rest: Float64Array) -> str:
        """A person takes over."""
        self._tool.stop(rest)
        return 'the tool moves as the twist says'

    def grip(self, close: bool) -> str:
        """Close the gripper, or open it."""
        return self._tool.grip(close)

    def faults(self) -> dict[str, str]:
        """Silence, and what cannot be used."""
        return {STREAM: self._silent} if self._silent else {}

    def told(self, position: Float64Array, *, enabled: bool) -> str:
        """Say in one line what the tool does."""
        if self._silent:
            return f'the tool stands: {self._silent}'
        if not enabled:
            return 'not followed'
        return self._tool.slowed or ('moving' if self._tool.wanted.any() else 'the tool stands')

    def values(self, position: Float64Array) -> diagnostics.Values:
        """What is wanted."""
        wanted = self._tool.wanted
        return {
            'wanted speed [m/s]': float(np.linalg.norm(wanted[:3])),
            'wanted turning [rad/s]': float(np.linalg.norm(wanted[3:])),
        }

    def destroy(self) -> None:
        """Remove the subscriptions from the node."""
        super().destroy()
        self.node.destroy_subscription(self._who)
