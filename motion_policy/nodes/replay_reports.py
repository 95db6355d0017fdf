# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Tells how an arm followed an episode: in the log, on `/diagnostics`, and in a file if wanted.

Rule: it is computed when the arm stands, since nothing may wait for that while it moves.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from motion_policy.control import Controller
from motion_policy.control.replay_tracking import JointTracking, ReplayReport, ReplayTrace
from motion_policy.episodes.quality.numbers import EpisodeNumbers
from motion_policy.errors import UserError
from motion_policy.files import check_output_folder, make_folder, write_json
from motion_policy.nodes import diagnostics

TELL_PERIOD_S = 0.1


class ReplayReports:
    """Those of the replays of one episode; `numbers` are what was recorded.

    Attributes:
        place: the row of the episode where the arm is; None where it does not follow it.
    """

    def __init__(
        self,
        node: Node,
        controller: Controller,
        episode: Path,
        numbers: EpisodeNumbers,
        directory: str,
    ) -> None:
        self._node = node
        self._controller = controller
        self._episode = episode
        self._numbers = numbers
        self._folder = Path(directory).expanduser() if directory else None
        if self._folder is not None:
            check_output_folder(self._folder)
        self.place: float | None = None
        self._ended: deque[tuple[ReplayTrace, str]] = deque()
        self._last: ReplayReport | None = None
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(TELL_PERIOD_S, self.tell, clock=steady)

    def finish(self, trace: ReplayTrace, end: str) -> None:
        """Take what was noted until an end; called in the tick thread."""
        self.place = None
        if len(trace):
            self._ended.append((trace, end))

    def tell(self) -> None:
        """Tell of what has ended, once the arm stands."""
        while self._ended and self._controller.state == 'disabled':
            trace, end = self._ended.popleft()
            report = trace.report(self._numbers, end)
            if report is not None:
                self._last = report
                for line in report.lines():
                    self._node.get_logger().info(line)
                self._write(report)

    def statuses(self) -> list[DiagnosticStatus]:
        """Where in the episode the arm is, and how it followed the last time."""
        report, place = self._last, self.place
        values: diagnostics.Values = {}
        if place is not None:
            values['place [s]'] = max(0.0, place * self._numbers.period_s)
        if report is not None:
            values['altered commands [%]'] = 100.0 * report.altered_share
            for joint in report.joints:
                values |= _values(joint)
        told = 'not played yet' if report is None else report.summary()
        return [
            diagnostics.status(
                f'{self._node.get_fully_qualified_name()}: replay', self._numbers.robot.name,
                told if place is None else 'playing', values,
            )
        ]  # fmt: skip

    def _write(self, report: ReplayReport) -> None:
        if self._folder is None:
            return
        content = {
            'episode': str(self._episode), 'robot': self._controller.robot.name,
            **report.to_json(),
        }  # fmt: skip
        try:
            path = _free_name(make_folder(self._folder), f'{self._episode.stem}_replay')
            write_json(path, content)
            self._node.get_logger().info(f'written: {path}')
        except UserError as error:
            self._node.get_logger().error(f'no file of the tracking error: {error}')


def _free_name(folder: Path, stem: str) -> Path:
    number = 0
    while (path := folder / f'{stem}_{number:03d}.json').exists():
        number += 1
    return path


def _values(joint: JointTracking) -> diagnostics.Values:
    name, unit = joint.name, joint.unit
    values = {
        f'RMSE of {name} from the recording [{unit}]': joint.rmse,
        f'greatest error of {name} from the recording [{unit}]': joint.max,
    }
    for when, following in (('', joint.now), (' when recorded', joint.then)):
        if following is not None:
            values[f'RMSE of {name} from its commands{when} [{unit}]'] = following.rmse
            if following.delay_s is not None:
                values[f'delay of {name}{when} [s]'] = following.delay_s
    return {key: f'{value:.5f}' for key, value in values.items()}
