# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of the robot spec, of the episode file and of the scenes are those of the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from pydantic import BaseModel
from recordings import robot_with_leader, with_depth, with_vectors, write_episode
from reference_tables import codes, page, section, tables, tells, words

from motion_policy import simulation
from motion_policy.episodes import layout
from motion_policy.evaluation.scenes import DISTURBANCES, SCENES, Scene
from motion_policy.robot import load_robot_spec, robot_spec_from_yaml
from motion_policy.robot.gripper import KNOWN_ACTIONS, GripperAction, GripperSpec
from motion_policy.robot.joint_topic import JointTopic
from motion_policy.robot.spec import (
    CAMERA_TYPES,
    CameraSpec,
    DepthSpec,
    JointsSpec,
    LimitsSpec,
    RobotSpec,
)
from motion_policy.robot.teleop import JoyLeader, TeleopSpec, TwistLeader
from motion_policy.robot.vector import VectorSpec
from motion_policy.simulation import disturbances, press, push, tabletop, transfer_cube
from motion_policy.streams.images import ENCODINGS

# What a key of the robot spec is by default where that depends on others.
OF_OTHERS = {
    'joints': 'all of `names`',
    'message_names': 'as `joints`',
    'scale': '1',
    'offset': '0',
    'position': '`command.position` of control_msgs, `width` of franka_msgs',
    'supersede': '`replace` for control_msgs, else `cancel`',
    'goal': 'none',
}
PER_JOINT = {
    'tuple[tuple[float, float], ...]': 'one `[low, high]` per joint',
    'tuple[float, ...]': 'one number per joint',
}
T, J, CAMERAS, H, W = 6, 5, 2, 20, 24


@pytest.mark.parametrize(
    ('heading', 'at', 'model', 'more'),
    [
        ('Top level', 0, RobotSpec, []),
        ('`joints`', 0, JointsSpec, []),
        ('`joints`', 1, JointTopic, []),
        ('`joints.grippers`', 0, GripperSpec, []),
        ('Grippers with an action or a service', 0, GripperAction, []),
        ('`limits`', 0, LimitsSpec, ['urdf']),
        ('`teleop`', 0, TeleopSpec, []),
        ('`teleop.twist`', 0, TwistLeader, []),
        ('`teleop.joy`', 0, JoyLeader, []),
        ('`cameras`', 0, CameraSpec, []),
        ('`depth`', 0, DepthSpec, []),
        ('`vectors`', 0, VectorSpec, []),
    ],
)
def test_the_robot_spec_page_has_a_row_for_every_key_with_its_default_unit_and_shape(
    heading: str, at: int, model: type[BaseModel], more: list[str]
) -> None:
    table = tables(section(page('robot_spec.md'), heading))[at]
    fields = model.model_fields
    assert sorted(table.by_name(table.header[-1])) == sorted([*fields, *more])
    if 'default' in table.header:
        for key, cell in table.by_name('default').items():
            if key in OF_OTHERS:
                assert cell == OF_OTHERS[key]
            else:
                assert tells(cell, None if fields[key].is_required() else fields[key].default), key
    if 'unit' in table.header:
        for key, cell in table.by_name('unit').items():
            number = key in fields and re.search(r'float|Finite', str(fields[key].annotation))
            assert bool(cell) == bool(number), key
            assert words(cell) <= words(model.__doc__ or ''), key
    if 'shape' in table.header:
        shapes = table.by_name('shape')
        assert {key: shapes[key] for key in fields} == {
            key: PER_JOINT[str(field.annotation)] for key, field in fields.items()
        }


def test_what_is_known_of_an_action_is_as_the_robot_spec_page_says() -> None:
    for name, known in KNOWN_ACTIONS.items():
        of = name.partition('/')[0]
        assert f'`{known.position}` of {of}' in OF_OTHERS['position']
        assert (f'`{known.supersede}` for {of}' in OF_OTHERS['supersede']) == (
            known.supersede == 'replace'
        )


def test_what_depends_on_other_keys_is_as_the_robot_spec_page_says() -> None:
    text = load_robot_spec('tabletop_sim').to_yaml()
    content = yaml.safe_load(text)
    content['joints']['state'] = {'topic': 'state', 'type': 'sensor_msgs/msg/JointState'}
    content['joints']['state']['joints'] = names = content['joints']['names']
    [told] = robot_spec_from_yaml(yaml.safe_dump(content), 'test').joints.state
    del content['joints']['state']['joints']
    [left_out] = robot_spec_from_yaml(yaml.safe_dump(content), 'test').joints.state
    assert left_out == told and told.message_names == told.joints == tuple(names)
    assert (told.scale, told.offset) == ((1.0,) * len(names), (0.0,) * len(names))


