# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A rollout says in every row who drove, and what the policy would have had."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from policy_examples import small_robot
from recordings import (
    driven_row,
    leave_as_a_crash,
    observation,
    row_at,
    tabletop,
    write_episode,
)

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeError, EpisodeReader, EpisodeWriter, repair_episode
from motion_policy.episodes.rollouts import (
    Interventions,
    RolloutRow,
    all_interventions,
    interventions_of,
)

DRIVEN = [(0, 2), (7, 9)]


def test_what_was_driven_comes_back_to_the_bit(tmp_path: Path) -> None:
    with EpisodeReader(write_episode(tmp_path / 'a.hdf5', 12, driven=DRIVEN)) as rollout:
        assert rollout.intervention is not None
        assert rollout.policy_action is not None
        assert np.flatnonzero(rollout.intervention).tolist() == [0, 1, 7, 8]
        assert rollout.policy_action.dtype == np.float64
        assert np.isnan(rollout.policy_action[0]).all()
        for row in range(1, 12):
            wanted = driven_row(row, tabletop(), DRIVEN).policy_action
            np.testing.assert_array_equal(rollout.policy_action[row], wanted)


def test_a_demonstration_has_neither(tmp_path: Path) -> None:
    with EpisodeReader(write_episode(tmp_path / 'a.hdf5', 3)) as plain:
        assert plain.intervention is plain.policy_action is None
    with h5py.File(tmp_path / 'a.hdf5') as file:
        assert not {'intervention', 'policy_action'} & {*file}


def test_all_rows_say_who_drove_or_none(tmp_path: Path) -> None:
    robot = tabletop()
    for first, then in ((RolloutRow(False), None), (None, RolloutRow(False))):
        writer = EpisodeWriter(tmp_path / 'a.hdf5', robot)
        writer.append(row_at(0, robot).time_ns, observation(0, robot), row_at(0, robot), first)
        with pytest.raises(EpisodeError, match='row 1 says'):
            writer.append(row_at(1, robot).time_ns, observation(1, robot), row_at(1, robot), then)
        writer.discard()
    writer = EpisodeWriter(tmp_path / 'a.hdf5', robot)
    with pytest.raises(EpisodeError, match=r'policy_action is \(4,\), expected \(5,\)'):
        writer.append(
            row_at(0, robot).time_ns, observation(0, robot), row_at(0, robot),
            RolloutRow(False, np.zeros(4)),
        )  # fmt: skip
    writer.discard()


def test_a_crash_leaves_who_drove(tmp_path: Path) -> None:
    path, robot = tmp_path / 'a.hdf5', tabletop()
    writer = EpisodeWriter(path, robot)
    for index in range(60):
        row, who = row_at(index, robot), driven_row(index, robot, DRIVEN)
        writer.append(row.time_ns, observation(index, robot), row, who)
    leave_as_a_crash(writer, tmp_path / 'a.hdf5.part')
    repair_episode(tmp_path / 'a.hdf5.part')
    with EpisodeReader(path) as rollout:
        assert rollout.length >= 25
        assert rollout.intervention is not None
        assert np.flatnonzero(rollout.intervention).tolist() == [0, 1, 7, 8]


def test_datasets_are_held_to_their_type_and_the_policy_to_numbers(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'a.hdf5', 9, driven=DRIVEN)
    with h5py.File(path, 'a') as file:
        file['policy_action'][7, 1] = np.inf
    with EpisodeReader(path) as rollout, pytest.raises(EpisodeError, match="row 7, joint 'joint2"):
        _ = rollout.policy_action
    with h5py.File(path, 'a') as file:
        del file['intervention']
        file['intervention'] = np.zeros(9, np.uint8)
    with pytest.raises(EpisodeError, match=r"'/intervention' .*expected \(9,\) bool"):
        EpisodeReader(path)


def test_interventions_are_counted_where_they_begin() -> None:
    driven = np.zeros(600, dtype=bool)
    driven[[0, 1, 5, 599]] = True
    one = interventions_of(driven, 50.0)
    assert one == Interventions(1, 600, 4, 3, 0.2)
    assert one.per_minute == pytest.approx(15)
    none = interventions_of(np.zeros(1200, dtype=bool), 50.0)
    both = all_interventions([one, None, none])
    assert both is not None
    assert both.to_json() == {
        'rollouts': 2, 'rows': 1800, 'human_rows': 4, 'human_share': pytest.approx(4 / 1800),
        'minutes': pytest.approx(0.6), 'interventions': 3,
        'interventions_per_minute': pytest.approx(5),
    }  # fmt: skip
    assert str(both) == '3 interventions, 5.0 per minute; a person drove in 0 % of the rows'
    assert all_interventions([None]) is None


def test_check_inspect_and_their_json_tell_how_often_a_person_took_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / 'data'
    data.mkdir()
    for number, driven in enumerate((DRIVEN, [], None)):
        write_episode(
            data / f'episode_00000{number}.hdf5', 25, driven=driven,
            robot=small_robot(), compress=False,
        )  # fmt: skip
    line = '2 interventions, 120.0 per minute; a person drove in 8 % of the rows'
    told = tmp_path / 'told.json'
    assert main(['check', str(data), '--json', str(told)]) == 0
    assert f'2 of them are rollouts of a policy: {line}' in capsys.readouterr().out
    first, second = json.loads(told.read_text())['rollouts'].values()
    assert (first['interventions'], second['interventions']) == (2, 0)
    assert main(['inspect', str(data), '--json', str(told)]) == 0
    assert f'rollouts: {line}' in capsys.readouterr().out
    entries = json.loads(told.read_text())['inspected']
    assert [entry['rollout'] and entry['rollout']['human_rows'] for entry in entries] == [
        4,
        0,
        None,
    ]
    assert main(['inspect', str(data / 'episode_000002.hdf5')]) == 0
    assert 'rollout' not in capsys.readouterr().out


def test_an_export_says_that_who_drove_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, driven in enumerate((DRIVEN, None)):
        path = tmp_path / 'data' / f'episode_00000{number}.hdf5'
        write_episode(path, 5, driven=driven, robot=small_robot(), compress=False)
    command = ['export', str(tmp_path / 'data'), '--out', str(tmp_path / 'aloha'), '--to', 'aloha']
    assert main(command) == 0
    assert 'note 1 of 2 episodes are rollouts of a policy' in capsys.readouterr().out
    with h5py.File(tmp_path / 'aloha' / 'episode_0.hdf5') as file:
        assert 'intervention' not in file
