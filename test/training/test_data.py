# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Demonstrations come into memory as they were recorded, and bad ones are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from policy_examples import small_robot, write_demonstrations
from recordings import joint_values, scene, write_episode

from motion_policy.episodes import layout, reader
from motion_policy.episodes.hdf5.file import HdfFile
from motion_policy.errors import UserError
from motion_policy.policies.normalisation import resize_images
from motion_policy.training import TrainConfig, train_config
from motion_policy.training.demonstrations import (
    Demonstrations,
    load_demonstrations,
    split_episodes,
)
from motion_policy.training.frame_dataset import FrameDataset, FrameSampler, collate_frames
from motion_policy.training.sequence_dataset import (
    SequenceDataset,
    SequenceSampler,
    collate,
    generator_for,
)
from motion_policy.training.train import no_progress

torch.set_num_threads(1)


def config(train: Any, **changes: Any) -> TrainConfig:
    data = {'train': train, 'validation': changes.pop('validation', 0.0)}
    data |= {key: changes.pop(key) for key in ('failures',) if key in changes}
    given = {
        'policy': {'kind': 'sarnn'}, 'data': data, 'output': 'unused', 'cameras': 'top',
        'image_size': (12, 16), 'epochs': 1,
    }  # fmt: skip
    return train_config({**given, **changes})


def load(train: Any, **changes: Any) -> Demonstrations:
    return load_demonstrations(config(train, **changes), no_progress)


def complaint(train: Any, **changes: Any) -> str:
    with pytest.raises(UserError) as raised:
        load(train, **changes)
    assert '\n' not in str(raised.value)
    return str(raised.value)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp('data') / 'demos', (40, 33, 27, 40))


def test_rows_are_those_of_the_file_and_images_those_that_the_policy_will_see(
    folder: Path,
) -> None:
    data = load(str(folder))
    assert data.stride == 5
    assert [episode.length for episode in data.train] == [40, 33, 27, 40]
    episode = data.train[1]
    assert np.array_equal(episode.qpos[7].numpy(), joint_values(7))
    assert np.allclose(episode.action[7].numpy(), joint_values(7) + 0.01)
    seen = resize_images(torch.from_numpy(scene(7, 24, 32))[None], (12, 16))[0]
    assert torch.equal(episode.images['top'][7], seen)


def test_the_range_comes_from_the_training_episodes_and_covers_joints_at_rest(
    folder: Path,
) -> None:
    data = load(str(folder), validation=0.25)
    qpos = torch.cat([episode.qpos for episode in data.train])
    given = data.range_normalisation().qpos
    assert given.min == pytest.approx(qpos.amin(0).tolist())
    still = Demonstrations(data.robot, data.train[:1], (), 5)
    still.train[0].qpos[:] = 0.5
    ranges = still.range_normalisation().qpos
    spans = [high - low for low, high in zip(ranges.min, ranges.max, strict=True)]
    assert spans == pytest.approx([0.056, 0.034, 0.032, 0.038, 0.00029], rel=1e-3)


def test_every_phase_is_a_sequence_at_the_rate_of_the_policy(folder: Path) -> None:
    data = load(str(folder))
    sequences = SequenceDataset(data.train, data.stride)
    for phase in range(5):
        sequence = sequences[1, phase]
        rows = range(phase, 33, 5)
        assert np.array_equal(sequence.qpos.numpy(), np.stack([joint_values(t) for t in rows]))
        assert len(sequence.images['top']) == len(rows)


def test_a_batch_marks_what_is_padding(folder: Path) -> None:
    data = load(str(folder))
    sequences = SequenceDataset(data.train, data.stride)
    batch = collate([sequences[0, 0], sequences[2, 4]])
    assert batch.mask.tolist() == [[True] * 8, [True] * 5 + [False] * 3]
    assert batch.images['top'].shape == (2, 8, 12, 16, 3)
    assert batch.images['top'].dtype == torch.uint8
    assert not batch.qpos[1, 5:].any()


