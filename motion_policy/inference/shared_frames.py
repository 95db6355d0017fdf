# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Images of each camera in memory that two processes share and that ends with them.

One side writes what the other does not look at: a question names the places of its images, and
they stay until the next one.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from motion_policy.robot import DepthSpec, RobotSpec
from motion_policy.streams.images import RgbImage, pixels_in_place

ASKED = 0  # the place of images that are written with the question
READY = 4  # places of those that are there before: one looked at, one written, two newest
PLACES = 1 + READY


class SharedFrames:
    """`PLACES` images of each camera in the memory behind `fd`.

    They are (H, W, 3) uint8 RGB, of depth (H, W, 2), as of `Observation.image`.
    """

    def __init__(self, robot: RobotSpec, cameras: Iterable[str], fd: int) -> None:
        topics = {name: robot.image_topics[name] for name in cameras}
        shapes = {
            name: (PLACES, topic.height, topic.width, 2 if isinstance(topic, DepthSpec) else 3)
            for name, topic in topics.items()
        }
        sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
        total = max(1, sum(sizes.values()))
        if os.fstat(fd).st_size < total:
            os.ftruncate(fd, total)
        self._memory = mmap.mmap(fd, total)
        self._images: dict[str, RgbImage] = {}
        begin = 0
        for name, shape in shapes.items():
            view = np.frombuffer(self._memory, np.uint8, sizes[name], begin)
            self._images[name] = view.reshape(shape)
            begin += sizes[name]

    @property
    def cameras(self) -> tuple[str, ...]:
        """Whose images these are."""
        return tuple(self._images)

    def at(self, places: Mapping[str, int]) -> dict[str, RgbImage]:
        """Views of the images at these places."""
        return {name: self._images[name][place] for name, place in places.items()}

    def write(self, images: Mapping[str, RgbImage]) -> dict[str, int]:
        """Take copies of these images, which have the sizes of the robot spec; where they are.

        Only while no question about such copies is out.
        """
        for name, places in self._images.items():
            places[ASKED] = images[name]
        return dict.fromkeys(self._images, ASKED)


class ReadyFrames:
    """Images that lie in shared memory before anybody asks about them.

    One thread puts them there as they come, another finds them. Only a raw image whose bytes are
    RGB already is copied: nothing is decoded here.
    """

    def __init__(self, frames: SharedFrames) -> None:
        self._frames = frames
        self._lock = threading.Lock()
        self._messages: dict[str, list[Any]] = {
            camera: [None] * PLACES for camera in frames.cameras
        }
        self._last = dict.fromkeys(frames.cameras, ASKED)
        self._looked_at = dict.fromkeys(frames.cameras, ASKED)

    def put(self, camera: str, message: Any) -> None:
        """Copy the image of a message, if it is one of those that are looked at."""
        messages = self._messages.get(camera)
        pixels = None if messages is None else pixels_in_place(message)
        if messages is None or pixels is None:
            return
        with self._lock:
            place = self._next_place(camera)
            messages[place] = None
        (view,) = self._frames.at({camera: place}).values()
        if pixels.shape == view.shape:
            view[:] = pixels
            messages[place] = message

    def find(self, messages: Mapping[str, Any]) -> dict[str, int] | None:
        """Where the images of these messages, one of each camera, are; None if one is not there.

        They stay there until other ones are found.
        """
        with self._lock:
            places = {
                camera: next((n for n, kept in enumerate(known) if kept is messages[camera]), 0)
                for camera, known in self._messages.items()
            }
            if ASKED in places.values():
                return None
            self._looked_at = places
            return places

    def _next_place(self, camera: str) -> int:
        place = self._last[camera] % READY + 1
        if place == self._looked_at[camera]:
            place = place % READY + 1
        self._last[camera] = place
        return place


def unnamed_memory() -> int:
    """Return the descriptor of a new, empty piece of memory that ends with its last user."""
    if hasattr(os, 'memfd_create'):
        return os.memfd_create('motion_policy_frames')
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
