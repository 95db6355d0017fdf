# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The video of a demo shows the arm where it was, what the policy saw, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motion_policy.evaluation.trial_video import (
    FPS,
    HEIGHT,
    HOLD_S,
    WIDTH,
    TrialRecord,
    TrialVideo,
)
from motion_policy.simulation.tabletop import HOME

CUBE_POSE = (0.2, 0.05, 0.015, 1.0, 0.0, 0.0, 0.0)
SEEN = (10, 250, 20)


def record_of(seconds: float = 0.8, turn_rad: float = 1.0) -> TrialRecord:
    """The base turns steadily; the policy sees a plain colour."""
    state_s = np.arange(0, seconds + 0.005, 0.01)
    qpos = np.tile(np.array(HOME), (len(state_s), 1))
    qpos[:, 0] = turn_rad * state_s / seconds
    return TrialRecord(
        number=2, count=10, position='B', taught=False, success_s=seconds / 2,
        state_s=state_s, qpos=qpos,
        cube_s=state_s[::2], cube_pose=np.tile(np.array(CUBE_POSE), (len(state_s[::2]), 1)),
        attention_s=state_s[::10],
        attention=np.full((len(state_s[::10]), 24, 24, 3), SEEN, np.uint8),
    )  # fmt: skip


@pytest.fixture(scope='module')
def video() -> Iterator[TrialVideo]:
    """One video, whose renderer serves all tests."""
    video = TrialVideo(speed=2.0)
    yield video
    video.close()


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    """Numbers, words and arrays come back as they were."""
    record = record_of()
    record.save(tmp_path / 'trial.npz')
    loaded = TrialRecord.load(tmp_path / 'trial.npz')
    for name, value in vars(record).items():
        np.testing.assert_array_equal(getattr(loaded, name), value, err_msg=name)
    assert isinstance(loaded.position, str) and loaded.taught is False and loaded.success


def test_frames_follow_the_trial(video: TrialVideo) -> None:
    """Twice as fast as life, the arm moves, the inset is what was seen, the badge comes last."""
    frames = list(video.frames(record_of()))
    assert len(frames) == round(0.8 / 2 * FPS) + round(HOLD_S * FPS)
    assert all(frame.shape == (HEIGHT, WIDTH, 3) and frame.dtype == np.uint8 for frame in frames)
    arm = (slice(60, 260), slice(330, 640))
    moved = np.abs(frames[-1][arm].astype(int) - frames[0][arm].astype(int)).mean()
    assert moved > 3
    assert (frames[0][60, WIDTH - 100] == SEEN).all()
    badge = (slice(150, 175), slice(30, 200))
    before, after = frames[0][badge].mean(axis=(0, 1)), frames[-1][badge].mean(axis=(0, 1))
    assert after[1] > after[0] + 40 and not before[1] > before[0] + 40


def test_without_attention_there_is_no_inset(video: TrialVideo) -> None:
    """A policy that explains nothing leaves the view free."""
    record = record_of(0.1)
    empty = replace(record, attention_s=np.empty(0), attention=np.empty((0, 0, 0, 3), np.uint8))
    [frame, *_] = video.frames(empty)
    [with_inset, *_] = video.frames(record)
    assert np.abs(frame[40:240, 720:900].astype(int) - with_inset[40:240, 720:900]).mean() > 20


def test_the_closing_shows_every_trial(video: TrialVideo) -> None:
    """A failed trial leaves a red dot."""
    list(video.frames(record_of(0.1)))
    good = next(video.closing([('A', True, True), ('B', False, True)]))
    bad = next(video.closing([('A', True, True), ('B', False, False)]))
    # Below the words: the dots.
    changed = np.argwhere((good[270:] != bad[270:]).any(axis=2)) + [270, 0]
    y, x = changed.mean(axis=0).astype(int)
    assert bad[y, x, 0] > bad[y, x, 1] > 0
