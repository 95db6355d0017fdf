# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every form of an ALOHA file becomes the episode it holds, or one line says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aloha_files
import cv2
import h5py
import numpy as np
import pytest

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeError, EpisodeReader, check_episode
from motion_policy.episodes.formats.aloha.to_episodes import import_aloha, placeholder_for
from motion_policy.errors import UserError
from motion_policy.robot import load_robot_spec
from motion_policy.robot.placeholder import PLACEHOLDER

ROBOT = aloha_files.robot()
ROWS = 7
Capture = pytest.CaptureFixture[str]


def imported(source: Path, out: Path, robot: Any = ROBOT, **options: Any) -> list[Path]:
    return [episode for episode, _ in import_aloha(source, robot, out, **options)]


def as_drawn(camera: str, row: int, images: str) -> np.ndarray:
    """Return what a file holds in RGB: the pixels, or what OpenCV makes of their JPEG."""
    if images == 'raw':
        return aloha_files.image(camera, 0, row)
    return cv2.imdecode(aloha_files.jpegs(camera, 0, row + 1)[row], cv2.IMREAD_COLOR)


@pytest.mark.parametrize('with_lengths', [True, False])
@pytest.mark.parametrize('dtype', ['f4', 'f8'])
@pytest.mark.parametrize('images', ['raw', 'padded', 'vlen', 'bytes'])
def test_every_form_gives_its_numbers_and_colours(
    tmp_path: Path, images: str, dtype: str, with_lengths: bool
) -> None:
    effort = 2 * aloha_files.qpos(0, ROWS)
    source = aloha_files.write(
        tmp_path / 'episode_0.hdf5', ROWS, images=images, dtype=dtype, observations__effort=effort
    )
    if with_lengths:
        aloha_files.write_compress_len(source, ROWS)
    (path,) = imported(source, tmp_path / 'out', task='hand over', compress=images != 'raw')
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        expected = aloha_files.qpos(0, ROWS)
        np.testing.assert_array_equal(episode.qpos, expected)
        np.testing.assert_array_equal(episode.qvel, (0.1 * expected).astype(np.float32))
        np.testing.assert_array_equal(episode.effort, effort)
        np.testing.assert_array_equal(episode.action, (expected + 0.01).astype(np.float32))
        np.testing.assert_array_equal(np.diff(episode.time_ns), 20_000_000)
        # The robot's order, whatever the alphabet says.
        assert episode.cameras == aloha_files.CAMERAS
        assert (episode.task, episode.rate, episode.sim) == ('hand over', 50.0, images == 'raw')
        for camera in aloha_files.CAMERAS:
            for row in range(ROWS):
                np.testing.assert_array_equal(
                    episode.image(camera, row), as_drawn(camera, row, images)
                )


@pytest.mark.parametrize('images', ['padded', 'vlen', 'bytes'])
def test_a_jpeg_stays_as_it_is_to_the_byte(tmp_path: Path, images: str) -> None:
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS, images=images)
    (path,) = imported(source, tmp_path / 'out')
    with h5py.File(path) as file, EpisodeReader(path) as episode:
        for index, camera in enumerate(aloha_files.CAMERAS):
            for row, data in enumerate(aloha_files.jpegs(camera, 0, ROWS)):
                assert file['compress_len'][index, row] == len(data)
                np.testing.assert_array_equal(episode.jpeg(camera, row), data)


