# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The last messages of a vector in each row: in episodes, LeRobot sets, training and policies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recordings
from lerobot_sets import DATA, change_column, change_feature, read_info, write_set
from policy_examples import small_policy, small_robot, spec
from training_runs import SARNN_RUN, small_run

from motion_policy.cli.main import main
from motion_policy.control import PolicyRunner
from motion_policy.episodes import EpisodeError, EpisodeReader, EpisodeWriter, check_episode
from motion_policy.episodes.formats.lerobot.to_episodes import import_lerobot
from motion_policy.episodes.repair import repair
from motion_policy.errors import UserError
from motion_policy.policies import check_robot
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.training import train_config
from motion_policy.training.demonstrations import load_demonstrations
from motion_policy.training.train import no_progress

ROWS, COUNT = 40, 5
COLUMNS = ('wrench.force.x', 'wrench.force.y', 'wrench.force.z')


def with_last(robot: RobotSpec, count: int = COUNT) -> RobotSpec:
    """The robot with the last messages of its wrench, and the newest of a skin."""
    text = recordings.with_vectors(robot).to_yaml()
    last = f'window: last\n    count: {count}'
    return robot_spec_from_yaml(text.replace('window: newest', last, 1), 'arm')


ROBOT = with_last(recordings.tabletop().model_copy(update={'cameras': {}}))


def write(path: Path, robot: RobotSpec = ROBOT, rows: int = ROWS) -> EpisodeWriter:
    """Write rows of which the first has one message, the second two, ..."""
    writer = EpisodeWriter(path, robot, compress=False)
    for index in range(rows):
        row = recordings.row_at(index, robot)
        sample = replace(row.samples['wrench'], messages=min(index + 1, COUNT))
        row = replace(row, samples={**row.samples, 'wrench': sample})
        writer.append(row.time_ns, recordings.observation(index, robot), row)
    return writer


@pytest.fixture
def episode(tmp_path: Path) -> Path:
    path = tmp_path / 'there' / 'episode_000000.hdf5'
    write(path).close()
    return path


def expected(rows: int = ROWS) -> np.ndarray:
    numbers = [recordings.numbers(row, COUNT * 3) for row in range(rows)]
    return np.stack(numbers).reshape(rows, COUNT, 3)


def test_an_episode_has_them_with_how_many_there_were(
    episode: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_episode(episode) == []
    with EpisodeReader(episode) as reader, h5py.File(episode) as file:
        assert reader.robot == ROBOT
        np.testing.assert_array_equal(reader.vector('wrench'), expected())
        dataset = file['observations/vectors/wrench']
        assert (dataset.shape, dataset.dtype) == ((ROWS, COUNT, 3), np.float32)
        assert tuple(dataset.attrs['columns']) == COLUMNS
        assert reader.messages('wrench').tolist() == [1, 2, 3, 4, *[5] * (ROWS - 4)]
        assert 'messages' not in file['stamps/skin']
        with pytest.raises(EpisodeError, match="no vector 'skin' keeps the last messages"):
            reader.messages('skin')
    assert main(['inspect', str(episode)]) == 0
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'vectors wrench (the last 5 x 3, fewer in 4 of 40 rows), skin (4)' in shown
    part = tmp_path / 'crashed.hdf5.part'
    recordings.leave_as_a_crash(write(tmp_path / 'crashed.hdf5'), part)
    repaired = repair(part)
    assert check_episode(repaired.path) == [] and repaired.rows > 20
    with EpisodeReader(repaired.path) as reader:
        np.testing.assert_array_equal(reader.vector('wrench'), expected(repaired.rows))
        assert reader.messages('wrench')[3] == 4


def no_number(file: h5py.File) -> None:
    file['observations/vectors/wrench'][4, 2, 1] = np.nan


def too_many(file: h5py.File) -> None:
    file['stamps/wrench/messages'][3] = 6


def uncounted(file: h5py.File) -> None:
    del file['stamps/wrench/messages']


def flat(file: h5py.File) -> None:
    del file['observations/vectors/wrench']
    file['observations/vectors/wrench'] = np.zeros((ROWS, 15), np.float32)


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (no_number, "is not finite in 1 rows, the first is row 4, message 2, 'wrench.force.y': n"),
        (too_many, "'/stamps/wrench/messages' is 6 in row 3, expected 0..5"),
        (uncounted, "no '/stamps/wrench/messages'"),
        (flat, "'/observations/vectors/wrench' is (40, 15) float32, expected (40, 5, 3)"),
    ],
)
def test_what_is_wrong_with_them_is_named(episode: Path, damage: Any, words: str) -> None:
    with h5py.File(episode, 'r+') as file:
        damage(file)
    [problem] = check_episode(episode)
    assert words in problem


