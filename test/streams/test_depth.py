# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Depth messages become millimetres, whatever their encoding; what is no depth is not taken."""

from __future__ import annotations

import struct
import zlib
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import recordings

from motion_policy.robot import RobotSpecError, robot_spec_from_yaml
from motion_policy.streams import Sample, Sampler, StreamError, image_to_rgb, observation_from_row
from motion_policy.streams.depth import decode_depth, millimetres

HEIGHT, WIDTH = 6, 8
MS = 1_000_000
ROBOT = recordings.with_depth(recordings.tabletop(), WIDTH, HEIGHT)
CAMERA = ROBOT.depth['top']
NAN, INF = float('nan'), float('inf')


def depth() -> np.ndarray:
    """Return a depth image in which every pixel differs, in both of its bytes."""
    count = HEIGHT * WIDTH
    return (1361 * np.arange(count) % 65536).astype(np.uint16).reshape(HEIGHT, WIDTH)


def raw(values: np.ndarray, encoding: str, extra: int = 0, big_endian: int = 0) -> Any:
    ordered = values.astype(values.dtype.newbyteorder('>' if big_endian else '<'))
    rows = np.ascontiguousarray(ordered).view(np.uint8).reshape(len(values), -1)
    data = np.hstack([rows, np.full((len(rows), extra), 0xAB, np.uint8)])
    return recordings.image_message(
        values, encoding, step=data.shape[1], data=data.tobytes(), is_bigendian=big_endian
    )


def compressed(data: bytes, kind: str) -> Any:
    return SimpleNamespace(header=recordings.header(0), format=kind, data=data)


def png(values: np.ndarray) -> bytes:
    return cv2.imencode('.png', values)[1].tobytes()


def quantised(metres: np.ndarray, levels: float = 100.0, farthest: float = 10.0) -> bytes:
    """Metres as image_transport quantises them: by their inverse; what is no distance is 0."""
    a = levels * (levels + 1)
    b = 1 - a / farthest
    with np.errstate(divide='ignore', invalid='ignore'):
        numbers = np.where(metres < farthest, a / metres + b, 0)
    return struct.pack('<iff', 0, a, b) + png(np.nan_to_num(numbers).astype(np.uint16))


@pytest.mark.parametrize('extra', [0, 2, 5])
@pytest.mark.parametrize('big_endian', [0, 1])
def test_raw_depth_in_its_byte_order_and_without_what_pads_its_rows(
    extra: int, big_endian: int
) -> None:
    image = decode_depth(raw(depth(), '16UC1', extra, big_endian), CAMERA)
    assert (image.dtype, image.dtype.isnative) == (np.uint16, True)
    np.testing.assert_array_equal(image, depth())
    metres = (depth() / 1000).astype(np.float32)
    expected = np.where(depth() <= 65534, depth(), 0)
    image = decode_depth(raw(metres, '32FC1', extra, big_endian), CAMERA)
    np.testing.assert_array_equal(image, expected)


def test_metres_become_the_nearest_millimetre_or_no_measurement() -> None:
    nothing = [NAN, INF, -INF, -1.0, 0.0, 65.536, 1e30, 0.0004]
    metres = np.array([*nothing, 0.0006, 0.6204, 0.6206, 65.534], np.float32)
    assert millimetres(metres).tolist() == [0] * len(nothing) + [1, 620, 621, 65534]


@pytest.mark.parametrize(
    ('kind', 'before'),
    [
        ('16UC1; compressedDepth png', struct.pack('<iff', 0, 0, 0)),
        ('16UC1; compressedDepth', struct.pack('<iff', -1, 5, 7)),
        ('16UC1; png compressed ', b''),
        ('png', b''),
    ],
)
def test_compressed_millimetres_come_back_to_the_bit(kind: str, before: bytes) -> None:
    image = decode_depth(compressed(before + png(depth()), kind), CAMERA)
    np.testing.assert_array_equal(image, depth())