def test_other_colours_and_other_storage_can_be_asked_for(tmp_path: Path) -> None:
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS, images='padded')
    drawn = as_drawn('cam_low', 3, 'padded')
    (raw,) = imported(source, tmp_path / 'raw', compress=False)
    with EpisodeReader(raw) as episode:
        assert not episode.compress
        np.testing.assert_array_equal(episode.image('cam_low', 3), drawn)
    (swapped,) = imported(source, tmp_path / 'bgr', compress=False, channels='bgr')
    with EpisodeReader(swapped) as episode:
        np.testing.assert_array_equal(episode.image('cam_low', 3), drawn[..., ::-1])
    (encoded,) = imported(source, tmp_path / 'jpeg', channels='bgr')
    with EpisodeReader(encoded) as episode:
        kept = episode.camera_jpeg('cam_low', 3)
        np.testing.assert_array_equal(kept, aloha_files.jpegs('cam_low', 0, ROWS)[3])
        np.testing.assert_array_equal(episode.image('cam_low', 3), drawn[..., ::-1])
    (encoded,) = imported(source, tmp_path / 'aloha', channels='bgr', storage='aloha_jpeg')
    with EpisodeReader(encoded) as episode:
        assert episode.storage('cam_low') == 'jpeg'
        difference = episode.image('cam_low', 3).astype(int) - drawn[..., ::-1]
        assert np.abs(difference).mean() < 4
    pixels = aloha_files.write(tmp_path / 'pixels' / 'episode_0.hdf5', ROWS)
    (encoded,) = imported(pixels, tmp_path / 'encoded')
    with EpisodeReader(encoded) as episode:
        assert episode.compress
        difference = episode.image('cam_high', 3).astype(int) - aloha_files.image('cam_high', 0, 3)
        assert np.abs(difference).mean() < 4


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    lengths = {0: 5, 1: 3, 2: 8, 10: 4}
    for number, rows in lengths.items():
        aloha_files.write(tmp_path / 'set' / f'episode_{number}.hdf5', rows, episode=number)
    (tmp_path / 'set' / 'episode_0_features.hdf5').write_bytes(b'')
    pairs = import_aloha(tmp_path / 'set', ROBOT, tmp_path / 'out')
    assert [source.name for _, source in pairs] == [f'episode_{n}.hdf5' for n in lengths]
    for (path, _), (number, rows) in zip(pairs, lengths.items(), strict=True):
        with EpisodeReader(path) as episode:
            np.testing.assert_array_equal(episode.qpos, aloha_files.qpos(number, rows))


def test_cameras_are_chosen_and_renamed(tmp_path: Path) -> None:
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS)
    robot = aloha_files.robot(('top', 'wrist'))
    with pytest.raises(EpisodeError, match=r"'cam_high': robot 'two_arms' has: top, wrist"):
        imported(source, tmp_path / 'out', robot)
    with pytest.raises(EpisodeError, match=r"no camera 'angle', it has: cam_high, cam_low"):
        imported(source, tmp_path / 'out', robot, cameras={'top': 'angle'})
    notes: list[str] = []
    (path,) = imported(
        source, tmp_path / 'out', robot, cameras={'top': 'cam_high'}, note=notes.append
    )
    assert any('has no wrist' in note for note in notes)
    assert any('camera cam_low is left out' in note for note in notes)
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        assert episode.cameras == ('top',)


def test_columns_that_have_names_go_by_them(tmp_path: Path) -> None:
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS)
    with h5py.File(source, 'r+') as file:
        file.attrs['joint_names'] = list(reversed(ROBOT.joints.names))
    notes: list[str] = []
    (path,) = imported(source, tmp_path / 'out', note=notes.append)
    assert any('joints in another order than the robot, by name' in note for note in notes)
    with EpisodeReader(path) as episode, h5py.File(source) as file:
        np.testing.assert_array_equal(episode.qpos, file['observations/qpos'][:][:, ::-1])
        np.testing.assert_array_equal(episode.qvel, file['observations/qvel'][:][:, ::-1])
        np.testing.assert_array_equal(episode.action, file['action'][:][:, ::-1])
    with h5py.File(source, 'r+') as file:
        file.attrs['joint_names'] = [f'{name}_left' for name in ROBOT.joints.names]
    with pytest.raises(UserError, match=r"'joint_names': has the names joint_0_left.*robot has"):
        imported(source, tmp_path / 'other')
    names = {name: f'{name}_left' for name in ROBOT.joints.names}
    (path,) = imported(source, tmp_path / 'named', joints=names)
    with EpisodeReader(path) as episode:
        np.testing.assert_array_equal(episode.qpos, aloha_files.qpos(0, ROWS))
    with h5py.File(source, 'r+') as file:
        file.attrs['joint_names'] = ['one', 'one']
    with pytest.raises(EpisodeError, match=r"'joint_names' is one, one, expected 14 names"):
        imported(source, tmp_path / 'other')


def test_many_datasets_of_one_kind_are_one_note(tmp_path: Path) -> None:
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS)
    with h5py.File(source, 'r+') as file:
        for number in range(200):
            file[f'data/demo_{number}/rewards'] = np.zeros(3)
            file[f'data/demo_{number}/dones'] = np.zeros(3)
    notes: list[str] = []
    imported(source, tmp_path / 'out', note=notes.append)
    assert [note for note in notes if 'left out' in note] == [
        f'{source}: data/demo_*/{name} (200 datasets) is left out, in 1 of 1 files'
        for name in ('dones', 'rewards')
    ]


