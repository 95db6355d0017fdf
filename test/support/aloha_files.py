# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Files as the tools of ALOHA and ACT write them, with known numbers, and how those tools read.

The layouts are facts of public files, written here anew: tonyzhaozh/act and aloha store pixels,
mobile-aloha and Interbotix/aloha padded JPEGs with `compress_len`; others strings of bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import recordings

from motion_policy.robot import RobotSpec

HEIGHT, WIDTH, JOINTS = 24, 32, 14
CAMERAS = ('cam_low', 'cam_high')  # the configuration's order, which is not the alphabet's


def robot(cameras: tuple[str, ...] = CAMERAS, joints: int = JOINTS) -> RobotSpec:
    """Return a robot with a leader at 50 Hz whose limits hold every joint value."""
    names = [f'joint_{number}' for number in range(joints)]
    return recordings.robot_with_leader('two_arms', names, cameras, WIDTH, HEIGHT, 50.0)


def qpos(episode: int, rows: int) -> np.ndarray:
    """Return joint positions (rows, 14) float32 within -1.1..1.1."""
    values = [1.1 * recordings.joint_values(row + 5 * episode, JOINTS) for row in range(rows)]
    return np.stack(values).astype(np.float32)


def image(camera: str, episode: int, row: int) -> np.ndarray:
    """Return an RGB image, red on the left, with a square of blue; no two are equal."""
    pixels = np.full((HEIGHT, WIDTH, 3), 60 + 10 * CAMERAS.index(camera), np.uint8)
    pixels[:, : WIDTH // 2, 0] = 220
    pixels[4:12, 4 + row % 16 : 12 + row % 16] = (20, 30 + episode, 230)
    return pixels


def jpegs(camera: str, episode: int, rows: int) -> list[np.ndarray]:
    """Return the JPEGs of a camera as those tools make them: RGB handed to OpenCV."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 50]
    images = [image(camera, episode, row) for row in range(rows)]
    return [cv2.imencode('.jpg', pixels, options)[1].reshape(-1) for pixels in images]


def write(
    path: Path,
    rows: int,
    *,
    images: str = 'raw',
    episode: int = 0,
    dtype: Any = 'f4',
    **extra: Any,
) -> Path:
    """Write a file; `images` is raw, padded, vlen or bytes; `extra` are further datasets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    positions = qpos(episode, rows)
    with h5py.File(path, 'w', rdcc_nbytes=1024**2 * 2) as file:
        file.attrs['sim'] = images == 'raw'
        if images == 'padded':
            file.attrs['compress'] = True
        group = file.create_group('observations').create_group('images')
        vectors = {'observations/qpos': positions, 'observations/qvel': 0.1 * positions}
        for name, values in {**vectors, 'action': positions + 0.01}.items():
            file.create_dataset(name, values.shape, dtype=dtype)
            file[name][...] = values
        for camera in CAMERAS:
            _write_images(group, camera, episode, rows, images)
        for name, values in extra.items():
            file[name.replace('__', '/')] = values
    return path


def write_compress_len(path: Path, rows: int, episode: int = 0) -> Path:
    """Add `compress_len`, whose rows follow the configuration."""
    lengths = [[len(data) for data in jpegs(camera, episode, rows)] for camera in CAMERAS]
    with h5py.File(path, 'r+') as file:
        file.create_dataset('compress_len', (len(CAMERAS), rows), dtype='f4')
        file['compress_len'][...] = lengths
    return path


def _write_images(group: h5py.Group, camera: str, episode: int, rows: int, kind: str) -> None:
    if kind == 'raw':
        shape = (rows, HEIGHT, WIDTH, 3)
        group.create_dataset(camera, shape, dtype='uint8', chunks=(1, *shape[1:]))
        group[camera][...] = np.stack([image(camera, episode, row) for row in range(rows)])
        return
    data = jpegs(camera, episode, rows)
    if kind == 'vlen':
        group.create_dataset(camera, (rows,), dtype=h5py.vlen_dtype(np.uint8))
        for row, encoded in enumerate(data):
            group[camera][row] = encoded
        return
    # Padded to the longest over all cameras.
    longest = max(len(one) for name in CAMERAS for one in jpegs(name, episode, rows))
    if kind == 'bytes':
        group[camera] = np.array([one.tobytes() for one in data], dtype=f'S{longest}')
        return
    padded = np.stack([np.pad(one, (0, longest - len(one))) for one in data])
    group.create_dataset(camera, padded.shape, dtype='uint8', chunks=(1, longest))
    group[camera][...] = padded


def read_step(path: Path, cameras: tuple[str, ...], start: int) -> dict[str, Any]:
    """Read one step as the readers of ACT, act-plus-plus and Interbotix do.

    By the names of the layout alone; JPEGs from padded rows, `is_pad` behind the end.
    """
    with h5py.File(path, 'r') as root:
        compressed = root.attrs.get('compress', False)
        rows = root['/action'].shape[0]
        first = start if root.attrs['sim'] else max(0, start - 1)
        images = {name: root[f'/observations/images/{name}'][start] for name in cameras}
        if compressed:
            images = {name: cv2.imdecode(data, 1) for name, data in images.items()}
        action = np.zeros(root['/action'].shape, np.float32)
        action[: rows - first] = root['/action'][first:]
        return {
            'image': np.stack([images[name] for name in cameras]),
            'qpos': root['/observations/qpos'][start],
            'qvel': root['/observations/qvel'][start],
            'action': action,
            'is_pad': np.arange(rows) >= rows - first,
        }
