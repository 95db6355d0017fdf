# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows at another rate, of the samples that stand in those of an episode.

Rule: a new row is what the recorder would have written at that rate. A row at a time at which
there was one is that one. Between rows the sampler picks the newest sample that had been received,
by the stamps in the file, and only where the rows hold all samples that there were.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.editing.changes import LEAST_ROWS, EditPlan, EpisodeChange, opened
from motion_policy.episodes.editing.pieces import Piece
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.reader import EpisodeReader, StreamStamps
from motion_policy.files import shown
from motion_policy.robot import RobotSpec, depth_stream
from motion_policy.streams import Sample, Sampler
from motion_policy.streams.grid import Grid

Int64Array = npt.NDArray[np.int64]

# Of the messages of a stream as fast as the rows that may stand in none: two may come between two
# rows now and then.
MOST_UNSEEN = 0.02
# A sample of a stream that is slower than the rows stands in several: in so many of the rows it is
# that of the row before. Its counters count what came before the first row, too.
SLOWER = 0.1
MOST_UNSEEN_OF_SLOWER = 0.05
MOST_BEFORE_S = 1.0
RATES_NAMED = 4


def resample(paths: Iterable[Path], rate: float) -> EditPlan:
    """Give episodes `rate` rows per second.

    Raises:
        EpisodeError: an episode cannot be read, or does not hold what was between its rows.
    """
    changes, left = [], []
    for path in paths:
        with opened(path) as episode:
            if rate <= 0:
                raise EpisodeError(f'--rate is {rate:g}, expected Hz above 0')
            period_ns = Grid(rate).period_ns
            if period_ns == episode.robot.period_ns:
                left.append(f'{shown(path)}: has {episode.rate:g} rows per second already')
                continue
            piece = _resampled(episode, rate)
            words = f'{episode.rate:g} -> {rate:g} Hz'
            changes.append(EpisodeChange.of(episode, (piece,), words))
    return EditPlan(tuple(changes), tuple(left))


def _resampled(episode: EpisodeReader, rate: float) -> Piece:
    old, robot = episode.robot, episode.robot.model_copy(update={'rate': rate})
    averaged = [name for name, vector in old.vectors.items() if vector.window == 'mean']
    if averaged:
        raise EpisodeError(
            f"{shown(episode.path)}: vector '{averaged[0]}' has the mean of its messages since "
            'the row before, which is not known for other rows: expected it to be dropped first'
        )
    if robot.period_ns < old.period_ns:
        raise EpisodeError(
            f'{shown(episode.path)}: has {episode.rate:g} rows per second: what was between them '
            f'is not in it, expected less than {rate:g}'
        )
    times_ns = _grid_times(episode, robot)
    if len(times_ns) < LEAST_ROWS:
        raise EpisodeError(
            f'{shown(episode.path)}: its {episode.length} rows hold {len(times_ns)} at {rate:g} '
            f'Hz, expected at least {LEAST_ROWS}'
        )
    first_ns = int(episode.time_ns[0])
    on_grid = (times_ns - first_ns) % old.period_ns == 0
    if on_grid.all():
        rows = (times_ns - first_ns) // old.period_ns
        chosen = {} if episode.has_commands else {layout.ACTION: _next_positions(rows)}
        return Piece(rows, of_dataset=chosen, robot=robot)
    _check_all_is_there(episode, rate)
    return _between_rows(episode, robot, times_ns)


def _grid_times(episode: EpisodeReader, robot: RobotSpec) -> Int64Array:
    """The times (M,) of the grid of a robot's rate within an episode [ns]."""
    grid = Grid(robot.rate)
    first = grid.index_at_or_after(int(episode.time_ns[0]))
    last = grid.index_at_or_after(int(episode.time_ns[-1]) + 1)
    return np.array([grid.time_ns(index) for index in range(first, last)], dtype=np.int64)


def _next_positions(rows: Int64Array) -> Int64Array:
    """The rows whose action is the position in the next of `rows`, as the recorder has it.

    The action of a row is the position of the row after it; the last one is its own.
    """
    return np.maximum(np.append(rows[1:], rows[-1:]) - 1, 0)


def _check_all_is_there(episode: EpisodeReader, rate: float) -> None:
    """Refuse rows at other times where messages came that stand in no row."""
    for stream in episode.robot.streams():
        stamps = episode.stamps(stream.name)
        counted = stamps.counters
        came = counted.received - counted.duplicates - counted.unusable
        seen = len(_changes(stamps))
        untimed = not stamps.header_ns.any() and not stamps.age_ns.any()
        if untimed or episode.counts_rows(stream.name) or 'repaired' in episode.ended:
            found = 'does not tell how many messages there were'
        elif came - seen > _may_be_unseen(came, seen, episode):
            found = f'had {came} messages, of which {seen} stand in rows'
        else:
            continue
        rates = ', '.join(f'{episode.rate / step:.6g}' for step in range(2, 2 + RATES_NAMED))
        raise EpisodeError(
            f"{shown(episode.path)}: stream '{stream.name}' {found}: what it was between rows of "
            f'{episode.rate:g} Hz is not known; expected a rate that takes each n-th row: {rates} '
            f'Hz, found {rate:g}'
        )


def _may_be_unseen(came: int, seen: int, episode: EpisodeReader) -> float:
    """How many messages of a stream may stand in no row, and all that matter are there."""
    if seen > (1 - SLOWER) * episode.length:
        return max(2, MOST_UNSEEN * came)
    per_s = seen * episode.rate / episode.length
    return 2 + MOST_UNSEEN_OF_SLOWER * seen + MOST_BEFORE_S * per_s


