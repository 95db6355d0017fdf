# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Images of many episodes as LeRobot's videos: H.264, several episodes in one file.

An episode is never split over two files, and a file begins at time 0 with frames one period apart.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

# A new file begins where one has grown to this; LeRobot compares times in float32, which are too
# coarse for its tolerance of 0.1 ms behind this time.
FILE_BYTES = 200 * 1024**2
FILE_S = 600.0

# Every second frame is a key frame, as in LeRobot's own: any frame is decoded from at most two.
KEY_FRAMES = 2
SMPTE_170M, LIMITED_RANGE = 6, 1


@dataclass(frozen=True)
class VideoPlace:
    """Where an episode stands: number of the file, and times in it [s]."""

    file: int
    begin_s: float
    end_s: float


class Videos:
    """The video files of one camera; a context manager.

    Args:
        folder: of all files.
        pattern: path of a file in it, by `chunk_index` and `file_index`; its folder is made.
        fps: frames per second.
        crf: 0 (best) to 51 of libx264.
    """

    def __init__(self, folder: Path, pattern: str, fps: float, *, crf: int) -> None:
        self._folder, self._pattern = folder, pattern
        self._fps = Fraction(fps).limit_denominator(1001)
        self._crf = crf
        self._container: Any = None
        self._stream: Any = None
        self._number = -1
        self._frames = self._begin = self._bytes = 0

    def __enter__(self) -> Videos:
        return self

    def __exit__(self, kind: object, *_details: object) -> None:
        if kind is None:
            self._close()
        elif self._container is not None:
            # What the encoder still holds is left: FFmpeg crashes when its header failed.
            with suppress(OSError, av.FFmpegError):
                self._container.close()

    def begin_episode(self, rows: int) -> None:
        """Say that an episode of `rows` frames follows; it may begin a new file."""
        too_long = (self._frames + rows) / self._fps > FILE_S
        if self._frames and (too_long or self._bytes > FILE_BYTES):
            self._close()
        self._begin = self._frames

    def add(self, image: npt.NDArray[np.uint8]) -> None:
        """Append an image (H, W, 3) uint8 RGB."""
        if self._container is None:
            self._open(*image.shape[:2])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24')
        frame.pts, frame.time_base = self._frames, 1 / self._fps
        self._mux(frame)
        self._frames += 1

    def end_episode(self) -> VideoPlace:
        """Return where the episode stands."""
        begin_s, end_s = (float(frames / self._fps) for frames in (self._begin, self._frames))
        return VideoPlace(self._number, begin_s, end_s)

    @staticmethod
    def pixel_format(height: int, width: int) -> str:
        """Colour at half resolution where the size allows it."""
        return 'yuv444p' if height % 2 or width % 2 else 'yuv420p'

    def _open(self, height: int, width: int) -> None:
        self._number += 1
        chunk, file = divmod(self._number, 1000)
        path = self._folder / self._pattern.format(chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path), 'w', format='mp4')
        stream: Any = self._container.add_stream('libx264', rate=self._fps)
        stream.height, stream.width = height, width
        stream.pix_fmt = self.pixel_format(height, width)
        stream.time_base = 1 / self._fps
        stream.thread_count = 1
        stream.codec_context.gop_size = KEY_FRAMES
        stream.codec_context.max_b_frames = 0
        stream.codec_context.colorspace = SMPTE_170M
        stream.codec_context.color_primaries = SMPTE_170M
        stream.codec_context.color_trc = SMPTE_170M
        stream.codec_context.color_range = LIMITED_RANGE
        stream.options = {'crf': str(self._crf), 'preset': 'veryfast'}
        self._stream, self._frames, self._bytes = stream, 0, 0

    def _mux(self, frame: av.VideoFrame | None) -> None:
        packets = self._stream.encode(frame)
        self._bytes += sum(packet.size for packet in packets)
        self._container.mux(packets)

    def _close(self) -> None:
        if self._container is not None:
            self._mux(None)
            self._container.close()
        self._container, self._frames = None, 0