def test_a_camera_that_is_none_says_how_to_leave_it_out(tmp_path: Path) -> None:
    depth = np.zeros((ROWS, 4, 4), np.uint16)
    source = aloha_files.write(
        tmp_path / 'episode_0.hdf5', ROWS, observations__images__depth=depth
    )
    with pytest.raises(EpisodeError, match=r"/images/depth'.*--cameras chooses the cameras"):
        placeholder_for([source])
    placeholder_for([source], cameras={'cam_high': 'cam_high'})


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    base = np.zeros((ROWS, 2))
    base[3, 0] = -0.25
    depth = np.zeros((ROWS, 4, 4), np.uint16)
    source = aloha_files.write(
        tmp_path / 'episode_0.hdf5', ROWS, base_action=base, observations__images_depth__cam=depth
    )
    with h5py.File(source, 'r+') as file:
        del file['observations/qvel']
    notes: list[str] = []
    (path,) = imported(source, tmp_path / 'out', note=notes.append)
    text = '\n'.join(notes)
    assert 'base_action is left out (velocities of a base, up to 0.25)' in text
    assert 'observations/images_depth/cam is left out' in text
    assert 'no qvel, velocities are zero' in text
    assert 'beyond' not in text
    with EpisodeReader(path) as episode:
        assert not episode.qvel.any()
        assert episode.effort is None


def with_attributes(path: Path, **attributes: Any) -> Path:
    aloha_files.write(path, 6)
    with h5py.File(path, 'r+') as file:
        file.attrs.update(attributes)
    return path


@pytest.mark.parametrize(
    ('attributes', 'rate', 'told'),
    [
        ({'fps': 30}, 30.0, "rows stand at 30 Hz, as its attribute 'fps' says"),
        ({'FPS': np.float32(12.5)}, 12.5, "as its attribute 'FPS' says"),
        ({'dt': 0.02, 'hz': np.array([50])}, 50.0, "rows stand at 50 Hz, as its attribute 'dt'"),
        (
            {'control_frequency': 0},
            50.0,
            'attribute control_frequency (it gives 0 Hz) is left out',
        ),
        ({'fps': '30'}, 30.0, "rows stand at 30 Hz, as its attribute 'fps' says"),
        ({'fps': np.bytes_(b'12.5')}, 12.5, "as its attribute 'fps' says"),
        ({'fps': 'nan'}, 50.0, 'attribute fps (it gives nan Hz) is left out'),
        ({'rate': 'fast'}, 50.0, "attribute rate (is 'fast', expected a finite number) is left"),
        ({'joint_offset': [1, 2]}, 50.0, 'attribute joint_offset is left out, in 1 of 1 files'),
        ({}, 50.0, 'no stamps and no rate: rows stand at 50 Hz'),
    ],
)
def test_the_rate_that_a_file_says_is_that_of_its_rows(
    tmp_path: Path, attributes: dict[str, Any], rate: float, told: str
) -> None:
    source = with_attributes(tmp_path / 'episode_0.hdf5', **attributes)
    notes: list[str] = []
    (path,) = imported(source, tmp_path / 'out', note=notes.append)
    assert any(told in note for note in notes), notes
    with EpisodeReader(path) as episode:
        assert episode.rate == rate
        assert (np.diff(episode.time_ns) == round(1e9 / rate)).all()
    assert placeholder_for([source]).rate == rate