def test_quantised_metres_come_back_as_near_as_they_were_quantised() -> None:
    metres = np.linspace(0.3, 4.0, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    metres[0, :3] = NAN, INF, 12.0
    image = decode_depth(compressed(quantised(metres), '32FC1; compressedDepth png'), CAMERA)
    assert image[0, :3].tolist() == [0, 0, 0]
    error_mm = np.abs(image - 1000 * metres)[1:]
    # One level is metres^2 / 10100, here 1.6 mm at 4 m.
    assert (error_mm <= 1000 * metres[1:] ** 2 / 10100 + 0.5).all()


CUT = png(depth())[:-20]
SHORT = png(depth()[:3])
HALF = b''.join(  # a sound PNG, whose pixels end half way
    struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    for kind, data in (
        (b'IHDR', struct.pack('>IIBBBBB', WIDTH, HEIGHT, 16, 0, 0, 0, 0)),
        (b'IDAT', zlib.compress(bytes(3 * (2 * WIDTH + 1)))),
        (b'IEND', b''),
    )
)
COLOURS = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize(
    ('message', 'words'),
    [
        (raw(depth(), 'mono16'), "'mono16' holds brightness, not distances, expected depth"),
        (raw(depth().astype(np.uint8), '8UC1'), "'8UC1' is no depth, expected depth: 16UC1 or 32"),
        (raw(depth().astype(np.float64), '64FC1'), "'64FC1' is no depth"),
        (raw(COLOURS, 'rgb8'), "'rgb8' is no depth"),
        (raw(depth()[:3], '16UC1'), r'8x3 \(width x height\), expected 8x6'),
        (compressed(bytes(12) + CUT, '16UC1; compressedDepth png'), 'PNG is damaged'),
        (compressed(b'\x89PNG\r\n\x1a\n' + HALF, 'png'), 'its bytes end before its pixels'),
        (compressed(SHORT, '16UC1; png compressed '), 'expected 8x6'),
        (compressed(b'', '16UC1; png compressed '), '0 bytes is no PNG'),
        (compressed(bytes(7), '32FC1; compressedDepth png'), '7 bytes is no PNG'),
        (compressed(png(COLOURS), 'png'), 'has 8 bits and 3 channels, expected 16 bits of grey'),
        (compressed(png(COLOURS[..., 0]), 'png'), 'has 8 bits and 1 channels'),
        (compressed(png(depth()), 'mono16; png compressed '), 'holds brightness'),
        (compressed(png(depth()), '32FC1; png compressed '), 'expected compressedDepth'),
        (compressed(b'\xff\xd8' + bytes(99), 'rgb8; jpeg compressed bgr8'), 'is no depth'),
        (compressed(bytes(99), '16UC1; compressedDepth rvl'), 'holds RVL, which is not read'),
        (compressed(bytes(12) + png(depth()), 'mono8; compressedDepth png'), 'is no depth'),
        (compressed(bytes(12) + png(depth()), '32FC1; compressedDepth png'), 'depthParam 0 and 0'),
    ],
)  # fmt: skip
def test_what_is_no_depth_or_damaged_is_counted_and_the_one_before_stands(
    message: Any, words: str
) -> None:
    sampler = Sampler((s for s in ROBOT.streams() if s.role == 'depth'), decodes=True)
    first = Sample(0, recordings.START_NS, raw(depth(), '16UC1'))
    sampler.push('depth_top', first)
    sampler.push('depth_top', Sample(0, recordings.START_NS + MS, message))
    row = sampler.observe(recordings.START_NS + 2 * MS)
    counted = sampler.counters['depth_top']
    assert (counted.received, counted.unusable) == (2, 1)
    np.testing.assert_array_equal(row.samples['depth_top'].value, depth())
    with pytest.raises(StreamError, match=words):
        decode_depth(message, CAMERA)


def test_a_flipped_bit_of_a_png_is_found() -> None:
    data = bytearray(png(depth()))
    for place in range(40, len(data) - 12, 7):
        data[place] ^= 4
        with pytest.raises(StreamError, match='PNG is damaged'):
            decode_depth(compressed(bytes(data), 'png'), CAMERA)
        data[place] ^= 4


def test_a_row_holds_depth_beside_the_colours_of_the_same_name() -> None:
    sampler = Sampler(ROBOT.streams(), decodes=True)
    for name, spec in ROBOT.cameras.items():
        image = recordings.image_message(recordings.scene(0, spec.height, spec.width), 'rgb8')
        sampler.push(name, Sample(0, recordings.START_NS, image))
    names = list(ROBOT.joints.names)
    for name in ('state', 'leader'):
        message = recordings.joint_message(names, [0.0] * len(names))
        sampler.push(name, Sample(0, recordings.START_NS, message))
    row = sampler.observe(recordings.START_NS)
    assert row.faults == {'depth_top': 'missing'}
    sampler.push('depth_top', Sample(0, recordings.START_NS, raw(depth(), '16UC1')))
    observation = observation_from_row(sampler.observe(recordings.START_NS + MS), ROBOT)
    np.testing.assert_array_equal(observation.depth['top'], depth())
    assert observation.images['top'].shape == (128, 128, 3)


@pytest.mark.parametrize(
    'message',
    [raw(depth(), '16UC1'), compressed(png(depth()), 'png'), compressed(b'', '32FC1; png')],
)
def test_a_colour_camera_says_where_depth_belongs(message: Any) -> None:
    with pytest.raises(StreamError, match='under `depth:` of the robot spec'):
        image_to_rgb(message)


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('cameras:\n  top:', 'cameras:\n  depth_top:', "cameras has 'depth_top', expected"),
        ('width: 8,', 'width: 8, range: 3,', r'depth\.top\.range: unknown key, found 3'),
        ('width: 8,', 'width: 8, crop: [0, 0, 9, 2],', r'depth\.top: crop .* within 8x6 pixels'),
        ('width: 8,', '', r'depth\.top\.width: missing'),
        ('top/depth/image_raw', 'joint_states', "depth.top has .*/Image on topic 'joint_states'"),
        ('depth:\n  top:', 'depth:\n  a-b:', "a depth camera is named 'a-b'"),
        ('height: 6}', 'height: 6, type: std_msgs/msg/String}', r"depth\.top\.type: 'std_msgs"),
    ],
)
def test_a_wrong_depth_camera_in_a_spec_is_one_line(old: str, new: str, words: str) -> None:
    size = f'width: {WIDTH}, height: {HEIGHT}'
    text = recordings.tabletop().to_yaml() + (
        f'depth:\n  top: {{topic: top/depth/image_raw, {size}}}\n'
    )
    assert old in text
    with pytest.raises(RobotSpecError, match=words):
        robot_spec_from_yaml(text.replace(old, new), 'arm.yaml')


def test_a_spec_keeps_its_depth_and_one_without_is_written_as_before() -> None:
    assert robot_spec_from_yaml(ROBOT.to_yaml(), 'again') == ROBOT
    assert ROBOT.stream_names[-1] == 'depth_top' and 'depth' not in recordings.tabletop().to_yaml()
