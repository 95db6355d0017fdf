# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms of two frames in rows: composed at one time; what does not hang together is a gap."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import recordings
from transform_messages import STORE, TYPE, Transform, matrix, transform_bytes, turned

from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.robot.vector import ROTATION, TRANSLATION
from motion_policy.streams import GridSampler, Row, Sample, Sampler
from motion_policy.streams.samples import Unreadable
from motion_policy.streams.transforms import ContinuousRotations, TransformMessage

MS = 1_000_000
STILL = (0, 0, 0, 0, 0, 0, 1)
NAN = float('nan')


def robot(vector: str = '{transform: [base, tool]}') -> RobotSpec:
    text = recordings.tabletop().to_yaml() + f'\nvectors:\n  tcp: {vector}\n'
    return robot_spec_from_yaml(text, 'arm')


def at_ms(t_ms: float) -> int:
    return recordings.START_NS + round(t_ms * MS)


class Tree:
    """A sampler of one transform alone."""

    def __init__(self, vector: str = '{transform: [base, tool]}') -> None:
        self.streams = [s for s in robot(vector).streams() if s.role == 'vector']
        self.sampler = Sampler(self.streams)

    def push(self, t_ms: float, *transforms: Transform, static: bool = False) -> None:
        message = TransformMessage(transform_bytes(*transforms), static)
        self.sampler.push('tcp', Sample(0, at_ms(t_ms), message))

    def move(self, t_ms: float, *edges: tuple[str, str, Sequence[float]], late: float = 0) -> None:
        """Send transforms that are stamped now, and received `late` ms after."""
        self.push(t_ms + late, *((*edge[:2], at_ms(t_ms), edge[2]) for edge in edges))

    def row(self, t_ms: float) -> Row:
        return self.sampler.observe(at_ms(t_ms))

    def pose(self, t_ms: float) -> Any:
        return self.row(t_ms).samples['tcp'].value

    def fault(self, t_ms: float) -> str:
        return self.row(t_ms).faults.get('tcp', '')


def edge(
    parent: str, child: str, pose: Sequence[float] = STILL
) -> tuple[str, str, Sequence[float]]:
    return parent, child, pose


A = turned([1, 2, 3], 0.7, [0.1, -0.2, 0.3])
B = turned([0, 1, -1], -2.1, [1.5, 0.0, -0.4])
C = turned([1, 0, 0], 3.1, [0.0, 0.7, 0.2])


def test_a_spec_names_two_frames_and_the_rest_by_itself() -> None:
    vector = robot().vectors['tcp']
    assert (vector.topic, vector.static_topic) == ('tf', 'tf_static')
    assert vector.columns == (*TRANSLATION, *ROTATION)
    place = robot('{transform: [base, tool], fields: [translation]}').vectors['tcp']
    assert place.columns == TRANSLATION
    for spec in (robot(), robot('{transform: [a, b/c], topic: /tf, fields: [rotation]}')):
        assert robot_spec_from_yaml(spec.to_yaml(), 'again') == spec