@pytest.mark.parametrize('every', [False, True])
@pytest.mark.parametrize(('name', 'where'), [('effort', 'is left out'), ('qvel', 'is zero')])
def test_efforts_or_velocities_that_are_nan_cost_no_positions(
    tmp_path: Path, name: str, where: str, every: bool
) -> None:
    source = with_attributes(tmp_path / 'episode_0.hdf5')
    rows = slice(None) if every else slice(3, 5)
    with h5py.File(source, 'r+') as file:
        qpos = file['observations/qpos'][...]
        values = np.full(qpos.shape, 0.25)
        values[rows, 1] = np.nan
        file.pop(f'observations/{name}', None)
        file[f'observations/{name}'] = values
    notes: list[str] = []
    (path,) = imported(source, tmp_path / 'out', note=notes.append)
    with EpisodeReader(path) as episode:
        assert np.array_equal(episode.qpos, qpos.astype(np.float32))
        assert episode.effort is None if name == 'effort' else not episode.qvel.any()
    told = f"'/observations/{name}' {where}: not reported in 2 of {len(qpos)} rows, the first is"
    assert any(told in note for note in notes) is not every
    nowhere = {'effort': "effort' (NaN) is left out", 'qvel': 'no qvel, velocities are zero'}[name]
    assert any(nowhere in note for note in notes) is every
    with h5py.File(source, 'r+') as file:
        file[f'observations/{name}'][2, 1] = np.inf
    with pytest.raises(EpisodeError, match=f"'/observations/{name}' is not finite .* row 2"):
        imported(source, tmp_path / 'out')


@pytest.mark.slow
@pytest.mark.parametrize('name', ['effort', 'qvel'])
@pytest.mark.parametrize(
    ('values', 'found'),
    [(np.zeros((6, 7)), '(6, 7) float64'), (np.zeros((5, 14)), '(5, 14) float64'),
     (np.zeros((6, 14, 1)), '(6, 14, 1) float64'), (3.0, '() float64'), ('text', '() object'),
     (h5py.Empty('f8'), 'empty'), (None, 'a group')],
)  # fmt: skip
def test_efforts_or_velocities_of_another_shape_cost_no_positions(
    tmp_path: Path, name: str, values: Any, found: str
) -> None:
    for number in range(2):
        source = with_attributes(tmp_path / 'set' / f'episode_{number}.hdf5')
        with h5py.File(source, 'r+') as file:
            qpos = file['observations/qpos'][...]
            file.pop(f'observations/{name}', None)
            if values is None:
                file.create_group(f'observations/{name}')
            else:
                file[f'observations/{name}'] = values
    notes: list[str] = []
    *_, path = imported(source.parent, tmp_path / 'out', note=notes.append)
    told = [note for note in notes if f"'/observations/{name}' is left out" in note]
    assert len(told) == 1
    assert f'(in episode_0.hdf5 it is {found}, expected (6, 14) numbers' in told[0]
    assert 'in 2 of 2 files' in told[0]
    with EpisodeReader(path) as episode:
        assert np.array_equal(episode.qpos, qpos.astype(np.float32))
        assert episode.effort is None if name == 'effort' else not episode.qvel.any()
    with h5py.File(source, 'r+') as file:
        del file[f'observations/{name}']
        file[f'observations/{name}'] = h5py.SoftLink('/action')
    with pytest.raises(EpisodeError, match='is reached through a link'):
        imported(source, tmp_path / 'out')


@pytest.mark.parametrize('last', [(), (1,)])
def test_pixels_of_one_channel_are_grey(tmp_path: Path, last: tuple[int, ...]) -> None:
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS)
    with h5py.File(source, 'r+') as file:
        grey = file['observations/images/cam_low'][..., 2]
        del file['observations/images/cam_low']
        file['observations/images/cam_low'] = grey.reshape(*grey.shape, *last)
    notes: list[str] = []
    (path,) = imported(source, tmp_path / 'out', compress=False, note=notes.append)
    assert any("camera 'cam_low': images have no colours in 7 of 7" in note for note in notes)
    with EpisodeReader(path) as episode:
        for row in range(ROWS):
            np.testing.assert_array_equal(
                episode.image('cam_low', row), np.stack([grey[row]] * 3, axis=2)
            )
            np.testing.assert_array_equal(
                episode.image('cam_high', row), aloha_files.image('cam_high', 0, row)
            )


def test_rates_that_differ_are_refused_until_one_is_told(tmp_path: Path) -> None:
    folder = tmp_path / 'set'
    with_attributes(folder / 'episode_0.hdf5', fps=30)
    with_attributes(folder / 'episode_1.hdf5', fps=15)
    with pytest.raises(
        EpisodeError, match=r"episode_1.hdf5: attribute 'fps' gives 15 Hz, .* 30 Hz"
    ):
        imported(folder, tmp_path / 'out')
    notes: list[str] = []
    imported(folder, tmp_path / 'out', rate=20.0, note=notes.append)
    assert "rows stand at 20 Hz, as told; its attribute 'fps' gives 30 Hz" in notes[0]
    both = with_attributes(tmp_path / 'episode_2.hdf5', fps=30, dt=0.1)
    told = "'dt' gives 10 Hz, 'fps' 30 Hz"
    with pytest.raises(EpisodeError, match=f'{told}, expected one rate, or --rate'):
        imported(both, tmp_path / 'out')
    notes.clear()
    imported(both, tmp_path / 'out', rate=30.0, note=notes.append)
    assert f'rows stand at 30 Hz, as told; its attribute {told}' in notes[0]


