# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks imported data against a robot spec: joint names, units, limits, image sizes.

Joints go by their order, cameras by their names; what does not fit is refused by file and name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.untimed import rate_or_robots
from motion_policy.robot import RobotSpec
from motion_policy.robot.placeholder import placeholder_robot

Array = npt.NDArray[Any]

# A joint that never moves still needs a range to lie in.
LEAST_SPAN = 0.1


@dataclass(frozen=True)
class ForeignData:
    """What a file or a set holds: number of joints, and (height, width) of every camera."""

    source: Path
    joints: int
    cameras: Mapping[str, tuple[int, int]]

    def size(self, camera: str) -> tuple[int, int]:
        """Return the size of a camera's images.

        Raises:
            EpisodeError: there is no such camera.
        """
        if camera not in self.cameras:
            known = ', '.join(self.cameras) or 'none'
            raise EpisodeError(f"{self.source}: has no camera '{camera}', it has: {known}")
        return self.cameras[camera]


def chosen_cameras(
    data: ForeignData, robot: RobotSpec, cameras: Mapping[str, str] | None
) -> dict[str, str]:
    """Return the robot's name of every camera to import, in its order, to its name in the data.

    Raises:
        EpisodeError: the robot has no such camera.
    """
    wanted = {name: name for name in data.cameras} if cameras is None else cameras
    for ours in wanted:
        if ours not in robot.cameras:
            known = ', '.join(robot.cameras) or 'none'
            raise EpisodeError(
                f"{data.source}: camera '{ours}': robot '{robot.name}' has: {known}; expected "
                '--cameras to choose or rename (NAME=NAME_IN_FILE,...)'
            )
    return {name: wanted[name] for name in robot.cameras if name in wanted}


def the_camera(robot: RobotSpec, name: str) -> str:
    """Return the robot's camera `name`, or its only one.

    Raises:
        EpisodeError: it has no such camera, or several and none is named.
    """
    cameras = ', '.join(robot.cameras) or 'none'
    if name:
        if name not in robot.cameras:
            raise EpisodeError(f"camera '{name}': robot '{robot.name}' has: {cameras}")
        return name
    if len(robot.cameras) != 1:
        raise EpisodeError(
            f"robot '{robot.name}' has the cameras: {cameras}; "
            'expected --camera to say which one took the images'
        )
    return next(iter(robot.cameras))


def recorded_robot(
    robot: RobotSpec,
    cameras: Mapping[str, str],
    rate: float | None,
    source: Path,
    note: Callable[[str], None],
    vectors: Iterable[str] = (),
) -> RobotSpec:
    """Return the robot as the data knows it: with its cameras, its vectors and its rate.

    No such data has depth.

    Raises:
        EpisodeError: no robot has such a rate.
    """
    there = {*cameras, *vectors}
    absent = [name for name in (*robot.cameras, *robot.vectors) if name not in there]
    absent += [f'depth {name}' for name in robot.depth]
    if absent:
        names = ', '.join(absent)
        note(f"{source}: has no {names}; the episodes' robot is '{robot.name}' without")
    return robot.model_copy(
        update={
            'rate': rate_or_robots(rate, robot),
            'cameras': {name: robot.cameras[name] for name in cameras},
            'vectors': {name: robot.vectors[name] for name in vectors},
            'depth': {},
        }
    )


def check_fit(data: ForeignData, robot: RobotSpec, cameras: Mapping[str, str]) -> None:
    """Compare the number of joints and the sizes of images.

    Raises:
        EpisodeError: they differ, or the data lacks a camera.
    """
    names = robot.joints.names
    if data.joints != len(names):
        raise EpisodeError(
            f"{data.source}: has {data.joints} joints, robot '{robot.name}' has {len(names)} "
            f'({", ".join(names)}); expected the same number'
        )
    for ours, theirs in cameras.items():
        height, width = data.size(theirs)
        spec = robot.cameras[ours]
        if (height, width) != (spec.height, spec.width):
            raise EpisodeError(
                f"{data.source}: camera '{theirs}' is {width}x{height}, camera '{ours}' "
                f"of robot '{robot.name}' is {spec.width}x{spec.height}; expected a robot spec "
                f'with width: {width}, height: {height} for it'
            )


def placeholder_for_data(
    data: ForeignData,
    low: Array,
    high: Array,
    cameras: Mapping[str, str] | None,
    rate: float,
    names: tuple[str, ...] | None = None,
) -> RobotSpec:
    """Return a placeholder whose limits hold the positions from `low` to `high`, (J,) each.

    Its joints are called `names`; None: by their numbers.

    Raises:
        EpisodeError: the data lacks a camera.
    """
    widen = np.maximum(0, LEAST_SPAN - (high - low)) / 2
    wanted = {name: name for name in data.cameras} if cameras is None else cameras
    sizes = {ours: data.size(theirs) for ours, theirs in wanted.items()}
    return placeholder_robot(np.stack((low - widen, high + widen), axis=1), sizes, rate, names)
