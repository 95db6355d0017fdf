# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The checker names what is wrong with an episode, and nothing when it is sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import recordings

from motion_policy.episodes import check_episode

Damage = Callable[[h5py.File], None]


@pytest.mark.parametrize('options', [{}, {'compress': False}, {'effort': False, 'leader': False}])
def test_a_sound_episode_has_no_problem(tmp_path: Path, options: dict[str, bool]) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', 30, **options)
    assert check_episode(path) == []


def put(name: str, values: object) -> Damage:
    """Replace a dataset."""

    def damage(file: h5py.File) -> None:
        del file[name]
        if values is not None:
            file[name] = values

    return damage


def set_at(name: str, place: object, value: object) -> Damage:
    def damage(file: h5py.File) -> None:
        file[name][place] = value

    return damage


def set_attribute(name: str, value: object) -> Damage:
    def damage(file: h5py.File) -> None:
        file.attrs[name] = value

    return damage


def drop_attribute(name: str) -> Damage:
    def damage(file: h5py.File) -> None:
        del file.attrs[name]

    return damage


def shift_times(file: h5py.File) -> None:
    file['time_ns'][12:] = file['time_ns'][12:] + 20_000_000


def cut_jpeg(file: h5py.File) -> None:
    file['compress_len'][1, 4] -= 40


def swap_joints(file: h5py.File) -> None:
    names = list(file.attrs['joint_names'])
    file.attrs['joint_names'] = names[::-1]


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (put('action', None), ["no '/action'"]),
        (put('observations/qpos', np.zeros((29, 5), np.float32)), ['qpos', '(29, 5)', '(30, 5)']),
        (put('observations/qvel', np.zeros((30, 5))), ['qvel', 'float64', 'float32']),
        (set_at('observations/qpos', (7, 2), np.nan), ['qpos', 'not finite', 'row 7']),
        (set_at('observations/effort', (3, 0), np.inf), ['effort', 'not finite', 'row 3']),
        (put('time_ns', None), ["no '/time_ns'"]),
        (shift_times, ['time_ns', 'row 11', '40000000', '20000000']),
        (set_at('time_ns', slice(None), 0), ['time_ns', '29 steps']),
        (put('observations/images/side', None), ["no '/observations/images/side'"]),
        (
            put('observations/images/side', np.zeros((30, 4, 4, 3), np.uint8)),
            ['side', '(30, 4, 4'],
        ),
        (
            set_at('observations/images/top', (5, slice(None)), 0),
            ['images/top', 'row 5', '1 of 30'],
        ),
        (cut_jpeg, ['images/side', 'row 4', 'does not end']),
        (set_at('compress_len', (0, 6), 1e9), ['images/top', 'row 6', 'compress_len']),
        (put('compress_len', None), ['compress_len']),
        (put('stamps/state/age_ns', None), ['stamps/state/age_ns']),
        (set_at('stamps/state/receive_ns', 9, 0), ['stamps/state', 'row 9']),
        (
            set_at('stamps/top/age_ns', slice(20, 25), 350_000_000),
            ['stamps/top', '5 rows', 'row 20', '0.35 s', '0.2 s'],
        ),
        (set_at('stamps/leader/age_ns', 2, -1), ['stamps/leader', 'negative', 'row 2']),
        (set_attribute('robot', 'name: x'), ['robot', 'missing']),
        (set_attribute('rate', 20.0), ['rate', '20.0', '50.0']),
        (set_attribute('format', 'other/9'), ['format', 'other/9', 'motion_policy/1']),
        (swap_joints, ['joint_names', 'gripper']),
        (drop_attribute('task'), ['attribute', 'task']),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Damage, words: list[str]) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', 30)
    with h5py.File(path, 'r+') as file:
        damage(file)
    problems = check_episode(path)
    assert problems
    assert all('\n' not in problem for problem in problems)
    for word in words:
        assert any(word in problem for problem in problems), problems


def test_a_wrong_image_size_is_named(tmp_path: Path) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', 5)
    with h5py.File(path, 'r+') as file:
        file.attrs['robot'] = file.attrs['robot'].replace('width: 128', 'width: 64')
    problems = check_episode(path)
    assert any('(128, 128, 3)' in line and '(128, 64, 3)' in line for line in problems), problems


def test_torn_and_foreign_files_are_one_problem(tmp_path: Path) -> None:
    whole = recordings.write_episode(tmp_path / 'e.hdf5', 30)
    torn = tmp_path / 'torn.hdf5'
    torn.write_bytes(whole.read_bytes()[:-2000])
    foreign = tmp_path / 'foreign.hdf5'
    foreign.write_bytes(b'x' * 1000)
    part = whole.rename(tmp_path / 'e.hdf5.part')
    for path, word in ((torn, 'truncated'), (foreign, 'not HDF5'), (part, '--repair')):
        (problem,) = check_episode(path)
        assert word in problem


def test_damaged_bytes_inside_do_not_raise(tmp_path: Path) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', 30)
    whole = path.read_bytes()
    found = 0
    for start in range(600, len(whole) - 400, len(whole) // 12):
        path.write_bytes(whole[:start] + b'\xa5' * 400 + whole[start + 400 :])
        found += bool(check_episode(path))
    # A JPEG with wrong bits inside still decodes; what else is hit is noticed.
    assert found > 3
