# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Storage of training images: in memory when they fit, else read from the files.

Images that stay in the files are read, and brought to how a policy sees them, when they are asked
for, in any process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from motion_policy.episodes import EpisodeReader
from motion_policy.episodes.reader import count_rows
from motion_policy.policies.camera_view import CameraView
from motion_policy.training.config import ChunkConfig, TrainConfig
from motion_policy.training.config_sections import HeldDataConfig

OPEN_FILES = 64  # per process; opening one takes longer than reading an image
SHARE_OF_FREE = 0.5  # of the memory, that images may take without being told to
MOST_WORKERS = 8


class StoredFrames:
    """The images of one camera of an episode, read when they are indexed.

    They are (T, h, w, 3) uint8, of depth (T, h, w, 2).
    """

    def __init__(self, path: Path, view: CameraView, rows: range) -> None:
        self.path, self.view, self.rows = path, view, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, chosen: int) -> Tensor: ...
    @overload
    def __getitem__(self, chosen: slice) -> StoredFrames: ...
    def __getitem__(self, chosen: int | slice) -> Tensor | StoredFrames:
        if isinstance(chosen, slice):
            return StoredFrames(self.path, self.view, self.rows[chosen])
        image = _reader(self.path, os.getpid()).frame(self.view.camera, self.rows[chosen])
        return self.view(torch.from_numpy(image)[None])[0]


@lru_cache(maxsize=OPEN_FILES)
def _reader(path: Path, process: int) -> EpisodeReader:
    """An open file, of this process alone: HDF5 shares none with another."""
    return EpisodeReader(path)


def fits_in_memory(config: TrainConfig, paths: Sequence[Path]) -> bool:
    """Whether the images of these episodes shall be held in memory."""
    hold = config.data.hold if isinstance(config.data, HeldDataConfig) else 'auto'
    if hold != 'auto':
        return hold != 'no'
    rows = sum(count_rows(path) for path in paths)
    pixels = sum(height * width for height, width in map(config.size_of, config.images))
    needed = 3 * pixels * rows * config.devices
    return needed <= SHARE_OF_FREE * _free_memory()


def on_device(config: ChunkConfig, data: Any, device: torch.device) -> Any:
    """The demonstrations, those to learn from with their images on the GPU where they fit."""
    hold = config.data.hold
    images = [image for episode in data.train for image in episode.images.values()]
    if device.type != 'cuda' or hold in ('host', 'no'):
        return data
    if not all(isinstance(image, Tensor) for image in images):
        return data
    free, _ = torch.cuda.mem_get_info(device)
    if hold == 'auto' and sum(image.nbytes for image in images) > SHARE_OF_FREE * free:
        return data
    moved = tuple(
        replace(episode, images={name: i.to(device) for name, i in episode.images.items()})
        for episode in data.train
    )
    return replace(data, train=moved)


def worker_count(config: ChunkConfig, images: Sequence[Any], cuda: bool) -> int:
    """Processes that make batches: none where images only have to be picked up."""
    if any(isinstance(image, Tensor) and image.is_cuda for image in images):
        return 0
    if config.data.workers is not None:
        return config.data.workers
    if any(isinstance(image, StoredFrames) for image in images):
        return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0)) - 1))
    return 2 if cuda and images else 0


def _free_memory() -> int:
    """Bytes that this machine can still give without swapping."""
    for line in Path('/proc/meminfo').read_text().splitlines():
        if line.startswith('MemAvailable:'):
            return int(line.split()[1]) * 1024
    return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
