# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors become features of LeRobot with the names of their columns, and come back to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recordings
from lerobot_sets import DATA, change_column, change_feature, read_info, replaced, write_set

from motion_policy.episodes import EpisodeError, EpisodeReader, check_episode
from motion_policy.episodes.formats.lerobot.to_episodes import import_lerobot
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

LENGTHS = (30, 12)
TEXT = recordings.tabletop().model_copy(update={'cameras': {}}).to_yaml()
ONE = """  lift: {topic: lift, type: std_msgs/msg/Float64, fields: [data]}
"""


def robot(changes: dict[str, str] | None = None) -> RobotSpec:
    """A blind arm with a wrench, a skin and a lift of one number."""
    text = recordings.with_vectors(robot_spec_from_yaml(TEXT, 'arm')).to_yaml() + ONE
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    return robot_spec_from_yaml(text, 'arm')


@pytest.fixture
def lerobot_set(tmp_path: Path) -> Path:
    for number, rows in enumerate(LENGTHS):
        recordings.write_episode(
            tmp_path / 'there' / f'episode_{number:06d}.hdf5', rows, robot=robot()
        )
    return write_set(tmp_path / 'there', tmp_path / 'set')


def test_vectors_go_out_with_their_names_and_come_back(lerobot_set: Path, tmp_path: Path) -> None:
    features = read_info(lerobot_set)['features']
    for name, vector in robot().vectors.items():
        columns = list(vector.columns)
        assert features[f'observation.{name}'] == {
            'dtype': 'float32', 'shape': [len(columns)], 'names': columns
        }  # fmt: skip
    table = pq.read_table(lerobot_set / DATA)
    assert table.schema.field('observation.lift').type == pa.float32()
    assert table.schema.field('observation.skin').type == pa.list_(pa.float32(), 4)
    told: list[str] = []
    pairs = import_lerobot(lerobot_set, robot(), tmp_path / 'here', note=told.append)
    for (path, _), rows in zip(pairs, LENGTHS, strict=True):
        assert check_episode(path) == []
        with EpisodeReader(path) as episode:
            assert episode.robot.vectors == robot().vectors
            for name, width in (('wrench', 3), ('skin', 4), ('lift', 1)):
                expected = np.stack([recordings.numbers(row, width) for row in range(rows)])
                np.testing.assert_array_equal(episode.vector(name), expected)
    assert not any('observation.' in line for line in told)


def test_a_message_in_a_spec_stands_for_its_numbers(lerobot_set: Path, tmp_path: Path) -> None:
    """As a recorder and a bag take the same spec."""
    axes = [f'wrench.force.{axis}' for axis in 'xyz']
    short = robot({f'[{", ".join(axes)}]': '[wrench.force]'})
    pairs = import_lerobot(lerobot_set, short, tmp_path / 'here')
    with EpisodeReader(pairs[0][0]) as episode:
        assert episode.robot.vectors == robot().vectors
    # Nobody here knows this type: the names in the set say what its numbers are.
    change_feature(
        lerobot_set, 'observation.wrench', names=['pad.n', 'pad.cells[0]', 'pad.cells[1]']
    )
    unknown = robot(
        {f'[{", ".join(axes)}]': '[pad]', 'geometry_msgs/msg/Wrench': 'my_msgs/msg/Pad'}
    )
    pairs = import_lerobot(lerobot_set, unknown, tmp_path / 'there')
    with EpisodeReader(pairs[0][0]) as episode:
        assert episode.robot.vectors['wrench'].fields == ('pad.n', 'pad.cells[2]')
        assert episode.vector('wrench')[7].tolist() == recordings.numbers(7, 3).tolist()


def test_a_field_that_the_type_has_not_is_one_line(lerobot_set: Path, tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match=r"vectors\.wrench: 'wrench\.forse\.x': .* no field"):
        import_lerobot(lerobot_set, robot({'wrench.force.x': 'wrench.forse.x'}), tmp_path / 'here')


