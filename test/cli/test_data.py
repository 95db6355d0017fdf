# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`import`, `inspect` and `check` on real bags and episodes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import av
import bag_files
import h5py
import numpy as np
import policy_examples
import pytest
import recordings
import yaml

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeReader, examine_episode
from motion_policy.episodes.quality.judge import note_verdicts
from motion_policy.episodes.quality.sets import EpisodeSet
from motion_policy.evaluation.joint_strip import JointStrip
from motion_policy.evaluation.plots import JointCurves
from motion_policy.policies import save_policy
from motion_policy.robot import robot_spec_from_yaml

ROBOT = recordings.tabletop()
Capture = pytest.CaptureFixture[str]


def error_line(capsys: Capture) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ')
    return line


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return bag_files.write_bag(tmp_path / 'bag', bag_files.demonstration(1.0, ROBOT))


def test_import_writes_episodes(tmp_path: Path, bag: Path, capsys: Capture) -> None:
    out = tmp_path / 'out'
    command = ['import', str(bag), str(bag), '--out', str(out), '--robot', 'tabletop_sim']
    assert main([*command, '--task', 'grasp', '--operator', 'me', '--sim']) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        'episode_000000.hdf5',
        'episode_000001.hdf5',
    ]
    printed = capsys.readouterr().out
    assert 'episode_000001.hdf5: 49 rows' in printed
    with EpisodeReader(out / 'episode_000000.hdf5') as episode:
        assert (episode.task, episode.operator, episode.sim) == ('grasp', 'me', True)
        assert episode.compress
    assert main([*command, '--raw', '--from', 'rosbag2']) == 0
    with EpisodeReader(out / 'episode_000002.hdf5') as episode:
        assert not episode.compress


def test_import_says_what_is_wrong(tmp_path: Path, bag: Path, capsys: Capture) -> None:
    out = ['--out', str(tmp_path / 'out')]
    robot = ['--robot', 'tabletop_sim']
    assert main(['import', str(tmp_path / 'nothing'), *out, *robot]) == 2
    assert 'nothing: no such file or folder' in error_line(capsys)
    assert main(['import', str(bag), *out]) == 2
    assert '--robot' in error_line(capsys)
    assert main(['import', *out, *robot]) == 2
    assert 'no source' in error_line(capsys)
    assert main(['import', str(bag), *out, '--robot', 'ur5e']) == 2
    assert "no topic '/camera/camera/color/image_raw'" in error_line(capsys)
    assert main(['import', str(bag), *out, *robot, '--from', 'mcap']) == 2
    assert 'rosbag2' in error_line(capsys)
    assert not (tmp_path / 'out').exists()


def test_check_tells_sound_from_unsound(tmp_path: Path, capsys: Capture) -> None:
    recordings.write_episode(tmp_path / 'episode_000000.hdf5', 10)
    assert main(['check', str(tmp_path)]) == 0
    assert '1 of 1 episodes are sound' in capsys.readouterr().out
    (tmp_path / 'foreign.hdf5').write_text('x')
    report = tmp_path / 'report.json'
    assert main(['check', str(tmp_path), '--json', str(report)]) == 1
    assert 'foreign.hdf5: is damaged or not HDF5' in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert found['sound'] is False
    assert found['problems'][str(tmp_path / 'episode_000000.hdf5')] == []
    assert len(found['problems'][str(tmp_path / 'foreign.hdf5')]) == 1


def test_check_repairs_what_a_crash_left(tmp_path: Path, capsys: Capture) -> None:
    path = recordings.write_episode(tmp_path / 'episode_000000.hdf5', 10)
    part = path.rename(f'{path}.part')
    assert main(['check', str(tmp_path)]) == 1
    assert '--repair' in capsys.readouterr().out
    assert part.exists()
    assert main(['check', str(tmp_path), '--repair']) == 0
    assert path.exists()
    assert not part.exists()
    # What cannot be repaired stays unsound.
    part.write_text('x')
    assert main(['check', str(tmp_path), '--repair']) == 1
    assert 'exists already' in capsys.readouterr().out


def test_check_without_an_episode_is_bad_usage(tmp_path: Path, capsys: Capture) -> None:
    assert main(['check']) == 2
    assert 'no path' in error_line(capsys)
    assert main(['check', str(tmp_path / 'nowhere')]) == 2
    assert 'nowhere' in error_line(capsys)


def inspected(path: Path, *more: str) -> list[dict[str, Any]]:
    report = path.parent / 'report.json'
    assert main(['inspect', str(path), '--json', str(report), *more]) == 0
    entries = json.loads(report.read_text())['inspected']
    assert isinstance(entries, list)
    return entries