def test_an_epoch_shows_every_episode_once_and_depends_on_its_number_alone() -> None:
    order = SequenceSampler(9, 5, seed=3)
    order.set_epoch(4)
    first = list(order)
    assert sorted(episode for episode, _ in first) == list(range(9))
    assert list(order) == first
    again = SequenceSampler(9, 5, seed=3)
    again.set_epoch(4)
    assert list(again) == first
    again.set_epoch(5)
    assert list(again) != first
    phases = set()
    for epoch in range(20):
        order.set_epoch(epoch)
        phases |= {phase for episode, phase in order if episode == 0}
    assert phases == {0, 1, 2, 3, 4}


def test_processes_share_an_epoch_evenly() -> None:
    shares = [list(SequenceSampler(7, 5, 0, rank=rank, processes=3)) for rank in range(3)]
    assert [len(share) for share in shares] == [3, 3, 3]
    assert {episode for share in shares for episode, _ in share} == set(range(7))


def test_generators_differ_by_any_number() -> None:
    drawn = {
        float(torch.rand(1, generator=generator_for(*numbers)))
        for numbers in ((0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 1), (0, 1, 0))
    }
    assert len(drawn) == 7


def test_a_share_of_the_episodes_is_held_back_the_same_ones_each_time(folder: Path) -> None:
    given = config(str(folder), validation=0.25).data
    train, validation = split_episodes(given, seed=0)
    assert (len(train), len(validation)) == (3, 1)
    assert split_episodes(given, seed=0) == (train, validation)
    assert set(train) | set(validation) == set(folder.iterdir())
    tiny = config(str(folder), validation=0.01).data
    assert len(split_episodes(tiny, seed=0)[1]) == 1
    everything = config(str(folder), validation=0).data
    assert split_episodes(everything, seed=0)[1] == []


def test_validation_may_be_named(folder: Path) -> None:
    parts = [str(folder / '*00[012].hdf5')], [str(folder / 'episode_000003.hdf5')]
    data = load(parts[0], validation=parts[1])
    assert (len(data.train), len(data.validation)) == (3, 1)
    both = complaint(str(folder), validation=parts[1])
    assert 'episode_000003.hdf5: is in data.train and in data.validation' in both


def test_failures_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    for index, success in enumerate((True, False, None)):
        path = tmp_path / f'episode_{index:06d}.hdf5'
        write_episode(path, 20, robot=small_robot(), success=success)
    assert len(load(str(tmp_path)).train) == 2
    assert len(load(str(tmp_path), failures=True).train) == 3
    only = complaint(str(tmp_path / 'episode_000001.hdf5'))
    assert 'none of the 1 episodes is a success' in only


def test_every_episode_is_checked_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check, checked = reader.check_datasets, []

    def noting(file: HdfFile, *arguments: Any) -> int:
        checked.append(file.path)
        return check(file, *arguments)

    monkeypatch.setattr(reader, 'check_datasets', noting)
    load([str(folder)])
    assert sorted(checked) == sorted(folder.iterdir())


def test_the_fingerprint_tells_data_apart(folder: Path, tmp_path: Path) -> None:
    told = load(str(folder)).fingerprint()
    assert told['episodes'] == 4
    assert told['rows'] == 140
    assert load(str(folder)).fingerprint() == told
    other = write_demonstrations(tmp_path / 'demos', (40, 33, 27, 41))
    assert load(str(other)).fingerprint()['sha256'] != told['sha256']


def test_what_does_not_fit_is_named(folder: Path, tmp_path: Path) -> None:
    assert complaint(str(tmp_path)).startswith(f'{tmp_path}: holds no episode')
    assert "data.train: nothing matches 'no/*.hdf5'" in complaint('no/*.hdf5')
    assert "has no camera 'front', but: top, side" in complaint(str(folder), cameras='front')
    rate = complaint(str(folder), rate=7.0)
    assert 'episode_000000.hdf5: has 50 rows per second, of which rate=7 is no whole' in rate
    short = write_episode(tmp_path / 'episode_000000.hdf5', 10, robot=small_robot())
    assert f'{short}: 10 rows, expected at least 11' in complaint(str(short))


@pytest.mark.parametrize(
    ('dataset', 'name'),
    [('action', 'action'), ('observations/qpos', 'qpos'), ('observations/effort', 'effort')],
)
def test_a_number_that_is_none_is_named_with_its_row_and_joint(
    tmp_path: Path, dataset: str, name: str
) -> None:
    path = write_episode(tmp_path / 'episode_000000.hdf5', 20, robot=small_robot())
    with h5py.File(path, 'r+') as file:
        file[dataset][7, 2] = np.nan
    line = complaint(str(path), effort=True)
    assert line.startswith(f"{path}: '/{dataset}' is not finite in 1 rows")
    assert "row 7, joint 'joint3': nan" in line
    if name == 'effort':
        assert load(str(path)).train[0].effort is None


