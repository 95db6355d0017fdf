# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Demonstrations in memory, at the robot's rate and the policy's image size.

Every image is brought to how a policy sees it once, by what the running policy uses. A sequence
for training takes each `stride`-th row from one of `stride` phases.
"""

from __future__ import annotations

import glob
import hashlib
import math
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motion_policy.episodes import EpisodeReader, list_episodes
from motion_policy.policies.action_space import OF_TOOL, ActionSpace
from motion_policy.policies.camera_view import CameraView
from motion_policy.policies.normalisation import (
    MeanStd,
    MinMax,
    Normalisation,
    Statistics,
    value_range,
)
from motion_policy.policies.robot_fit import is_same_tool
from motion_policy.robot import RobotSpec, RobotSpecError
from motion_policy.robot.tool import tool_movers
from motion_policy.training.config import (
    ActionSpaceKey,
    ConfigError,
    EpisodesConfig,
    TrainConfig,
    action_space,
    seen_depth,
    seen_vectors,
    sees_effort,
    weighed_interventions,
)
from motion_policy.training.config_sections import DataConfig
from motion_policy.training.interventions import Corrections, count_corrections, row_weights
from motion_policy.training.stored_frames import StoredFrames, fits_in_memory

READ_FRAMES = 128  # decoded at full size at once while loading
STILL_SHARE = 0.01  # of its limits: a joint that moves less is not stretched to the whole range
STILL_EFFORT = 1e-3  # N m or N; likewise
STILL_INPUT = 1e-3  # in its own unit; likewise

Progress = Callable[[Sequence[Path], str], Iterable[Path]]


@dataclass(frozen=True)
class Demonstration:
    """One episode: images {camera: (T, h, w, 3) uint8; depth: (T, h, w, 2)} in memory or stored;
    qpos, action and, where the policy sees them, effort (T, J) and inputs (T, I), the columns of
    its vectors one after the other, float32; features (T, F) in place of the images where these
    are fixed; targets (T, A), the action that leads to each row a step later, where it is not in
    joints. Of a rollout `intervention` (T,) bool is where a person drove, `by_policy` (T,) where
    the policy did; `weights` (T,) is what each row counts, where rows do not count alike.
    """

    path: Path
    images: dict[str, Any]
    qpos: Tensor
    action: Tensor
    effort: Tensor | None = None
    features: Tensor | None = None
    inputs: Tensor | None = None
    targets: Tensor | None = None
    intervention: Tensor | None = None
    by_policy: Tensor | None = None
    weights: Tensor | None = None

    @property
    def length(self) -> int:
        return len(self.qpos)

    @property
    def columns(self) -> dict[str, Tensor]:
        """What there is per joint, and the numbers of vectors, by name."""
        known: dict[str, Tensor | None] = {
            'qpos': self.qpos, 'action': self.action, 'effort': self.effort, 'inputs': self.inputs,
        }  # fmt: skip
        return {name: values for name, values in known.items() if values is not None}

    def rows(self, chosen: slice) -> Demonstration:
        """Some of the rows."""
        images = {name: image[chosen] for name, image in self.images.items()}
        columns = {name: values[chosen] for name, values in self.columns.items()}
        others = {
            name: None if (values := getattr(self, name)) is None else values[chosen]
            for name in ('features', 'targets', 'intervention', 'by_policy', 'weights')
        }
        return Demonstration(self.path, images, **columns, **others)


@dataclass(frozen=True)
class Demonstrations:
    """Episodes of one robot, split into those to learn from and those to judge on."""

    robot: RobotSpec
    train: tuple[Demonstration, ...]
    validation: tuple[Demonstration, ...]
    stride: int  # rows of the robot per step of the policy
    corrections: Corrections | None = None  # where they count otherwise than demonstrations

    @property
    def rollouts(self) -> int:
        """How many of the episodes to learn from a policy drove."""
        return sum(episode.intervention is not None for episode in self.train)

    def target_statistics(
        self, actions: Tensor, space: ActionSpace, like: Statistics
    ) -> Statistics:
        """How actions (N, A) of a space are scaled: by the same kind of statistics as others."""
        values, least = actions.double(), space.still(self._still('action'))
        if isinstance(like, MinMax):
            return value_range(values.amin(0).tolist(), values.amax(0).tolist(), least.tolist())
        std = torch.maximum(values.std(0, correction=0), least / math.sqrt(12))
        return MeanStd(mean=tuple(values.mean(0).tolist()), std=tuple(std.tolist()))

    def range_normalisation(self) -> Normalisation:
        """Ranges of joints, efforts and vectors, from the training episodes alone."""
        ranges = {}
        for name, values in self._columns().items():
            low, high = values.amin(0).tolist(), values.amax(0).tolist()
            ranges[name] = value_range(low, high, self._still(name).tolist())
        return Normalisation(**ranges)

    def mean_std_normalisation(self) -> Normalisation:
        """Means and standard deviations instead of ranges.

        The least deviation is that of an even movement over what counts as still.
        """
        columns = {}
        for name, values in self._columns().items():
            least = self._still(name) / math.sqrt(12)
            std = torch.maximum(values.std(0, correction=0), least)
            columns[name] = MeanStd(mean=tuple(values.mean(0).tolist()), std=tuple(std.tolist()))
        return Normalisation(**columns)

    def _columns(self) -> dict[str, Tensor]:
        """All training rows of each column, (N, J) float64."""
        return {
            name: torch.cat([episode.columns[name] for episode in self.train]).double()
            for name in self.train[0].columns
        }

    def _still(self, column: str) -> Tensor:
        """The span (J,) below which a joint, or a number of a vector (I,), counts as still."""
        if column == 'inputs':
            assert self.train[0].inputs is not None
            return torch.full((self.train[0].inputs.shape[1],), STILL_INPUT).double()
        limits = torch.from_numpy(self.robot.joints.limits.position_array()).double()
        span = STILL_SHARE * (limits[:, 1] - limits[:, 0])
        return torch.full_like(span, STILL_EFFORT) if column == 'effort' else span

    def fingerprint(self) -> dict[str, Any]:
        """What was learnt from: counts, names and a digest of names and joint values."""
        digest = hashlib.sha256()
        for episode in (*self.train, *self.validation):
            digest.update(episode.path.name.encode())
            for values in episode.columns.values():
                digest.update(values.numpy().tobytes())
            if episode.weights is not None and episode.intervention is not None:
                digest.update(episode.intervention.numpy().tobytes())
                digest.update(episode.weights.numpy().tobytes())
        told = {} if self.corrections is None else {'corrections': self.corrections.to_json()}
        return {
            'episodes': len(self.train),
            'validation_episodes': len(self.validation),
            'rows': sum(episode.length for episode in self.train),
            'sha256': digest.hexdigest(),
            'train': [episode.path.name for episode in self.train],
            'validation': [episode.path.name for episode in self.validation],
            **told,
        }


def load_demonstrations(config: TrainConfig, progress: Progress) -> Demonstrations:
    """Reads all episodes of the configuration. Raises ConfigError or EpisodeError."""
    train_paths, validation_paths = split_episodes(config.data, config.seed)
    held = fits_in_memory(config, [*train_paths, *validation_paths])
    reading = _Reading(config, held)
    episodes: dict[Path, Demonstration] = {}
    for path in progress([*train_paths, *validation_paths], 'reading episodes'):
        episode = reading.read(path)
        if episode is not None:
            episodes[path] = episode
    train = tuple(episodes[path] for path in train_paths if path in episodes)
    validation = tuple(episodes[path] for path in validation_paths if path in episodes)
    if not train or reading.robot is None:
        raise ConfigError(
            f'data.train: none of the {len(train_paths)} episodes is a success, '
            'expected at least one (or data.failures=true)'
        )
    data = Demonstrations(reading.robot, train, validation, reading.stride)
    return with_actions(config, with_weights(config, data))


def with_weights(config: TrainConfig, data: Demonstrations) -> Demonstrations:
    """The demonstrations with `weights`, where the configuration says what corrections count.

    Of whole episodes they are relative to the mean over all training rows. ConfigError where
    nothing is left to learn from, or to judge on.
    """
    counts = weighed_interventions(config)
    if counts is None:
        return data
    rate = data.robot.rate

    def weighed(key: str, episodes: Sequence[Demonstration]) -> list[Tensor]:
        each = [row_weights(e.intervention, e.length, rate, counts, e.by_policy) for e in episodes]
        if each and not any(weights.any() for weights in each):
            raise ConfigError(
                f'{key}: none of the rows of {len(each)} rollouts count (data.interventions), '
                'expected demonstrations, or corrections in them'
            )
        return each

    train = weighed('data.train', data.train)
    validation = weighed('data.validation', data.validation)
    corrections = count_corrections([episode.intervention for episode in data.train], train)
    scale = 1.0
    if isinstance(config, EpisodesConfig):
        scale = 1 / float(torch.cat(train).mean())

    def told(
        episodes: Sequence[Demonstration], weights: Sequence[Tensor]
    ) -> tuple[Demonstration, ...]:
        pairs = zip(episodes, weights, strict=True)
        return tuple(replace(episode, weights=scale * counted) for episode, counted in pairs)

    return replace(
        data,
        train=told(data.train, train),
        validation=told(data.validation, validation),
        corrections=corrections,
    )


def with_actions(config: TrainConfig, data: Demonstrations) -> Demonstrations:
    """The demonstrations with `targets`, where a recurrent policy learns other than joints."""
    space = action_space(config, data.robot)
    if not isinstance(config, EpisodesConfig) or space.name == 'joints':
        return data
    stride, name = data.stride, config.target

    def told(episode: Demonstration) -> Demonstration:
        targets, here = space.placed(episode.columns[name]), space.placed(episode.qpos)
        # A step sees a row and predicts the one a stride later; the first ones nobody predicts.
        before = torch.cat((here[:stride], here[:-stride]))
        return replace(episode, targets=space.express(targets, before))

    return replace(
        data,
        train=tuple(map(told, data.train)),
        validation=tuple(map(told, data.validation)),
    )


def split_episodes(data: DataConfig, seed: int) -> tuple[list[Path], list[Path]]:
    """The files to learn from and those to judge on; the same split for the same seed."""
    train = _expand(data.train, 'data.train')
    if not isinstance(data.validation, float):
        validation = _expand(data.validation, 'data.validation')
        both = set(train) & set(validation)
        if both:
            raise ConfigError(f'{min(both)}: is in data.train and in data.validation')
        return train, validation
    count = round(data.validation * len(train))
    if data.validation > 0 and len(train) > 1:
        count = max(1, count)
    held = set(random.Random(seed).sample(range(len(train)), count))
    return (
        [path for index, path in enumerate(train) if index not in held],
        [path for index, path in enumerate(train) if index in held],
    )


def _expand(patterns: Sequence[str], key: str) -> list[Path]:
    paths: list[Path] = []
    for pattern in patterns:
        found = [pattern]
        if glob.has_magic(pattern):
            found = sorted(glob.glob(pattern, recursive=True))
            if not found:
                raise ConfigError(f"{key}: nothing matches '{pattern}'")
        paths += list_episodes(found)
    return list(dict.fromkeys(paths))


class _Reading:
    """Reads one episode after the other; all must be of the robot of the first."""

    def __init__(self, config: TrainConfig, held: bool) -> None:
        self.config, self.held = config, held
        self.robot: RobotSpec | None = None
        self.views: dict[str, CameraView] = {}
        self.stride = 1

    def read(self, path: Path) -> Demonstration | None:
        """The episode, or None if it is a failure that shall not be learnt from."""
        with EpisodeReader(path) as reader:
            if reader.success is False and not self.config.data.failures:
                return None
            self._check_robot(path, reader.robot, reader.rate)
            columns = self._columns(path, reader)
            for name, values in columns.items():
                self._check_values(path, name, values, reader.length)
            driven = _who_drove(reader)
            views, rows = self.views, range(reader.length)
            if self.held:
                images = {name: _read_images(reader, view) for name, view in views.items()}
            else:
                images = {name: StoredFrames(path, view, rows) for name, view in views.items()}
        tensors = {name: torch.from_numpy(values) for name, values in columns.items()}
        return Demonstration(path, images, **tensors, **driven)

    def _columns(self, path: Path, reader: EpisodeReader) -> dict[str, npt.NDArray[np.float32]]:
        columns = {'qpos': reader.qpos, 'action': reader.action}
        if sees_effort(self.config):
            if reader.effort is None:
                raise ConfigError(f'{path}: has no efforts, expected them with effort=true')
            columns['effort'] = reader.effort
        if names := seen_vectors(self.config):
            numbers = [reader.vector(name).reshape(reader.length, -1) for name in names]
            columns['inputs'] = np.concatenate(numbers, axis=1)
        return columns

    def _check_robot(self, path: Path, robot: RobotSpec, rate: float) -> None:
        for name in seen_depth(self.config):
            if name not in robot.depth:
                known = ', '.join(robot.depth) or 'none'
                raise ConfigError(f"{path}: has no depth '{name}', but: {known}")
        for camera in self.config.cameras:
            if camera not in robot.cameras:
                known = ', '.join(robot.cameras) or 'none'
                raise ConfigError(f"{path}: has no camera '{camera}', but: {known}")
        for name in seen_vectors(self.config):
            if name not in robot.vectors:
                known = ', '.join(robot.vectors) or 'none'
                raise ConfigError(f"{path}: has no vector '{name}', but: {known}")
        if self.robot is None:
            self.stride = round(rate / self.config.rate)
            if self.stride < 1 or abs(self.stride * self.config.rate - rate) > 1e-6 * rate:
                raise ConfigError(
                    f'{path}: has {rate:g} rows per second, of which rate={self.config.rate:g} '
                    'is no whole part'
                )
            self.robot = self._with_tool(path, robot)
            self.views = {name: self.config.view(name, robot) for name in self.config.images}
        else:
            self._check_tool(path, robot)
        first = self.robot
        for name, view in self.views.items():
            _check_view(path, view, self.config.view(name, robot), first)
        for what, found, expected in (
            ('joints', robot.joints.names, first.joints.names),
            ('rate', rate, first.rate),
            *(
                (f"'{name}'", robot.vectors[name].meaning, first.vectors[name].meaning)
                for name in seen_vectors(self.config)
            ),
        ):
            if found != expected:
                raise ConfigError(
                    f'{path}: {what} {found}, expected {expected} as in the first episode '
                    f"('{first.name}')"
                )

    def _with_tool(self, path: Path, robot: RobotSpec) -> RobotSpec:
        """The robot with the tool of the configuration, if that names one; ConfigError: none."""
        config = self.config
        if not isinstance(config, ActionSpaceKey):
            return robot
        if config.tool is not None:
            try:
                tool_movers(config.tool, robot.joints.names, 'training')
            except RobotSpecError as error:
                raise ConfigError(str(error).removeprefix('training: ')) from None
            return robot.model_copy(update={'tool': config.tool})
        if robot.tool is None and config.action_space in OF_TOOL:
            raise ConfigError(
                f"{path}: robot '{robot.name}' has no tool, expected tool: {{link: LINK, urdf: "
                f"PATH}} in the configuration with action_space '{config.action_space}'"
            )
        return robot

    def _check_tool(self, path: Path, robot: RobotSpec) -> None:
        assert self.robot is not None
        config = self.config
        if not isinstance(config, ActionSpaceKey) or config.action_space not in OF_TOOL:
            return
        first = self.robot.tool
        if config.tool is not None or first is None:
            return
        if robot.tool is None or not is_same_tool(first, robot.tool, self.robot):
            raise ConfigError(
                f'{path}: has another tool (or its URDF) than the first episode, expected the '
                'same or tool: {link: LINK, urdf: PATH} in the configuration'
            )

    def _check_values(
        self, path: Path, name: str, values: npt.NDArray[np.float32], length: int
    ) -> None:
        assert self.robot is not None
        width = len(self.robot.joints.names)
        if name == 'inputs':
            vectors = [self.robot.vectors[one] for one in seen_vectors(self.config)]
            width = sum(len(vector.numbers) for vector in vectors)
        if values.shape != (length, width):
            raise ConfigError(f'{path}: {name} is {values.shape}, expected {(length, width)}')
        least, why = 2 * self.stride + 1, f': two steps at {self.config.rate:g} Hz'
        if self.config.single_rows:
            least, why = 1, ''
        if length < least:
            raise ConfigError(f'{path}: {length} rows, expected at least {least}{why}')


def _who_drove(reader: EpisodeReader) -> dict[str, Tensor]:
    """Of a rollout, where a person drove and where the policy did; nothing of a demonstration."""
    intervention, wanted = reader.intervention, reader.policy_action
    if intervention is None:
        return {}
    found = {'intervention': torch.from_numpy(intervention)}
    if wanted is not None:
        known = ~np.isnan(wanted).any(axis=1)
        found['by_policy'] = torch.from_numpy(known & ~intervention)
    return found


def _check_view(path: Path, first: CameraView, its: CameraView, robot: RobotSpec) -> None:
    """ConfigError for an episode of which something else would be seen than of the first one."""
    if its.options != first.options:
        raise ConfigError(
            f"{path}: camera '{its.camera}' has {its.options}, expected {first.options} as in the "
            f"first episode ('{robot.name}'), or fit of '{its.camera}' in the configuration"
        )
    if first.options.crop is not None and its.sent != first.sent:
        raise ConfigError(
            f"{path}: camera '{its.camera}' is {its.sent[1]}x{its.sent[0]}, expected "
            f'{first.sent[1]}x{first.sent[0]} as in the first episode, where crop '
            f'{list(first.options.crop)} is taken'
        )


def _read_images(reader: EpisodeReader, view: CameraView) -> Tensor:
    parts = []
    for start in range(0, reader.length, READ_FRAMES):
        rows = range(start, min(start + READ_FRAMES, reader.length))
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # JPEGs decode side by side
            images = list(threads.map(lambda row: reader.frame(view.camera, row), rows))
        parts.append(view(torch.from_numpy(np.stack(images))))
    return torch.cat(parts).contiguous()
