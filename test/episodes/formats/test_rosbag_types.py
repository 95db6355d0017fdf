# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of message types that only a bag knows are imported; a definition executes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import bag_files
import numpy as np
import pytest
import recordings
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from motion_policy.episodes import EpisodeError, EpisodeReader, check_episode, import_bag
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

SKIN = 'feeling_msgs/msg/Skin'
DEFINITION = """std_msgs/Header header
uint8 HOT=1
Cell[2] cells
Cell palm
float32[] taxels
bool touched
string note
"""
CELL = 'int16 pressure\nfloat64[2] shear\n'
BLIND = recordings.tabletop().model_copy(update={'cameras': {}})
SECONDS = 0.5


def robot(fields: str = 'palm, "taxels[3]", touched', kind: str = SKIN) -> RobotSpec:
    text = f'vectors:\n  skin: {{topic: skin, type: {kind}, fields: [{fields}]}}\n'
    return robot_spec_from_yaml(BLIND.to_yaml() + text, 'feeling.yaml')


def store() -> Any:
    """The usual message types, and ours."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    types.register(
        get_types_from_msg(DEFINITION, SKIN) | get_types_from_msg(CELL, 'feeling_msgs/msg/Cell')
    )
    return types


def bag(folder: Path, plugin: StoragePlugin = StoragePlugin.SQLITE3) -> Path:
    """Joints, and a skin at 50 Hz that is pressed the harder the later it is."""
    types = store()
    events = [e for e in bag_files.demonstration(SECONDS, BLIND) if 'image' not in e[2]]
    cell = types.types['feeling_msgs/msg/Cell']
    for index in range(int(SECONDS * 50)):
        stamp_ns = recordings.START_NS + index * 20_000_000
        palm = cell(pressure=-index, shear=np.array([index / 8, 0.5]))
        message = types.types[SKIN](
            header=bag_files.header(stamp_ns), cells=[palm, palm], palm=palm,
            taxels=np.array([index, 0.25, 0.5], np.float32), touched=index % 2 == 1, note='',
        )  # fmt: skip
        events.append((stamp_ns + 1_000_000, stamp_ns, '/skin', message))
    with Writer(folder, version=9, storage_plugin=plugin) as writer:
        connections: dict[str, Any] = {}
        for receive_ns, _, topic, message in sorted(events, key=lambda event: event[:3]):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=types)
            writer.write(connections[topic], receive_ns, types.serialize_cdr(message, kind))
    return folder


def redefine(folder: Path, text: str, encoding: str = 'ros2msg') -> None:
    """Let a bag define the skin so; '': not at all."""
    [path] = folder.glob('*.db3')
    with sqlite3.connect(path) as file:
        if text:
            file.execute(
                'UPDATE message_definitions SET encoded_message_definition = ?, encoding = ? '
                'WHERE topic_type = ?', (text, encoding, SKIN),
            )  # fmt: skip
        else:
            file.execute('DELETE FROM message_definitions')
    file.close()


@pytest.mark.parametrize('plugin', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_type_that_the_bag_defines_is_read(tmp_path: Path, plugin: StoragePlugin) -> None:
    [path] = import_bag(bag(tmp_path / 'bag', plugin), robot(), tmp_path / 'out')
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        assert episode.robot.vectors['skin'].columns == (
            'palm.pressure', 'palm.shear[0]', 'palm.shear[1]',
            'taxels[0]', 'taxels[1]', 'taxels[2]', 'touched',
        )  # fmt: skip
        index = (episode.stamps('skin').header_ns - recordings.START_NS) // 20_000_000
        half = np.full(episode.length, 0.5)
        expected = [-index, index / 8, half, index, half / 2, half, index % 2]
        np.testing.assert_array_equal(episode.vector('skin'), np.stack(expected, axis=1))
        assert episode.length >= 20


@pytest.mark.parametrize(
    ('fields', 'kind', 'words'),
    [
        ('palm.force', SKIN, "vectors.skin: 'palm.force': feeling_msgs/msg/Cell has no field"),
        ('palm.force', SKIN, 'it has: pressure, shear'),
        ('taxels', SKIN, "'taxels': is float32[], expected its size: taxels[N]"),
        ('cells', SKIN, "'cells': is feeling_msgs/msg/Cell[2], expected numbers"),
        ('note', SKIN, "'note': is string, expected numbers"),
        ('x', 'feeling_msgs/msg/Warm', "type 'feeling_msgs/msg/Warm' is not known here, and the"),
        ('wrench', 'geometry_msgs/msg/WrenchStamped', f'is of type {SKIN}, expected geometry_'),
    ],
)
def test_what_a_bag_has_not_is_one_line(
    tmp_path: Path, fields: str, kind: str, words: str
) -> None:
    with pytest.raises(EpisodeError) as caught:
        import_bag(bag(tmp_path / 'bag'), robot(fields, kind), tmp_path / 'out')
    line = str(caught.value)
    assert line.startswith(f'{tmp_path / "bag"}: ') and words in line and '\n' not in line
    assert not (tmp_path / 'out').exists()


def test_a_bag_without_definitions_has_the_usual_types_only(tmp_path: Path) -> None:
    redefine(bag(tmp_path / 'bag'), '')
    with pytest.raises(EpisodeError, match='and the bag does not define it'):
        import_bag(tmp_path / 'bag', robot(), tmp_path / 'out')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('float64 1x', 'cannot be read: Could not parse'),
        ('float64[2000000] shear', "'shear' has 2000000 entries"),
        ('# ' + 'x' * 2**20, 'it has 1048578 characters'),
        ("float64 x\n'''\nimport os", 'cannot be read'),
    ],
)
def test_a_definition_that_is_none_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    redefine(bag(tmp_path / 'bag'), text)
    with pytest.raises(EpisodeError) as caught:
        import_bag(tmp_path / 'bag', robot(), tmp_path / 'out')
    line = str(caught.value)
    assert words in line and f"its definition of '{SKIN}'" in line
    assert '\n' not in line and len(line) < 500


@pytest.mark.parametrize('name', ['os.system("touch {0}")', "__import__('os').mkdir('{0}')"])
def test_a_definition_can_execute_nothing(tmp_path: Path, name: str) -> None:
    """Whether it is refused or read: names are checked, and constants are not looked at."""
    made = tmp_path / 'made'
    code = name.format(made)
    idl = f'module feeling_msgs {{ module msg {{ struct Skin {{ double {code}; }}; }}; }};'
    for number, (text, encoding) in enumerate(
        [
            (f'string CODE="{code}"\n{DEFINITION}', 'ros2msg'),
            (f'string CODE={code}\n{DEFINITION}', 'ros2msg'),
            (f'float64 {code}\n', 'ros2msg'),
            (f'float64[{code}] x\n', 'ros2msg'),
            (f'{code} x\n', 'ros2msg'),
            (idl, 'ros2idl'),
        ]
    ):
        redefine(bag(tmp_path / f'bag{number}'), text, encoding)
        try:
            import_bag(tmp_path / f'bag{number}', robot(), tmp_path / 'out')
        except EpisodeError as error:
            assert '\n' not in str(error)
        assert not made.exists()
