# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The list of a set: verdicts as they stand in the files, and nothing from outside the folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
from recordings import write_episode

from motion_policy.cockpit.episode_list import AT_A_TIME, EpisodeList
from motion_policy.episodes.judgement import judge_episode


def test_episodes_come_newest_first_with_their_verdicts(tmp_path: Path) -> None:
    folder = tmp_path / 'set'
    listed = EpisodeList(folder)
    assert listed.look() == ([], True)  # before the first recording
    folder.mkdir()
    for number in range(3):
        write_episode(folder / f'episode_{number:06}.hdf5', 2)
    judge_episode(folder / 'episode_000001.hdf5', True)
    rows, whole = listed.look()
    assert whole and [row['name'] for row in rows] == [f'episode_00000{n}' for n in (2, 1, 0)]
    assert [row['success'] for row in rows] == [None, True, None]
    judge_episode(folder / 'episode_000001.hdf5', False)
    (folder / 'episode_000000.hdf5').unlink()
    assert [row['success'] for row in listed.look()[0]] == [None, False]


def test_what_is_no_episode_is_named_and_what_lies_elsewhere_is_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / 'set'
    folder.mkdir()
    outside = tmp_path / 'secret.hdf5'
    write_episode(outside, 2)
    os.symlink(outside, folder / 'link.hdf5')
    (folder / 'folder.hdf5').mkdir()
    (folder / 'damaged.hdf5').write_bytes(b'\x89HDF\r\n\x1a\n' + b'x' * 100)
    write_episode(folder / 'odd.hdf5', 2)
    with h5py.File(folder / 'odd.hdf5', 'r+') as file:
        file.attrs['rate'] = float('nan')
        file.attrs['task'] = 'a\nb' * 1000
    rows, _ = EpisodeList(folder).look()
    assert [row['name'] for row in rows] == ['odd', 'damaged']
    assert json.dumps(rows, allow_nan=False) and len(json.dumps(rows)) < 1000
    assert 'damaged.hdf5: is damaged' in rows[1]['problem']


def test_a_large_set_is_looked_at_in_parts(tmp_path: Path) -> None:
    for number in range(AT_A_TIME + 1):
        (tmp_path / f'episode_{number:06}.hdf5').write_bytes(b'')
    listed = EpisodeList(tmp_path)
    rows, whole = listed.look()
    assert len(rows) == AT_A_TIME and not whole
    rows, whole = listed.look()
    assert len(rows) == AT_A_TIME + 1 and whole
