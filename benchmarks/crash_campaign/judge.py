# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Judges what is left of recordings: by what was fed, row for row and bit for bit."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crash_campaign.scene import SHIFT, crash_arm, depth_at, forces_at, image_at, joints_at
from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeError, EpisodeReader, check_episode
from motion_policy.episodes.hdf5.write_ahead import SUFFIX as LOG_SUFFIX
from motion_policy.episodes.images import encode_jpeg
from motion_policy.episodes.paths import next_number
from motion_policy.files import PART_SUFFIX
from motion_policy.robot.spec import NANOSECONDS_PER_S

MOST_LOST_S = 1.0
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Ended:
    """Recordings that came to an end.

    Args:
        kind: how.
        folder: of the episodes.
        end_ns: up to when all was fed.
        told: what the recording process told, in its order: a word and what belongs to it.
        others: files in the folder that are none of the recorder's.
    """

    kind: str
    folder: Path
    end_ns: int
    told: Sequence[Sequence[Any]]
    others: tuple[str, ...] = ()


@dataclass
class Found:
    """What is wrong after an end, and what was lost of each recording that was recovered [s]."""

    kind: str
    faults: list[str] = field(default_factory=list)
    lost_s: list[float] = field(default_factory=list)
    finished: int = 0
    recovered: int = 0
    empty: int = 0  # of no whole row, as it may be in the first second


def judge(ended: Ended) -> Found:
    """Repair what is there as a user does, and look at every episode."""
    found = Found(ended.kind)
    folder, told = ended.folder, ended.told
    started = {name: at for word, name, *rest in told if word == 'started' for at in rest}
    early = {what[1] for what in told if what[0] == 'ended'}
    ends: dict[str, int] = {}
    for what in told:
        if what[0] in ('ended', 'stopping'):
            ends.setdefault(what[1], what[2])
    finished = {what[1]: what[2] for what in told if what[0] == 'finished'}
    for what in told:
        if what[0] in ('refused', 'stopped', 'ended') and not _is_line(str(what[-1])):
            found.faults.append(f'no clear line: {what[-1]!r}')
    for name, digest in finished.items():
        path = folder / name
        if not path.exists():
            found.faults.append(f'{name}: finished, and gone')
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            found.faults.append(f'{name}: finished, and another one now')
    names = {path.name for path in folder.iterdir()}
    lines = _check_and_repair(folder, names)
    unfinished = {name for name in names if name.endswith(PART_SUFFIX)}
    for part in unfinished:
        own = [line for line in lines if f'{folder / part.removesuffix(PART_SUFFIX)}' in line]
        if (folder / part).exists():
            found.empty += 1
            if not any('holds no whole row' in line for line in own):
                found.faults.append(f'{part}: cannot be repaired: {own}')
        elif sum(line.startswith('repaired') for line in own) != 1:
            found.faults.append(f'{part}: repaired, and told by {own}')
    for name, at in started.items():
        path, end_ns = folder / name, ends.get(name, ended.end_ns)
        if path.exists():
            found.faults += [f'{name}: {fault}' for fault in wrong_rows(path)]
            with EpisodeReader(path) as episode:
                last_ns = int(episode.time_ns[-1])
                if episode.time_ns[0] - at > NANOSECONDS_PER_S:
                    found.faults.append(
                        f'{name}: begins {(episode.time_ns[0] - at) / 1e9:.2f} s late'
                    )
            found.finished += name in finished
            if name not in finished or name in early:
                found.recovered += 1
                _lose(found, name, (end_ns - last_ns) / 1e9)
        else:
            _lose(found, name, (end_ns - at) / 1e9)
    _look_at_names(found, ended, started)
    return found


def _lose(found: Found, name: str, lost_s: float) -> None:
    found.lost_s.append(max(0.0, lost_s))
    if lost_s > MOST_LOST_S:
        found.faults.append(f'{name}: lost {lost_s:.2f} s')


