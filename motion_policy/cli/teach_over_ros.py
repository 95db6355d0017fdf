# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Teaching over ROS topics: the scripted teacher demonstrates, the recorder records.

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
from motion_policy.evaluation.scenes import Scene
from motion_policy.nodes.scene_client import SceneClient, SceneError
from motion_policy.robot import load_robot_spec

ATTEMPTS = 8
SLOW_DOWN, SLOWEST = 0.8, 0.5
OLDEST_SAMPLE_S = 0.1  # half of what the recorder takes; a camera period is 0.04
DEMONSTRATION_TIMEOUT_S = 30.0  # simulated
SUCCESS_TIMEOUT_S = 1.0  # simulated, after the end of the demonstration


@dataclass(frozen=True)
class Session:
    """What is taught over ROS topics.

    Attributes:
        out: folder of the episodes, made when needed.
        scene: the simulated task, one that sim_node has.
        positions: where the object stands: names of the scene, 'random', or a place in metres.
        per_position: demonstrations at each position.
        speed: simulated seconds per second.
        seed: fixes the variation of scene and teacher.
        task: noted in the episodes.
    """

    out: Path
    scene: Scene
    positions: tuple[str, ...]
    per_position: int
    speed: float
    seed: int
    task: str


def teach_over_ros(session: Session, console: Console) -> int:
    """Record all demonstrations; 0 when every one succeeded in the end, else 1."""
    check_positions(session.scene, session.positions)
    with NodeProcesses() as processes:
        _start_nodes(processes, session)
        try:
            with SceneClient(load_robot_spec(session.scene.robot), processes.check) as scene:
                _Lesson(scene, session, console).give()
                return 0
        except (NodeDiedError, SceneError) as error:
            processes.keep_logs = True
            console.print(f'failed: {error}', style='red', markup=False, soft_wrap=True)
            console.print(f'logs: {processes.log_dir}', markup=False, soft_wrap=True)
            return 1


def check_positions(scene: Scene, positions: Sequence[str]) -> None:
    """Refuse a position that the scene does not have, before anything is started."""
    sim = scene.make()
    for position in positions:
        sim.reset(position)


def _start_nodes(processes: NodeProcesses, session: Session) -> None:
    robot, scene = session.scene.robot, session.scene.nodes
    simulated = {'robot': robot, 'use_sim_time': True}
    processes.start_node(
        'sim_node',
        {
            'scene': scene,
            'robot': robot,
            'seed': session.seed,
            'publish_clock': True,
            'real_time_factor': float(session.speed),
        },
    )
    processes.start_node('demonstrator_node', {**simulated, 'scene': scene, 'seed': session.seed})
    processes.start_node(
        'recorder_node',
        {
            **simulated,
            'directory': str(session.out.absolute()),
            'task': session.task,
            'operator': 'scripted expert',
            'sim': True,
            'reliable': True,
        },
    )


class _Lesson:
    """All demonstrations, position after position in turn."""

    def __init__(self, scene: SceneClient, session: Session, console: Console) -> None:
        self._scene = scene
        self._session = session
        self._console = console
        self._done = scene.latch('demonstrator_node/done')
        self._stopped = ''
        self._speed = session.speed
        self._trouble = scene.trouble('recorder_node/status')

    def give(self) -> None:
        """Record every demonstration; SceneError when one does not succeed at all."""
        count = self._session.per_position * len(self._session.positions)
        positions = list(self._session.positions) * self._session.per_position
        for number, position in enumerate(positions, 1):
            line = self._demonstrate(position)
            self._console.print(f'{number}/{count}  {line}', markup=False, soft_wrap=True)
        self._console.print(
            f'{count} demonstrations in {self._session.out}', markup=False, soft_wrap=True
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
        done = self._trouble.now or scene.wait(scene.success.rose, 'success', SUCCESS_TIMEOUT_S)
        reason = self._stop() if done else 'the task was not done'
        if reason:
            scene.trigger('recorder_node/discard')
        else:
            scene.trigger('recorder_node/mark_success')
        return reason

    def _stop(self) -> str:
        """Finish the episode; return why it is not good enough, after which all goes slower."""
        try:
            self._stopped = self._scene.trigger('recorder_node/stop')
            age_s = _oldest_sample_s(list_episodes(self._session.out)[-1])
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
