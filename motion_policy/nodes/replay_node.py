# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Plays the actions of a recorded episode on the arm, through the controller of the policy node.

It starts with a ramp to the first action and ends at the last one, like a policy that is disabled:
at rest. However it ends, it tells how each joint followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from motion_policy.control import Command
from motion_policy.control.episode_playback import EpisodePlayback
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.replay_tracking import ReplayTrace
from motion_policy.episodes import EpisodeReader
from motion_policy.episodes.quality.numbers import EpisodeNumbers
from motion_policy.errors import UserError
from motion_policy.nodes.action_source import ActionSource
from motion_policy.nodes.arm_driver import (
    ArmDriver,
    declare_arm_parameters,
    make_controller,
)
from motion_policy.nodes.arm_services import ArmServices
from motion_policy.nodes.parameters.arm import ControlParameters
from motion_policy.nodes.parameters.declaring import declare_group, read_group
from motion_policy.nodes.parameters.episodes import ReplayParameters
from motion_policy.nodes.realtime import prepare_thread_beside_tick, realtime_settings
from motion_policy.nodes.replay_reports import ReplayReports
from motion_policy.nodes.shell import run_node
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.streams import Row

NANOSECONDS_PER_S = 1_000_000_000


class ReplayNode(Node, ActionSource):
    """`~/enable` plays from the start, `~/reset` goes back to the start."""

    def __init__(self, **options: Any) -> None:
        super().__init__('replay_node', **options)
        declare_group(self, ReplayParameters)
        declare_arm_parameters(self)
        parameters = read_group(self, ReplayParameters)
        path = parameters.episode
        if not path:
            raise UserError("parameter 'episode' is empty, expected an episode file")
        if not parameters.robot:
            raise UserError(
                "parameter 'robot' is empty, expected the spec of the arm at hand, a name or a "
                'YAML file: its limits hold, not those that an episode was recorded with'
            )
        robot = load_robot_spec(parameters.robot)
        recorded, actions = read_recording(Path(path), robot)
        rate_hz = recorded.robot.rate
        controller = make_controller(self, robot, round(NANOSECONDS_PER_S / rate_hz))
        self._robot = robot
        self._playback = EpisodePlayback(controller, actions)
        self._trace = ReplayTrace(robot)
        self._end = ''  # of what is played, where it is another one than the controller's
        self._reports = ReplayReports(
            self, controller, Path(path), recorded, parameters.report_directory
        )
        self._driver = ArmDriver(self, robot, controller, self)
        self._driver.activate()
        ArmServices(self, self._enable, self._driver.disable, self._reset, self._driver.home)
        self.get_logger().info(
            f"{path}: {len(actions)} actions at {rate_hz:g} Hz for '{robot.name}'"
        )

    def prepare_thread(self) -> None:
        """Be quick in the thread that serves the callbacks: it calls this before it does."""
        prepare_thread_beside_tick(realtime_settings(read_group(self, ControlParameters).realtime))

    def close(self) -> None:
        """Brake and hold if the arm moves; tell how it followed until then."""
        self._end = 'the node ended'
        self._driver.destroy()
        self._reports.tell()

    def _enable(self) -> str:
        if not self._driver.controller.enabled:
            self._rewind('disabled')
        return self._driver.enable()

    def _reset(self) -> str:
        self._rewind('reset')
        return self._driver.reset()

    def _rewind(self, end: str) -> None:
        with self._driver.lock_in_time():
            self._playback.rewind()
            self._end = end

    def action_due(self, row: Row) -> None:
        """Give the rows that are due at the row's time; called in the tick thread."""
        with self._driver.lock:
            if self._playback.give_actions(row.time_ns):
                return
            self._end = 'played'
            self._driver.disable()
        self.get_logger().info('the episode is played')

    def after_tick(self, row: Row, command: Command | None) -> None:
        """Note how the arm follows, and the end of that; called in the tick thread."""
        with self._driver.lock:
            controller = self._driver.controller
            end, self._end = self._end, ''
            if end or not controller.enabled or controller.homing:
                homing = 'driven home' if controller.homing else 'disabled'
                self._reports.finish(self._trace, end or controller.reason or homing)
                self._trace = ReplayTrace(self._robot)
                return
            self._note(row, command)

    def _note(self, row: Row, command: Command | None) -> None:
        controller, measured = self._driver.controller, self._driver.measured(row)
        pace, plan_ns = controller.pace, controller.plan_time_ns(row.time_ns)
        place = self._playback.place(plan_ns)
        self._reports.place = place
        follows = command is not None and command.state == 'run' and pace > 0
        if command is None or measured is None or place is None or not follows:
            self._trace.interrupt()
            return
        wanted = controller.buffer.target(plan_ns)
        if wanted is not None:
            wanted = np.where(self._robot.joints.are_velocities, pace * wanted, wanted)
        if 0 <= place <= self._playback.last_place:
            self._trace.add(
                row.time_ns, place, pace, *measured, command.position, wanted, command.violations
            )

    def statuses(self) -> list[DiagnosticStatus]:
        """How far it is, and how the arm followed the last time."""
        return self._reports.statuses()


def read_recording(path: Path, robot: RobotSpec) -> tuple[EpisodeNumbers, Float64Array]:
    """Read what was measured in an episode, and the actions (T, J) to play on a robot.

    UserError when the episode is for other joints than the robot's.
    """
    with EpisodeReader(path) as episode:
        if tuple(episode.joint_names) != tuple(robot.joints.names):
            raise UserError(
                f'{path}: has joints [{", ".join(episode.joint_names)}], but '
                f"'{robot.name}' has [{', '.join(robot.joints.names)}]"
            )
        then, now = (set(each.joints.velocities) for each in (episode.robot, robot))
        for name in sorted(then ^ now):
            words = ['positions', 'velocities']
            raise UserError(
                f"{path}: has {words[name in then]} of joint '{name}', but '{robot.name}' is sent "
                f'{words[name in now]} of it'
            )
        return EpisodeNumbers.of(episode), episode.action.astype(np.float64)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; see `ros2 param describe` for its parameters."""
    return run_node(ReplayNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
