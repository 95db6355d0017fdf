# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The layout of an episode file: the ALOHA/ACT names, and ours beside them.

Writer, reader, checker and repair take every name from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from motion_policy.files import PART_SUFFIX

FORMAT = 'motion_policy/1'
# Of files in which a camera's dataset has the attribute STORAGE: who does not know it would take
# red for blue, and shall refuse them.
FORMAT_MARKED = 'motion_policy/2'
SUFFIX = '.hdf5'

QPOS = 'observations/qpos'
QVEL = 'observations/qvel'
EFFORT = 'observations/effort'
IMAGES = 'observations/images'
VECTORS = 'observations/vectors'
DEPTH = 'observations/depth'
ACTION = 'action'
TIME_NS = 'time_ns'
# Of a rollout of a policy: where a person drove, and what the policy would have had.
INTERVENTION = 'intervention'
POLICY_ACTION = 'policy_action'
COMPRESS_LEN = 'compress_len'
STAMPS = 'stamps'
STAMP_FIELDS = ('header_ns', 'receive_ns', 'age_ns')
MESSAGES = 'messages'  # how many a row has of the last k of a vector
COUNTERS = ('received', 'dropped', 'duplicates', 'max_gap_ns', 'unusable')

# What every attribute of the file is; `ended` and `edits` came later.
ATTRIBUTES = {
    'format': 'text',
    'sim': 'flag',
    'compress': 'flag',
    'rate': 'number',
    'robot': 'text',
    'joint_names': 'texts',
    'cameras': 'texts',
    'task': 'text',
    'success': 'judgement',
    'operator': 'text',
    'created': 'text',
    'software': 'text',
    'ended': 'text',
    'edits': 'texts',
}
DEFAULTS: dict[str, tuple[Any, ...]] = {'ended': ('',), 'edits': ((),)}

OPTIONAL = (EFFORT, INTERVENTION, POLICY_ACTION)

# Attributes that a recorder adds when an episode is finished: the worst level, and all as JSON.
QUALITY, VERDICTS = 'quality', 'verdicts'

# The attribute of a stream's stamps that says what its counters count, where it is there: the
# samples that stand in its rows, since some rows were taken away, or the counters lost.
COUNTED, IN_ROWS = 'counted', 'samples in rows'

# The attribute of a camera's images that says what they are stored as. Where those of all cameras
# are pixels or JPEG in ALOHA's order of colours (RAW, JPEG), none has it; else all have.
STORAGE = 'storage'
RAW, JPEG = 'raw', 'jpeg'
CAMERA_JPEG = 'camera_jpeg'  # the camera's own as it came, which OpenCV decodes as BGR
PNG = 'png'
H264, AV1 = 'h264', 'av1'  # a row holds the packet of its frame
MARKED_STORAGES = (CAMERA_JPEG, PNG, H264, AV1)
VIDEO = (H264, AV1)

# What a writer may be told. JPEG: the camera's own where it sends some; ALOHA_JPEG: encoded here
# in any case, so that ALOHA's tools read it.
ALOHA_JPEG = 'aloha_jpeg'
ImageStorage = Literal['jpeg', 'aloha_jpeg', 'raw', 'png', 'h264', 'av1']
STORAGES: tuple[str, ...] = get_args(ImageStorage)

# The attribute of a vector that says what each of its numbers is.
COLUMNS = 'columns'

# What the attribute `source` of the actions says.
LEADER, NEXT_QPOS = 'leader', 'next qpos'

# Where the rows lie: along the second axis of compress_len, else along the first.
ROW_AXIS = {COMPRESS_LEN: 1}

# Readable by HDF5 1.10 and later, and safe to read after the writer was killed (SWMR).
LIBRARY_VERSIONS = ('v110', 'v110')


def part_path(path: Path) -> Path:
    """Return the name that an episode has while it is written."""
    return path.with_name(path.name + PART_SUFFIX)


def row_axis(dataset_name: str) -> int:
    """Return the axis of a dataset along which the rows lie."""
    return ROW_AXIS.get(dataset_name.strip('/'), 0)


def dataset_names(file: Any) -> list[str]:
    """Return the names of all datasets of an open HDF5 file."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if hasattr(item, 'shape') else None)
    return names
