# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The plot and the video of `motion-policy inspect`."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from motion_policy.cli.literal import escape
from motion_policy.episodes import EpisodeReader
from motion_policy.errors import UserError
from motion_policy.evaluation.depth_colours import DepthColours
from motion_policy.evaluation.plots import DepthStrip, JointCurves, joints_figure, png_bytes
from motion_policy.evaluation.video_file import VideoFile
from motion_policy.files import write_bytes

MOST_LOOKED_AT = 16  # depth images, for the range that is shown


def write_plot(episode: Path, path: Path) -> None:
    """Draw measured joints and actions of an episode over time, and some of its depth."""
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
        strips = [_strip(reader, name, colours) for name, colours in _colours(reader).items()]
        data = png_bytes(joints_figure(curves, f'{episode.name}  {reader.task}', strips))
    write_bytes(path, data)


def write_video(episode: Path, path: Path) -> None:
    """Write all cameras of an episode side by side, at the rate of its rows.

    Depth comes behind the cameras, in colours, of which a line tells.
    """
    with EpisodeReader(episode) as reader, VideoFile(path, reader.rate) as video:
        sizes = (*reader.robot.cameras.values(), *reader.robot.depth.values())
        if not sizes:
            raise UserError(f'{episode}: has no camera, expected one for a video')
        height = max(size.height for size in sizes)
        colours = _colours(reader)
        quiet = not sys.stdout.isatty()
        for row in track(range(reader.length), 'video', transient=True, disable=quiet):
            images = [reader.image(camera, row) for camera in reader.cameras]
            images += [each.paint(reader.depth(name, row)) for name, each in colours.items()]
            video.write(np.hstack([_as_high(image, height) for image in images]))
    for name, each in colours.items():
        Console().print(escape(f"depth '{name}': {each}"), soft_wrap=True, highlight=False)


def _colours(reader: EpisodeReader) -> dict[str, DepthColours]:
    """The colours of each depth camera, that stay the same in all of an episode."""
    rows = np.linspace(0, reader.length - 1, min(reader.length, MOST_LOOKED_AT), dtype=int)
    return {
        name: DepthColours.of([reader.depth(name, int(row)) for row in rows])
        for name in reader.robot.depth
    }


def _strip(reader: EpisodeReader, name: str, colours: DepthColours) -> DepthStrip:
    """The first, middle and last depth image."""
    rows = (0, reader.length // 2, reader.length - 1)
    times_s = [row / reader.rate for row in rows]
    return DepthStrip(name, times_s, [reader.depth(name, row) for row in rows], colours)


def _as_high(image: np.ndarray, height: int) -> np.ndarray:
    if image.shape[0] == height:
        return image
    width = round(image.shape[1] * height / image.shape[0])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
