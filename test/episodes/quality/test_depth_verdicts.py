# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A depth camera that measures little, or sends one image again and again, is told of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import recordings

from motion_policy.episodes import EpisodeWriter, examine_episode
from motion_policy.episodes.quality.sets import EpisodeSet
from motion_policy.episodes.quality.verdict import QualityVerdict

ROBOT = recordings.with_depth(recordings.tabletop()).with_images(['depth_top'])
ROWS = 75  # 1.5 s
PIXELS = 30 * 40


def holes(row: int, share: float) -> np.ndarray:
    """The depth of a row of which this share of pixels was not measured."""
    depth = recordings.depth_image(row)
    depth[depth == 0] = 900
    depth.flat[: round(share * PIXELS)] = 0
    return depth


def write(folder: Path, shares: dict[range, float], number: int = 0, frozen: int = 0) -> Path:
    """Write an episode; `shares` not measured, by rows; `frozen`: as many last rows are one."""
    folder.mkdir(exist_ok=True)
    path = folder / f'episode_{number:06d}.hdf5'
    share_of = [next((s for rows, s in shares.items() if t in rows), 0.1) for t in range(ROWS)]
    with EpisodeWriter(path, ROBOT) as writer:
        for index in range(ROWS):
            row = recordings.row_at(index, ROBOT)
            seen = holes(min(index, ROWS - 1 - frozen), share_of[index])
            observation = recordings.observation(index, ROBOT)
            writer.append(row.time_ns, replace(observation, depth={'top': seen}), row)
    return path


def told(path: Path, known: EpisodeSet | None = None) -> dict[str, QualityVerdict]:
    """What is said of the depth camera, by the kind."""
    known = known or EpisodeSet()
    verdicts = [*examine_episode(path, known).verdicts, *known.verdicts(path)]
    return {each.kind: each for each in verdicts if each.of == 'depth_top'}


@pytest.mark.parametrize(
    ('shares', 'value', 'level'),
    [
        ({}, 0.9, 'pass'),
        ({range(ROWS): 0.6}, 0.4, 'pass'),  # of a dark or shining scene
        ({range(ROWS): 0.8}, 0.2, 'warn'),
        ({range(20, 30): 1.0}, 0.0, 'fail'),  # a hand before it, for a while
        ({range(20, 22): 1.0}, 0.9, 'pass'),
        ({range(ROWS): 1.0}, 0.0, 'fail'),
    ],
)
def test_a_depth_camera_that_measures_little_is_told(
    tmp_path: Path, shares: dict[range, float], value: float, level: str
) -> None:
    verdict = told(write(tmp_path, shares))['coverage']
    assert (verdict.level, verdict.value) == (level, pytest.approx(value))
    assert f'{100 * value:.0f} % of its image' in verdict.sentence


@pytest.mark.parametrize(('rows', 'level'), [(0, 'pass'), (35, 'warn'), (70, 'fail')])
def test_a_frozen_depth_camera_is_told(tmp_path: Path, rows: int, level: str) -> None:
    verdict = told(write(tmp_path, {}, frozen=rows))['frozen']
    assert (verdict.level, verdict.value) == (level, pytest.approx(rows / ROBOT.rate))
    assert verdict.sentence.startswith("depth camera 'top' sent one and the same image")


def test_less_than_in_the_others_of_the_set_is_told(tmp_path: Path) -> None:
    known = EpisodeSet()
    paths = [
        write(tmp_path, {range(ROWS): share}, number)
        for number, share in enumerate([0.1, 0.12, 0.08, 0.1, 0.1, 0.45])
    ]
    first = told(paths[0], known)
    assert 'usual_coverage' not in first  # nobody knows what is usual
    for path in paths[1:-1]:
        told(path, known)
    last = told(paths[-1], known)
    assert (last['coverage'].level, last['usual_coverage'].level) == ('pass', 'warn')
    assert last['usual_coverage'].value == pytest.approx(0.55 / 0.9)
    assert '55 % of its image, in the others of the set 90 %' in last['usual_coverage'].sentence