def test_the_robot_spec_page_names_every_type_and_encoding_of_images() -> None:
    camera, encodings = tables(section(page('robot_spec.md'), '`cameras`'))
    kind = next(row for row in camera.rows if row[0] == '`type`')
    assert tuple(codes(' '.join(kind))[1:]) == CAMERA_TYPES
    told = encodings.by_name('encodings')
    assert list(told) == [name.split('/')[-1] for name in CAMERA_TYPES]
    assert codes(told['Image']) == list(ENCODINGS)
    assert told['CompressedImage'] == 'JPEG and PNG'


@pytest.fixture(scope='module')
def episodes(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, h5py.File]:
    """Two rollouts with efforts, a leader and vectors, by whether they hold JPEGs."""
    folder = tmp_path_factory.mktemp('episodes')
    robot = with_vectors(robot_with_leader('told', list('abcde'), ['left', 'top'], W, H, 50.0))
    touch = robot.vectors['wrench'].model_copy(update={'window': 'last', 'count': 7})
    robot = robot.model_copy(update={'vectors': {**robot.vectors, 'touch': touch}})
    robot = with_depth(robot, W, H)
    return {
        compress: h5py.File(
            write_episode(
                folder / f'episode_00000{int(compress)}.hdf5', T, robot=robot, effort=True,
                compress=compress, driven=[(3, 5)],
            )
        )
        for compress in (False, True)
    }  # fmt: skip


UNTOLD = ('vectors/skin', 'vectors/touch')  # what another of their kind is told of


def kind_of(value: Any) -> str:
    """What the page calls the type of an attribute."""
    if isinstance(value, h5py.Empty):
        return 'bool, or empty'
    if isinstance(value, np.ndarray):
        return 'list of text'
    names = {str: 'text', np.bool_: 'bool', np.float64: 'float', np.int64: 'int64'}
    return names[type(value)]


def test_the_episode_page_has_a_row_for_every_name_with_shape_and_type(
    episodes: dict[bool, h5py.File],
) -> None:
    told: set[str] = set()
    ranks = set()
    for table in tables(section(page('episode_file.md'), '')):
        names: list[str] = []
        for cell, shape, kind, what in table.rows:
            names = codes(cell) or names
            for name in names:
                last = 'with `window: last`' in what
                vector = 'touch' if last else 'wrench'
                place = name.replace('STREAM', 'touch' if last else 'state').replace('CAM', 'top')
                place = place.replace('NAME', 'top' if 'depth' in name else vector)
                compress = not what.endswith('when `compress` is false')
                if cell.startswith('attributes of'):
                    told |= {f'{name}@{counter}' for counter in codes(what)}
                    attributes = episodes[compress][place].attrs
                    assert {kind_of(attributes[counter]) for counter in codes(what)} == {kind}
                elif name.startswith('/'):
                    told.add(name)
                    data = episodes[compress][place]
                    assert data.dtype.name == kind
                    sizes = {'T': T, 'J': J, 'cameras': CAMERAS, 'H': H, 'W': W, 'n': 3, '3': 3}
                    sizes |= {'padded': data.shape[-1], 'k': 7}
                    ranks |= {data.ndim} if 'CAM' in name else set()
                    assert data.shape == tuple(
                        sizes[part] for part in re.findall(r'\w+', shape)
                    ), name
                else:
                    told.add(f'@{name}')
                    assert kind_of(episodes[compress].attrs[name]) == kind
                    assert shape == ''
    assert ranks == {2, 4}, 'images as JPEG and as pixels'
    in_files = {name for file in episodes.values() for name in layout.dataset_names(file)}
    names_in_files = {
        re.sub('^/stamps/[^/]+', '/stamps/STREAM', f'/{name}'.replace('images/top', 'images/CAM'))
        .replace('vectors/wrench', 'vectors/NAME')
        .replace('depth/top', 'depth/NAME')
        for name in in_files
        if name not in {f'observations/{each}' for each in ('images/left', *UNTOLD)}
    }
    stamps = {f'/stamps/STREAM@{counter}' for counter in layout.COUNTERS}
    assert told == names_in_files | stamps | {f'@{name}' for name in layout.ATTRIBUTES}


def test_the_episode_page_says_what_format_and_source_hold() -> None:
    ours, theirs = tables(section(page('episode_file.md'), ''))
    formats = codes(theirs.by_name('what')['format'])
    assert formats == [layout.FORMAT, layout.FORMAT_MARKED, layout.STORAGE]
    rows = tables(section(page('episode_file.md'), 'Images'))[0].rows
    marked = [name for row in rows for name in codes(row[0]) if name != 'compress']
    assert marked == [layout.JPEG, *layout.MARKED_STORAGES]
    assert {name for row in rows for name in codes(row[2])} == set(layout.STORAGES)
    action = ours.by_name('what')['/action']
    assert {layout.LEADER, layout.NEXT_QPOS} <= {*re.findall('`([^`]+)`', action)}


def camera_words(scene: Scene) -> str:
    """How the page tells the cameras of a scene."""
    cameras = load_robot_spec(scene.robot).cameras
    [size] = {f'{camera.height}x{camera.width}' for camera in cameras.values()}
    names = ', '.join(f'`{name}`' for name in cameras)
    return f'{names} {size}, {scene.camera_rate_hz:g} Hz'


