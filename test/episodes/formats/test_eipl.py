# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""EIPL's data sets become the episodes that were recorded, or one line says why not."""

from __future__ import annotations

import os
import pickle
import resource
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eipl_sets
import numpy as np
import pytest

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeError, EpisodeReader, check_episode
from motion_policy.episodes.formats.eipl.read import read_bounds, read_eipl
from motion_policy.episodes.formats.eipl.to_episodes import import_eipl

ROBOT = eipl_sets.robot()
Capture = pytest.CaptureFixture[str]


def imported(source: Path, out: Path, robot: Any = ROBOT, **options: Any) -> list[Path]:
    """Import raw pixels; return all episodes."""
    parts = import_eipl(source, robot, out, compress=False, **options)
    return [episode for part in parts for episode in part.episodes]


def test_a_set_gives_its_numbers_in_rgb(tmp_path: Path) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (9, 9))
    notes: list[str] = []
    episodes = imported(source, tmp_path / 'out', note=notes.append, task='grasp')
    assert [path.name for path in episodes] == ['episode_000000.hdf5', 'episode_000001.hdf5']
    for number, path in enumerate(episodes):
        assert check_episode(path) == []
        with EpisodeReader(path) as episode:
            expected = eipl_sets.joints(number, 9)
            np.testing.assert_array_equal(episode.qpos, expected)
            # No stream of actions: the position reached one row later is what was to be reached.
            np.testing.assert_array_equal(episode.action[:-1], expected[1:])
            np.testing.assert_array_equal(np.diff(episode.time_ns), 100_000_000)
            for row in range(9):
                np.testing.assert_array_equal(
                    episode.image('top', row), eipl_sets.image(number, row)
                )
            assert (episode.task, episode.rate, episode.success) == ('grasp', 10.0, None)
            assert not episode.stamps('top').header_ns.any()
    (note,) = notes
    assert 'no stamps, no action stream' in note
    assert 'BGR' in note


def test_the_order_of_colours_can_be_said(tmp_path: Path) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (3,))
    (path,) = imported(source, tmp_path / 'out', channels='rgb')
    with EpisodeReader(path) as episode:
        np.testing.assert_array_equal(episode.image('top', 1), eipl_sets.image(0, 1)[..., ::-1])


@pytest.mark.parametrize('last', [(), (1,)])
def test_images_of_one_channel_are_grey(tmp_path: Path, last: tuple[int, ...]) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (4, 6))
    images = np.load(source / 'images.npy')[..., 0]
    grey = images.reshape(*images.shape, *last)
    np.save(source / 'images.npy', grey)
    archive = save_npz(tmp_path / 'other', images=grey[1], joints=eipl_sets.joints(1, 6))
    episodes = imported(source, tmp_path / 'out')
    episodes += imported(archive, tmp_path / 'npz')
    for number, path in zip((0, 1, 1), episodes, strict=True):
        with EpisodeReader(path) as episode:
            assert episode.length == (4, 6)[number]
            for row in range(episode.length):
                expected = np.stack([images[number, row]] * 3, axis=2)
                np.testing.assert_array_equal(episode.image('top', row), expected)


def test_padding_is_left_out_unless_asked_for(tmp_path: Path) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (4, 9, 7))
    notes: list[str] = []
    lengths = []
    for path in imported(source, tmp_path / 'out', note=notes.append):
        with EpisodeReader(path) as episode:
            lengths.append(episode.length)
    assert lengths == [4, 9, 7]
    assert 'left out 7 rows at the end of 2 of 3 episodes' in notes[-1]
    for path in imported(source, tmp_path / 'kept', keep_padding=True):
        with EpisodeReader(path) as episode:
            assert episode.length == 9


def test_a_joint_that_rests_while_the_image_moves_is_no_padding(tmp_path: Path) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (8,))
    joints = np.load(source / 'joints.npy')
    joints[:, 5:] = joints[:, 4:5]
    np.save(source / 'joints.npy', joints)
    (path,) = imported(source, tmp_path / 'out')
    with EpisodeReader(path) as episode:
        assert episode.length == 8


def test_train_and_test_stay_apart(tmp_path: Path, capsys: Capture) -> None:
    root = tmp_path / 'grasp'
    train = eipl_sets.write_npy(root / 'train', (5, 5, 5))
    test = eipl_sets.write_npy(root / 'test', (5, 4), first=3)
    eipl_sets.write_bounds(root / 'joint_bounds.npy', train, test)
    assert [part.split for part in read_eipl(root)] == ['train', 'test']
    out = tmp_path / 'out'
    command = ['import', str(root), '--out', str(out), '--from', 'eipl', '--raw']
    (tmp_path / 'arm.yaml').write_text(ROBOT.to_yaml())
    assert main([*command, '--robot', str(tmp_path / 'arm.yaml')]) == 0
    printed = capsys.readouterr().out
    assert f'its 3 episodes are in {out / "train"}' in printed
    assert f'its 2 episodes are in {out / "test"}' in printed
    assert 'beyond' not in printed
    assert len(list((out / 'train').glob('*.hdf5'))) == 3
    with EpisodeReader(out / 'test' / 'episode_000001.hdf5') as episode:
        np.testing.assert_array_equal(episode.qpos, eipl_sets.joints(4, 4))