@pytest.mark.parametrize(
    ('attributes', 'judged'),
    [({'success': True}, True), ({'success': np.int64(0)}, False), ({'Success': [1]}, True),
     ({'success': 'no'}, None), ({'success': 0.7}, None), ({}, None)],
)  # fmt: skip
def test_what_a_file_says_of_its_demonstration_is_kept(
    tmp_path: Path, attributes: dict[str, Any], judged: bool | None
) -> None:
    said = {'task_name': 'pour tea', 'operator': np.bytes_(b'kim'), **attributes}
    source = with_attributes(tmp_path / 'episode_0.hdf5', **said)
    notes: list[str] = []
    (path,) = imported(source, tmp_path / 'out', note=notes.append)
    with EpisodeReader(path) as episode:
        assert (episode.task, episode.operator) == ('pour tea', 'kim')
        assert episode.success is judged
    assert check_episode(path) == []
    unknown = bool(attributes) and judged is None
    assert any('attribute success (is ' in note for note in notes) is unknown
    (path,) = imported(source, tmp_path / 'out', task='mine')
    with EpisodeReader(path) as episode:
        assert episode.task == 'mine'


def test_without_a_robot_one_stands_in_whose_limits_hold_the_data(
    tmp_path: Path, capsys: Capture
) -> None:
    for number in range(2):
        source = aloha_files.write(
            tmp_path / 'set' / f'episode_{number}.hdf5', ROWS, episode=7 * number
        )
        with h5py.File(source, 'r+') as file:
            for name in ('observations/qpos', 'action'):
                file[name][:, 3] = 0.5
    command = ['import', str(tmp_path / 'set'), '--out', str(tmp_path / 'out'), '--from', 'aloha']
    assert main([*command, '--cameras', 'top=cam_high']) == 0
    printed = capsys.readouterr().out
    assert "no --robot: the episodes name a robot 'placeholder'" in printed
    assert 'beyond' not in printed
    for number in range(2):
        with EpisodeReader(tmp_path / 'out' / f'episode_{number:06d}.hdf5') as episode:
            assert (episode.robot.name, episode.rate) == (PLACEHOLDER, 50.0)
            assert list(episode.robot.cameras) == ['top']
            limits = episode.robot.joints.limits.position_array()
            for values in (episode.qpos, episode.action):
                assert (values > limits[:, 0]).all()
                assert (values < limits[:, 1]).all()


def test_options_of_other_kinds_are_refused(tmp_path: Path, capsys: Capture) -> None:
    aloha = ['import', str(tmp_path), '--out', str(tmp_path / 'out'), '--from', 'aloha']
    for option in (['--keep-padding'], ['--camera', 'top'], ['--namespace', 'a']):
        assert main([*aloha, *option]) == 2
        assert f'{option[0]} means nothing for --from aloha' in capsys.readouterr().err
    bag = ['import', str(tmp_path), '--out', str(tmp_path / 'out'), '--rate', '5']
    assert main(bag) == 2
    assert 'expected it with --from aloha, eipl or bair only' in capsys.readouterr().err
    assert main([*aloha, '--cameras', 'top=,wrist']) == 2
    assert "--cameras is 'top=,wrist'" in capsys.readouterr().err


def aloha_robot() -> Any:
    """The shipped pair of arms, with the cameras of these files."""
    robot = load_robot_spec('aloha')
    small = {'width': aloha_files.WIDTH, 'height': aloha_files.HEIGHT}
    cameras = {
        name: robot.cameras[name].model_copy(update=small) for name in ('cam_high', 'cam_low')
    }
    return robot.model_copy(update={'cameras': cameras})


