# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What data say against themselves is a failure with numbers, in import, check and recorder."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import bag_files
import h5py
import numpy as np
import pytest
import recordings

from motion_policy.episodes import (
    EpisodeError,
    EpisodeReader,
    check_episode,
    examine_episode,
    import_bag,
)
from motion_policy.episodes.motion import MotionWatch, impossible_steps, stepping_grippers
from motion_policy.episodes.recorder import EpisodeRecorder
from motion_policy.streams import Row, Sample

ROBOT = recordings.tabletop()
NAMES = {stream.topic: stream.name for stream in ROBOT.streams()}
MS = 1_000_000


def with_zeros(events: list[bag_files.Event]) -> list[bag_files.Event]:
    """The same recording, in which a second node publishes one joint as 0.8 rad now and then."""
    others = []
    for receive_ns, stamp_ns, topic, message in events:
        if topic == '/joint_states' and 1_000 * MS < stamp_ns - recordings.START_NS < 1_200 * MS:
            position = np.where(np.array(message.name) == 'joint2', 0.8, message.position)
            header = bag_files.header(stamp_ns + 5 * MS)
            stray = replace(message, header=header, position=position)
            others.append((receive_ns + 5 * MS, stamp_ns + 5 * MS, topic, stray))
    # Every other message only, so that rows see both.
    return sorted([*events, *others[::3]], key=lambda event: event[:3])


def stamped_ahead(events: list[bag_files.Event], by_ms: int) -> list[bag_files.Event]:
    """The same recording, whose camera's clock is ahead."""
    changed = []
    for receive_ns, stamp_ns, topic, message in events:
        if topic == '/top/image_raw':
            stamp_ns += by_ms * MS
            message = replace(message, header=bag_files.header(stamp_ns))
        changed.append((receive_ns, stamp_ns, topic, message))
    return changed


def record(events: list[bag_files.Event], folder: Path, after_s: float = 0.5) -> str:
    """Record live from a time on; return why it ended, or the error of its start."""
    recorder = EpisodeRecorder(ROBOT)
    begun = False
    for receive_ns, stamp_ns, topic, message in events:
        recordings.hear(recorder, NAMES[topic.lstrip('/')], Sample(stamp_ns, receive_ns, message))
        if not begun and receive_ns > recordings.START_NS + after_s * 1e9:
            begun = True
            try:
                recorder.start(folder)
            except EpisodeError as error:
                return str(error)
            recorder.advance(receive_ns)
    recorder.advance(events[-1][0] + 1)
    try:
        return recorder.stop().ended
    except EpisodeError as error:
        return str(error)


