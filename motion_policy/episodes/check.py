# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of an episode: layout, numbers, grid, images, ages, motion, and how good it is.

Every problem is one line that names the dataset, what was found and what was expected. What is
odd, and may well be right, is a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from motion_policy.episodes import layout
from motion_policy.episodes.colours import ColourCount
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.measured import EmptyDepthCount
from motion_policy.episodes.quality.images import ImageWatch
from motion_policy.episodes.quality.judge import own_verdicts
from motion_policy.episodes.quality.numbers import EpisodeNumbers
from motion_policy.episodes.quality.sets import EpisodeSet, profile_of
from motion_policy.episodes.quality.verdict import QualityVerdict
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.episodes.rollouts import Interventions
from motion_policy.episodes.row_checks import (
    ROLES,
    Found,
    JointTrack,
    Verdict,
    check_joints,
    colour_notes,
    depth_notes,
)
from motion_policy.robot import StreamSpec
from motion_policy.robot.spec import CLOCK_STEP_NS, NANOSECONDS_PER_S
from motion_policy.robot.vector import ROTATION
from motion_policy.streams import StreamError
from motion_policy.streams.transforms import NORM_TOLERANCE


@dataclass(frozen=True)
class Examined:
    """What is wrong with an episode, and what is only odd, one line each; its verdicts, and of a
    rollout how often and how long a person drove.

    Verdicts against its set are not among them; `EpisodeSet.verdicts` has these.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verdicts: list[QualityVerdict] = field(default_factory=list)
    interventions: Interventions | None = None


def check_episode(path: str | Path) -> list[str]:
    """Return the problems of an episode, one line each; none when it is sound.

    Reads every image. Where the reader refuses the file as a whole, that is the only problem.
    """
    return examine_episode(path).problems


def examine_episode(path: str | Path, known: EpisodeSet | None = None) -> Examined:
    """As `check_episode`, and what is odd in the episode.

    With `known`, the set so far, the episode is judged and taken into it; it is read once.
    """
    problems: list[str] = []
    notes: list[Found] = []
    verdicts: list[QualityVerdict] = []
    interventions: Interventions | None = None
    try:
        with EpisodeReader(path) as episode:
            problems += _joint_problems(episode)
            interventions = episode.interventions
            problems += _vector_problems(episode)
            colours, depth, images = ColourCount(), EmptyDepthCount(), ImageWatch()
            problems += _image_problems(episode, colours, images, notes)
            problems += _depth_problems(episode, depth, images)
            problems += _all_stamp_problems(episode)
            joints = joint_verdict(episode)
            problems += [each.in_dataset() for each in joints.failures]
            notes += [*joints.notes, *colour_notes(colours), *depth_notes(depth)]
            if known is not None:
                numbers = EpisodeNumbers.of(episode)
                verdicts += own_verdicts(numbers, images)
                known.add(profile_of(episode, numbers))
    except EpisodeError as error:
        problems.append(str(error))
    return Examined(
        [problem.removeprefix(f'{path}: ') for problem in problems],
        [f"'/{note.dataset}': {note.line}" for note in notes],
        verdicts,
        interventions,
    )


def joint_verdict(episode: EpisodeReader) -> Verdict:
    """What the joints of an episode say against themselves or its robot.

    Raises:
        EpisodeError: they or their stamps cannot be read.
    """
    robot = episode.robot
    ages_ns = {
        name: episode.stamps(name).age_ns
        for role in ROLES
        for name, _ in robot.joint_streams(role)
    }
    action = episode.action if episode.has_commands else None
    track = JointTrack.of(robot, episode.time_ns, ages_ns, episode.qpos, action)
    return check_joints(track, robot)


def _joint_problems(episode: EpisodeReader) -> Iterator[str]:
    for name in ('qpos', 'qvel', 'effort', 'action', 'policy_action'):
        try:
            getattr(episode, name)
        except EpisodeError as error:
            yield str(error)


def _vector_problems(episode: EpisodeReader) -> Iterator[str]:
    for name, spec in episode.robot.vectors.items():
        try:
            numbers = episode.vector(name)
        except EpisodeError as error:
            yield str(error)
            continue
        if spec.count is not None:
            there = episode.messages(name)
            wrong = np.flatnonzero((there < 0) | (there > spec.count))
            if len(wrong):
                yield (
                    f"'/{layout.STAMPS}/{name}/{layout.MESSAGES}' is {there[wrong[0]]} in row "
                    f'{wrong[0]}, expected 0..{spec.count}'
                )
        if spec.transform is not None and ROTATION[0] in spec.fields:
            place = spec.fields.index(ROTATION[0])
            rotation = numbers[:, place : place + len(ROTATION)].astype(np.float64)
            for line in _rotation_problems(rotation):
                yield f"'/{layout.VECTORS}/{name}' {line}"


def _rotation_problems(rotation: Any) -> Iterator[str]:
    """What is wrong with quaternions (T, 4)."""
    long = np.flatnonzero(np.abs((rotation**2).sum(axis=1) - 1) > NORM_TOLERANCE)
    if len(long):
        yield (
            f'has no rotation in {len(long)} rows, the first is row {long[0]}, expected '
            'quaternions of length 1'
        )
    turned = np.flatnonzero((rotation[1:] * rotation[:-1]).sum(axis=1) < 0)
    if len(turned):
        yield (
            f'changes the sign of its quaternion at row {turned[0] + 1} ({len(turned)} such '
            'rows), expected that of the row before'
        )


def _image_problems(
    episode: EpisodeReader, colours: ColourCount, images: ImageWatch, notes: list[Found]
) -> Iterator[str]:
    """Read every image; only the first of a camera that is wrong is told, with their count.

    What a decoder says of JPEGs that a policy takes all the same goes to `notes`.
    """
    for camera in episode.cameras:
        stored = episode.stored_images(camera)
        bad: list[tuple[int, str]] = []
        for row in range(episode.length):
            try:
                image = stored.checked_image(row)
            except (EpisodeError, StreamError) as error:
                bad.append((row, str(error).removeprefix(f'{episode.path}: ')))
                images.add(camera, None)
                continue
            colours.add(camera, row, image)
            images.add(camera, image)
        if stored.warned:
            row, said = min(stored.warned.items())
            line = f"camera '{camera}': libjpeg speaks of damage in {len(stored.warned)} images, "
            line += f'the first is that of row {row}: {said}'
            notes.append(Found('jpeg', f'{layout.IMAGES}/{camera}', row, line))
        if bad:
            row, found = bad[0]
            yield (
                f"'/{layout.IMAGES}/{camera}' row {row}: {found} "
                f'({len(bad)} of {episode.length} rows are wrong)'
            )


def _depth_problems(
    episode: EpisodeReader, depth: EmptyDepthCount, images: ImageWatch
) -> Iterator[str]:
    """Read every depth image; only the first of a camera that is wrong is told."""
    for name in episode.robot.depth:
        bad: list[str] = []
        for row in range(episode.length):
            try:
                image = episode.depth(name, row)
            except EpisodeError as error:
                bad.append(str(error))
                images.add_depth(name, None)
                continue
            depth.add(name, row, image)
            images.add_depth(name, image)
        if bad:
            yield f'{bad[0]} ({len(bad)} of {episode.length} rows are wrong)'


def _all_stamp_problems(episode: EpisodeReader) -> Iterator[str]:
    for stream in episode.robot.streams():
        yield from _stamp_problems(episode, stream)


def _stamp_problems(episode: EpisodeReader, stream: StreamSpec) -> Iterator[str]:
    name = f'/{layout.STAMPS}/{stream.name}'
    stamps = episode.stamps(stream.name)
    there = stamps.receive_ns != 0
    if stream.role != 'leader' and not there.all():
        yield f"'{name}' has no sample in row {int(np.flatnonzero(~there)[0])}, expected one"
    if (stamps.age_ns < 0).any():
        row = int(np.flatnonzero(stamps.age_ns < 0)[0])
        yield f"'{name}/age_ns' is negative in row {row}, expected samples from before the row"
    for stamp in ('header_ns', 'receive_ns'):
        yield from _steps_back(f'{name}/{stamp}', getattr(stamps, stamp))
    leads_ns = stamps.header_ns - stamps.receive_ns
    ahead = np.flatnonzero((leads_ns > stream.max_lead_ns) & there)
    if len(ahead) and stream.stamp == 'header':
        lead_s = leads_ns.max() / NANOSECONDS_PER_S
        yield (
            f"'{name}': clocks disagree by {lead_s:.3g} s in {len(ahead)} rows, the first is row "
            f'{ahead[0]}, expected stamps from before the reception'
        )
    stale = np.flatnonzero(stamps.age_ns > stream.max_age_ns)
    if len(stale):
        oldest_s = stamps.age_ns.max() / NANOSECONDS_PER_S
        yield (
            f"'{name}' is stale in {len(stale)} rows, the first is row {stale[0]} "
            f'(up to {oldest_s:.2f} s old, limit {stream.max_age:g} s)'
        )


def _steps_back(name: str, stamps_ns: Any) -> Iterator[str]:
    """Where the samples of rows, of which each is the newest, are older than those before."""
    steps = np.diff(stamps_ns)
    back = np.flatnonzero((steps < -CLOCK_STEP_NS) & (stamps_ns[1:] != 0))
    if len(back):
        by_s = -steps[back[0]] / NANOSECONDS_PER_S
        yield (
            f"'{name}' goes back by {by_s:.2f} s at row {back[0] + 1} ({len(back)} such steps), "
            'expected time to go on'
        )
