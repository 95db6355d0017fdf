# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Columns of a data set of LeRobot go by their names, and numbers by the units that are said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from lerobot_sets import (
    CAMERAS,
    KEYS,
    ROBOT,
    change_column,
    change_feature,
    change_info,
    imported,
    positions,
    read_info,
    with_order,
)

from motion_policy.episodes import (
    EpisodeError,
)
from motion_policy.episodes.formats.lerobot import to_episodes as lerobot_import
from motion_policy.errors import UserError
from motion_policy.robot import load_robot_spec, robot_spec_from_yaml

pytestmark = pytest.mark.slow


def test_our_own_export_goes_to_a_robot_of_another_order_by_name(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path
) -> None:
    order = [13, *range(13)]
    notes = imported(lerobot_set, tmp_path / 'out', with_order(ROBOT, order))
    assert any('in another order than the robot, by name' in note for note in notes)
    for name in ('qpos', 'qvel', 'effort', 'action'):
        for ours, theirs in zip(
            positions(lerobot_episodes, name), positions(tmp_path / 'out', name), strict=True
        ):
            np.testing.assert_array_equal(ours[:, order], theirs)
            assert not np.array_equal(ours, theirs)


NAMES = list(ROBOT.joints.names)


@pytest.mark.parametrize(
    'names',
    [
        [f'{name}.pos' for name in NAMES],
        {'motors': [f'main_{name}' for name in NAMES]},
        [NAMES],
        {name: place for place, name in enumerate(NAMES)},
        [f'motor_{number}' for number in range(14)],
        ['state'],
        None,
    ],
    ids=['pos', 'motors', 'a list within a list', 'places', 'numbered', 'one for all', 'none'],
)
def test_every_way_to_name_columns_is_read(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path, names: Any
) -> None:
    for vector in ('observation.state', 'action'):
        change_feature(lerobot_set, vector, names=names)
    notes = imported(lerobot_set, tmp_path / 'out')
    for ours, theirs in zip(positions(lerobot_episodes), positions(tmp_path / 'out'), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    unnamed = any('no names of joints in observation.state, action' in note for note in notes)
    assert unnamed is (names is None or names == ['state'] or 'motor_0' in names)


@pytest.mark.parametrize(
    'described',
    [
        {'dtype': 'float32', 'shape': [2], 'names': [0, 1]},
        {'dtype': 'float32', 'shape': [0], 'names': None},
        {'dtype': 'float32', 'shape': 2},
        3,
    ],
)
def test_how_a_feature_is_described_that_is_not_read_does_not_matter(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path, described: Any
) -> None:
    info = read_info(lerobot_set)
    change_info(lerobot_set, features={**info['features'], 'observation.touch': described})
    notes = imported(lerobot_set, tmp_path / 'out')
    assert any('observation.touch is left out' in note for note in notes)
    for ours, theirs in zip(positions(lerobot_episodes), positions(tmp_path / 'out'), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_state_and_action_are_matched_apart(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path
) -> None:
    change_feature(lerobot_set, 'action', names=NAMES[::-1])
    imported(lerobot_set, tmp_path / 'out')
    for name, step in (('qpos', 1), ('action', -1)):
        for ours, theirs in zip(
            positions(lerobot_episodes, name), positions(tmp_path / 'out', name), strict=True
        ):
            np.testing.assert_array_equal(ours[:, ::step], theirs)


def test_other_names_are_refused_with_both_lists_until_they_are_said(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path
) -> None:
    other = ['base', *NAMES[1:]]
    for vector in ('observation.state', 'observation.velocity', 'observation.effort', 'action'):
        change_feature(lerobot_set, vector, names=other)
    with pytest.raises(UserError) as error:
        imported(lerobot_set, tmp_path / 'out')
    assert ', '.join(other) in str(error.value) and ', '.join(NAMES) in str(error.value)
    assert "'observation.state': has the names" in str(error.value)
    with pytest.raises(EpisodeError, match="--joints: 'arm': robot 'two_arms'"):
        imported(lerobot_set, tmp_path / 'out', joints={'arm': 'base'})
    imported(lerobot_set, tmp_path / 'out', joints={NAMES[0]: 'base'})
    np.testing.assert_array_equal(positions(tmp_path / 'out')[0], positions(lerobot_episodes)[0])
    change_feature(lerobot_set, 'action', names=[NAMES[0], *NAMES[:-1]])
    with pytest.raises(UserError, match='expected the same names, each once'):
        imported(lerobot_set, tmp_path / 'again', joints={NAMES[0]: 'base'})


def so101(lerobot_set: Path, tmp_path: Path, values: Callable[[int], list[float]]) -> Any:
    """Turn the set into one of an SO-101, with `values` in row 0, 1, ...; return its robot."""
    robot = yaml.safe_load(load_robot_spec('so101').to_yaml())
    camera = CAMERAS[0]
    robot['cameras'] = {camera: yaml.safe_load(ROBOT.to_yaml())['cameras'][camera]}
    robot['rate'] = 50.0
    spec = robot_spec_from_yaml(yaml.safe_dump(robot), 'test')
    features = read_info(lerobot_set)['features']
    names = [f'{name}.pos' for name in spec.joints.names]
    for vector in ('observation.state', 'action'):
        change_column(
            lerobot_set,
            vector,
            lambda rows: pa.array([values(k) for k in range(len(rows))], pa.list_(pa.float32())),
        )
        features[vector] |= {'shape': [6], 'names': names}
    for name in ('observation.velocity', 'observation.effort', KEYS[1]):
        del features[name]
    change_info(lerobot_set, features=features, robot_type='so101_follower')
    return spec


def test_degrees_are_refused_with_their_numbers_and_converted_when_that_is_said(
    lerobot_set: Path, tmp_path: Path
) -> None:
    arm = so101(lerobot_set, tmp_path, lambda row: [2.0 * row, -80, 70, 20, -10, 5.0 * row])
    with pytest.raises(UserError, match=r"'shoulder_pan' goes from 0 to 36 .*--units degrees"):
        imported(lerobot_set, tmp_path / 'out', arm)
    assert not list(tmp_path.glob('out/*'))
    notes = imported(lerobot_set, tmp_path / 'out', arm, units='degrees')
    assert any('units are converted: shoulder_pan 0.0174533 * x' in note for note in notes)
    found = np.concatenate(positions(tmp_path / 'out'))
    np.testing.assert_allclose(found[:, 0], np.deg2rad(2.0 * np.arange(19)), rtol=1e-6)
    np.testing.assert_allclose(found[0, 1:5], np.deg2rad([-80, 70, 20, -10]), rtol=1e-6)
    # The gripper counts from closed, 0, to open, 100: here from -0.174533 to 1.74533 rad.
    np.testing.assert_allclose(found[10, 5], -0.174533 + 0.5 * (1.74533 + 0.174533), rtol=1e-6)
    imported(lerobot_set, tmp_path / 'as they are', arm, units='rad', any_speed=True)
    assert positions(tmp_path / 'as they are')[0][1, 0] == 2.0


def test_the_range_of_a_joint_is_that_of_its_limits(lerobot_set: Path, tmp_path: Path) -> None:
    arm = so101(lerobot_set, tmp_path, lambda row: [-100, 100, 0, 50, -50, 100])
    imported(lerobot_set, tmp_path / 'out', arm, units='normalized')
    low, high = arm.joints.limits.position_array().T
    middle, half = (low + high) / 2, (high - low) / 2
    expected = middle + half * np.array([-1, 1, 0, 0.5, -0.5, 1])
    np.testing.assert_allclose(positions(tmp_path / 'out')[0][0], expected, rtol=1e-6)


def test_units_need_a_robot_and_unlikely_ones_are_said(lerobot_set: Path, tmp_path: Path) -> None:
    arm = so101(lerobot_set, tmp_path, lambda row: [0.1 * row, 0, 0, 0, 0, 0])
    assert any(
        'goes from 0 to 1.8 only, taken as degrees' in note
        for note in imported(lerobot_set, tmp_path / 'out', arm, units='degrees')
    )
    so101_placeholder = lerobot_import.placeholder_for([lerobot_set])
    assert so101_placeholder.joints.names == arm.joints.names
    with pytest.raises(UserError, match='--units degrees: expected --robot'):
        imported(lerobot_set, tmp_path / 'out', so101_placeholder, units='degrees')


def test_efforts_that_are_nan_cost_no_positions(
    lerobot_set: Path, lerobot_episodes: Path, tmp_path: Path
) -> None:
    def some_nan(values: list[Any]) -> pa.Array:
        values[2] = [float('nan')] * 14
        return pa.array(values, pa.list_(pa.float32(), 14))

    change_column(lerobot_set, 'observation.effort', some_nan)
    notes = imported(lerobot_set, tmp_path / 'out')
    told = "'/observations/effort' is left out: not reported in 1 of 9 rows, the first is row 2"
    assert [told in note for note in notes].count(True) == 1
    for name, became in (('velocity', 'zero'), ('effort', 'left out')):
        change_column(
            lerobot_set,
            f'observation.{name}',
            lambda rows: pa.array([[float('nan')] * 14 for _ in rows], pa.list_(pa.float32(), 14)),
        )
        notes = imported(lerobot_set, tmp_path / name)
        told = f'observation.{name} is {became}: NaN in all rows of 3 of 3 episodes'
        assert [told in note for note in notes].count(True) == 1
    for ours, theirs in zip(positions(lerobot_episodes), positions(tmp_path / 'out'), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    efforts = positions(tmp_path / 'out', 'effort')
    assert [effort is None for effort in efforts] == [True, False, False]
