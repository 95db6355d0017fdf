# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Videos, frames and the report are whole, readable and need nothing else."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from motion_policy.errors import UserError
from motion_policy.evaluation.plots import JointCurves, joints_figure, png_bytes
from motion_policy.evaluation.storyboard import (
    HEIGHT,
    WIDTH,
    MarkedImage,
    Panel,
    Storyboard,
    VideoFrame,
    caption_size,
)
from motion_policy.evaluation.video_file import VideoFile
from motion_policy.html_report import Report, Table
from motion_policy.palette import POLICY

GREEN = np.array([int(POLICY[i : i + 2], 16) for i in (1, 3, 5)])


def frames(count: int) -> list[np.ndarray]:
    """Frames of odd size in which a light block walks to the right."""
    made = np.full((count, 61, 83, 3), 60, np.uint8)
    for index, frame in enumerate(made):
        frame[20:40, 6 * index : 6 * index + 12] = 220
    return list(made)


def curves(joints: int = 2) -> JointCurves:
    """Ten seconds of some joints."""
    time_s = np.linspace(0, 10, 101)
    truth = np.sin(time_s[:, None] * (1 + np.arange(joints)))
    names = [f'joint{index}' for index in range(joints)]
    return JointCurves(names, time_s, truth, time_s, truth + 0.5)


def test_a_caption_leaves_its_neighbour_alone_and_one_row_has_a_second() -> None:
    assert caption_size("camera 'top'", 200) == 10
    assert 7 < caption_size("camera 'depth_wrist'", 123) < 9
    alone = JointCurves(['a'], np.zeros(1), np.zeros((1, 1)), np.zeros(1), np.zeros((1, 1)))
    assert alone.end_s == 1.0


@pytest.mark.parametrize('name', ['video.mp4', 'video.gif', 'deep/er/video.MP4'])
def test_a_video_holds_every_frame_at_its_rate(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with VideoFile(path, 10) as video:
        for frame in frames(12):
            video.write(frame)
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
    assert len(decoded) == 12
    assert decoded[0].shape == (60, 82, 3)
    for frame, original in zip(decoded, frames(12), strict=True):
        assert np.abs(frame.astype(int) - original[:60, :82]).mean() < 4
    assert not list(tmp_path.rglob('*.part'))


def test_a_gif_plays_at_its_rate_and_repeats(tmp_path: Path) -> None:
    path = tmp_path / 'video.gif'
    with VideoFile(path, 10) as video:
        for frame in frames(5):
            video.write(frame)
    with Image.open(path) as gif:
        assert gif.info['duration'] == 100
        assert gif.info['loop'] == 0


def test_an_error_leaves_no_video(tmp_path: Path) -> None:
    path = tmp_path / 'video.mp4'
    with pytest.raises(RuntimeError, match='half way'), VideoFile(path, 10) as video:
        video.write(frames(1)[0])
        raise RuntimeError('half way')
    assert list(tmp_path.iterdir()) == []


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"video\.avi: .*\.mp4 or \.gif.*'\.avi'"):
        VideoFile(tmp_path / 'video.avi', 10)


def test_a_frame_shows_images_points_and_curves_up_to_now() -> None:
    board = Storyboard('title', [[Panel('camera', 1.5)]], curves(), attention=True)
    image = np.full((64, 96, 3), (200, 180, 10), np.uint8)
    points = np.array([[0.5, 0.5]])
    plain = board.frame(VideoFrame(0.0, (MarkedImage(image),)))
    early = board.frame(VideoFrame(2.0, (MarkedImage(image, points),)))
    late = board.frame(VideoFrame(9.0, (MarkedImage(image, points),)))
    assert plain.shape == (HEIGHT, WIDTH, 3)
    assert plain.dtype == np.uint8
    assert 0 < green_pixels(early) < green_pixels(late)
    shown = (plain == (200, 180, 10)).all(axis=2)
    rows, columns = np.nonzero(shown)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert width / height == pytest.approx(1.5, abs=0.02)
    centre = early[rows.min() + height // 2, columns.min() + width // 2]
    assert centre[2] > 200 > centre[0]


def green_pixels(frame: np.ndarray) -> int:
    """How many pixels have the colour of the policy's curves, in the area of the curves."""
    near = np.abs(frame[100:, 600:].astype(int) - GREEN).max(axis=2) < 12
    return int(near.sum())


@pytest.mark.slow
@pytest.mark.parametrize(('joints', 'images'), [(1, 0), (5, 2), (14, 4), (30, 1)])
def test_any_number_of_joints_and_images_has_room(joints: int, images: int) -> None:
    columns = [[Panel(f'camera {index}', 4 / 3)] for index in range(images)]
    board = Storyboard('title', columns, curves(joints), attention=False)
    image = np.zeros((48, 64, 3), np.uint8)
    frame = board.frame(VideoFrame(3.0, (MarkedImage(image),) * images))
    assert frame.shape == (HEIGHT, WIDTH, 3)


def test_the_same_numbers_give_the_same_image() -> None:
    first = png_bytes(joints_figure(curves(), 'title'))
    assert first.startswith(b'\x89PNG')
    assert png_bytes(joints_figure(curves(), 'title')) == first


def test_a_joint_that_never_moves_is_drawn() -> None:
    still = JointCurves(['a'], np.arange(3), np.zeros((3, 1)), np.arange(3), np.zeros((3, 1)))
    assert png_bytes(joints_figure(still, 'still'))


def test_the_report_stands_alone(tmp_path: Path) -> None:
    video = tmp_path / 'video.mp4'
    with VideoFile(video, 10) as sink:
        for frame in frames(3):
            sink.write(frame)
    png = png_bytes(joints_figure(curves(), 'title'))
    report = Report('a <b> & c', 'lead')
    report.headline('3/5')
    report.table(Table(('joint', 'RMSE'), [('x<y', '0.1')]))
    report.facts([('key', 'value')])
    report.image(png, 'curves')
    report.video(video)
    report.write(tmp_path / 'report.html')
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert sources and all(source.startswith('data:') for source in sources)
    assert '//' not in re.sub(r'base64,[^"]*', '', text)
    assert 'a &lt;b&gt; &amp; c' in text and 'x&lt;y' in text
    embedded = re.search(r'image/png;base64,([^"]*)', text)
    assert embedded is not None and base64.b64decode(embedded[1]) == png
    assert not list(tmp_path.glob('*.part'))