def test_grippers_that_count_metres_are_scaled(tmp_path: Path) -> None:
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS)
    with pytest.raises(UserError, match=r'no joint named \*gripper'):
        imported(source, tmp_path / 'out', grippers=(0.02, 0.06))
    robot = aloha_robot()
    (path,) = imported(source, tmp_path / 'out', robot, grippers=(0.02, 0.06))
    expected = aloha_files.qpos(0, ROWS)
    other = [column for column in range(14) if column not in (6, 13)]
    with EpisodeReader(path) as episode:
        for column in (6, 13):
            position = 0.02 + 0.04 * expected[:, column]
            np.testing.assert_allclose(episode.qpos[:, column], position, atol=1e-7)
            np.testing.assert_allclose(episode.action[:, column], position + 0.0004, atol=1e-7)
            speed = 0.004 * expected[:, column]
            np.testing.assert_allclose(episode.qvel[:, column], speed, atol=1e-8)
        np.testing.assert_array_equal(episode.qpos[:, other], expected[:, other])
    with pytest.raises(UserError, match=r'--grippers is 0\.05 for closed and for open'):
        imported(source, tmp_path / 'same', robot, grippers=(0.05, 0.05))


@pytest.mark.parametrize(
    ('least', 'most', 'told'),
    [(0.02, 0.058, 'goes from 0.02 to 0.058, within 0.02 to 0.06 already'),
     (0.0, 0.9, ''), (-0.1, 1.3, ''), (0.0, 0.0, '')],
)  # fmt: skip
def test_grippers_that_count_metres_already_are_told(
    tmp_path: Path, least: float, most: float, told: str
) -> None:
    robot = aloha_robot()
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS)
    with h5py.File(source, 'r+') as file:
        for name in ('observations/qpos', 'action'):
            for column in (6, 13):
                file[name][:, column] = np.linspace(least, most, ROWS)
    notes: list[str] = []
    imported(source, tmp_path / 'out', robot, grippers=(0.02, 0.06), note=notes.append)
    found = [note for note in notes if 'as --grippers says' in note]
    assert len(found) == (2 if told else 0)
    assert not told or told in found[0]
    with h5py.File(source, 'r+') as file:
        file['action'][3, 6] = 100.0
    with pytest.raises(UserError, match=r"'left_gripper' goes .* to 100, expected 0 \(closed"):
        imported(source, tmp_path / 'out', robot, grippers=(0.02, 0.06))


def replace(name: str, values: Any) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        with h5py.File(path, 'r+') as file:
            del file[name]
            if values is not None:
                file[name] = values

    return apply


def with_nan(path: Path) -> None:
    with h5py.File(path, 'r+') as file:
        file['action'][4, 2] = np.nan


def without_a_frame(path: Path) -> None:
    with h5py.File(path, 'r+') as file:
        file['observations/images/cam_low'][5] = 0


def with_lost_bytes(path: Path) -> None:
    """libjpeg decodes what comes after them at a wrong place, and says so on stderr only."""
    with h5py.File(path, 'r+') as file:
        dataset = file['observations/images/cam_low']
        row = dataset[5]
        end = len(row.tobytes().rstrip(b'\0'))
        whole = row[:end].tobytes()
        damaged = whole[: end - 70] + whole[end - 20 :]
        dataset[5] = np.frombuffer(damaged.ljust(len(row), b'\0'), np.uint8)


def with_another_size(path: Path) -> None:
    small = cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))[1].reshape(-1)
    with h5py.File(path, 'r+') as file:
        dataset = file['observations/images/cam_low']
        dataset[5] = np.pad(small, (0, dataset.shape[1] - len(small)))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def no_file_of_this_kind(path: Path) -> None:
    path.write_text('no HDF5')


def already_ours(path: Path) -> None:
    other = aloha_files.write(path.with_name('other.hdf5'), ROWS)
    (episode,) = imported(other, path.parent / 'ours')
    other.unlink()
    episode.replace(path)


