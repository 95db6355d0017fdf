# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Images of an episode of LeRobot: frames of a video at the times of the rows, or stored images.

Every row has the frame of its own time; a frame that the decoder had to mend is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.lerobot.rows import MOST_IMAGE_BYTES
from motion_policy.episodes.paths import regular_input
from motion_policy.files import shown
from motion_policy.streams import StreamError
from motion_policy.streams.jpeg import decode_strictly, image_header

Array = npt.NDArray[Any]
RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)


def video_frames(
    path: Path, times_s: Array, tolerance_s: float, size: tuple[int, int]
) -> Iterator[RgbImage]:
    """Decode the frames at `times_s`, ascending, each within `tolerance_s`; (H, W, 3) uint8 RGB.

    Raises:
        EpisodeError: not a video of this size, damaged, or without a frame at one of the times.
    """
    regular_input(path, 'a video')
    row, kept = 0, None
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            codec = stream.codec_context
            if codec is None:
                raise ValueError('no decoder for it')
            _check_size(path, (codec.height, codec.width), size)
            codec.options = {'err_detect': 'explode'}
            assert stream.time_base is not None
            container.seek(max(0, round(times_s[0] / stream.time_base)), stream=stream)
            for frame in container.decode(stream):
                time_s = float(frame.time or 0.0)
                if kept is not None:
                    if abs(time_s - times_s[row]) < abs(kept.time - times_s[row]):
                        kept = None
                    else:
                        yield _pixels(path, kept, size)
                        row, kept = row + 1, None
                        if row == len(times_s):
                            return
                if time_s < times_s[row] - tolerance_s:
                    continue
                if time_s > times_s[row] + tolerance_s:
                    break
                kept = frame
            if kept is not None:
                yield _pixels(path, kept, size)
                row += 1
    except (av.FFmpegError, OSError, IndexError, ValueError, MemoryError, OverflowError) as error:
        if isinstance(error, EpisodeError):
            raise
        reason = shown(' '.join(str(error).split()))[:200] or type(error).__name__
        raise EpisodeError(f'{path}: cannot be decoded: {reason}') from None
    if row < len(times_s):
        raise EpisodeError(
            f'{path}: has no frame at {times_s[row]:.3f} s, expected {len(times_s)} frames from '
            f'{times_s[0]:.3f} to {times_s[-1]:.3f} s'
        )


def stored_bytes(data: Any, where: str) -> bytes:
    """Return the bytes of what a row holds, which may be a PNG or a JPEG.

    Raises:
        EpisodeError: there are none.
    """
    content = data.get('bytes') if isinstance(data, dict) else data
    if not isinstance(content, bytes) or not 0 < len(content) <= MOST_IMAGE_BYTES:
        raise EpisodeError(f'{where}: holds no image')
    return content


def stored_image(data: Any, where: str, size: tuple[int, int]) -> RgbImage:
    """Decode what a row holds, a PNG or a JPEG; (H, W, 3) uint8 RGB.

    Raises:
        EpisodeError: it holds none that is whole, or one of another size.
    """
    content = stored_bytes(data, where)
    try:
        header = image_header(content)
        _check_size(where, (header.height, header.width), size)
        pixels = decode_strictly(content)
    except StreamError as error:
        raise EpisodeError(f'{where}: holds no image that can be used: {error}') from None
    return np.ascontiguousarray(pixels[..., ::-1])


def _pixels(path: Path, frame: Any, size: tuple[int, int]) -> RgbImage:
    _check_size(path, (frame.height, frame.width), size)
    if frame.is_corrupt:
        raise EpisodeError(f'{path}: the frame at {frame.time:.3f} s is damaged')
    return np.asarray(frame.to_ndarray(format='rgb24'), dtype=np.uint8)


def _check_size(where: object, found: tuple[int, int], size: tuple[int, int]) -> None:
    if found != size:
        raise EpisodeError(
            f'{where}: its images are {found[1]}x{found[0]}, expected {size[1]}x{size[0]} as the '
            'set says'
        )