def test_efforts_are_read_where_they_are_asked_for(folder: Path, tmp_path: Path) -> None:
    assert load(str(folder)).train[0].effort is None
    assert load(str(folder)).range_normalisation().effort is None
    data = load(str(folder), effort=True, validation=0.25)
    episode = data.train[0]
    assert np.allclose(episode.effort[7].numpy(), 2 * joint_values(7))
    given = data.range_normalisation().effort
    efforts = torch.cat([episode.effort for episode in data.train])
    assert given.min == pytest.approx(efforts.amin(0).tolist())
    assert data.fingerprint()['sha256'] != load(str(folder), validation=0.25).fingerprint()
    batch = collate([SequenceDataset(data.train, 5)[0, 3]])
    assert np.allclose(batch.effort[0, 1].numpy(), 2 * joint_values(8))
    without = write_episode(tmp_path / 'a.hdf5', 20, robot=small_robot(), effort=False)
    line = f'{without}: has no efforts, expected them with effort=true'
    assert complaint(str(without), effort=True) == line


def test_one_episode_is_enough_to_learn_from(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'episode_000000.hdf5', 20, robot=small_robot())
    data = load(str(path), validation=0.1)
    assert (len(data.train), len(data.validation)) == (1, 0)


def test_a_frame_is_enough_for_an_autoencoder_but_is_no_sequence(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'episode_000000.hdf5', 1, robot=small_robot())
    line = f'{path}: 1 rows, expected at least 11: two steps at 10 Hz'
    assert complaint(str(path)) == line
    autoencoder = {'policy': {'kind': 'cae'}, 'image_size': (32, 32)}
    data = load(str(path), **autoencoder)
    assert FrameDataset(data.train).every(5) == [(0, 0)]
    with h5py.File(path, 'r+') as file:
        for name in layout.dataset_names(file):
            file[name].resize(0, axis=layout.row_axis(name))
    assert "'/time_ns' is empty, expected at least one row" in complaint(str(path), **autoencoder)


def test_frames_are_those_of_the_episodes(folder: Path) -> None:
    data = load(str(folder), cameras=('top', 'side'))
    frames = FrameDataset(data.train)
    assert len(frames) == 140
    assert frames.every(20) == [(0, 0), (0, 20), (1, 0), (1, 20), (2, 0), (2, 20), (3, 0), (3, 20)]
    batch = collate_frames([frames[1, 4], frames[3, 39]])
    assert batch.size == 2
    for camera in ('top', 'side'):
        assert torch.equal(batch.images[camera][0], data.train[1].images[camera][4])
        assert torch.equal(batch.images[camera][1], data.train[3].images[camera][39])


def test_an_epoch_draws_other_frames_that_depend_on_its_number_alone() -> None:
    every = [(episode, row) for episode in range(3) for row in range(20)]
    order = FrameSampler(every, 25, seed=3)
    drawn = []
    for epoch in (0, 1, 0):
        order.set_epoch(epoch)
        drawn.append(list(order))
        assert len(set(drawn[-1])) == len(order) == 25
    assert drawn[0] == drawn[2] != drawn[1]
    assert set(FrameSampler(every, None, seed=3)) == set(every)
    assert len(list(FrameSampler(every, 1000, seed=3))) == 60
    shares = [list(FrameSampler(every, 25, 3, rank=rank, processes=2)) for rank in (0, 1)]
    assert [len(share) for share in shares] == [13, 13]
    assert set(shares[0]) | set(shares[1]) == set(drawn[0])


def test_another_robot_among_the_episodes_is_named(tmp_path: Path) -> None:
    write_episode(tmp_path / 'episode_000000.hdf5', 20, robot=small_robot())
    other = write_episode(tmp_path / 'episode_000001.hdf5', 20, robot=small_robot(rate=25.0))
    line = complaint(str(tmp_path))
    assert line.startswith(f'{other}: rate 25.0, expected 50.0 as in the first episode')
