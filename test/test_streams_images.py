# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every image encoding becomes the same RGB array, whatever its row padding and byte order."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import recordings

from motion_policy.streams import StreamError, image_to_rgb, images

HEIGHT, WIDTH = 6, 8


def picture() -> np.ndarray:
    """Return an RGB image in which every pixel and channel differs."""
    count = HEIGHT * WIDTH * 3
    return (np.arange(count) * 255 // count).astype(np.uint8).reshape(HEIGHT, WIDTH, 3)


def padded(pixels: np.ndarray, encoding: str, extra: int, **fields: Any) -> Any:
    """Return a message whose rows are followed by `extra` bytes of noise."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    noise = np.full((pixels.shape[0], extra), 0xAB, np.uint8)
    data = np.hstack([rows, noise])
    return recordings.image_message(
        pixels, encoding, step=data.shape[1], data=data.tobytes(), **fields
    )


def with_alpha(rgb: np.ndarray) -> np.ndarray:
    return np.dstack([rgb, np.full(rgb.shape[:2], 7, rgb.dtype)])


@pytest.mark.parametrize('extra', [0, 1, 16])
@pytest.mark.parametrize('big_endian', [0, 1])
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8'])
def test_eight_bit_images(encoding: str, big_endian: int, extra: int) -> None:
    rgb = picture()
    sent = {
        'rgb8': rgb,
        'bgr8': rgb[:, :, ::-1],
        'rgba8': with_alpha(rgb),
        'bgra8': with_alpha(rgb[:, :, ::-1]),
        'mono8': rgb[:, :, 0],
    }[encoding]
    expected = np.repeat(rgb[:, :, :1], 3, axis=2) if encoding == 'mono8' else rgb
    image = image_to_rgb(padded(sent, encoding, extra, is_bigendian=big_endian))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize('extra', [0, 2, 5])
@pytest.mark.parametrize('big_endian', [0, 1])
@pytest.mark.parametrize('encoding', ['rgb16', 'bgr16', 'rgba16', 'bgra16', 'mono16'])
def test_sixteen_bit_images_are_scaled_in_their_byte_order(
    encoding: str, big_endian: int, extra: int
) -> None:
    rgb = picture()
    # 257 spreads 0..255 over 0..65535; the low byte alone would give the same, so shift it.
    wide = np.clip(rgb.astype(np.uint16) * 257 + 100, 0, 65535).astype(np.uint16)
    sent = {
        'rgb16': wide,
        'bgr16': wide[:, :, ::-1],
        'rgba16': with_alpha(wide),
        'bgra16': with_alpha(wide[:, :, ::-1]),
        'mono16': wide[:, :, 0],
    }[encoding]
    expected = np.repeat(rgb[:, :, :1], 3, axis=2) if encoding == 'mono16' else rgb
    ordered = sent.astype('>u2' if big_endian else '<u2')
    image = image_to_rgb(padded(ordered, encoding, extra, is_bigendian=big_endian))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ('encoding', 'sites'),
    [
        ('bayer_rggb8', 'RGGB'),
        ('bayer_bggr8', 'BGGR'),
        ('bayer_gbrg8', 'GBRG'),
        ('bayer_grbg8', 'GRBG'),
    ],
)
def test_bayer_patterns_keep_red_red(encoding: str, sites: str) -> None:
    colour = {'R': 200, 'G': 100, 'B': 20}
    mosaic = np.array([[colour[s] for s in sites[:2]], [colour[s] for s in sites[2:]]], np.uint8)
    image = image_to_rgb(padded(np.tile(mosaic, (4, 4)), encoding, 3))
    np.testing.assert_array_equal(image[2:-2, 2:-2], np.full((4, 4, 3), (200, 100, 20)))


@pytest.mark.parametrize(
    ('encoding', 'order'), [('yuv422', 'UYVY'), ('yuv422_yuy2', 'YUYV'), ('yuyv', 'YUYV')]
)
def test_yuv_images(encoding: str, order: str) -> None:
    # Blue: little luminance, much blue difference.
    yuv = {'Y': 41, 'U': 240, 'V': 110}
    first = [yuv[order[0]], yuv[order[1]]]
    second = [yuv[order[2]], yuv[order[3]]]
    pixels = np.tile(np.array([first, second], np.uint8), (HEIGHT, WIDTH // 2, 1))
    image = image_to_rgb(padded(pixels, encoding, 2)).astype(int)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image - (0, 0, 255)).max() < 12


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_compressed_images_are_rgb(suffix: str) -> None:
    rgb = recordings.scene(5)
    _, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    message = recordings.image_message(rgb, '')
    del message.encoding
    message.format, message.data = f'rgb8; {suffix[1:]} compressed bgr8', data.tobytes()
    error = np.abs(image_to_rgb(message).astype(int) - rgb)
    # JPEG with coarse colours blurs the edges of the square.
    assert error.mean() <= (0 if suffix == '.png' else 2)


def test_a_raw_rgb_image_is_not_copied() -> None:
    data = bytearray(picture().tobytes())
    message = recordings.image_message(picture(), 'rgb8', data=data)
    image = image_to_rgb(message)
    if images.CV_BRIDGE is None:
        data[0] = 99
        assert image[0, 0, 0] == 99


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'encoding': '32FC1'}, ['32FC1', 'rgb8']),
        ({'data': b'\0' * 10}, ['10 bytes', '8x6']),
        ({'step': 23}, ['step 23', '24']),
        ({'height': 0}, ['8x0']),
    ],
)
def test_a_broken_image_is_one_line(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(StreamError) as caught:
        message = recordings.image_message(picture(), 'rgb8')
        vars(message).update(fields)
        image_to_rgb(message)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize('data', [b'', b'no picture'])
def test_broken_compressed_data_is_one_line(data: bytes) -> None:
    message = recordings.image_message(picture(), '')
    del message.encoding
    message.format, message.data = 'jpeg', data
    with pytest.raises(StreamError, match=rf"'jpeg' and {len(data)} bytes"):
        image_to_rgb(message)


def test_rclpy_and_bag_messages_give_the_same_array() -> None:
    import bag_files
    from sensor_msgs.msg import Image

    rgb = picture()
    live = Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=WIDTH * 3)
    live.data.frombytes(rgb.tobytes())
    kind = 'sensor_msgs/msg/Image'
    recorded = bag_files.T[kind](
        header=bag_files.header(0),
        height=HEIGHT,
        width=WIDTH,
        encoding='rgb8',
        is_bigendian=0,
        step=WIDTH * 3,
        data=rgb.reshape(-1),
    )
    read = bag_files.STORE.deserialize_cdr(bag_files.STORE.serialize_cdr(recorded, kind), kind)
    np.testing.assert_array_equal(image_to_rgb(live), rgb)
    np.testing.assert_array_equal(image_to_rgb(read), rgb)


@pytest.mark.skipif(images.CV_BRIDGE is None, reason='cv_bridge comes with a ROS 2 installation')
def test_cv_bridge_gives_the_same_array(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = picture()
    sent = {
        'rgb8': rgb,
        'bgr8': rgb,
        'mono8': rgb[:, :, 0],
        'mono16': rgb[:, :, 0].astype('<u2') * 257,
        'bayer_rggb8': rgb[:, :, 0],
    }
    messages = [padded(sent[kind], kind, extra) for kind in sent for extra in (0, 6)]
    by_cv_bridge = [image_to_rgb(message) for message in messages]
    monkeypatch.setattr(images, 'CV_BRIDGE', None)
    for message, expected in zip(messages, by_cv_bridge, strict=True):
        np.testing.assert_array_equal(image_to_rgb(message), expected, message.encoding)


def test_a_refusal_of_cv_bridge_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def imgmsg_to_cv2(self, message: Any, encoding: str) -> None:
            raise RuntimeError('unknown encoding')

    monkeypatch.setattr(images, 'CV_BRIDGE', Refusing())
    with pytest.raises(StreamError, match=r"'rgb8': unknown encoding"):
        image_to_rgb(recordings.image_message(picture(), 'rgb8'))