@pytest.mark.parametrize('count', [2, 3])
def test_one_file_is_one_episode(tmp_path: Path, count: int) -> None:
    finger = (np.arange(6) > 2).astype(np.float32)
    arrays = {'joints': eipl_sets.joints(0, 6, 2), 'images': eipl_sets.bgr_images(0, 6)}
    np.savez(tmp_path / 'a.npz', **arrays, finger_state=finger, finger=finger)
    notes: list[str] = []
    (path,) = imported(
        tmp_path / 'a.npz',
        tmp_path / 'out',
        eipl_sets.robot(count),
        note=notes.append,
    )
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        np.testing.assert_array_equal(episode.qpos[:, :2], arrays['joints'])
        np.testing.assert_array_equal(episode.image('top', 4), eipl_sets.image(0, 4))
        if count == 3:
            np.testing.assert_array_equal(episode.qpos[:, 2], finger)
            assert "finger_state becomes the joint 'hand'" in notes[-2]
            assert "joint 'hand' is only 0 or 1: taken as a gripper that is open" in notes[-1]
        else:
            assert 'finger_state is left out' in notes[-1]


def test_a_folder_of_files_gives_one_episode_each(tmp_path: Path) -> None:
    for number in range(3):
        np.savez(
            tmp_path / f'{number}.npz',
            joints=eipl_sets.joints(number, 4 + number),
            images=eipl_sets.bgr_images(number, 4 + number),
        )
    lengths = []
    for path in imported(tmp_path, tmp_path / 'out'):
        with EpisodeReader(path) as episode:
            lengths.append(episode.length)
    assert lengths == [4, 5, 6]


def test_the_rate_is_the_robots_unless_said(tmp_path: Path) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (4,))
    for rate, expected in ((None, 50.0), (4.0, 4.0)):
        (path,) = imported(source, tmp_path / 'out', eipl_sets.robot(rate=50.0), rate=rate)
        assert check_episode(path) == []
        with EpisodeReader(path) as episode:
            assert episode.rate == episode.robot.rate == expected
            assert (np.diff(episode.time_ns) == round(1e9 / expected)).all()


def test_one_camera_of_several_is_chosen(tmp_path: Path) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (4,))
    robot = eipl_sets.robot(cameras=('top', 'side'))
    with pytest.raises(EpisodeError, match='top, side; expected --camera'):
        imported(source, tmp_path / 'out', robot)
    with pytest.raises(EpisodeError, match=r"'wrist'.*top, side"):
        imported(source, tmp_path / 'out', robot, camera='wrist')
    (path,) = imported(source, tmp_path / 'out', robot, camera='side')
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        assert episode.cameras == ('side',)


