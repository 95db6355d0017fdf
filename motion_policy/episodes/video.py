# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Images as frames of a video, each of which can be stored and read by itself.

Rule: an encoder gives the packet of a frame at once, and a packet needs only those since the last
key frame, so that what was written before a crash can be decoded. Decoders of H.264 and AV1 work
with whole numbers and one thread: pixels are the same to the bit in any order and on any machine.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.streams import StreamError

Bytes = npt.NDArray[np.uint8]
RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)

# Every so many frames one stands by itself: any is decoded from no more than so many.
KEY_FRAMES = 10
LEAST_PIXELS = 64  # along each side, of SVT-AV1
FULL_RANGE = 2

# x264 at its fastest halves the time of `superfast` and took fewer bytes with camera noise; the
# access unit delimiter says where a packet begins, where several stand in one row.
_H264 = {
    'preset': 'ultrafast', 'tune': 'zerolatency', 'crf': '18', 'threads': '1',
    'x264-params': f'aud=1:keyint={KEY_FRAMES}:min-keyint={KEY_FRAMES}:scenecut=0',
}  # fmt: skip
_AV1 = {
    'preset': '10', 'crf': '20',
    'svtav1-params': f'pred-struct=1:lookahead=0:lp=1:scd=0:keyint={KEY_FRAMES}',
}  # fmt: skip
_ENCODERS = {layout.H264: ('libx264', _H264), layout.AV1: ('libsvtav1', _AV1)}
_DECODERS = {layout.H264: ('h264',), layout.AV1: ('libdav1d', 'libaom-av1')}

# Start codes occur nowhere within a unit (ITU-T H.264, annex B).
_H264_UNIT = re.compile(rb'\x00\x00\x00\x01\x09', re.DOTALL)
_H264_KEY = re.compile(rb'\x00\x00\x01[\x05\x25\x45\x65]', re.DOTALL)
_DELIMITER, _SEQUENCE = 2, 1  # types of OBUs (AV1 specification, 5.3)


class VideoEncoder:
    """Encodes the images of one camera, (H, W, 3) uint8 RGB, one after the other.

    Args:
        codec: 'h264', in 4:4:4, which keeps the colour of small things, or 'av1', in 4:2:0.
        height, width: of all images; they may be odd.

    Raises:
        EpisodeError: PyAV is not installed, or has no such encoder.
    """

    def __init__(self, codec: str, height: int, width: int) -> None:
        av = _pyav(codec)
        self._layout = _Planes(codec, height, width)
        self._codec = codec
        self._av = av
        self._context = _encoder(codec)
        self._context.height, self._context.width = self._layout.size
        self._context.pix_fmt = self._layout.pixel_format
        self._context.time_base = Fraction(1, 30)
        self._context.framerate = 30
        self._context.gop_size = KEY_FRAMES
        self._context.max_b_frames = 0
        self._context.thread_count = 1
        self._context.color_range = FULL_RANGE
        self._context.options = dict(_ENCODERS[codec][1])
        self._frames = 0

    def encode(self, image: RgbImage) -> Bytes:
        """Return the packet (n,) uint8 of the next image (H, W, 3) uint8.

        Raises:
            EpisodeError: the encoder failed, or keeps the frame back.
        """
        frame = self._layout.frame(self._av, image)
        frame.pts, self._frames = self._frames, self._frames + 1
        try:
            if not self._context.is_open:
                with _scheduling_kept():
                    self._context.open()
            packets = self._context.encode(frame)
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise EpisodeError(f"storage '{self._codec}' cannot encode: {error}") from None
        data = b''.join(bytes(packet) for packet in packets)
        if len(packets) != 1 or len(list(video_units(data, self._codec))) != 1:
            raise EpisodeError(
                f"storage '{self._codec}': the encoder gave {len(packets)} packets for a frame, "
                'expected one at once'
            )
        return np.frombuffer(data, dtype=np.uint8)

    def close(self) -> None:
        """Let the encoder end; SVT-AV1 complains on stderr otherwise."""
        with contextlib.suppress(self._av.FFmpegError, OSError, ValueError):
            self._context.encode(None)


