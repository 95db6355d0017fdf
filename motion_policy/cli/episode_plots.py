# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The plot and the video of `motion-policy inspect`."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from motion_policy.episodes import EpisodeReader
from motion_policy.errors import UserError
from motion_policy.evaluation.plots import JointCurves, joints_figure, png_bytes
from motion_policy.evaluation.video_file import VideoFile
from motion_policy.files import write_bytes


def write_plot(episode: Path, path: Path) -> None:
    """Draw measured joints and actions of an episode over time."""
    if path.suffix.lower() != '.png':
        raise UserError(f"{path}: a plot must end in .png, found '{path.suffix}'")
    with EpisodeReader(episode) as reader:
        times_s = np.arange(reader.length) / reader.rate
        curves = JointCurves(
            reader.joint_names,
            times_s,
            reader.qpos,
            times_s,
            reader.action,
            truth_label='measured',
            predicted_label='action',
        )
        data = png_bytes(joints_figure(curves, f'{episode.name}  {reader.task}'))
    write_bytes(path, data)


def write_video(episode: Path, path: Path) -> None:
    """Write all cameras of an episode side by side, at the rate of its rows."""
    with EpisodeReader(episode) as reader, VideoFile(path, reader.rate) as video:
        if not reader.cameras:
            raise UserError(f'{episode}: has no camera, expected one for a video')
        height = max(reader.image(camera, 0).shape[0] for camera in reader.cameras)
        quiet = not sys.stdout.isatty()
        for row in track(range(reader.length), 'video', transient=True, disable=quiet):
            images = [_as_high(reader.image(camera, row), height) for camera in reader.cameras]
            video.write(np.hstack(images))


def _as_high(image: np.ndarray, height: int) -> np.ndarray:
    if image.shape[0] == height:
        return image
    width = round(image.shape[1] * height / image.shape[0])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
