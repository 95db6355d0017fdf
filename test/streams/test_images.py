# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every image encoding becomes the same RGB array, whatever its row padding and byte order."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import recordings

from motion_policy.robot import CameraSpec
from motion_policy.streams import StreamError, bridge, image_to_rgb, images, jpeg
from motion_policy.streams.decoder_warnings import captured_warnings
from motion_policy.streams.errors import UnusableFrameError

HEIGHT, WIDTH = 6, 8


def frame() -> np.ndarray:
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
    rgb = frame()
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
    rgb = frame()
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


@pytest.mark.parametrize('turn', [3, 6])
def test_a_jpeg_stays_as_it_is_stored_whatever_its_camera_says_was_up(turn: int) -> None:
    data = cv2.imencode('.jpg', frame())[1].tobytes()
    # APP1: one entry of a TIFF folder, the orientation (0x0112), a number of 16 bits.
    entry = struct.pack('>HHIHH', 0x0112, 3, 1, turn, 0)
    tiff = b'MM' + struct.pack('>HIH', 42, 8, 1) + entry + bytes(4)
    exif = b'Exif\0\0' + tiff
    turned = data[:2] + b'\xff\xe1' + struct.pack('>H', 2 + len(exif)) + exif + data[2:]
    np.testing.assert_array_equal(jpeg.decode_whole(turned), jpeg.decode_whole(data))


def test_a_raw_rgb_image_is_not_copied() -> None:
    data = bytearray(frame().tobytes())
    message = recordings.image_message(frame(), 'rgb8', data=data)
    image = image_to_rgb(message)
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
        message = recordings.image_message(frame(), 'rgb8')
        vars(message).update(fields)
        image_to_rgb(message)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    'data', [b'', b'no image', b'\xff\xd8\xff\xc0\0\2', b'\xff\xd8\xff\xda\0\2']
)
def test_broken_compressed_data_is_one_line(data: bytes) -> None:
    message = recordings.image_message(frame(), '')
    del message.encoding
    message.format, message.data = 'jpeg', data
    with pytest.raises(StreamError, match=rf"'jpeg' and {len(data)} bytes"):
        image_to_rgb(message)


def test_rclpy_and_bag_messages_give_the_same_array() -> None:
    import bag_files
    from sensor_msgs.msg import Image

    rgb = frame()
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


def fake_cv_bridge(folder: Path, body: str) -> None:
    (folder / 'cv_bridge').mkdir()
    (folder / 'cv_bridge' / '__init__.py').write_text(body)


OURS = """
from motion_policy.streams.images import image_to_rgb
class CvBridge:
    def imgmsg_to_cv2(self, message, encoding):
        if message.encoding == 'yuv422':
            raise RuntimeError('unknown encoding')
        image = image_to_rgb(message)
        return 255 - image if message.encoding == 'bgr8' else image
"""


@pytest.mark.parametrize(
    ('body', 'trusted'),
    [
        ('import os, signal; os.kill(os.getpid(), signal.SIGSEGV)', ()),
        ('CvBridge = None', ()),
        ('raise ImportError("numpy.core.multiarray failed to import")', ()),
        (OURS, ('rgb8', 'mono16', 'bayer_rggb8')),
    ],
    ids=['crashes', 'swallows its ImportError', 'none', 'differs in two encodings'],
)
def test_cv_bridge_is_trusted_only_where_it_gives_the_same_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, trusted: tuple[str, ...]
) -> None:
    fake_cv_bridge(tmp_path, body)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}:{os.environ.get("PYTHONPATH", "")}')
    found = bridge.equal_encodings()
    assert found >= set(trusted)
    assert not found & {'bgr8', 'yuv422'}
    assert bool(found) == bool(trusted)


def test_cv_bridge_is_not_used_unasked() -> None:
    assert bridge.bridge_for('rgb8') is None


@pytest.mark.skipif(find_spec('cv_bridge') is None, reason='cv_bridge comes with ROS 2')
def test_a_built_cv_bridge_gives_the_same_array() -> None:
    """Of the encodings that it knows and rows that are not padded it is equal in all."""
    assert bridge.equal_encodings() >= {'rgb8', 'bgr8', 'mono8'}


def test_a_refusal_of_cv_bridge_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def imgmsg_to_cv2(self, message: Any, encoding: str) -> None:
            raise RuntimeError('unknown encoding')

    monkeypatch.setattr(bridge, '_bridge', Refusing)
    monkeypatch.setattr(bridge, '_equal_encodings', lambda: {'rgb8'})
    with pytest.raises(StreamError, match=r"'rgb8': unknown encoding"):
        image_to_rgb(recordings.image_message(frame(), 'rgb8'))


