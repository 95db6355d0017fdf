# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""RGB frames -> an .mp4 (H.264) or .gif file; the file gets its name only when it is complete."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from motion_policy.errors import UserError
from motion_policy.files import make_folder, new_file

SUFFIXES = ('.mp4', '.gif')
GIF_MAX_WIDTH = 960
HUNDREDTH_S = Fraction(1, 100)
LAST_FRAME_HOLD_S = 1.5


def check_video_path(path: Path) -> Path:
    """The path, if its ending is one we can write; UserError otherwise."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f'{path}: a video file must end in .mp4 or .gif, found {path.suffix!r}')
    return path


class VideoFile:
    """A video being written, frame by frame, as a context manager.

    Frames are (H, W, 3) uint8 RGB, all of one size; odd edges are cut by one pixel, since H.264
    stores colour at half resolution. A .gif rests on its last frame for `hold_s` before it
    repeats. An exception inside the block leaves no file behind.
    """

    def __init__(self, path: Path | str, fps: float, *, hold_s: float = LAST_FRAME_HOLD_S) -> None:
        self.path = check_video_path(Path(path))
        self.fps = fps
        self._hold_s = hold_s
        self.frames = 0
        self._naming = ExitStack()
        self._sink: _Mp4 | _Gif | None = None

    def __enter__(self) -> VideoFile:
        make_folder(self.path.parent)
        self._part = self._naming.enter_context(new_file(self.path))
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append one frame."""
        if self._sink is None:
            is_gif = self.path.suffix.lower() == '.gif'
            self._sink = (
                _Gif(self._part, self.fps, self._hold_s) if is_gif else _Mp4(self._part, self.fps)
            )
        height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
        self._sink.write(np.ascontiguousarray(frame[:height, :width]))
        self.frames += 1

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        with self._naming:
            if error is not None:
                if self._sink is not None:
                    self._sink.abandon()
                raise error
            if self._sink is not None:
                self._sink.close()


class _Mp4:
    def __init__(self, path: Path, fps: float) -> None:
        import av

        self._av = av
        # +faststart puts the index first, so that a browser plays before it has all.
        self._container = av.open(str(path), 'w', format='mp4', options={'movflags': '+faststart'})
        self._fps = Fraction(fps).limit_denominator(1001)
        self._stream: Any = None

    def write(self, frame: np.ndarray) -> None:
        if self._stream is None:
            self._stream = self._container.add_stream('libx264', rate=self._fps)
            self._stream.height, self._stream.width = frame.shape[:2]
            self._stream.pix_fmt = 'yuv420p'
            self._stream.thread_count = 1
            self._stream.options = {'crf': '20', 'preset': 'medium'}
        image = self._av.VideoFrame.from_ndarray(frame, format='rgb24')
        self._container.mux(self._stream.encode(image))

    def close(self) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """End without what the encoder still holds: FFmpeg crashes when its header failed."""
        with suppress(OSError, self._av.FFmpegError):
            self._container.close()


class _Gif:
    """FFmpeg's palette filters: they gather all frames and make one palette that suits them."""

    def __init__(self, path: Path, fps: float, hold_s: float) -> None:
        import av

        self._av = av
        self._path = path
        # GIF counts time in hundredths of a second, and browsers slow anything below two.
        self._step = max(2, round(100 / fps))
        self._hold = max(self._step, round(100 * hold_s))
        self._graph: Any = None
        self._size = (0, 0)
        self._frames = 0

    def write(self, frame: np.ndarray) -> None:
        height, width = frame.shape[:2]
        if width > GIF_MAX_WIDTH:
            size = (GIF_MAX_WIDTH, round(height * GIF_MAX_WIDTH / width))
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        image = self._av.VideoFrame.from_ndarray(frame, format='rgb24')
        image.pts, image.time_base = self._frames * self._step, HUNDREDTH_S
        if self._graph is None:
            self._size = frame.shape[:2]
            self._graph = self._palette_graph(image)
        self._graph.push(image)
        self._frames += 1

    def _palette_graph(self, image: Any) -> Any:
        graph = self._av.filter.Graph()
        source = graph.add_buffer(
            width=image.width, height=image.height, format=image.format,
            time_base=HUNDREDTH_S,
        )  # fmt: skip
        split, make = graph.add('split'), graph.add('palettegen', 'reserve_transparent=0')
        # Without dithering, areas that stand still stay still.
        use, sink = graph.add('paletteuse', 'dither=none'), graph.add('buffersink')
        source.link_to(split)
        split.link_to(make, 0, 0)
        split.link_to(use, 1, 0)
        make.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        return graph

    def close(self) -> None:
        if self._graph is None:
            return
        self._graph.push(None)
        options = {'loop': '0', 'final_delay': str(self._hold)}
        with self._av.open(str(self._path), 'w', format='gif', options=options) as container:
            stream = container.add_stream('gif', rate=Fraction(100, self._step))
            stream.pix_fmt, stream.time_base = 'pal8', HUNDREDTH_S
            stream.height, stream.width = self._size
            for _ in range(self._frames):
                container.mux(stream.encode(self._graph.pull()))
            container.mux(stream.encode(None))

    def abandon(self) -> None:
        """End without a file: nothing was written yet."""
