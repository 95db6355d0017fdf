# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The operator's judgement of an episode that is already finished.

While the file is changed it does not have its final name.
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.writer import settle


def judge_episode(path: str | Path, success: bool) -> None:
    """Note in the episode at `path` whether the demonstration succeeded.

    Raises:
        EpisodeError: no such episode, or the file cannot be changed.
    """
    final = Path(path)
    part = layout.part_path(final)
    try:
        os.replace(final, part)
        with h5py.File(part, 'r+', libver=layout.LIBRARY_VERSIONS) as file:
            file.attrs['success'] = success
        settle(part, final)
    except OSError as error:
        raise EpisodeError(f'{final}: success cannot be noted: {error}') from None
