# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Plays the actions of a recorded episode on the arm, through the controller of the policy node.

It starts with a ramp to the first action and ends at the last one, like a policy that is disabled:
at rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node

from motion_policy.control.episode_playback import EpisodePlayback
from motion_policy.episodes import EpisodeReader
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
        robot, rate_hz, actions = read_actions(Path(path), parameters.robot)
        controller = make_controller(self, robot, round(NANOSECONDS_PER_S / rate_hz))
        self._playback = EpisodePlayback(controller, actions)
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
        """Brake and hold if the arm moves."""
        self._driver.destroy()

    def _enable(self) -> str:
        if not self._driver.controller.enabled:
            self._playback.rewind()
        return self._driver.enable()

    def _reset(self) -> str:
        self._playback.rewind()
        return self._driver.reset()

    def action_due(self, row: Row) -> None:
        """Give the rows that are due at the row's time; called in the tick thread."""
        with self._driver.lock:
            if self._playback.give_actions(row.time_ns):
                return
            self._driver.disable()
        self.get_logger().info('the episode is played')


def read_actions(path: Path, robot_name: str) -> tuple[RobotSpec, float, np.ndarray]:
    """Return the robot to drive, the episode's rate [Hz] and its actions (T, J) float64.

    UserError when the episode is for other joints than the named robot's.
    """
    with EpisodeReader(path) as episode:
        robot = load_robot_spec(robot_name)
        if tuple(episode.joint_names) != tuple(robot.joints.names):
            raise UserError(
                f'{path}: has joints [{", ".join(episode.joint_names)}], but '
                f"'{robot.name}' has [{', '.join(robot.joints.names)}]"
            )
        return robot, float(episode.rate), episode.action.astype(np.float64)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; see `ros2 param describe` for its parameters."""
    return run_node(ReplayNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
