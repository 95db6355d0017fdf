# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A file that Git LFS has not fetched is named as such, whatever it should be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aloha_files
import bag_files
import eipl_sets
import pytest
import recordings
from lerobot_sets import DATA, ROBOT, video
from repository import ROOT

from motion_policy.episodes import EpisodeReader, bag_topics
from motion_policy.episodes.formats.aloha.to_episodes import import_aloha
from motion_policy.episodes.formats.eipl.to_episodes import import_eipl
from motion_policy.episodes.formats.lerobot.to_episodes import import_lerobot
from motion_policy.errors import UserError
from motion_policy.policies import load_policy
from motion_policy.robot import load_robot_spec

POINTER = (
    'version https://git-lfs.github.com/spec/v1\n'
    'oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n'
)
SHIPPED = ROOT / 'models' / 'sarnn_tabletop'


def point(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(POINTER)
    return path


def bag(folder: Path, storage: str) -> Path:
    events = bag_files.demonstration(0.2, recordings.tabletop())
    (file,) = bag_files.write_bag(folder / 'bag', events, storage).glob('bag*')
    return file


def eipl(folder: Path) -> Path:
    return eipl_sets.write_npy(folder / 'set', (5,)) / 'joints.npy'


def shipped(folder: Path, name: str) -> Path:
    return shutil.copytree(SHIPPED, folder / 'policy') / name


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path, Path], Any]]] = {
    'episode': (lambda folder: folder / 'e.hdf5', lambda file, out: EpisodeReader(file)),
    'aloha': (
        lambda folder: folder / 'episode_0.hdf5',
        lambda file, out: import_aloha(file.parent, aloha_files.robot(), out),
    ),
    'mcap': (lambda folder: bag(folder, 'mcap'), lambda file, out: bag_topics(file.parent)),
    'sqlite3': (lambda folder: bag(folder, 'sqlite3'), lambda file, out: bag_topics(file)),
    'npy': (eipl, lambda file, out: import_eipl(file.parent, eipl_sets.robot(), out)),
    'npz': (
        lambda folder: folder / 'a.npz',
        lambda file, out: import_eipl(file, eipl_sets.robot(), out),
    ),
    'robot spec': (lambda folder: folder / 'a.yaml', lambda file, out: load_robot_spec(file)),
    'weights': (
        lambda folder: shipped(folder, 'weights.safetensors'),
        lambda file, out: load_policy(file.parent, device='cpu'),
    ),
    'policy': (
        lambda folder: shipped(folder, 'policy.yaml'),
        lambda file, out: load_policy(file.parent, device='cpu'),
    ),
}


@pytest.mark.parametrize('kind', READERS)
def test_a_pointer_of_git_lfs_is_named(tmp_path: Path, kind: str) -> None:
    make, read = READERS[kind]
    file = point(make(tmp_path))
    with pytest.raises(UserError) as error:
        read(file, tmp_path / 'out')
    assert str(error.value) == (
        f'{file}: is a Git LFS pointer, not the data: `git lfs pull` fetches it'
    )


@pytest.mark.parametrize('which', [lambda folder: folder / DATA, video], ids=['parquet', 'mp4'])
def test_a_pointer_in_a_set_of_lerobot_is_named(
    lerobot_set: Path, tmp_path: Path, which: Callable[[Path], Path]
) -> None:
    file = point(which(lerobot_set))
    with pytest.raises(UserError, match='is a Git LFS pointer, not the data') as error:
        import_lerobot(lerobot_set, ROBOT, tmp_path / 'out')
    assert str(error.value).startswith(f'{file}: ')