def test_inspect_shows_an_episode(tmp_path: Path, capsys: Capture) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', 50, task='grasp', success=True)
    (entry,) = inspected(path)
    shown = capsys.readouterr().out
    for word in ('tabletop_sim', 'grasp', '50 at 50 Hz', 'joint4', 'top 128x128', 'leader'):
        assert word in shown
    assert entry['kind'] == 'episode'
    assert (entry['rows'], entry['duration_s'], entry['success']) == (50, 1.0, True)
    assert (entry['quality'], entry['doubts']) == ('', []) and 'verdict' not in shown
    top = entry['streams']['top']
    assert (top['received'], top['dropped'], top['duplicates']) == (50, 2, 1)
    assert top['rate_hz'] == 50.0
    assert top['max_gap_ms'] == 20.0
    assert top['age_max_ms'] == 5.0


def test_inspect_of_an_episode_says_what_was_doubted(tmp_path: Path, capsys: Capture) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', 20)
    note_verdicts(path, examine_episode(path, EpisodeSet()).verdicts)
    (entry,) = inspected(path)
    shown = ' '.join(capsys.readouterr().out.split())
    assert entry['quality'] in ('warn', 'fail')
    line = 'warn: the episode lasts 0.40 s (duration: expected at least 1 s)'
    assert line in entry['doubts'] and line in shown
    with h5py.File(path, 'r+') as file:
        file.attrs['verdicts'] = '{'
    (entry,) = inspected(path)
    assert "attribute 'verdicts' holds no verdicts" in entry['doubts'][0]


