# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What rows say against themselves is told alike, whichever tool they come from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aloha_files
import bag_files
import cv2
import eipl_sets
import h5py
import numpy as np
import pytest
import recordings

from motion_policy.cli.main import main
from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    EpisodeWriter,
    check_episode,
    episode_summary,
    examine_episode,
    import_bag,
)
from motion_policy.episodes.formats.aloha.to_episodes import import_aloha
from motion_policy.episodes.formats.bair.to_episodes import import_bair
from motion_policy.episodes.formats.eipl.to_episodes import import_eipl
from motion_policy.episodes.motion import fast_motion, impossible_commands
from motion_policy.episodes.recorder import EpisodeRecorder
from motion_policy.episodes.row_checks import RowChecks
from motion_policy.robot import RobotSpec
from motion_policy.robot.placeholder import placeholder_robot
from motion_policy.streams import Row, Sample

ROBOT = recordings.tabletop()
NAMES = {f'/{stream.topic}': stream.name for stream in ROBOT.streams()}
ROWS = 6

Note = Callable[[str], None]
Capture = pytest.CaptureFixture[str]


def grey_of(image: np.ndarray, colours: bool) -> np.ndarray:
    """The image itself, or its green as RGB."""
    return image if colours else np.repeat(image[..., 1:2], 3, axis=-1)


def events_with(colours: bool, compressed: bool = False) -> list[bag_files.Event]:
    """A demonstration, whose camera `top` sends one channel only, unless it has colours."""
    events = []
    for receive_ns, stamp_ns, topic, message in bag_files.demonstration(1.0, ROBOT):
        if topic == '/top/image_raw' and not colours:
            pixels = message.data.reshape(128, 128, 3)[..., 1]
            if compressed:
                data = cv2.imencode('.jpg', pixels)[1].reshape(-1)
                message = bag_files.T['sensor_msgs/msg/CompressedImage'](
                    header=message.header, format='jpeg', data=data
                )
                topic += '/compressed'
            else:
                data = np.ascontiguousarray(pixels).reshape(-1)
                message = replace(message, encoding='mono8', step=128, data=data)
        events.append((receive_ns, stamp_ns, topic, message))
    return events


def bag_raw(folder: Path, colours: bool, note: Note) -> list[Path]:
    bag = bag_files.write_bag(folder / 'bag', events_with(colours))
    return import_bag(bag, ROBOT, folder / 'out', note=note)


def bag_jpeg(folder: Path, colours: bool, note: Note) -> list[Path]:
    bag = bag_files.write_bag(folder / 'bag', events_with(colours, compressed=True))
    return import_bag(bag, ROBOT, folder / 'out', note=note)


def aloha(folder: Path, colours: bool, note: Note, images: str) -> list[Path]:
    robot = aloha_files.robot(('top',))
    name = folder / 'episode_0.hdf5'
    frames = [grey_of(aloha_files.image('cam_low', 0, row), colours) for row in range(ROWS)]
    stored: Any = np.stack(frames)
    if images == 'jpeg':
        files = [cv2.imencode('.jpg', frame)[1].reshape(-1) for frame in frames]
        longest = max(map(len, files))
        stored = np.stack([np.pad(file, (0, longest - len(file))) for file in files])
    aloha_files.write(name, ROWS)
    with h5py.File(name, 'r+') as file:
        del file['observations/images']
        file['observations/images/top'] = stored
    return [path for path, _ in import_aloha(name, robot, folder / 'out', note=note)]


def aloha_raw(folder: Path, colours: bool, note: Note) -> list[Path]:
    return aloha(folder, colours, note, 'raw')


def aloha_jpeg(folder: Path, colours: bool, note: Note) -> list[Path]:
    return aloha(folder, colours, note, 'jpeg')


def eipl(folder: Path, colours: bool, note: Note) -> list[Path]:
    source = eipl_sets.write_npy(folder / 'set', (ROWS,))
    images = np.load(source / 'images.npy')
    np.save(source / 'images.npy', grey_of(images[0], colours)[None])
    (part,) = import_eipl(source, eipl_sets.robot(), folder / 'out', note=note)
    return list(part.episodes)