def test_a_second_publisher_of_a_joint_is_named_with_its_speed(tmp_path: Path) -> None:
    events = with_zeros(bag_files.demonstration(2.0, ROBOT))
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    told = r"joint 'joint2' moves by 0\.\d+ in 0\.\d+ s, \d+\.?\d* per second at a limit of 3"
    with pytest.raises(EpisodeError, match=rf'bag: at 1\.\d+ s: {told}.*--any-speed'):
        import_bag(bag, ROBOT, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    notes: list[str] = []
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', any_speed=True, note=notes.append)
    assert len(notes) == 1 and 'joint2' in notes[0] and '(6 such steps)' in notes[0]
    problems = check_episode(episode)
    assert len(problems) == 1
    assert "'/observations/qpos' row 5" in problems[0] and 'such steps' in problems[0]
    assert "joint 'joint2' moves by 0." in record(events, tmp_path / 'live')


def test_clocks_that_disagree_are_named_alike(tmp_path: Path) -> None:
    events = stamped_ahead(bag_files.demonstration(2.0, ROBOT), 300)
    told = r"stream 'top' \(top/image_raw\): clocks disagree by 0\.293 s: chrony or PTP, or stamp"
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    with pytest.raises(EpisodeError, match=told):
        import_bag(bag, ROBOT, tmp_path / 'out')
    with pytest.raises(EpisodeError, match=told):
        raise EpisodeError(record(events, tmp_path / 'live'))


def rewritten(path: Path, name: str, change: Any) -> list[str]:
    """What check says of the episode after a change of a dataset."""
    with h5py.File(path, 'r+') as file:
        values = file[name][()]
        change(values)
        file[name][...] = values
    return check_episode(path)


def test_stamps_that_go_back_or_lead_are_named_by_check(tmp_path: Path) -> None:
    def back(values: np.ndarray) -> None:
        values[10:] -= 2_000 * MS

    def ahead(values: np.ndarray) -> None:
        values[10:] += 500 * MS

    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5')
    assert check_episode(path) == []
    problems = rewritten(path, 'stamps/top/receive_ns', back)
    assert "'/stamps/top/receive_ns' goes back by 1.98 s at row 10 (1 such steps)" in problems[0]
    path = recordings.write_episode(tmp_path / 'episode_000001.hdf5')
    problems = rewritten(path, 'stamps/state/header_ns', ahead)
    assert "'/stamps/state': clocks disagree by 0.499 s in 20 rows" in problems[0]


@pytest.mark.parametrize('by_s', [0.05, 2.0])
def test_a_clock_that_is_set_back_ends_a_live_recording_with_a_name(
    tmp_path: Path, by_s: float
) -> None:
    events = [
        (receive_ns - round(by_s * 1e9) * (stamp_ns > recordings.START_NS + 1_200 * MS),
         stamp_ns - round(by_s * 1e9) * (stamp_ns > recordings.START_NS + 1_200 * MS),
         topic, message)
        for receive_ns, stamp_ns, topic, message in bag_files.demonstration(2.0, ROBOT)
    ]  # fmt: skip
    ended = record(events, tmp_path)
    assert 'the clock jumped by -' in ended and 'time goes back' in ended
    (episode,) = tmp_path.glob('*.hdf5')
    assert check_episode(episode) == []
    with EpisodeReader(episode) as reader:
        assert 30 <= reader.length <= 36


def test_a_second_publisher_that_rows_hide_is_named(tmp_path: Path) -> None:
    """Rows that all are those of a second publisher show nothing; its messages between do."""
    events = bag_files.demonstration(3.0, ROBOT)
    zeros = []
    for receive_ns, stamp_ns, topic, message in events:
        if topic == '/joint_states':
            stray = replace(message, header=bag_files.header(stamp_ns + MS),
                            position=np.array(message.position) + 0.3)  # fmt: skip
            zeros.append((receive_ns + MS, stamp_ns + MS, topic, stray))
    bag = bag_files.write_bag(tmp_path / 'bag', sorted([*events, *zeros], key=lambda e: e[:3]))
    for options, line in (
        ({}, r"at 0\.\d+ s: stream 'state'.* in turn: do several nodes publish it\?"),
        ({'split_at_gaps': True}, 'no stretch of 1 s'),
    ):
        with pytest.raises(EpisodeError, match=line):
            import_bag(bag, ROBOT, tmp_path / 'out', **options)  # type: ignore[arg-type]
        assert not list((tmp_path / 'out').glob('*'))


def qpos_with(joint: int, values: list[float]) -> np.ndarray:
    """Rows (T, J) of an arm at rest, one joint of which has these values."""
    qpos = np.zeros((len(values), len(ROBOT.joints.names)), np.float32)
    qpos[:, joint] = values
    return qpos


@pytest.mark.parametrize(
    ('joint', 'values', 'row'),
    [
        (1, [0, 0, 1, 1, 0, 0], None),  # open or closed, as 0 and 1
        (1, [-1, -1, 1, 1], None),
        (1, list(np.float32([*ROBOT.joints.limits.position[1]] * 2)), None),
        (1, [0.3, 0.3, 1.9, 0.3], 2),  # a joint that is elsewhere for a row
        (1, [0, 0, 1, 1, 0.5, 0.5], 2),  # not only open and closed
        (4, [0.0, 0.0, 0.02, 0.02], None),  # a joint with such a name
        (4, [0.0, 0.02, 0.0, 0.0, 0.01], 1),  # there and back at once
    ],
)
def test_a_joint_of_two_values_may_be_a_gripper(
    joint: int, values: list[float], row: int | None
) -> None:
    name = ROBOT.joints.names[joint]
    assert name == ('gripper' if joint == 4 else 'joint2')
    slow = ROBOT.joints.limits.model_copy(update={'velocity': (0.05,) * 5})
    robot = ROBOT.model_copy(
        update={'joints': ROBOT.joints.model_copy(update={'limits': slow, 'grippers': {}})}
    )
    qpos = qpos_with(joint, values)
    times_ns = np.arange(len(qpos))[:, None] * robot.period_ns + np.zeros((1, 5), np.int64)
    found = impossible_steps(qpos, times_ns, robot)
    assert [place for place, _ in found] == ([] if row is None else [row])
    watch = MotionWatch(robot)
    told = [watch.look(Row(int(t[0]), {}, {}), q) for t, q in zip(times_ns, qpos, strict=True)]
    line = next(filter(None, told), None)
    if row is None:
        assert line is None
        told_of = stepping_grippers(qpos, times_ns, robot)
        low, high = sorted(set(np.float32(values).tolist()))
        assert [told for _, told in told_of] == [
            f"joint '{name}' is only {low:g} or {high:g}: taken as a gripper that is open or "
            'closed'
        ]
    else:
        assert line is not None and line.startswith(f"joint '{name}' moves by")
        assert stepping_grippers(qpos, times_ns, robot) == []


@pytest.mark.parametrize(
    ('values', 'steps'),
    [([1e-4, 0, 0.02, 0.02, 0.01, 0.01], True), ([1e-4, 2e-4, 0.019, 0.0191, 1e-4, 3e-4], True),
     ([0, 0.02, 0, 0.01], False), ([0.0, 0.001, 0.002, 0.003], False)],
)  # fmt: skip
def test_a_gripper_may_be_told_in_steps_and_is_noted(values: list[float], steps: bool) -> None:
    qpos = qpos_with(4, values)
    times_ns = np.arange(len(qpos))[:, None] * ROBOT.period_ns + np.zeros((1, 5), np.int64)
    watch = MotionWatch(ROBOT)
    rows = [Row(int(times[0]), {}, {}) for times in times_ns]
    lines = [watch.look(row, each) for row, each in zip(rows, qpos, strict=True)]
    found, noted = (
        judge(qpos, times_ns, ROBOT) for judge in (impossible_steps, stepping_grippers)
    )
    impossible = values[1] == 0.02
    assert bool(found) is any(lines) is impossible
    line = (
        "joint 'gripper' steps far beyond its velocity limit: taken as a gripper that is told so"
    )
    assert noted == ([(2, line)] if steps else [])


def stalls(rows: slice) -> np.ndarray:
    """Rows (T, J) of joints that move with 2.5 of 3 rad/s, but for a gripper that stands.

    In some of them the driver repeats what it read before.
    """
    qpos = qpos_with(4, [0.0] * 40) + 2.5 * 0.02 * np.arange(40)[:, None] * [1, 1, 1, 1, 0]
    qpos[rows] = qpos[rows.start]
    return np.asarray(qpos, np.float32)


def jump_while_others_move(by: float) -> np.ndarray:
    qpos = stalls(slice(0, 0))
    qpos[:, 1] = np.where(np.arange(40) < 20, 0, by)
    return qpos


@pytest.mark.parametrize(
    ('qpos', 'row', 'told'),
    [
        (stalls(slice(10, 15)), None, ''),  # 0.25 rad in a row, after 0.1 s
        (stalls(slice(10, 18)), None, ''),
        (stalls(slice(8, 39)), 39, 'moves by 1.55 in 0.170 s, 9.12 per second'),  # not so long
        (jump_while_others_move(0.5), 20, 'moves by 0.5 in 0.020 s, 25 per second'),  # no stall
        (qpos_with(1, [0] * 20 + [2.0] * 20), 20, 'moves by 2 in 0.170 s'),
        (qpos_with(1, [0] * 20 + [0.5] + [0] * 19), 21, 'moves by 0.5 in 0.020 s'),  # back at once
    ],
)
def test_a_driver_that_stalls_is_believed_what_its_arm_does_meanwhile(
    qpos: np.ndarray, row: int | None, told: str
) -> None:
    times_ns = np.arange(len(qpos))[:, None] * ROBOT.period_ns + np.zeros((1, 5), np.int64)
    found = impossible_steps(qpos, times_ns, ROBOT)
    assert sorted({place for place, _ in found}) == ([] if row is None else [row])
    assert row is None or told in str(found)
    watch = MotionWatch(ROBOT)
    lines = [watch.look(Row(int(t[0]), {}, {}), q) for t, q in zip(times_ns, qpos, strict=True)]
    assert [place for place, line in enumerate(lines) if line] == ([] if row is None else [row])
    assert row is None or told in str(lines[row])


@pytest.mark.parametrize(('by', 'far'), [(3.0, False), (40.0, True)])
def test_joints_outside_their_limits_are_told_in_import_and_recorder(
    tmp_path: Path, by: float, far: bool
) -> None:
    """Slow degrees show nowhere else: 40 rad are no place of this joint; 3 rad may well be one."""
    events = [
        (receive_ns, stamp_ns, topic, replace(message, position=np.array(message.position) + by))
        if topic == '/joint_states'
        else (receive_ns, stamp_ns, topic, message)
        for receive_ns, stamp_ns, topic, message in bag_files.demonstration(2.0, ROBOT)
    ]
    told = "joint 'joint1' goes from 2.9 to 3.1, beyond its limits in robot spec 'tabletop_sim'"
    refused = "joint 'joint1' is at 40 (99 such rows), far beyond its limits in robot spec"
    notes: list[str] = []
    bag = bag_files.write_bag(tmp_path / 'bag', events)
    if far:
        with pytest.raises(EpisodeError, match=f'at 0.00 s: {re.escape(refused)}.*--any-speed'):
            import_bag(bag, ROBOT, tmp_path / 'out')
        assert not (tmp_path / 'out').exists()
    (episode,) = import_bag(bag, ROBOT, tmp_path / 'out', note=notes.append, any_speed=far)
    assert (refused if far else f'{bag}: {told}') in notes[0]
    found = examine_episode(episode)
    named = [line.partition('(')[0] for line in found.problems]
    assert [
        f"'/observations/qpos' row 0: joint 'joint{n}' is at 40 " for n in range(1, 5)
    ] == named[:4] or not far
    assert far or (found.problems == [] and f"'/observations/qpos': {told}" in found.notes[0])
    recorder = EpisodeRecorder(ROBOT)
    for receive_ns, stamp_ns, topic, message in events:
        recordings.hear(recorder, NAMES[topic.lstrip('/')], Sample(stamp_ns, receive_ns, message))
        if not recorder.recording and receive_ns > recordings.START_NS + 5e8:
            recorder.start(tmp_path / 'live')
    assert ("row 0: joint 'joint1' is at 40" if far else told) in str(recorder.stop())
