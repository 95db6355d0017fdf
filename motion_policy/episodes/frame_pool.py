# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Threads that decode a recorder's images, and encode them while it records, ahead of its rows.

Every image message goes in, in order; which of them are worth the work is known as others come.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from motion_policy.episodes.colours import has_colours
from motion_policy.episodes.images import encode_jpeg
from motion_policy.episodes.quality.images import exposure_of
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import CameraSpec, DepthSpec
from motion_policy.streams import StreamError
from motion_policy.streams.frames import ImageReading, check_image, decode_image
from motion_policy.streams.grid import Grid
from motion_policy.streams.images import jpeg_thumbnail, own_jpeg
from motion_policy.streams.samples import Unreadable

MOST_THREADS = 4
# Of messages that wait to be looked at. Others wait where they came, in queues that have an end.
MOST_BYTES = 48 * 2**20


@dataclass(frozen=True, eq=False)
class RecordedImage(ImageReading):
    """An image of a recording, and what its verdicts need to know of its pixels."""

    has_colours: bool = True
    exposure: str = ''


@dataclass(frozen=True)
class Wanted:
    """What is made of images, and whether their verdicts will be asked for.

    With `own_jpeg` a camera's own JPEG is kept as it came; all else is decoded. With
    `jpeg_quality` it is encoded then, but for a PNG of a camera that may send its own JPEG, too:
    its writer knows what that camera's are stored as.
    """

    own_jpeg: bool = True
    jpeg_quality: int | None = None
    verdicts: bool = False


class PendingImage:
    """An image message on its way into a sampler; `row_ns` is the first row that it can be in."""

    def __init__(self, message: Any, camera: CameraSpec | DepthSpec, row_ns: int) -> None:
        self.row_ns = row_ns
        self._message = message
        self._camera = camera
        self._bytes = len(getattr(message, 'data', ()))
        self._frame: ImageReading | None = None
        self._work: Future[None] | None = None
        self._is_passed_over = False

    @property
    def is_ready(self) -> bool:
        """Whether nothing is to be waited for."""
        return self._is_passed_over or self._frame is not None

    @property
    def is_in_work(self) -> bool:
        """Whether a thread has it, or will have it."""
        return self._work is not None and self._frame is None

    @property
    def waiting_bytes(self) -> int:
        """What it takes while it was neither looked at nor let go."""
        return self._bytes if self._frame is None else 0

    def let_go(self) -> Any:
        """What a sampler takes once this is ready: the frame, or a message without any work."""
        value, self._message, self._bytes = self._frame or self._message, None, 0
        return value

    def pass_over(self) -> None:
        """No row needs it, unless those after it turn out to be unusable."""
        self._is_passed_over = self._work is None

    def begin(self, threads: ThreadPoolExecutor, wanted: Wanted) -> None:
        """Have it looked at, once."""
        if self._work is None and not self._is_passed_over:
            self._work = threads.submit(self._look, wanted)

    def wait(self) -> None:
        """Wait until it was looked at, if it is to be."""
        if self._work is not None:
            self._work.result()

    def _look(self, wanted: Wanted) -> None:
        self._frame = looked_at(self._message, self._camera, wanted)
        self._message = None


def looked_at(message: Any, camera: CameraSpec | DepthSpec, wanted: Wanted) -> ImageReading:
    """Look at an image message, and make of it what is wanted."""
    try:
        check_image(message, camera)
    except StreamError as error:
        return ImageReading(unfit=str(error))
    except Exception as error:  # as a buffer says it of what its reader fails at
        return ImageReading(unfit=f'cannot be read: {" ".join(str(error).split())}')
    try:
        own = None if isinstance(camera, DepthSpec) else own_jpeg(message)
        own = own if wanted.own_jpeg else None
        if own is None:
            seen = kept = decode_image(message, camera)
        else:
            seen, kept = jpeg_thumbnail(message), own
        if not wanted.verdicts or isinstance(camera, DepthSpec):
            return ImageReading(kept, own)
        is_raw = not hasattr(message, 'format')
        if wanted.jpeg_quality is not None and (is_raw or not wanted.own_jpeg):
            kept = encode_jpeg(seen, wanted.jpeg_quality)
        colours, exposure = has_colours(seen), exposure_of(seen)
        return RecordedImage(kept, own, has_colours=colours, exposure=exposure)
    except Exception as error:  # lost in a thread otherwise, and rows would wait for it
        return ImageReading(damaged=str(error) or repr(error))


class FramePool:
    """Looks at images in threads of its own; the recorder's is never held up.

    Of several images of a camera that first stand in the same row only the last is looked at.
    `wanted` is what is made of those whose turn comes.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._cameras = {
            stream.name: stream.source
            for stream in robot.streams()
            if isinstance(stream.source, (CameraSpec, DepthSpec))
        }
        self._grid = Grid(robot.rate)
        self._threads = ThreadPoolExecutor(
            min(MOST_THREADS, os.cpu_count() or 1), thread_name_prefix='images'
        )
        self._newest: dict[str, PendingImage] = {}
        self._waiting: deque[PendingImage] = deque()
        self.wanted = Wanted()

    def has_room(self) -> bool:
        """Whether to take more images: where nothing is in work there always is."""
        waiting = sum(frame.waiting_bytes for frame in self._waiting)
        return waiting < MOST_BYTES or not any(frame.is_in_work for frame in self._waiting)

    def add(self, name: str, message: Any, receive_ns: int) -> Any:
        """Take the message of a stream; returns what waits in its place."""
        camera = self._cameras.get(name)
        if camera is None or message is None or isinstance(message, (np.ndarray, Unreadable)):
            return message
        row = self._grid.index_at_or_after(receive_ns)
        frame = PendingImage(message, camera, self._grid.time_ns(row))
        before = self._newest.get(name)
        if before is not None and before.row_ns == frame.row_ns:
            before.pass_over()
        elif before is not None:
            self._begin(before)
        self._newest[name] = frame
        while self._waiting and not self._waiting[0].waiting_bytes:
            self._waiting.popleft()
        self._waiting.append(frame)
        return frame

    def begin_before(self, time_ns: int) -> None:
        """Let no image wait that stands in a row before this time."""
        for frame in self._newest.values():
            if frame.row_ns < time_ns:
                self._begin(frame)

    def wait_for(self, frame: PendingImage) -> None:
        """Wait until it was looked at, if it is to be."""
        self._begin(frame)
        frame.wait()

    def _begin(self, frame: PendingImage) -> None:
        frame.begin(self._threads, self.wanted)