class VideoDecoder:
    """Decodes packets of one camera in their order, from a key frame on.

    Raises:
        EpisodeError: PyAV is not installed, or has no such decoder.
    """

    def __init__(self, codec: str, height: int, width: int) -> None:
        self._av = _pyav(codec)
        self._codec = codec
        self._layout = _Planes(codec, height, width)
        self._context: Any = None
        self.restart()

    def restart(self) -> None:
        """Forget what was decoded: the next packet is a key frame."""
        self._context = self._created()
        height, width = self._layout.size
        self._context.thread_count = 1
        self._context.options = {
            'err_detect': 'explode', 'max_pixels': str((height + 64) * (width + 64)),
        }  # fmt: skip

    def decode(self, unit: bytes) -> Any:
        """Return the frame of a packet, for `pixels`.

        Raises:
            StreamError: it is damaged, of another size, or no frame.
        """
        try:
            frames = self._context.decode(self._av.Packet(unit))
        except (self._av.FFmpegError, OSError, ValueError, MemoryError) as error:
            raise StreamError(f'{self._codec} cannot be decoded: {error}') from None
        if len(frames) != 1 or frames[0].is_corrupt:
            raise StreamError(f'{self._codec} cannot be decoded: damaged, or no frame in it')
        found = (frames[0].height, frames[0].width, frames[0].format.name)
        expected = (*self._layout.size, self._layout.pixel_format)
        # The full range of numbers is part of the name of a format for some decoders.
        if (*found[:2], found[2].replace('yuvj', 'yuv')) != expected:
            raise StreamError(f'{self._codec}: frame is {found}, expected {expected}')
        return frames[0]

    def pixels(self, frame: Any) -> RgbImage:
        """Return the image (H, W, 3) uint8 RGB of a frame."""
        return self._layout.image(frame)

    def _created(self) -> Any:
        for name in _DECODERS[self._codec]:
            try:
                return self._av.CodecContext.create(name, 'r')
            except (self._av.FFmpegError, ValueError):
                continue
        names = ' or '.join(_DECODERS[self._codec])
        raise EpisodeError(f"storage '{self._codec}' needs a PyAV with {names}")


def video_units(data: bytes, codec: str) -> Iterator[bytes]:
    """Yield the packets, each of one frame, that stand one behind the other in the bytes of a row.

    Raises:
        StreamError: they do not begin with one.
    """
    starts = _h264_starts(data) if codec == layout.H264 else _av1_starts(data)
    if not starts or starts[0] != 0:
        raise StreamError(f'does not begin with a packet of {codec}')
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        yield data[start:end]


def is_key_frame(unit: bytes, codec: str) -> bool:
    """Whether a packet needs none before it.

    Raises:
        StreamError: its headers are damaged.
    """
    if codec == layout.H264:
        return _H264_KEY.search(unit) is not None
    return any(kind == _SEQUENCE for kind, _ in _obus(unit))