def test_columns_in_another_order_go_by_their_names(lerobot_set: Path, tmp_path: Path) -> None:
    axes = ('z', 'x', 'y')
    change_feature(lerobot_set, 'observation.wrench', names=[f'wrench.force.{a}' for a in axes])
    pairs = import_lerobot(lerobot_set, robot(), tmp_path / 'here')
    with EpisodeReader(pairs[0][0]) as episode:
        expected = np.stack([recordings.numbers(row, 3) for row in range(30)])[:, [1, 2, 0]]
        np.testing.assert_array_equal(episode.vector('wrench'), expected)


@pytest.mark.parametrize('names', [['fx', 'fy', 'fz'], None])
def test_columns_with_other_names_are_taken_in_their_order_and_told(
    lerobot_set: Path, tmp_path: Path, names: list[str] | None
) -> None:
    change_feature(lerobot_set, 'observation.wrench', names=names)
    told: list[str] = []
    pairs = import_lerobot(lerobot_set, robot(), tmp_path / 'here', note=told.append)
    with EpisodeReader(pairs[0][0]) as episode:
        assert episode.vector('wrench')[7].tolist() == recordings.numbers(7, 3).tolist()
    called = 'are called fx, fy, fz' if names else 'have no names'
    line = f"the columns of 'wrench' {called}: taken as wrench.force.x, wrench.force.y, wrench"
    assert sum(line in each for each in told) == 1


def test_what_the_set_or_the_robot_has_not_is_left_out_and_told(
    lerobot_set: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    without_skin = robot_spec_from_yaml(TEXT + f'vectors:\n{ONE}{ONE.replace("lift", "door")}', '')
    pairs = import_lerobot(lerobot_set, without_skin, tmp_path / 'here', note=told.append)
    with EpisodeReader(pairs[0][0]) as episode:
        assert list(episode.robot.vectors) == ['lift']
    assert any(f"has no door; the episodes' robot is '{without_skin.name}'" in e for e in told)
    assert any('observation.wrench, observation.skin is left out' in each for each in told)


def test_another_number_of_columns_is_one_line(lerobot_set: Path, tmp_path: Path) -> None:
    wider = robot({'data[4]': 'data[5]'})
    with pytest.raises(EpisodeError, match=r'skin. has shape \[4\], expected \[5\]: data\[5\]$'):
        import_lerobot(lerobot_set, wider, tmp_path / 'here')
    assert not (tmp_path / 'here').exists()


def test_a_number_that_is_none_is_one_line(lerobot_set: Path, tmp_path: Path) -> None:
    change_column(lerobot_set, 'observation.lift', replaced(5, float('nan')))
    with pytest.raises(EpisodeError, match=r"'observation.lift', row 5, column 0 is nan"):
        import_lerobot(lerobot_set, robot(), tmp_path / 'here')


def test_rows_with_times_of_their_own_bring_their_vectors(
    lerobot_set: Path, tmp_path: Path
) -> None:
    times = np.concatenate([np.arange(rows) * 0.03 for rows in LENGTHS])
    change_column(lerobot_set, 'timestamp', lambda rows: times.astype(np.float32))
    averaged = robot({'newest': 'mean'})
    pairs = import_lerobot(lerobot_set, averaged, tmp_path / 'here')
    with EpisodeReader(pairs[0][0]) as episode:
        rows = np.floor(np.arange(episode.length) * 0.02 / 0.03 + 1e-6)
        np.testing.assert_array_equal(episode.vector('lift')[:, 0], rows)
        np.testing.assert_array_equal(episode.vector('skin')[:, 1], rows + 0.25)


def test_a_vector_that_lerobot_would_take_for_joints_is_refused(tmp_path: Path) -> None:
    odd = robot({'lift:': 'velocity:'})
    recordings.write_episode(tmp_path / 'there' / 'episode_000000.hdf5', 5, robot=odd)
    with pytest.raises(EpisodeError, match=r"vector 'velocity': 'observation.velocity' is of"):
        write_set(tmp_path / 'there', tmp_path / 'set')
    assert not (tmp_path / 'set').exists()
