# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy edit`: many episodes at once, dry runs, options of other edits, JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import recordings

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeReader, check_episode

ROBOT = recordings.tabletop().model_copy(update={'cameras': {}})
Capture = pytest.CaptureFixture[str]


def folder_of(path: Path, count: int) -> Path:
    for number in range(count):
        recordings.write_episode(path / f'episode_{number:06d}.hdf5', 20, robot=ROBOT)
    return path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}


def lengths(folder: Path) -> list[int]:
    found = []
    for path in sorted(folder.glob('*.hdf5')):
        assert check_episode(path) == []
        with EpisodeReader(path) as episode:
            found.append(episode.length)
    return found


def test_a_set_is_edited_shown_before_and_brought_back(tmp_path: Path, capsys: Capture) -> None:
    one, two = folder_of(tmp_path / 'one', 2), folder_of(tmp_path / 'two', 1)
    before, told = files(one), tmp_path / 'told.json'
    trim = ['edit', 'trim', str(one), str(two), '--head', '0.1', '--tail', '0.04']
    assert main([*trim, '--dry-run', '--json', str(told)]) == 0
    assert '3 episodes would be edited, 0 left as they are' in capsys.readouterr().out
    assert files(one) == before and lengths(one) == [20, 20]
    changes = json.loads(told.read_text())['changes']
    assert changes[0] == {
        'episode': str(one / 'episode_000000.hdf5'), 'rows': 20,
        'what': '5 rows at the head, 2 at the tail',
        'becomes': [{'episode': str(one / 'episode_000000.hdf5'), 'rows': 13}],
    }  # fmt: skip
    assert main(trim) == 0
    assert lengths(one) == [13, 13] and lengths(two) == [13]
    assert main(['edit', 'split', str(one), '--at', '3', '8', '--rows']) == 0
    assert lengths(one) == [3, 3, 5, 5, 5, 5]
    assert main(['edit', 'list', str(one)]) == 0
    printed = capsys.readouterr().out
    assert 'trim --head 0.1 --tail 0.04 of 2 episodes' in printed
    assert 'split --rows --at 3 8 of 2 episodes' in printed
    assert main(['edit', 'undo', str(one)]) == main(['edit', 'undo', str(one)]) == 0
    assert files(one) == before and lengths(one) == [20, 20]
    assert main(['edit', 'undo', str(one)]) == 2
    assert main(['edit', 'commit', str(two)]) == 0 and lengths(two) == [13]
    assert files(two) == {'episode_000000.hdf5'}


def test_folders_are_merged_relabelled_and_deleted_from(tmp_path: Path, capsys: Capture) -> None:
    one, two = folder_of(tmp_path / 'one', 2), folder_of(tmp_path / 'two', 1)
    out = tmp_path / 'new' / 'set'
    merge = ['edit', 'merge', str(one), str(one / 'episode_000000.hdf5'), str(two)]
    assert main([*merge, '--out', str(out)]) == 0  # the files of one are alike, and that of two
    assert '1 episodes edited, 2 left as they are' in capsys.readouterr().out
    assert main(['edit', 'relabel', str(out), '--success', 'no', '--task', 'put']) == 0
    path = out / 'episode_000000.hdf5'
    assert main(['inspect', str(path)]) == 0
    assert 'relabel --task put --success no' in ' '.join(capsys.readouterr().out.split())
    with EpisodeReader(path) as episode:
        assert (episode.success, episode.task, len(episode.edits)) == (False, 'put', 2)
    assert main(['edit', 'delete', str(path)]) == 0
    assert 'discarded/episode_000000.hdf5' in files(out)
    assert main(['edit', 'list', str(out)]) == 0
    assert 'discarded: 1 files, ' in capsys.readouterr().out
    for _ in range(3):
        assert main(['edit', 'undo', str(out)]) == 0
    assert files(out) == set() and len(files(one)) == 2


@pytest.mark.parametrize(
    ('words', 'line'),
    [
        (['trim'], 'edit trim: expected --head, --tail or --idle'),
        (['trim', '--at', '3'], 'edit trim: --at means nothing here, expected it with split only'),
        (['undo', '--rows'], '--rows means nothing here, expected it with trim or cut or split'),
        (['cut', '--begin', '1'], 'edit cut: expected --begin and --end'),
        (['merge', '--out', 'FILE'], 'Not a directory'),
        (['cut', '--begin', '0.3', '--end', '0.1'], 'rows 15 to 5, expected a piece of its 20'),
        (['cut', '--begin', '0', '--end', '9', '--rows'], ''),
        (['split', '--at', '2.5', '--rows'], '--at is 2.5, expected a whole number of rows'),
        (['relabel'], 'edit relabel: expected --task, --success or --operator'),
        (['drop', '--stream', 'state'], "has no stream 'state' that can be dropped"),
        (['store'], 'edit store: expected --storage'),
        (['resample', '--rate', '0'], '--rate is 0, expected Hz above 0'),
        (['resample', '--rate', '60'], 'has 50 rows per second'),
        (['merge', '--out', 'SET'], 'expected episodes of other folders'),
        (['trim', '--head', '-1'], '--head is -1, expected seconds from 0 on'),
        (['trim', '--head', '1e300'], 'is 1e+300 s, expected no more than its 20 rows (0.4 s)'),
        (['relabel', '--task', 'a\udcff'], 'expected text in UTF-8'),
        (['resample', '--rate', '1e12'], 'has 50 rows per second'),
        (['delete'], 'is a folder, expected the episodes that are to go'),
        (['undo'], 'has no edit to undo'),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    tmp_path: Path, capsys: Capture, words: list[str], line: str
) -> None:
    folder = folder_of(tmp_path / 'set', 1)
    named = {'SET': str(folder), 'FILE': str(folder / 'episode_000000.hdf5')}
    options = [named.get(word, word) for word in words[1:]]
    code = main(['edit', words[0], str(folder), *options])
    error = capsys.readouterr().err
    assert code == (2 if line else 0) and line in error and error.count('\n') == bool(line)
    assert (files(folder) == {'episode_000000.hdf5'}) == bool(line)


def test_an_interrupted_edit_is_finished_by_the_next(tmp_path: Path, capsys: Capture) -> None:
    folder = folder_of(tmp_path / 'set', 1)
    assert main(['edit', 'trim', str(folder), '--head', '5', '--rows']) == 0
    place = folder / '.edits' / '000001'
    path, kept = folder / 'episode_000000.hdf5', place / 'originals' / 'episode_000000.hdf5'
    # As a process leaves it that is killed between the original and the new file.
    (place / 'new').mkdir()
    shutil.move(path, place / 'new' / path.name)
    shutil.copy(kept, path)
    journal = place / 'edit.json'
    journal.write_text(journal.read_text().replace('"done"', '"placing"'))
    assert main(['edit', 'trim', str(folder), '--tail', '5', '--rows', '--dry-run']) == 0
    assert lengths(folder) == [20]
    assert main(['check', str(folder)]) == 0
    printed = capsys.readouterr().out
    assert f'an edit was interrupted: `motion-policy edit list {folder}` ends it' in printed
    assert main(['edit', 'trim', str(folder), '--tail', '5', '--rows']) == 0
    assert 'finished what was interrupted: trim --rows --head 5' in capsys.readouterr().out
    assert lengths(folder) == [10]
