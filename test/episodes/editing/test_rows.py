# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Edited episodes: rows to the bit, sound, open for the tools of ALOHA, with their provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aloha_files
import h5py
import numpy as np
import pytest
import recordings

from motion_policy.episodes import EpisodeError, EpisodeReader, EpisodeWriter, check_episode
from motion_policy.episodes.editing.changes import (
    Amount,
    EditPlan,
    cut,
    drop,
    relabel,
    split,
    trim,
)
from motion_policy.episodes.editing.journal import edit_journal
from motion_policy.episodes.editing.marks import file_digest
from motion_policy.episodes.editing.merging import merge
from motion_policy.episodes.editing.perform import perform
from motion_policy.episodes.editing.pieces import EditStamp
from motion_policy.streams import Observation

NONE = Amount(0)
STAMP = EditStamp('trim', '--head 0.2', '2026-01-01T00:00:00+00:00')
SMALL = recordings.tabletop().model_copy(
    update={
        'cameras': {
            name: camera.model_copy(update={'width': 40, 'height': 72})
            for name, camera in recordings.tabletop().cameras.items()
        }
    }
)
ROBOT = recordings.with_depth(recordings.with_vectors(SMALL), 16, 12)


def done(folder: Path, plan: EditPlan, stamp: EditStamp = STAMP) -> list[Path]:
    """Do what was planned for a folder; return the paths of what was made."""
    with edit_journal(folder) as journal:
        edit = perform(journal, plan.changes, stamp)
    return [folder / name for step in edit.steps for name, _ in step.results]


def rows(*values: int) -> list[Amount]:
    return [Amount(value, in_rows=True) for value in values]


def trimmed(path: Path, head: int, tail: int) -> Path:
    plan = trim([path], *rows(head, tail), idle=False, margin=NONE)
    return done(path.parent, plan)[0]


def contents(path: Path) -> dict[str, tuple[Any, ...]]:
    """Every dataset with its type, filters and attributes."""
    found: dict[str, tuple[Any, ...]] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            how = (item.dtype, item.fletcher32, item.compression, item.chunks)
            found[name] = (item[()], how, dict(item.attrs))

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def episode(path: Path, length: int = 30, **options: Any) -> Path:
    return recordings.write_episode(path, length, **{'robot': ROBOT, **options})


@pytest.mark.parametrize('compress', [True, False])
def test_rows_that_are_kept_are_those_of_the_original_to_the_bit(
    tmp_path: Path, compress: bool
) -> None:
    path = episode(
        tmp_path / 'episode_000000.hdf5', compress=compress, success=True, task='grasp',
        driven=[(2, 7), (20, 30)],
    )  # fmt: skip
    before = contents(path)
    assert {'intervention', 'policy_action'} <= before.keys()
    trimmed(path, 4, 6)
    assert check_episode(path) == []
    after = contents(path)
    assert after.keys() == before.keys()
    for name, (values, how, attributes) in before.items():
        kept = values[:, 4:24] if name == 'compress_len' else values[4:24]
        np.testing.assert_array_equal(after[name][0], kept, err_msg=name)
        assert after[name][1] == how and after[name][2].keys() == attributes.keys()
    with EpisodeReader(path) as found:
        assert (found.length, found.success, found.task) == (20, True, 'grasp')
        assert found.robot == ROBOT


def test_what_nobody_knows_is_cut_where_it_has_a_row_for_each_row(tmp_path: Path) -> None:
    path = episode(tmp_path / 'episode_000000.hdf5')
    events = np.array([(1, b'pick'), (2, b'place')], dtype=[('row', 'i4'), ('what', 'S8')])
    with h5py.File(path, 'r+') as file:
        file['intervention'] = np.arange(30) % 7 == 0
        file['later/policy_action'] = np.arange(60, dtype='f8').reshape(30, 2)
        file['later/policy_action'].attrs['unit'] = ['rad', 'm']
        words = h5py.string_dtype()
        file.create_dataset('words', data=[f'row {row}' for row in range(30)], dtype=words)
        file['events'] = events
        file['scalar'] = 3.5
        file['link'] = h5py.SoftLink('/later/policy_action')
        file['also'] = file['intervention']
        file.attrs['later'] = np.array([1.5, 2.5], '>f8')
        file.attrs['none'] = h5py.Empty('f4')
        file.attrs['no_names'] = np.array([], dtype=h5py.string_dtype())
        file.create_group('empty').attrs['why'] = 'none'
        file.attrs['quality'], file.attrs['verdicts'] = 'pass', '[]'
    trimmed(path, 3, 7)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file['intervention'], (np.arange(30) % 7 == 0)[3:23])
        np.testing.assert_array_equal(
            file['later/policy_action'], np.arange(60).reshape(30, 2)[3:23]
        )
        assert list(file['later/policy_action'].attrs['unit']) == ['rad', 'm']
        assert file['words'][0] == b'row 3' and len(file['words']) == 20
        np.testing.assert_array_equal(file['events'], events)
        assert file['scalar'][()] == 3.5
        assert file.get('link', getlink=True).path == '/later/policy_action'
        assert file['also'] == file['intervention']
        assert file.attrs['later'].dtype == '>f8' and file.attrs['none'] == h5py.Empty('f4')
        assert not {'quality', 'verdicts'} & set(file.attrs)  # they were of other rows
        assert len(file.attrs['no_names']) == 0 and file['empty'].attrs['why'] == 'none'
    assert check_episode(path) == []


