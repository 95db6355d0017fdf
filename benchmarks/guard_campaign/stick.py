# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`ControllerMachine` whose joints, or tool, a person moves by velocities."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from guard_campaign.machine import (
    COUNTS,
    JITTERS,
    ControllerMachine,
    chain_urdf,
    random_values,
)  # fmt: skip
from motion_policy.control import Command, Controller
from motion_policy.control.teleoperation import Teleoperation
from motion_policy.control.tool_follower import JointFollower, ToolFollower
from motion_policy.rehearsal.judge import Float64Array

ODD = (np.nan, np.inf, -np.inf, 5e-324, -1e-200, 1e-9, 1e30, -1e300, 0.0)
LINEAR, ANGULAR = 0.3, 1.0  # m/s and rad/s


class StickMachine(ControllerMachine):
    """Half of the arms are planar chains whose tool is moved, the others have joints that are."""

    def random_values(self, seed: int, rng: np.random.Generator) -> dict[str, Any]:
        """The robot of the seed, with a stick."""
        values, apart = random_values(rng), np.random.default_rng((seed, 4))
        names, gripper = values['joints']['names'], list(values['joints']['grippers'])
        moved = [name for name in names if name not in gripper]
        if moved and apart.random() < 0.5:
            links = apart.uniform(0.05, 0.4, len(moved)).tolist()
            values['tool'] = {'link': 'tip', 'urdf': chain_urdf(moved, links)}
            axes = {'linear.x': 0, 'linear.y': 1, 'angular.z': 2}
        else:
            axes = {name: number for number, name in enumerate(moved)}
        if axes:
            values['teleop'] = {'joy': {'axes': axes, 'dead_man': 0}}
        return values

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        """A new robot that stands, and a stick that is let go."""
        super().begin(seed)
        robot = self.robot
        self.controller = Controller(
            robot, robot.period_ns, interpolation='hold', auto_resume_s=self.auto_resume_s,
            guard=self.controller.guard,
        )  # fmt: skip
        self.rows = 1
        self.follower: ToolFollower | JointFollower | None = None
        if robot.teleop is None or robot.teleop.joy is None:
            return
        joy = robot.teleop.joy
        if joy.of_tool:
            self.follower = ToolFollower(robot, robot.teleop, LINEAR, ANGULAR)
            self.full = np.array([LINEAR] * 3 + [ANGULAR] * 3) * (1, 1, 0, 0, 0, 1)
        else:
            self.follower = JointFollower(robot, robot.teleop, tuple(joy.axes))
            self.full = np.ones(len(joy.axes))
        self.teleoperation = Teleoperation(self.controller, self.follower)
        self.stick = np.zeros(len(self.full))

    @rule()
    def turn_the_axes(self) -> None:
        """Velocities are along the axes of the tool from now on, or of the root link."""
        if isinstance(self.follower, ToolFollower):
            self.follower.in_tool = not self.follower.in_tool

    @rule(close=st.booleans())
    def grip(self, close: bool) -> None:
        """Close what can be, or open it."""
        if self.follower is not None and self.robot.joints.grippers:
            self.follower.grip(close)

    @rule(kind=st.sampled_from(('let go', 'full', 'small', 'odd')))
    def push(self, kind: str) -> None:
        """The person, or the driver of the stick, does something."""
        if self.follower is None:
            return
        rng, count = self.rng, len(self.full)
        if kind == 'odd':
            self.stick = np.asarray(rng.choice(ODD, count))
        elif kind == 'let go':
            self.stick = np.zeros(count)
        else:
            most = 2.0 if kind == 'full' else 0.1
            self.stick = rng.uniform(-most, most, count) * self.full

    @rule(count=st.integers(20, 200), kind=st.sampled_from(tuple(JITTERS)))
    def drive_around(self, count: int, kind: str) -> None:
        """The stick is never still, and the arm is enabled again when it stopped."""
        self.tick(1, 'on time', answers=False, enables=True)
        for _ in range(count if self.controller.enabled else 0):
            if self.rng.random() < 0.1:
                self.push(str(self.rng.choice(('full', 'small', 'let go', 'full'))))
            self.tick(1, kind, answers=False, enables=False)

    def command_in_tick(
        self, measured: Float64Array | None, faults: dict[str, str], doubts: dict[str, str]
    ) -> Command | None:
        """The command of a tick in which the arm is moved by the stick."""
        controller = self.controller
        controller.look(self.now_ns, faults, doubts, steady_ns=self.steady_ns)
        if self.follower is not None:
            self.follower.see(self.stick)
            self.teleoperation.give(self.now_ns)
            moves = controller.state == 'run' and self.follower.moving
            COUNTS['ticks moved'] += moves
            COUNTS['ticks of a tool moved'] += moves and isinstance(self.follower, ToolFollower)
        command = controller.command(self.now_ns, measured, steady_ns=self.steady_ns)
        assert 'the action holds' not in controller.reason, controller.reason
        return command
