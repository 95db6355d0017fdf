# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Good episodes by formula, for verdicts: two joints and their leader before a patterned wall."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import recordings

from motion_policy.episodes import EpisodeWriter
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation, Row, Sample, StreamCounters

WIDTH, HEIGHT, RATE = 160, 120, 25.0
LAG_ROWS = 2


def arm(joints: tuple[str, ...] = ('shoulder', 'elbow')) -> RobotSpec:
    """Return the robot: limits of -2 to 2 rad, 1 rad/s and 1 rad/s^2, one camera."""
    return recordings.robot_with_leader('arm', joints, ['top'], WIDTH, HEIGHT, RATE)


def commands(rows: int) -> np.ndarray:
    """Return the leader's positions (rows, 2): two swings, the second joint less."""
    time_s = np.arange(rows) / RATE
    return np.stack([0.4 - 0.4 * np.cos(1.5 * time_s), 0.25 * np.cos(1.1 * time_s)], axis=1)


def wall() -> np.ndarray:
    """Return what stands still before the camera: blocks of random brightness."""
    draw = np.random.default_rng(7)
    small = draw.integers(40, 200, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST))


def image(row: int, moved: int = 0) -> np.ndarray:
    """Return what the camera sees: the wall, a thing that moves, and noise."""
    seen = np.roll(wall(), moved, axis=1)
    left = (2 * row) % (WIDTH - 20)
    seen[50:70, left : left + 20] = (250, 30, 20)
    noise = np.random.default_rng(row).integers(-2, 3, seen.shape)
    return np.clip(seen + noise, 0, 255).astype(np.uint8)


def write(
    path: Path, rows: int = 120, *, robot: RobotSpec | None = None, **changes: float
) -> Path:
    """Write a good episode; `start`: added to its joints, `moved`: pixels of its camera."""
    robot = robot or arm()
    action = commands(rows) + changes.get('start', 0.0)
    qpos = np.concatenate([np.repeat(action[:1], LAG_ROWS, axis=0), action[:-LAG_ROWS]])
    with EpisodeWriter(path, robot, task='wave <b>') as writer:
        for index in range(rows):
            time_ns = recordings.START_NS + index * robot.period_ns
            observation = Observation(
                qpos=qpos[index].astype(np.float32),
                qvel=np.zeros(2, np.float32),
                effort=None,
                images={'top': image(index, int(changes.get('moved', 0)))},
                action=action[index].astype(np.float32),
            )
            stamp_ns = time_ns - 5_000_000
            samples = {n: Sample(stamp_ns, stamp_ns + 1_000_000, None) for n in robot.stream_names}
            counted = StreamCounters(index + 1, max_gap_ns=robot.period_ns if index else 0)
            writer.append(
                time_ns,
                observation,
                Row(
                    time_ns,
                    samples,
                    faults={},
                    ages_ns=dict.fromkeys(samples, 5_000_000),
                    counters=dict.fromkeys(samples, counted),
                ),
            )
    return path
