# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An arm that a controller drives tick by tick, and what it was told, judged in true time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from control_robots import formula_arm

from motion_policy.control import Command, Controller
from motion_policy.rehearsal.judge import Drive, Limits, breaches
from motion_policy.robot import RobotSpec

ROBOT = formula_arm()
TICK_NS = ROBOT.period_ns
POLICY_NS = 100_000_000
START_NS = 7_000_000_000
LIMITS = ROBOT.joints.limits
LOWER, UPPER = LIMITS.position_array().T
JUDGED_LIMITS = Limits(
    LIMITS.position_array(), LIMITS.velocity_array(), LIMITS.acceleration_array(), TICK_NS
)
HOME = np.array([0.1, 0.2, 0.3])
Answer = Callable[[int, np.ndarray], np.ndarray | None]


class Arm:
    """Drives a controller tick by tick; the measured position is the last command if it `follows`.

    `now_ns` is on a clock that tests may set, `steady_ns` is not.
    """

    def __init__(
        self,
        measured: np.ndarray = HOME,
        robot: RobotSpec = ROBOT,
        policy_ns: int = POLICY_NS,
        **options: object,
    ) -> None:
        self.controller = Controller(robot, policy_ns, **options)  # type: ignore[arg-type]
        self.now_ns = START_NS
        self.steady_ns = 0
        self.measured = np.array(measured)
        self.follows = True
        self.commands: list[Command] = []
        self.positions = [np.array(measured)]
        self.drives: list[Drive] = []
        self.faults: dict[str, str] = {}
        self.requests: list[int] = []

    def enable(self) -> None:
        self._begin(self.controller.enable)

    def go_home(self) -> None:
        self._begin(self.controller.go_home)

    def _begin(self, begin: Callable[[int, np.ndarray], None]) -> None:
        begins = self.controller.state == 'disabled'
        begin(self.now_ns, self.measured)
        if begins:
            self.drives.append(Drive(self.controller.guard.sent.copy()))

    def wait(self, nanoseconds: int) -> None:
        """Let time pass without a tick."""
        self.now_ns += nanoseconds
        self.steady_ns += nanoseconds

    def run(self, ticks: int, answer: Answer | None) -> list[Command]:
        """`answer(now_ns, measured)` gives the chunk of a request at once; None: no chunk."""
        first = len(self.commands)
        for _ in range(ticks):
            if self.controller.policy_due(self.now_ns):
                self.requests.append(self.now_ns)
                chunk = answer(self.now_ns, self.measured) if answer else None
                if chunk is not None:
                    self.controller.add_chunk(chunk, self.now_ns)
            command = self.controller.tick(
                self.now_ns, self.measured, self.faults, steady_ns=self.steady_ns
            )
            self._take(command)
            self.wait(TICK_NS)
        return self.commands[first:]

    def tick_and_then(self, answer: Callable[[int], None]) -> None:
        """One tick, and after its command what is due, as in a node without a policy."""
        controller = self.controller
        controller.look(self.now_ns, self.faults, steady_ns=self.steady_ns)
        due = controller.policy_due(self.now_ns)
        self._take(controller.command(self.now_ns, self.measured, steady_ns=self.steady_ns))
        if due:
            answer(self.now_ns)
        self.wait(TICK_NS)

    def _take(self, command: Command | None) -> None:
        if command is not None:
            self.commands.append(command)
            self.positions.append(command.position)
            self.drives[-1].add(self.steady_ns, command.position)
            if self.follows:
                self.measured = command.position

    def assert_safe(self) -> None:
        assert self.positions[1:]
        for drive in self.drives:
            assert not breaches(drive, JUDGED_LIMITS)


def stay(_now_ns: int, measured: np.ndarray) -> np.ndarray:
    return measured[None]


def steadily(now_ns: int, measured: np.ndarray) -> np.ndarray:
    return measured[None] + 0.02