def test_inspect_breaks_topics_at_their_slashes(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('COLUMNS', '80')
    topic = 'wrist_camera/color/image_raw/compressed'
    robot = recordings.tabletop().to_yaml().replace('top/image_raw', topic)
    path = tmp_path / 'a_folder_with_a_name_of_many_words' / 'and_another_one' / 'e.hdf5'
    path.parent.mkdir(parents=True)
    recordings.write_episode(path, 5, robot=robot_spec_from_yaml(robot, 'long'))
    inspected(path)
    shown = capsys.readouterr().out
    assert str(path) in re.sub(r'\s', '', shown)  # whole, on two lines
    rows = shown[shown.index('stream') :]
    assert re.search(r'top +wrist_camera/color/ .* 200\n +image_raw/compressed', rows)
    assert max(map(len, shown.splitlines())) <= 80


def test_inspect_shows_a_folder(tmp_path: Path, capsys: Capture) -> None:
    for index in range(3):
        recordings.write_episode(tmp_path / 'set' / f'episode_{index:06d}.hdf5', 5)
    assert len(inspected(tmp_path / 'set')) == 3
    shown = capsys.readouterr().out
    assert 'episode_000002.hdf5' in shown
    assert '3 episodes, 0.3 s in all' in shown


def test_inspect_shows_rates_gaps_and_drops_of_a_bag(tmp_path: Path, capsys: Capture) -> None:
    events = bag_files.without(bag_files.demonstration(2.0, ROBOT), '/top/image_raw', 0.8, 1.0)
    (entry,) = inspected(bag_files.write_bag(tmp_path / 'bag', events))
    assert '/top/image_raw' in capsys.readouterr().out
    assert entry['kind'] == 'bag'
    assert entry['messages'] == len(events)
    top, state = entry['topics']['/top/image_raw'], entry['topics']['/joint_states']
    assert top['rate_hz'] == pytest.approx(25.0)
    assert (top['received'], top['dropped']) == (45, 5)
    assert top['max_gap_ms'] == pytest.approx(240.0)
    assert state['rate_hz'] == pytest.approx(100.0)
    assert (state['received'], state['dropped']) == (200, 0)


def test_inspect_shows_a_checkpoint(tmp_path: Path, capsys: Capture) -> None:
    folder = make_checkpoint(tmp_path / 'model')
    (entry,) = inspected(folder)
    shown = capsys.readouterr().out
    for word in ('sarnn', 'tabletop_sim', '10 Hz', '64x64'):
        assert word in shown
    assert entry['kind'] == 'checkpoint'
    assert entry['policy'] == 'sarnn'
    assert entry['parameters'] > 1000
    weights = entry['weights']
    assert weights['file_bytes'] == (folder / 'weights.safetensors').stat().st_size
    assert weights['numbers'] == {'float32': entry['parameters']}
    assert f'{weights["tensors"]} tensors: {entry["parameters"]} float32' in shown


def make_checkpoint(folder: Path) -> Path:
    from motion_policy.policies import PolicySpec, save_policy
    from motion_policy.policies.kinds import make_policy

    bounds = {'min': [-1.0] * 5, 'max': [1.0] * 5}
    spec = PolicySpec(
        kind='sarnn',
        rate=10.0,
        cameras=('top',),
        image_size=(64, 64),
        target='action',
        robot=ROBOT,
        hyper={},
        normalisation={'qpos': bounds, 'action': bounds},
    )
    return save_policy(make_policy(spec), folder)


def test_inspect_of_a_folder_is_a_table_of_the_set(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / 'set'
    for number, success in enumerate((True, False, None)):
        path = folder / f'episode_{number:06d}.hdf5'
        recordings.write_episode(path, 5 + number, success=success, task='grasp')
    assert main(['inspect', str(folder)]) == 0
    printed = ' '.join(capsys.readouterr().out.split())
    assert 'verdict' not in printed
    assert '3 episodes, 0.4 s in all; 1 succeeded, 1 failed, 1 not judged' in printed
    assert 'cameras: top 128x128, side 128x128' in printed
    with h5py.File(path, 'r+') as file:
        file.attrs['quality'] = 'warn'
    assert main(['edit', 'drop', str(folder / 'episode_000000.hdf5'), '--stream', 'top']) == 0
    capsys.readouterr()
    assert main(['inspect', str(folder)]) == 0
    printed = ' '.join(capsys.readouterr().out.split())
    assert 'verdict' in printed and 'warn' in printed
    assert 'cameras: side 128x128 (1 episodes); top 128x128, side 128x128 (2 episodes)' in printed


def test_inspect_draws_a_plot_and_a_video(tmp_path: Path) -> None:
    path = recordings.write_episode(tmp_path / 'e.hdf5', 25)
    plot, video = tmp_path / 'plot.png', tmp_path / 'video.mp4'
    inspected(path, '--plot', str(plot), '--video', str(video))
    assert plot.read_bytes().startswith(b'\x89PNG')
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
    assert len(frames) == 25
    one, none = np.ones(1), np.zeros((1, 5))
    strip = JointStrip(JointCurves('abcde', one, none, one, none), 256)
    assert frames[0].shape == (128 + strip.height, strip.width, 3)
    # Top is left, side is right, and colours are kept; beneath them a line goes on.
    left, right = (frames[20][:128, place : place + 128].astype(int) for place in (0, 128))
    early, late = (frames[row][128:].astype(int) for row in (2, 20))
    assert np.abs(early - late).max() > 60 > 30 > np.abs(early - late).mean()
    assert np.abs(left - recordings.scene(20)).mean() < 8
    assert np.abs(right - recordings.scene(21)).mean() < 8


def test_inspect_shows_what_is_seen_of_a_camera(tmp_path: Path, capsys: Capture) -> None:
    """Framed in the camera's image, and beside it as a checkpoint or a robot spec says."""
    path = recordings.write_episode(tmp_path / 'e.hdf5', 4)
    options = {'crop': [20, 30, 64, 64], 'rotate': 180}
    robot = yaml.safe_load(recordings.tabletop().to_yaml())
    policy = policy_examples.small_policy(
        robot=recordings.tabletop(), image_size=(64, 128), fit={'top': {**options, 'fit': 'pad'}}
    )
    folder = save_policy(policy, tmp_path / 'policy')
    robot['cameras']['top'].update(options)
    (tmp_path / 'robot.yaml').write_text(yaml.safe_dump(robot))
    cut = recordings.scene(2)[30:94, 20:84][::-1, ::-1]
    padded = np.pad(cut, ((0, 0), (32, 32), (0, 0)))
    video, plot = tmp_path / 'video.mp4', tmp_path / 'plot.png'
    drawn = ['--video', str(video), '--plot', str(plot)]
    spec = ['--robot', str(tmp_path / 'robot.yaml')]
    for given, seen in (([str(folder), *drawn], padded), ([*drawn, *spec], cut)):
        assert main(['inspect', str(path), *given]) == 0
        with av.open(str(video)) as container:
            frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
        wide = 128 * seen.shape[1] // seen.shape[0]
        assert (frames[2][:128, 128 + wide + 128 :] > 250).all() and plot.stat().st_size > 1000
        shown = frames[2][:128:2, 128 : 128 + wide : 2].astype(int)
        assert np.abs(shown - seen).mean() < 8
        # The frame is yellow, the scene nearly without red there.
        assert frames[2][40:80, 18:20, 0].mean() > 100 > recordings.scene(2)[40:80, 18:20, 0].max()
    assert 'crop [20, 30, 64, 64], rotate 180, fit pad' in capsys.readouterr().out
    both = ['inspect', str(path), str(folder), '--robot', 'tabletop_sim', '--video', str(video)]
    assert main(both) == 2
    assert 'expected one checkpoint or robot spec' in error_line(capsys)


def test_inspect_says_what_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    assert main(['inspect']) == 2
    assert 'no path' in error_line(capsys)
    assert main(['inspect', str(tmp_path / 'nothing')]) == 2
    assert 'nothing' in error_line(capsys)
    for index in range(2):
        recordings.write_episode(tmp_path / f'{index}.hdf5', 3)
    assert main(['inspect', str(tmp_path), '--plot', str(tmp_path / 'p.png')]) == 2
    assert '2 episodes were given, expected exactly one' in error_line(capsys)
    for option, name, words in (('--plot', 'p.pdf', '.png'), ('--video', 'v.avi', '.mp4')):
        command = ['inspect', str(tmp_path / '0.hdf5'), option, str(tmp_path / name)]
        assert main(command) == 2
        assert words in error_line(capsys)
        assert not (tmp_path / name).exists()
