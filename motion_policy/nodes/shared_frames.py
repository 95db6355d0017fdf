# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One picture of each camera in memory that two processes share and that ends with them.

One side writes while the other waits: whoever asks for a step waits for its answer.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable, Mapping

import numpy as np

from motion_policy.robot import RobotSpec
from motion_policy.streams.images import RgbImage


class SharedFrames:
    """`images` are views, (H, W, 3) uint8 RGB by camera, of the memory behind `fd`."""

    def __init__(self, robot: RobotSpec, cameras: Iterable[str], fd: int) -> None:
        shapes = {name: (robot.cameras[name].height, robot.cameras[name].width, 3)
                  for name in cameras}  # fmt: skip
        sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
        total = max(1, sum(sizes.values()))
        if os.fstat(fd).st_size < total:
            os.ftruncate(fd, total)
        self._memory = mmap.mmap(fd, total)
        self.images: dict[str, RgbImage] = {}
        place = 0
        for name, shape in shapes.items():
            view = np.frombuffer(self._memory, np.uint8, sizes[name], place)
            self.images[name] = view.reshape(shape)
            place += sizes[name]

    def write(self, images: Mapping[str, RgbImage]) -> None:
        """Take copies of these pictures, which have the sizes of the robot spec."""
        for name, view in self.images.items():
            view[:] = images[name]


def unnamed_memory() -> int:
    """Return the descriptor of a new, empty piece of memory that ends with its last user."""
    if hasattr(os, 'memfd_create'):
        return os.memfd_create('motion_policy_frames')
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
