# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy evaluate` writes what was asked for, and refuses in one line what cannot be."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import recordings
import torch
from judged_policies import sarnn_checkpoint
from reference_tables import keys_of_evaluate
from spec_reads import note_reads

from motion_policy.cli.main import main
from motion_policy.evaluation import hidden_state_report, scenes

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
KEYS = keys_of_evaluate()


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random policy of the tabletop robot."""
    return str(sarnn_checkpoint(tmp_path_factory.mktemp('models') / 'tiny'))


@pytest.fixture(scope='module')
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two short episodes."""
    folder = tmp_path_factory.mktemp('takes')
    for index, length in enumerate((40, 31)):
        recordings.write_episode(folder / f'episode_{index:06d}.hdf5', length)
    return folder


@pytest.fixture
def short_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of half a second."""
    name = 'sim:tabletop:grasp'
    monkeypatch.setitem(scenes.SCENES, name, replace(scenes.SCENES[name], horizon_s=0.5))


@pytest.fixture(autouse=True)
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden states turn in few frames; test_hidden.py looks at all of them."""
    few = partial(hidden_state_report.write_hidden_state_video, frames=5)
    monkeypatch.setattr(hidden_state_report, 'write_hidden_state_video', few)


def test_episodes_give_numbers_plots_video_and_report(
    checkpoint: str, episodes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    reads = note_reads(monkeypatch)
    out = tmp_path / 'out'
    numbers = tmp_path / 'numbers.json'
    arguments = [checkpoint, str(episodes), '--out', str(out), '--json', str(numbers)]
    assert main(['evaluate', *arguments, '--mix', '0.8']) == 0
    assert {path.name for path in out.iterdir()} == {
        'evaluation.json',
        'evaluation.mp4',
        'free_running.png',
        'hidden_pca.gif',
        'hidden_pca.png',
        'joints_000.png',
        'joints_001.png',
        'moments.png',
        'report.html',
    }
    assert len(reads) == 1
    content = json.loads(numbers.read_text())
    assert set(content) == KEYS['']
    assert content == json.loads((out / 'evaluation.json').read_text())
    assert content['mix'] == {'joint': 0.8, 'image': 0.8, 'effort': 0.8}
    assert [entry['steps'] for entry in content['recordings']] == [7, 6]
    assert content['all']['steps'] == 13
    assert set(content['all']['joints']['gripper']) == {'rmse', 'mae', 'max'}
    assert content['all']['image_mse'] == content['all']['cameras']['top']['image_mse'] > 0
    free = content['free_running']
    assert free['path'].endswith('episode_000000.hdf5') and free['steps'] == 7
    assert free['mix'] == {'joint': 0, 'image': 0, 'effort': 0}
    assert free['joints'] != content['recordings'][0]['joints']
    hidden = content['hidden_states']
    assert (hidden['dimensions'], hidden['states'], hidden['trajectories']) == (8, 15, 2)
    first, *_, last = hidden['explained_variance']
    assert 1 > first > last > 0
    report = (out / 'report.html').read_text()
    for name in ('free_running.png', 'hidden_pca.png', 'hidden_pca.gif', 'moments.png'):
        assert base64.b64encode((out / name).read_bytes()).decode() in report
    assert 'joint4' in capsys.readouterr().out


def test_a_video_alone_may_be_a_gif(checkpoint: str, episodes: Path, tmp_path: Path) -> None:
    video = tmp_path / 'video.gif'
    one = str(episodes / 'episode_000001.hdf5')
    assert main(['evaluate', checkpoint, one, '--video', str(video)]) == 0
    assert video.read_bytes().startswith(b'GIF8')


@pytest.mark.usefixtures('short_scene')
def test_a_scene_gives_success_per_position(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    video = tmp_path / 'video.mp4'
    arguments = ['sim:tabletop:grasp', '--trials', '2', '--positions', 'A', 'B', '--seed', '4']
    files = ['--out', str(out), '--video', str(video), '--mix', '0.9', '--mix-image', '0.5']
    assert main(['evaluate', checkpoint, *arguments, *files]) == 0
    content = json.loads((out / 'evaluation.json').read_text())
    assert KEYS['simulation'] <= set(content) <= KEYS[''] | KEYS['simulation']
    assert set(content['positions']) == {'A', 'B'}
    for name, taught in (('A', True), ('B', False)):
        entry = content['positions'][name]
        assert (entry['trials'], entry['taught']) == (2, taught)
        assert entry['successes'] == 0
    assert content['seed'] == 4
    assert content['mix'] == {'joint': 0.9, 'image': 0.5, 'effort': 0.9}
    assert content['hidden_states']['trajectories'] == 4
    assert {path.name for path in out.iterdir()} == {
        'evaluation.json',
        'hidden_pca.gif',
        'hidden_pca.png',
        'report.html',
        'success.png',
    }
    report = (out / 'report.html').read_text()
    assert base64.b64encode((out / 'hidden_pca.gif').read_bytes()).decode() in report
    assert 'joint 0.9, image 0.5' in report
    assert video.stat().st_size > 1000
    assert 's each' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        (['sim:kitchen:grasp'], "'sim:kitchen:grasp'"),
        (['sim:tabletop:grasp', '--positions', 'A', 'Q'], "'Q'"),
        (['sim:tabletop:grasp', '--trials', '0'], '--trials'),
        (['sim:tabletop:grasp', '--jobs', '0'], '--jobs'),
        (['sim:tabletop:grasp', '--mix', '1.5'], '--mix'),
        (['sim:tabletop:grasp', '--mix-joint', '-1'], '--mix-joint'),
        (['sim:tabletop:grasp', 'sim:tabletop:grasp'], 'one simulated task'),
        (['EPISODES', '--trials', '3'], '--trials'),
        (['EPISODES', '--mix', '2'], '--mix'),
        (['EPISODES', '--mix-image', 'nan'], '--mix-image'),
        (['EPISODES', '--video', 'video.avi'], 'video.avi'),
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