def test_references_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    path = episode(tmp_path / 'episode_000000.hdf5')
    with h5py.File(path, 'r+') as file:
        file.create_dataset('refs', data=[file['action'].ref], dtype=h5py.ref_dtype)
    before = path.read_bytes()
    with pytest.raises(EpisodeError, match="'/refs' holds references, expected numbers or text"):
        trimmed(path, 3, 3)
    assert path.read_bytes() == before and [path] == list(tmp_path.iterdir())


def test_the_file_says_what_was_done_to_it(tmp_path: Path) -> None:
    path = episode(tmp_path / 'episode_000000.hdf5')
    digest = file_digest(path)
    trimmed(path, 4, 6)
    trimmed(path, 1, 0)
    with EpisodeReader(path) as found:
        first, second = map(json.loads, found.edits)
        stamps = found.stamps('state')
        assert found.counts_rows('state') and stamps.counters.received == 19
        assert stamps.counters.max_gap_ns == ROBOT.period_ns
    assert first['action'] == 'trim' and first['from'] == path.name and first['sha256'] == digest
    assert (first['of_rows'], first['rows'], first['row_step']) == (30, [4, 24], 1)
    assert first['counters_before']['top'] == {
        'received': 30, 'dropped': 2, 'duplicates': 1, 'max_gap_ns': ROBOT.period_ns,
        'unusable': 0,
    }  # fmt: skip
    assert first['when'] == STAMP.when and first['software'].startswith('motion_policy ')
    original = path.parent / '.edits' / '000002' / 'originals' / path.name
    assert second['sha256'] == file_digest(original)


def test_the_counters_are_those_of_the_samples_in_the_rows(tmp_path: Path) -> None:
    robot = SMALL.model_copy(update={'cameras': {}})
    path = tmp_path / 'episode_000000.hdf5'
    with EpisodeWriter(path, robot) as writer:
        for index in range(60):
            # The state stands still for five rows: four of its samples are missing.
            row = recordings.row_at(index, robot)
            if 40 <= index < 45:
                row.samples['state'] = recordings.row_at(39, robot).samples['state']
            writer.append(row.time_ns, recordings.observation(index, robot), row)
    trimmed(path, 10, 0)
    with EpisodeReader(path) as found:
        counted = found.stamps('state').counters
        assert (counted.received, counted.dropped) == (45, 5)
        assert counted.max_gap_ns == 6 * robot.period_ns
        assert found.stamps('leader').counters.dropped == 0


def test_the_idle_head_and_tail_go_and_a_margin_stays(tmp_path: Path) -> None:
    robot = SMALL.model_copy(update={'cameras': {}})
    still = tmp_path / 'episode_000001.hdf5'
    path = tmp_path / 'episode_000000.hdf5'
    noise = np.random.default_rng(0).normal(0, 1e-4, (100, 5)) * [1, 1, 1, 1, 0.1]
    # The leader moves from row 20 on, the arm from row 24; both stand again after row 70.
    for file, height in ((path, 0.5), (still, 0.0)):
        with EpisodeWriter(file, robot) as writer:
            for index in range(100):
                leader, arm = (height * np.clip((index - start) / 40, 0, 1) for start in (20, 24))
                qpos, action = (
                    np.array([0.1 + place, 0.2, 0.3, 0.4, 0.02], np.float32) + noise[index]
                    for place in (arm, leader)
                )
                row = recordings.row_at(index, robot)
                seen = Observation(
                    qpos.astype('f4'), 0 * qpos.astype('f4'), None, {}, action.astype('f4')
                )
                writer.append(row.time_ns, seen, row)
    plan = trim([path, still], NONE, NONE, idle=True, margin=Amount(5, in_rows=True))
    assert plan.left == (f'{still}: the arm never moves: it stays as it is',)
    ((piece,),) = [change.pieces for change in plan.changes]
    first, last = int(piece.rows[0]), int(piece.rows[-1])
    # Half a per cent of a range of 5.6 rad is 2.24 rows of this motion.
    assert first == 23 - 5 and last == 61 + 5
    with pytest.raises(EpisodeError, match='--margin is -1, expected seconds from 0 on'):
        trim([path], NONE, NONE, idle=True, margin=Amount(-1))