def test_a_set_larger_than_memory_is_mapped(tmp_path: Path) -> None:
    # 64 GiB that are nowhere: a file with a hole. Reading them would end this test.
    shape = (64, 2**30 // (3 * 2**10), 2**5, 2**5, 3)
    source = tmp_path / 'set'
    source.mkdir()
    with (source / 'images.npy').open('wb') as file:
        header = {'descr': '|u1', 'fortran_order': False, 'shape': shape}
        np.lib.format.write_array_header_2_0(file, header)
        file.truncate(file.tell() + int(np.prod(shape)))
    np.save(source / 'joints.npy', np.zeros((*shape[:2], 1), np.float32))
    (part,) = read_eipl(source)
    assert part.rows == shape[0] * shape[1]
    assert part.recordings[63].images()[-1].shape == (32, 32, 3)


def change(name: str, how: Callable[[Any], Any]) -> Callable[[Path], None]:
    def apply(source: Path) -> None:
        np.save(source / name, how(np.load(source / name)))

    return apply


def with_nan(joints: Any) -> Any:
    joints[1, 2, 1] = np.nan
    return joints


def remove(name: str) -> Callable[[Path], None]:
    return lambda source: (source / name).unlink()


def pickled(source: Path) -> None:
    (source / 'joints.npy').write_bytes(pickle.dumps([1, 2]))


def objects(source: Path) -> None:
    np.save(source / 'joints.npy', np.array([[{}]], dtype=object), allow_pickle=True)


def cut_short(source: Path) -> None:
    data = (source / 'images.npy').read_bytes()
    (source / 'images.npy').write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (remove('joints.npy'), ['set: has no joints.npy', 'found images.npy']),
        (remove('images.npy'), ['set: has no images.npy']),
        (change('images.npy', lambda x: x[:, :-1]), ['(2, 5)', '(2, 6)', 'expected the same']),
        (change('images.npy', lambda x: x / 255), ['images.npy', 'float64', 'uint8']),
        (change('images.npy', lambda x: x.transpose(0, 1, 4, 2, 3)), ['(2, 6, 3, 12, 16)']),
        (change('images.npy', lambda x: x[:, :, :10]), ['16x10', "'top'", '16x12', 'height: 10']),
        (change('joints.npy', lambda x: x[..., :2]), ['has 2 joints', 'small_arm', '3 (shoulder']),
        (change('joints.npy', lambda x: x[0]), ['joints.npy', '(6, 3)', '(episodes, rows']),
        (change('joints.npy', with_nan), ['joints.npy', 'episode 1, row 2', "'elbow' is nan"]),
        (change('joints.npy', lambda x: x[:0]), ['joints.npy', '(0, 6, 3)']),
        (pickled, ['joints.npy', 'cannot be read']),
        (objects, ['joints.npy', 'Python objects']),
        (cut_short, ['images.npy', 'more than the file holds']),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, damage: Callable[[Path], None], words: list[str]
) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (6, 6))
    damage(source)
    with pytest.raises(EpisodeError) as caught:
        imported(source, tmp_path / 'out')
    assert [word for word in words if word not in str(caught.value)] == []
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('with_bounds', [True, False])
def test_normalised_joints_are_refused(tmp_path: Path, with_bounds: bool) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (30, 30))
    if with_bounds:
        eipl_sets.write_bounds(tmp_path / 'joint_bounds.npy', source)
    imported(source, tmp_path / 'raw')
    joints = np.load(source / 'joints.npy')
    low, high = joints.min(axis=(0, 1)), joints.max(axis=(0, 1))
    np.save(source / 'joints.npy', (joints - low) / (high - low))
    with pytest.raises(EpisodeError, match='look normalised'):
        imported(source, tmp_path / 'out')


def test_joints_beyond_bounds_or_limits_are_told(tmp_path: Path) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (30,))
    np.save(source / 'joint_bounds.npy', np.array([[-2.0, -0.05, -2.0], [2.0, 0.05, 2.0]]))
    notes: list[str] = []
    imported(source, tmp_path / 'out', note=notes.append)
    assert "joint 'elbow' goes from" in notes[-1]
    assert 'beyond joint_bounds.npy: -0.05 to 0.05' in notes[-1]
    joints = np.load(source / 'joints.npy')
    joints[0, 3, 2] = 2.5
    np.save(source / 'joints.npy', joints)
    (source / 'joint_bounds.npy').unlink()
    # By its name it may be a gripper, which steps; but none is back in the next row.
    with pytest.raises(EpisodeError, match=r"row 4: joint 'hand' moves by 2\.\d+ in 0\.100 s"):
        imported(source, tmp_path / 'out', note=notes.append)
    imported(source, tmp_path / 'out', any_speed=True, note=notes.append)
    assert "joint 'hand' goes from -0.15 to 2.5, beyond its limits" in notes[-1]


@pytest.mark.parametrize(
    ('bounds', 'words'),
    [
        (np.zeros((3, 4)), r'\(3, 4\) float64, expected \(2, joints\)'),
        (np.array([[0.0, 1.0], [1.0, 0.5]]), 'joint 2 has the bounds 1 and 0.5'),
        (np.array([[0.0, np.nan], [1.0, 1.0]]), 'joint 2 has the bounds nan and 1'),
    ],
)
def test_wrong_bounds_are_refused(tmp_path: Path, bounds: np.ndarray, words: str) -> None:
    np.save(tmp_path / 'joint_bounds.npy', bounds)
    with pytest.raises(EpisodeError, match=words):
        read_bounds(tmp_path / 'joint_bounds.npy')


def test_nothing_is_left_of_an_import_that_fails_in_the_middle(tmp_path: Path) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (6, 6, 6))
    rows = 0

    def fail_late() -> None:
        nonlocal rows
        rows += 1
        if rows == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(source, tmp_path / 'out', on_row=fail_late)
    assert not (tmp_path / 'out').exists()


def error_line(capsys: Capture) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ')
    return line


