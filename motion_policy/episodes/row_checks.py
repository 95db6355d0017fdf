# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Plausibility checks of the rows of an episode, for importers, recorder and `check` alike.

Import, recorder, check and inspect all ask here: a failure is what no arm does, a note is what may
well be right and is worth a line.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from motion_policy.episodes import layout
from motion_policy.episodes.colours import ColourCount
from motion_policy.episodes.joint_range import beyond_limits, far_beyond_limits
from motion_policy.episodes.measured import EmptyDepthCount
from motion_policy.episodes.motion import (
    MotionWatch,
    fast_motion,
    impossible_commands,
    impossible_steps,
    joint_times_ns,
    stepping_grippers,
)
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation, Row

MOST_ALIKE = 3  # notes of one kind in one import
ROLES: tuple[Literal['state'], Literal['leader']] = ('state', 'leader')
FAILURES = ('step', 'far')
ALIKE = {
    'step': 'impossible steps',
    'far': 'positions far beyond limits',
    'fast': 'joints faster than their limits',
    'beyond': 'positions beyond limits',
    'grey': 'images without colours',
    'empty': 'depth without a measurement',
}

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """Something odd in a dataset, `row` and a line that names joint or camera, value and limit.

    `kind` is the same for what differs by numbers only.
    """

    kind: str
    dataset: str
    row: int
    line: str

    def in_dataset(self) -> str:
        """The line, with the dataset and the row as `check` names them."""
        return f"'/{self.dataset}' row {self.row}: {self.line}"

    @property
    def of(self) -> str:
        """What begins a line in which no dataset is named: only an action is."""
        return 'action: ' if self.dataset == layout.ACTION else ''

    def __str__(self) -> str:
        row = f'row {self.row}: ' if self.kind in FAILURES else ''
        return f'{self.of}{row}{self.line}'


@dataclass(frozen=True)
class Verdict:
    """What is odd in an episode."""

    failures: tuple[Found, ...] = ()
    notes: tuple[Found, ...] = ()


@dataclass(frozen=True)
class JointTrack:
    """The joints of an episode: positions (T, J), and times (T, J) of their samples [ns].

    `action` is None where it is only the position of the next row.
    """

    qpos: Float32Array
    qpos_ns: Int64Array
    action: Float32Array | None
    action_ns: Int64Array

    @classmethod
    def of(
        cls,
        robot: RobotSpec,
        time_ns: Int64Array,
        ages_ns: dict[str, Int64Array],
        qpos: Float32Array,
        action: Float32Array | None,
    ) -> JointTrack:
        """The joints of rows at `time_ns` (T,), whose streams were `ages_ns` (T,) old."""
        state_ns, leader_ns = (joint_times_ns(time_ns, ages_ns, robot, role) for role in ROLES)
        return cls(qpos, state_ns, action, leader_ns)


def check_joints(track: JointTrack, robot: RobotSpec) -> Verdict:
    """Hold positions and commands against the limits of the robot."""
    failures: list[Found] = []
    notes: list[Found] = []
    for dataset, values, times_ns in (
        (layout.QPOS, track.qpos, track.qpos_ns),
        (layout.ACTION, track.action, track.action_ns),
    ):
        if values is None:
            continue
        measured = dataset == layout.QPOS
        steps = (impossible_steps if measured else impossible_commands)(values, times_ns, robot)
        far = far_beyond_limits(values, robot)
        failures += [Found('step', dataset, *each) for each in steps]
        failures += [Found('far', dataset, *each) for each in far]
        if not steps and (fast := fast_motion(values, times_ns, robot, commands=not measured)):
            notes.append(Found('fast', dataset, *fast))
        if not far and (beyond := beyond_limits(values, robot)):
            row, line = beyond
            notes.append(Found('beyond', dataset, row, f'{line}, most in row {row}'))
        if measured:
            grippers = stepping_grippers(values, times_ns, robot)
            notes += [Found(line, dataset, row, line) for row, line in grippers]
    return Verdict(tuple(failures), tuple(notes))


class RowChecks:
    """Collects the joints of an episode, and looks at its images, as its rows are written."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._motion = MotionWatch(robot)
        self._colours = ColourCount()
        self._depth = EmptyDepthCount()
        # Packed, for a recording may last for hours.
        self._qpos, self._action = array('f'), array('f')
        self._time_ns = array('q')
        self._ages_ns = {
            name: array('q') for role in ROLES for name, _ in robot.joint_streams(role)
        }

    def add(
        self,
        row: Row,
        observation: Observation,
        coloured: Mapping[str, bool] = MappingProxyType({}),
    ) -> str | None:
        """Take in a row; say at once which joint moved impossibly since the one before.

        `coloured` says which images have colours, where that is known.
        """
        for camera, image in observation.images.items():
            self._colours.add(camera, len(self._time_ns), image, coloured.get(camera))
        for name, depth in observation.depth.items():
            self._depth.add(name, len(self._time_ns), depth)
        self._time_ns.append(row.time_ns)
        for name, ages_ns in self._ages_ns.items():
            ages_ns.append(row.ages_ns.get(name, 0))
        self._qpos.frombytes(observation.qpos.astype(np.float32).tobytes())
        if observation.action is not None:
            self._action.frombytes(observation.action.astype(np.float32).tobytes())
        return self._motion.look(row, observation.qpos)

    def verdict(self) -> Verdict:
        """What is odd in all rows so far."""
        if not self._time_ns:
            return Verdict()
        shape = len(self._time_ns), len(self._robot.joints.names)
        ages_ns = {name: np.array(ages, np.int64) for name, ages in self._ages_ns.items()}
        track = JointTrack.of(
            self._robot,
            np.array(self._time_ns, np.int64),
            ages_ns,
            np.array(self._qpos, np.float32).reshape(shape),
            np.array(self._action, np.float32).reshape(shape) if self._action else None,
        )
        found = check_joints(track, self._robot)
        images = (*colour_notes(self._colours), *depth_notes(self._depth))
        return Verdict(found.failures, (*found.notes, *images))


class Notes:
    """Tells what was found in many episodes: of each kind a few, then how many more there are."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: Counter[tuple[str, str]] = Counter()

    def add(self, source: object, found: Iterable[Found]) -> None:
        """Tell what was found in `source`; what says a gripper or the like again, only once."""
        for each in found:
            kind = each.dataset, each.kind
            self._told[kind] += 1
            if self._told[kind] <= (1 if each.kind == each.line else MOST_ALIKE):
                self._tell(f'{source}: {each}')

    def tell(self, source: object, lines: Iterable[str]) -> None:
        """Tell lines of `source`, all of them."""
        for line in lines:
            self._tell(f'{source}: {line}')

    def end(self, source: object) -> None:
        """Tell how many were not told."""
        for (dataset, kind), count in self._told.items():
            if kind in ALIKE and count > MOST_ALIKE:
                more = f'{ALIKE[kind]} in {count - MOST_ALIKE} more episodes'
                self._tell(f'{source}: {dataset}: {more}')


def colour_notes(colours: ColourCount) -> list[Found]:
    """A note for each camera with images that have no colours."""
    return [
        Found('grey', f'{layout.IMAGES}/{camera}', row, f"camera '{camera}': {line}")
        for camera, row, line in colours.found()
    ]


def depth_notes(depth: EmptyDepthCount) -> list[Found]:
    """A note for each depth camera with images in which nothing was measured."""
    return [
        Found('empty', f'{layout.DEPTH}/{name}', row, f"depth '{name}': {line}")
        for name, row, line in depth.found()
    ]
