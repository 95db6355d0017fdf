# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""BAIR's folders become episodes and episodes BAIR's folders, with every number and pixel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import recordings

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeError, EpisodeReader, check_episode
from motion_policy.episodes.formats.bair.from_episodes import bair_parts, export_bair
from motion_policy.episodes.formats.bair.read import ACTIONS, POSITIONS, read_bair
from motion_policy.episodes.formats.bair.to_episodes import import_bair, placeholder_for
from motion_policy.robot import RobotSpec
from motion_policy.robot.placeholder import placeholder_robot

FRAMES, SIDE = 6, 16
Capture = pytest.CaptureFixture[str]


def image(number: int, frame: int) -> np.ndarray:
    """Return an image that no other frame has."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack((16 * x, 16 * y, 7 * number + 11 * frame + 0 * x), -1).astype(np.uint8)


def positions(number: int) -> np.ndarray:
    """Return places of the end effector, (T, 3) [m]."""
    steps = np.arange(FRAMES)[:, None] * (0.011, -0.007, 0.003)
    return np.round(0.3 + 0.1 * number + steps, 6)


def actions(number: int, fourth: float = 0.0) -> np.ndarray:
    """Return what was commanded, (T, 4)."""
    ways = np.sin(np.arange(FRAMES * 3).reshape(-1, 3) + number) / 50
    return np.concatenate((ways, np.full((FRAMES, 1), fourth)), axis=1)


def write_sequence(folder: Path, number: int, fourth: float = 0.0) -> Path:
    """Write one sequence as the original's conversion does."""
    folder.mkdir(parents=True)
    np.savetxt(folder / ACTIONS, actions(number, fourth), delimiter=',')
    np.savetxt(folder / POSITIONS, positions(number), delimiter=',')
    for frame in range(FRAMES):
        cv2.imwrite(str(folder / f'{frame}.png'), image(number, frame)[..., ::-1])
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a set with all three splits."""
    names = ('train/traj_0_to_255/1', 'train/traj_0_to_255/2', 'train/traj_0_to_255/10')
    for number, name in enumerate((*names, 'validate/traj_0_to_255/1', 'test/traj_0_to_255/1')):
        write_sequence(tmp_path / 'bair' / name, number)
    return tmp_path / 'bair'


def hand(joints: int = 3) -> RobotSpec:
    """Return a robot that is told places in space."""
    return placeholder_robot(np.array([[0.0, 1.0]] * joints), {'front': (SIDE, SIDE)}, 5.0)


def numbers(path: Path) -> dict[str, Any]:
    """Return what a set of BAIR can hold of an episode."""
    with EpisodeReader(path) as episode:
        frames = [episode.image(episode.cameras[0], row) for row in range(episode.length)]
        return {'qpos': episode.qpos, 'action': episode.action, 'frames': np.stack(frames)}


def test_a_set_gives_its_numbers_and_pixels_with_the_splits_apart(
    source: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / 'out'
    assert main(['import', str(source), '--out', str(out), '--from', 'bair']) == 0
    printed = capsys.readouterr().out
    assert 'no --robot' in printed
    assert f'its 3 episodes are in {out / "train"}' in printed
    counts = {split: len(list((out / split).iterdir())) for split in ('train', 'validate', 'test')}
    assert counts == {'train': 3, 'validate': 1, 'test': 1}
    # In the order of their numbers: 1, 2, 10.
    for number in range(3):
        path = out / 'train' / f'episode_{number:06d}.hdf5'
        assert check_episode(path) == []
        found = numbers(path)
        np.testing.assert_array_equal(found['qpos'], positions(number).astype(np.float32))
        ways = found['action'] - found['qpos']
        np.testing.assert_allclose(ways, actions(number)[:, :3], atol=1e-7)
        expected = np.stack([image(number, frame) for frame in range(FRAMES)])
        np.testing.assert_array_equal(found['frames'], expected)


def test_frames_are_read_when_they_are_asked_for(source: Path) -> None:
    parts = read_bair(source)
    assert [part.split for part in parts] == ['train', 'validate', 'test']
    sequence = parts[2].sequences[0]
    assert sequence.length == FRAMES
    for frame in range(1, FRAMES):
        (sequence.folder / f'{frame}.png').unlink()
    np.testing.assert_array_equal(sequence.frame(0), image(4, 0))
    (alone,) = read_bair(source / 'train')
    assert (alone.split, len(alone.sequences)) == ('', 3)


def test_the_fourth_column_needs_a_fourth_joint_only_if_it_says_something(tmp_path: Path) -> None:
    write_sequence(tmp_path / 'bair' / 'traj_0_to_255' / '1', 0, fourth=0.5)
    assert len(placeholder_for([tmp_path / 'bair']).joints.names) == 4
    ((episode,),) = (
        part.episodes for part in import_bair(tmp_path / 'bair', hand(4), tmp_path / 'out')
    )
    found = numbers(episode)
    assert (found['action'][:, 3] == 0.5).all()
    assert not found['qpos'][:, 3].any()
    with pytest.raises(EpisodeError, match=r'actions\.csv: column 3 is not zero.*3 joints'):
        import_bair(tmp_path / 'bair', hand(3), tmp_path / 'second')


@pytest.mark.parametrize('joints', [3, 4])
def test_export_and_import_give_the_same_numbers_and_pixels(tmp_path: Path, joints: int) -> None:
    rng = np.random.default_rng(0)
    robot = hand(joints)
    source = tmp_path / 'episodes'
    for split, count in (('train', 2), ('test', 1)):
        for number in range(count):
            qpos = rng.normal(size=(7, joints)).astype(np.float32)
            qpos[:, 3:] = 0
            write_raw(source / split / f'episode_{number:06d}.hdf5', robot, qpos, rng)
    command = ['export', str(source), '--out', str(tmp_path / 'bair'), '--to', 'bair']
    assert main(command) == 0
    first = tmp_path / 'bair' / 'train' / 'traj_0_to_255' / '1'
    assert sorted(path.name for path in first.iterdir()) == sorted(
        [ACTIONS, POSITIONS, *(f'{frame}.png' for frame in range(7))]
    )
    parts = import_bair(tmp_path / 'bair', robot, tmp_path / 'back')
    assert [part.split for part in parts] == ['train', 'test']
    for path in sorted(source.rglob('*.hdf5')):
        before, after = numbers(path), numbers(tmp_path / 'back' / path.relative_to(source))
        assert all(np.array_equal(before[name], after[name]) for name in before)
    again = export_bair(bair_parts(tmp_path / 'back'), tmp_path / 'again')
    assert [path.name for path in again] == ['train', 'test']
    for path in (tmp_path / 'bair').rglob('*.*'):
        same = tmp_path / 'again' / path.relative_to(tmp_path / 'bair')
        assert path.read_bytes() == same.read_bytes()


def write_raw(path: Path, robot: RobotSpec, qpos: np.ndarray, rng: np.random.Generator) -> None:
    """Write an episode in pixels that moves to places of its own."""
    recordings.write_episode(path, len(qpos), robot=robot, compress=False)
    with h5py.File(path, 'r+') as file:
        file['observations/qpos'][:] = qpos
        file['action'][:] = qpos + rng.normal(size=qpos.shape).astype(np.float32)


def cut_frame(folder: Path) -> None:
    data = (folder / '2.png').read_bytes()
    (folder / '2.png').write_bytes(data[: len(data) // 2])


def flip_bit(folder: Path) -> None:
    data = bytearray((folder / '2.png').read_bytes())
    data[len(data) // 2] ^= 1
    (folder / '2.png').write_bytes(bytes(data))


def claim_size(folder: Path) -> None:
    data = bytearray((folder / '2.png').read_bytes())
    data[16:20] = (2**31 - 1).to_bytes(4, 'big')
    (folder / '2.png').write_bytes(data)


def keep_lines(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text('\n'.join(change(lines)) + '\n')

    return damage


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (lambda folder: (folder / '3.png').unlink(), '3.png: no such frame, expected 0.png to 5'),
        (lambda folder: (folder / '5.png').unlink(), '5.png: no such frame, expected 0.png to 5'),
        (keep_lines(ACTIONS, lambda lines: lines[:-1]), 'actions.csv: has 5 rows, expected 6'),
        (
            keep_lines(POSITIONS, lambda lines: lines + lines[:1]),
            'endeffector_positions.csv: has 7 rows, expected 6',
        ),
        (
            keep_lines(ACTIONS, lambda lines: [lines[0] + ',1', *lines[1:]]),
            'actions.csv: row 0 has 5 columns, expected 4',
        ),
        (
            keep_lines(POSITIONS, lambda lines: ['x,y,z', *lines[1:]]),
            "endeffector_positions.csv: row 0 is 'x,y,z', expected 3 numbers",
        ),
        (keep_lines(ACTIONS, lambda lines: ['1,2,3,nan', *lines[1:]]), "row 0 is '1,2,3,nan'"),
        (keep_lines(ACTIONS, lambda lines: ['1e39,2,3,4', *lines[1:]]), "row 0 is '1e39,2,3,4'"),
        (claim_size, '2.png: claims 2147483647x16 pixels'),
        (lambda folder: (folder / ACTIONS).write_bytes(b'\x80\x02'), 'actions.csv: is no text'),
        (lambda folder: (folder / ACTIONS).write_text(''), 'actions.csv: is empty'),
        (lambda folder: (folder / ACTIONS).unlink(), 'actions.csv: no such file'),
        (cut_frame, '2.png: is damaged, expected a PNG image'),
        (flip_bit, '2.png: is damaged, expected a PNG image'),
        (lambda folder: (folder / '2.png').write_text('no'), '2.png: is no PNG file'),
        (
            lambda folder: cv2.imwrite(str(folder / '2.png'), np.full((16, 16), 620, np.uint16)),
            '2.png: it has 16 bits of grey, as depth has',
        ),
        (
            lambda folder: cv2.imwrite(str(folder / '2.png'), np.zeros((8, 16, 3), np.uint8)),
            "2.png: is 16x8, expected 16x16 as camera 'front' has it",
        ),
    ],
)
def test_damage_is_one_line_and_leaves_nothing(
    damage: Callable[[Path], None], words: str, source: Path, tmp_path: Path, capsys: Capture
) -> None:
    damage(source / 'train' / 'traj_0_to_255' / '10')
    (tmp_path / 'hand.yaml').write_text(hand().to_yaml())
    out = tmp_path / 'out'
    command = ['import', str(source), '--out', str(out), '--from', 'bair']
    assert main([*command, '--robot', str(tmp_path / 'hand.yaml')]) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count('\n') == 1
    assert list(out.rglob('*.hdf5')) == []


def test_what_is_no_such_set_is_said_in_one_line(tmp_path: Path, capsys: Capture) -> None:
    empty = tmp_path / 'empty'
    empty.mkdir()
    for source, words in ((empty, 'holds no sequence'), (tmp_path / 'gone', 'no such folder')):
        command = ['import', str(source), '--out', str(tmp_path / 'out'), '--from', 'bair']
        assert main(command) == 2
        assert words in capsys.readouterr().err


def test_an_arm_that_is_told_in_joints_cannot_go_out(tmp_path: Path, capsys: Capture) -> None:
    recordings.write_episode(tmp_path / 'in' / 'episode_000000.hdf5', 3, robot=hand(5))
    command = ['export', str(tmp_path / 'in'), '--out', str(tmp_path / 'out'), '--to', 'bair']
    assert main(command) == 2
    assert 'has the joints joint1, joint2, joint3, joint4, joint5' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