def bair(folder: Path, colours: bool, note: Note) -> list[Path]:
    robot = placeholder_robot(np.array([[0.0, 1.0]] * 3), {'top': (128, 128)}, 5.0)
    sequence = folder / 'set/traj_0/0'
    sequence.mkdir(parents=True)
    np.savetxt(sequence / 'actions.csv', np.zeros((ROWS, 4)), delimiter=',')
    np.savetxt(sequence / 'endeffector_positions.csv', np.zeros((ROWS, 3)), delimiter=',')
    for row in range(ROWS):
        pixels = recordings.scene(row)
        cv2.imwrite(str(sequence / f'{row}.png'), pixels[..., ::-1] if colours else pixels[..., 1])
    (part,) = import_bair(folder / 'set', robot, folder / 'out', note=note)
    return list(part.episodes)


def lerobot(folder: Path, colours: bool, note: Note) -> list[Path]:
    """Videos have lost a little of every image."""
    from motion_policy.episodes.formats.export_set import export_set
    from motion_policy.episodes.formats.lerobot.from_episodes import export_lerobot
    from motion_policy.episodes.formats.lerobot.to_episodes import import_lerobot

    path = folder / 'episodes/episode_000000.hdf5'
    write(path, ROBOT, images=lambda row: grey_of(recordings.scene(row), colours))
    export_lerobot(export_set(path), folder / 'set')
    pairs = import_lerobot(folder / 'set', ROBOT, folder / 'out', note=note)
    return [episode for episode, _ in pairs]


def recorder(folder: Path, colours: bool, note: Note) -> list[Path]:
    recorded = EpisodeRecorder(ROBOT)
    for receive_ns, stamp_ns, topic, message in events_with(colours):
        recordings.hear(recorded, NAMES[topic], Sample(stamp_ns, receive_ns, message))
        if not recorded.recording and receive_ns > recordings.START_NS + 3e8:
            recorded.start(folder / 'out')
    result = recorded.stop()
    note(str(result))
    return [result.path]


def write(path: Path, robot: RobotSpec, rows: int = ROWS, **given: Callable[[int], Any]) -> Path:
    """Write an episode, some of whose fields are given by row."""
    with EpisodeWriter(path, robot) as writer:
        for index in range(rows):
            observation, row = (
                recordings.observation(index, robot),
                recordings.row_at(index, robot),
            )
            for name, values in given.items():
                value = values(index)
                if name == 'images':
                    value = dict.fromkeys(robot.cameras, value)
                observation = replace(observation, **{name: value})
            writer.append(row.time_ns, observation, row)
    return path


@pytest.mark.slow
@pytest.mark.parametrize('colours', [False, True])
@pytest.mark.parametrize(
    'imported', [bag_raw, bag_jpeg, aloha_raw, aloha_jpeg, eipl, bair, lerobot, recorder]
)
def test_images_without_colours_are_told_wherever_they_come_from(
    tmp_path: Path, imported: Callable[[Path, bool, Note], list[Path]], colours: bool
) -> None:
    if imported is lerobot:
        pytest.importorskip('av')
        pytest.importorskip('pyarrow')
    notes: list[str] = []
    (episode,) = imported(tmp_path, colours, notes.append)
    examined, summary = examine_episode(episode), episode_summary(episode)
    assert examined.problems == []
    rows, lines = summary['rows'], ['\n'.join(notes), '\n'.join(examined.notes)]
    for line, count in (
        (lines[0], rows),
        (lines[1], rows),
        ('\n'.join(summary['odd']), min(rows, 3)),
    ):
        told = (
            f"camera 'top': images have no colours in {count} of {count} rows, the first is row 0"
        )
        assert (told in line) is not colours, line


def arm(**limits: Any) -> RobotSpec:
    """A robot with a leader at 50 Hz, of two joints and a gripper; 1 rad/s, -2 to 2 rad."""
    return recordings.robot_with_leader('arm', ['j1', 'j2', 'gripper'], ['top'], 16, 12, 50.0)


def slow(rows: int = 150) -> np.ndarray:
    """Positions (rows, 3) of an arm that keeps its limits."""
    return np.stack([0.3 * np.sin(np.arange(rows) / 50 + n) for n in range(3)], 1)


