# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An episode of a base: it may change its velocity at once, and is not idle while it drives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mobile_robots import mobile_robot
from recordings import row_at

from motion_policy.cli.episode_plots import episode_curves
from motion_policy.episodes import EpisodeReader, EpisodeWriter, check_episode
from motion_policy.episodes.editing.idle import idle_ends
from motion_policy.episodes.quality.joints import joint_verdicts
from motion_policy.episodes.quality.numbers import EpisodeNumbers
from motion_policy.streams import Observation

ROBOT = mobile_robot('[-0.2, 0.5]', '[0.0, 0.5]')
STANDS, DRIVES = (10, 30), 60  # rows at the head and at the tail, and between them


@pytest.fixture(scope='module')
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arm that stands on a base which drives at its limit between two sudden steps."""
    path = tmp_path_factory.mktemp('mobile') / 'episode_000000.hdf5'
    head, tail = STANDS
    forward = np.concatenate((np.zeros(head), np.full(DRIVES, 0.5), np.zeros(tail)))
    with EpisodeWriter(path, ROBOT) as writer:
        for index, velocity in enumerate(forward):
            qpos = np.float32([0.1, 0.2, velocity, 0.01 * np.sin(index)])  # and its noise
            row = row_at(index, ROBOT)
            writer.append(row.time_ns, Observation(qpos, 0 * qpos, None, {}, qpos), row)
    return path


def test_it_is_sound(episode: Path) -> None:
    assert check_episode(episode) == []


def test_plots_tell_the_units_of_its_velocities(episode: Path) -> None:
    with EpisodeReader(episode) as reader:
        names = tuple(episode_curves(reader).names)
    assert names[:2] == reader.joint_names[:2]
    assert names[2:] == ('base_forward (m/s)', 'base_turn (rad/s)')


def test_rows_in_which_the_base_drives_are_not_idle(episode: Path) -> None:
    with EpisodeReader(episode) as reader:
        assert idle_ends(reader) == STANDS


def test_its_velocities_are_neither_too_fast_nor_clipped_nor_jerky(episode: Path) -> None:
    with EpisodeReader(episode) as reader:
        numbers = EpisodeNumbers.of(reader)
    assert [v for v in joint_verdicts(numbers) if v.level != 'pass' and 'base' in v.of] == []
    head, tail = STANDS
    assert numbers.moving.tolist()[head:-tail] == [True] * DRIVES