def compressed(data: Any, kind: str = 'jpeg') -> Any:
    message = recordings.image_message(frame(), '')
    del message.encoding
    message.format, message.data = kind, bytes(data)
    return message


def depth_png() -> bytes:
    return cv2.imencode('.png', np.full((HEIGHT, WIDTH), 620, np.uint16))[1].tobytes()


@pytest.mark.parametrize(
    'message',
    [
        compressed(depth_png(), '16UC1; png compressed '),
        compressed(depth_png(), 'mono16; png compressed '),
        compressed(depth_png(), 'png'),
        compressed(bytes(12) + depth_png(), '16UC1; compressedDepth png'),
        recordings.image_message(np.full((HEIGHT, WIDTH), 620, np.uint16), '16UC1'),
        recordings.image_message(np.full((HEIGHT, WIDTH), 0.62, np.float32), '32FC1'),
    ],
)
def test_depth_is_never_taken_for_colours(message: Any) -> None:
    camera = CameraSpec(topic='/camera', width=WIDTH, height=HEIGHT)
    for look in (image_to_rgb, lambda message: images.check_frame(message, camera)):
        with pytest.raises(StreamError, match='depth'):
            look(message)


def test_depth_is_no_image_in_a_set_either() -> None:
    with pytest.raises(StreamError, match='16 bits of grey, as depth has'):
        jpeg.decode_whole(depth_png())