class _Planes:
    """How RGB images become the frames of a codec and back, in whole numbers.

    Colours are those of JPEG (BT.601, full range). With 4:2:0 sides are filled up to even ones.
    """

    def __init__(self, codec: str, height: int, width: int) -> None:
        self._shape = height, width
        self._halved = codec == layout.AV1
        self.pixel_format = 'yuv420p' if self._halved else 'yuv444p'
        sides = (max(LEAST_PIXELS, side + side % 2) for side in (height, width))
        self.size = tuple(sides) if self._halved else (height, width)

    def frame(self, av: Any, image: RgbImage) -> Any:
        height, width = self._shape
        converted = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2YCrCb)
        light, red, blue = cv2.split(converted)
        if not self._halved:
            whole = np.stack([light, blue, red])
            return self._named(av.VideoFrame.from_ndarray(whole, format='yuv444p'))
        below, right = self.size[0] - height, self.size[1] - width
        light, red, blue = (
            cv2.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_REPLICATE)
            for plane in (light, red, blue)
        )
        half = self.size[1] // 2, self.size[0] // 2
        red, blue = (cv2.resize(p, half, interpolation=cv2.INTER_AREA) for p in (red, blue))
        stacked = np.concatenate([light.reshape(-1), blue.reshape(-1), red.reshape(-1)])
        whole = stacked.reshape(-1, self.size[1])
        return self._named(av.VideoFrame.from_ndarray(whole, format='yuv420p'))

    def image(self, frame: Any) -> RgbImage:
        height, width = self._shape
        planes: list[Any] = [_plane(frame, number) for number in (0, 2, 1)]
        if self._halved:
            size = self.size[1], self.size[0]
            planes[1:] = [
                cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR_EXACT)
                for plane in planes[1:]
            ]
        merged = cv2.merge([np.ascontiguousarray(plane[:height, :width]) for plane in planes])
        return np.asarray(cv2.cvtColor(merged, cv2.COLOR_YCrCb2RGB), dtype=np.uint8)

    @staticmethod
    def _named(frame: Any) -> Any:
        frame.color_range = FULL_RANGE
        return frame


def _plane(frame: Any, number: int) -> Bytes:
    """One plane of a frame (H, W), without what pads its lines."""
    plane = frame.planes[number]
    lines = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width]


def _h264_starts(data: bytes) -> list[int]:
    return [found.start() for found in _H264_UNIT.finditer(data)]


def _av1_starts(data: bytes) -> list[int]:
    return [start for kind, start in _obus(data) if kind == _DELIMITER]


def _obus(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield type and begin of each OBU."""
    place = 0
    while place < len(data):
        head, start = data[place], place
        place += 2 if head & 4 else 1
        if head & 0x81 or not head & 2:  # a bit that is 0, and a size that is there
            raise StreamError('headers of av1 are damaged')
        size, shift = 0, 0
        while True:
            if place >= len(data) or shift > 28:
                raise StreamError('headers of av1 are damaged')
            size |= (data[place] & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if not data[place - 1] & 0x80:
                break
        place += size
        if place > len(data):
            raise StreamError('av1 is cut')
        yield head >> 3 & 15, start


@contextlib.contextmanager
def _scheduling_kept() -> Iterator[None]:
    """Let all threads be scheduled afterwards as before, new ones as the one that is here.

    SVT-AV1 takes the highest real-time priority for its threads and for who opens it, where it may
    (as root): above the control tick of a node, and everything else.
    """
    before = _schedulings()
    here = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    try:
        yield
    finally:
        for thread, now in _schedulings().items():
            policy, priority = before.get(thread, here)
            if now != (policy, priority):
                with contextlib.suppress(OSError):  # it has ended
                    os.sched_setscheduler(thread, policy, os.sched_param(priority))


def _schedulings() -> dict[int, tuple[int, int]]:
    """Policy and priority of each thread of this process."""
    found = {}
    for name in os.listdir('/proc/self/task'):
        with contextlib.suppress(OSError):  # it has ended
            thread = int(name)
            priority = os.sched_getparam(thread).sched_priority
            found[thread] = os.sched_getscheduler(thread), priority
    return found


def check_encoder(codec: str) -> None:
    """Raise EpisodeError where there is no encoder for a codec."""
    _encoder(codec)


def _encoder(codec: str) -> Any:
    av, name = _pyav(codec), _ENCODERS[codec][0]
    # SVT-AV1 writes its version on stderr otherwise.
    os.environ.setdefault('SVT_LOG', '1')
    try:
        return av.CodecContext.create(name, 'w')
    except (av.FFmpegError, ValueError):
        raise EpisodeError(f"storage '{codec}' needs a PyAV with {name}") from None


def _pyav(codec: str) -> Any:
    try:
        import av
    except ImportError:
        raise EpisodeError(
            f"storage '{codec}' needs the package 'av': pip install 'motion_policy[video]'"
        ) from None
    return av
