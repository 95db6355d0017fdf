# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy teach`: record demonstrations of the scripted teacher over ROS topics.

Simulated arm, teacher and recorder are the nodes of a real session, in processes of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from motion_policy.cli.processes import NodeDiedError, NodeProcesses
from motion_policy.episodes import EpisodeReader, list_episodes
from motion_policy.errors import UserError
from motion_policy.nodes.scene_client import SceneClient, SceneError
from motion_policy.robot import load_robot_spec
from motion_policy.simulation import TabletopSim

ROBOT = 'tabletop_sim'
ATTEMPTS = 8
SLOW_DOWN, SLOWEST = 0.8, 0.5
OLDEST_SAMPLE_S = 0.1  # half of what the recorder takes; a camera period is 0.04
DEMONSTRATION_TIMEOUT_S = 30.0  # simulated
SUCCESS_TIMEOUT_S = 1.0  # simulated, after the end of the demonstration


@dataclass(frozen=True)
class Arguments:
    """Let the scripted teacher demonstrate `grasp` and record it; failed ones are done again."""

    out: Path
    """Folder of the episodes, made when needed."""

    positions: tuple[str, ...] = ('A', 'C', 'E')
    """Where the cube stands: A..E, 'random', or metres on the line."""

    per_position: int = 12
    """Demonstrations at each position."""

    speed: float = 2.0
    """Simulated seconds per second."""

    seed: int = 0
    """Fixes the variation of scene and teacher."""

    task: str = 'grasp'
    """Noted in the episodes."""


def run(arguments: Arguments) -> int:
    """Record all demonstrations; 0 when every one succeeded in the end, else 1."""
    if arguments.per_position < 1:
        raise UserError(f'--per-position is {arguments.per_position}, expected at least 1')
    check_positions(arguments.positions)
    console = Console()
    with NodeProcesses() as processes:
        _start_nodes(processes, arguments)
        try:
            with SceneClient(load_robot_spec(ROBOT), processes.check) as scene:
                _Lesson(scene, arguments, console).give()
                return 0
        except (NodeDiedError, SceneError) as error:
            processes.keep_logs = True
            console.print(f'failed: {error}', style='red', markup=False, soft_wrap=True)
            console.print(f'logs: {processes.log_dir}', markup=False, soft_wrap=True)
            return 1


def check_positions(positions: Sequence[str]) -> None:
    """Refuse a position that the scene does not have, before anything is started."""
    sim = TabletopSim()
    for position in positions:
        sim.reset(position)


def _start_nodes(processes: NodeProcesses, arguments: Arguments) -> None:
    simulated = {'robot': ROBOT, 'use_sim_time': True}
    processes.start_node(
        'sim_node',
        {
            'robot': ROBOT,
            'seed': arguments.seed,
            'publish_clock': True,
            'real_time_factor': float(arguments.speed),
        },
    )
    processes.start_node('demonstrator_node', {**simulated, 'seed': arguments.seed})
    processes.start_node(
        'recorder_node',
        {
            **simulated,
            'directory': str(arguments.out.absolute()),
            'task': arguments.task,
            'operator': 'scripted expert',
            'sim': True,
            'reliable': True,
        },
    )


class _Lesson:
    """All demonstrations, position after position in turn."""

    def __init__(self, scene: SceneClient, arguments: Arguments, console: Console) -> None:
        self._scene = scene
        self._arguments = arguments
        self._console = console
        self._done = scene.latch('demonstrator_node/done')
        self._stopped = ''
        self._speed = arguments.speed
        self._trouble = scene.trouble('recorder_node/status')

    def give(self) -> None:
        """Record every demonstration; SceneError when one does not succeed at all."""
        count = self._arguments.per_position * len(self._arguments.positions)
        positions = list(self._arguments.positions) * self._arguments.per_position
        for number, position in enumerate(positions, 1):
            line = self._demonstrate(position)
            self._console.print(f'{number}/{count}  {line}', markup=False, soft_wrap=True)
        self._console.print(
            f'{count} demonstrations in {self._arguments.out}', markup=False, soft_wrap=True
        )

    def _demonstrate(self, position: str) -> str:
        """Record one success at `position`; a failure is discarded and done again."""
        reason = ''
        for _ in range(ATTEMPTS):
            try:
                reason = self._attempt(position)
            except BaseException:
                # Half a demonstration would be mistaken for a whole one.
                with suppress(SceneError, NodeDiedError):
                    self._scene.trigger('recorder_node/discard')
                raise
            if not reason:
                return f'{position}  {self._stopped}'
            self._console.print(
                f'again, at {self._speed:.2g} x real time: {reason}', markup=False, soft_wrap=True
            )
        raise SceneError(f'position {position}: {ATTEMPTS} attempts failed, the last: {reason}')

    def _attempt(self, position: str) -> str:
        """Record one demonstration; return why it was discarded, empty when it was kept."""
        scene = self._scene
        scene.reset_scene(position)
        scene.until_accepted(lambda: scene.trigger('recorder_node/start'))
        self._done.clear()
        scene.until_accepted(lambda: scene.trigger('demonstrator_node/start'))
        scene.wait(
            lambda: self._done.rose() or self._trouble.now,
            'demonstrator_node/done',
            DEMONSTRATION_TIMEOUT_S,
        )
        lifted = self._trouble.now or scene.wait(scene.success.rose, 'success', SUCCESS_TIMEOUT_S)
        reason = self._stop() if lifted else 'the cube was not lifted'
        if reason:
            scene.trigger('recorder_node/discard')
        else:
            scene.trigger('recorder_node/mark_success')
        return reason

    def _stop(self) -> str:
        """Finish the episode; return why it is not good enough, after which all goes slower."""
        try:
            self._stopped = self._scene.trigger('recorder_node/stop')
            age_s = _oldest_sample_s(list_episodes(self._arguments.out)[-1])
            if age_s <= OLDEST_SAMPLE_S or self._speed <= 1.0:
                return ''
            reason = f'this machine cannot follow, samples were up to {age_s:.2f} s old'
        except SceneError as error:
            reason = str(error)
        self._speed = max(self._speed * SLOW_DOWN, SLOWEST)
        self._scene.set_parameter('sim_node', 'real_time_factor', self._speed)
        return reason


def _oldest_sample_s(path: Path) -> float:
    """Return the greatest age of a sample in any row of an episode."""
    with EpisodeReader(path) as episode:
        ages_ns = [episode.stamps(name).age_ns.max() for name in episode.robot.stream_names]
    return float(max(ages_ns)) * 1e-9
