# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Discards a recording: it goes to `discarded/` beside the others, where nothing reads it."""

from __future__ import annotations

from pathlib import Path

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.hdf5.write_ahead import log_path
from motion_policy.episodes.paths import discarded_path
from motion_policy.files import is_there, make_folders, move_new, shown


def discard_episode(path: Path) -> Path:
    """Move an episode, or what a failing disk left of one, to `discarded/`; return where it is.

    Raises:
        EpisodeError: it cannot be moved, and is where it was.
    """
    if not is_there(path):
        raise EpisodeError(f'{shown(path)}: is not there any more, nothing was discarded')
    place = discarded_path(path)
    try:
        make_folders(place.parent)
        if is_there(log_path(path)):
            move_new(log_path(path), log_path(place))
        move_new(path, place)
    except OSError as error:
        raise EpisodeError(
            f'{shown(path)}: cannot be moved to {shown(place)}: {error.strerror or error}'
        ) from None
    return place
