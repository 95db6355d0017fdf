# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded data as rows in the order of time: episode files, or bags through the live sampler.

Images are decoded only for the rows that ask for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import EpisodeError, EpisodeReader, list_episodes
from motion_policy.episodes.formats.rosbag.read import bag_topics, is_bag, read_bag_rows
from motion_policy.episodes.rollouts import Interventions
from motion_policy.errors import UserError
from motion_policy.policies import Model, check_robot
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation, Row, StreamError, observation_from_row

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RecordedRow:
    """One row: when, measured joints (J,), the action (J,) if any, and the rest on demand."""

    time_ns: int
    qpos: Float32Array
    action: Float32Array | None
    observe: Callable[[], Observation]


@dataclass(frozen=True)
class RecordedRun:
    """One episode or bag; `rows` begins at the first row each time it is called.

    `task` is what an episode says of itself; `taught` is whether the policy was trained on it;
    of a rollout `interventions` says how often a person took over.
    """

    name: str
    rate_hz: float
    rows: Callable[[], Iterator[RecordedRow]]
    task: str = ''
    taught: bool | None = None
    interventions: Interventions | None = None


def find_recordings(paths: Sequence[str | Path], policy: Model) -> list[RecordedRun]:
    """The recordings among files and folders, checked to be of the policy's robot.

    Raises:
        UserError: nothing there, damaged, or recorded with other joints or cameras.
    """
    recordings: list[RecordedRun] = []
    for path in map(Path, paths):
        if is_bag(path):
            recordings.append(_bag(path, policy))
        else:
            recordings += [_episode(episode, policy) for episode in list_episodes(path)]
    return recordings


def _episode(path: Path, policy: Model) -> RecordedRun:
    with EpisodeReader(path) as episode:
        if episode.joint_names != policy.joint_names:
            raise EpisodeError(
                f'{path}: has joints [{", ".join(episode.joint_names)}], but {policy.source} was '
                f'trained for [{", ".join(policy.joint_names)}]'
            )
        missing = [camera for camera in policy.cameras if camera not in episode.robot.image_topics]
        if missing:
            raise EpisodeError(
                f"{path}: has no camera '{missing[0]}', which {policy.source} needs; it has: "
                f'{", ".join(episode.robot.image_topics) or "none"}'
            )
        try:
            check_robot(policy, _with_tool_of_training(policy, episode.robot))
        except UserError as error:
            raise EpisodeError(f'{path}: {error}') from None
        if episode.length < 1:
            raise EpisodeError(f'{path}: holds no rows, expected at least one')
        if policy.spec.effort and episode.effort is None:
            raise EpisodeError(_without_effort(path, policy))
        rate, task, driven = episode.rate, episode.task, episode.interventions
    rows = partial(_episode_rows, path, policy)
    return RecordedRun(str(path), rate, rows, task, was_trained_on(path, policy), driven)


def _with_tool_of_training(policy: Model, robot: RobotSpec) -> RobotSpec:
    """The robot, whose own tool does not count where the training named another one."""
    named = policy.spec.training.get('tool') is not None
    return robot.model_copy(update={'tool': policy.spec.robot.tool}) if named else robot


def was_trained_on(path: Path, policy: Model) -> bool | None:
    """Whether the checkpoint names this file among its training data; None if it names none."""
    names = policy.spec.data.get('train')
    if not names:
        return None
    if path.name not in names:
        return False
    # Files of other folders have the same names; the root may be that of another machine.
    given = (policy.spec.training.get('data') or {}).get('train') or ()
    ends = ['/'.join(Path(entry).parts[-2:]).lstrip('./') for entry in given]
    here = path.resolve()
    return not any(ends) or any(
        end and (here.match(end) or here.parent.match(end)) for end in ends
    )


def conditions(recordings: Sequence[RecordedRun]) -> list[str]:
    """What to call the group of each recording: its task, or its folder, where these differ."""
    tasks = [recording.task for recording in recordings]
    folders = [Path(recording.name).resolve().parent.name for recording in recordings]
    for names in (tasks, folders):
        if len(set(names)) > 1:
            return [name or 'no task' for name in names]
    return ['recordings'] * len(recordings)


def _without_effort(path: Path, policy: Model) -> str:
    return f'{path}: holds no joint efforts, which {policy.source} was trained with'


def _episode_rows(path: Path, policy: Model) -> Iterator[RecordedRow]:
    with EpisodeReader(path) as episode:
        for index in range(episode.length):
            yield RecordedRow(
                int(episode.time_ns[index]),
                episode.qpos[index],
                episode.action[index],
                partial(_episode_observation, episode, policy, index),
            )


def _episode_observation(episode: EpisodeReader, policy: Model, index: int) -> Observation:
    return Observation(
        qpos=episode.qpos[index],
        qvel=episode.qvel[index],
        effort=None if episode.effort is None else episode.effort[index],
        images={camera: episode.frame(camera, index) for camera in policy.cameras},
        action=episode.action[index],
        vectors={name: episode.vector(name)[index] for name in policy.spec.inputs},
    )


def _bag(path: Path, policy: Model) -> RecordedRun:
    robot = policy.spec.robot
    topics = {entry.topic for entry in bag_topics(path)}
    # A bag of the robot alone has no leader; then the joints themselves are the truth.
    led = all(f'/{topic.topic.lstrip("/")}' in topics for topic in robot.joints.leader)
    seen = robot.with_images(policy.cameras).model_copy(
        update={
            'vectors': {name: robot.vectors[name] for name in policy.spec.inputs},
            'joints': robot.joints if led else robot.joints.model_copy(update={'leader': ()}),
        }
    )
    return RecordedRun(str(path), robot.rate, partial(_bag_rows, path, seen, policy))


def _bag_rows(path: Path, robot: RobotSpec, policy: Model) -> Iterator[RecordedRow]:
    """The complete rows of the bag, as the recorder would have written them."""
    joints_only = robot.model_copy(update={'cameras': {}, 'depth': {}, 'vectors': {}})
    faults: dict[str, str] = {}
    begun = False
    for row in read_bag_rows(path, robot):
        faults = row.faults
        if row.complete:
            begun = True
            joints = _bag_observation(path, row, joints_only)
            if policy.spec.effort and joints.effort is None:
                raise EpisodeError(_without_effort(path, policy))
            observe = partial(_bag_observation, path, row, robot)
            yield RecordedRow(row.time_ns, joints.qpos, joints.action, observe)
    if not begun:
        told = '; '.join(f"stream '{name}': {fault}" for name, fault in faults.items())
        raise EpisodeError(f'{path}: {told or "holds no row"}, expected all streams at some time')


def _bag_observation(path: Path, row: Row, robot: RobotSpec) -> Observation:
    try:
        return observation_from_row(row, robot)
    except StreamError as error:
        raise EpisodeError(f'{path}: {error}') from None