def with_spike(values: np.ndarray) -> None:
    values[100, 1] += 1.0


def with_second_publisher(values: np.ndarray) -> None:
    values[60:120:2, 0] = -1.5


def with_full_turn(values: np.ndarray) -> None:
    values[80:, 1] -= 2 * np.pi


def in_degrees(values: np.ndarray) -> None:
    values[:] = np.rad2deg(values)


def at_the_start(values: np.ndarray) -> None:
    values[:20] = 1.5
    values[5:7] = -1.5


def far_ahead(values: np.ndarray) -> None:
    """Waypoints: a step to where the arm is to go, which it follows later."""
    values[60:, 0] += 1.2
    values[120:, 0] -= 1.2


def gripper_steps(values: np.ndarray) -> None:
    values[:, 2] = np.random.default_rng(0).random(len(values))


def open_or_closed(values: np.ndarray) -> None:
    values[:, 1] = np.arange(len(values)) % 2


def a_little_fast(values: np.ndarray) -> None:
    values[70:100, 0] += np.arange(30) * 0.04
    values[100:, 0] += 1.16


def beyond(values: np.ndarray) -> None:
    values[90:110, 0] = 2.3 - 0.01 * np.abs(np.arange(20) - 10)
    values[70:90, 0], values[110:130, 0] = np.linspace(0.3, 2.2, 20), np.linspace(2.2, 0.3, 20)


SEVERAL = 'other units, or several nodes that publish it?'
COMMANDS = [
    (
        with_spike,
        100,
        "joint 'j2' moves by 0.994 and back within 0.020 s at a limit of 1 per",
    ),
    (
        with_second_publisher,
        60,
        "joint 'j1' moves by 1.78 and back within 0.020 s at a limit of 1",
    ),
    (with_full_turn, 80, "joint 'j2' moves by 6.2"),
    (in_degrees, 0, "joint 'j2' is at 14.5"),
    (at_the_start, None, ''),
    (far_ahead, None, "joint 'j1' moves by 1.2"),
    (gripper_steps, None, ''),
    (open_or_closed, None, ''),
    (a_little_fast, None, "joint 'j1' moves by 0.2"),
    (beyond, None, "joint 'j1' goes from "),
]


@pytest.mark.slow
@pytest.mark.parametrize(('change', 'row', 'told'), COMMANDS)
def test_commands_are_held_against_the_limits_and_may_be_ahead_of_the_arm(
    tmp_path: Path, change: Callable[[np.ndarray], None], row: int | None, told: str
) -> None:
    robot, action = arm(), slow()
    change(action)
    path = write(
        tmp_path / 'episode_000000.hdf5',
        robot,
        150,
        qpos=lambda index: slow()[index].astype(np.float32),
        action=lambda index: action[index].astype(np.float32),
    )
    examined = examine_episode(path)
    # The same through an import and a live recording.
    source = aloha_source(tmp_path / 'episode_0.hdf5', slow(), action)
    notes: list[str] = []
    if row is None:
        assert examined.problems == []
        assert any(f"'/action': {told}" in note for note in examined.notes) is bool(told)
        import_aloha(source, robot, tmp_path / 'out', note=notes.append)
        assert any(f'action: {told}' in note for note in notes) is bool(told)
    else:
        assert examined.problems[0].startswith(f"'/action' row {row}: {told}")
        with pytest.raises(
            EpisodeError, match=f'episode_0.hdf5: action: row {row}: joint .*any-speed'
        ):
            import_aloha(source, robot, tmp_path / 'out')
        assert not (tmp_path / 'out').exists()
        import_aloha(source, robot, tmp_path / 'out', note=notes.append, any_speed=True)
        assert any(f'action: row {row}: {told}' in note for note in notes)


def aloha_source(path: Path, qpos: np.ndarray, action: np.ndarray) -> Path:
    with h5py.File(path, 'w') as file:
        file['observations/qpos'], file['action'] = qpos, action
        file['observations/qvel'] = np.zeros_like(qpos)
        images = np.stack([recordings.scene(row, 12, 60)[:, 20:36] for row in range(len(qpos))])
        file['observations/images/top'] = images
    return path


