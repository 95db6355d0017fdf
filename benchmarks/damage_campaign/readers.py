# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Registry of readers: the commands that read files, each with a small input.

A new reader is one entry of `_READERS`; its input is made of the same two episodes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from damage_campaign.foreign import MADE_BY_TESTS
from damage_campaign.reader import (
    ROWS,
    SIZE,
    SPEC,
    Reader,
    digest_of,
    importing,
    of_checkpoint,
    of_episodes,
)  # fmt: skip
from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeReader, EpisodeWriter, layout
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.share import share_dir
from motion_policy.streams import Observation, Row, Sample, StreamCounters


def write_episodes(folder: Path) -> Path:
    """Write two episodes by formula, without noise, and return their folder."""
    robot = robot_spec_from_yaml(SPEC, 'small_arm')
    folder.mkdir(parents=True)
    for number in range(2):
        path = folder / f'episode_{number:06d}.hdf5'
        with EpisodeWriter(path, robot, task='reach', compress=number == 0) as writer:
            for index in range(ROWS):
                writer.append(*_row(index + 3 * number, index, robot))
            writer.success = True
    return folder


def _row(phase: int, index: int, robot: RobotSpec) -> tuple[int, Observation, Row]:
    time_ns = 10**18 + index * robot.period_ns
    names = robot.stream_names
    qpos = np.sin(0.3 * phase + np.arange(3)).astype(np.float32)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:, :, 0] = np.arange(SIZE) * 7
    image[8:16, phase : phase + 8] = (20, 30, 230)
    samples = {name: Sample(time_ns - 10**6, time_ns, None) for name in names}
    counters = dict.fromkeys(names, StreamCounters(index + 1, 0, 0, robot.period_ns))
    row = Row(time_ns, samples, {}, dict.fromkeys(names, 10**6), counters)
    return time_ns, Observation(qpos, 0 * qpos, None, {'top': image}, qpos), row


def _exported(kind: str, *options: str) -> Callable[[Path, Path, Path], Path]:
    def make(folder: Path, episodes: Path, robot: Path) -> Path:
        out = folder / 'set'
        code = main(['export', str(episodes), '--out', str(out), '--to', kind, *options])
        assert code == 0, f'export --to {kind} failed'
        return out

    return make


def _one_episode(number: int) -> Callable[[Path, Path, Path], Path]:
    def make(folder: Path, episodes: Path, robot: Path) -> Path:
        path = folder / 'episode_000000.hdf5'
        shutil.copy(episodes / f'episode_{number:06d}.hdf5', path)
        return path

    return make


def _part(folder: Path, episodes: Path, robot: Path) -> Path:
    """What a process leaves that is killed while it records."""
    return _left_of(folder, layout.JPEG)


def _part_of_video(folder: Path, episodes: Path, robot: Path) -> Path:
    return _left_of(folder, layout.H264)


def _left_of(folder: Path, storage: str) -> Path:
    path = folder / 'episode_000000.hdf5'
    writer = EpisodeWriter(path, robot_spec_from_yaml(SPEC, 'small_arm'), storage=storage)
    for index in range(ROWS):
        writer.append(*_row(index, index, robot_spec_from_yaml(SPEC, 'small_arm')))
    try:
        with writer:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    return layout.part_path(path)


def _video(folder: Path, episodes: Path, robot: Path) -> Path:
    """The first episode, its images stored as video."""
    path = _one_episode(0)(folder, episodes, robot)
    main(['edit', 'store', str(path), '--storage', layout.H264])
    main(['edit', 'commit', str(folder)])
    return path


def _shipped(name: str) -> Callable[[Path, Path, Path], Path]:
    def make(folder: Path, episodes: Path, robot: Path) -> Path:
        return Path(shutil.copytree(share_dir() / 'models' / name, folder / 'model'))

    return make


def _robot(folder: Path, episodes: Path, robot: Path) -> Path:
    _exported('aloha')(robot.parent, episodes, robot)
    return Path(shutil.copy(robot, folder / 'robot.yaml'))


def _of_source(source: Path, out: Path) -> str:
    return digest_of(path for path in source.parent.glob('*.hdf5'))


def _of_attributes(source: Path, out: Path) -> str:
    with EpisodeReader(source) as episode:
        return repr((episode.success, episode.task, episode.joint_names, episode.length))


_READERS = (
    Reader(
        'episode, check', _one_episode(0), lambda s, o, r: ['check', str(s)], _of_source
    ),
    Reader(
        'raw episode, inspect', _one_episode(1),
        lambda s, o, r: ['inspect', str(s)], _of_attributes,
    ),
    Reader(
        'episode, export to aloha', _one_episode(0),
        lambda s, o, r: ['export', str(s), '--out', str(o), '--to', 'aloha'], _of_source,
    ),
    Reader(
        'part, check --repair', _part, lambda s, o, r: ['check', str(s), '--repair'], _of_source
    ),
    Reader('episode of video, check', _video, lambda s, o, r: ['check', str(s)], _of_source),
    Reader(
        'part of video, check --repair', _part_of_video,
        lambda s, o, r: ['check', str(s), '--repair'], _of_source,
    ),
    Reader('ALOHA, import', _exported('aloha'), importing('aloha'), of_episodes),
    Reader('raw ALOHA, import', _exported('aloha', '--raw'), importing('aloha'), of_episodes),
    Reader('EIPL, import', _exported('eipl'), importing('eipl', '--rate', '10'), of_episodes),
    Reader('BAIR, import', _exported('bair'), importing('bair', '--rate', '10'), of_episodes),
    Reader(
        'episode, inspect --json', _one_episode(0),
        lambda s, o, r: ['inspect', str(s), '--json', str(o)], _of_attributes,
    ),
    Reader(
        'robot spec, import', _robot,
        lambda s, o, r: ['import', str(r.parent / 'set'), '--out', str(o), '--robot', str(s),
                         '--from', 'aloha'],
        of_episodes,
    ),
    Reader(
        'checkpoint, inspect', _shipped('sarnn_tabletop'),
        lambda s, o, r: ['inspect', str(s)], lambda s, o: '', torch=True,
    ),
    Reader(
        'checkpoint, convert --half', _shipped('sarnn_tabletop'),
        lambda s, o, r: ['convert-checkpoint', str(s), str(o), '--half'], of_checkpoint,
        torch=True,
    ),
    *MADE_BY_TESTS,
)  # fmt: skip
READERS = tuple(sorted(_READERS, key=lambda one: one.torch))
