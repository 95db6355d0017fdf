# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Sets success or failure of a finished episode, as the operator judges it.

While the file is changed it does not have its final name; where it cannot be it stays as it was.
"""

from __future__ import annotations

from pathlib import Path

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.hdf5.output import changed_hdf5
from motion_policy.files import shown, unnamed


def judge_episode(path: str | Path, success: bool) -> None:
    """Note in the episode at `path` whether the demonstration succeeded.

    Raises:
        EpisodeError: no such episode, or the file cannot be changed.
    """
    final = Path(path)
    part = layout.part_path(final)
    try:
        with unnamed(final, part), changed_hdf5(part) as file:
            file.attrs['success'] = success
    except OSError as error:
        reason = error.strerror or error
        raise EpisodeError(f'{shown(final)}: success cannot be noted: {reason}') from None
