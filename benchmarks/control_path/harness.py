# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts cameras and other sensors, arm and node under test, and measures the node from outside.

Each is a process of its own. Measured are what the node costs, what it holds in memory and when
its commands came.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Any

import numpy as np
import numpy.typing as npt

from control_path.instrumented_node import NOTES
from motion_policy.cli.processes import NodeProcesses
from motion_policy.robot import RobotSpec

Int64Array = npt.NDArray[np.int64]

NAMESPACE = 'bench'
PATIENCE_S = 300.0
SAMPLING_S = 0.5
SETTLING_S = 2.0  # after something began, before it is measured
FOLDER = str(Path(__file__).parents[1])
TICKS_PER_S = os.sysconf('SC_CLK_TCK')
MIB = 1 << 20


@dataclass(frozen=True)
class Usage:
    """What a process took: the share of one core, and resident memory over time (s, MiB)."""

    cpu: float
    cpu_of_threads: dict[int, float]
    memory: list[tuple[float, float]]

    @property
    def growth_mib_per_min(self) -> float:
        """Slope of the line through the resident memory."""
        seconds, mib = np.array(self.memory).T
        return float(np.polyfit(seconds, mib, 1)[0] * 60) if len(seconds) > 1 else 0.0


class Harness:
    """One node with its surroundings, the streams of `robot`; use it as a context manager."""

    def __init__(self, module: str, arguments: list[str], name: str, robot: RobotSpec) -> None:
        self._module, self._arguments, self._name = module, arguments, name
        self._robot = robot
        self._processes = NodeProcesses()
        self._notes = Path()

    def __enter__(self) -> Harness:
        self._processes.__enter__()
        paths = (FOLDER, os.environ.get('PYTHONPATH', ''))
        self._notes = self._processes.log_dir / 'notes.json'
        environment = {
            **os.environ,
            'PYTHONPATH': os.pathsep.join(filter(None, paths)),
            NOTES: str(self._notes),
        }
        pipes: dict[str, Any] = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
        start = self._processes.start
        spec = self._processes.log_dir / 'robot.yaml'
        spec.write_text(self._robot.to_yaml(), encoding='utf-8')
        published = [str(spec), 'camera,depth,vector', os.devnull, 'sent']
        published += ['--ros-args', '-r', f'__ns:=/{NAMESPACE}']
        start('publishers', 'measuring.publishers', published, env=environment)
        arguments = [NAMESPACE, self._name]
        self._arm = start('arm', 'control_path.arm', arguments, env=environment, **pipes)
        self.node = start(self._name, self._module, self._arguments, env=environment)
        return self

    def __exit__(self, *error: Any) -> None:
        self._processes.__exit__(*error)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until it holds."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            self._processes.check()
            if time.monotonic() > end:
                words = self._processes.last_words(self._name)
                self._processes.keep_logs = True
                raise RuntimeError(f'waited {PATIENCE_S:g} s for {what}; {words}')
            time.sleep(0.05)

    def wait_for_log(self, text: str) -> None:
        """Wait until the node has said this."""
        log = self._processes.log_dir / f'{self._name}.log'
        self.wait_for(lambda: text in log.read_text(errors='replace'), f"'{text}'")

    def drive(self, seconds: float) -> tuple[Int64Array, Usage]:
        """Have the arm enabled; return when commands came, and what the node took meanwhile."""
        assert self._arm.stdin is not None and self._arm.stdout is not None
        self._arm.stdin.write(f'enable {seconds + SETTLING_S}\n')
        self._arm.stdin.flush()
        usage = self.usage(seconds)
        answered = [self._arm.stdout]
        self.wait_for(lambda: bool(select(answered, [], [], 0)[0]), 'the end of the commands')
        told = self._arm.stdout.readline()
        return np.array(json.loads(told), dtype=np.int64), usage

    def usage(self, seconds: float) -> Usage:
        """What the node takes during some seconds."""
        time.sleep(SETTLING_S)
        begin, memory = time.monotonic(), []
        cpu, threads = cpu_s(self.node.pid), threads_cpu_s(self.node.pid)
        while (passed := time.monotonic() - begin) < seconds:
            memory.append((passed, resident_mib(self.node.pid)))
            time.sleep(min(SAMPLING_S, seconds - passed))
        passed = time.monotonic() - begin
        spent = {
            thread: (total - threads.get(thread, 0.0)) / passed
            for thread, total in threads_cpu_s(self.node.pid).items()
        }
        return Usage((cpu_s(self.node.pid) - cpu) / passed, spent, memory)

    def notes(self) -> Mapping[str, Any]:
        """End the node; return what it has noted."""
        self._processes.stop()
        notes: Mapping[str, Any] = json.loads(self._notes.read_text())
        return notes


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process and its children at work have used."""
    pids = [pid, *children(pid)]
    return sum(_stat_cpu_s(Path(f'/proc/{number}/stat')) for number in pids)


def threads_cpu_s(pid: int) -> dict[int, float]:
    """The same of each thread."""
    folders = Path(f'/proc/{pid}/task').iterdir()
    return {int(folder.name): _stat_cpu_s(folder / 'stat') for folder in folders}


def children(pid: int) -> list[int]:
    """The processes that any thread of a process has begun."""
    files = Path(f'/proc/{pid}/task').glob('*/children')
    return [int(word) for file in files for word in file.read_text().split()]


def resident_mib(pid: int) -> float:
    """Resident memory of a process and its children."""
    return sum(
        int(Path(f'/proc/{number}/statm').read_text().split()[1]) * os.sysconf('SC_PAGESIZE') / MIB
        for number in [pid, *children(pid)]
    )


def _stat_cpu_s(file: Path) -> float:
    fields = file.read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