WRONG = {
    'no action': (replace('action', None), "has no '/action', expected ALOHA's layout"),
    'wider action': (
        replace('action', np.zeros((ROWS, 16))),
        r"'/action' is \(7, 16\) .*expected \(7, 14\) numbers as '/observations/qpos' has",
    ),
    'shorter action': (
        replace('action', np.zeros((ROWS - 1, 14))),
        r'is \(6, 14\) .*expected \(7, 14\)',
    ),
    'one axis': (replace('observations/qpos', np.zeros(ROWS)), r'expected \(T, joints\) numbers'),
    'text': (replace('observations/qpos', 'qpos'), r'expected \(T, joints\) numbers'),
    'empty': (replace('observations/qpos', np.zeros((0, 14))), 'has no row'),
    'fewer images': (
        replace('observations/images/cam_low', np.zeros((2, 24, 32, 3), np.uint8)),
        rf"cam_low' is \(2, 24, 32, 3\) uint8, expected \({ROWS}, H, W, 3\)",
    ),
    'no camera': (
        replace('observations/images/cam_low', None),
        "no camera 'cam_low', it has: cam_high",
    ),
    'channels first': (
        replace('observations/images/cam_low', np.zeros((ROWS, 3, 24, 32), np.uint8)),
        r'expected \(7, H, W, 3\) uint8 pixels',
    ),
    'floats': (
        replace('observations/images/cam_low', np.zeros((ROWS, 24, 32, 3))),
        'float64, expected',
    ),
    'another size': (
        replace('observations/images/cam_low', np.zeros((ROWS, 48, 64, 3), np.uint8)),
        'is 64x48, camera .* is 32x24; expected a robot spec with width: 64, height: 48',
    ),
    'not a number': (with_nan, "'/action' is not finite .*row 4, column 2: nan"),
    'lost frame': (without_a_frame, r"camera 'cam_low', row 5: \d+ bytes are no JPEG"),
    'lost bytes': (with_lost_bytes, "camera 'cam_low', row 5: JPEG is damaged"),
    'changed size': (with_another_size, 'row 5: image is 8x8, expected 32x24 as in row 0'),
    'cut short': (cut_short, 'is damaged or not HDF5'),
    'no HDF5': (no_file_of_this_kind, 'is damaged or not HDF5'),
    'ours': (already_ours, 'is an episode of this package already'),
}


@pytest.mark.parametrize(('spoil', 'line'), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    tmp_path: Path, spoil: Callable[[Path], None], line: str
) -> None:
    effort = np.zeros((ROWS, 14))
    for number in range(2):
        source = aloha_files.write(
            tmp_path / 'set' / f'episode_{number}.hdf5',
            ROWS,
            images='padded',
            observations__effort=effort,
        )
    spoil(source)
    with pytest.raises(EpisodeError, match=line) as error:
        imported(tmp_path / 'set', tmp_path / 'out')
    assert str(source) in str(error.value)
    assert '\n' not in str(error.value)
    assert not list(tmp_path.glob('out/*'))


def test_another_number_of_joints_is_refused(tmp_path: Path) -> None:
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS)
    with pytest.raises(EpisodeError, match="has 14 joints, robot 'two_arms' has 6"):
        imported(source, tmp_path / 'out', aloha_files.robot(joints=6))
    with pytest.raises(EpisodeError, match='no such file or folder'):
        imported(tmp_path / 'nothing', tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(EpisodeError, match=r'holds no \*\.hdf5'):
        placeholder_for([tmp_path / 'empty'])
    with pytest.raises(EpisodeError, match='--rate is 0, expected rows per second'):
        imported(source, tmp_path / 'out', rate=0.0)


def test_joints_that_jump_are_refused_but_those_of_no_robot_and_open_or_closed_grippers(
    tmp_path: Path,
) -> None:
    values = np.zeros((ROWS, 14))
    values[:, 6] = 0.2  # and not 0, which with 1 may be a gripper's state
    values[4:, 6] = 1.2
    source = aloha_files.write(tmp_path / 'episode_0.hdf5', ROWS)
    replace('observations/qpos', values)(source)
    with pytest.raises(EpisodeError, match=r"row 4: joint 'joint_6' moves by 1 .*any-speed"):
        imported(source, tmp_path / 'out')
    assert not list(tmp_path.glob('out/*'))
    (jumping,) = imported(source, tmp_path / 'out', any_speed=True)
    assert any("joint 'joint_6' moves by 1" in problem for problem in check_episode(jumping))
    data = ROBOT.model_dump()
    data['joints']['grippers'] = {
        'joint_6': {'open': 1.0, 'closed': 0.0, 'open_at': 0.6, 'close_at': 0.4}
    }
    for robot in (type(ROBOT).model_validate(data), placeholder_for([source])):
        (episode,) = imported(source, tmp_path / robot.name, robot)
        assert check_episode(episode) == []
