# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of an episode against the others of its set: length, rates, joints, poses, cameras.

Of each episode a profile of a few kilobytes is kept, of the first ones their cameras' features.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.quality.camera_motion import CameraFeatures, camera_shift, features_of
from motion_policy.episodes.quality.images import measured_share
from motion_policy.episodes.quality.joints import still_verdict
from motion_policy.episodes.quality.numbers import Array, EpisodeNumbers
from motion_policy.episodes.quality.streams import rate_hz, rate_verdict
from motion_policy.episodes.quality.verdict import QualityVerdict, verdict_on
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.robot import RobotSpec, depth_stream

LEAST_OTHERS = 5  # episodes, to say what is usual
FIRST = 3  # episodes: where the cameras were when the set began
MAD_TO_DEVIATION = 1.4826  # of a normal distribution
ALIKE_POSES = 2  # other episodes with a pose, which is no stray one then
LEAST_DEVIATION_S = 0.02  # at a joint's full speed: closer than that nobody brings an arm


@dataclass(frozen=True)
class CameraViews:
    """Features of what stands still in an episode, and of all in its first and last image."""

    still: CameraFeatures
    first: CameraFeatures
    last: CameraFeatures


@dataclass(frozen=True)
class EpisodeProfile:
    """What an episode of J joints is compared by.

    Attributes:
        start, end: the first and the last position (J,).
        moved: the way between the least and the greatest position (J,).
        idle_s: how long nothing moves at the beginning, and at the end.
        rates_hz: of its streams, as far as they can be told.
        coverages: the share of three images that was measured, of its depth cameras.
        views: of its cameras, while they may be compared with others.
        shifts: how far its cameras were moved, where that was told before.
    """

    path: Path
    robot: RobotSpec
    start: Array
    end: Array
    moved: Array
    duration_s: float
    idle_s: tuple[float, float]
    rates_hz: dict[str, float]
    views: dict[str, CameraViews]
    coverages: dict[str, float] = field(default_factory=dict)
    shifts: dict[str, float] = field(default_factory=dict)

    @property
    def alike(self) -> Any:
        """What episodes of one set have in common."""
        sizes = tuple((name, c.width, c.height) for name, c in self.robot.cameras.items())
        return self.path.parent, self.robot.joints.names, sizes


def profile_of(
    episode: EpisodeReader, numbers: EpisodeNumbers, *, cameras: bool = True
) -> EpisodeProfile:
    """The profile of an episode; of its images three of each camera are read."""
    views = {}
    for camera in episode.cameras if cameras else ():
        try:
            first, middle, last = (episode.image(camera, row) for row in _three(episode))
        except EpisodeError:  # a damaged image, which is told of as that
            continue
        views[camera] = CameraViews(
            features_of(first, [middle, last]), features_of(first), features_of(last)
        )
    coverages = {}
    for name in episode.robot.depth:
        with suppress(EpisodeError):
            shares = [measured_share(episode.depth(name, row)) for row in _three(episode)]
            coverages[name] = median(shares)
    rates = {name: rate_hz(numbers, name) for name in numbers.robot.stream_names}
    return EpisodeProfile(
        episode.path,
        numbers.robot,
        numbers.qpos[0],
        numbers.qpos[-1],
        np.ptp(numbers.qpos, axis=0),
        numbers.duration_s,
        numbers.idle_s,
        {name: hz for name, hz in rates.items() if hz is not None},
        views,
        coverages,
    )


def _three(episode: EpisodeReader) -> tuple[int, int, int]:
    """The first, the middle and the last row."""
    return 0, episode.length // 2, episode.length - 1


class EpisodeSet:
    """Profiles of episodes, those of one folder, robot and size of images being one set."""

    def __init__(self) -> None:
        self._sets: dict[Any, list[EpisodeProfile]] = {}

    def add(self, profile: EpisodeProfile) -> None:
        """Take in the next episode; they come in the order in which they were recorded."""
        episodes = self._sets.setdefault(profile.alike, [])
        if len(episodes) >= FIRST:
            shifts = _shifts(profile, episodes[:FIRST], median)
            profile = replace(profile, views={}, shifts=shifts)
        episodes.append(profile)

    def verdicts(self, path: Path) -> list[QualityVerdict]:
        """What is to be said of an episode of the set against the others of it."""
        for episodes in self._sets.values():
            for place, profile in enumerate(episodes):
                if profile.path == path:
                    others = [*episodes[:place], *episodes[place + 1 :]]
                    first = episodes[:FIRST] if place < FIRST else []
                    return _verdicts(profile, others, [e for e in first if e is not profile])
        return []


