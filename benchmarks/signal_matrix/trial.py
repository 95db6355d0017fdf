# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One cell: recorded, imported from a bag of the same messages, trained one step, driven."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
from control_path.harness import FOLDER

from motion_policy.cli.processes import NodeProcesses
from motion_policy.episodes import check_episode, import_bag, list_episodes
from motion_policy.errors import UserError
from motion_policy.nodes.scene_client import SceneClient
from motion_policy.robot import load_robot_spec
from motion_policy.training import train_config
from motion_policy.training.train import train
from signal_matrix.cells import VECTORS, Cell, write_specs
from signal_matrix.hearing_recorder import BAG

LEAST_ROWS = 10
# What the policy of some cells predicts; of the others it is joints.
ACTION_SPACES = {
    'PoseStamped': 'tool_relative', 'JointState': 'joints_relative', 'Float64': 'tool',
    'Twist of a base': 'joints_relative',
}  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """What a cell came to; `broken` are lines on what went wrong."""

    rows: int
    values: int
    commands: int
    broken: tuple[str, ...]


def run_cell(cell: Cell, seconds: float) -> Figures:
    """Record and drive for so many seconds."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        spec, driver = write_specs(cell, folder)
        trial = _Trial(cell, seconds, folder, spec, driver)
        try:
            trial.record()
            trial.compare()
            trial.train()
            trial.drive()
        except Exception as error:  # of a node or a command, whatever it is: the cell is broken
            trial.broken.append(' '.join(f'{type(error).__name__}: {error}'.split()))
        return Figures(trial.rows, trial.values, trial.commands, tuple(trial.broken))


class _Trial:
    def __init__(self, cell: Cell, seconds: float, folder: Path, spec: Path, driver: Path) -> None:
        self._cell, self._seconds, self._folder = cell, seconds, folder
        self._spec, self._driver = spec, driver
        self.rows = self.values = self.commands = 0
        self.broken: list[str] = []

    def record(self) -> None:
        """Record the guided arm, and its messages as a bag."""
        data, bag = self._folder / 'recorded', self._folder / 'bag'
        with NodeProcesses() as processes:
            self._start(processes, 'stand_in', 'rehearsal', self._stand_in('guide'))
            values = (f'robot:={self._spec}', f'directory:={data}', 'compress:=false')
            arguments = ['--ros-args', *(word for value in values for word in ('-p', value))]
            self._start(processes, 'recorder_node', 'hearing_recorder', arguments, {BAG: str(bag)})
            with SceneClient(load_robot_spec(self._spec), processes.check) as client:
                client.until_accepted(lambda: client.trigger('recorder_node/start'))
                time.sleep(self._seconds)
                client.trigger('recorder_node/stop')
            processes.stop()

    def compare(self) -> None:
        """The episode is sound, and the bag gives its rows bit for bit."""
        (recorded_path,) = list_episodes(self._folder / 'recorded')
        self.broken += [f'check: {line}' for line in check_episode(recorded_path)]
        robot = load_robot_spec(self._spec)
        (imported_path,) = import_bag(
            self._folder / 'bag', robot, self._folder / 'imported', compress=False
        )
        recorded, imported = _datasets(recorded_path), _datasets(imported_path)
        rows = np.isin(imported['time_ns'], recorded['time_ns'])
        self.rows = len(recorded['time_ns'])
        if rows.sum() != self.rows or self.rows < LEAST_ROWS:
            self.broken.append(f'{self.rows} rows recorded, {rows.sum()} of them imported')
            return
        if recorded.keys() != imported.keys():
            self.broken.append(f'imported {sorted(set(recorded) ^ set(imported))} otherwise')
        for name, values in recorded.items():
            self.values += values.size
            found = imported[name]
            found = found[rows] if values.ndim and len(found) == len(rows) else found
            if not np.array_equal(values, found):
                self.broken.append(f'{name} is not what was recorded')

    def train(self) -> None:
        """Train one step on what was recorded, with all that is sensed."""
        config: dict[str, Any] = {
            'policy': {'kind': 'sarnn', 'rec_dim': 8, 'k_dim': 2},
            'data': {'train': [str(self._folder / 'recorded')]},
            'output': str(self._folder / 'run'),
            'rate': 10.0,
            'cameras': ['top'],
            'image_size': [24, 32],
            'batch_size': 1,
            'epochs': 1,
            'pictures_every': 0,
        }
        config['action_space'] = ACTION_SPACES.get(self._cell.command, 'joints')
        if self._cell.signal == 'vectors':
            config['inputs'] = list(VECTORS)
        if self._cell.signal == 'depth':
            config['depth'] = {'top': [0.2, 1.5]}
        train(train_config(config))

    def drive(self) -> None:
        """Let the policy drive the arm, which feels whether a limit is broken."""
        felt = self._folder / 'felt.json'
        with NodeProcesses() as processes:
            self._start(processes, 'stand_in', 'rehearsal', self._stand_in('obey'))
            checkpoint = self._folder / 'run' / 'best'
            parameters = {'checkpoint': str(checkpoint), 'autostart': True, 'backend': 'eager'}
            parameters['robot'] = str(self._spec)
            processes.start_node('policy_node', parameters)
            with SceneClient(load_robot_spec(self._spec), processes.check) as client:
                client.until_accepted(lambda: client.switch('policy_node/enable', True))
                time.sleep(self._seconds)
                client.switch('policy_node/enable', False)
            processes.stop()
        told = json.loads(felt.read_text(encoding='utf-8'))
        counts = {topic: found['received'] for topic, found in told['topics'].items()}
        self.commands = sum(counts.values())
        if not told['kept']:
            self.broken += [
                f'{joint}: beyond a limit: {what} {found}'
                for joint, felt_by in told['joints'].items()
                for what, found in felt_by.items()
                if isinstance(found, dict) and (found.get('beyond') or found.get('number'))
            ] or ['the arm was left moving']
        for topic, found in told['topics'].items():
            if not found['received'] or found['refused']:
                self.broken.append(f'{topic}: {found}')

    def _stand_in(self, how: str) -> list[str]:
        return [str(self._driver), str(self._folder / 'felt.json'), how]

    def _start(
        self,
        processes: NodeProcesses,
        name: str,
        module: str,
        arguments: list[str],
        more: dict[str, str] | None = None,
    ) -> None:
        paths = os.pathsep.join(filter(None, (FOLDER, os.environ.get('PYTHONPATH', ''))))
        environment = {**os.environ, 'PYTHONPATH': paths, **(more or {})}
        processes.start(name, f'signal_matrix.{module}', arguments, env=environment)


def _datasets(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if hasattr(item, 'shape') else None
        )
    if not found:
        raise UserError(f'{path}: holds nothing')
    return found
