# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Interface between the teleoperation node and what a person leads the arm by.

A leader, a stick or keys: each hears its topics, tells a follower, and says what is wrong.
"""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.teleoperation import TargetSource
from motion_policy.control.timing import RecentDurations
from motion_policy.errors import UserError
from motion_policy.nodes import diagnostics
from motion_policy.nodes.stream_check import StreamCheck
from motion_policy.nodes.subscriptions import StreamSubscriptions
from motion_policy.robot import RobotSpec
from motion_policy.streams import Row, Sampler

LATENCIES = 1000  # of the newest messages


class TeleopSource:
    """Streams of `robot` with one role, sampled in each tick.

    `look` and `obey` are called in the tick thread, once per tick; the others in the executor's
    thread, those that take `rest` with the driver's lock. `name` is what people know it by.
    """

    def __init__(
        self, node: Node, robot: RobotSpec, role: str, name: str, follower: TargetSource,
        *, reliable: bool,
    ) -> None:  # fmt: skip
        self.name, self.follower = name, follower
        self.node, self._robot = node, robot
        self._sampler = Sampler([s for s in robot.streams() if s.role == role])
        self.row: Row | None = None
        self._heard_ns: dict[str, int] = {}
        self._answers_ns: list[int] = []  # receptions that the next command answers
        self.latency = RecentDurations(LATENCIES)  # from reception to command
        self.subscriptions = StreamSubscriptions(
            node, robot, self._sampler, roles=(role,), reliable=reliable
        )
        self._check = StreamCheck(node, self.subscriptions, lambda: True)

    def observe(self, now_ns: int) -> Row:
        """Take in what was heard by now."""
        self._answers_ns.clear()
        with self.subscriptions.lock:
            row = self._sampler.observe(now_ns)
        for name, sample in row.samples.items():
            if self._heard_ns.get(name) != sample.receive_ns:
                self._heard_ns[name] = sample.receive_ns
                self._answers_ns.append(sample.receive_ns)
        self.row = row
        return row

    def answered(self, now_ns: int) -> None:
        """A command is out that follows what was looked at last."""
        for heard_ns in self._answers_ns:
            self.latency.add(now_ns - heard_ns)

    def look(self, now_ns: int) -> dict[str, str]:
        """Take in what was heard by now; return what lets the arm hold, by name."""
        raise NotImplementedError

    def obey(self, rest: Float64Array, *, enabled: bool) -> None:
        """Obey buttons, of an arm that will rest at (J,); one that is not enabled stands."""

    def check(self, measured: Float64Array | None) -> None:
        """UserError that says why an arm that is measured at (J,) must not be enabled."""
        raise NotImplementedError

    def check_topics(self) -> None:
        """UserError if a topic is published with other types than the spec's."""
        self._check.check_types()

    def start(self, rest: Float64Array) -> str:
        """The arm was enabled and stands at (J,); return what happens next."""
        raise NotImplementedError

    def take_over(self, rest: Float64Array) -> str:
        """A person takes over an arm that may move and will rest at (J,); return what is next.

        It is never refused: what is wrong with the source lets the arm stand, or hold.
        """
        return self.start(rest)

    def press(self, on: bool, rest: Float64Array | None) -> str:
        """Press the clutch, or release it; return what that leads to, UserError says why not.

        `rest` (J,) is where the arm will rest; None: it is not enabled.
        """
        raise UserError(f'{self.name} has no clutch')

    def grip(self, close: bool) -> str:
        """Close the gripper, or open it; return what that leads to, UserError says why not."""
        raise UserError(f'{self.name} has a joint for each gripper')

    @property
    def let_go(self) -> bool:
        """Whether somebody has to hold a button, and does not; in any thread."""
        return False

    def requests(self) -> list[str]:
        """What was asked for by buttons that the node does, each once: see `TeleopNode`."""
        return []

    def inspect(self) -> None:
        """Log what is odd about the publishers; about once per second."""
        self.subscriptions.check(self.row)

    def told(self, position: Float64Array, *, enabled: bool) -> str:
        """Say in one line how an arm at (J,) follows, or what is wrong."""
        raise NotImplementedError

    def faults(self) -> dict[str, str]:
        """What is wrong with the streams, as last looked at."""
        raise NotImplementedError

    def values(self, position: Float64Array) -> diagnostics.Values:
        """What else `/diagnostics` says, of an arm at (J,)."""
        raise NotImplementedError

    def off(self, position: Float64Array) -> dict[str, float]:
        """How far the leader is from an arm at (J,), by joint [rad or m]."""
        return {}

    def status(self, position: Float64Array, *, enabled: bool) -> DiagnosticStatus:
        """What `/diagnostics` says of an arm at (J,)."""
        faults = self.faults()
        values: diagnostics.Values = {
            **self.values(position),
            **diagnostics.stream_values(self.row, faults),
            **self.subscriptions.bad_messages.values(),
            **diagnostics.durations(f'{self.name} to command', self.latency),
        }
        whose = f'{self.node.get_fully_qualified_name()}: {self.name}'
        told = self.told(position, enabled=enabled)
        return diagnostics.status(whose, self._robot.name, told, values, not faults)

    def destroy(self) -> None:
        """Remove the subscriptions from the node."""
        self.subscriptions.destroy()
