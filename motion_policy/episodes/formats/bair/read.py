# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The folders of BAIR's robot pushing set: frames as PNG, actions and end effector as text.

    {train,validate,test}/traj_*/N/{0..29}.png, actions.csv, endeffector_positions.csv

Nothing but names is read until it is asked for; what is wrong is one line that names the file.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.joint_range import MOST_POSITION
from motion_policy.files import FileError, read_bytes
from motion_policy.streams import StreamError
from motion_policy.streams.jpeg import decode_whole

Float64Array = npt.NDArray[np.float64]
RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)

SPLITS = ('train', 'validate', 'test')
ACTIONS, POSITIONS = 'actions.csv', 'endeffector_positions.csv'
ACTION_COLUMNS, POSITION_COLUMNS = 4, 3
LAYOUT = 'traj_*/N/ with 0.png, 1.png, ...'
MOST_BYTES = 64 * 2**20  # of a file
MOST_PIXELS = 2**26  # of a frame
PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'


@dataclass(frozen=True)
class BairSequence:
    """One sequence of T frames, which are read one by one as they are asked for."""

    folder: Path

    @cached_property
    def actions(self) -> Float64Array:
        """What was commanded at each frame, (T, 4): the end effector's way [m], and one more.

        Raises:
            EpisodeError: the file is missing or damaged.
        """
        return _read_numbers(self.folder / ACTIONS, ACTION_COLUMNS)

    @cached_property
    def positions(self) -> Float64Array:
        """Where the end effector was at each frame, (T, 3) [m].

        Raises:
            EpisodeError: the file is missing or damaged.
        """
        return _read_numbers(self.folder / POSITIONS, POSITION_COLUMNS)

    @property
    def length(self) -> int:
        """Number of frames.

        Raises:
            EpisodeError: a frame is missing, or a file has not one row for each.
        """
        there = {int(path.stem) for path in self.folder.glob('*.png') if path.stem.isdecimal()}
        rows = {ACTIONS: len(self.actions), POSITIONS: len(self.positions)}
        agreed = rows[ACTIONS] == rows[POSITIONS]
        frames = max(*there, rows[ACTIONS] - 1 if agreed else 0) + 1 if there else 1
        for frame in range(frames):
            if frame not in there:
                last = f'{frames - 1}.png'
                raise EpisodeError(
                    f'{self.folder / str(frame)}.png: no such frame, expected 0.png to {last}'
                )
        for name, count in rows.items():
            if count != frames:
                raise EpisodeError(
                    f'{self.folder / name}: has {count} rows, expected {frames}, one per frame'
                )
        return frames

    def frame(self, index: int) -> RgbImage:
        """Return one frame, (H, W, 3) uint8 RGB.

        Raises:
            EpisodeError: the file is missing or damaged, if by a single bit.
        """
        path = self.folder / f'{index}.png'
        data = _read_bytes(path)
        broken = _broken_png(data)
        if broken:
            raise EpisodeError(f'{path}: {broken}, expected a PNG image')
        try:
            return np.ascontiguousarray(decode_whole(data)[..., ::-1])
        except StreamError as error:
            raise EpisodeError(f'{path}: {error}') from None


@dataclass(frozen=True)
class BairPart:
    """The sequences of one split: 'train', 'validate' or 'test'; '' where there are none."""

    split: str
    source: Path
    sequences: tuple[BairSequence, ...]


def read_bair(source: str | Path) -> list[BairPart]:
    """Look at the folders of a set: of `train/`, `validate/` and `test/`, or of one of these.

    Raises:
        EpisodeError: no such folder, or none of this layout.
    """
    root = Path(source)
    if not root.is_dir():
        raise EpisodeError(f'{root}: no such folder, expected a set of BAIR: {LAYOUT}')
    splits = [split for split in SPLITS if (root / split).is_dir()]
    parts = [BairPart(split, root / split, _sequences(root / split)) for split in splits]
    return parts or [BairPart('', root, _sequences(root))]


def _sequences(folder: Path) -> tuple[BairSequence, ...]:
    found = [
        BairSequence(sequence)
        for group in _in_order(folder.glob('traj_*'))
        for sequence in _in_order(group.iterdir() if group.is_dir() else iter(()))
        if sequence.is_dir()
    ]
    if not found:
        raise EpisodeError(f'{folder}: holds no sequence, expected {LAYOUT}')
    return tuple(found)


def _in_order(paths: Iterator[Path]) -> list[Path]:
    """Sort by name, numbers in it by their value: 2 before 10."""

    def key(path: Path) -> list[tuple[int, int, str]]:
        pieces = re.split(r'(\d+)', path.name)
        return [(1, int(one), '') if one.isdecimal() else (0, 0, one) for one in pieces]

    return sorted(paths, key=key)


def _read_numbers(path: Path, columns: int) -> Float64Array:
    """Read a file of `columns` numbers in each row, (T, columns)."""
    try:
        lines = _read_bytes(path).decode('ascii').splitlines()
    except UnicodeDecodeError:
        raise EpisodeError(f'{path}: is no text, expected rows of {columns} numbers') from None
    rows = [_numbers(path, row, line, columns) for row, line in enumerate(lines) if line.strip()]
    if not rows:
        raise EpisodeError(f'{path}: is empty, expected rows of {columns} numbers')
    return np.array(rows, dtype=np.float64)


def _numbers(path: Path, row: int, line: str, columns: int) -> list[float]:
    cells = line.split(',')
    if len(cells) != columns:
        raise EpisodeError(f'{path}: row {row} has {len(cells)} columns, expected {columns}')
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        values = []
    if not values or not all(abs(value) <= MOST_POSITION for value in values):
        raise EpisodeError(f"{path}: row {row} is '{line[:60]}', expected {columns} numbers")
    return values


def _read_bytes(path: Path) -> bytes:
    try:
        return read_bytes(path, MOST_BYTES)
    except FileError as error:
        raise EpisodeError(str(error)) from None


def _broken_png(data: bytes) -> str:
    """Say what is wrong with a PNG file; '' for a sound one. Decoders forgive what is cut off."""
    if not data.startswith(PNG_SIGNATURE):
        return 'is no PNG file'
    place = len(PNG_SIGNATURE)
    width, height = (int.from_bytes(data[start : start + 4], 'big') for start in (16, 20))
    if width * height > MOST_PIXELS:
        return f'claims {width}x{height} pixels'
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], 'big')
        checked, stored = data[place + 4 : end - 4], data[end - 4 : end]
        if end > len(data) or zlib.crc32(checked) != int.from_bytes(stored, 'big'):
            return 'is damaged'
        if checked.startswith(b'IEND'):
            return ''
        place = end
    return 'is cut off'
