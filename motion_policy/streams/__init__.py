# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Stamped samples of several streams become aligned rows on a fixed grid.

The recorder, the bag importer and the live policy all sample here, so that they see the same rows.
"""

from motion_policy.streams.errors import StreamError, UnusableFrameError
from motion_policy.streams.grid import Grid
from motion_policy.streams.messages import (
    JointReading,
    Observation,
    image_to_rgb,
    observation_from_row,
    read_joints,
    stamp_ns,
)
from motion_policy.streams.sampler import GridSampler, Row, Sample, Sampler, StreamCounters

__all__ = [
    'Grid',
    'GridSampler',
    'JointReading',
    'Observation',
    'Row',
    'Sample',
    'Sampler',
    'StreamCounters',
    'StreamError',
    'UnusableFrameError',
    'image_to_rgb',
    'observation_from_row',
    'read_joints',
    'stamp_ns',
]