@pytest.mark.parametrize(
    ('vector', 'words'),
    [
        ('{transform: [base]}', 'transform'),
        ('{transform: [base, base]}', "holds 'base' more than once"),
        ('{transform: [/base, tool]}', "frame '/base', expected a name as in tf, without a slash"),
        ("{transform: ['', tool]}", "frame ''"),
        ('{transform: [a, b], window: mean}', "window is 'mean' of a transform, expected newest"),
        ('{transform: [a, b], fields: [rotation.x]}', 'expected translation, rotation or both'),
        ('{transform: [a, b], fields: [rotation, translation]}', 'in this order'),
        ('{transform: [a, b], type: a_msgs/msg/B}', 'expected tf2_msgs/msg/TFMessage'),
        ('{transform: [a, b], static_topic: tf}', "static_topic is 'tf', expected another"),
        ('{topic: t, type: a_msgs/msg/B, fields: [x], static_topic: s}', 'without transform'),
    ],
)
def test_a_transform_that_is_none_is_one_line(vector: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        robot(vector)
    assert words in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('ends', 'expected'),
    [
        (('base', 'tool'), matrix(A) @ matrix(B) @ matrix(C)),
        (('tool', 'base'), np.linalg.inv(matrix(A) @ matrix(B) @ matrix(C))),
        (('lens', 'tool'), np.linalg.inv(matrix(C)) @ matrix(A) @ matrix(B) @ matrix(C)),
        (('link', 'hand'), matrix(B)),
    ],
)
def test_a_way_is_composed_upwards_and_downwards(
    ends: tuple[str, str], expected: np.ndarray
) -> None:
    tree = Tree(f'{{transform: [{ends[0]}, {ends[1]}]}}')
    fixed = [('hand', 'tool', 0, C), ('base', 'lens', 0, C)]
    tree.push(0, *fixed, static=True)
    tree.move(5, edge('base', '/link', A), edge('link', 'hand', B), edge('base', 'other', C))
    row = tree.row(9)
    np.testing.assert_allclose(matrix(row.samples['tcp'].value), expected, atol=1e-12)
    assert row.complete and row.ages_ns['tcp'] == 4 * MS
    assert row.samples['tcp'].header_ns == row.samples['tcp'].receive_ns == at_ms(5)
    counters = row.counters['tcp']
    assert (counters.received, counters.unusable) == (1, 0)  # what does not move is not counted


def test_all_transforms_are_those_of_one_time_that_of_the_one_furthest_behind() -> None:
    tree = Tree()
    tree.move(-10, edge('base', 'link'), edge('link', 'tool'))
    for t_ms in range(0, 40, 10):
        tree.move(t_ms, edge('base', 'link', turned([0, 0, 1], 0.01 * t_ms, [t_ms, 0, 0])))
    tree.move(24, edge('link', 'tool'), late=9)
    row = tree.row(36)
    assert row.samples['tcp'].header_ns == at_ms(24) and row.ages_ns['tcp'] == 12 * MS
    expected = turned([0, 0, 1], 0.24, [24, 0, 0])  # half way along the shorter turn
    np.testing.assert_allclose(row.samples['tcp'].value, expected, atol=1e-12)
    # A stamp that is there is taken as it is, and nothing from after the row's time.
    tree.move(30, edge('link', 'tool'), late=8)
    assert tree.pose(37)[0] == pytest.approx(24, abs=1e-9)
    assert tree.pose(40)[0] == 30


def test_nothing_is_made_up_for_a_pause_of_one_transform() -> None:
    tree = Tree()
    tree.move(0, edge('base', 'link'), edge('link', 'tool'))
    tree.move(140, edge('link', 'tool'), late=160)
    tree.move(299, edge('base', 'link', A), late=2)
    missing = "transform 'base' -> 'link' missing at the time of transform 'link' -> 'tool', "
    assert tree.fault(302).startswith(missing)
    tree.move(320, edge('link', 'tool'))
    tree.move(340, edge('base', 'link', A))
    assert tree.fault(341) == ''


def test_the_turn_between_two_signs_of_a_quaternion_is_the_short_one() -> None:
    tree = Tree()
    tree.move(-10, edge('base', 'link'), edge('link', 'tool'))
    tree.move(0, edge('base', 'link', turned([0, 0, 1], 3.0)))
    tree.move(10, edge('base', 'link', [-each for each in turned([0, 0, 1], 3.2)]))
    tree.move(5, edge('link', 'tool'), late=6)
    np.testing.assert_allclose(matrix(tree.pose(12)), matrix(turned([0, 0, 1], 3.1)), atol=1e-9)


