# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Type of a reader: a command, a small input for it, and the comparison of its results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from motion_policy.episodes import EpisodeReader

ROWS = 6
SIZE = 32
SPEC = f"""
name: small_arm
rate: 10.0
joints:
  names: [base, shoulder, gripper]
  state: {{topic: joint_states, type: sensor_msgs/msg/JointState}}
  leader: {{topic: leader, type: sensor_msgs/msg/JointState}}
  command: {{topic: command, type: std_msgs/msg/Float64MultiArray}}
  limits:
    position: [[-2, 2], [-2, 2], [-2, 2]]
    velocity: [10.0, 10.0, 10.0]
    acceleration: [100.0, 100.0, 100.0]
cameras:
  top: {{topic: top/image_raw, width: {SIZE}, height: {SIZE}}}
"""


@dataclass(frozen=True)
class Reader:
    """A command and an input of it.

    Args:
        name: what is read, and by which command.
        make: makes the input in a folder from episodes and the robot spec; returns its path.
        command: arguments of `motion-policy`, from input, output and robot spec.
        result: what it made or read, so that two results can be compared; from input and output.
        torch: whether it needs torch, which makes a process large and slow to fork.
    """

    name: str
    make: Callable[[Path, Path, Path], Path]
    command: Callable[[Path, Path, Path], list[str]]
    result: Callable[[Path, Path], str]
    torch: bool = False


def importing(kind: str, *options: str) -> Callable[[Path, Path, Path], list[str]]:
    def command(source: Path, out: Path, robot: Path) -> list[str]:
        named = ['--out', str(out), '--robot', str(robot), '--from', kind]
        return ['import', str(source), *named, *options]

    return command


def of_episodes(source: Path, out: Path) -> str:
    return digest_of(out.rglob('*.hdf5'))


def digest_of(episodes: Iterable[Path]) -> str:
    """Everything that a reader gives of some episodes."""
    digest = hashlib.sha256()
    for path in sorted(episodes):
        with EpisodeReader(path) as episode:
            for values in (episode.qpos, episode.qvel, episode.action, episode.time_ns):
                digest.update(values.tobytes())
            digest.update(repr((episode.success, episode.task, episode.joint_names)).encode())
            for camera in episode.cameras:
                digest.update(episode.images(camera, range(episode.length)).tobytes())
    return digest.hexdigest()


def of_checkpoint(source: Path, out: Path) -> str:
    """Everything that decides what a policy answers."""
    from safetensors.torch import load_file
    from torch import float64

    spec = yaml.safe_load((out / 'policy.yaml').read_text())
    kept = {key: spec[key] for key in ('kind', 'rate', 'cameras', 'normalisation', 'hyper')}
    (weights,) = out.glob('*.safetensors')
    numbers = {key: value.sum(dtype=float64).item() for key, value in load_file(weights).items()}
    return repr((kept, numbers))
