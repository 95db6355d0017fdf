# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Starts publishers and recorder, has one episode recorded, and tells what came of it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from control_path.harness import FOLDER, SAMPLING_S, cpu_s, resident_mib

from motion_policy.cli.processes import NodeProcesses
from motion_policy.episodes import EpisodeReader, list_episodes
from motion_policy.nodes.scene_client import SceneClient
from motion_policy.robot import load_robot_spec
from record_path.listener import HEARD
from record_path.noting_recorder import NOTES, read_notes
from record_path.offline import differing_rows
from record_path.scene import RATE_HZ, Load, write_spec

PATIENCE_S = 120.0
# The roles of the streams that each process of publishers has.
ROLES = ('camera,depth', 'state,leader,vector')


@dataclass(frozen=True)
class Stream:
    """What became of the messages of a stream, from the first to the last that was recorded.

    `lost` is how many are missing, `dropped` how many of them the recorder has counted.
    """

    sent: int
    lost: int
    dropped: int


@dataclass(frozen=True)
class Recorded:
    """One episode: its streams, and what the recorder needed; `memory` is (n, 2): s and MiB."""

    streams: dict[str, Stream]
    seconds: float
    rows: int
    differing_rows: int
    stop_s: float
    cores: float
    memory: npt.NDArray[np.float64]
    megabytes: float
    told: str

    @property
    def missing_rows(self) -> int:
        """Rows short of those of the robot's rate; the first and the last may not be whole."""
        return max(0, int(self.seconds * RATE_HZ) - 1 - self.rows)


def record(load: Load, seconds: float) -> Recorded:
    """Record so many seconds of it by the recorder node."""
    with TemporaryDirectory() as name, NodeProcesses() as processes:
        folder = Path(name)
        spec, environment = _publish(load, folder, processes)
        values = (f'robot:={spec}', f'directory:={folder / "data"}')
        arguments = ['--ros-args', *(word for value in values for word in ('-p', value))]
        module = 'record_path.noting_recorder'
        recorder = processes.start('recorder_node', module, arguments, env=environment).pid
        with SceneClient(load_robot_spec(spec), processes.check) as client:
            client.until_accepted(lambda: client.trigger('recorder_node/start'))
            began, cpu, memory = time.monotonic(), cpu_s(recorder), []
            while (passed := time.monotonic() - began) < seconds:
                processes.check()
                memory.append((passed, resident_mib(recorder)))
                time.sleep(min(SAMPLING_S, seconds - passed))
            cores = (cpu_s(recorder) - cpu) / (time.monotonic() - began)
            begin_stop = time.monotonic()
            told = client.trigger('recorder_node/stop')
            stop_s = time.monotonic() - begin_stop
        processes.stop()
        (path,) = list_episodes(folder / 'data')
        streams, rows, differing = _compare(spec, folder, path)
        megabytes = path.stat().st_size / 1e6
    return Recorded(
        streams, passed, rows, differing, stop_s, cores, np.array(memory), megabytes, told
    )


def listen(load: Load, seconds: float) -> float:
    """Cores of a process that only listens to all of it."""
    with TemporaryDirectory() as folder, NodeProcesses() as processes:
        spec, environment = _publish(load, Path(folder), processes)
        listener = processes.start('listener', 'record_path.listener', [spec], env=environment).pid
        log, end = processes.log_dir / 'listener.log', time.monotonic() + PATIENCE_S
        while HEARD not in log.read_text(encoding='utf-8'):
            processes.check()
            if time.monotonic() > end:
                raise RuntimeError(f'waited {PATIENCE_S:g} s until every stream was heard')
            time.sleep(0.1)
        began, cpu = time.monotonic(), cpu_s(listener)
        time.sleep(seconds)
        return (cpu_s(listener) - cpu) / (time.monotonic() - began)


def _publish(load: Load, folder: Path, processes: NodeProcesses) -> tuple[str, dict[str, str]]:
    """Start the publishers; returns the robot spec and what other processes need."""
    spec = str(write_spec(load, folder))
    paths = (FOLDER, os.environ.get('PYTHONPATH', ''))
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        NOTES: str(folder / 'taken'),
    }
    for number, roles in enumerate(ROLES):
        arguments = [spec, roles, str(folder / f'sent_{number}.json'), 'sampled']
        name = f'publishers_{number}'
        processes.start(name, 'measuring.publishers', arguments, env=environment)
    return spec, environment


def _compare(spec: str, folder: Path, path: Path) -> tuple[dict[str, Stream], int, int]:
    """What was sent, taken and counted, by stream; the rows, and those that are others offline."""
    notes = read_notes(folder / 'taken')
    sent: dict[str, list[int]] = {}
    for number in range(len(ROLES)):
        sent |= json.loads((folder / f'sent_{number}.json').read_text())
    streams = {}
    with EpisodeReader(path) as episode:
        rows = episode.length
        for number, stream in enumerate(load_robot_spec(spec).streams()):
            # What is taken while it ends, and was received later, the file does not count.
            counted = notes['kept'] & (notes['receive_ns'] <= episode.time_ns[-1])
            taken = notes['header_ns'][(notes['stream'] == number) & counted]
            first, last = taken.min(), taken.max()
            count = sum(first <= stamp_ns <= last for stamp_ns in sent[stream.name])
            dropped = episode.stamps(stream.name).counters.dropped
            streams[stream.name] = Stream(count, count - len(np.unique(taken)), dropped)
    return streams, rows, differing_rows(spec, ROLES, sent, notes, path)