def test_a_piece_that_is_cut_out_leaves_two_episodes(tmp_path: Path) -> None:
    first = episode(tmp_path / 'episode_000000.hdf5', success=True)
    (tmp_path / 'episode_000007.hdf5.part').touch()
    whole = contents(first)
    made = done(tmp_path, cut([first], *rows(10, 18)))
    assert [path.name for path in made] == ['episode_000000.hdf5', 'episode_000008.hdf5']
    for path, part in zip(made, (slice(0, 10), slice(18, 30)), strict=True):
        assert check_episode(path) == []
        with EpisodeReader(path) as found:
            np.testing.assert_array_equal(found.time_ns, whole['time_ns'][0][part])
            np.testing.assert_array_equal(found.qpos, whole['observations/qpos'][0][part])
            assert found.success is None
    plan = cut([made[0]], *rows(0, 3))  # at an end it is a trim
    assert [len(change.pieces) for change in plan.changes] == [1]


def test_a_split_gives_every_row_once(tmp_path: Path) -> None:
    path = episode(tmp_path / 'episode_000000.hdf5')
    times = contents(path)['time_ns'][0]
    made = done(tmp_path, split([path], rows(7, 20)))
    found = np.concatenate([contents(piece)['time_ns'][0] for piece in made])
    np.testing.assert_array_equal(found, times)
    for wrong in ([0], [30], [20, 7], [29]):
        with pytest.raises(EpisodeError, match='expected'):
            split([made[0]], rows(*wrong))


def test_labels_change_and_nothing_else(tmp_path: Path) -> None:
    path = episode(tmp_path / 'episode_000000.hdf5', task='old', operator='A')
    before = contents(path)
    done(tmp_path, relabel([path], {'task': 'grün', 'success': False, 'operator': 'A'}))
    after = contents(path)
    assert before.keys() == after.keys()
    for name, (values, _, _) in before.items():
        np.testing.assert_array_equal(after[name][0], values)
    with EpisodeReader(path) as found:
        assert (found.task, found.success, found.operator) == ('grün', False, 'A')
        entry = json.loads(found.edits[0])
        assert entry['labels_before'] == {'task': 'old', 'success': None}
    done(tmp_path, relabel([path], {'success': None}))
    with EpisodeReader(path) as found:
        assert found.success is None and len(found.edits) == 2
    plan = relabel([path], {'task': 'grün'})
    assert plan.changes == () and plan.left == (f'{path}: says so already',)


def test_streams_are_dropped_from_file_and_spec(tmp_path: Path) -> None:
    path = episode(tmp_path / 'episode_000000.hdf5')
    before = contents(path)
    top, side = ROBOT.cameras
    done(tmp_path, drop([path], [top, 'wrench', 'depth_top']))
    assert check_episode(path) == []
    after = contents(path)
    gone = {f'observations/images/{top}', 'observations/vectors/wrench', 'observations/depth/top'}
    assert {name for name in before if name not in after and 'stamps' not in name} == gone
    with EpisodeReader(path) as found:
        assert found.cameras == (side,) and list(found.robot.vectors) == ['skin']
        assert 'depth_top' not in found.robot.stream_names and not found.robot.depth
        np.testing.assert_array_equal(found.jpeg_lengths(side), before['compress_len'][0][1])
    done(tmp_path, drop([path], [side]))
    assert check_episode(path) == [] and 'compress_len' not in contents(path)
    with pytest.raises(
        EpisodeError, match="no stream 'state' that can be dropped, expected one of: skin"
    ):
        drop([path], ['state'])


def test_folders_become_one_set_without_a_number_twice(tmp_path: Path) -> None:
    paths = [
        episode(tmp_path / name / 'episode_000000.hdf5', 4 + n) for n, name in enumerate('abc')
    ]
    out = tmp_path / 'a'
    stamp = EditStamp('merge', '--out a', STAMP.when)
    made = done(out, merge(paths[1:], out), stamp)
    assert [path.name for path in made] == ['episode_000001.hdf5', 'episode_000002.hdf5']
    for path, source in zip(made, paths[1:], strict=True):
        assert check_episode(path) == []
        found = contents(path)
        for name, (values, _, _) in contents(source).items():
            np.testing.assert_array_equal(found[name][0], values)
    again = merge(paths[1:], out)
    assert again.changes == () and len(again.left) == 2
    with pytest.raises(EpisodeError, match=r'lies in .*a, expected episodes of other folders'):
        merge(paths, out)
    other = recordings.write_episode(tmp_path / 'd' / 'episode_000000.hdf5', 3)
    with pytest.raises(EpisodeError, match=r'its .*; those of different robots do not become'):
        merge([other], out)


def test_alohas_reader_reads_what_was_trimmed(tmp_path: Path) -> None:
    path = episode(tmp_path / 'episode_000000.hdf5', robot=SMALL)
    with EpisodeReader(path) as found:
        seen = {camera: found.image(camera, 9) for camera in found.cameras}
    trimmed(path, 4, 6)
    step = aloha_files.read_step(path, tuple(seen), 5)
    np.testing.assert_array_equal(step['image'], np.stack(list(seen.values())))
    assert step['action'].shape == (20, 5)