def test_a_leader_that_jumps_costs_no_recording_and_is_told_at_its_end(tmp_path: Path) -> None:
    recorded = EpisodeRecorder(ROBOT)
    for receive_ns, stamp_ns, topic, message in bag_files.demonstration(3.0, ROBOT):
        if (
            topic == '/leader/joint_states'
            and 0 < stamp_ns - recordings.START_NS - 2_000_000_000 < 3e7
        ):
            message = replace(message, position=np.array(message.position) + [0, 1.5, 0, 0, 0])
        recordings.hear(recorded, NAMES[topic], Sample(stamp_ns, receive_ns, message))
        if not recorded.recording and receive_ns > recordings.START_NS + 3e8:
            recorded.start(tmp_path)
    result = recorded.stop()
    assert result.rows > 120 and result.ended == ''
    assert (
        'action: row 8' in result.odd
        and "joint 'joint2' moves by 1.49 and back within" in result.odd
    )
    (problem,) = check_episode(result.path)
    assert problem.startswith("'/action' row 8") and SEVERAL in problem


@pytest.mark.parametrize('low', [-np.pi, 0.0])
def test_a_joint_that_begins_anew_after_a_turn_is_told_as_that(tmp_path: Path, low: float) -> None:
    """A continuous joint whose driver keeps it within one turn."""
    robot = arm()
    limits = robot.joints.limits.model_copy(update={'position': ((-7.0, 7.0),) * 3})
    robot = robot.model_copy(update={'joints': robot.joints.model_copy(update={'limits': limits})})
    turning = low + (0.5 * np.arange(1000) / 50 + np.pi) % (2 * np.pi)
    qpos = np.stack([turning, 0 * turning, 0 * turning], 1)[300:500]
    source = aloha_source(tmp_path / 'episode_0.hdf5', qpos, qpos)
    told = r"joint 'j1' moves by 6\.27 in 0\.020 s.*begin anew after a full turn \(2 pi\)\? Let it"
    with pytest.raises(EpisodeError, match=rf'row \d+: {told}.*--any-speed takes it'):
        import_aloha(source, robot, tmp_path / 'out')
    ((episode, _),) = import_aloha(source, robot, tmp_path / 'out', any_speed=True)
    problems = check_episode(episode)
    assert [problem.partition(' row ')[0] for problem in problems] == [
        "'/observations/qpos'",
        "'/action'",
    ]
    assert all('full turn' in problem for problem in problems)


def test_fast_motion_is_told_over_a_time_so_that_jitter_is_not(tmp_path: Path) -> None:
    robot = arm()
    times_ns = np.arange(200)[:, None] * robot.period_ns + np.zeros((1, 3), np.int64)
    steady = np.zeros((200, 3))
    steady[:, 1] = 0.9 * np.arange(200) / 50  # 0.9 of the limit
    assert fast_motion(steady, times_ns, robot, commands=False) is None
    jitter = steady.copy()
    jitter[::2, 1] -= 0.018  # each second row shows the sample before
    assert fast_motion(jitter, times_ns, robot, commands=False) is None
    fast = steady.copy()
    fast[100:105, 1] += 0.018 * np.arange(1, 6)
    fast[105:, 1] += 0.09
    row, line = fast_motion(fast, times_ns, robot, commands=False) or (0, '')
    assert row == 104
    assert line == (
        "joint 'j2' moves by 0.18 in 0.100 s up to row 104, 1.8 per second at a limit of 1"
    )
    assert fast_motion(fast, times_ns, placeholder_robot(np.array([[-2.0, 2]] * 3), {}, 50.0),
                       commands=False) is None  # fmt: skip
    assert impossible_commands(fast, times_ns, robot) == []


