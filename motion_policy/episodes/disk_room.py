# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Room on the disk of a recording: looked at before it begins, and watched while it goes on.

A recording that goes on until the disk is full could not be finished there.
"""

from __future__ import annotations

import os
from pathlib import Path

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.layout import part_path
from motion_policy.files import shown
from motion_policy.robot.spec import NANOSECONDS_PER_S, RobotSpec

# What an episode needs to be finished and judged: attributes, and the log of that change.
END_BYTES = 2**25
BEGIN_S = 60.0  # that a recording must have room for when it begins
FEW_S = 300.0  # that are told when they are left
LOOK_NS = NANOSECONDS_PER_S
# It grows so long before the next look, and as long again if that is late.
MARGIN_S = 2.0
MEASURED_S = 3.0  # after which its own rate is taken instead of the expected one

# Of the bytes of pixels: JPEG of quality 95 with its padding (0.15 of a room, 640x480), and depth
# as docs/reference/episode_file.md measures it.
JPEG_SHARE, DEPTH_SHARE = 0.2, 0.4


def expected_bytes_per_s(robot: RobotSpec, compress: bool) -> float:
    """How fast an episode of this robot grows, about."""
    pixels = sum(3 * camera.width * camera.height for camera in robot.cameras.values())
    depth = sum(2 * camera.width * camera.height for camera in robot.depth.values())
    numbers = 4 * len(robot.joints.names) + 6 * len(robot.stream_names)
    numbers += sum(len(vector.numbers) for vector in robot.vectors.values())
    images = pixels * (JPEG_SHARE if compress else 1.0) + depth * DEPTH_SHARE
    return robot.rate * (images + 4 * numbers)


def check_room(folder: Path, robot: RobotSpec, compress: bool) -> None:
    """Refuse to begin where there is no room for a minute.

    Raises:
        EpisodeError: there is not.
    """
    free, rate = free_bytes(folder), expected_bytes_per_s(robot, compress)
    wanted = END_BYTES + BEGIN_S * rate
    if free is not None and free < wanted:
        raise EpisodeError(
            f'{shown(folder)}: {_in_words(free)} are free, expected at least {_in_words(wanted)}: '
            f'{BEGIN_S:g} s of recording (about {_in_words(rate)} per second), and '
            f'{_in_words(END_BYTES)} to finish it'
        )


def free_bytes(folder: Path) -> int | None:
    """How much room there is in a folder, or where it is going to be; None: that is not known."""
    there = next((each for each in (folder, *folder.absolute().parents) if each.is_dir()), folder)
    try:
        status = os.statvfs(there)
    except OSError:
        return None
    # Some network file systems say that they have no blocks at all.
    return status.f_bavail * status.f_frsize if status.f_blocks else None


class RoomWatch:
    """Watches the room that is left to a recording.

    Args:
        path: final name of the episode.
        robot, compress: what is recorded.

    Attributes:
        seconds: how long it can go on; None: not known.
    """

    def __init__(self, path: Path, robot: RobotSpec, compress: bool) -> None:
        self.seconds: float | None = None
        self._path = path
        self._rate = expected_bytes_per_s(robot, compress)
        self._free_before = free_bytes(path.parent)
        self._begin_ns = self._looked_ns = 0

    @property
    def few(self) -> str:
        """What is left, in words, where that is little; empty where it is not."""
        if self.seconds is None or self.seconds >= FEW_S:
            return ''
        return (
            f'the disk has room for {self.seconds / 60:.1f} min more at '
            f'{_in_words(self._rate)} per second ({shown(self._path.parent)})'
        )

    def look(self, time_ns: int) -> None:
        """Look how much room there is, once a second, at the time of a row.

        Raises:
            EpisodeError: too little to go on, and enough to finish the episode.
        """
        self._begin_ns = self._begin_ns or time_ns
        if time_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = time_ns
        free = free_bytes(self._path.parent)
        if free is None:
            return
        self._measure((time_ns - self._begin_ns) / NANOSECONDS_PER_S, free)
        left = free - END_BYTES - MARGIN_S * self._rate
        self.seconds = max(0.0, left / self._rate)
        if left < 0:
            raise EpisodeError(
                f'the disk is nearly full: {_in_words(free)} are free in '
                f'{shown(self._path.parent)}'
            )

    def _measure(self, passed_s: float, free: int) -> None:
        """Take its own rate, or that at which the disk fills where others write as well."""
        if passed_s < MEASURED_S or self._free_before is None:
            return
        try:
            written = part_path(self._path).stat().st_size
        except OSError:
            return
        self._rate = max(1.0, written / passed_s, (self._free_before - free) / passed_s)


def _in_words(count: float) -> str:
    for unit, size in (('GB', 1e9), ('MB', 1e6), ('kB', 1e3)):
        if count >= size:
            return f'{count / size:.3g} {unit}'
    return f'{count:.0f} bytes'