def test_lerobot_has_them_as_lists_of_lists_and_gives_them_back(
    episode: Path, tmp_path: Path
) -> None:
    there = write_set(episode.parent, tmp_path / 'set')
    feature = read_info(there)['features']['observation.wrench']
    assert feature == {'dtype': 'float32', 'shape': [COUNT, 3], 'names': list(COLUMNS)}
    table = pq.read_table(there / DATA)
    kind = table.schema.field('observation.wrench').type
    assert kind == pa.list_(pa.list_(pa.float32()))
    assert np.array(table['observation.wrench'][7].as_py()).tolist() == expected()[7].tolist()
    found = pq.read_table(there / 'meta/episodes/chunk-000/file-000.parquet')
    assert np.array(found['stats/observation.wrench/max'][0].as_py()).shape == (COUNT, 3)
    [(path, _)] = import_lerobot(there, ROBOT, tmp_path / 'here')
    assert check_episode(path) == []
    with EpisodeReader(path) as reader:
        np.testing.assert_array_equal(reader.vector('wrench'), expected())
        assert (reader.messages('wrench') == 0).all()  # a set does not say
    other = with_last(recordings.tabletop().model_copy(update={'cameras': {}}), 6)
    with pytest.raises(EpisodeError, match=r'wrench. has shape \[5, 3\], expected \[6, 3\]'):
        import_lerobot(there, other, tmp_path / 'other')
    change_feature(there, 'observation.wrench', names=['wrench.force.z', *COLUMNS[:2]])
    [(path, _)] = import_lerobot(there, ROBOT, tmp_path / 'turned')
    with EpisodeReader(path) as reader:
        np.testing.assert_array_equal(reader.vector('wrench'), expected()[..., [1, 2, 0]])
    for size, words in ((4, 'holds 4 lists in a row, expected 15'), (3, 'row 0 has 3 val')):
        change_column(there, 'observation.wrench', lambda rows, n=size: [[[0.0] * 3] * n] * ROWS)
        with pytest.raises(EpisodeError, match=words):
            import_lerobot(there, ROBOT, tmp_path / 'fewer')
    ragged = [row.tolist() for row in expected()]
    ragged[9][2] = [1.0, 2.0]
    change_column(there, 'observation.wrench', lambda rows: ragged)
    with pytest.raises(EpisodeError, match=r"'observation.wrench', row 47 has 2 values, expected"):
        import_lerobot(there, ROBOT, tmp_path / 'ragged')


def test_a_policy_sees_each_of_their_numbers(tmp_path: Path) -> None:
    robot = with_last(small_robot())
    for number in range(2):
        write(tmp_path / f'episode_{number:06d}.hdf5', robot).close()
    run = {**SARNN_RUN, 'inputs': ['skin', 'wrench']}
    config = train_config(small_run(tmp_path, tmp_path / 'run', **run))
    data = load_demonstrations(config, no_progress)
    [whole] = data.train[:1]
    assert whole.inputs is not None and whole.inputs.shape == (ROWS, 4 + COUNT * 3)
    assert whole.inputs[7, 4:].tolist() == recordings.numbers(7, COUNT * 3).tolist()
    ranges = data.range_normalisation()
    assert ranges.inputs is not None and len(ranges.inputs.offset) == 4 + COUNT * 3
    policy = small_policy(
        0, kind='sarnn', hyper={'rec_dim': 8, 'k_dim': 2}, robot=robot, inputs=('skin', 'wrench'),
        normalisation={**spec().normalisation.model_dump(), 'inputs': ranges.inputs.model_dump()},
    )  # fmt: skip
    assert policy.spec.input_columns[4:8] == (
        *(f'{each} (-4)' for each in COLUMNS),
        f'{COLUMNS[0]} (-3)',
    )
    runner = PolicyRunner(policy, robot)
    runner.warm_up(1)
    seen = recordings.observation(7, robot)
    chunks = [runner.infer(seen, explain=False)[0]]
    for message in range(COUNT):
        changed = seen.vectors['wrench'].copy()
        changed[message, 1] += 20
        runner.reset()
        chunks.append(
            runner.infer(replace(seen, vectors={**seen.vectors, 'wrench': changed}), False)[0]
        )
    assert len({chunk.tobytes() for chunk in chunks}) == COUNT + 1
    check_robot(policy, with_last(small_robot()))
    with pytest.raises(
        UserError, match=r"'wrench' was the last 5 in training, but .* window: last 6"
    ):
        check_robot(policy, with_last(small_robot(), 6))
