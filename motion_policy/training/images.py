# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Storyboards and reconstructions as images for TensorBoard.

Two rows per camera. Above: its images, with the attention points of a policy that has them (blue)
and those predicted for the next step (red); below: what the model drew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motion_policy.policies import Policy
from motion_policy.policies.base import ObservationBatch
from motion_policy.policies.normalisation import to_byte_images, to_unit_images
from motion_policy.policies.recurrent.cae import CAEModel
from motion_policy.training.demonstrations import Demonstration
from motion_policy.training.sequence_dataset import collate

COLUMNS = 6
SCALE = 3
RADIUS = 4  # pixels of the enlarged image
ENCODER_COLOUR = (30, 110, 255)
DECODER_COLOUR = (235, 50, 40)

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)


def storyboard(policy: Policy, episode: Demonstration, columns: int = COLUMNS) -> RgbImage:
    """The policy stepping through an episode, shown at `columns` steps -> (H, W, 3) RGB."""
    batch = collate([episode])
    shown = set(np.linspace(0, episode.length - 1, columns).round().astype(int).tolist())
    parts = []
    state: Any = policy.initial_state(1)
    for row in range(episode.length):
        observation: Any = {
            'seen': {camera: frames[:, row] for camera, frames in batch.images.items()},
            **{name: getattr(batch, name)[:, row] for name in policy.sensors},
        }
        if row not in shown:
            _, state = policy.act(observation, state)
            continue
        _, state, extras = policy.act_and_explain(observation, state)
        cameras = [
            part for camera in policy.cameras for part in _column(camera, observation, extras)
        ]
        parts.append(_stacked(cameras))
    return np.concatenate(parts, axis=1)


@torch.inference_mode()
def reconstructions(model: CAEModel, episode: Demonstration, columns: int = COLUMNS) -> RgbImage:
    """`columns` frames of an episode, and what the autoencoder makes of them -> (H, W, 3) RGB."""
    rows = np.linspace(0, episode.length - 1, columns).round().astype(int).tolist()
    lines = []
    shown = [episode.images[camera][rows] for camera in model.cameras]
    drawn = model([to_unit_images(frames.to(model.device)) for frames in shown])
    for frames, redrawn in zip(shown, drawn, strict=True):
        for images in (frames, to_byte_images(redrawn)):
            lines.append(np.concatenate([enlarge(image) for image in in_colours(images)], axis=1))
    return _stacked(lines)


def _column(
    camera: str, observation: ObservationBatch, extras: dict[str, Tensor]
) -> tuple[RgbImage, RgbImage]:
    """What a camera sees, with attention points where there are any, and what is expected."""
    seen = enlarge(in_colours(observation['seen'][camera])[0])
    for name, colour in (('encoder_points', ENCODER_COLOUR), ('decoder_points', DECODER_COLOUR)):
        points = extras.get(f'{name}/{camera}')
        if points is not None:
            mark(seen, points[0], colour)
    return seen, enlarge(extras[f'image/{camera}'][0])


def _stacked(images: Sequence[RgbImage]) -> RgbImage:
    """Images (H, W, 3) one below the other; those that are narrower have black on their right."""
    wide = max(image.shape[1] for image in images)
    room = [(image, wide - image.shape[1]) for image in images]
    return np.concatenate(
        [np.pad(image, ((0, 0), (0, missing), (0, 0))) for image, missing in room], axis=0
    )


def in_colours(seen: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 as it is; depth (N, H, W, 2) uint8 -> (N, H, W, 3) uint8, grey."""
    return to_byte_images(to_unit_images(seen)) if seen.shape[-1] == 2 else seen


def enlarge(image: Tensor) -> RgbImage:
    """(H, W, 3) uint8 -> a copy SCALE times as large."""
    pixels: RgbImage = image.cpu().numpy()
    return pixels.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def mark(image: RgbImage, points: Tensor, colour: tuple[int, int, int]) -> None:
    """Draws points (K, 2), x and y in [0, 1], as discs with a white rim; changes `image`."""
    height, width = image.shape[:2]
    rows, columns = np.ogrid[:height, :width]
    for x, y in torch.nan_to_num(points.cpu().float()).clamp(0, 1).tolist():
        column = (x * (width // SCALE - 1) + 0.5) * SCALE
        row = (y * (height // SCALE - 1) + 0.5) * SCALE
        distance = (rows - row) ** 2 + (columns - column) ** 2
        image[distance <= (RADIUS + 1.5) ** 2] = 255
        image[distance <= RADIUS**2] = colour