@pytest.mark.parametrize('rate', [20.0, 25.0, 30.0, 50.0, 100.0])
@pytest.mark.parametrize('hertz', [2.0, 3.5, 5.0, 6.5])
def test_a_hand_that_shakes_the_leader_is_believed(rate: float, hertz: float) -> None:
    """Up to 20 times as fast as the arm can be, with rows at any phase, and the leader held still
    between; the same commands with one row out of place are not.
    """
    robot = arm().model_copy(update={'rate': rate})
    seconds = np.arange(int(6 * rate)) / rate
    times_ns = np.repeat((seconds * 1e9).astype(np.int64)[:, None], 3, axis=1)
    for amplitude in (0.05, 0.2, 0.5):
        for phase in np.linspace(0, 1, 7):
            action = np.zeros((len(seconds), 3))
            shaken = (seconds > 2) & (seconds < 5)
            swing = np.sin(2 * np.pi * (hertz * (seconds - 2) + phase)) - np.sin(2 * np.pi * phase)
            # A hand has to gather speed.
            action[:, 0] = amplitude * swing * np.clip((seconds - 2) / 0.3, 0, 1)
            action[:, 0] *= np.clip((5 - seconds) / 0.3, 0, 1) * shaken
            assert impossible_commands(action, times_ns, robot) == []
            if rate < 30:
                continue  # of slower rows nobody can tell
            action[:, 1] = 0.1 * np.sin(seconds)
            action[int(3.3 * rate), 1] += 1.0
            ((row, line),) = impossible_commands(action, times_ns, robot)
            assert row == int(3.3 * rate) and "'j2' moves by" in line


@pytest.mark.slow
def test_notes_of_many_episodes_are_few(tmp_path: Path) -> None:
    folder = tmp_path / 'set'
    folder.mkdir()
    for number in range(6):
        values = slow()
        beyond(values)
        aloha_source(folder / f'episode_{number}.hdf5', slow(), values)
    notes: list[str] = []
    import_aloha(folder, arm(), tmp_path / 'out', note=notes.append)
    told = [note for note in notes if 'beyond its limits' in note]
    assert len(told) == 3 and 'episode_0.hdf5: action: ' in told[0]
    assert f'{folder}: action: positions beyond limits in 3 more episodes' in notes


def test_check_prints_notes_and_is_content(tmp_path: Path, capsys: Capture) -> None:
    path = write(
        tmp_path / 'episode_000000.hdf5',
        ROBOT,
        images=lambda row: np.full((128, 128, 3), 9, np.uint8),
    )
    assert main(['check', str(path), '--json', str(tmp_path / 'check.json')]) == 0
    printed = capsys.readouterr().out
    assert f"note {path}: '/observations/images/top': camera 'top': images have no" in printed
    assert '1 of 1 episodes are sound' in printed
    assert 'no colours' in (tmp_path / 'check.json').read_text()
    assert main(['inspect', str(path)]) == 0
    assert 'no colours' in capsys.readouterr().out


def test_inspect_shows_an_episode_of_which_an_image_is_damaged(
    tmp_path: Path, capsys: Capture
) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 10)
    with h5py.File(path, 'r+') as file:
        file['observations/images/top'][9] = 0
    *_, line = episode_summary(path)['odd']
    assert line == "camera 'top', row 9: is no JPEG image"
    assert main(['inspect', str(path)]) == 0
    assert line in ' '.join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ('first', 'last', 'without'), [(0, 10, 10), (12, 20, 8), (29, 30, 1), (0, 30, 0), (40, 50, 0)]
)
def test_velocities_and_efforts_are_of_all_rows_or_of_none(
    tmp_path: Path, first: int, last: int, without: int
) -> None:
    """Neither ends an episode, whenever they come or go."""
    path = tmp_path / 'episode_000000.hdf5'
    zeros = np.zeros(5, np.float32)
    with EpisodeWriter(path, ROBOT) as writer:
        for index in range(30):
            observation, row = (
                recordings.observation(index, ROBOT),
                recordings.row_at(index, ROBOT),
            )
            if first <= index < last:
                observation = replace(observation, effort=None, qvel=zeros, has_qvel=False)
            writer.append(row.time_ns, observation, row)
    told = f'not reported in {without} of 30 rows, the first is row {first}'
    assert writer.left_out == (
        [f"'/observations/qvel' is zero: {told}", f"'/observations/effort' is left out: {told}"]
        if without
        else []
    )
    with EpisodeReader(path) as episode:
        assert episode.length == 30
        everything = first >= 30
        assert (episode.effort is not None) is everything
        assert episode.qvel.any() == everything
        assert (episode.qpos[25] == recordings.joint_values(25)).all()
    assert check_episode(path) == []


