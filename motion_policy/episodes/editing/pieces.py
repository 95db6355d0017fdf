# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Writing of edited episodes: some rows of an episode, other labels, fewer streams.

Rule: the numbers of a row that is kept are those of the original to the bit, and the file says
what was done to it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from motion_policy import __version__
from motion_policy.episodes import layout
from motion_policy.episodes.hdf5.copying import RowsOf
from motion_policy.episodes.hdf5.output import HdfOutput, changed_hdf5, new_hdf5
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.robot import RobotSpec, depth_stream
from motion_policy.streams import Sample, Sampler, StreamCounters

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EditStamp:
    """Who edits: the name of the edit, its options in words, and when, ISO 8601."""

    action: str
    options: str
    when: str


@dataclass(frozen=True)
class Piece:
    """An episode to be made of another one.

    Args:
        rows: which of its rows (N,); None: all.
        of_dataset: which rows of a dataset, where they are others than `rows`, by its name.
        labels: attributes of the file that become others.
        dropped: cameras, vectors and depth streams that are left out.
        robot: the robot of the new episode; None: that of the old one.
        finish: what is to be done to the new file besides.
        images: writes the images of all rows to the new file, in place of copies of them.
    """

    rows: Int64Array | None = None
    of_dataset: Mapping[str, Int64Array] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    dropped: Collection[str] = ()
    robot: RobotSpec | None = None
    finish: Callable[[h5py.File], None] | None = None
    images: Callable[[EpisodeReader, HdfOutput], None] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all datasets stay as they are."""
        return self.rows is None and not self.dropped and self.images is None


def write_piece(source: Path, part: Path, piece: Piece, stamp: EditStamp, digest: str) -> None:
    """Write an episode made of `source`, whose SHA-256 is `digest`, to the new file `part`.

    Raises:
        EpisodeError: the source is damaged.
        OSError: it cannot be written.
    """
    if piece.is_whole:
        shutil.copyfile(source, part)
    else:
        _write_rows(source, part, piece)
    with EpisodeReader(source) as episode:
        entry = _entry(episode, piece, stamp, digest)
        edits = [*episode.edits, json.dumps(entry)]
    with changed_hdf5(part) as file:
        if not piece.is_whole:
            # What was judged is no longer what is there; `check` judges anew.
            for name in (layout.QUALITY, layout.VERDICTS):
                file.attrs.pop(name, None)
        for name, value in piece.labels.items():
            file.attrs[name] = value
        if piece.robot is not None:
            _describe(file, piece.robot)
        file.attrs['edits'] = np.array(edits, dtype=h5py.string_dtype())


def without_streams(robot: RobotSpec, dropped: Collection[str]) -> RobotSpec:
    """The robot without some cameras, vectors and depth streams."""
    kept = {
        'cameras': {n: c for n, c in robot.cameras.items() if n not in dropped},
        'vectors': {n: v for n, v in robot.vectors.items() if n not in dropped},
        'depth': {n: d for n, d in robot.depth.items() if depth_stream(n) not in dropped},
    }
    return robot.model_copy(update=kept)


def counted_in_rows(
    robot: RobotSpec, stamps: Mapping[str, tuple[Int64Array, Int64Array]]
) -> dict[str, StreamCounters]:
    """What the sampler counts of the samples that stand in rows.

    Args:
        robot: whose streams.
        stamps: by stream, the stamps (T,) and times of reception (T,) of the rows [ns].
    """
    # Nothing of a message is there to be read: only its times are looked at.
    sampler = Sampler(replace(s, role='camera', source=None) for s in robot.streams())
    for stream, (header_ns, receive_ns) in stamps.items():
        before = None
        for sample in zip(header_ns.tolist(), receive_ns.tolist(), strict=True):
            if sample not in (before, (0, 0)):
                sampler.push(stream, Sample(*sample, None))
            before = sample
    return sampler.counters


def _write_rows(source: Path, part: Path, piece: Piece) -> None:
    with EpisodeReader(source) as episode:
        robot = episode.robot
        dropped = _groups_of(robot, piece.dropped)
        kept = without_streams(robot, piece.dropped)
        linked = _linked(episode, kept) if piece.rows is not None else []
        left_out = dropped | {f'{layout.IMAGES}/{camera}' for camera in linked}
        if piece.images is not None:
            left_out |= {f'{layout.IMAGES}/{camera}' for camera in robot.cameras}
            left_out.add(layout.COMPRESS_LEN)
        with new_hdf5(part, libver=layout.LIBRARY_VERSIONS) as output:
            episode.copy_to(output, _rows_of(episode, piece), lambda name: name in left_out)
            if piece.dropped and layout.COMPRESS_LEN in output.file:
                _drop_lengths(output.file, robot, piece.dropped)
            if piece.rows is not None:
                _count_again(output.file, kept)
            if piece.finish is not None:
                piece.finish(output.file)
            if piece.images is not None:
                piece.images(episode, output)
            for camera in linked:
                assert piece.rows is not None
                name = f'{layout.IMAGES}/{camera}'
                rows = piece.of_dataset.get(name, piece.rows)
                lengths = episode.copy_images(camera, output, rows)
                output.file[layout.COMPRESS_LEN][list(kept.cameras).index(camera)] = lengths


def _rows_of(episode: EpisodeReader, piece: Piece) -> RowsOf:
    def rows_of(name: str, shape: tuple[int, ...]) -> tuple[int, Int64Array] | None:
        axis = layout.row_axis(name)
        if piece.rows is None or len(shape) <= axis or shape[axis] != episode.length:
            return None
        return axis, piece.of_dataset.get(name, piece.rows)

    return rows_of


def _linked(episode: EpisodeReader, robot: RobotSpec) -> list[str]:
    """The cameras of a robot whose rows may need rows before them."""
    return [camera for camera in robot.cameras if episode.stored_images(camera).is_marked]


def _groups_of(robot: RobotSpec, dropped: Collection[str]) -> set[str]:
    names = {f'{layout.STAMPS}/{stream}' for stream in dropped}
    names |= {f'{layout.IMAGES}/{name}' for name in robot.cameras if name in dropped}
    names |= {f'{layout.VECTORS}/{name}' for name in robot.vectors if name in dropped}
    return names | {f'{layout.DEPTH}/{n}' for n in robot.depth if depth_stream(n) in dropped}


def _drop_lengths(file: h5py.File, robot: RobotSpec, dropped: Collection[str]) -> None:
    """Leave out the rows of compress_len that are of dropped cameras."""
    old = file[layout.COMPRESS_LEN]
    kept = [number for number, camera in enumerate(robot.cameras) if camera not in dropped]
    lengths, options = old[kept], {'dtype': old.dtype, 'fletcher32': old.fletcher32}
    attributes = dict(old.attrs)
    del file[layout.COMPRESS_LEN]
    if kept:
        new = file.create_dataset(
            layout.COMPRESS_LEN, data=lengths, maxshape=(len(kept), None), chunks=True, **options
        )
        new.attrs.update(attributes)


def _count_again(file: h5py.File, robot: RobotSpec) -> None:
    groups = {stream: file[f'{layout.STAMPS}/{stream}'] for stream in robot.stream_names}
    stamps = {
        stream: (group['header_ns'][()], group['receive_ns'][()])
        for stream, group in groups.items()
    }
    for stream, counted in counted_in_rows(robot, stamps).items():
        attributes = groups[stream].attrs
        attributes[layout.COUNTED] = layout.IN_ROWS
        for counter in layout.COUNTERS:
            attributes[counter] = np.int64(getattr(counted, counter))


def _describe(file: h5py.File, robot: RobotSpec) -> None:
    file.attrs['robot'] = robot.to_yaml()
    file.attrs['rate'] = robot.rate
    file.attrs['cameras'] = np.array(list(robot.cameras), dtype=h5py.string_dtype())


def _entry(episode: EpisodeReader, piece: Piece, stamp: EditStamp, digest: str) -> dict[str, Any]:
    """What was done, for the file itself."""
    entry: dict[str, Any] = {
        'action': stamp.action, 'options': stamp.options, 'from': str(episode.path.name),
        'sha256': digest, 'of_rows': episode.length,
    }  # fmt: skip
    if piece.rows is not None:
        steps = np.unique(np.diff(piece.rows)).tolist()
        entry['rows'] = [int(piece.rows[0]), int(piece.rows[-1]) + 1]
        entry['row_step'] = steps[0] if len(steps) == 1 else 1 if not steps else None
        counted = {s: episode.stamps(s).counters for s in episode.robot.stream_names}
        entry['counters_before'] = {
            stream: {name: getattr(counters, name) for name in layout.COUNTERS}
            for stream, counters in counted.items()
        }
    if piece.images is not None:
        entry['storage_before'] = {n: episode.storage(n) for n in episode.cameras}
    if piece.dropped:
        entry['dropped'] = sorted(piece.dropped)
    if piece.labels:
        entry['labels_before'] = {
            name: getattr(episode, name) for name in piece.labels if hasattr(episode, name)
        }
    return {**entry, 'when': stamp.when, 'software': f'motion_policy {__version__}'}
