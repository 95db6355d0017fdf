# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy evaluate` writes what was asked for, and refuses in one line what cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import recordings
import torch
from judged_policies import sarnn_checkpoint

from motion_policy.cli.main import main
from motion_policy.evaluation import scenes

torch.set_num_threads(1)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random policy of the tabletop robot."""
    return str(sarnn_checkpoint(tmp_path_factory.mktemp('models') / 'tiny'))


@pytest.fixture
def episodes(tmp_path: Path) -> Path:
    """A folder of two short episodes."""
    folder = tmp_path / 'takes'
    folder.mkdir()
    for index, length in enumerate((40, 31)):
        recordings.write_episode(folder / f'episode_{index:06d}.hdf5', length)
    return folder


@pytest.fixture
def short_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of one second."""
    name = 'sim:tabletop:grasp'
    monkeypatch.setitem(scenes.SCENES, name, replace(scenes.SCENES[name], horizon_s=1.0))


def test_episodes_give_numbers_plots_video_and_report(
    checkpoint: str, episodes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    numbers = tmp_path / 'numbers.json'
    arguments = [checkpoint, str(episodes), '--out', str(out), '--json', str(numbers)]
    assert main(['evaluate', *arguments, '--mix', '0.8']) == 0
    assert {path.name for path in out.iterdir()} == {
        'evaluation.json',
        'evaluation.mp4',
        'joints_000.png',
        'joints_001.png',
        'report.html',
    }
    content = json.loads(numbers.read_text())
    assert content == json.loads((out / 'evaluation.json').read_text())
    assert content['mix'] == 0.8
    assert [entry['steps'] for entry in content['recordings']] == [7, 6]
    assert content['all']['steps'] == 13
    assert set(content['all']['joints']['gripper']) == {'rmse', 'mae', 'max'}
    assert content['all']['image_mse'] > 0
    assert 'joint4' in capsys.readouterr().out


def test_a_video_alone_may_be_a_gif(checkpoint: str, episodes: Path, tmp_path: Path) -> None:
    film = tmp_path / 'film.gif'
    one = str(episodes / 'episode_000001.hdf5')
    assert main(['evaluate', checkpoint, one, '--video', str(film)]) == 0
    assert film.read_bytes().startswith(b'GIF8')


@pytest.mark.usefixtures('short_scene')
def test_a_scene_gives_success_per_position(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    film = tmp_path / 'film.mp4'
    arguments = ['sim:tabletop:grasp', '--trials', '2', '--positions', 'A', 'B', '--seed', '4']
    files = ['--out', str(out), '--video', str(film)]
    assert main(['evaluate', checkpoint, *arguments, *files]) == 0
    content = json.loads((out / 'evaluation.json').read_text())
    assert set(content['positions']) == {'A', 'B'}
    for name, taught in (('A', True), ('B', False)):
        entry = content['positions'][name]
        assert (entry['trials'], entry['taught']) == (2, taught)
        assert entry['successes'] == 0
    assert content['seed'] == 4
    assert {path.name for path in out.iterdir()} == {
        'evaluation.json',
        'report.html',
        'success.png',
    }
    assert film.stat().st_size > 1000
    assert 's each' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        (['sim:kitchen:grasp'], "'sim:kitchen:grasp'"),
        (['sim:tabletop:grasp', '--positions', 'A', 'Q'], "'Q'"),
        (['sim:tabletop:grasp', '--trials', '0'], '--trials'),
        (['sim:tabletop:grasp', '--jobs', '0'], '--jobs'),
        (['sim:tabletop:grasp', '--mix', '0.5'], '--mix'),
        (['sim:tabletop:grasp', 'sim:tabletop:grasp'], 'one simulated task'),
        (['EPISODES', '--trials', '3'], '--trials'),
        (['EPISODES', '--mix', '2'], '--mix'),
        (['EPISODES', '--video', 'film.avi'], 'film.avi'),
        (['EPISODES', '--device', 'abacus'], 'abacus'),
        (['/nowhere/at/all'], '/nowhere/at/all'),
        ([], 'DATA'),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(
    checkpoint: str,
    episodes: Path,
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(episodes) if word == 'EPISODES' else word for word in arguments]
    assert main(['evaluate', checkpoint, *given]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith('error: ')
    assert printed.err.count('\n') == 1
    assert complaint in printed.err


def test_a_missing_checkpoint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['evaluate', '/nowhere/model', 'sim:tabletop:grasp']) == 2
    assert capsys.readouterr().err.count('\n') == 1


def test_a_truncated_episode_is_one_line(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = recordings.write_episode(tmp_path / 'whole.hdf5', 20).read_bytes()
    broken = tmp_path / 'broken.hdf5'
    broken.write_bytes(whole[: len(whole) // 2])
    assert main(['evaluate', checkpoint, str(broken)]) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and 'broken.hdf5' in error