def test_the_command_says_what_is_missing_or_foreign(tmp_path: Path, capsys: Capture) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (4,))
    command = ['import', str(source), '--out', str(tmp_path / 'out')]
    assert main([*command, '--from', 'eipl']) == 2
    assert '3 joints, and a camera with width: 16, height: 12' in error_line(capsys)
    for option in ('--namespace=a', '--split-at-gaps'):
        assert main([*command, '--from', 'eipl', '--robot', 'ur5e', option]) == 2
        assert f'{option.split("=")[0]} means nothing for --from eipl' in error_line(capsys)
    for option in ('--camera=a', '--channels=bgr', '--rate=10', '--keep-padding'):
        assert main([*command, '--robot', 'ur5e', option]) == 2
        assert f'{option.split("=")[0]} means nothing for --from rosbag2' in error_line(capsys)
    assert main([*command, '--from', 'eipl', '--robot', 'tabletop_sim', '--camera', 'top']) == 2
    assert "16x12, camera 'top' of robot 'tabletop_sim' is 128x128" in error_line(capsys)
    assert not (tmp_path / 'out').exists()


def save_npz(folder: Path, packed: bool = True, **arrays: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / 'a.npz'
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    return path


def replaced_in_archive(path: Path, name: str, data: bytes) -> None:
    """Give a member of an archive other content, with a CRC-32 that is right."""
    with zipfile.ZipFile(path) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for one, content in {**members, name: data}.items():
            archive.writestr(one, content)


def refused(source: Path, tmp_path: Path) -> str:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings(), pytest.raises(EpisodeError) as caught:
        warnings.simplefilter('error')
        imported(source, tmp_path / 'out')
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024
    line = str(caught.value)
    assert line.startswith(str(source)) and line.isprintable()
    assert not (tmp_path / 'out').exists()
    return line


def header_of(shape: str, kind: str = "'|u1'") -> bytes:
    """Return the header of an .npy file, with a shape in words."""
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b'\x93NUMPY\x01\x00' + len(text).to_bytes(2, 'little') + text


@pytest.mark.slow
def test_an_archive_that_claims_or_unpacks_too_much_is_refused_unread(tmp_path: Path) -> None:
    images, joints = eipl_sets.bgr_images(0, 6), eipl_sets.joints(0, 6)
    path = save_npz(tmp_path / 'set', images=images, joints=joints)
    replaced_in_archive(path, 'images.npy', header_of('(1000000000000, 12, 16, 3)') + bytes(9))
    assert "array 'images' claims (1000000000000, 12, 16, 3) uint8" in refused(path, tmp_path)
    bomb = np.zeros((500_000, 12, 16, 3), np.uint8)
    replaced_in_archive(path, 'images.npy', header_of('(500000, 12, 16, 3)') + bomb.tobytes())
    del bomb
    assert 'expected at most 100 times as many' in refused_unpacked(path, tmp_path)


def refused_unpacked(path: Path, tmp_path: Path) -> str:
    with pytest.raises(EpisodeError) as caught:
        imported(path, tmp_path / 'out')
    return str(caught.value)


def test_one_wrong_bit_in_an_archive_is_found_by_its_sum(tmp_path: Path) -> None:
    images, joints = eipl_sets.bgr_images(0, 6), eipl_sets.joints(0, 6)
    path = save_npz(tmp_path / 'set', packed=False, images=images, joints=joints)
    data = bytearray(path.read_bytes())
    place = data.index(joints[3].tobytes())
    data[place] ^= 1
    path.write_bytes(data)
    line = refused(path, tmp_path)
    assert "array 'joints' cannot be read" in line and 'CRC-32' in line


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (header_of('(1000000, 1000000, 3)', "'<f4'") + bytes(99), 'more than the file holds'),
        (header_of('(2, 2, 3)', "'<U9'") + bytes(432), 'expected plain numbers'),
        (header_of('(-1, 2, 3)', "'<f4'"), 'expected plain numbers'),
        (header_of('(True,)', "'<f4'"), 'joints'),
        (header_of('(' * 300), 'cannot be read'),
        (b'', 'cannot be read'),
    ],
)
def test_an_array_that_is_not_what_it_claims_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (6, 6))
    (source / 'joints.npy').write_bytes(content)
    assert words in refused(source, tmp_path)


def test_positions_that_float32_cannot_hold_are_refused(tmp_path: Path) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (6, 6))
    joints = np.load(source / 'joints.npy').astype(np.float64)
    joints[1, 2, 0] = 1e300
    np.save(source / 'joints.npy', joints)
    assert "episode 1, row 2, joint 'shoulder' is 1e+300, expected" in refused(source, tmp_path)


def test_a_pipe_is_no_array(tmp_path: Path) -> None:
    source = eipl_sets.write_npy(tmp_path / 'set', (6, 6))
    (source / 'joints.npy').unlink()
    os.mkfifo(source / 'joints.npy')
    assert 'has no joints.npy' in refused(source, tmp_path)
