# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Teaching without ROS: sound episodes of what happened, fixed by the seed and their number."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motion_policy.cli import teach_directly
from motion_policy.cli.main import main
from motion_policy.cli.teach_directly import ATTEMPTS
from motion_policy.episodes import EpisodeReader, check_episode
from motion_policy.evaluation import scenes
from motion_policy.robot import load_robot_spec
from motion_policy.simulation import TransferCubeSim

pytestmark = pytest.mark.slow

NAME = 'sim:aloha:transfer_cube'
PERIOD_S = 0.02


@pytest.fixture(scope='module', autouse=True)
def small_images() -> Iterator[None]:
    """Record 32x32 images: their size does not matter here."""
    robot = load_robot_spec('aloha_sim')
    top = robot.cameras['top'].model_copy(update={'width': 32, 'height': 32})
    small = robot.model_copy(update={'cameras': {'top': top}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teach_directly, 'load_robot_spec', lambda name: small)
        yield


def change_teacher(monkeypatch: pytest.MonkeyPatch, teacher: Any) -> None:
    """Let another teacher demonstrate."""
    scene = replace(scenes.SCENES[NAME], teacher=lambda: teacher)
    monkeypatch.setitem(scenes.SCENES, NAME, scene)


def teach(out: Path, *options: str) -> int:
    """Run the command."""
    return main(['teach', NAME, '--out', str(out), *options])


@pytest.fixture(scope='module')
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two demonstrations."""
    out = tmp_path_factory.mktemp('lesson')
    assert teach(out, '--episodes', '2', '--seed', '3') == 0
    return out


def columns(path: Path) -> dict[str, np.ndarray]:
    """All numbers of an episode."""
    with EpisodeReader(path) as episode:
        rows = range(0, episode.length, 50)
        return {
            'qpos': episode.qpos,
            'qvel': episode.qvel,
            'effort': episode.effort,
            'action': episode.action,
            'images': np.stack([episode.image('top', row) for row in rows]),
        }


def test_episodes_are_sound_and_successful(lesson: Path) -> None:
    files = sorted(lesson.iterdir())
    assert [file.name for file in files] == ['episode_000000.hdf5', 'episode_000001.hdf5']
    for file in files:
        assert check_episode(file) == []
        with EpisodeReader(file) as episode:
            assert (episode.task, episode.success, episode.sim) == ('transfer_cube', True, True)
            assert 340 <= episode.length <= 380
            assert episode.qpos.shape == episode.action.shape == (episode.length, 14)
            assert (episode.quality, '"exposure"' in episode.verdicts) == ('pass', True)


def test_the_recorded_actions_alone_do_the_task(lesson: Path) -> None:
    """The follower was nudged off the leader's way; the leader's way is what is to be learnt."""
    sim = TransferCubeSim()
    for file in sorted(lesson.iterdir()):
        number = int(file.stem[-6:])
        seed = int(np.random.SeedSequence([3, number, 0]).generate_state(2)[0])
        recorded = columns(file)
        sim.reset('random', seed=seed)
        np.testing.assert_allclose(recorded['qpos'][0], sim.qpos, atol=1e-6)
        for action in recorded['action']:
            sim.step(action.astype(np.float64), PERIOD_S)
        assert sim.success


def test_a_row_holds_what_was_measured_before_its_action(lesson: Path) -> None:
    recorded = columns(lesson / 'episode_000000.hdf5')
    assert np.abs(recorded['action'][0] - recorded['qpos'][0]).max() < 1e-6
    # The follower is nudged and lags; the leader is ahead of it by about one row.
    lag = recorded['action'][:-1, :6] - recorded['qpos'][1:, :6]
    assert 1e-3 < np.abs(lag).max() < 0.15
    # Measured velocities are those of the measured positions.
    steps = np.diff(recorded['qpos'][:, :6], axis=0)
    meant = PERIOD_S * (recorded['qvel'][:-1, :6] + recorded['qvel'][1:, :6]) / 2
    assert np.corrcoef(steps.ravel(), meant.ravel())[0, 1] > 0.98


def test_the_seed_and_the_number_fix_an_episode(lesson: Path, tmp_path: Path) -> None:
    shutil.copy(lesson / 'episode_000000.hdf5', tmp_path)
    assert teach(tmp_path, '--episodes', '1', '--seed', '3') == 0
    again, second = (columns(folder / 'episode_000001.hdf5') for folder in (tmp_path, lesson))
    assert all(np.array_equal(again[key], second[key]) for key in second)
    first = columns(lesson / 'episode_000000.hdf5')
    assert not np.array_equal(first['qpos'][:100], second['qpos'][:100])


def test_a_scene_that_is_taught_over_ros_is_recorded_directly_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = load_robot_spec('tabletop_sim').model_copy(update={'cameras': {}})
    monkeypatch.setattr(teach_directly, 'load_robot_spec', lambda name: robot)
    options = ('--directly', '--episodes', '2', '--positions', 'A', 'E')
    assert main(['teach', '--out', str(tmp_path), *options]) == 0
    for file, side in zip(sorted(tmp_path.iterdir()), (1, -1), strict=True):
        assert check_episode(file) == []
        with EpisodeReader(file) as episode:
            assert (episode.task, episode.success, episode.sim) == ('grasp', True, True)
            assert 340 <= episode.length <= 380
            assert side * episode.action[-1, 0] > 0.2  # joint1 turns to the cube


class Still:
    """A teacher that does nothing, for half a second."""

    duration_s = 0.5

    def __init__(self, qpos: np.ndarray) -> None:
        self._qpos = qpos

    def __call__(self, time_s: float) -> np.ndarray:
        """Where it stands."""
        return self._qpos

    follower = __call__


def test_what_fails_is_not_kept_and_done_again_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds: list[int] = []
    change_teacher(monkeypatch, lambda sim, seed: (seeds.append(seed), Still(sim.qpos))[1])
    assert teach(tmp_path, '--episodes', '1') == 1
    assert list(tmp_path.iterdir()) == []
    assert len(set(seeds)) == ATTEMPTS
    assert f'{ATTEMPTS} demonstrations at random failed' in capsys.readouterr().out


def test_what_is_interrupted_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Still):
        def follower(self, time_s: float) -> np.ndarray:
            """Stop as by Ctrl-C."""
            if time_s > 0.2:
                raise KeyboardInterrupt
            return self._qpos

    change_teacher(monkeypatch, lambda sim, seed: Interrupted(sim.qpos))
    assert teach(tmp_path, '--episodes', '1') == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ([NAME, '--episodes', '0'], '--episodes is 0, expected at least 1'),
        ([NAME, '--seed', '-1'], '--seed is -1, expected at least 0'),
        ([NAME, '--jpeg-quality', '0'], '--jpeg-quality is 0, expected 1 to 100'),
        ([NAME, '--positions', '0.1,0.5', 'A'], "cube position 'A'"),
        ([NAME, '--per-position', '3'], f'--per-position is not for {NAME}'),
        ([NAME, '--speed', '3'], f'--speed is not for {NAME}'),
        (['--episodes', '3'], '--episodes is not for sim:tabletop:grasp'),
        (['--directly', '--per-position', '3'], '--per-position is not for sim:tabletop:grasp'),
        ([NAME, '--over-ros', '--directly'], '--over-ros and --directly were both given'),
        (['sim:kitchen'], "'sim:kitchen': no such simulated task"),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'lesson'
    assert main(['teach', *options, '--out', str(out)]) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count('\n') == 1
    assert not out.exists()
