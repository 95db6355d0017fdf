# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Merging of folders: copies of their episodes get the next free numbers of one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from motion_policy.documents import json_mapping
from motion_policy.episodes.alike import check_alike
from motion_policy.episodes.editing.changes import EditPlan, EpisodeChange, opened
from motion_policy.episodes.editing.marks import file_digest
from motion_policy.episodes.editing.pieces import Piece
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.layout import SUFFIX
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.files import FileError, shown

MERGE = 'merge'


def merge(paths: Sequence[Path], out: Path) -> EditPlan:
    """Copy episodes of other folders to `out`; one that is there already stays where it is.

    Raises:
        EpisodeError: an episode cannot be read, is in `out`, or is of another robot.
    """
    for path in paths:
        if path.parent.resolve() == out.resolve():
            raise EpisodeError(
                f'{shown(path)}: lies in {shown(out)}, expected episodes of other folders'
            )
    there = sorted(out.glob(f'*{SUFFIX}')) if out.is_dir() else []
    there = [path for path in there if not path.name.startswith('.')]
    check_alike(
        [*there[:1], *paths],
        'those of different robots do not become one set',
        of_one_robot=True,
    )
    known = {digest: path for path in there for digest in _merged_digests(path)}
    changes, left = [], []
    for path in paths:
        digest = file_digest(path)
        if digest in known:
            left.append(f'{shown(path)}: is in {shown(known[digest])} already')
            continue
        known[digest] = path
        with opened(path) as episode:
            words = f'copied to {shown(out)}'
            changes.append(EpisodeChange.of(episode, (Piece(),), words))
    return EditPlan(tuple(changes), tuple(left))


def _merged_digests(path: Path) -> list[str]:
    """The SHA-256 of the files that an episode was copied from."""
    with EpisodeReader(path) as episode:
        entries = [_entry(path, text) for text in episode.edits]
    return [str(entry.get('sha256')) for entry in entries if entry.get('action') == MERGE]


def _entry(path: Path, text: str) -> dict[str, object]:
    try:
        return json_mapping(text, f"{path}: attribute 'edits'")
    except FileError as error:
        raise EpisodeError(str(error)) from None