def test_a_transform_whose_stamps_lead_is_taken_at_the_time_of_the_others() -> None:
    """As localisation sends it, which says for how long it will hold."""
    tree = Tree('{transform: [map, tool]}')
    for t_ms in range(0, 400, 20):
        tree.push(t_ms, ('map', 'base', at_ms(t_ms + 300), [t_ms, 0, 0, 0, 0, 0, 1]))
        tree.move(t_ms, edge('base', 'tool'))
    row = tree.row(385)
    assert row.complete and row.ages_ns['tcp'] == 5 * MS
    assert row.samples['tcp'].value[0] == 80
    alone = Tree('{transform: [map, base]}')
    alone.push(0, ('map', 'base', at_ms(300), STILL))
    assert "transform 'map' -> 'base': clocks disagree by 0.3 s" in alone.fault(10)
    by_reception = Tree('{transform: [map, base], stamp: receive}')
    by_reception.push(0, ('map', 'base', at_ms(300), STILL))
    assert by_reception.fault(10) == '' and by_reception.row(10).ages_ns['tcp'] == 10 * MS


def test_what_does_not_move_is_never_old_and_outlives_a_clock_that_goes_back() -> None:
    tree = Tree()
    heard = '; nothing is heard of transforms that do not move'
    assert tree.fault(0) == f"missing, there is no frame 'base', but: none{heard}"
    tree.push(0, ('base', 'link', at_ms(-9e6), A), static=True)
    assert tree.fault(0) == "missing, there is no frame 'tool', but: link, base"
    tree.push(1, ('link', 'tool', 0, B), static=True)
    row = tree.row(60_000)
    assert row.complete and row.ages_ns['tcp'] == 0
    np.testing.assert_allclose(matrix(row.samples['tcp'].value), matrix(A) @ matrix(B), atol=1e-12)
    tree.push(2, ('base', 'link', 0, C), static=True)  # the newest counts
    np.testing.assert_allclose(matrix(tree.pose(3)), matrix(C) @ matrix(B), atol=1e-12)
    tree = Tree()
    tree.push(0, ('base', 'link', 0, A), static=True)
    tree.move(50_000, edge('link', 'tool', B))
    assert tree.fault(50_001) == ''
    tree.move(100, edge('link', 'other', B))  # the clock was set back
    assert tree.fault(101) == "missing, there is no frame 'tool', but: link, other, base"
    tree.move(110, edge('link', 'tool', B))
    assert tree.fault(111) == ''


def test_a_sampler_that_begins_anew_keeps_what_was_sent_once() -> None:
    streams = Tree().streams
    first, second = (GridSampler(streams, 50.0, at_ms(t_ms)) for t_ms in (0, 0))
    static = TransformMessage(transform_bytes(('base', 'link', 0, A)), is_static=True)
    first.push('tcp', Sample(0, at_ms(1), static))
    second.keep_from(first)
    moving = TransformMessage(transform_bytes(('link', 'tool', at_ms(-500), B)))
    second.push('tcp', Sample(0, at_ms(-500), moving))
    assert second.advance(at_ms(20))[0].samples['tcp'].value.shape == (7,)


@pytest.mark.parametrize(
    ('transforms', 'words'),
    [
        ([], "there is no frame 'base', but: none"),
        ([edge('base', 'link')], "there is no frame 'tool', but: link, base"),
        (
            [edge('world', 'base'), edge('cell', 'tool')],
            "frames are not connected: 'base' is in 'world', 'tool' in 'cell'; nothing is "
            'heard of transforms that do not move',
        ),
        (
            [edge('hand', 'tool'), edge('tool', 'hand'), edge('world', 'base')],
            "frames are in a loop: 'tool' in 'hand' in 'tool'",
        ),
        ([edge('base', 'link'), edge('tool', 'tool')], "there is no frame 'tool'"),
    ],
)
def test_frames_that_do_not_hang_together_are_a_gap_with_a_name(
    transforms: list[Any], words: str
) -> None:
    tree = Tree()
    for t_ms in range(0, 30, 10):
        tree.move(t_ms, *transforms)
    assert tree.fault(31).startswith(f'missing, {words}')