def _changes(stamps: StreamStamps) -> Int64Array:
    """The rows in which the sample is another one than in the row before."""
    pairs = np.stack([stamps.header_ns, stamps.receive_ns], axis=1)
    other = np.append(True, (np.diff(pairs, axis=0) != 0).any(axis=1))
    return np.flatnonzero(other & (stamps.receive_ns != 0))


@dataclass(frozen=True)
class _Picked:
    """Which old row's sample of each stream stands in each new row, and how old it is [ns]."""

    rows: dict[str, Int64Array]
    ages_ns: dict[str, Int64Array]


def _pick(episode: EpisodeReader, times_ns: Int64Array) -> _Picked:
    # Values are the rows that samples were first in: of a message nothing is there to be read.
    specs = {s.name: replace(s, role='camera', source=None) for s in episode.robot.streams()}
    before = np.searchsorted(episode.time_ns, times_ns, side='right') - 1
    rows, ages_ns = {}, {}
    for name, spec in specs.items():
        stamps = episode.stamps(name)
        sampler = Sampler([spec])
        waiting = _changes(stamps).tolist()
        rows[name] = before.copy()
        for number, time_ns in enumerate(times_ns.tolist()):
            while waiting and stamps.receive_ns[waiting[0]] <= time_ns:
                row = waiting.pop(0)
                sample = Sample(int(stamps.header_ns[row]), int(stamps.receive_ns[row]), row)
                sampler.push(name, sample)
            standing = sampler.observe(time_ns)
            if name in standing.samples:
                rows[name][number] = standing.samples[name].value
            fault = standing.faults.get(name)
            if fault is not None and (spec.role != 'leader' or stamps.receive_ns.any()):
                raise EpisodeError(f"{shown(episode.path)}: stream '{name}': {fault}")
        # Of joints the age is that of the oldest, which the stamp does not tell.
        taken_ns = episode.time_ns[rows[name]] - stamps.age_ns[rows[name]]
        there = stamps.receive_ns[rows[name]] != 0
        ages_ns[name] = np.where(there, times_ns - taken_ns, 0)
    return _Picked(rows, ages_ns)


def _between_rows(episode: EpisodeReader, robot: RobotSpec, times_ns: Int64Array) -> Piece:
    picked = _pick(episode, times_ns)
    before = np.searchsorted(episode.time_ns, times_ns, side='right') - 1
    rows = picked.rows
    of = {}
    for camera in robot.cameras:
        of[f'{layout.IMAGES}/{camera}'] = rows[camera]
    for vector in robot.vectors:
        of[f'{layout.VECTORS}/{vector}'] = rows[vector]
    for depth in robot.depth:
        of[f'{layout.DEPTH}/{depth}'] = rows[depth_stream(depth)]
    for stream in robot.stream_names:
        fields = (*layout.STAMP_FIELDS, layout.MESSAGES)
        of |= {f'{layout.STAMPS}/{stream}/{field}': rows[stream] for field in fields}
    leaders = [rows[name] for name, _ in robot.joint_streams('leader')]
    if leaders and episode.has_commands:  # who drove is said of the action
        of |= dict.fromkeys((layout.INTERVENTION, layout.POLICY_ACTION), np.max(leaders, axis=0))
    columns = _joint_columns(episode, robot, picked)
    lengths = [episode.jpeg_lengths(camera) for camera in robot.cameras]

    def finish(file: h5py.File) -> None:
        file[layout.TIME_NS][...] = times_ns
        for name, values in columns.items():
            file[name][...] = values
        for stream, ages_ns in picked.ages_ns.items():
            file[f'{layout.STAMPS}/{stream}/age_ns'][...] = ages_ns
        for number, camera in enumerate(robot.cameras):
            of_camera = lengths[number]
            if of_camera is not None:
                file[layout.COMPRESS_LEN][number] = of_camera[rows[camera]]

    return Piece(before, of_dataset=of, robot=robot, finish=finish)


def _joint_columns(
    episode: EpisodeReader, robot: RobotSpec, picked: _Picked
) -> dict[str, npt.NDArray[np.float32]]:
    """Positions, velocities, efforts and actions (M, J), each joint by the stream it came on."""
    state, leader = (_row_of_joint(robot, role, picked) for role in ('state', 'leader'))
    columns = {layout.QPOS: episode.qpos, layout.QVEL: episode.qvel}
    if episode.effort is not None:
        columns[layout.EFFORT] = episode.effort
    found = {name: np.take_along_axis(values, state, axis=0) for name, values in columns.items()}
    if episode.has_commands:
        found[layout.ACTION] = np.take_along_axis(episode.action, leader, axis=0)
    else:
        qpos = found[layout.QPOS]
        found[layout.ACTION] = np.concatenate([qpos[1:], qpos[-1:]])
    return found


def _row_of_joint(robot: RobotSpec, role: str, picked: _Picked) -> Int64Array:
    """The old row (M, J) of which each joint of a new row is."""
    names = robot.joints.names
    before = next(iter(picked.rows.values()))
    found = np.stack([before] * len(names), axis=1)
    for stream, topic in robot.joint_streams('state' if role == 'state' else 'leader'):
        for joint in topic.joints or names:
            found[:, names.index(joint)] = picked.rows[stream]
    return found