def _verdicts(
    profile: EpisodeProfile, others: list[EpisodeProfile], first: list[EpisodeProfile]
) -> list[QualityVerdict]:
    robot = profile.robot
    found = []
    # Of the first episodes one may be the odd one: the nearest other counts.
    shifts = _shifts(profile, first, min) if first else profile.shifts
    for camera, shift in shifts.items():
        found += verdict_on(
            robot, 'moved', shift, '',
            f"camera '{camera}' shows the scene {100 * shift:.2g} % of the image's width from "
            'where it was when the set began',
            of=camera,
        )  # fmt: skip
    known = len(others) >= LEAST_OTHERS
    for place, (kind, when) in enumerate((('idle_head', 'first'), ('idle_tail', 'last'))):
        idle_s = profile.idle_s[place]
        usual_s = median(other.idle_s[place] for other in others) if known else 0.0
        words = f', usual are {usual_s:.2f} s' if known else ''
        found += verdict_on(
            robot, kind, idle_s, 's', f'nothing moves in the {when} {idle_s:.2f} s{words}',
            beyond=usual_s,
        )  # fmt: skip
    if not known:
        return found
    usual_s = median(other.duration_s for other in others)
    factor = max(profile.duration_s / usual_s, usual_s / profile.duration_s)
    found += verdict_on(
        robot, 'length', factor, '',
        f'the episode lasts {profile.duration_s:.2f} s, the others of the set {usual_s:.2f} s',
    )  # fmt: skip
    for stream in robot.streams():
        rates = [hz for other in others if (hz := other.rates_hz.get(stream.name)) is not None]
        if stream.rate is None and len(rates) >= LEAST_OTHERS:
            found += rate_verdict(
                robot, stream.name, profile.rates_hz.get(stream.name), median(rates),
                'that of the others of the set',
            )  # fmt: skip
    found += _coverage(profile, others)
    # Nearly the least: in some episodes a joint may have little to do.
    least = np.sort([other.moved for other in others], axis=0)[1]
    found += still_verdict(robot, profile.moved, least, 'in the others of the set', can_fail=False)
    for kind, end in (('start_pose', 'start'), ('end_pose', 'end')):
        found += _pose(profile, others, kind, end)
    return found


def _coverage(profile: EpisodeProfile, others: list[EpisodeProfile]) -> list[QualityVerdict]:
    """How much each depth camera measured, against the median of the others."""
    found = []
    for name, share in profile.coverages.items():
        shares = [other.coverages[name] for other in others if name in other.coverages]
        if len(shares) < LEAST_OTHERS or not (usual := median(shares)):
            continue
        found += verdict_on(
            profile.robot, 'usual_coverage', share / usual, '',
            f"depth camera '{name}' measured {100 * share:.0f} % of its image, in the others of "
            f'the set {100 * usual:.0f} %',
            of=depth_stream(name),
        )  # fmt: skip
    return found


def _pose(
    profile: EpisodeProfile, others: list[EpisodeProfile], kind: str, end: str
) -> list[QualityVerdict]:
    """How many deviations a pose is from the median of the others, of the worst joint.

    Or from the second nearest of them, if that is less.
    """
    poses, pose = np.stack([getattr(other, end) for other in others]), getattr(profile, end)
    usual = np.median(poses, axis=0)
    deviation = MAD_TO_DEVIATION * np.median(np.abs(poses - usual), axis=0)
    least = LEAST_DEVIATION_S * profile.robot.joints.limits.velocity_array()
    # What some others do, too, is one of several poses that are taught.
    nearest = np.sort(np.abs(poses - pose), axis=0)[ALIKE_POSES - 1]
    far = np.minimum(np.abs(pose - usual), nearest) / np.maximum(deviation, least)
    joint = int(np.argmax(far))
    name = profile.robot.joints.names[joint]
    return verdict_on(
        profile.robot, kind, float(far[joint]), 'deviations',
        f"joint '{name}' {end}s at {pose[joint]:.3g}, the median of the others of the set is "
        f'{usual[joint]:.3g}: {far[joint]:.1f} deviations away',
        of=name,
    )  # fmt: skip


def _shifts(
    profile: EpisodeProfile,
    first: list[EpisodeProfile],
    choose: Callable[[list[float]], float],
) -> dict[str, float]:
    """How far each camera is from where it was in the first episodes, as far as can be told."""
    found = {}
    for camera, views in profile.views.items():
        shifts = []
        for other in first:
            if camera not in other.views:
                continue
            still = other.views[camera].still
            ends = [camera_shift(still, view) for view in (views.first, views.last)]
            known = [shift for shift in ends if shift is not None]
            if known:
                shifts.append(max(known))
        if shifts:
            found[camera] = float(choose(shifts))
    return found