def test_a_frame_that_moves_and_does_not_is_a_gap_with_a_name() -> None:
    tree = Tree()
    tree.push(0, ('base', 'tool', 0, A), static=True)
    tree.move(1, edge('base', 'tool', B))
    assert "frame 'tool' is on topic 'tf' and on 'tf_static', expected it to" in tree.fault(2)


def test_the_transform_that_falls_silent_is_named_when_it_is_stale() -> None:
    tree = Tree()
    for t_ms in range(0, 500, 10):
        tree.move(t_ms, edge('link', 'tool'))
        if t_ms < 200:
            tree.move(t_ms, edge('base', 'link', A))
    assert tree.fault(390) == ''
    assert tree.fault(420) == ("transform 'base' -> 'link': stale (0.23 s old, limit 0.2 s)")
    tree.push(500, ('base', 'link', at_ms(500), [NAN, 0, 0, 0, 0, 0, 1]))
    told = tree.fault(501)
    assert told.startswith("transform 'base' -> 'link': stale (0.31 s old, limit 0.2 s), of its")
    assert told.endswith("'base' -> 'link': translation is [nan, 0, 0], expected finite metres")


@pytest.mark.parametrize(
    ('pose', 'words'),
    [
        ((0, 0, 0, 0, 0, 0, 0), 'rotation is [0, 0, 0, 0], expected a quaternion of length 1'),
        ((0, 0, 0, 0, 0, 0.1, 1.02), 'rotation is [0, 0, 0.1, 1.02], expected'),
        ((0, 0, 0, 0, NAN, 0, 1), 'rotation is [0, nan, 0, 1], expected'),
        ((0, 0, math.inf, 0, 0, 0, 1), 'translation is [0, 0, inf], expected finite'),
        ((0, 1e13, 0, 0, 0, 0, 1), 'translation is [0, 1e+13, 0], expected finite'),
    ],
)
def test_what_is_no_pose_is_counted_with_its_transform_and_never_taken(
    pose: Any, words: str
) -> None:
    tree = Tree()
    tree.move(0, edge('base', 'tool', A), edge('base', 'other'))
    tree.move(10, edge('base', 'tool', pose), edge('base', 'other'))
    tree.move(20, edge('base', 'tool', A), edge('base', 'other', pose))  # of no concern
    row = tree.row(15)
    np.testing.assert_allclose(row.samples['tcp'].value, A, atol=1e-12)
    counters = row.counters['tcp']
    assert (counters.received, counters.unusable) == (3, 1)
    assert counters.reason.startswith(f"transform 'base' -> 'tool': {words}")
    fixed = Tree()
    fixed.push(0, ('base', 'tool', 0, pose), static=True)
    fixed.move(1, edge('base', 'other'))
    assert f"not taken: transform 'base' -> 'tool': {words}" in fixed.fault(2)


def test_a_quaternion_that_is_nearly_of_length_1_becomes_one() -> None:
    tree = Tree()
    tree.move(0, edge('base', 'tool', [0, 0, 0, 0, 0, 0, 1.003]))
    assert tree.pose(1).tolist() == [0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ('other', 'words'),
    [
        (edge('base', 'tool', [0.5, 0, 0, 0, 0, 0, 1]), "'base' -> 'tool' translation.x is 0"),
        (edge('world', 'tool'), "frame 'tool' is in 'base' and in 'world' in turn"),
    ],
)
def test_two_senders_of_one_frame_that_disagree_are_a_gap_with_a_name(
    other: Any, words: str
) -> None:
    tree = Tree()
    for t_ms in range(0, 120, 10):
        tree.move(t_ms, edge('world', 'base'))
        tree.move(t_ms + 2, other)
        tree.move(t_ms + 5, edge('base', 'tool'))
    row = tree.row(118)
    assert words in row.conflicts['tcp'] and row.conflicts['tcp'].endswith('nodes publish it?')
    for t_ms in range(3200, 3300, 10):
        tree.move(t_ms, edge('world', 'base'), edge('base', 'tool'))
    assert tree.fault(3291) == ''


