# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The episodes of a folder with their verdicts, for the page: each file is looked at once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.hdf5.file import Field
from motion_policy.episodes.layout import SUFFIX
from motion_policy.episodes.reader import open_episode
from motion_policy.files import shown

MOST_EPISODES = 500  # the newest
LONGEST_TEXT = 200
AT_A_TIME = 10  # files that are opened in one look


class EpisodeList:
    """Lists the newest episodes of `folder`; nothing outside it is opened, no link is followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}

    def look(self) -> tuple[list[dict[str, Any]], bool]:
        """The episodes, newest first, and whether all that are new have been looked at."""
        found: list[tuple[str, tuple[int, int]]] = []
        try:
            entries = sorted(self.folder.iterdir(), key=lambda path: path.name, reverse=True)
        except OSError:  # not made yet, as before the first recording
            entries = []
        for path in entries:
            if not path.name.endswith(SUFFIX) or path.name.startswith('.'):
                continue
            if path.is_symlink() or not path.is_file():
                continue
            try:
                status = path.stat()
            except OSError:  # discarded meanwhile
                continue
            found.append((path.name, (status.st_mtime_ns, status.st_size)))
            if len(found) == MOST_EPISODES:
                break
        self._known = {name: self._known[name] for name, _ in found if name in self._known}
        new = [one for one in found if self._known.get(one[0], ((0, 0),))[0] != one[1]]
        for name, version in new[:AT_A_TIME]:
            self._known[name] = version, _row(self.folder / name)
        rows = [self._known[name][1] for name, _ in found if name in self._known]
        return rows, len(new) <= AT_A_TIME


def _row(path: Path) -> dict[str, Any]:
    """What the page says of one file."""
    try:
        file = open_episode(path)
        try:
            length = int(file.dataset(layout.TIME_NS, Field(('i8',), (None,))).shape[0])
            rate = file.attribute('rate', 'number')
            return {
                'name': path.name.removesuffix(SUFFIX),
                'task': shown(file.attribute('task', 'text'))[:LONGEST_TEXT],
                'success': file.attribute('success', 'judgement'),
                'quality': shown(file.attribute(layout.QUALITY, 'text', ''))[:LONGEST_TEXT],
                'seconds': length / rate if math.isfinite(rate) and rate > 0 else 0.0,
            }
        finally:
            file.close()
    except EpisodeError as error:
        return {'name': path.name.removesuffix(SUFFIX), 'problem': str(error)[:300]}