def jpegs() -> dict[str, bytes]:
    """Whole images as many encoders make them."""
    noise = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    frames = {
        'scene': recordings.scene(3, 96, 131), 'noise': noise,
        'black': np.zeros((97, 128, 3), np.uint8), 'pixel': noise[:1, :1],
    }  # fmt: skip
    options = {
        '444': [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
        '420': [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420],
        '422': [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422],
        'optimised': [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
        'restart 1': [cv2.IMWRITE_JPEG_RST_INTERVAL, 1],
        'restart 5': [cv2.IMWRITE_JPEG_RST_INTERVAL, 5],
        'progressive': [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        'coarse': [cv2.IMWRITE_JPEG_QUALITY, 5],
        'fine': [cv2.IMWRITE_JPEG_QUALITY, 100],
    }
    made = {
        f'{name}, {option}': cv2.imencode('.jpg', pixels, values)[1].tobytes()
        for name, pixels in frames.items()
        for option, values in options.items()
    }
    usual = made['scene, 420']
    made['padded'] = usual + bytes(40)
    made['line end'] = usual + b'\r\n'
    made['fill bytes'] = usual[:-2] + b'\xff\xff\xff' + usual[-2:]
    made['surplus of a web camera'] = usual[:-2] + b'\x11\x03' + usual[-2:]
    made['no tables'] = without_tables(usual)
    made['thumbnail'] = usual[:2] + b'\xff\xe1\x00\x10Exif' + usual[:4] + b'\xff\xd9' + bytes(4)
    made['thumbnail'] += usual[2:]
    return made


def without_tables(data: bytes) -> bytes:
    """As MJPEG cameras send it: the usual Huffman tables are known to everybody."""
    place, kept = 2, data[:2]
    while data[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
        if data[place + 1] != 0xC4:
            kept += data[place:end]
        place = end
    return kept + data[place:]


JPEGS = jpegs()


@pytest.mark.parametrize('kind', JPEGS)
def test_a_whole_jpeg_is_decoded_as_opencv_does(kind: str) -> None:
    expected = cv2.imdecode(np.frombuffer(JPEGS[kind], np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(jpeg.decode_whole(JPEGS[kind]), expected)
    np.testing.assert_array_equal(jpeg.decode_strictly(JPEGS[kind]), expected)
    header = jpeg.image_header(JPEGS[kind])
    assert (header.height, header.width) == expected.shape[:2]
    small = tuple(-(-size // 8) for size in expected.shape[:2])
    assert jpeg.thumbnail(JPEGS[kind]).shape == (*small, 3)


@pytest.mark.parametrize(
    'damage',
    [
        lambda data, scan: data[: scan + (len(data) - scan) // 3],
        lambda data, scan: data[: scan + (len(data) - scan) // 2] + data[-2:],
        lambda data, scan: data[: scan + 50] + data[scan + 50 + (len(data) - scan) // 4 :],
        lambda data, scan: data[:-2],
        lambda data, scan: data[: scan // 2],
        lambda data, scan: data[:-300] + data[-2:],
    ],
    ids=['cut', 'end is missing', 'middle is missing', 'no end marker', 'no scan', 'last bytes'],
)
@pytest.mark.parametrize('kind', ['noise, 444', 'noise, 420', 'scene, fine', 'noise, restart 5'])
def test_a_jpeg_of_which_bytes_are_missing_is_no_image(
    kind: str, damage: Callable[[bytes, int], bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    """libjpeg would fill the rest with grey; nor does it write to stderr."""
    data = damage(JPEGS[kind], JPEGS[kind].index(b'\xff\xda'))
    with pytest.raises(StreamError, match='JPEG is'):
        jpeg.decode_whole(data)
    assert capfd.readouterr().err == ''
    with pytest.raises(StreamError, match=r"'jpeg' and \d+ bytes cannot be decoded: JPEG is"):
        image_to_rgb(compressed(data))


def test_a_thumbnail_is_had_of_exactly_what_can_be_decoded() -> None:
    """Whatever damage it is: bits, bytes that are lost, bytes that are others."""
    draw, refused, tried = np.random.default_rng(3), 0, 0
    for data in JPEGS.values():
        for _ in range(6):
            damaged = bytearray(data)
            place, count = int(draw.integers(2, len(data))), int(draw.integers(1, 40))
            if draw.random() < 0.5:
                del damaged[place : place + count]
            else:
                damaged[place] ^= 1 << int(draw.integers(8))
            messages = []
            for decode in (jpeg.decode_whole, jpeg.thumbnail):
                try:
                    decode(bytes(damaged))
                    messages.append('')
                except StreamError as error:
                    messages.append(str(error))
            assert messages[0] == messages[1]
            refused, tried = refused + bool(messages[0]), tried + 1
    assert tried / 5 < refused < tried


def test_what_libjpeg_says_of_damage_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    """It decodes without a table that cannot be found, and says on stderr only that bytes are."""
    data = bytearray(JPEGS['scene, 420'])
    data[data.index(b'\xff\xc4') + 1] ^= 16
    with captured_warnings() as lines:
        assert jpeg.decode_whole(bytes(data)).any()
        libc = ctypes.CDLL(None)
        libc.fputs(b'of another library\n', ctypes.c_void_p.in_dll(libc, 'stderr'))
    assert set(lines) == {'Corrupt JPEG data: 31 extraneous bytes before marker 0xc4'}
    assert capfd.readouterr().err == 'of another library\n'
    with pytest.raises(StreamError, match='libjpeg says: Corrupt JPEG data: 31'):
        jpeg.decode_strictly(bytes(data))
    assert capfd.readouterr().err == ''


def test_a_damaged_png_is_no_image() -> None:
    whole = cv2.imencode('.png', frame())[1].tobytes()
    flipped = bytearray(whole)
    flipped[60] ^= 1
    for data in (whole[:-20], bytes(flipped), whole[:20]):
        with pytest.raises(StreamError, match='PNG is'):
            jpeg.decode_whole(data)


def test_a_claim_of_a_huge_image_is_refused_before_anything_is_allocated() -> None:
    data = JPEGS['scene, 420']
    place = data.index(b'\xff\xc0') + 5
    huge = data[:place] + b'\xff\xdc\xff\xdc' + data[place + 4 :]
    camera = recordings.tabletop().cameras['top']
    with pytest.raises(StreamError, match='65500x65500'):
        images.decode_frame(compressed(huge), camera)


def test_a_jpeg_of_one_colour_with_restart_markers_is_whole_or_not() -> None:
    """Its units are single blocks, whatever those of colours are."""
    grey = np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)
    data = cv2.imencode('.jpg', grey, [cv2.IMWRITE_JPEG_RST_INTERVAL, 5])[1].tobytes()
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(jpeg.decode_strictly(data), expected)
    place = data.index(b'\xff\xd2')
    with pytest.raises(StreamError, match='JPEG is'):
        jpeg.decode_strictly(data[:place] + data[data.index(b'\xff\xd3') :])


@pytest.mark.parametrize('components', [0, 4, 255])
def test_a_header_without_room_for_its_components_is_damaged(components: int) -> None:
    data = bytearray(JPEGS['scene, 420'])
    data[data.index(b'\xff\xc0') + 9] = components
    with pytest.raises(StreamError, match='JPEG has a damaged header'):
        jpeg.image_header(bytes(data))


def test_an_image_that_cannot_be_decoded_names_its_camera() -> None:
    error = UnusableFrameError('no image', 'top')
    assert (str(error), error.camera) == ('no image', 'top')