def partly(events: list[bag_files.Event], from_s: float, to_s: float) -> list[bag_files.Event]:
    """The same recording, in which joint states have efforts for some time only."""
    changed = []
    for receive_ns, stamp_ns, topic, message in events:
        if topic == '/joint_states':
            seconds = (stamp_ns - recordings.START_NS) / 1e9
            effort = np.ones(5) if from_s <= seconds < to_s else np.zeros(0)
            message = replace(message, effort=effort)
        changed.append((receive_ns, stamp_ns, topic, message))
    return changed


@pytest.mark.slow
@pytest.mark.parametrize(('from_s', 'to_s'), [(1.5, 9.0), (0.0, 1.5)])
def test_efforts_that_come_or_go_end_neither_import_nor_recording(
    tmp_path: Path, from_s: float, to_s: float
) -> None:
    events = partly(bag_files.demonstration(3.0, ROBOT), from_s, to_s)
    notes: list[str] = []
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', note=notes.append)
    assert episode_summary(episode)['rows'] > 140
    assert f"{bag}: '/observations/effort' is left out: not reported in " in notes[0]
    assert check_episode(episode) == []
    recorded = EpisodeRecorder(ROBOT)
    for receive_ns, stamp_ns, topic, message in events:
        recordings.hear(recorded, NAMES[topic], Sample(stamp_ns, receive_ns, message))
        if not recorded.recording and receive_ns > recordings.START_NS + 3e8:
            recorded.start(tmp_path / 'live')
    result = recorded.stop()
    assert result.ended == '' and result.rows > 120
    assert "'/observations/effort' is left out: not reported in " in str(result)
    assert check_episode(result.path) == []


def test_a_failed_import_leaves_no_folder(tmp_path: Path) -> None:
    """Nor does one whose first episodes were written already, nor takes it what was there."""
    bag = bag_files.write_bag(
        tmp_path / 'bag',
        bag_files.without(bag_files.demonstration(3.0, ROBOT), '/top/image_raw', 1.0, 2.0),
    )
    out = tmp_path / 'new' / 'deep' / 'out'
    with pytest.raises(EpisodeError, match='gap'):
        import_bag(bag, ROBOT, out)
    assert not (tmp_path / 'new').exists()
    (tmp_path / 'new').mkdir()
    (tmp_path / 'new' / 'mine.txt').write_text('x')
    with pytest.raises(EpisodeError, match='gap'):
        import_bag(bag, ROBOT, out)
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['mine.txt']
    robot = placeholder_robot(np.array([[0.0, 1.0]] * 3), {'top': (128, 128)}, 5.0)
    good = bair(tmp_path, True, lambda line: None)
    assert len(good) == 1
    source = tmp_path / 'set'
    (source / 'train').mkdir()
    (source / 'test').mkdir()
    (source / 'traj_0').rename(source / 'train/traj_0')
    shutil.copytree(source / 'train/traj_0', source / 'test/traj_0')
    (source / 'test/traj_0/0/3.png').write_bytes(b'x')
    with pytest.raises(EpisodeError, match=r'3\.png'):
        import_bair(source, robot, tmp_path / 'splits')
    assert not (tmp_path / 'splits').exists()


def test_a_row_says_at_once_what_no_arm_does() -> None:
    """A recording ends there; commands and places are judged once all rows are there."""
    robot = arm()
    checks = RowChecks(robot)
    lines = []
    for index, qpos in enumerate(slow(60)):
        observation = recordings.observation(index, robot, effort=False)
        observation = replace(observation, qpos=qpos.astype(np.float32) + (index == 40))
        lines.append(checks.add(Row(index * robot.period_ns, {}, {}), observation))
    assert [index for index, line in enumerate(lines) if line] == [40, 41]
    found = checks.verdict()
    assert {(each.dataset, each.row) for each in found.failures} == {('observations/qpos', 40)}
