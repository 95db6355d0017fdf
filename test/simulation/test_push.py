# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The pushing task: a seed fixes every draw, pushes move objects, commands stay within reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeReader, check_episode
from motion_policy.errors import UserError
from motion_policy.robot import load_robot_spec
from motion_policy.simulation.push import (
    HIGH_M,
    LOW_M,
    MOVED_M,
    PUSH_HEIGHT_M,
    REACH_M,
    PushSim,
    reachable,
)
from motion_policy.simulation.push_expert import FRAME_S, FRAMES, RandomPushes

NAME = 'sim:tabletop:push'


@pytest.fixture(scope='module')
def sim() -> Iterator[PushSim]:
    """Give the scene."""
    simulation = PushSim()
    yield simulation
    simulation.close()


def play(sim: PushSim, seed: int) -> dict[str, np.ndarray]:
    """Play one demonstration; return what was commanded and measured at every frame."""
    sim.reset(seed=seed)
    pushes = RandomPushes(sim, seed)
    rows: dict[str, list[np.ndarray]] = {'qpos': [], 'action': [], 'objects': []}
    for frame in range(FRAMES):
        rows['qpos'].append(sim.qpos)
        rows['action'].append(pushes(frame * FRAME_S))
        rows['objects'].append(np.concatenate(list(sim.object_places.values())))
        sim.step(pushes.follower(frame * FRAME_S), FRAME_S)
    return {name: np.stack(values) for name, values in rows.items()}


def test_a_seed_fixes_the_sequence_to_the_bit(sim: PushSim) -> None:
    first, other = play(sim, 5), play(sim, 6)
    before = sim.render('front', 64, 64)
    again = play(sim, 5)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first['objects'][0], other['objects'][0])
    play(sim, 6)
    assert np.array_equal(sim.render('front', 64, 64), before)


@pytest.mark.slow
def test_pushes_move_both_objects_and_keep_them_in_the_tray(sim: PushSim) -> None:
    moved = {'box': 0, 'can': 0}
    successes = 0
    for seed in range(10):
        play(sim, seed)
        successes += sim.success
        for name, away_m in sim.moved_m.items():
            moved[name] += away_m >= MOVED_M
    assert successes >= 5
    assert moved['box'] >= 2
    assert moved['can'] >= 2


def test_an_object_goes_where_it_is_pushed_and_only_then(sim: PushSim) -> None:
    sim.reset(seed=0)
    sim.step(None, 1.0)
    assert max(sim.moved_m.values()) < 1e-3
    assert not sim.success
    place = sim.object_places['box'].copy()
    way = np.array([0.0, np.sign(-place[1]), 0.0])
    begin = np.append(place[:2], 0.0) - 0.055 * way
    for target in ((*begin[:2], HIGH_M[2]), (*begin[:2], PUSH_HEIGHT_M)):
        for _ in range(4):
            sim.step(np.array(target), 0.4)
    before = sim.object_places['box'].copy()
    end = begin + 0.10 * way
    for share in np.linspace(0, 1, 6)[1:]:
        sim.step(np.array([*(begin + share * (end - begin))[:2], PUSH_HEIGHT_M]), 0.3)
    went = sim.object_places['box'] - before
    assert went @ way > 0.02
    assert abs(went[0]) < 0.02
    assert sim.success


def test_commands_end_at_what_the_tool_can_reach(sim: PushSim) -> None:
    for place in ([1.0, 1.0, 1.0], [-1.0, 0.0, -1.0], [0.28, -0.105, 0.03]):
        allowed = reachable(np.array(place))
        assert ((allowed >= LOW_M) & (allowed <= HIGH_M)).all()
        assert np.hypot(*allowed[:2]) <= REACH_M + 1e-9
        sim.reset(seed=1)
        sim.step(np.array([0.2, 0.0, HIGH_M[2]]), 1.0)
        sim.step(np.array(place), 2.0)
        np.testing.assert_allclose(sim.command, allowed)
    inside = np.array([0.2, 0.05, 0.03])
    np.testing.assert_array_equal(reachable(inside), inside)
    with pytest.raises(UserError, match="object position 'C': expected 'random'"):
        sim.reset('C')


def test_both_objects_are_seen_in_their_colours(sim: PushSim) -> None:
    sim.reset(seed=2)
    red, green, blue = np.moveaxis(sim.render('front', 64, 64).astype(int), -1, 0)
    assert ((red > 120) & (green < 60) & (blue < 60)).sum() > 10
    assert ((green > 80) & (red < 60) & (blue < 80)).sum() > 10


@pytest.mark.slow
def test_teaching_records_sound_episodes_of_thirty_frames_in_pixels(tmp_path: Path) -> None:
    assert main(['teach', NAME, '--out', str(tmp_path), '--episodes', '2', '--seed', '7']) == 0
    robot = load_robot_spec('tabletop_push')
    low, high = robot.joints.limits.position_array().T
    for number in range(2):
        path = tmp_path / f'episode_{number:06d}.hdf5'
        assert check_episode(path) == []
        with EpisodeReader(path) as episode:
            assert (episode.length, episode.task, episode.success) == (30, 'push', True)
            assert not episode.compress
            assert episode.image('front', 29).shape == (64, 64, 3)
            steps = np.diff(episode.action, axis=0)
            assert 0 < np.linalg.norm(steps, axis=1).max() < 0.03
            assert ((low <= episode.action) & (episode.action <= high)).all()
            # The tool follows its command within a row or two.
            assert np.abs(episode.qpos[1:] - episode.action[:-1]).mean() < 0.02


def test_images_in_pixels_have_no_jpeg_quality(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'lesson'
    assert main(['teach', NAME, '--out', str(out), '--jpeg-quality', '80']) == 2
    assert f'--jpeg-quality is not for {NAME}' in capsys.readouterr().err
    assert not out.exists()
