# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training reads sets that were edited: the rows that stay, at the rate that they have then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import recordings
from training_runs import SARNN_RUN, small_run

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeReader
from motion_policy.training import train_config
from motion_policy.training.demonstrations import load_demonstrations
from motion_policy.training.train import no_progress


def test_a_set_that_was_trimmed_split_and_resampled_is_learnt_from(tmp_path: Path) -> None:
    folder = tmp_path / 'set'
    for number in range(2):
        recordings.write_episode(folder / f'episode_{number:06d}.hdf5', 40)
    with EpisodeReader(folder / 'episode_000000.hdf5') as episode:
        qpos, images = episode.qpos, episode.images('top', [7, 8])
    for words in (
        ['trim', '--head', '3', '--tail', '5', '--rows'],
        ['resample', '--rate', '25'],
        ['split', '--at', '9', '--rows'],
    ):
        assert main(['edit', words[0], str(folder), *words[1:]]) == 0
    config = train_config(small_run(folder, tmp_path / 'run', **{**SARNN_RUN, 'rate': 25}))
    data = load_demonstrations(config, no_progress)
    assert data.robot.rate == 25
    found = {each.path.name: each for each in (*data.train, *data.validation)}
    assert sorted(found) == [f'episode_{number:06d}.hdf5' for number in range(4)]
    with EpisodeReader(folder / 'episode_000000.hdf5') as episode:
        first = int(episode.time_ns[0] - recordings.START_NS) // recordings.tabletop().period_ns
        assert first in (3, 4) and episode.length == 9
        np.testing.assert_array_equal(episode.image('top', 2), images[first - 3])
    rows = found['episode_000000.hdf5'].qpos.numpy()
    np.testing.assert_array_equal(rows, qpos[first : first + 18 : 2])