def scene_of_node(scene: Scene) -> str:
    """The name that sim_node has for a scene."""
    if scene.nodes is None:
        return 'none'
    assert simulation.SCENES[scene.nodes].robot == scene.robot
    return f'`{scene.nodes}`'


def joints_told(scene: Scene, cell: str) -> bool:
    """Whether a cell has the joints of a scene: `N joints and a gripper`, of each of two arms."""
    count = len(load_robot_spec(scene.robot).joints.names)
    if found := re.search(r'(\d+) joints and a gripper', cell):
        return count == (int(found[1]) + 1) * (2 if cell.endswith('each') else 1)
    return count == 3 and cell == 'that of `grasp`, told in space'


VERBS = {
    'sim:tabletop:grasp': 'lift',
    'sim:aloha:transfer_cube': 'hand',
    'sim:tabletop:push': 'push',
    'sim:tabletop:press': 'press',
}
UNITS = {
    'sim:tabletop:grasp': 'rad, finger in metres',
    'sim:aloha:transfer_cube': 'rad, grippers from 0 closed to 1 open',
    'sim:tabletop:push': 'x, y, z of the tool in metres',
    'sim:tabletop:press': 'rad, finger in metres',
}
SUCCESS = {
    'sim:tabletop:grasp': (
        f'lifted {100 * tabletop.LIFT_HEIGHT_M:g} cm for {tabletop.HOLD_DURATION_S:g} s'
    ),
    'sim:aloha:transfer_cube': (
        'held by the left gripper alone, off the table, for '
        f'{transfer_cube.HELD_STEPS} control steps '
        f'({transfer_cube.HELD_STEPS * transfer_cube.CONTROL_PERIOD_S:g} s) in a row'
    ),
    'sim:tabletop:push': (
        f'an object stands {100 * push.MOVED_M:g} cm from where it stood, none left the tray'
    ),
    'sim:tabletop:press': (
        f'pressed with {press.FORCE_N - press.TOLERANCE_N:g} to '
        f'{press.FORCE_N + press.TOLERANCE_N:g} N for {press.HOLD_DURATION_S:g} s on end, '
        f'never with more than {press.GREATEST_FORCE_N:g} N'
    ),
}
# By the fact that a row tells: whether a cell is right for a scene.
FACTS: dict[str, Callable[[Scene, str], bool]] = {
    'task': lambda scene, cell: VERBS[scene.name] in words(cell),
    'arm': joints_told,
    'robot spec': lambda scene, cell: cell == f'`{scene.robot}`',
    'success': lambda scene, cell: cell == SUCCESS[scene.name],
    'a trial ends after': lambda scene, cell: cell.split(' (')[0] == f'{scene.horizon_s:g} s',
    'places of the object': lambda scene, cell: (
        {scene.positions[0], scene.positions[-1]} <= {*codes(cell)}
    ),
    'cameras': lambda scene, cell: cell == camera_words(scene),
    'joints': lambda scene, cell: cell == UNITS[scene.name],
    '`scene` of sim_node': lambda scene, cell: cell == scene_of_node(scene),
    'taught by': lambda scene, cell: (
        ('over ROS topics' in cell) if scene.over_ros else cell.endswith('recorder')
    ),
    'scene files': lambda scene, cell: (
        'gym-aloha' in cell if 'aloha' in scene.name else cell == 'ours'
    ),
}


def test_the_scenes_page_tells_every_scene_as_it_is() -> None:
    for told in (VERBS, UNITS, SUCCESS):
        assert set(told) == set(SCENES), 'each scene has a line in VERBS, UNITS and SUCCESS'
    [scenes] = tables(section(page('scenes.md'), ''))
    assert scenes.header == ('', *(f'`{name}`' for name in SCENES))
    assert [row[0] for row in scenes.rows] == list(FACTS)
    for fact, *cells in scenes.rows:
        for scene, cell in zip(SCENES.values(), cells, strict=True):
            assert FACTS[fact](scene, cell), f'{fact} of {scene.name}: {cell}'


def test_the_scenes_page_tells_every_disturbance_and_what_it_draws() -> None:
    text = section(page('scenes.md'), 'Disturbances')
    [table] = tables(text)
    told = table.by_name('what happens')
    assert tuple(told) == DISTURBANCES
    low, high = disturbances.COVER_GREY
    assert f'a grey of {low:g} to {high:g} of 255' in told['camera-covered']
    assert f'for {disturbances.PUSH_S:g} s' in told['arm-pushed']
    assert 'gone' in words(told['cube-removed'])
    for scene in SCENES.values():
        if scene.reach is not None:
            begin, end = scene.reach.window_s
            assert f'{begin} to {end} s' in ' '.join(text.split())
            for joint, torque in scene.reach.pushes:
                assert f'`{joint}`' in told['arm-pushed']
                assert f'{torque:g} N m' in told['arm-pushed']