def _look_at_names(found: Found, ended: Ended, started: dict[str, int]) -> None:
    numbers = [int(name.removesuffix('.hdf5').rpartition('_')[2]) for name in started]
    left = {path.name for path in ended.folder.iterdir()} - set(ended.others)
    kept = {name.removesuffix(LOG_SUFFIX).removesuffix(PART_SUFFIX) for name in left}
    # Of a recording that left nothing at all the number may be given again.
    given = [number for number in numbers if f'episode_{number:06d}.hdf5' in kept]
    if given and next_number(ended.folder) <= max(given):
        found.faults.append(f'number {next_number(ended.folder)} is given again')
    # One that was being begun is not told of yet.
    begun = f'episode_{max(numbers, default=-1) + 1:06d}.hdf5{PART_SUFFIX}'
    for name in sorted(left - {begun}):
        of = name.removesuffix(LOG_SUFFIX).removesuffix(PART_SUFFIX)
        if of not in started:
            found.faults.append(f'{name}: nobody knows what it is')
        elif name.endswith(LOG_SUFFIX) and name.removesuffix(LOG_SUFFIX) not in left:
            found.faults.append(f'{name}: a log of nothing')


def _check_and_repair(folder: Path, names: set[str]) -> list[str]:
    """The lines of `motion-policy check --repair`."""
    if not any('.hdf5' in name and not name.endswith(LOG_SUFFIX) for name in names):
        return []
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main(['check', '--repair', str(folder)])
    return printed.getvalue().splitlines()


def _is_line(text: str) -> bool:
    return bool(text) and '\n' not in text and 'Traceback' not in text and 'Error(' not in text


def wrong_rows(path: Path) -> list[str]:
    """What is wrong in an episode, by what was fed."""
    robot = crash_arm()
    faults = list(check_episode(path))
    try:
        with EpisodeReader(path) as episode:
            times = episode.time_ns
            if (np.diff(times) != robot.period_ns).any():
                faults.append('rows are missing')
            stamps = {name: episode.stamps(name) for name in robot.stream_names}
            for name, each in stamps.items():
                # The newest sample may stand in several rows, of which it is older each.
                ages = times - np.minimum(each.header_ns, each.receive_ns)
                if not np.array_equal(each.age_ns, ages) or (ages < 0).any():
                    faults.append(f'stamps of {name} are wrong')
            states = np.stack([joints_at(at) for at in stamps['state'].header_ns.tolist()])
            leaders = np.stack([joints_at(at) for at in stamps['leader'].header_ns.tolist()])
            forces = np.stack([forces_at(at) for at in stamps['wrench'].header_ns.tolist()])
            expected = {
                'qpos': (episode.qpos, states),
                'qvel': (episode.qvel, 0.5 * states),
                'effort': (episode.effort, 2.0 * states),
                'action': (episode.action, leaders + SHIFT),
                'wrench': (episode.vector('wrench'), forces),
            }
            for name, (values, wanted) in expected.items():
                if values is None or not np.array_equal(values, wanted.astype(np.float32)):
                    faults.append(f'{name} is wrong')
            for row in range(episode.length):
                faults += _wrong_images(
                    episode, row, {n: s.header_ns[row] for n, s in stamps.items()}
                )
    except EpisodeError as error:
        faults.append(str(error))
    return faults


def _wrong_images(episode: EpisodeReader, row: int, stamps: dict[str, Any]) -> list[str]:
    faults = []
    for camera, spec in episode.robot.cameras.items():
        wanted = image_at(int(stamps[camera]), spec.height, spec.width)
        found: Any
        if episode.compress:
            found, wanted = episode.jpeg(camera, row), encode_jpeg(wanted, JPEG_QUALITY)
        else:
            found = episode.image(camera, row)
        if found is None or not np.array_equal(found, wanted):
            faults.append(f'{camera} is wrong in row {row}')
    for name, spec in episode.robot.depth.items():
        wanted_depth = depth_at(int(stamps[f'depth_{name}']), spec.height, spec.width)
        if not np.array_equal(episode.depth(name, row), wanted_depth):
            faults.append(f'depth of {name} is wrong in row {row}')
    return faults