def test_two_quaternions_of_one_rotation_are_no_two_senders() -> None:
    tree = Tree()
    for t_ms in range(0, 200, 10):
        sign = 1 if t_ms % 20 else -1
        tree.move(t_ms, edge('base', 'tool', [*A[:3], *(sign * each for each in A[3:])]))
    assert tree.fault(195) == ''


def test_messages_are_counted_and_what_is_lost_of_a_transform_once() -> None:
    tree = Tree()
    for t_ms in range(0, 400, 10):
        if t_ms != 200:
            tree.move(t_ms, edge('base', 'link'), edge('link', 'tool'))
        tree.move(t_ms, edge('far', 'away'))
    tree.move(390, edge('base', 'link'), edge('link', 'tool'))
    counters = tree.row(400).counters['tcp']
    assert (counters.received, counters.dropped, counters.duplicates) == (80, 1, 1)
    assert counters.max_gap_ns == 20 * MS and counters.foreign >= 39


@pytest.mark.parametrize('spoil', ['cut', 'many', 'no text', 'another encoding', 'empty'])
def test_bytes_that_are_no_message_are_counted(spoil: str) -> None:
    data = transform_bytes(('base', 'tool', at_ms(0), A), ('base', 'other', at_ms(0), B))
    spoiled = {
        'cut': data[:-30],
        'many': data[:4] + struct.pack('<I', 2**31) + data[8:],
        'no text': data.replace(b'tool', b'\xff\xfe\xfd\xfc'),
        'another encoding': b'\0\x07' + data[2:],
        'empty': b'',
    }[spoil]
    tree = Tree()
    tree.sampler.push('tcp', Sample(0, at_ms(0), TransformMessage(spoiled)))
    tree.sampler.push('tcp', Sample(0, at_ms(1), Unreadable('bytes that are none')))
    counters = tree.row(2).counters['tcp']
    assert counters.unusable == 2 and 'bytes that are none' in counters.reason
    tree.sampler.push('tcp', Sample(0, at_ms(3), TransformMessage(data)))
    assert tree.fault(4) == ''


def test_both_byte_orders_are_read() -> None:
    little = transform_bytes(('base', 'tool', at_ms(0), A))
    message = STORE.deserialize_cdr(little, TYPE)
    big = bytes(STORE.serialize_cdr(message, TYPE, little_endian=False))
    assert big != little
    for data in (little, big, little + b'\0' * 8):
        tree = Tree()
        tree.sampler.push('tcp', Sample(0, at_ms(0), TransformMessage(data)))
        np.testing.assert_allclose(tree.pose(1), A, atol=1e-12)


def test_a_quaternion_keeps_its_sign_over_rows_that_turn_all_the_way_round() -> None:
    spec = robot().vectors
    turns = np.linspace(0, 6 * math.pi, 200)
    poses = [turned([1, 0, 0], angle, [0.1, 0, 0]) for angle in turns]
    signs = np.where(np.arange(200) % 3, 1, -1)
    rows = [
        [*pose[:3], *(sign * np.array(pose[3:]))] for pose, sign in zip(poses, signs, strict=True)
    ]
    continuous = ContinuousRotations(spec, spec)
    found = np.stack([continuous.of({'tcp': np.float32(row)})['tcp'] for row in rows])
    assert (np.einsum('ti,ti->t', found[1:, 3:], found[:-1, 3:]) > 0.99).all()
    np.testing.assert_allclose(found, poses, atol=1e-6)
    continuous.reset()
    # Straight down, the last number is noise about 0: the first row is the same whichever it is.
    for noise in (1e-3, -1e-3):
        for sign in (1, -1):
            continuous.reset()
            down = np.float32([0, 0, 0, sign, 0, 0, sign * noise])
            assert continuous.of({'tcp': down})['tcp'][3] == 1
