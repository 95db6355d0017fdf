# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Data sets in the layout of EIPL, by formula: every number in them can be recomputed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import recordings

from motion_policy.robot import RobotSpec

HEIGHT, WIDTH = 12, 16
NAMES = ('shoulder', 'elbow', 'hand')


def robot(
    joints: int = 3, *, cameras: tuple[str, ...] = ('top',), rate: float = 10.0
) -> RobotSpec:
    """Return a robot with small cameras and a leader, whose limits hold every joint value."""
    return recordings.robot_with_leader('small_arm', NAMES[:joints], cameras, WIDTH, HEIGHT, rate)


def joints(episode: int, rows: int, count: int = 3) -> np.ndarray:
    """Return joint positions (rows, count) of an episode, within -0.15..0.15."""
    values = [1.5 * recordings.joint_values(row + 7 * episode + 3, count) for row in range(rows)]
    return np.stack(values)


def image(episode: int, row: int) -> np.ndarray:
    """Return the image of a row, RGB; no two are equal."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 200, WIDTH, dtype=np.uint8)
    pixels[..., 1] = 40 + episode
    pixels[..., 2] = 100 + row % 100
    return pixels


def bgr_images(episode: int, rows: int) -> np.ndarray:
    """Return the images of an episode as EIPL stores them."""
    return np.stack([image(episode, row)[..., ::-1] for row in range(rows)])


def write_npy(folder: Path, lengths: tuple[int, ...], *, first: int = 0) -> Path:
    """Write images.npy and joints.npy; shorter episodes repeat their last row at the end."""
    folder.mkdir(parents=True)
    longest = max(lengths)
    images, positions = [], []
    for episode, length in enumerate(lengths, first):
        rows = np.minimum(np.arange(longest), length - 1)
        images.append(bgr_images(episode, length)[rows])
        positions.append(joints(episode, length)[rows])
    np.save(folder / 'images.npy', np.stack(images))
    np.save(folder / 'joints.npy', np.stack(positions))
    return folder


def write_bounds(path: Path, *folders: Path) -> Path:
    """Write the bounds of the joints in `folders`, (2, J)."""
    values = np.concatenate([np.load(folder / 'joints.npy').reshape(-1, 3) for folder in folders])
    np.save(path, np.stack([values.min(axis=0), values.max(axis=0)]))
    return path
