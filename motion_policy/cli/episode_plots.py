# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The plot and the video of `motion-policy inspect`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from motion_policy.cli.literal import escape
from motion_policy.control.attention_drawing import draw_frame
from motion_policy.episodes import EpisodeReader
from motion_policy.errors import UserError
from motion_policy.evaluation.depth_colours import DepthColours
from motion_policy.evaluation.joint_strip import JointStrip
from motion_policy.evaluation.plots import (
    DepthStrip,
    ImageStrip,
    JointCurves,
    joints_figure,
    png_bytes,
)
from motion_policy.evaluation.video_file import VideoFile
from motion_policy.files import write_bytes
from motion_policy.policies.camera_view import CameraView
from motion_policy.robot import ImageFit, RobotSpec

MOST_LOOKED_AT = 16  # depth images, for the range that is shown

Views = Mapping[str, CameraView]


def views_of_spec(robot: RobotSpec) -> dict[str, CameraView]:
    """What a robot spec shows of its cameras, in the size that it has in the camera's image.

    Only of those of which it says something. The size of a policy is not known: no `fit`.
    """
    views = {}
    for name, camera in robot.cameras.items():
        if camera.image_fit.is_plain:
            continue
        options = ImageFit(crop=camera.crop, rotate=camera.rotate)
        _, _, width, height = camera.crop or (0, 0, camera.width, camera.height)
        size = (width, height) if camera.rotate in (90, 270) else (height, width)
        views[name] = CameraView(name, (camera.height, camera.width), size, options)
    return views


def write_plot(episode: Path, path: Path, views: Views | None = None) -> None:
    """Draw measured joints and actions of an episode over time, some of its depth, and what is
    seen of its cameras.

    Args:
        episode: the file.
        path: what is written.
        views: what is seen of the cameras; None: what the robot spec in the episode says.
    """
    if path.suffix.lower() != '.png':
        raise UserError(f"{path}: a plot must end in .png, found '{path.suffix}'")
    with EpisodeReader(episode) as reader:
        curves = episode_curves(reader)
        strips: list[DepthStrip | ImageStrip] = [
            _seen_strip(reader, view) for view in _views(reader, views).values()
        ]
        strips += [_strip(reader, name, colours) for name, colours in _colours(reader).items()]
        data = png_bytes(joints_figure(curves, f'{episode.name}  {reader.task}', strips))
    write_bytes(path, data)


def write_video(episode: Path, path: Path, views: Views | None = None) -> None:
    """Write all cameras of an episode side by side, its joints beneath, at the rate of its rows.

    What is seen of a camera, by `views` as above, comes behind it. Depth comes behind the
    cameras, in colours, of which a line tells.
    """
    with EpisodeReader(episode) as reader, VideoFile(path, reader.rate) as video:
        sizes = (*reader.robot.cameras.values(), *reader.robot.depth.values())
        if not sizes:
            raise UserError(f'{episode}: has no camera, expected one for a video')
        height = max(size.height for size in sizes)
        colours, seen = _colours(reader), _views(reader, views)
        quiet = not sys.stdout.isatty()
        strip: JointStrip | None = None
        for row in track(range(reader.length), 'video', transient=True, disable=quiet):
            images = [
                image
                for camera in reader.cameras
                for image in _shown(reader.image(camera, row), seen.get(camera))
            ]
            images += [each.paint(reader.depth(name, row)) for name, each in colours.items()]
            above = np.hstack([_as_high(image, height) for image in images])
            if strip is None:
                strip = JointStrip(episode_curves(reader), above.shape[1])
            white = ((0, 0), (0, strip.width - above.shape[1]), (0, 0))
            above = np.pad(above, white, constant_values=255)
            video.write(np.vstack([above, strip.at(row / reader.rate)]))
    for name, each in colours.items():
        Console().print(escape(f"depth '{name}': {each}"), soft_wrap=True, highlight=False)


def episode_curves(reader: EpisodeReader) -> JointCurves:
    """The joints of an episode, measured and action; velocities of a base with their unit."""
    times_s = np.arange(reader.length) / reader.rate
    return JointCurves(
        reader.robot.joints.labels,
        times_s,
        reader.qpos,
        times_s,
        reader.action,
        truth_label='measured',
        predicted_label='action',
    )


def _views(reader: EpisodeReader, views: Views | None) -> Views:
    """Those of the cameras that the episode has; UserError if a crop is for other images."""
    given = views_of_spec(reader.robot) if views is None else views
    found = {name: view for name, view in given.items() if name in reader.cameras}
    for name, view in found.items():
        try:
            view.placement(*reader.image(name, 0).shape[:2])
        except ValueError as error:
            raise UserError(f'{reader.path}: {error}') from None
    return found


def _shown(image: np.ndarray, view: CameraView | None) -> list[np.ndarray]:
    """A camera's image with a frame around what is seen, and that; without a view the image."""
    if view is None:
        return [image]
    placement = view.placement(*image.shape[:2])
    framed = image if placement.is_whole else draw_frame(image, placement.part)
    return [framed, view(torch.from_numpy(image)[None])[0].numpy()]


def _seen_strip(reader: EpisodeReader, view: CameraView) -> ImageStrip:
    """The first and the last image of a camera, each with what is seen of it."""
    captions, images = [], []
    for row in (0, reader.length - 1):
        images += _shown(reader.image(view.camera, row), view)
        time = f'{view.camera}, {row / reader.rate:.2f} s'
        captions += [time, f'seen: {view.size[1]}x{view.size[0]}']
    return ImageStrip(captions, images)


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
